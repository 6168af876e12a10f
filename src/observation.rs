//! What one resolution and one probe saw: plain facts, no judgement.
//!
//! `End` is exactly one place: a probe that stopped in the TLS handshake cannot carry a status code.
//! Errors of libraries and of the system are translated into these words where the call is made, in [`crate::probe`].

pub mod listening;
pub mod version;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Serialize, Serializer};

use self::listening::Listening;
use crate::upstream::Scheme;

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An `ip:port`.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(Arc<PathBuf>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where an answer to a name came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerSource {
    /// No name: the URL holds the address.
    Literal,
    /// `/etc/hosts`.
    HostsFile,
    /// This resolver.
    Resolver(SocketAddr),
    /// Nobody answered.
    Nobody,
}

impl fmt::Display for AnswerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnswerSource::Literal => f.write_str("the URL"),
            AnswerSource::HostsFile => f.write_str("/etc/hosts"),
            AnswerSource::Resolver(address) => address.fmt(f),
            AnswerSource::Nobody => f.write_str("nobody"),
        }
    }
}

/// What resolving the host of one target gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The name asked for, after search domains where one of them answered.
    pub name: String,
    /// Who answered.
    pub source: AnswerSource,
    /// Names passed on the way, the asked one left out.
    pub cname_chain: Vec<String>,
    /// Lowest time to live of the records used; `None` without records from a resolver.
    pub ttl: Option<Duration>,
    /// From the question to the last answer waited for.
    pub elapsed: Duration,
    /// Addresses in the order of the answers (IPv4 first), or why there are none.
    pub result: Result<Vec<IpAddr>, DnsFault>,
    /// Why one family is missing although the other answered, for evidence.
    pub half: Option<DnsFault>,
}

/// Why a name gave no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsFault {
    /// Response code NXDOMAIN (RFC 1035, 4.1.1).
    NxDomain,
    /// An answer without addresses (RFC 2308, 2.2).
    NoData,
    /// Response code SERVFAIL, or another error code; the code's number.
    ServFail(u16),
    /// Response code REFUSED.
    Refused,
    /// No answer before the deadline.
    Timeout,
    /// An answer that cannot be read, does not fit the question, or whose CNAMEs run in a circle.
    Malformed(&'static str),
    /// Our own doing.
    Own(OwnLimit),
}

impl fmt::Display for DnsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DnsFault::NxDomain => f.write_str("NXDOMAIN"),
            DnsFault::NoData => f.write_str("the name has no addresses"),
            DnsFault::ServFail(2) => f.write_str("SERVFAIL"),
            DnsFault::ServFail(code) => write!(f, "response code {code}"),
            DnsFault::Refused => f.write_str("REFUSED"),
            DnsFault::Timeout => f.write_str("no answer in time"),
            DnsFault::Malformed(how) => f.write_str(how),
            DnsFault::Own(limit) => write!(f, "not asked: {limit}"),
        }
    }
}

/// What our own side ran out of; the label `reason` of `probes_aborted_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnLimit {
    /// No descriptor left (EMFILE, ENFILE).
    FileLimit,
    /// No local port left (EADDRNOTAVAIL).
    LocalPorts,
    /// No memory for a socket (ENOBUFS, ENOMEM).
    Memory,
    /// Did not fit `max_rate` within the interval.
    RateLimit,
    /// Stopped by a reload, by the end of the program or by a panic.
    Cancelled,
}

impl OwnLimit {
    /// All of them, in the order of their numbers.
    pub const ALL: [OwnLimit; 5] = [
        OwnLimit::FileLimit,
        OwnLimit::LocalPorts,
        OwnLimit::Memory,
        OwnLimit::RateLimit,
        OwnLimit::Cancelled,
    ];

    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            OwnLimit::FileLimit => "file_limit",
            OwnLimit::LocalPorts => "local_ports",
            OwnLimit::Memory => "memory",
            OwnLimit::RateLimit => "rate_limit",
            OwnLimit::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for OwnLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OwnLimit::FileLimit => "no file descriptor left (raise LimitNOFILE)",
            OwnLimit::LocalPorts => "no local port left",
            OwnLimit::Memory => "no memory for a socket",
            OwnLimit::RateLimit => "over max_rate",
            OwnLimit::Cancelled => "cancelled",
        })
    }
}

/// Identifies one attempt in logs and evidence, and as trace id in `traceparent` (W3C Trace Context).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What one probe saw.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Identifies the attempt.
    pub trace: TraceId,
    /// When it began.
    pub at: SystemTime,
    /// Where it connected to.
    pub address: Address,
    /// Whether TLS was spoken.
    pub scheme: Scheme,
    /// Time spent in each phase that was finished, and in all.
    pub timings: Timings,
    /// What the TLS handshake showed, as far as it came.
    pub tls: Option<Arc<TlsFacts>>,
    /// URLs followed to get here, without query; empty without redirects.
    pub redirected: Vec<String>,
    /// Where an address of this host refused or did not answer: what its kernel says of that, if it explains anything.
    pub listening: Option<Box<Listening>>,
    /// Where and how it ended.
    pub end: End,
}

impl Observation {
    /// The head of the response where one came, also when its body failed.
    pub fn head(&self) -> Option<&Head> {
        match &self.end {
            End::Response(response) => Some(&response.head),
            End::Http(failure) => failure.head.as_deref(),
            End::Redirect { head, .. } => Some(head),
            End::Own(_) | End::NoRoute | End::Dns(_) | End::Connect(_) | End::Tls(_) => None,
        }
    }
}

/// What became of a connection that was left idle after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idled {
    /// It was closed after this silence.
    Closed(Duration),
    /// After this silence it served one more request.
    Served(Duration),
    /// Nothing was seen to close it, but after this silence a request on it got no answer, and one on a fresh connection did.
    Dropped(Duration),
    /// The answer itself ended the connection: nothing is kept, and nothing can be reused too late.
    NotKept,
}

/// Time spent in each finished phase. A phase that did not finish has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Timings {
    /// TCP handshake.
    pub connect: Option<Duration>,
    /// TLS handshake.
    pub tls: Option<Duration>,
    /// From the start of sending the request to the first byte of the response.
    pub first_byte: Option<Duration>,
    /// From the first byte of the response to its last.
    pub body: Option<Duration>,
    /// From the start of connecting to the last byte read or the failure. Resolution is not part of it.
    pub total: Duration,
}

/// Where and how a probe ended.
#[derive(Clone, Debug)]
pub enum End {
    /// Our own side prevented it; says nothing of the peer.
    Own(OwnLimit),
    /// This host has no route for that family of addresses; says nothing of the peer.
    NoRoute,
    /// The host of a redirect did not resolve.
    Dns(DnsFault),
    /// No connection.
    Connect(ConnectFault),
    /// No TLS session, or not one the policy accepts.
    Tls(TlsFault),
    /// No whole response.
    Http(HttpFailure),
    /// A redirect that is not followed.
    Redirect {
        /// Why not.
        fault: RedirectFault,
        /// The head that asked for it.
        head: Box<Head>,
    },
    /// A whole response, or as much of it as is read.
    Response(Box<Response>),
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// ECONNREFUSED; for a unix socket also ENOENT.
    Refused,
    /// The deadline passed, or the kernel gave up (ETIMEDOUT); for a unix socket a full accept queue (EAGAIN).
    Timeout,
    /// The network, the host or a filter says no; the errno.
    Unreachable(i32),
    /// A reset after the SYN-ACK that surfaced in `connect()`: the connection existed.
    ResetAfterAccept,
}

/// Why there is no TLS session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The deadline passed in the handshake.
    Timeout,
    /// FIN or RST in the handshake.
    Closed {
        /// RST rather than FIN.
        reset: bool,
    },
    /// The peer's first bytes are no TLS record; up to 64 of them.
    NotTls(Bytes),
    /// No version, cipher or extension in common, or a broken handshake; the library's words, for evidence only.
    Protocol(String),
    /// An alert of the peer (RFC 8446, 6).
    Alert(u8),
    /// The peer asked for a client certificate and then refused; ours was sent or not.
    ClientCertificate {
        /// We had one and sent it.
        sent: bool,
    },
    /// The certificate does not verify and the policy asks for it.
    Certificate(CertificateProblem),
}

/// Why a certificate does not verify; the label `problem` of `tls_certificate_problem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateProblem {
    /// Past its end date.
    Expired,
    /// Before its start date.
    NotYetValid,
    /// Valid for other names.
    NameMismatch,
    /// Leads to no trusted root.
    Untrusted,
    /// Revoked, by a stapled answer of the issuer (RFC 6960).
    Revoked,
}

impl CertificateProblem {
    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            CertificateProblem::Expired => "expired",
            CertificateProblem::NotYetValid => "not_yet_valid",
            CertificateProblem::NameMismatch => "name_mismatch",
            CertificateProblem::Untrusted => "untrusted",
            CertificateProblem::Revoked => "revoked",
        }
    }
}

/// What the TLS handshake showed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`, once agreed.
    pub version: Option<&'static str>,
    /// The cipher suite's IANA name, once agreed.
    pub cipher: Option<&'static str>,
    /// What the certificates say, leaf first, once sent.
    pub chain: Arc<ChainFacts>,
    /// Why the chain does not verify, whether or not the policy asks.
    pub problem: Option<CertificateProblem>,
    /// The library's words for that problem, for evidence only.
    pub problem_detail: Option<String>,
    /// The peer asked for a client certificate.
    pub client_certificate_requested: bool,
}

/// What the certificates of a chain say.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChainFacts {
    /// Leaf first.
    pub certificates: Vec<CertificateFacts>,
}

impl ChainFacts {
    /// The earliest end date in the chain, seconds since the epoch.
    pub fn earliest_expiry(&self) -> Option<i64> {
        self.first_to_end().map(|certificate| certificate.not_after)
    }

    /// The certificate with that date.
    pub fn first_to_end(&self) -> Option<&CertificateFacts> {
        self.certificates.iter().min_by_key(|certificate| certificate.not_after)
    }
}

/// What one certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateFacts {
    /// Distinguished name.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// DNS names and addresses it is valid for.
    pub names: Vec<String>,
    /// Start date, seconds since the epoch.
    pub not_before: i64,
    /// End date, seconds since the epoch.
    pub not_after: i64,
    /// Lower-case hexadecimal.
    pub serial: String,
}

impl CertificateFacts {
    /// Seconds from its start date to its end date. The dates are the peer's word: one that ends before it begins has
    /// none.
    pub fn lifetime_seconds(&self) -> u64 {
        let lifetime = self.not_after.saturating_sub(self.not_before);
        u64::try_from(lifetime).unwrap_or(0)
    }
}

/// No whole response: what happened, and how far it came.
#[derive(Clone, Debug)]
pub struct HttpFailure {
    /// What happened.
    pub fault: HttpFault,
    /// The head, where it came whole.
    pub head: Option<Box<Head>>,
    /// The first bytes of what came instead, at most 512.
    pub start: Bytes,
    /// Body bytes read.
    pub body_bytes: u64,
}

/// Why there is no whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// The deadline passed before a whole head.
    HeadTimeout,
    /// RST before a whole head, or the request could not be written.
    Reset,
    /// FIN before any byte.
    Closed,
    /// FIN inside the head.
    ClosedInHead,
    /// Bytes that are no HTTP; which rule they break.
    Malformed(&'static str),
    /// The head is over `max_head`.
    HeadTooLarge,
    /// FIN, RST or a stream error inside the body.
    BodyCut,
    /// The deadline passed inside the body.
    BodyTimeout,
}

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectFault {
    /// More than allowed.
    TooMany,
    /// To a host that is not allowed.
    Host(String),
    /// To an address that is not allowed: the host and its address.
    Address(String, IpAddr),
    /// `Location` is missing or no http(s) URL.
    Location,
}

/// A response head.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The reason phrase of a 5xx where it has at most 64 bytes; empty for other statuses and over HTTP/2, which has none.
    pub reason: String,
    /// The version it was sent in: `1.0`, `1.1` or `2`.
    pub version: &'static str,
    /// Bytes from the first of the status line to the empty line; for HTTP/2 what HTTP/1.1 would have needed.
    pub bytes: u64,
    /// The longest line, bytes.
    pub longest_line: u64,
    /// Headers worth keeping as evidence, names in lower case.
    pub headers: Vec<(String, String)>,
    /// `Location` as sent, where a redirect has one; never shown, since it may hold a query.
    pub location: Option<String>,
    /// `Retry-After` in seconds or as the time left until its date, where it can be read.
    pub retry_after: Option<Duration>,
}

impl Head {
    /// The first kept header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What tells one content from another: its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        Digest(digest.as_ref().try_into().expect("a SHA-256 has 32 bytes"))
    }
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its head.
    pub head: Head,
    /// Body bytes read, after chunked decoding.
    pub body_bytes: u64,
    /// False where reading stopped at `max_body`.
    pub body_complete: bool,
    /// The body as far as kept: up to `max_body` where a rule asks for it, else the first 4096 bytes.
    pub body: Bytes,
}
