//! What an HAProxy configuration says of backends: who leads to them, within which limits, and where it is logged.
//!
//! Source: HAProxy, `doc/configuration.txt`, 2 to 5. Conditions of the preprocessor (`.if`) are not evaluated: every branch is
//! read, and it is said so.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Broken, Said};

use syntax::Line;

mod address;
mod condition;
mod said;
mod server;
mod syntax;

pub use address::Bind;
pub use condition::Asked;
pub use server::{Check, Server};

use condition::Acls;

/// What could not be used is told so often; of more only the number helps.
const MAX_NOTES: usize = 100;
/// Logs of one section.
const MAX_LOGS: usize = 16;

/// Words of `default-server` in one section.
const MAX_DEFAULT_WORDS: usize = 256;

/// The words that begin a section.
const SECTIONS: [&str; 18] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "userlist",
    "mailers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "log-profile",
    "fcgi-app",
    "crt-store",
    "traces",
];

/// Whether that word begins a section.
pub fn is_section(word: &str) -> bool {
    SECTIONS.contains(&word)
}

/// Everything found.
#[derive(Debug)]
pub struct Found {
    /// In the order of the file.
    pub proxies: Vec<Proxy>,
    /// What could not be used, one sentence each.
    pub notes: Vec<String>,
    file: Arc<str>,
    /// `log` of `global`.
    logs: Vec<String>,
    bufsize: Option<u64>,
    maxrewrite: Option<u64>,
}

/// A `frontend`, `backend` or `listen`.
#[derive(Debug)]
pub struct Proxy {
    /// Unique among those of its sort.
    pub name: String,
    /// Takes requests: a `frontend` or `listen`.
    pub is_front: bool,
    /// Passes requests on: a `backend` or `listen`.
    pub is_back: bool,
    /// What holds in it, its defaults included.
    pub settings: Settings,
    /// Where it listens.
    pub binds: Vec<Bind>,
    /// Where it passes requests on to.
    pub servers: Vec<Server>,
    /// The backends it leads to, each with what must be asked to get there, in the order of the file; the one for
    /// everything else last.
    pub uses: Vec<(String, Option<Asked>)>,
    /// `file:line`.
    pub place: String,
    acls: Acls,
}

/// What a section has of its own or from its `defaults`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `mode http`.
    pub is_http: bool,
    /// The health check; `None` where it is not a plain request.
    pub check: Option<Check>,
    /// The health check is neither a plain request nor a connection.
    checks_otherwise: bool,
    /// The `Host` it gives to requests.
    pub host: Option<Rc<str>>,
    timeouts: Timeouts,
    log_format: LogFormat,
    logs: Rc<Vec<String>>,
    default_backend: Option<Rc<str>>,
    default_server: Rc<Vec<String>>,
}

impl Settings {
    /// `timeout check`.
    pub fn check_timeout(&self) -> Option<Duration> {
        super::time(self.timeouts.check.as_deref()?, Duration::from_millis(1))
    }
}

/// As written.
#[derive(Clone, Debug, Default)]
struct Timeouts {
    connect: Option<Rc<str>>,
    server: Option<Rc<str>>,
    check: Option<Rc<str>>,
}

/// How requests are logged.
#[derive(Clone, Debug, Default)]
enum LogFormat {
    /// The connection alone.
    #[default]
    Connection,
    /// `option httplog` or `httpslog`.
    Http,
    /// `log-format`.
    Custom(Rc<str>),
}

/// Reads a text.
///
/// # Errors
/// The text is not HAProxy configuration.
pub fn read(text: &str, path: &str) -> Result<Found, Broken> {
    let file: Arc<str> = path.into();
    let mut reader = Reader {
        found: Found {
            proxies: Vec::new(),
            notes: Vec::new(),
            file: file.clone(),
            logs: Vec::new(),
            bufsize: None,
            maxrewrite: None,
        },
        section: Section::None,
        defaults: Settings::default(),
        named: HashMap::new(),
    };
    for line in syntax::lines(text, &file) {
        reader.line(&line?)?;
    }
    reader.end_of_section();
    Ok(reader.found)
}

impl Found {
    /// What it says of limits and logs.
    pub fn said(&self) -> Said {
        said::of(self)
    }

    fn note(&mut self, line: usize, note: &str) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(format!("{}:{line}: {note}", self.file));
        }
    }
}

/// The section that is being read.
enum Section {
    None,
    Global,
    Defaults(Option<String>),
    Proxy(Box<Proxy>),
    Other,
}

struct Reader {
    found: Found,
    section: Section,
    /// The last `defaults`.
    defaults: Settings,
    /// Those with a name.
    named: HashMap<String, Settings>,
}

impl Reader {
    fn line(&mut self, line: &Line) -> Result<(), Broken> {
        let word = line.word(0);
        if is_section(word) {
            self.end_of_section();
            return self.begin(line);
        }
        if word.starts_with('.') {
            if word == ".if" {
                let note = "conditions are not evaluated, every branch is taken over";
                self.found.note(line.number, note);
            }
            return Ok(());
        }
        match &mut self.section {
            Section::None => {
                let message = format!(
                    "{} stands in no section; an HAProxy configuration begins with global, defaults, frontend, backend \
                     or listen",
                    shown(word)
                );
                return Err(self.broken(line, message));
            }
            Section::Global => self.global(line),
            Section::Defaults(_) => setting(line, &mut self.defaults),
            Section::Proxy(proxy) => {
                if let Some(note) = in_proxy(line, proxy) {
                    self.found.note(line.number, &note);
                }
            }
            Section::Other => {}
        }
        Ok(())
    }

    fn begin(&mut self, line: &Line) -> Result<(), Broken> {
        let named = line.words.iter().position(|word| word == "from");
        let parent = named.and_then(|at| self.named.get(line.word(at + 1))).cloned();
        let word = line.word(0);
        self.section = match word {
            "global" => Section::Global,
            "defaults" => {
                self.defaults = parent.unwrap_or_default();
                Section::Defaults(Some(line.word(1).to_owned()).filter(|name| !name.is_empty() && name != "from"))
            }
            "frontend" | "backend" | "listen" if line.word(1).is_empty() => {
                return Err(self.broken(line, format!("{word} needs a name")));
            }
            "frontend" | "backend" | "listen" => Section::Proxy(Box::new(Proxy {
                name: line.word(1).to_owned(),
                is_front: word != "backend",
                is_back: word != "frontend",
                settings: parent.unwrap_or_else(|| self.defaults.clone()),
                binds: Vec::new(),
                servers: Vec::new(),
                uses: Vec::new(),
                place: format!("{}:{}", self.found.file, line.number),
                acls: Acls::default(),
            })),
            _ => Section::Other,
        };
        Ok(())
    }

    fn broken(&self, line: &Line, message: String) -> Broken {
        Broken {
            file: self.found.file.clone(),
            line: line.number,
            column: 0,
            message,
        }
    }

    fn end_of_section(&mut self) {
        match std::mem::replace(&mut self.section, Section::None) {
            Section::Proxy(mut proxy) => {
                if let (true, Some(backend)) = (proxy.is_front, &proxy.settings.default_backend) {
                    proxy.uses.push((backend.to_string(), Some(Asked::default())));
                }
                self.found.proxies.push(*proxy);
            }
            Section::Defaults(Some(name)) => drop(self.named.insert(name, self.defaults.clone())),
            Section::Defaults(None) | Section::None | Section::Global | Section::Other => {}
        }
    }

    fn global(&mut self, line: &Line) {
        match line.word(0) {
            "log" if self.found.logs.len() < MAX_LOGS => self.found.logs.extend(said::log_target(line)),
            "tune.bufsize" => self.found.bufsize = super::size(line.word(1)),
            "tune.maxrewrite" => self.found.maxrewrite = super::size(line.word(1)),
            _ => {}
        }
    }
}

/// Whether that can be asked for as it stands.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic() && c != '#')
}

/// A word of the file in a message.
fn shown(word: &str) -> String {
    let short: String = word.chars().take(40).collect();
    format!("{short:?}")
}

/// A line of `frontend`, `backend` or `listen`; a note where it cannot be used.
fn in_proxy(line: &Line, proxy: &mut Proxy) -> Option<String> {
    match line.word(0) {
        "bind" => proxy.binds.extend(address::binds(line)),
        "acl" => proxy.acls.add(line),
        "server" | "server-template" => match server::read(line, &proxy.settings.default_server) {
            Ok(server) => proxy.servers.push(server),
            Err(why) => return Some(why),
        },
        "use_backend" if proxy.is_front => {
            let name = line.word(1);
            if name.contains(['%', '$']) {
                return Some(format!(
                    "use_backend {name}: only HAProxy can tell the backend, so what leads to it is not known"
                ));
            }
            proxy.uses.push((name.to_owned(), proxy.acls.asked(line.from(2))));
        }
        _ => setting(line, &mut proxy.settings),
    }
    None
}

/// A line that may stand in `defaults` too.
fn setting(line: &Line, settings: &mut Settings) {
    let text = |at: usize| Some(Rc::from(line.word(at)));
    match (line.word(0), line.word(1)) {
        ("default-server", _) if settings.default_server.len() < MAX_DEFAULT_WORDS => {
            Rc::make_mut(&mut settings.default_server).extend_from_slice(line.from(1));
        }
        ("mode", mode) => settings.is_http = mode == "http",
        ("timeout", "connect") => settings.timeouts.connect = text(2),
        ("timeout", "server") => settings.timeouts.server = text(2),
        ("timeout", "check") => settings.timeouts.check = text(2),
        ("log", _) if settings.logs.len() < MAX_LOGS => {
            Rc::make_mut(&mut settings.logs).extend(said::log_target(line));
        }
        ("no", "log") => settings.logs = Rc::default(),
        ("log-format", _) => settings.log_format = LogFormat::Custom(Rc::from(line.word(1))),
        ("option", "httplog" | "httpslog") => settings.log_format = LogFormat::Http,
        ("option", "tcplog") => settings.log_format = LogFormat::Connection,
        ("default_backend", name) => settings.default_backend = Some(Rc::from(name)),
        ("option", "httpchk") => {
            settings.check = Check::of_option(line.from(2));
            settings.checks_otherwise = settings.check.is_none();
        }
        ("http-check", "send") => {
            settings.check = settings.check.take().and_then(|check| check.sending(line.from(2)));
            settings.checks_otherwise |= settings.check.is_none();
        }
        // A sequence of steps, or an answer that is no plain 2xx or 3xx.
        ("http-check", "connect" | "expect") => (settings.check, settings.checks_otherwise) = (None, true),
        // Of another protocol.
        ("option", word) if word.ends_with("-check") || word.ends_with("-chk") => {
            (settings.check, settings.checks_otherwise) = (None, true);
        }
        ("http-request", "set-header") if line.word(2).eq_ignore_ascii_case("host") && line.words.len() == 4 => {
            settings.host = Some(Rc::from(line.word(3))).filter(|host: &Rc<str>| !host.contains('%'));
        }
        _ => {}
    }
}
