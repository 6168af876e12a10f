//! What a gateway's own configuration says of limits and logs, and of what stands behind it.
//!
//! One reader per product. What cannot be understood is passed over or noted, never guessed; files, includes and depth are
//! bounded. `init` makes a first configuration of it, `config` takes limits and the format of the access log from it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::upstream::{HealthCheck, LimitKind, Limits};

mod files;
pub mod haproxy;
pub mod nginx;

pub use files::{Disk, Files, Seen};

/// Longest time that is taken for a limit; beyond it nobody waits.
const MAX_LIMIT: Duration = Duration::from_secs(7 * 86_400);
/// Largest size that is taken for a limit, bytes.
const MAX_SIZE: u64 = 1 << 40;

/// Where a text cannot be understood, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The file, an included one perhaps.
    pub file: Arc<str>,
    /// From 1; 0 for a file that cannot be read.
    pub line: usize,
    /// From 1, in characters; 0 for the whole line.
    pub column: usize,
    /// What was found and what would be right.
    pub message: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What a configuration says that every kind of gateway can say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// At most one of each kind.
    pub limits: Vec<Stated>,
    /// Where requests are logged, the log of most places that pass requests on first.
    pub access_logs: Vec<AccessLog>,
    /// Where errors are logged, in the order of the file.
    pub error_logs: Vec<Target>,
    /// How it checks the health of servers, where that can be replayed.
    pub checks: Vec<Checked>,
    /// What could not be read, one sentence each, with `file:line`.
    pub notes: Vec<String>,
}

/// A server whose health is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// As a URL has it, port included.
    pub server: String,
    /// How.
    pub check: HealthCheck,
}

/// A limit, at every place that passes requests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// What is limited.
    pub kind: LimitKind,
    /// The directive that says so.
    pub directive: &'static str,
    /// The strictest first; never empty. Places that do not say it have the product's default.
    pub amounts: Vec<Amount>,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Amount {
    /// Of a limit in time.
    Time(Duration),
    /// Of a limit in bytes.
    Size(u64),
}

/// A log of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where the lines go.
    pub target: Target,
    /// How they are written.
    pub format: LineFormat,
}

/// How the lines of a log are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// In one of the product's own formats.
    Own,
    /// As this format string says, written so that it can be pasted under `format`.
    Custom(String),
    /// In a way that says nothing of HTTP, or that only the gateway can tell; why.
    Unusable(String),
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file.
    File(String),
    /// A syslog receiver as written: `127.0.0.1:5514`, `unix:/dev/log`.
    Syslog(String),
    /// Anything else, as written: a pipe, a name with variables, standard error.
    Other(String),
}

impl Said {
    /// The strictest of each limit.
    pub fn strictest(&self) -> Limits {
        let mut limits = Limits::default();
        for stated in &self.limits {
            let Some(amount) = stated.amounts.first() else { continue };
            match (stated.kind, amount) {
                (LimitKind::Connect, Amount::Time(time)) => limits.connect = Some(*time),
                (LimitKind::Tls, Amount::Time(time)) => limits.tls = Some(*time),
                (LimitKind::Send, Amount::Time(time)) => limits.send = Some(*time),
                (LimitKind::FirstByte, Amount::Time(time)) => limits.first_byte = Some(*time),
                (LimitKind::BetweenReads, Amount::Time(time)) => limits.between_reads = Some(*time),
                (LimitKind::Total, Amount::Time(time)) => limits.total = Some(*time),
                (LimitKind::Idle, Amount::Time(time)) => limits.idle = Some(*time),
                (LimitKind::ResponseHeader, Amount::Size(bytes)) => limits.response_header = Some(*bytes),
                (LimitKind::ResponseBody, Amount::Size(bytes)) => limits.response_body = Some(*bytes),
                (_, Amount::Time(_) | Amount::Size(_)) => {}
            }
        }
        limits
    }

    /// The format of the log in that file, or, where the configuration names no such file, of all logs.
    ///
    /// # Errors
    /// It cannot be told, or not be used; why.
    pub fn format_of(&self, path: Option<&Path>) -> Result<&LineFormat, String> {
        let is_it = |log: &&AccessLog| match (&log.target, path) {
            (Target::File(file), Some(path)) => Path::new(file) == path,
            (Target::Syslog(_), None) => true,
            _ => false,
        };
        let named: Vec<&LineFormat> = self.access_logs.iter().filter(is_it).map(|log| &log.format).collect();
        let all = || self.access_logs.iter().map(|log| &log.format).collect();
        let candidates: Vec<&LineFormat> = if named.is_empty() { all() } else { named };
        match candidates.split_first() {
            None => Ok(&LineFormat::Own),
            Some((LineFormat::Unusable(why), _)) => Err(why.clone()),
            Some((first, others)) if others.iter().all(|other| other == first) => Ok(first),
            Some(_) => Err("requests are logged in several formats; write access_log.format".into()),
        }
    }
}

/// A configuration that was looked at.
#[derive(Clone, Debug)]
pub struct Looked {
    /// What it says.
    pub said: Result<Said, Broken>,
    /// Every file that was read, as it looked.
    pub seen: Seen,
}

impl Looked {
    /// When one of its files was last written; `None` where there is none.
    pub fn changed(&self) -> Option<SystemTime> {
        self.seen.newest()
    }
}

/// The reader of a kind's configuration: text, path, and the files around it.
type Reader = fn(&str, &str, &dyn Files) -> Result<Said, Broken>;

/// Whether the configuration of that kind can be read.
pub fn is_read(kind: &str) -> bool {
    reader(kind).is_some()
}

fn reader(kind: &str) -> Option<Reader> {
    match kind {
        "nginx" | "openresty" | "ingress_nginx" => Some(|text, path, files| Ok(nginx::read(text, path, files)?.said())),
        "haproxy" => Some(|text, path, _| Ok(haproxy::read(text, path)?.said())),
        _ => None,
    }
}

/// Looks at the configuration of a gateway of that kind. Where the kind has no reader it says nothing, and only its
/// changes are seen.
pub fn look(kind: &str, path: &Path) -> Looked {
    let disk = Disk::default();
    let name = path.display().to_string();
    let unread = |message| Broken {
        file: name.as_str().into(),
        line: 0,
        column: 0,
        message,
    };
    let said = match reader(kind) {
        Some(read) => {
            let text = disk.text(path, files::MAX_BYTES).map_err(unread);
            text.and_then(|text| read(&text, &name, &disk))
        }
        None => disk.find(path).map_err(unread).map(|()| Said::default()),
    };
    Looked {
        said,
        seen: disk.seen(),
    }
}

/// A product's configuration, as its text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Of nginx or its kin.
    Nginx,
    /// Of HAProxy.
    Haproxy,
    /// Of Prometheus.
    Prometheus,
}

/// What a text is the configuration of: each has lines that the others cannot have. nginx ends directives with `;` and
/// opens blocks with `{`, HAProxy has sections whose first line stands alone, Prometheus the key `scrape_configs`.
pub fn product_of(text: &str) -> Product {
    let (mut haproxy, mut nginx) = (0_usize, 0_usize);
    for line in text.lines() {
        if line.starts_with("scrape_configs:") {
            return Product::Prometheus;
        }
        let line = line.split('#').next().unwrap_or_default().trim();
        let word = line.split_whitespace().next().unwrap_or_default();
        nginx += usize::from(line.ends_with([';', '{']));
        haproxy += usize::from(haproxy::is_section(word) && !line.contains([';', '{']));
    }
    match haproxy > nginx {
        true => Product::Haproxy,
        false => Product::Nginx,
    }
}

/// The values of a limit at all places, strictest first; nothing where no place has one.
fn stated(kind: LimitKind, directive: &'static str, amounts: impl IntoIterator<Item = Amount>) -> Option<Stated> {
    let amounts: std::collections::BTreeSet<Amount> = amounts.into_iter().collect();
    (!amounts.is_empty()).then(|| Stated {
        kind,
        directive,
        amounts: amounts.into_iter().collect(),
    })
}

/// `60`, `1m30s`, `500ms`, `1h 30m`: numbers with units of `units`, a bare number in `bare`. Nothing that is 0, and nothing
/// longer than a week.
fn time(text: &str, bare: Duration) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u32 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = match &rest[..letters] {
            "" => bare,
            "us" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "d" => Duration::from_secs(86_400),
            "w" => Duration::from_secs(7 * 86_400),
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        sum = sum.checked_add(unit.checked_mul(number)?)?;
    }
    (Duration::from_millis(1)..=MAX_LIMIT).contains(&sum).then_some(sum)
}

/// `4k`, `1m`, `4096`; nothing that is 0.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (digits, unit) = match text.strip_suffix(['k', 'm', 'g']) {
        None => (text.as_str(), 1),
        Some(digits) if text.ends_with('k') => (digits, 1 << 10),
        Some(digits) if text.ends_with('m') => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=MAX_SIZE).contains(&bytes).then_some(bytes)
}

#[cfg(test)]
mod tests;
