//! Addresses as HAProxy writes them: of `bind`, and of servers.

use super::Line;

/// Where a frontend can be asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Bind {
    /// As a URL has it, port included; this host where HAProxy listens on every address.
    pub authority: String,
    /// It speaks TLS there.
    pub tls: bool,
}

/// The places of a `bind`; those that cannot be asked plainly are left out: relative or unknown ports, QUIC, the PROXY
/// protocol.
pub(super) fn binds(line: &Line) -> Vec<Bind> {
    let has = |wanted: &str| line.from(2).iter().any(|word| word == wanted);
    if has("accept-proxy") {
        return Vec::new();
    }
    let addresses = line.word(1).split(',').take(super::MAX_LOGS);
    addresses
        .filter_map(|address| {
            let authority = match authority(address)? {
                Place::Socket(path) => format!("unix:{path}"),
                Place::Host(host, port) => {
                    let host = match host.as_str() {
                        "" | "*" | "0.0.0.0" => "127.0.0.1",
                        "[::]" => "[::1]",
                        host => host,
                    };
                    format!("{host}:{}", port?)
                }
            };
            Some(Bind {
                authority,
                tls: has("ssl"),
            })
        })
        .collect()
}

/// An address taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The path of a unix socket.
    Socket(String),
    /// A name or address, IPv6 in brackets, and the port if one is written.
    Host(String, Option<u16>),
}

/// Takes an address apart; `None` for what no URL can name.
pub(super) fn authority(address: &str) -> Option<Place> {
    if address.contains('$') {
        return None;
    }
    let (family, address) = match address.split_once('@') {
        Some((family, rest)) => (family, rest),
        None => ("", address),
    };
    match family {
        "" | "ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6" => {}
        "unix" => return address.starts_with('/').then(|| Place::Socket(address.to_owned())),
        _ => return None,
    }
    if address.starts_with('/') {
        return Some(Place::Socket(address.to_owned()));
    }
    let (host, port) = match address.rsplit_once(':') {
        // An IPv6 address without brackets and port ends in a colon or in what is no decimal number; one that ends in
        // decimal digits is read as HAProxy does: the last number is the port.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    let port = match port {
        None | Some("") => None,
        // Of a range the first.
        Some(port) if port.starts_with(|c: char| c.is_ascii_digit()) => {
            Some(port.split('-').next()?.parse::<u16>().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-*".contains(c);
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => format!("[{}]", inner.parse::<std::net::Ipv6Addr>().ok()?),
        None if host.contains(':') => format!("[{}]", host.parse::<std::net::Ipv6Addr>().ok()?),
        None if host.chars().all(is_name) => host.to_owned(),
        None => return None,
    };
    Some(Place::Host(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let host = |host: &str, port: u16| Some(Place::Host(host.into(), Some(port)));
        for (text, expected) in [
            ("10.0.0.1:80", host("10.0.0.1", 80)),
            ("app.internal:8080", host("app.internal", 8080)),
            (":443", host("", 443)),
            ("*:80", host("*", 80)),
            ("ipv4@10.0.0.1:80", host("10.0.0.1", 80)),
            ("[2001:db8::7]:80", host("[2001:db8::7]", 80)),
            (":::80", host("[::]", 80)),
            ("ipv6@2001:db8::7:80", host("[2001:db8::7]", 80)),
            (":8000-8010", host("", 8000)),
            ("10.0.0.1", Some(Place::Host("10.0.0.1".into(), None))),
            ("/run/app.sock", Some(Place::Socket("/run/app.sock".into()))),
            ("unix@/run/app.sock", Some(Place::Socket("/run/app.sock".into()))),
            ("unix@app.sock", None),
            ("abns@x", None),
            ("quic4@:443", None),
            ("*:+100", None),
            ("${HOST}:80", None),
            ("a b:80", None),
            ("a:0", None),
        ] {
            assert_eq!(authority(text), expected, "{text}");
        }
    }
}
