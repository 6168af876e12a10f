//! URLs as the configuration writes them: `http`, `https`, and unix sockets in nginx's form.
//!
//! `http://unix:/run/app.sock:/path` is the socket `/run/app.sock` asked for `/path`; IPv6 addresses stand in brackets;
//! user and password in front of the host become basic authentication. Fragments are refused: they are never sent.

use std::net::IpAddr;
use std::path::PathBuf;

use url::Url;

use super::reader::Cursor;
use super::{error::quoted, reader::At};
use crate::upstream::{Host, Scheme};

/// Longest path of a unix socket the kernel takes, bytes.
const MAX_SOCKET_PATH: usize = 107;

const BAD_ADDRESS: &str = "has an address that is not valid; IPv6 goes in brackets: http://[2001:db8::7]:8080/";
const NO_HOST: &str = "has no host; write http://host:port/path";

/// A URL taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Where to connect.
    pub host: Host,
    /// As written, or the scheme's own.
    pub port: u16,
    /// The path, percent-encoded, `/` at least.
    pub path: String,
    /// What follows `?`.
    pub query: Option<String>,
    /// User and password, decoded.
    pub userinfo: Option<(String, String)>,
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme.as_str(), self.host, self.port, self.path)
    }
}

/// A URL that may carry credentials: never printed whole.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateUrl(String);

impl PrivateUrl {
    /// The URL itself, for the one place that asks it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PrivateUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

/// Reads a URL; messages show it without userinfo and query.
pub fn read(cursor: &Cursor<'_>) -> Option<At<Location>> {
    let text = cursor.text()?;
    match parse(&text.value) {
        Ok(location) => Some(cursor.at(location)),
        Err(message) => {
            cursor.problem(format!("{} {message}", quoted(&redacted(&text.raw))));
            None
        }
    }
}

/// Reads a URL of a service that is asked, not probed.
pub fn read_private(cursor: &Cursor<'_>) -> Option<At<PrivateUrl>> {
    let location = read(cursor)?;
    match location.value.host {
        Host::Unix(_) => {
            cursor.problem("a unix socket cannot be asked here; write http://host:port/");
            None
        }
        _ => cursor.text().map(|text| cursor.at(PrivateUrl(text.value))),
    }
}

/// Takes a URL apart. The error continues a sentence that begins with the URL.
pub fn parse(text: &str) -> Result<Location, String> {
    let (scheme, rest) = split_scheme(text)?;
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("is not a URL: it holds a space, backslash or control character".into());
    }
    if text.contains('#') {
        return Err("has a fragment, which is never sent; remove # and what follows".into());
    }
    match rest.strip_prefix("unix:") {
        Some(rest) => unix(scheme, rest),
        None if rest.is_empty() || rest.starts_with(['/', '?']) => Err(NO_HOST.into()),
        None => network(scheme, text),
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), String> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("is not a URL; write http://host:port/path or https://…")?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Scheme::Http, rest)),
        "https" => Ok((Scheme::Https, rest)),
        "h2c" | "grpc" => Err("has a scheme that is not known; write http:// and http_version: 2".into()),
        _ => Err("has a scheme that cannot be probed; write http:// or https://".into()),
    }
}

fn unix(scheme: Scheme, rest: &str) -> Result<Location, String> {
    let (socket, target) = rest.split_once(':').unwrap_or((rest, "/"));
    if !socket.starts_with('/') || socket.len() > MAX_SOCKET_PATH {
        return Err(format!(
            "needs the absolute path of a socket, at most {MAX_SOCKET_PATH} bytes; write http://unix:/run/app.sock:/path"
        ));
    }
    let (path, query) = request_target(if target.is_empty() { "/" } else { target })?;
    Ok(Location {
        scheme,
        host: Host::Unix(PathBuf::from(socket)),
        port: scheme.default_port(),
        path,
        query,
        userinfo: None,
    })
}

fn network(scheme: Scheme, text: &str) -> Result<Location, String> {
    let bare_ipv6 = |rest: &str| {
        rest.split('/')
            .next()
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let url = Url::parse(text).map_err(|error| match error {
        _ if text.split_once("://").is_some_and(|(_, rest)| bare_ipv6(rest)) => BAD_ADDRESS,
        url::ParseError::EmptyHost => NO_HOST,
        url::ParseError::InvalidPort => "has a port that is not a number from 1 to 65535",
        url::ParseError::InvalidIpv4Address | url::ParseError::InvalidIpv6Address => BAD_ADDRESS,
        _ => "is not a URL; write http://host:port/path",
    })?;
    let host = match url.host() {
        Some(url::Host::Domain(name)) => Host::Name(domain(name)?),
        Some(url::Host::Ipv4(ip)) => Host::Ip(IpAddr::V4(ip)),
        Some(url::Host::Ipv6(ip)) => Host::Ip(IpAddr::V6(ip)),
        None => return Err(NO_HOST.into()),
    };
    let port = url.port().unwrap_or(scheme.default_port());
    if port == 0 {
        return Err("has port 0, which nothing listens on".into());
    }
    let userinfo = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => Some((decoded(user), decoded(password.unwrap_or_default()))),
    };
    Ok(Location {
        scheme,
        host,
        port,
        path: url.path().to_owned(),
        query: url.query().filter(|query| !query.is_empty()).map(str::to_owned),
        userinfo,
    })
}

/// A name that DNS can hold.
pub fn domain(name: &str) -> Result<String, String> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let valid = bare.len() <= 253
        && bare.split('.').all(|label| {
            (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        });
    match valid {
        true => Ok(name.to_owned()),
        false => Err("has a host that is no DNS name; use letters, digits, - and dots".into()),
    }
}

/// A path with query as it is sent, percent-encoded where needed: path and query apart.
pub fn request_target(text: &str) -> Result<(String, Option<String>), String> {
    const WRONG: &str = "is not a path; write /healthz or /search?q=1";
    if !text.starts_with('/') || text.contains('#') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(WRONG.into());
    }
    let url = Url::parse(&format!("http://path{text}")).map_err(|_| WRONG)?;
    Ok((
        url.path().to_owned(),
        url.query().filter(|query| !query.is_empty()).map(str::to_owned),
    ))
}

/// Percent-decoding of userinfo; what is no valid escape stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A path without its query, which may hold a key.
pub fn without_query(path: &str) -> String {
    match path.find(['?', '#']) {
        Some(at) => format!("{}?<secret>", &path[..at]),
        None => path.to_owned(),
    }
}

/// A URL without what may be secret in it: userinfo and query become `<secret>`.
pub fn redacted(text: &str) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    let (front, hidden) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], true),
        None => (rest, false),
    };
    let authority_end = front.find('/').unwrap_or(front.len());
    let userinfo_end = match front[..authority_end].rfind('@') {
        Some(at) => Some(at),
        // A slash in a password that was not escaped; a path with @ in a sound URL is no secret.
        None if parse(text).is_err() => front.rfind('@'),
        None => None,
    };
    let front = match userinfo_end {
        Some(at) => format!("<secret>{}", &front[at..]),
        None => front.to_owned(),
    };
    format!("{scheme}{front}{}", if hidden { "?<secret>" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        for (text, host, port, path, query) in [
            ("http://h", "h", 80, "/", None),
            (
                "https://h.example:8443/a/b?x=1&y=a=b",
                "h.example",
                8443,
                "/a/b",
                Some("x=1&y=a=b"),
            ),
            ("http://[2001:db8::7]:8080/", "[2001:db8::7]", 8080, "/", None),
            ("HTTP://10.0.0.7/checkout", "10.0.0.7", 80, "/checkout", None),
            (
                "http://unix:/run/app.sock:/path?q",
                "unix:/run/app.sock",
                80,
                "/path",
                Some("q"),
            ),
            ("http://unix:/run/app.sock", "unix:/run/app.sock", 80, "/", None),
            ("http://h/ä b", "", 0, "", None),
            ("http://h/ä", "h", 80, "/%C3%A4", None),
        ] {
            match parse(text) {
                Ok(url) => {
                    let found = (url.host.to_string(), url.port, url.path.as_str(), url.query.as_deref());
                    assert_eq!(found, (host.to_string(), port, path, query), "{text}");
                }
                Err(message) => assert_eq!(host, "", "{text}: {message}"),
            }
        }
        let url = parse("https://user:p%40ss@h/").unwrap();
        assert_eq!(url.userinfo, Some(("user".into(), "p@ss".into())));
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "",
            "h",
            "h:80",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:99999/",
            "http://::1/",
            "http://[::1/",
            "http://h/#top",
            "http://a b/",
            "http://h\\x/",
            "http://unix:app.sock:/",
            "http://h..x/",
            "//h/",
            "http://exa mple/",
        ] {
            assert!(parse(text).is_err(), "{text:?} should be refused");
        }
    }

    #[test]
    fn secrets_in_urls_are_hidden() {
        for (text, expected) in [
            ("https://u:pw@h/p?key=1", "https://<secret>@h/p?<secret>"),
            ("https://h/@scope/x", "https://h/@scope/x"),
            ("https://u:p/w@h/", "https://<secret>@h/"),
            ("u:pw@h", "<secret>@h"),
            ("https://h/p", "https://h/p"),
            ("https://u:p@w@h/", "https://<secret>@h/"),
        ] {
            assert_eq!(redacted(text), expected, "{text}");
        }
    }
}
