//! What was found, as a commented configuration that loads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::found::{Found, Location, Pass, Site};
use super::write::entry::{Entry, entries};
use crate::config;
use crate::gateway::kind;

mod entry;

/// The gateway's name in what is written.
const GATEWAY: &str = "nginx";

/// The file.
pub fn yaml(found: &Found, source: &str) -> String {
    let mut out = format!(
        "# Written by badgateway init from {}.\n\
         # Read it through, then try it: badgateway check badgateway.yml --probe\n\
         # badgateway is taken to run on the host of nginx; elsewhere, put its address in place of 127.0.0.1.\n\n",
        comment(source)
    );
    gateway(found, &mut out);
    let (entries, mut notes) = entries(found);
    notes.splice(0..0, found.notes.iter().cloned());
    let (good, broken): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| problem_of(entry).is_none());
    if good.is_empty() {
        out.push_str("\n# No server that nginx passes requests to by HTTP was found.\nupstreams: []\n");
    } else {
        out.push_str("\nupstreams:\n");
    }
    for entry in &good {
        out.push_str(&entry.yaml);
    }
    for entry in &broken {
        notes.push(format!(
            "{} was left out: {}",
            entry.name,
            problem_of(entry).unwrap_or_default()
        ));
    }
    if !notes.is_empty() {
        out.push_str("\n# Not taken over:\n");
    }
    for note in notes {
        let _ = writeln!(out, "# - {}", comment(&note));
    }
    out
}

/// What is wrong with an entry, when it would not load; it must not spoil the rest.
fn problem_of(entry: &Entry) -> Option<String> {
    let text = format!(
        "gateways: [{{ name: {GATEWAY}, kind: nginx }}]\nupstreams:\n{}",
        entry.yaml
    );
    let problems = config::from_str(&text, "nginx", Path::new("/"), &|_| None).err()?;
    problems.iter().next().map(|problem| problem.message.clone())
}

fn gateway(found: &Found, out: &mut String) {
    let _ = writeln!(out, "gateways:\n  - name: {GATEWAY}\n    kind: nginx");
    let limits = limits(found);
    if !limits.is_empty() {
        out.push_str("    limits:                      # where they differ from nginx's own\n");
    }
    for (key, value, about) in limits {
        let _ = writeln!(out, "      {key}: {value}{about}");
    }
    logs(found, out);
}

/// Each limit that is not the kind's own: the tightest of all places that pass requests on, the others in a comment.
fn limits(found: &Found) -> Vec<(&'static str, String, String)> {
    const TIMES: [(&str, &[&str]); 3] = [
        ("proxy_connect_timeout", &["connect"]),
        ("proxy_send_timeout", &["send"]),
        ("proxy_read_timeout", &["first_byte", "between_reads"]),
    ];
    let own = kind("nginx").map(|kind| kind.limits).unwrap_or_default();
    let mut limits = Vec::new();
    for (directive, keys) in TIMES {
        let default = own.connect.unwrap_or_default();
        if let Some((value, about)) = tightest(places(found, directive, default, nginx_time), default, |time| {
            show(*time)
        }) {
            limits.extend(
                keys.iter()
                    .map(|key| (*key, value.clone(), format!("   # {directive}{about}"))),
            );
        }
    }
    let kept = found
        .groups
        .values()
        .filter_map(|group| nginx_time(group.keepalive_timeout.as_deref()?))
        .collect();
    if let Some((value, about)) = tightest(kept, own.idle.unwrap_or_default(), |time| show(*time)) {
        limits.push(("idle", value, format!("   # keepalive_timeout{about}")));
    }
    let default = own.response_header.unwrap_or_default();
    let sizes = places(found, "proxy_buffer_size", default, nginx_size);
    if let Some((value, about)) = tightest(sizes, default, |bytes| config::show_size(*bytes)) {
        limits.push(("response_header", value, format!("   # proxy_buffer_size{about}")));
    }
    limits
}

/// The value of a directive at every place that passes requests on, or in `http` where there is none.
fn places<T: Ord + Copy>(found: &Found, directive: &str, default: T, read: fn(&str) -> Option<T>) -> BTreeSet<T> {
    let value = |text: Option<&str>| text.and_then(read).unwrap_or(default);
    let http = found.passes.iter().filter(|pass| pass.directive == "proxy_pass");
    let mut values: BTreeSet<T> = http.map(|pass| value(pass.scope.get(directive))).collect();
    if values.is_empty() {
        values.insert(value(found.scope.get(directive)));
    }
    values
}

fn tightest<T: Ord>(values: BTreeSet<T>, default: T, show: impl Fn(&T) -> String) -> Option<(String, String)> {
    let first = values.first()?;
    if *first == default && values.len() == 1 {
        return None;
    }
    let others: Vec<String> = values.iter().skip(1).map(&show).collect();
    let about = match others.is_empty() {
        true => String::new(),
        false => format!("; elsewhere {}", others.join(", ")),
    };
    Some((show(first), about))
}

fn show(time: Duration) -> String {
    config::show_duration(time)
}

/// `60`, `60s`, `1m`, `500ms`, `1h 30m`; nothing that is 0.
fn nginx_time(text: &str) -> Option<Duration> {
    let compact: String = text.split_whitespace().collect();
    let text = match compact.chars().all(|c| c.is_ascii_digit()) {
        true => format!("{compact}s"),
        false => compact,
    };
    config::duration(&text)
        .ok()
        .filter(|time| !time.is_zero() && *time <= Duration::from_secs(7 * 86_400))
}

/// `4k`, `1m`, `4096`; nothing that is 0.
fn nginx_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.to_ascii_lowercase().as_str() {
        text if text.ends_with('k') => (text[..text.len() - 1].to_owned(), 1024),
        text if text.ends_with('m') => (text[..text.len() - 1].to_owned(), 1024 * 1024),
        text => (text.to_owned(), 1),
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=1 << 30).contains(&bytes).then_some(bytes)
}

/// One log of each sort can be followed for a gateway; the others are named.
fn logs(found: &Found, out: &mut String) {
    let is_file = |path: &str| path.starts_with('/') && !path.contains('$') && !path.starts_with("/dev/");
    let (files, others): (Vec<_>, Vec<_>) = found.access_logs.iter().partition(|(path, _)| is_file(path));
    for (index, (path, format)) in files.iter().enumerate() {
        let text = format.as_ref().and_then(|name| found.formats.get(name));
        match (index, text) {
            (0, None) => {
                let _ = writeln!(out, "    access_log: {}", plain_or_quoted(path));
            }
            (0, Some(text)) => {
                let _ = writeln!(out, "    access_log:\n      path: {}", plain_or_quoted(path));
                let _ = writeln!(out, "      format: {}", quoted(&without_variables(text)));
            }
            _ => {
                let _ = writeln!(out, "    # another access log: {}", comment(path));
            }
        }
    }
    if files.is_empty() {
        out.push_str("    access_log: /var/log/nginx/access.log      # the usual place; none is named in the file\n");
    }
    for (path, _) in others {
        let _ = writeln!(out, "    # an access log that is no plain file: {}", comment(path));
    }
    let mut errors = found.error_logs.iter().filter(|path| is_file(path));
    if let Some(path) = errors.next() {
        let _ = writeln!(out, "    error_log: {}", plain_or_quoted(path));
    }
    for path in errors {
        let _ = writeln!(out, "    # another error log: {}", comment(path));
    }
}

/// `$` doubled where it would be taken for a variable of the environment or an escape.
fn without_variables(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '$' && matches!(chars.peek(), Some('$' | '{')) {
            out.push('$');
        }
    }
    out
}

/// A YAML scalar: JSON strings are YAML strings.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// Without quotes where that cannot be misread.
fn plain_or_quoted(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_./:-?=%+~".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/') && text.chars().all(harmless);
    match plain && !text.ends_with(':') {
        true => text.to_owned(),
        false => quoted(&without_variables(text)),
    }
}

/// Text for a comment: one line, nothing that ends it.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || "\u{85}\u{2028}\u{2029}".contains(c) {
                ' '
            } else {
                c
            }
        })
        .collect()
}
