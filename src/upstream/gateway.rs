//! Gateways: what they tolerate of the hop behind them, and how they check its health.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};

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
