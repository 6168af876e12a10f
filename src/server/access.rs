//! Who may see what: evidence, recent probes and the configuration are for this host, and for callers that have shown who
//! they are.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Whether a request comes from this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// True where everything may be shown.
    pub(super) trusted: bool,
}

impl Caller {
    /// Judges a request:
    ///
    /// 1. A caller that has shown a password, or a certificate that tells who it is, is trusted.
    /// 2. Else the peer must be a loopback address,
    /// 3. no proxy may have forwarded the request, and
    /// 4. `Host` must name this host: a page of another site that resolves to 127.0.0.1 names its own.
    pub(super) fn of(peer: SocketAddr, headers: &HeaderMap, guarded: bool) -> Caller {
        let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
        let local_peer = peer.ip().to_canonical().is_loopback();
        let direct = !forwarded.iter().any(|name| headers.contains_key(*name));
        let own_name = headers
            .get(header::HOST)
            .is_none_or(|host| host.to_str().is_ok_and(is_local_name));
        Caller {
            trusted: guarded || (local_peer && direct && own_name),
        }
    }

    /// The answer for a caller who may not see a page.
    pub(super) fn refuse(self) -> Option<Response> {
        let message = "Shown to this host only; configure --web.config.file to show it to others.\n";
        (!self.trusted).then(|| (StatusCode::FORBIDDEN, message).into_response())
    }
}

/// True for `localhost` and loopback addresses, with or without port.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(peer: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        Caller::of(peer.parse().unwrap(), &headers, false).trusted
    }

    #[test]
    fn only_direct_local_callers_are_trusted() {
        for host in [
            "localhost:10502",
            "LOCALHOST.",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]:10502",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(trusted("127.0.0.1:5000", &[("host", host)]), "{host}");
        }
        assert!(trusted("[::ffff:127.0.0.1]:5000", &[]));
        assert!(trusted("[::1]:5000", &[]));
        assert!(!trusted("10.0.0.1:5000", &[("host", "localhost")]));
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "::1",
        ] {
            assert!(!trusted("127.0.0.1:5000", &[("host", host)]), "{host}");
        }
        assert!(!trusted(
            "127.0.0.1:5000",
            &[("host", "localhost"), ("x-forwarded-for", "10.0.0.1")]
        ));
    }

    #[test]
    fn a_web_configuration_guards_everything() {
        assert!(Caller::of("10.0.0.1:1".parse().unwrap(), &HeaderMap::new(), true).trusted);
    }
}
