//! What is probed and what is expected: upstreams, hops, targets, limits. What the rest of the program may rely on.
//!
//! Values here are complete and checked: defaults are applied, URLs parsed, expressions compiled.
//! How they are written in a file is the business of [`crate::config`] alone.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

/// Time between two rounds of a hop. Four rounds a minute catch a spike within one scrape or two.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);
/// Time for connect, TLS and response of one probe. Shorter than every gateway's own limit on a first byte.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Resolution has its own deadline: `min(timeout, this)`.
pub const MAX_RESOLUTION: Duration = Duration::from_secs(5);
/// Addresses probed per hop.
pub const DEFAULT_MAX_ADDRESSES: usize = 16;
/// Probes under way at once in the whole process. Each holds one descriptor.
pub const DEFAULT_MAX_CONCURRENT_PROBES: usize = 2048;
/// Requests of all kinds per second and upstream.
pub const DEFAULT_MAX_RATE: f64 = 10.0;
/// Largest response head read; larger is `response_header_too_large`.
pub const DEFAULT_MAX_HEAD: u64 = 256 * 1024;
/// Bytes of body read; the rest of a longer body is not asked for.
pub const DEFAULT_MAX_BODY: u64 = 1024 * 1024;
/// The name of the hop that reaches the servers directly.
pub const ORIGIN: &str = "origin";

/// A string that is never printed: a password, a token, a header value that may carry one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that must not appear in pages, logs or errors.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A named service that users reach; the unit of configuration, verdicts and alerts.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Unique; the label `upstream`.
    pub name: Arc<str>,
    /// Labels from the configuration, for `upstream_info` and the series that carry them.
    pub labels: BTreeMap<String, String>,
    /// In the order users pass them: outermost gateway first, the origin last. Never empty.
    pub hops: Vec<Arc<Hop>>,
    /// Time between two rounds of a hop.
    pub interval: Duration,
    /// How a failure is confirmed and a recovery believed.
    pub confirm: Confirm,
    /// Requests of all kinds per second, over all hops.
    pub max_rate: f64,
    /// Share of good requests that is promised, 0 to 1.
    pub objective: Option<f64>,
    /// When failing traffic counts as a spike.
    pub spike: Spike,
    /// What evidence may hold.
    pub evidence: EvidencePolicy,
    /// The response header that names the running version.
    pub version_header: Option<HeaderName>,
    /// Fingerprint of everything above and below, secrets and file contents included: equal means unchanged by a reload.
    pub fingerprint: u64,
}

impl Upstream {
    /// The hop whose rounds are what users see: the outermost one.
    pub fn user_view(&self) -> &Arc<Hop> {
        &self.hops[0]
    }

    /// Kinds of the gateways a request to that hop passes, outermost first.
    pub fn kinds_from(&self, hop: &str) -> Vec<&'static str> {
        let inward = self.hops.iter().skip_while(|known| &*known.name != hop);
        inward
            .filter_map(|hop| hop.gateway.as_ref().map(|gateway| gateway.kind))
            .collect()
    }

    /// The hop of that name.
    pub fn hop(&self, name: &str) -> Option<&Arc<Hop>> {
        self.hops.iter().find(|hop| &*hop.name == name)
    }
}

/// How a failure is confirmed and a recovery believed; see the design, section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Retries of a failed probe before it changes a result.
    pub retries: u32,
    /// Wait before the first retry, and between two.
    pub delay: Duration,
    /// Time between two rechecks while a hop fails.
    pub recheck: Duration,
    /// Clean rounds until a failing address counts as recovered.
    pub recover_after: u32,
}

impl Default for Confirm {
    fn default() -> Self {
        Confirm {
            retries: 1,
            delay: Duration::from_millis(500),
            recheck: Duration::from_secs(2),
            recover_after: 2,
        }
    }
}

/// When failing requests count as a spike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spike {
    /// Share of failed requests, 0 to 1.
    pub ratio: f64,
    /// Window it is measured over.
    pub window: Duration,
    /// Requests the window must hold at least.
    pub minimum_requests: u64,
}

impl Default for Spike {
    fn default() -> Self {
        Spike {
            ratio: 0.05,
            window: Duration::from_secs(60),
            minimum_requests: 20,
        }
    }
}

/// What evidence may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EvidencePolicy {
    /// Headers by the allow list, no query, no client data.
    #[default]
    Safe,
    /// Everything.
    Full,
}

/// A place an upstream is probed at.
#[derive(Clone, Debug)]
pub struct Hop {
    /// `origin`, or the gateway's name; the label `hop`.
    pub name: Arc<str>,
    /// The gateway this hop passes through; `None` on the origin hop.
    pub gateway: Option<Arc<Gateway>>,
    /// True on the outermost hop: what users see.
    pub user_view: bool,
    /// What the next gateway outward tolerates of this hop: the innermost gateway's limits on the origin hop. Empty without one.
    pub limits: Limits,
    /// How long the next gateway outward keeps an idle connection to this hop; `None` where it is not known that it reuses any.
    pub kept_idle: Option<Duration>,
    /// How the next gateway outward checks the health of this hop; on the origin hop only, and only where it is known.
    pub health_check: Option<HealthCheck>,
    /// One on a gateway hop; on the origin hop one per entry of the list. Never empty.
    pub targets: Vec<Arc<Target>>,
}

impl Hop {
    /// True when some target has a name to resolve.
    pub fn resolves(&self) -> bool {
        self.targets.iter().any(|target| matches!(target.host, Host::Name(_)))
    }

    /// True when some target is reached over TLS.
    pub fn uses_tls(&self) -> bool {
        self.targets.iter().any(|target| target.scheme == Scheme::Https)
    }

    /// True on the hop that reaches the servers directly.
    pub fn is_origin(&self) -> bool {
        self.gateway.is_none()
    }
}

/// A gateway, defined once: what it is and what it tolerates.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Unique; the label `gateway`, and the name of its hops.
    pub name: Arc<str>,
    /// The product, as in `kind:`.
    pub kind: &'static str,
    /// The kind's defaults, over them what its own configuration says, over both the configured ones.
    pub limits: Limits,
    /// Where those are known from that are not the kind's defaults.
    pub sources: Vec<(LimitKind, LimitSource)>,
}

impl Gateway {
    /// Where a limit is known from, in words: `default of nginx`, `limits in the configuration`,
    /// `/etc/nginx/nginx.conf, proxy_read_timeout`.
    pub fn source_of(&self, kind: LimitKind) -> String {
        match self.sources.iter().find(|(known, _)| *known == kind) {
            None => format!("default of {}", self.kind),
            Some((_, LimitSource::Configured)) => "limits in the configuration".to_owned(),
            Some((_, LimitSource::File { path, directive })) => format!("{path}, {directive}"),
        }
    }

    /// How long it keeps an idle connection, where it is known to reuse them: that is written, or its own configuration says
    /// so.
    pub fn keeps_idle(&self) -> Option<Duration> {
        let known = self.sources.iter().any(|(kind, _)| *kind == LimitKind::Idle);
        self.limits.idle.filter(|_| known)
    }
}

/// Where a limit is known from that is not its kind's default.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitSource {
    /// `limits` of the gateway's entry.
    Configured,
    /// The gateway's own configuration; a place there that does not say it has the product's default.
    File {
        /// The file that was named.
        path: Arc<str>,
        /// The directive that sets it.
        directive: &'static str,
    },
}

/// A gateway's own health check of the servers behind it, to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What it asks; an answer below 400 passes. `None` where a connection is all it wants.
    pub request: Option<CheckRequest>,
    /// The port it asks, where that is not the one of the address.
    pub port: Option<u16>,
    /// How often.
    pub interval: Duration,
    /// How long it waits, connecting included.
    pub timeout: Duration,
    /// Failures in a row until it takes a server out.
    pub unhealthy_after: u32,
    /// Successes in a row until it puts it back.
    pub healthy_after: u32,
}

/// The request of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRequest {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The `Host` it sends: `None` for that of the target, an empty one for none at all.
    pub host: Option<HeaderValue>,
    /// HTTP/1.0 rather than 1.1.
    pub http10: bool,
}

/// One thing a gateway limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// TCP connect to the backend.
    Connect,
    /// TLS handshake with the backend.
    Tls,
    /// Sending the request, between two writes.
    Send,
    /// From the request sent to the first byte of the response.
    FirstByte,
    /// Between two reads of the response.
    BetweenReads,
    /// The whole exchange.
    Total,
    /// An idle connection to the backend kept for reuse.
    Idle,
    /// Size of the response head.
    ResponseHeader,
    /// Size of the response body.
    ResponseBody,
}

impl LimitKind {
    /// All of them, times first.
    pub const ALL: [LimitKind; 9] = [
        LimitKind::Connect,
        LimitKind::Tls,
        LimitKind::Send,
        LimitKind::FirstByte,
        LimitKind::BetweenReads,
        LimitKind::Total,
        LimitKind::Idle,
        LimitKind::ResponseHeader,
        LimitKind::ResponseBody,
    ];

    /// The label value and the key in `limits:`.
    pub fn label(self) -> &'static str {
        match self {
            LimitKind::Connect => "connect",
            LimitKind::Tls => "tls",
            LimitKind::Send => "send",
            LimitKind::FirstByte => "first_byte",
            LimitKind::BetweenReads => "between_reads",
            LimitKind::Total => "total",
            LimitKind::Idle => "idle",
            LimitKind::ResponseHeader => "response_header",
            LimitKind::ResponseBody => "response_body",
        }
    }

    /// True for sizes in bytes, false for times.
    pub fn is_size(self) -> bool {
        matches!(self, LimitKind::ResponseHeader | LimitKind::ResponseBody)
    }
}

/// What a gateway tolerates of the hop behind it. `None` is no limit, or none known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limits {
    /// TCP connect to the backend.
    pub connect: Option<Duration>,
    /// TLS handshake with the backend.
    pub tls: Option<Duration>,
    /// Sending the request, between two writes.
    pub send: Option<Duration>,
    /// From the request sent to the first byte of the response.
    pub first_byte: Option<Duration>,
    /// Between two reads of the response.
    pub between_reads: Option<Duration>,
    /// The whole exchange.
    pub total: Option<Duration>,
    /// An idle connection to the backend kept for reuse.
    pub idle: Option<Duration>,
    /// Size of the response head, bytes.
    pub response_header: Option<u64>,
    /// Size of the response body, bytes.
    pub response_body: Option<u64>,
}

impl Limits {
    /// The time limit of that kind.
    pub fn time(&self, kind: LimitKind) -> Option<Duration> {
        match kind {
            LimitKind::Connect => self.connect,
            LimitKind::Tls => self.tls,
            LimitKind::Send => self.send,
            LimitKind::FirstByte => self.first_byte,
            LimitKind::BetweenReads => self.between_reads,
            LimitKind::Total => self.total,
            LimitKind::Idle => self.idle,
            LimitKind::ResponseHeader | LimitKind::ResponseBody => None,
        }
    }

    /// The size limit of that kind, bytes.
    pub fn size(&self, kind: LimitKind) -> Option<u64> {
        match kind {
            LimitKind::ResponseHeader => self.response_header,
            LimitKind::ResponseBody => self.response_body,
            _ => None,
        }
    }

    /// These limits, with every limit that `over` states in place of ours.
    pub fn overridden_by(self, over: Limits) -> Limits {
        Limits {
            connect: over.connect.or(self.connect),
            tls: over.tls.or(self.tls),
            send: over.send.or(self.send),
            first_byte: over.first_byte.or(self.first_byte),
            between_reads: over.between_reads.or(self.between_reads),
            total: over.total.or(self.total),
            idle: over.idle.or(self.idle),
            response_header: over.response_header.or(self.response_header),
            response_body: over.response_body.or(self.response_body),
        }
    }
}

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
