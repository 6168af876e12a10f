//! What an nginx configuration says of upstreams: who proxies what to whom, within which limits, and where it is logged.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::nginx::Directive;

/// Everything found.
#[derive(Default)]
pub struct Found {
    /// Groups of servers by name.
    pub groups: BTreeMap<String, Group>,
    /// Every directive that passes requests on.
    pub passes: Vec<Pass>,
    /// Path and name of format, in the order of the file.
    pub access_logs: Vec<(String, Option<String>)>,
    /// Paths.
    pub error_logs: Vec<String>,
    /// Format strings by name.
    pub formats: BTreeMap<String, String>,
    /// What could not be used, one sentence each.
    pub notes: Vec<String>,
    /// The settings of the `http` block.
    pub scope: Scope,
}

/// An `upstream` block.
#[derive(Default)]
pub struct Group {
    pub servers: Vec<Server>,
    /// `keepalive_timeout` as written.
    pub keepalive_timeout: Option<String>,
}

/// A `server` of an `upstream` block.
pub struct Server {
    /// `host:port`, `host` or `unix:/path`.
    pub address: String,
    /// `down`: nginx does not use it.
    pub down: bool,
    /// `weight=5`, `backup`, …
    pub about: String,
}

/// A directive that passes requests on.
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
    pub scope: Scope,
    /// `file:line`.
    pub place: String,
}

/// A `location`.
#[derive(Clone)]
pub enum Location {
    /// Path or prefix that can be asked.
    Path(String),
    /// An expression or a name; as written.
    Other(String),
}

/// A `server` of `http`.
#[derive(Default)]
pub struct Site {
    /// Position in the file; tells sites of the same name apart.
    pub number: usize,
    /// Names without wildcards and expressions.
    pub names: Vec<String>,
    /// Where it listens.
    pub listens: Vec<Listen>,
}

/// A `listen`.
pub struct Listen {
    /// As a URL has it, port included; this host where nginx listens on every address.
    pub authority: String,
    pub tls: bool,
    /// Wants the PROXY protocol first, so a plain request fails.
    pub proxy_protocol: bool,
}

/// The directives that nginx inherits from outer blocks.
#[derive(Clone, Default)]
pub struct Scope {
    values: BTreeMap<&'static str, String>,
    headers: Rc<Vec<(String, String)>>,
}

/// The single-valued ones that are looked at.
const INHERITED: [&str; 8] = [
    "proxy_connect_timeout",
    "proxy_send_timeout",
    "proxy_read_timeout",
    "proxy_buffer_size",
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

    /// The scope of a block inside this one. `proxy_set_header` is inherited only by blocks that have none.
    fn within(&self, block: &[Directive]) -> Scope {
        let mut scope = self.clone();
        let mut headers = Vec::new();
        for directive in block {
            if let Some(name) = INHERITED.iter().find(|name| **name == directive.name) {
                scope.values.insert(name, directive.first().to_owned());
            }
            if let ("proxy_set_header", [name, value, ..]) = (directive.name.as_str(), &directive.args[..]) {
                headers.push((name.clone(), value.clone()));
            }
        }
        if !headers.is_empty() {
            scope.headers = Rc::new(headers);
        }
        scope
    }
}

/// What the directives of a whole file say; a file of one site alone will do.
pub fn collect(directives: &[Directive]) -> Found {
    let mut found = Found::default();
    block(directives, &Scope::default(), &mut found);
    found
}

fn block(directives: &[Directive], outer: &Scope, found: &mut Found) {
    let scope = outer.within(directives);
    for directive in directives {
        match directive.name.as_str() {
            "http" => {
                found.scope = scope.within(directive.inner());
                block(directive.inner(), &scope, found);
            }
            "upstream" => {
                found.groups.insert(directive.first().to_owned(), group(directive));
            }
            "server" => site(directive, &scope, found),
            "stream" | "mail" => {
                found
                    .notes
                    .push(format!("{}: {} servers are not HTTP", at(directive), directive.name))
            }
            _ => common(directive, found),
        }
    }
}

/// Directives that mean the same on every level.
fn common(directive: &Directive, found: &mut Found) {
    match (directive.name.as_str(), &directive.args[..]) {
        ("access_log", [path, rest @ ..]) if path != "off" => {
            let format = rest.iter().find(|word| !word.contains('=')).cloned();
            let log = (path.clone(), format);
            if !found.access_logs.contains(&log) {
                found.access_logs.push(log);
            }
        }
        ("error_log", [path, ..]) if !found.error_logs.contains(path) => found.error_logs.push(path.clone()),
        ("log_format", [name, parts @ ..]) => {
            let parts: Vec<&str> = parts
                .iter()
                .map(String::as_str)
                .filter(|part| !part.starts_with("escape="))
                .collect();
            found.formats.insert(name.clone(), parts.concat());
        }
        // Tables that say nothing of upstreams.
        ("include", [pattern, ..]) if pattern.ends_with("mime.types") || pattern.ends_with("_params") => {}
        ("include", [pattern, why]) => {
            found
                .notes
                .push(format!("{}: include {pattern} was left out: {why}", at(directive)));
        }
        _ => {}
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
            _ => {}
        }
    }
    group
}

fn site(directive: &Directive, outer: &Scope, found: &mut Found) {
    let mut site = Site {
        number: directive.line,
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
fn passes(directives: &[Directive], outer: &Scope, location: &Location, site: &Rc<Site>, found: &mut Found) {
    let scope = outer.within(directives);
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
