//! The grammars of single values: names, labels, addresses, methods, headers.
//!
//! Each takes the text and returns the value, or the rest of a sentence that begins with the text: `is not a duration; …`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;

/// Label names that our own series carry, or that Prometheus and Alertmanager give a meaning.
pub const RESERVED_LABELS: [&str; 26] = [
    "upstream",
    "hop",
    "address",
    "path",
    "cause",
    "phase",
    "code",
    "reason",
    "limit",
    "purpose",
    "state",
    "user_view",
    "verdict",
    "impact",
    "gateway",
    "backend",
    "log",
    "result",
    "version",
    "cipher",
    "product",
    "problem",
    "instance",
    "job",
    "le",
    "severity",
];

/// The name of an upstream, gateway or module: it becomes a label value and part of a URL.
pub fn name(text: &str) -> Result<String, String> {
    let valid = !text.is_empty()
        && text.len() <= 128
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && !matches!(text, "." | "..");
    match valid {
        true => Ok(text.into()),
        false => Err("is not a name; use letters, digits, _ . and -, at most 128".into()),
    }
}

/// The name of a label the operator adds.
pub fn label_name(text: &str) -> Result<(), String> {
    let valid = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.len() <= 128;
    if !valid {
        return Err("is not a label name; use letters, digits and _, no digit in front".into());
    }
    if text.starts_with("__") {
        return Err("begins with __, which Prometheus keeps for itself; choose another name".into());
    }
    if RESERVED_LABELS.contains(&text) {
        return Err("is a label that badgateway or Prometheus sets; choose another name".into());
    }
    Ok(())
}

/// `IP` or `IP:port`, the port of DNS unless written.
pub fn resolver(text: &str) -> Result<SocketAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, 53)),
        Err(_) => text
            .parse::<SocketAddr>()
            .ok()
            .filter(|address| address.port() != 0)
            .ok_or_else(|| "is not a resolver; write an address: 10.0.0.2, 10.0.0.2:5353 or [2001:db8::2]:53".into()),
    }
}

/// A network, or an address as a network of one.
pub fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "is not a network or address; write 10.20.0.0/16 or 10.20.0.7".into())
}

/// An address without port.
pub fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| "is not an address; write 10.0.0.7 or 2001:db8::7".into())
}

/// `ADDRESS:PORT`, or `:PORT` for every address of this host.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let all = text.strip_prefix(':').map(|port| format!("[::]:{port}"));
    all.as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| "is not an address to listen on; write 127.0.0.1:5514 or :5514".into())
}

/// A request method.
pub fn method(text: &str) -> Result<Method, String> {
    const KNOWN: [Method; 8] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
    ];
    if let Some(meant) = KNOWN.iter().find(|known| known.as_str().eq_ignore_ascii_case(text)) {
        return match meant.as_str() == text {
            true => Ok(meant.clone()),
            false => Err(format!("is not a method, methods are upper case; write {meant}")),
        };
    }
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::CONNECT) | Err(_) => Err("is not a method that can be probed with; write GET, HEAD or POST".into()),
        Ok(other) => Ok(other),
    }
}

/// The name of a header we may send.
pub fn header_name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not the name of a header")?;
    match name.as_str() {
        "host" => Err("cannot be set here; write host: beside headers".into()),
        "content-length" => Err("is set from body; remove it".into()),
        "transfer-encoding" | "te" | "trailer" => {
            Err("cannot be set: how the request is framed is ours to choose; remove it".into())
        }
        "connection" | "keep-alive" | "proxy-connection" | "upgrade" => {
            Err("cannot be set: a probe is one request on one fresh connection; remove it".into())
        }
        "expect" => Err("cannot be set: the body is sent at once; remove it".into()),
        _ => Ok(name),
    }
}

/// The value of a header; what is wrong with it never repeats it.
pub fn header_value(text: &str) -> Result<HeaderValue, String> {
    let trimmed = text.trim();
    HeaderValue::from_str(trimmed)
        .or_else(|_| HeaderValue::from_bytes(trimmed.as_bytes()))
        .map_err(|_| "is not valid in a header: it holds a line break or another control character".into())
}

/// True for headers that carry credentials by their name.
pub fn is_credential(header: &str) -> bool {
    let name = header.to_ascii_lowercase();
    [
        "authorization",
        "cookie",
        "token",
        "secret",
        "password",
        "passwd",
        "credential",
        "api-key",
        "apikey",
        "api_key",
        "session",
        "signature",
        "access-key",
        "auth",
    ]
    .iter()
    .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::number::tests::check;

    #[test]
    fn resolvers_and_networks() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        check(
            resolver,
            &[
                ("10.0.0.2", at("10.0.0.2:53")),
                ("10.0.0.2:5353", at("10.0.0.2:5353")),
                ("::1", at("[::1]:53")),
                ("[::1]", at("[::1]:53")),
                ("[::1]:54", at("[::1]:54")),
            ],
            &["dns.example", "10.0.0.2:", "10.0.0.2:0", "10.0.0", "", "1.2.3.4:99999"],
        );
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        check(
            network,
            &[
                ("10.20.0.0/16", net("10.20.0.0/16")),
                ("10.0.0.9", net("10.0.0.9/32")),
                ("10.1.2.3/8", net("10.0.0.0/8")),
            ],
            &["", "10.0.0.0/33", "example.com"],
        );
    }

    #[test]
    fn labels() {
        check(
            label_name,
            &[("team", ()), ("_x", ()), ("Team2", ())],
            &["", "2x", "a-b", "__x", "job", "le", "ä"],
        );
        for reserved in RESERVED_LABELS {
            assert!(label_name(reserved).is_err(), "{reserved}");
        }
    }

    #[test]
    fn headers_we_set_ourselves_are_refused() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "TE",
            "a b",
            "",
        ] {
            assert!(header_name(name).is_err(), "{name}");
        }
        assert!(header_name("X-Forwarded-For").is_ok());
        for (name, expected) in [
            ("Authorization", true),
            ("X-Vault-Token", true),
            ("X-API-Key", true),
            ("Accept", false),
        ] {
            assert_eq!(is_credential(name), expected, "{name}");
        }
        assert!(header_value("a\r\nb").is_err());
        assert!(method("get").unwrap_err().contains("write GET"));
        assert!(method("CONNECT").is_err());
        assert_eq!(method("PROPFIND").unwrap().as_str(), "PROPFIND");
    }
}
