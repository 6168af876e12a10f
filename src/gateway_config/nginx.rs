//! What an nginx configuration says of upstreams: who proxies what to whom, within which limits, and where it is logged.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::files::Files;
use super::{Broken, Said};

use syntax::Directive;

mod limits;
mod logs;
mod syntax;

/// What could not be used is told so often; of more only the number helps.
const MAX_NOTES: usize = 100;
/// Logs that are told apart, and logs of one place.
const MAX_LOGS: usize = 1000;
const MAX_LOGS_OF_A_PLACE: usize = 16;

/// Reads a text; a file of one site alone will do. Relative includes start at the directory of `path`.
///
/// # Errors
/// The text is not nginx configuration.
pub fn read(text: &str, path: &str, files: &dyn Files) -> Result<Found, Broken> {
    let mut found = Found::default();
    block(&syntax::parse(text, path, files)?, &Rc::default(), &mut found);
    Ok(found)
}

/// Everything found.
#[derive(Debug, Default)]
pub struct Found {
    /// Groups of servers by name.
    pub groups: BTreeMap<String, Group>,
    /// Every directive that passes requests on.
    pub passes: Vec<Pass>,
    /// Every log of requests, in the order of the file.
    access_logs: Vec<WrittenLog>,
    /// As written.
    error_logs: Vec<String>,
    /// Format strings by name, with their `escape=`.
    formats: BTreeMap<String, String>,
    /// What could not be used, one sentence each.
    pub notes: Vec<String>,
    /// Includes that could not be read.
    unread: Vec<String>,
    sites: usize,
    /// The settings of the `http` block.
    scope: Rc<Scope>,
}

/// Where an `access_log` leads, and the name of its format.
type WrittenLog = (String, Option<String>);

impl Found {
    /// What it says of limits and logs.
    pub fn said(&self) -> Said {
        Said {
            limits: limits::of(self),
            access_logs: logs::access(self),
            error_logs: self.error_logs.iter().map(|log| logs::target(log)).collect(),
            checks: Vec::new(),
            notes: self.unread.clone(),
        }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }
}

/// An `upstream` block.
#[derive(Debug, Default)]
pub struct Group {
    /// In the order of the file.
    pub servers: Vec<Server>,
    /// `keepalive_timeout` as written.
    keepalive_timeout: Option<String>,
    /// Idle connections to the servers are kept.
    keeps_alive: bool,
}

/// A `server` of an `upstream` block.
#[derive(Debug)]
pub struct Server {
    /// `host:port`, `host` or `unix:/path`.
    pub address: String,
    /// `down`: nginx does not use it.
    pub down: bool,
    /// `weight=5`, `backup`, …
    pub about: String,
}

/// A directive that passes requests on.
#[derive(Debug)]
pub struct Pass {
    /// `proxy_pass`, `grpc_pass`, `fastcgi_pass`, …
    pub directive: String,
    /// Its argument.
    pub to: String,
    /// The location it stands in.
    pub location: Location,
    /// The server it stands in.
    pub site: Rc<Site>,
    /// The settings that hold there.
    pub scope: Rc<Scope>,
    /// `file:line`.
    pub place: String,
}

/// A `location`.
#[derive(Clone, Debug)]
pub enum Location {
    /// Path or prefix that can be asked.
    Path(String),
    /// An expression or a name; as written.
    Other(String),
}

/// A `server` of `http`.
#[derive(Debug, Default)]
pub struct Site {
    /// In the order of the file; tells sites of the same name apart.
    pub number: usize,
    /// Names without wildcards and expressions.
    pub names: Vec<String>,
    /// Where it listens.
    pub listens: Vec<Listen>,
}

/// A `listen`.
#[derive(Debug)]
pub struct Listen {
    /// As a URL has it, port included; this host where nginx listens on every address.
    pub authority: String,
    /// It speaks TLS there.
    pub tls: bool,
    /// Wants the PROXY protocol first, so a plain request fails.
    pub proxy_protocol: bool,
}

/// The directives that nginx inherits from outer blocks.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    values: BTreeMap<String, String>,
    headers: Rc<Vec<(String, String)>>,
    access_logs: Rc<Vec<WrittenLog>>,
}

/// The single-valued ones that are looked at.
const INHERITED: [&str; 4] = [
    "proxy_ssl_verify",
    "proxy_ssl_name",
    "proxy_ssl_trusted_certificate",
    "proxy_ssl_server_name",
];

impl Scope {
    /// The value of a directive as written.
    pub fn get(&self, directive: &str) -> Option<&str> {
        self.values.get(directive).map(String::as_str)
    }

    /// What `proxy_set_header` gives this header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The scope of a block inside this one. `proxy_set_header` and `access_log` are inherited only by blocks that have
    /// none of their own.
    fn within(outer: &Rc<Scope>, block: &[Directive]) -> Rc<Scope> {
        let mut scope = Rc::clone(outer);
        let (mut headers, mut logs, mut has_logs) = (Vec::new(), Vec::new(), false);
        for directive in block {
            let name = directive.name.as_str();
            match (name, &directive.args[..]) {
                ("proxy_set_header", [name, value, ..]) => headers.push((name.clone(), value.clone())),
                ("access_log", _) => {
                    has_logs = true;
                    logs.extend(access_log(directive).filter(|_| logs.len() < MAX_LOGS_OF_A_PLACE));
                }
                _ if INHERITED.contains(&name) || limits::is_one(name) => {
                    let value = directive.first().to_owned();
                    Rc::make_mut(&mut scope).values.insert(name.to_owned(), value);
                }
                _ => {}
            }
        }
        if !headers.is_empty() {
            Rc::make_mut(&mut scope).headers = Rc::new(headers);
        }
        if has_logs {
            Rc::make_mut(&mut scope).access_logs = Rc::new(logs);
        }
        scope
    }
}

/// Where an `access_log` leads, and the name of its format; nothing for `off`.
fn access_log(directive: &Directive) -> Option<WrittenLog> {
    let (path, rest) = directive.args.split_first()?;
    let format = rest.first().filter(|word| !word.contains('=')).cloned();
    (path != "off").then(|| (path.clone(), format))
}

fn block(directives: &[Directive], outer: &Rc<Scope>, found: &mut Found) {
    let scope = Scope::within(outer, directives);
    for directive in directives {
        match directive.name.as_str() {
            "http" => {
                found.scope = Scope::within(&scope, directive.inner());
                block(directive.inner(), &scope, found);
            }
            "upstream" => {
                found.groups.insert(directive.first().to_owned(), group(directive));
            }
            "server" => site(directive, &scope, found),
            "stream" | "mail" => {
                found.note(format!("{}: {} servers are not HTTP", at(directive), directive.name));
            }
            _ => common(directive, found),
        }
    }
}

/// Directives that mean the same on every level.
fn common(directive: &Directive, found: &mut Found) {
    match (directive.name.as_str(), &directive.args[..]) {
        ("access_log", _) => {
            if let Some(log) = access_log(directive) {
                add(log, &mut found.access_logs);
            }
        }
        ("error_log", [path, ..]) => add(path.clone(), &mut found.error_logs),
        ("log_format", [name, parts @ ..]) => {
            found.formats.insert(name.clone(), logs::pasted(parts));
        }
        // Tables that say nothing of upstreams.
        ("include", [pattern, ..]) if pattern.ends_with("mime.types") || pattern.ends_with("_params") => {}
        ("include", [pattern, why]) => {
            let note = format!("{}: include {pattern} was left out: {why}", at(directive));
            if found.unread.len() < MAX_NOTES {
                found.unread.push(note.clone());
            }
            found.note(note);
        }
        _ => {}
    }
}

fn add<T: PartialEq>(log: T, to: &mut Vec<T>) {
    if to.len() < MAX_LOGS && !to.contains(&log) {
        to.push(log);
    }
}

fn at(directive: &Directive) -> String {
    format!("{}:{}", directive.file, directive.line)
}

fn group(directive: &Directive) -> Group {
    let mut group = Group::default();
    for inner in directive.inner() {
        match inner.name.as_str() {
            "server" => group.servers.push(Server {
                address: inner.first().to_owned(),
                down: inner.args.iter().any(|word| word == "down"),
                about: inner.args.iter().skip(1).cloned().collect::<Vec<_>>().join(" "),
            }),
            "keepalive_timeout" => group.keepalive_timeout = Some(inner.first().to_owned()),
            "keepalive" => group.keeps_alive = true,
            _ => {}
        }
    }
    group
}

fn site(directive: &Directive, outer: &Rc<Scope>, found: &mut Found) {
    found.sites += 1;
    let mut site = Site {
        number: found.sites,
        ..Site::default()
    };
    for inner in directive.inner() {
        match inner.name.as_str() {
            "server_name" => site
                .names
                .extend(inner.args.iter().filter(|name| is_plain_name(name)).cloned()),
            "listen" => site.listens.extend(listen(inner)),
            _ => {}
        }
    }
    if site.listens.is_empty() {
        site.listens.push(Listen {
            authority: "127.0.0.1:80".into(),
            tls: false,
            proxy_protocol: false,
        });
    }
    let root = Location::Path("/".into());
    passes(directive.inner(), outer, &root, &Rc::new(site), found);
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name != "_"
        && name != "localhost"
        && !name.contains(['*', '~', '$', '"'])
        && !name.starts_with('.')
}

fn listen(directive: &Directive) -> Option<Listen> {
    let address = directive.first();
    if address.starts_with("unix:") || directive.args.iter().any(|word| word == "quic") {
        return None;
    }
    let has = |wanted: &str| directive.args.iter().any(|word| word == wanted);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.ends_with(':') => (host, port),
        _ if address.parse::<u16>().is_ok() => ("*", address),
        _ => (address, "80"),
    };
    let host = match host {
        "*" | "0.0.0.0" | "" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    Some(Listen {
        authority: format!("{host}:{port}"),
        tls: has("ssl"),
        proxy_protocol: has("proxy_protocol"),
    })
}

/// Every pass in a block and the blocks in it: locations, nested ones, `if` and `limit_except`.
fn passes(directives: &[Directive], outer: &Rc<Scope>, location: &Location, site: &Rc<Site>, found: &mut Found) {
    let scope = Scope::within(outer, directives);
    for directive in directives {
        match directive.name.as_str() {
            "location" => passes(directive.inner(), &scope, &path_of(directive), site, found),
            "if" => {
                let inside = Location::Other(format!("if {}", directive.args.join(" ")));
                passes(directive.inner(), &scope, &inside, site, found);
            }
            "limit_except" => passes(directive.inner(), &scope, location, site, found),
            name if name.ends_with("_pass") => found.passes.push(Pass {
                directive: name.to_owned(),
                to: directive.first().to_owned(),
                location: location.clone(),
                site: site.clone(),
                scope: scope.clone(),
                place: at(directive),
            }),
            _ => common(directive, found),
        }
    }
}

fn path_of(directive: &Directive) -> Location {
    match &directive.args[..] {
        [modifier, path] if modifier == "=" || modifier == "^~" => Location::Path(path.clone()),
        [path] if path.starts_with('/') => Location::Path(path.clone()),
        args => Location::Other(args.join(" ")),
    }
}
