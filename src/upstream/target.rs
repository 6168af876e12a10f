//! Targets: one URL of a hop, how it is asked, and what a good answer is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use super::{MAX_RESOLUTION, Secret};

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain TCP or a unix socket.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As written in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// 80 or 443.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// Where a target's addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Resolved once per round.
    Name(String),
    /// Given in the URL.
    Ip(IpAddr),
    /// A unix socket; the port means nothing.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One URL of a hop with everything needed to probe it. Its `Debug` shows neither queries nor bodies.
#[derive(Clone)]
pub struct Target {
    /// The scheme of the URL.
    pub scheme: Scheme,
    /// The host of the URL: where to connect.
    pub host: Host,
    /// The port of the URL, or the scheme's own.
    pub port: u16,
    /// What is asked; at least one. With `paths` each is appended to the URL's path, else the URL itself.
    pub requests: Vec<Request>,
    /// What is asked to compare content between hops: paths that are the same everywhere, each appended to the URL's.
    pub stable: Vec<Request>,
    /// The `Host` header: `host`, else the URL's host with its port where that is not the scheme's own.
    pub host_header: HeaderValue,
    /// SNI and verified name: `server_name`, else `host`, else the URL's host; without port or brackets.
    pub server_name: String,
    /// `GET` unless configured.
    pub method: Method,
    /// Headers added to the request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body sent with the request.
    pub body: Option<Bytes>,
    /// HTTP/1.1 unless configured.
    pub http_version: HttpVersion,
    /// Which addresses are used.
    pub family: Family,
    /// Local addresses to connect from, by family.
    pub source_address: Option<IpAddr>,
    /// Redirects followed at most; 0 is off.
    pub redirects: Redirects,
    /// Bytes of response head read at most.
    pub max_head: u64,
    /// Bytes of response body read at most.
    pub max_body: u64,
    /// Resolvers asked instead of the system's.
    pub resolvers: Vec<SocketAddr>,
    /// All addresses each round, or one.
    pub addresses: AddressChoice,
    /// Addresses probed at most.
    pub max_addresses: usize,
    /// Time for connect, TLS and response of one probe.
    pub timeout: Duration,
    /// What a good answer is.
    pub expect: Expectation,
    /// Credentials sent as `Authorization`.
    pub auth: Option<Auth>,
    /// How the peer's certificate is judged, and ours.
    pub tls: TlsPolicy,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("scheme", &self.scheme)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("requests", &self.requests)
            .field("host_header", &self.host_header)
            .field("server_name", &self.server_name)
            .field("method", &self.method)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("addresses", &self.addresses)
            .field("timeout", &self.timeout)
            .field("expect", &self.expect)
            .field("auth", &self.auth)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// The deadline of resolution.
    pub fn resolution_timeout(&self) -> Duration {
        self.timeout.min(MAX_RESOLUTION)
    }

    /// The URL of a request as people write it, without userinfo or query.
    pub fn url(&self, request: &Request) -> String {
        let path = request.path.split('?').next().unwrap_or_default();
        match &self.host {
            Host::Unix(socket) => format!("{}://unix:{}:{path}", self.scheme.as_str(), socket.display()),
            host if self.port == self.scheme.default_port() => format!("{}://{host}{path}", self.scheme.as_str()),
            host => format!("{}://{host}:{}{path}", self.scheme.as_str(), self.port),
        }
    }
}

/// One path asked of a target.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The label `path`: as configured under `paths`, else the URL's own path; without query, and `#2` behind the second
    /// of two paths that differ only in their query.
    pub label: Arc<str>,
    /// The request target: path and query. The query may hold a key, so `Debug` does not show it.
    pub path: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.label).finish()
    }
}

/// The HTTP version spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, with prior knowledge in the clear.
    Http2,
}

/// Which addresses are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Family {
    /// True when this family of addresses is used.
    pub fn allows(self, ip: IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::Ipv4 => ip.is_ipv4(),
            Family::Ipv6 => ip.is_ipv6(),
        }
    }
}

/// All addresses each round, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressChoice {
    /// Every address, up to `max_addresses`.
    All,
    /// One address, the next one each round.
    One,
}

/// How redirects are treated.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Redirects {
    /// Followed at most; 0 is off: a 3xx is then the answer.
    pub max: u32,
    /// Hosts a redirect may lead to besides the URL's own: a name, or `*.suffix`.
    pub hosts: Vec<String>,
}

impl Redirects {
    /// True when a redirect may lead from `own` to `host`.
    pub fn allows(&self, own: &str, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        host.eq_ignore_ascii_case(own)
            || self.hosts.iter().any(|allowed| match allowed.strip_prefix("*.") {
                Some(suffix) => host
                    .strip_suffix(&suffix.to_ascii_lowercase())
                    .is_some_and(|front| front.ends_with('.')),
                None => host.eq_ignore_ascii_case(allowed),
            })
    }
}

/// What a good answer is.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Statuses that are good.
    pub status: Vec<RangeInclusive<u16>>,
    /// What the body must hold.
    pub body: Option<BodyRule>,
    /// Networks every resolved address must lie in; empty is no demand.
    pub addresses: Vec<ipnet::IpNet>,
}

impl Default for Expectation {
    fn default() -> Self {
        Expectation {
            status: vec![200..=399],
            body: None,
            addresses: Vec::new(),
        }
    }
}

impl Expectation {
    /// True when this status is a good one.
    pub fn allows_status(&self, status: u16) -> bool {
        self.status.iter().any(|range| range.contains(&status))
    }

    /// True when a name may resolve to this address.
    pub fn allows_address(&self, ip: IpAddr) -> bool {
        self.addresses.is_empty() || self.addresses.iter().any(|network| network.contains(&ip))
    }
}

/// What a body must hold.
#[derive(Clone, Debug)]
pub enum BodyRule {
    /// This text somewhere.
    Contains(String),
    /// A match of this expression somewhere.
    Matches(regex::bytes::Regex),
    /// JSON with this value at this pointer (RFC 6901).
    Json {
        /// The pointer, `/status`.
        pointer: String,
        /// The value it must lead to.
        equals: serde_json::Value,
    },
}

/// Credentials sent as `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// RFC 7617.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// RFC 6750.
    Bearer(Secret),
}

/// How the peer's certificate is judged, and ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPolicy {
    /// A certificate that does not verify is a failure; else it is a warning series.
    pub verify: bool,
    /// PEM roots, added to the system's or alone.
    pub ca: Option<Bytes>,
    /// Only `ca`, not the system's roots.
    pub ca_only: bool,
    /// Our certificate and key, PEM.
    pub client: Option<ClientCertificate>,
    /// Versions below are not offered.
    pub min_version: TlsVersion,
}

impl Default for TlsPolicy {
    fn default() -> Self {
        TlsPolicy {
            verify: true,
            ca: None,
            ca_only: false,
            client: None,
            min_version: TlsVersion::Tls12,
        }
    }
}

/// Our certificate chain and key, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, leaf first.
    pub chain: Bytes,
    /// The key; never printed.
    pub key: Secret,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(***)")
    }
}

/// A TLS version we can offer. Older ones are recognised in the peer's answer, never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}
