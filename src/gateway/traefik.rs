//! Traefik 2 and 3.
//!
//! Source: `pkg/config/static`, and Go's `net/http` below it.
//! - `forwardingTimeouts.dialTimeout` 30 s, `responseHeaderTimeout` none, `idleConnTimeout` 90 s.
//! - TLS handshake 10 s, fixed; response head 10 MiB.
//! - Certificates are verified.
//!
//! Commands: doc.traefik.io/traefik/operations/api/; the API answers where it is enabled, on 8080 with api.insecure.

use super::commands::Command;
use super::log::go::{self, Fault, Paired, Stage};
use super::log::{
    ErrorKeys, ErrorLine, Field, Fields, Format, Key, Layout, Logs, Memory, Unit, Variable, key, key_in, text, time,
    var, var_in,
};
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::exchange::{Attempt, Complaint, Effect, Exchange, Join, Outcome, Reason, Stamp};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "traefik",
    aliases: &[],
    products: &[],
    limits: Limits {
        connect: secs(30),
        tls: secs(10),
        idle: secs(90),
        response_header: kib(10 * 1024),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "every service with the state of its servers",
            line: "curl -s http://localhost:8080/api/http/services",
        },
        Command {
            shows: "which router takes the request",
            line: "curl -s http://localhost:8080/api/http/routers",
        },
    ],
};

/// Its own errors are the status text alone, without `Server`; the causes stand in its debug log only. It adds no
/// header to answers it passes on.
///
/// An application may answer 500 with that text too, so a 500 counts only where Traefik is configured on the way.
pub const PAGE: Page = Page {
    rank: 21,
    read: |answer| {
        let said = Said::by("traefik");
        match () {
            () if !is_bare(answer) => None,
            () if answer.is("no available server\n") => Some(said.bad_gateway().because(Cause::NoLiveUpstream)),
            () if answer.is("Bad Gateway") => Some(said.bad_gateway()),
            () if answer.is("Gateway Timeout") => Some(said.timed_out()),
            () if answer.is("Internal Server Error") && answer.through("traefik") && answer.status == 500 => {
                Some(said.bad_gateway().maybe(REFUSED_ANSWERS))
            }
            () => None,
        }
    },
    passed: |_| None,
};

/// No sign of a server or a framework, and no other type than plain text.
fn is_bare(answer: &Answer<'_>) -> bool {
    let plain = answer
        .header("content-type")
        .is_none_or(|kind| kind.starts_with("text/plain"));
    plain
        && ["server", "x-powered-by", "via"]
            .iter()
            .all(|name| answer.header(name).is_none())
}

/// `ComputeStatusCode`: what it maps to neither 502 nor 504.
const REFUSED_ANSWERS: &[Cause] = &[Cause::TlsFailed, Cause::ResponseFailed];

/// What its logs look like and mean.
///
/// Source: `pkg/middlewares/accesslog/`, `pkg/proxy/httputil/proxy.go`, `pkg/server/service/proxy.go` (2.11),
/// `pkg/healthcheck/healthcheck.go`, and the logs of Traefik 3.7.15.
pub const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "common",
            layout: Layout::Pattern(
                r#"escape=none $ClientHost - $ClientUsername [$StartLocal] "$Request" $DownstreamStatus $DownstreamContentSize "$Referer" "$UserAgent" $RequestCount "$RouterName" "$ServiceURL" ${Duration}ms"#,
            ),
        },
        // `accessLog.format: json`.
        Format {
            name: "badgateway",
            layout: Layout::Json(JSON),
        },
        Format {
            name: "genericCLF",
            layout: Layout::Pattern(
                r#"escape=none $ClientHost - $ClientUsername [$StartLocal] "$Request" $DownstreamStatus $DownstreamContentSize "$Referer" "$UserAgent""#,
            ),
        },
    ],
    syntax: None,
    variables: VARIABLES,
    exchange,
    errors: Some(error_line),
    causes: CAUSES,
    tells: "With log.level DEBUG the log names the cause of every failed attempt; at the default level only TLS faults are named, and at WARN why a health check failed. accessLog.format json shows the service, the server, retries, and a response that broke off.",
    silent: "The access log alone: only the status, and a status of the backend's own is told from one Traefik made only by the size of the body. Lines of the log state no request but the status, so they are joined by status, time and, where a connection failed, the backend; two other faults of one moment may be exchanged. A connection that the backend closed or reset looks the same in the TLS handshake and after the request.",
};

const VARIABLES: &[Variable] = &[
    var("ClientHost", Field::Client),
    var("ClientUsername", Field::Text),
    var("StartLocal", Field::Time),
    var("Request", Field::Request),
    var("DownstreamStatus", Field::Status),
    var("DownstreamContentSize", Field::BytesSent),
    var("Referer", Field::Text),
    var("UserAgent", Field::Agent),
    var("RequestCount", Field::Own),
    var("RouterName", Field::Route),
    var("ServiceURL", Field::Backends),
    var_in("Duration", Field::Duration, Unit::Millis),
];

const JSON: &[Key] = &[
    key("DownstreamStatus", Field::Status),
    key("OriginStatus", Field::BackendStatuses),
    key("StartUTC", Field::Time),
    key_in("Duration", Field::Duration, Unit::Nanos),
    key_in("OriginDuration", Field::BackendTimes, Unit::Nanos),
    key("ClientHost", Field::Client),
    key("ClientAddr", Field::Connection),
    key("RequestHost", Field::Host),
    key("RequestPath", Field::Target),
    key("request_User-Agent", Field::Agent),
    key("ServiceURL", Field::Backends),
    key("ServiceName", Field::Name),
    key("RouterName", Field::Route),
    key("RetryAttempts", Field::Retries),
    key("DownstreamContentSize", Field::BytesSent),
    key("OriginContentSize", Field::BytesReceived),
];

/// The keys of a line of the log, as JSON: `message` is written by 3, `msg` by 2. A line with a status is a request's.
static ERRORS: ErrorKeys = ErrorKeys::new(&[
    key("DownstreamStatus", Field::Status),
    key("level", Field::Level),
    key("time", Field::Time),
    key("message", Field::Message),
    key("msg", Field::Message),
    key("error", Field::Reason),
    key("serviceName", Field::Name),
    key("targetURL", Field::Server),
]);

const CAUSES: &[Cause] = &[
    Cause::DnsTimeout,
    Cause::DnsMalformed,
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::TlsTimeout,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsClientCertificateRequired,
    Cause::ResponseTimeout,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
    Cause::ResponseTruncated,
    Cause::ResponseBodyTimeout,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
    Cause::GatewayConfig,
    Cause::GatewayInternal,
    Cause::DnsFailed,
    Cause::ConnectFailed,
    Cause::TlsFailed,
    Cause::ResponseFailed,
];

/// 504: whatever exceeded its time. Source: `ComputeStatusCode`.
const TOO_LATE: &[Cause] = &[
    Cause::DnsTimeout,
    Cause::ConnectTimeout,
    Cause::TlsTimeout,
    Cause::ResponseTimeout,
    Cause::GatewayTimeout,
];
/// 500: what is no error of the network.
const INVALID: &[Cause] = &[
    Cause::TlsNotTls,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::ResponseReset,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
    Cause::ServerError,
];
/// 503 without a server: none is healthy, or a middleware refuses.
const NO_SERVER: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ServiceUnavailable,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
];
/// A response that did not end as it should; the client may have left as well.
const CUT: &[Cause] = &[
    Cause::ResponseMalformed,
    Cause::ResponseTruncated,
    Cause::ResponseBodyTimeout,
];

/// A request, from its line in the access log.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let status = fields.status(Field::Status);
    let backend = text::authority(fields.text(Field::Backends));
    let (outcome, attempt) = outcome(fields, status, !backend.is_empty());
    let client = fields.text(Field::Client);
    let target = fields.target();
    let mut exchange = Exchange {
        time: fields.stamp(),
        duration: fields.time(Field::Duration),
        client,
        host: fields.text(Field::Host),
        target,
        agent: fields.text(Field::Agent),
        names: [fields.text(Field::Name), fields.text(Field::Route), b""],
        status,
        outcome,
        retries: fields
            .number(Field::Retries)
            .and_then(|retries| u32::try_from(retries).ok())
            .unwrap_or_default(),
        backend_time: fields.time(Field::BackendTimes),
        join: Join {
            exact: text::id_of(&[fields.text(Field::Connection), target]),
            group: 0,
            client,
            request: target,
            status,
        },
        ..Exchange::default()
    };
    if !backend.is_empty() {
        exchange.attempts.push(Attempt {
            backend,
            reason: attempt,
            reused: None,
        });
    }
    Some(exchange)
}

/// How a request ended, and why its attempt failed.
fn outcome(fields: &Fields<'_, '_>, status: Option<u16>, has_server: bool) -> (Outcome, Option<Reason>) {
    let Some(status) = status.filter(|status| *status != 499) else {
        return (Outcome::ClientClosed, None);
    };
    let failed = |reason: Reason| (Outcome::Failed(reason), Some(reason));
    if status >= 500 {
        return failed(match has_server {
            true => reason(fields, status),
            false if status == 503 => Reason::one_of(Cause::ServiceUnavailable, NO_SERVER),
            false => Reason::open(text::own_status(status).unwrap_or(Cause::ServerError)),
        });
    }
    // The status was sent on, and handling stopped before it was noted down: the response broke off.
    if has_server && status != 101 && fields.raw(Field::BackendStatuses) == Some(b"0") {
        return failed(Reason::one_of(Cause::ResponseFailed, CUT));
    }
    let origin = fields.status(Field::BackendStatuses).and_then(text::own_status);
    match (status, origin) {
        // A failure that the error pages middleware shows under another number.
        (400.., Some(cause)) => failed(Reason::open(cause)),
        (_, Some(cause)) => (Outcome::Served, Some(Reason::open(cause))),
        (_, None) => (Outcome::Served, None),
    }
}

/// A status from 500 up, by a server or in its place. Traefik's own answer is the text of the status.
fn reason(fields: &Fields<'_, '_>, status: u16) -> Reason {
    let cause = text::own_status(status).unwrap_or(Cause::ServerError);
    let own_size = match status {
        500 => "Internal Server Error".len(),
        502 => "Bad Gateway".len(),
        503 => "Service Unavailable".len(),
        504 => "Gateway Timeout".len(),
        _ => return Reason::exact(cause),
    };
    let size = fields
        .number(Field::BytesReceived)
        .or_else(|| fields.number(Field::BytesSent));
    if size.is_some_and(|size| usize::try_from(size).ok() != Some(own_size)) {
        return Reason::exact(cause);
    }
    match status {
        500 => Reason::one_of(cause, INVALID),
        504 => Reason::one_of(cause, TOO_LATE),
        _ => Reason::open(cause),
    }
}

/// A line of the log, however it is written.
#[derive(Clone, Copy, Debug, Default)]
struct Entry<'l> {
    time: Option<Stamp>,
    message: &'l [u8],
    error: &'l [u8],
    service: &'l [u8],
    server: &'l [u8],
}

/// One line of the log: JSON, or text as 3 and 2 write it.
fn error_line<'l>(memory: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    let entry = match line.first() {
        Some(b'{') => ERRORS.read(line, json).flatten(),
        Some(b't') => logfmt(line),
        _ => console(line),
    };
    match entry {
        None => ErrorLine::Foreign,
        Some(entry) => meaning(memory, entry).map_or(ErrorLine::Other, ErrorLine::Complaint),
    }
}

fn json<'l>(fields: &Fields<'_, 'l>) -> Option<Entry<'l>> {
    let is_of_log = fields.has(Field::Level) && fields.has(Field::Message) && !fields.has(Field::Status);
    is_of_log.then(|| Entry {
        time: fields.stamp(),
        message: fields.text(Field::Message),
        error: fields.text(Field::Reason),
        service: fields.text(Field::Name),
        server: fields.text(Field::Server),
    })
}

/// `2026-11-20T11:03:47Z DBG FILE:LINE > MESSAGE error="…" serviceName=… targetURL=…`, of 3.
fn console(line: &[u8]) -> Option<Entry<'_>> {
    let end = memchr::memchr(b' ', line)?;
    let stamp = time::parse(&line[..end])?;
    let (level, rest) = line[end + 1..].split_at_checked(4)?;
    let is_level = level[..3].iter().all(u8::is_ascii_uppercase) && level[3] == b' ';
    if !is_level {
        return None;
    }
    let message = match text::find(rest, b" > ") {
        Some(at) if !rest[..at].contains(&b' ') => &rest[at + 3..],
        _ => rest,
    };
    Some(Entry {
        time: Some(stamp),
        message,
        error: value(message, b" error="),
        service: value(message, b" serviceName="),
        server: value(message, b" targetURL="),
    })
}

/// `time="2026-11-20T11:03:47Z" level=debug msg="MESSAGE" serviceName=…`, of 2.
fn logfmt(line: &[u8]) -> Option<Entry<'_>> {
    let rest = line.strip_prefix(b"time=")?;
    let stamp = time::parse(unquoted(rest))?;
    text::find(rest, b" level=")?;
    Some(Entry {
        time: Some(stamp),
        message: value(rest, b" msg="),
        error: value(rest, b" error="),
        service: value(rest, b" serviceName="),
        server: b"",
    })
}

/// The value behind the first `name`, without its quotes.
fn value<'l>(text: &'l [u8], name: &[u8]) -> &'l [u8] {
    match text::find(text, name) {
        Some(at) => unquoted(&text[at + name.len()..]),
        None => b"",
    }
}

/// Up to the quote that ends it, or to the next blank.
fn unquoted(text: &[u8]) -> &[u8] {
    let Some(inner) = text.strip_prefix(b"\"") else {
        return text.split(|byte| *byte == b' ').next().unwrap_or_default();
    };
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &inner[at.min(inner.len())..]) {
        at += found;
        if inner[at] == b'"' {
            return &inner[..at];
        }
        at += 2;
    }
    inner
}

fn meaning<'l>(memory: &mut Memory, entry: Entry<'l>) -> Option<Complaint<'l>> {
    let message = entry.message;
    if let Some((status, error)) = status_line(&entry) {
        return failed_attempt(&entry, status, error);
    }
    if message.starts_with(b"Health check failed") {
        return Some(outage(&entry, Effect::Down));
    }
    if message.starts_with(b"Health check up") || is_set_up(message) {
        return Some(outage(&entry, Effect::Up));
    }
    if let Some(error) = message.strip_prefix(b"httputil: ReverseProxy read error during body copy: ") {
        BODIES.keep(memory, error, entry.time);
        return None;
    }
    aborted(memory, &entry)
}

/// `502 Bad Gateway` with its error beside it (3), or `'502 Bad Gateway' caused by: ERROR` (2).
fn status_line<'l>(entry: &Entry<'l>) -> Option<(u16, &'l [u8])> {
    let message = entry.message;
    let (status, error) = match message.strip_prefix(b"'") {
        Some(quoted) => (quoted.get(..3)?, text::between(quoted, b"' caused by: ", b"")?),
        None => (message.get(..3)?, entry.error),
    };
    let status = text::status(status)?;
    (status >= 400 && !error.is_empty()).then_some((status, error))
}

fn failed_attempt<'l>(entry: &Entry<'l>, status: u16, error: &'l [u8]) -> Option<Complaint<'l>> {
    let (effect, reason) = match go::before_head(error) {
        Some(Fault::ClientLeft) => return None,
        Some(Fault::Failed(reason)) => (Effect::Attempt, reason),
        None => (Effect::Attempt, Reason::open(text::own_status(status)?)),
    };
    Some(Complaint {
        time: entry.time,
        effect,
        reason,
        backend: go::peer(error),
        host: b"",
        names: [entry.service, b"", b""],
        join: Join {
            status: Some(status),
            ..Join::default()
        },
    })
}

/// `Setting status of URL to UP`.
fn is_set_up(message: &[u8]) -> bool {
    message.starts_with(b"Setting status of ") && text::has(message, " to UP")
}

/// A health check that failed or succeeds again: `serviceName`, `targetURL`, or `Backend: "…" URL: "…"` of 2.
fn outage<'l>(entry: &Entry<'l>, effect: Effect) -> Complaint<'l> {
    let message = entry.message;
    let name = match entry.service {
        [] => quoted(message, b" Backend: "),
        service => service,
    };
    let server = match (entry.server, message.strip_prefix(b"Setting status of ")) {
        ([], Some(rest)) => rest.split(|byte| *byte == b' ').next().unwrap_or_default(),
        ([], None) => quoted(message, b" URL: "),
        (server, _) => server,
    };
    let error = match entry.error {
        [] => text::between(message, b" Reason: ", b"").unwrap_or_default(),
        error => error,
    };
    let reason = match (effect, go::of_health_check(error)) {
        (Effect::Up, _) => Reason::open(Cause::Unknown),
        (_, Some(Fault::Failed(reason))) if reason.settled => reason,
        _ => Reason::open(Cause::NoLiveUpstream),
    };
    Complaint {
        time: entry.time,
        effect,
        reason,
        backend: text::authority(server),
        host: b"",
        names: [name, b"", b""],
        join: Join::default(),
    }
}

/// `NAME "value"`, quotes with a backslash before them or not.
fn quoted<'l>(message: &'l [u8], name: &[u8]) -> &'l [u8] {
    let rest = text::between(message, name, b"").unwrap_or_default();
    let rest = rest.strip_prefix(b"\\").unwrap_or(rest);
    let Some(inner) = rest.strip_prefix(b"\"") else {
        return b"";
    };
    let end = memchr::memchr2(b'"', b'\\', inner).unwrap_or(inner.len());
    &inner[..end]
}

/// A body that broke off, and the request that is aborted for it right after; times are whole seconds.
const BODIES: Paired = Paired {
    stage: Stage::Body,
    within_millis: 1_000,
};

/// `Request has been aborted [CLIENT:PORT - TARGET]: net/http: abort Handler`. Without an error on the backend's side
/// before it, the client left.
fn aborted<'l>(memory: &mut Memory, entry: &Entry<'l>) -> Option<Complaint<'l>> {
    let rest = entry.message.strip_prefix(b"Request has been aborted [")?;
    let rest = &rest[..memchr::memmem::rfind(rest, b"]: net/http: abort Handler")?];
    let dash = text::find(rest, b" - ")?;
    let (address, target) = (&rest[..dash], &rest[dash + 3..]);
    let (effect, reason) = match BODIES.take(memory, entry.time) {
        None | Some(Some(Fault::ClientLeft)) => (Effect::ClientClosed, Reason::open(Cause::Unknown)),
        Some(Some(Fault::Failed(reason))) => (Effect::Cut, reason),
        Some(None) => (Effect::Cut, Reason::one_of(Cause::ResponseFailed, CUT)),
    };
    Some(Complaint {
        time: entry.time,
        effect,
        reason,
        backend: b"",
        host: b"",
        names: [b"", b"", b""],
        join: Join {
            exact: text::id_of(&[address, target]),
            client: text::without_port(address),
            request: target,
            ..Join::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::log::testing::check;
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn requests_and_their_outcomes() {
        check(&KIND, &[
            (r#"127.0.0.1 - - [20/Nov/2026:11:03:44 +0000] "GET /app18/v1?expand=items HTTP/1.1" 200 276 "-" "-" 4 "app18@file" "http://127.0.0.1:22000" 25ms"#, "200 served"),
            (r#"127.0.0.1 - - [20/Nov/2026:11:03:47 +0000] "GET /a HTTP/1.1" 502 11 "-" "-" 44 "app32@file" "http://127.0.0.1:22002" 0ms"#, "502 bad_gateway"),
            (r#"127.0.0.1 - - [20/Nov/2026:11:03:51 +0000] "GET /a HTTP/1.1" 504 15 "-" "-" 81 "app41@file" "http://127.0.0.1:22004" 1001ms"#, "504 gateway_timeout?"),
            (r#"127.0.0.1 - - [20/Nov/2026:11:03:51 +0000] "GET /a HTTP/1.1" 504 64 "-" "-" 81 "app41@file" "http://127.0.0.1:22004" 1ms"#, "504 gateway_timeout"),
            (r#"127.0.0.1 - - [20/Nov/2026:11:03:57 +0000] "GET /a HTTP/1.1" 500 21 "-" "-" 162 "app15@file" "http://127.0.0.1:22008" 52ms"#, "500 server_error?"),
            (r#"127.0.0.1 - - [20/Nov/2026:11:06:05 +0000] "GET /a HTTP/1.1" 503 20 "-" "-" 921 "app05@file" "-" 0ms"#, "503 service_unavailable?"),
            (r#"127.0.0.1 - - [20/Nov/2026:11:06:05 +0000] "GET /a HTTP/1.1" 499 21 "-" "-" 921 "app05@file" "http://127.0.0.1:1" 0ms"#, "499 client_closed"),
            // Nothing is escaped: a target that looks like the rest of a line is not read at all.
            (r#"127.0.0.1 - - [20/Nov/2026:11:06:05 +0000] "GET /" 200 5 "x HTTP/1.1" 502 11 "-" "-" 9 "a@file" "http://127.0.0.1:1" 0ms"#, "foreign"),
            (r#"{"ClientAddr":"127.0.0.1:1","DownstreamContentSize":11,"DownstreamStatus":502,"Duration":338796,"OriginContentSize":11,"OriginStatus":502,"RequestPath":"/a","ServiceAddr":"127.0.0.1:22002","StartUTC":"2026-11-20T11:03:48.161812253Z","level":"info","msg":""}"#, "502 bad_gateway"),
            (r#"{"DownstreamContentSize":11,"DownstreamStatus":200,"OriginContentSize":0,"OriginStatus":0,"ServiceURL":"http://127.0.0.1:22018"}"#, "200 response_failed?"),
            (r#"{"DownstreamStatus":302,"OriginStatus":0,"RouterName":"redirect@file"}"#, "302 served"),
            (r#"{"DownstreamStatus":404,"OriginStatus":502,"OriginContentSize":11,"ServiceURL":"http://127.0.0.1:1"}"#, "404 bad_gateway"),
        ]);
    }

    #[test]
    #[rustfmt::skip]
    fn lines_of_the_log() {
        check(&KIND, &[
            (r#"2026-11-20T11:03:47Z DBG github.com/traefik/traefik/v3/pkg/proxy/httputil/proxy.go:199 > 502 Bad Gateway error="dial tcp 127.0.0.1:22002: connect: connection refused""#, "attempt connect_refused 127.0.0.1:22002"),
            (r#"2026-11-20T11:03:47Z DBG 502 Bad Gateway error=EOF"#, "attempt bad_gateway?"),
            (r#"2026-11-20T11:05:33Z ERR github.com/traefik/traefik/v3/pkg/proxy/httputil/proxy.go:197 > 500 Internal Server Error error="tls: failed to verify certificate: x509: certificate is valid for other.example, not origin.lab""#, "attempt tls_certificate_name_mismatch"),
            (r#"2026-11-20T11:03:47Z DBG a.go:1 > 500 Internal Server Error error="net/http: HTTP/1.x transport connection broken: malformed HTTP response \"*s\\xbc\"""#, "attempt response_malformed"),
            (r#"2026-11-20T11:03:47Z DBG a.go:1 > 499 Client Closed Request error="context canceled""#, "other"),
            (r#"2026-11-20T11:03:47Z DBG a.go:1 > 500 Internal Server Error error="something new""#, "attempt server_error"),
            (r#"time="2026-11-20T11:03:47Z" level=debug msg="'502 Bad Gateway' caused by: dial tcp 127.0.0.1:22002: connect: connection refused""#, "attempt connect_refused 127.0.0.1:22002"),
            (r#"{"level":"debug","msg":"'504 Gateway Timeout' caused by: net/http: TLS handshake timeout","time":"2026-11-20T11:03:47Z"}"#, "attempt tls_timeout"),
            (r#"{"level":"debug","error":"dial tcp: lookup a.lab on 127.0.0.1:53: no such host","time":"2026-11-20T11:03:47Z","message":"502 Bad Gateway"}"#, "attempt dns_failed?"),
            (r#"2026-11-20T11:06:05Z WRN github.com/traefik/traefik/v3/pkg/healthcheck/healthcheck.go:185 > Health check failed. error="checking HTTP health: HTTP request failed: Get \"http://127.0.0.1:22002/health\": dial tcp 127.0.0.1:22002: connect: connection refused" serviceName=app05@file targetURL=http://127.0.0.1:22002"#, "down connect_refused 127.0.0.1:22002"),
            (r#"time="2026-11-20T11:03:47Z" level=warning msg="Health check failed, removing from server list. Backend: \"app05@file\" URL: \"http://127.0.0.1:22002\" Weight: 1 Reason: HTTP request failed: Get \"http://127.0.0.1:22002/\": dial tcp 127.0.0.1:22002: connect: connection refused""#, "down connect_refused 127.0.0.1:22002"),
            (r#"2026-11-20T11:06:05Z DBG wrr.go:112 > Setting status of http://127.0.0.1:22002 to UP serviceName=app05@file"#, "up unknown 127.0.0.1:22002"),
            (r#"2026-11-20T11:06:05Z DBG wrr.go:112 > Setting status of http://127.0.0.1:22002 to DOWN serviceName=app05@file"#, "other"),
            (r#"2026-11-20T11:03:44Z DBG wrr.go:251 > Service selected by WRR: http://127.0.0.1:22000"#, "other"),
            ("2026-11-20T11:04:07Z DBG log/log.go:244 > httputil: ReverseProxy read error during body copy: unexpected EOF\n2026-11-20T11:04:07Z DBG recovery.go:45 > Request has been aborted [127.0.0.1:45048 - /a?b]: net/http: abort Handler middlewareName=x", "cut response_truncated"),
            ("2026-11-20T11:04:07Z DBG recovery.go:45 > Request has been aborted [127.0.0.1:45048 - /a?b]: net/http: abort Handler middlewareName=x", "client_closed"),
            ("{\"a\":1}", "foreign"),
            ("something else", "foreign"),
        ]);
    }
}
