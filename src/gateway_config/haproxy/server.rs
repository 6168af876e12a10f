//! Servers of a backend, and how HAProxy checks their health.

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Method};

use super::address::{Place, authority};
use super::{Line, is_path};
use crate::gateway_config::time;
use crate::upstream::CheckRequest;

/// A `server` or `server-template`.
#[derive(Debug, PartialEq, Eq)]
pub struct Server {
    /// As a URL has it, port included.
    pub authority: String,
    /// HAProxy speaks TLS with it.
    pub tls: bool,
    /// `verify none`.
    pub unverified: bool,
    /// A `ca-file` with more than the system knows.
    pub ca_file: Option<String>,
    /// The name it asks for by SNI.
    pub server_name: Option<String>,
    /// `disabled`: HAProxy does not use it.
    pub disabled: bool,
    /// `backup`, `weight 5`, …
    pub about: String,
    /// How it is checked; `None` where it is not.
    pub pace: Option<Pace>,
    /// The port that checks ask, where it is another one.
    pub check_port: Option<u16>,
    /// Checks ask another address, or in another way than requests do.
    pub checked_elsewhere: bool,
}

/// How often a server is checked, and what turns it.
#[derive(Debug, PartialEq, Eq)]
pub struct Pace {
    /// `inter`.
    pub interval: Duration,
    /// `fall`.
    pub unhealthy_after: u32,
    /// `rise`.
    pub healthy_after: u32,
}

/// The request of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// How it asks: `OPTIONS` unless it says otherwise.
    pub method: Method,
    /// HTTP/1.1 rather than 1.0.
    pub http11: bool,
    /// What it asks for.
    pub path: Rc<str>,
    /// The `Host` it sends.
    pub host: Option<Rc<str>>,
}

/// Parameters with a value, so that no value is taken for a parameter.
const WITH_VALUE: &[&str] = &[
    "addr",
    "agent-addr",
    "agent-inter",
    "agent-port",
    "agent-send",
    "alpn",
    "ca-file",
    "check-alpn",
    "check-proto",
    "check-sni",
    "ciphers",
    "ciphersuites",
    "cookie",
    "crl-file",
    "crt",
    "downinter",
    "error-limit",
    "fall",
    "fastinter",
    "guid",
    "hash-key",
    "id",
    "init-addr",
    "init-state",
    "inter",
    "log-proto",
    "maxconn",
    "maxqueue",
    "max-reuse",
    "minconn",
    "namespace",
    "npn",
    "observe",
    "on-error",
    "on-marked-down",
    "on-marked-up",
    "pool-conn-name",
    "pool-low-conn",
    "pool-max-conn",
    "pool-purge-delay",
    "port",
    "proto",
    "proxy-v2-options",
    "redir",
    "resolve-net",
    "resolve-opts",
    "resolve-prefer",
    "resolvers",
    "rise",
    "set-proxy-v2-tlv-fmt",
    "shard",
    "slowstart",
    "sni",
    "source",
    "socks4",
    "ssl-max-ver",
    "ssl-min-ver",
    "track",
    "verify",
    "verifyhost",
    "weight",
    "ws",
];

/// Reads `server NAME ADDRESS …` or `server-template PREFIX NUMBER ADDRESS …`; an error is a note.
pub(super) fn read(line: &Line, defaults: &[String]) -> Result<Server, String> {
    let at = if line.word(0) == "server" { 2 } else { 3 };
    let (name, address) = (line.word(1), line.word(at));
    let authority = match authority(address) {
        Some(Place::Socket(path)) => format!("unix:{path}"),
        Some(Place::Host(host, Some(port))) if !host.is_empty() && host != "*" => format!("{host}:{port}"),
        Some(Place::Host(_, None)) => {
            return Err(format!(
                "server {name} has no port, HAProxy takes the one it was asked on; write it by hand"
            ));
        }
        _ => return Err(format!("server {name}: {address} cannot be written as a URL")),
    };
    let mut server = Server {
        authority,
        tls: false,
        unverified: false,
        ca_file: None,
        server_name: None,
        disabled: false,
        about: String::new(),
        pace: None,
        check_port: None,
        checked_elsewhere: false,
    };
    let mut pace = Pace {
        interval: Duration::from_secs(2),
        unhealthy_after: 3,
        healthy_after: 2,
    };
    let mut checked = false;
    let mut words = defaults.iter().chain(line.from(at + 1));
    while let Some(word) = words.next() {
        let value = match WITH_VALUE.contains(&word.as_str()) {
            true => words.next().map_or("", String::as_str),
            false => "",
        };
        match word.as_str() {
            "ssl" => server.tls = true,
            "no-ssl" => server.tls = false,
            "verify" => server.unverified = value == "none",
            "ca-file" => server.ca_file = Some(value.to_owned()).filter(|file| file != "@system-ca"),
            "sni" => server.server_name = constant(value),
            "disabled" => server.disabled = true,
            "enabled" => server.disabled = false,
            "backup" => server.about.push_str(" backup"),
            "weight" => server.about.push_str(&format!(" weight {value}")),
            "check" => checked = true,
            "no-check" => checked = false,
            "inter" => pace.interval = time(value, Duration::from_millis(1)).unwrap_or(pace.interval),
            "fall" => pace.unhealthy_after = count(value).unwrap_or(pace.unhealthy_after),
            "port" => server.check_port = value.parse().ok(),
            "addr" | "check-ssl" | "check-send-proxy" | "check-proto" | "check-via-socks4" | "track" => {
                server.checked_elsewhere = true;
            }
            "rise" => pace.healthy_after = count(value).unwrap_or(pace.healthy_after),
            "send-proxy" | "send-proxy-v2" | "send-proxy-v2-ssl" | "send-proxy-v2-ssl-cn" | "socks4" => {
                return Err(format!(
                    "server {name} wants {word} first, so it cannot be asked directly"
                ));
            }
            _ => {}
        }
    }
    server.about = server.about.trim_start().to_owned();
    server.pace = checked.then_some(pace);
    Ok(server)
}

/// `str(name)`; anything else only HAProxy can tell.
fn constant(expression: &str) -> Option<String> {
    let name = expression.strip_prefix("str(")?.strip_suffix(')')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
}

fn count(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| (1..=1000).contains(number))
}

impl Check {
    /// `option httpchk [METHOD] [PATH] [VERSION]`.
    pub(super) fn of_option(words: &[String]) -> Option<Check> {
        let (method, path) = match words {
            [] => ("OPTIONS", "/"),
            [path] => ("OPTIONS", path.as_str()),
            [method, path, ..] => (method.as_str(), path.as_str()),
        };
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let host = words.get(2).and_then(|version| {
            // Headers hidden behind the version, as old configurations have them.
            let header = version.split("\r\n").find_map(|line| line.split_once(':'))?;
            header.0.eq_ignore_ascii_case("host").then(|| Rc::from(header.1.trim()))
        });
        is_path(path).then(|| Check {
            method,
            http11: words.get(2).is_some_and(|version| version.starts_with("HTTP/1.1")),
            path: path.into(),
            host,
        })
    }

    /// `http-check send [meth METHOD] [uri PATH] [ver VERSION] [hdr NAME VALUE]…`.
    pub(super) fn sending(mut self, words: &[String]) -> Option<Check> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "meth" => self.method = Method::from_bytes(words.next()?.as_bytes()).ok()?,
                "ver" => self.http11 = words.next()? == "HTTP/1.1",
                "uri" => self.path = words.next().map_or("/", String::as_str).into(),
                "hdr" => {
                    let name = words.next().map_or("", String::as_str);
                    let value = words.next().filter(|value| !value.contains('%'));
                    if name.eq_ignore_ascii_case("host") {
                        self.host = value.map(|value| value.as_str().into());
                    }
                }
                _ => drop(words.next()),
            }
        }
        is_path(&self.path).then_some(self)
    }

    /// As it is sent; without a `Host` where none is written.
    pub(super) fn request(&self) -> CheckRequest {
        let host = self.host.as_deref().and_then(|host| HeaderValue::from_str(host).ok());
        CheckRequest {
            method: self.method.clone(),
            path: self.path.to_string(),
            host: Some(host.unwrap_or_else(|| HeaderValue::from_static(""))),
            http10: !self.http11,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::gateway_config::haproxy::syntax;

    fn line(text: &str) -> Line {
        let file: Arc<str> = "h.cfg".into();
        syntax::lines(text, &file).next().unwrap().unwrap()
    }

    #[test]
    fn servers_are_read_with_their_defaults() {
        let defaults = line("default-server ssl verify none inter 5s fall 5");
        let server = read(
            &line("server a 10.0.0.1:443 check rise 4 cookie ssl weight 3 backup"),
            defaults.from(1),
        );
        let server = server.unwrap();
        assert!(server.tls && server.unverified);
        assert_eq!(server.about, "weight 3 backup");
        let pace = Pace {
            interval: Duration::from_secs(5),
            unhealthy_after: 5,
            healthy_after: 4,
        };
        assert_eq!(server.pace, Some(pace));
        let server = read(
            &line("server-template web 5 app.internal:80 cookie ssl sni str(app)"),
            &[],
        )
        .unwrap();
        assert_eq!(
            (server.authority.as_str(), server.tls, server.pace),
            ("app.internal:80", false, None)
        );
        assert_eq!(server.server_name.as_deref(), Some("app"));
        for (text, expected) in [
            ("server a 10.0.0.1", "has no port"),
            ("server a ${HOST}:80", "cannot be written as a URL"),
            ("server a :80", "cannot be written as a URL"),
            ("server a", "has no port"),
            ("server a 10.0.0.1:80 send-proxy", "wants send-proxy first"),
        ] {
            let why = read(&line(text), &[]).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }

    #[test]
    fn checks_are_read_old_and_new() {
        for (option, send, expected) in [
            ("option httpchk", "", "OPTIONS / 1.0 -"),
            ("option httpchk /up", "", "OPTIONS /up 1.0 -"),
            ("option httpchk GET /up", "", "GET /up 1.0 -"),
            (r"option httpchk GET /up HTTP/1.1\r\nHost:\ app", "", "GET /up 1.1 app"),
            (
                "option httpchk",
                "http-check send meth GET uri /up ver HTTP/1.1 hdr Host app",
                "GET /up 1.1 app",
            ),
            ("option httpchk OPTIONS *", "", "none"),
            ("option httpchk GET '/a b'", "", "none"),
            ("option httpchk", "http-check send uri-lf /%[x] uri x", "none"),
        ] {
            let words = match send {
                "" => Vec::new(),
                send => line(send).words.split_off(2),
            };
            let check = Check::of_option(line(option).from(2)).and_then(|check| check.sending(&words));
            let check = check.map(|check| {
                let version = if check.http11 { "1.1" } else { "1.0" };
                format!(
                    "{} {} {version} {}",
                    check.method,
                    check.path,
                    check.host.as_deref().unwrap_or("-")
                )
            });
            assert_eq!(check.as_deref().unwrap_or("none"), expected, "{option}");
        }
    }
}
