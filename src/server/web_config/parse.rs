//! The file's text to settings. Every problem is reported at once, with line, column and key path.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};

use crate::config::reader::{self, Context, Cursor};
use crate::config::tree::{self, Kind};
use crate::config::{Note, Place, Problem, Problems, quoted, read_file, read_text};

use super::Settings;
use super::auth::{self, Users};
use super::changes::Seen;
use super::limit::Limiter;
use super::tls;

/// The headers that can be configured, and the values of those that have only a few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];
/// A rate below one request a day is a slip of the pen.
const MAX_INTERVAL: Duration = Duration::from_secs(86_400);
const MAX_BURST: u64 = 1_000_000;

/// What comes of reading the file.
pub(super) struct Reading {
    /// The file and those it names, found or not.
    pub(super) files: Seen,
    /// What is valid but has no effect here.
    pub(super) notes: Vec<Note>,
    /// What it says, or everything that is wrong.
    pub(super) settings: Result<Settings, Problems>,
}

/// What is collected on the way besides problems.
#[derive(Default)]
pub(super) struct Remarks {
    files: RefCell<Seen>,
    notes: RefCell<Vec<Note>>,
}

impl Remarks {
    /// Something valid that has no effect here.
    pub(super) fn note(&self, place: &Place, message: impl Into<String>) {
        self.notes.borrow_mut().push(Note {
            at: place.at,
            path: place.path.clone(),
            message: message.into(),
        });
    }

    /// The content of the file a value names; `None` once the problem is reported.
    pub(super) fn content(&self, cursor: &Cursor<'_>) -> Option<Vec<u8>> {
        let name = cursor.string()?.value;
        let path = cursor.cx().base_dir.join(&name);
        self.files.borrow_mut().add(path.clone());
        read_file(&path)
            .map_err(|message| cursor.problem(format!("{} {message}", quoted(&name))))
            .ok()
    }
}

/// Reads the file and the files it names.
pub(super) fn read(path: &Path) -> Reading {
    let name = path.display().to_string();
    let remarks = Remarks::default();
    remarks.files.borrow_mut().add(path.to_owned());
    let settings = match read_text(path) {
        Ok(text) => from_text(&text, &name, path.parent().unwrap_or(Path::new("")), &remarks),
        Err((at, message)) => Err(Problems::one(Problem {
            file: name.as_str().into(),
            line: at.line,
            column: at.column,
            path: String::new(),
            message,
        })),
    };
    Reading {
        files: remarks.files.into_inner(),
        notes: remarks.notes.into_inner(),
        settings,
    }
}

fn from_text(text: &str, name: &str, directory: &Path, remarks: &Remarks) -> Result<Settings, Problems> {
    let cx = Context::literal(name, directory);
    let (root, faults) = tree::parse(text);
    for fault in faults {
        cx.problem(&reader::place(fault.at, ""), fault.message);
    }
    let settings = match root {
        Some(root) if !matches!(root.kind, Kind::Null) => top(&Cursor::root(&cx, root), remarks),
        _ => Settings::default(),
    };
    match cx.is_clean() {
        true => Ok(settings),
        false => Err(cx.into_problems()),
    }
}

fn top(cursor: &Cursor<'_>, remarks: &Remarks) -> Settings {
    let Some(mut fields) = cursor.fields() else {
        return Settings::default();
    };
    let settings = Settings {
        tls: fields
            .get("tls_server_config")
            .and_then(|section| tls::read(&section, remarks)),
        headers: fields
            .get("http_server_config")
            .map(|section| http(&section, remarks))
            .unwrap_or_default(),
        users: Users::new(
            fields
                .get("basic_auth_users")
                .map(|map| users(&map))
                .unwrap_or_default(),
        ),
        limiter: fields.get("rate_limit").and_then(|section| rate(&section)),
    };
    fields.finish();
    settings
}

fn http(cursor: &Cursor<'_>, remarks: &Remarks) -> Vec<(HeaderName, HeaderValue)> {
    let Some(mut fields) = cursor.fields() else {
        return Vec::new();
    };
    if let Some(http2) = fields.get("http2")
        && http2.flag().is_some_and(|flag| flag.value)
    {
        remarks.note(&http2.place(), "has no effect; HTTP/1.1 is spoken here");
    }
    let headers = fields.get("headers").map(|map| headers(&map)).unwrap_or_default();
    fields.finish();
    headers
}

fn headers(cursor: &Cursor<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, value) in cursor.entries() {
        let Some((known, words)) = HEADERS.iter().find(|(known, _)| *known == name.value) else {
            let known: Vec<&str> = HEADERS.iter().map(|(known, _)| *known).collect();
            let near = known.iter().find(|known| known.eq_ignore_ascii_case(&name.value));
            let right = match near {
                Some(near) => format!("write {near}"),
                None => format!("known here: {}", known.join(", ")),
            };
            let message = format!("the header {} cannot be configured; {right}", quoted(&name.value));
            cursor.cx().problem(&name.place, message);
            continue;
        };
        let read = |text: &str| match HeaderValue::from_str(text) {
            Ok(value) if words.is_empty() || words.contains(&text) => Ok(value),
            Ok(_) => Err(format!("is not a value of {known}; write {}", reader::listed(words))),
            Err(_) => Err("cannot be sent in a header; write visible ASCII characters".to_owned()),
        };
        if let (Ok(name), Some(value)) = (HeaderName::try_from(*known), value.parse(read)) {
            headers.push((name, value.value));
        }
    }
    headers
}

fn users(cursor: &Cursor<'_>) -> BTreeMap<String, String> {
    let mut users = BTreeMap::new();
    for (name, hash) in cursor.entries() {
        if name.value.contains(':') {
            let message = "a user's name cannot hold a colon, which ends it in what clients send";
            cursor.cx().problem(&name.place, message);
        }
        let checked = hash.parse_secret(|text| auth::check_hash(text).map(|()| text.to_owned()));
        if let Some(hash) = checked {
            users.insert(name.value, hash.value);
        }
    }
    users
}

/// A rate without interval is none, as in the Go implementation; there, one without burst would refuse everything.
fn rate(cursor: &Cursor<'_>) -> Option<Arc<Limiter>> {
    let mut fields = cursor.fields()?;
    let interval = fields.get("interval").map(|value| {
        value.parse(|text| match crate::config::duration(text)? {
            interval if interval <= MAX_INTERVAL => Ok(interval),
            _ => Err("is longer than a day".to_owned()),
        })
    });
    let burst = fields.get("burst").map(|value| value.number(0..=MAX_BURST));
    fields.finish();
    let interval = interval.unwrap_or_else(|| Some(cursor.at(Duration::ZERO)))?.value;
    let burst = burst.unwrap_or_else(|| Some(cursor.at(0)))?;
    if interval.is_zero() {
        return None;
    }
    if burst.value == 0 {
        let message = "burst: 0 would refuse every request; write how many may come at once, as in burst: 20";
        cursor.cx().problem(&burst.place, message);
    }
    let burst = u32::try_from(burst.value).unwrap_or(u32::MAX);
    Some(Arc::new(Limiter::new(interval, burst)))
}
