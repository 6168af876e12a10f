//! Caddy 2.
//!
//! Source: `reverseproxy/httptransport.go`.
//! - `dial_timeout` 3 s; `response_header_timeout`, `read_timeout`, `write_timeout`, `tls_timeout`: none.
//! - Keep-alive `idle_timeout` 2 min; `max_response_header_size` 10 MiB.
//! - Certificates are verified.
//!
//! Commands: caddyserver.com/docs/api and caddyserver.com/docs/running.

use super::commands::Command;
use super::log::go::{self, Fault, Paired, Stage};
use super::log::{ErrorKeys, ErrorLine, Field, Fields, Format, Key, Layout, Logs, Memory, Unit, key, key_in, text};
use super::page::{Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::exchange::{Complaint, Effect, Exchange, Join, Outcome, Reason, Taken};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "caddy",
    aliases: &[],
    products: &["caddy"],
    limits: Limits {
        connect: secs(3),
        idle: secs(120),
        response_header: kib(10 * 1024),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "what it thinks of every backend",
            line: "curl -s http://localhost:2019/reverse_proxy/upstreams",
        },
        Command {
            shows: "the configuration it runs with",
            line: "curl -s http://localhost:2019/config/",
        },
        Command {
            shows: "what it says of failed attempts at this backend",
            line: "journalctl -u caddy --since -15min --no-pager | grep -F '{address}'",
        },
    ],
};

/// Its own errors have no body. An answer it passes on keeps the backend's `Server` beside its own and, since 2.9, has
/// its `Via`.
///
/// A 503 says nothing of the next hop: `respond 503` writes the same one.
pub const PAGE: Page = Page {
    rank: 22,
    read: |answer| {
        let only_caddy = answer.headers("server").all(|server| server == "Caddy");
        let own = answer.server_is("Caddy") && only_caddy && !answer.via("Caddy");
        let empty = answer.is("") && answer.header("content-length") == Some("0");
        let error = matches!(answer.status, 502..=504);
        (own && empty && error).then(|| Said::by("caddy").numbered(answer.status))
    },
    passed: |answer| (answer.server_is("Caddy") || answer.via("Caddy")).then_some("caddy"),
};

/// What its logs look like and mean.
///
/// Source: `modules/caddyhttp/server.go`, `logging.go`, `marshalers.go`, `reverseproxy/reverseproxy.go`, and the logs of
/// Caddy 2.6.2 and 2.11.7.
pub const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "json",
            layout: Layout::Json(JSON),
        },
        // With `log_append upstream {http.reverse_proxy.upstream.address}`, `log_append upstream_status
        // {http.reverse_proxy.status_code}` and `log_append upstream_latency_ms {http.reverse_proxy.upstream.latency_ms}`.
        Format {
            name: "badgateway",
            layout: Layout::Json(JSON),
        },
    ],
    syntax: None,
    variables: &[],
    exchange,
    errors: Some(error_line),
    causes: CAUSES,
    tells: "The error log names the cause of every failed request, and why a response broke off; it is on by default. With log_append upstream, upstream_status and upstream_latency_ms in the access log, the backend is named and its own 502 is told from one Caddy made.",
    silent: "The access log alone: only the status. A connection that the backend closed or reset looks the same in the TLS handshake and after the request. NXDOMAIN and a name without addresses look the same, and so do SERVFAIL and REFUSED. Why all backends are down is not said of a request. Formats other than JSON are not read.",
};

/// `duration` is a number of seconds, or text with a unit (`duration_format string`).
const JSON: &[Key] = &[
    key("msg", Field::Message),
    key("ts", Field::Time),
    key("status", Field::Status),
    key("request/remote_ip", Field::Client),
    key("request/client_ip", Field::Client),
    key("request/remote_port", Field::Port),
    key("request/host", Field::Host),
    key("request/uri", Field::Target),
    key("request/headers/User-Agent/0", Field::Agent),
    key_in("duration", Field::Duration, Unit::Seconds),
    key("size", Field::BytesSent),
    key("upstream", Field::Backends),
    key("upstream_status", Field::BackendStatuses),
    key_in("upstream_latency_ms", Field::HeaderTimes, Unit::Millis),
    key_in("up_ms", Field::HeaderTimes, Unit::Millis),
    key_in("up_total_ms", Field::BackendTimes, Unit::Millis),
];

/// The keys of a line of the default logger.
static ERRORS: ErrorKeys = ErrorKeys::new(&[
    key("msg", Field::Message),
    key("ts", Field::Time),
    key("logger", Field::Logger),
    key("error", Field::Reason),
    key("status", Field::Status),
    key("upstream", Field::Backends),
    key("request/remote_ip", Field::Client),
    key("request/client_ip", Field::Client),
    key("request/remote_port", Field::Port),
    key("request/host", Field::Host),
    key("request/uri", Field::Target),
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

/// 504, by whomever.
const TOO_LATE: &[Cause] = &[Cause::TlsTimeout, Cause::ResponseTimeout, Cause::GatewayTimeout];
/// A response that did not end as it should; the client may have left as well.
const CUT: &[Cause] = &[
    Cause::ResponseMalformed,
    Cause::ResponseTruncated,
    Cause::ResponseBodyTimeout,
];
const ANY_DNS: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsTimeout,
];

/// A request, from its line in the access log.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    if fields.text(Field::Message) != b"handled request" {
        return None;
    }
    fields.raw(Field::Status)?;
    let status = fields.status(Field::Status);
    let outcome = outcome(fields, status);
    let mut exchange = Exchange {
        time: fields.stamp(),
        duration: fields.time(Field::Duration),
        client: fields.text(Field::Client),
        host: fields.text(Field::Host),
        target: fields.text(Field::Target),
        agent: fields.text(Field::Agent),
        status,
        outcome,
        backend_time: fields
            .time(Field::BackendTimes)
            .or_else(|| fields.time(Field::HeaderTimes)),
        taken: Taken {
            first_byte: fields.time(Field::HeaderTimes),
            ..Taken::default()
        },
        join: join(fields),
        ..Exchange::default()
    };
    exchange.tried_once(fields.text(Field::Backends));
    Some(exchange)
}

/// Both logs state the client's port and the target: together no other request has them at that time.
fn join<'l>(fields: &Fields<'_, 'l>) -> Join<'l> {
    let (client, port, target) = (
        fields.text(Field::Client),
        fields.text(Field::Port),
        fields.text(Field::Target),
    );
    Join {
        exact: text::id_of(&[client, port, target]),
        client,
        request: target,
        status: fields.status(Field::Status),
        ..Join::default()
    }
}

fn outcome(fields: &Fields<'_, '_>, status: Option<u16>) -> Outcome {
    let reason = match status {
        None | Some(499) => return Outcome::ClientClosed,
        // Handling stopped where the response was: the time it took was not taken.
        Some(..400) if fields.raw(Field::Duration) == Some(b"0") => Reason::one_of(Cause::ResponseFailed, CUT),
        Some(status) => match text::own_status(status) {
            None => return Outcome::Served,
            Some(cause) if fields.status(Field::BackendStatuses) == Some(status) => Reason::exact(cause),
            Some(Cause::GatewayTimeout) => Reason::one_of(Cause::GatewayTimeout, TOO_LATE),
            Some(cause) => Reason::open(cause),
        },
    };
    Outcome::Failed(reason)
}

/// One line of the default logger.
fn error_line<'l>(memory: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    ERRORS
        .read(line, |fields| read(memory, fields))
        .unwrap_or(ErrorLine::Foreign)
}

fn read<'l>(memory: &mut Memory, fields: &Fields<'_, 'l>) -> ErrorLine<'l> {
    let (logger, message) = (fields.text(Field::Logger), fields.text(Field::Message));
    if message.is_empty() || message == b"handled request" || !fields.has(Field::Time) {
        return ErrorLine::Foreign;
    }
    let told = match logger {
        b"http.handlers.reverse_proxy" => of_handler(memory, fields, message),
        logger if logger.starts_with(b"http.log.error") => of_request(memory, fields, message),
        _ => None,
    };
    let Some((effect, reason)) = told else {
        return ErrorLine::Other;
    };
    let error = match fields.text(Field::Reason) {
        [] => message,
        error => error,
    };
    let backend = match fields.text(Field::Backends) {
        [] => go::peer(error),
        backend => backend,
    };
    ErrorLine::Complaint(Complaint {
        time: fields.stamp(),
        effect,
        reason,
        backend,
        host: fields.text(Field::Host),
        names: [go::looked_up(error), b"", b""],
        join: join(fields),
    })
}

/// A failed lookup, and the request that finds no upstream for it right after.
const LOOKUPS: Paired = Paired {
    stage: Stage::BeforeHead,
    within_millis: 100,
};

/// A request that failed before anything was sent to the client.
fn of_request(memory: &mut Memory, fields: &Fields<'_, '_>, message: &[u8]) -> Option<(Effect, Reason)> {
    if message == b"no upstreams available" {
        let reason = match LOOKUPS.take(memory, fields.stamp()) {
            Some(Some(Fault::Failed(reason))) => reason,
            Some(_) => Reason::one_of(Cause::DnsFailed, ANY_DNS),
            None => Reason::exact(Cause::NoLiveUpstream),
        };
        return Some((Effect::Refused, reason));
    }
    if message.starts_with(b"making dial info: ") {
        return Some((Effect::Refused, Reason::exact(Cause::GatewayConfig)));
    }
    let error = message.strip_prefix(b"getting dynamic upstreams: ").unwrap_or(message);
    match go::before_head(error) {
        Some(Fault::ClientLeft) => Some((Effect::ClientClosed, Reason::open(Cause::Unknown))),
        Some(Fault::Failed(reason)) => Some((Effect::Attempt, reason)),
        // Another handler's error; below 500 it is the client's.
        None => {
            let cause = text::own_status(fields.status(Field::Status)?)?;
            Some((Effect::Refused, Reason::open(cause)))
        }
    }
}

/// A response that broke off, or a name that did not resolve.
///
/// "reading from backend" comes before the line that says the same and more.
fn of_handler(memory: &mut Memory, fields: &Fields<'_, '_>, message: &[u8]) -> Option<(Effect, Reason)> {
    let error = fields.text(Field::Reason);
    if message.starts_with(b"failed getting dynamic upstreams") {
        LOOKUPS.keep(memory, error, fields.stamp());
        return None;
    }
    if message != b"aborting with incomplete response" {
        return None;
    }
    Some(match go::in_body(error) {
        Some(Fault::ClientLeft) => (Effect::ClientClosed, Reason::open(Cause::Unknown)),
        Some(Fault::Failed(reason)) => (Effect::Cut, reason),
        None => (Effect::Cut, Reason::one_of(Cause::ResponseFailed, CUT)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::log::testing::{check, told};
    use super::*;

    /// A line about a request, with these members beside it.
    fn line(logger: &str, message: &str, more: &str) -> String {
        format!(
            r#"{{"level":"error","ts":1795172733.2708972,"logger":"{logger}","msg":"{message}","request":{{"remote_ip":"127.0.0.1","remote_port":"35336","proto":"HTTP/1.1","method":"GET","host":"shop.example","uri":"/a?b=c","headers":{{"User-Agent":["curl"]}}}}{more}}}"#
        )
    }

    #[test]
    #[rustfmt::skip]
    fn requests_and_their_outcomes() {
        for (more, expected) in [
            (r#","duration":0.7,"size":276,"status":200"#, "200 served"),
            (r#","duration":"705.434659ms","size":0,"status":502"#, "502 bad_gateway"),
            (r#","duration":2.0,"size":0,"status":504"#, "504 gateway_timeout?"),
            (r#","duration":0.3,"size":0,"status":0"#, "- client_closed"),
            (r#","duration":0.3,"size":0,"status":499"#, "499 client_closed"),
            (r#","duration":0,"size":11,"status":200"#, "200 response_failed?"),
            (r#","duration":0.1,"size":1,"status":503,"upstream_status":503,"upstream":"127.0.0.1:22026"}"#, "503 service_unavailable"),
            (r#","duration":0.1,"size":1,"status":404"#, "404 served"),
        ] {
            let line = line("http.log.access.log0", "handled request", more.trim_end_matches('}'));
            assert_eq!(told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn errors_of_requests() {
        for (logger, message, more, expected) in [
            ("http.log.error", "dial tcp 127.66.0.1:22003: i/o timeout", r#","status":502"#, "attempt connect_timeout 127.66.0.1:22003"),
            ("http.log.error.log0", "dial tcp 127.0.0.1:22002: connect: connection refused", r#","status":502"#, "attempt connect_refused 127.0.0.1:22002"),
            ("http.log.error", "EOF", r#","status":502"#, "attempt bad_gateway?"),
            ("http.log.error", "no upstreams available", r#","status":503"#, "refused no_live_upstream"),
            ("http.log.error", "making dial info: upstream a: invalid dial address", r#","status":500"#, "refused gateway_config"),
            ("http.log.error", "context canceled", r#","status":499"#, "client_closed"),
            ("http.log.error", "template: x", r#","status":500"#, "refused server_error"),
            ("http.log.error", "open /x: no such file", r#","status":404"#, "other"),
            ("http.handlers.reverse_proxy", "aborting with incomplete response", r#","upstream":"127.0.0.1:22018","error":"reading: unexpected EOF""#, "cut response_truncated 127.0.0.1:22018"),
            ("http.handlers.reverse_proxy", "aborting with incomplete response", r#","error":"read tcp 127.0.0.1:40432->127.0.0.1:22023: i/o timeout""#, "cut response_body_timeout 127.0.0.1:22023"),
            ("http.handlers.reverse_proxy", "aborting with incomplete response", r#","error":"writing: write tcp 127.0.0.1:1->127.0.0.1:2: write: broken pipe""#, "client_closed"),
            ("http.handlers.reverse_proxy", "reading from backend", r#","error":"unexpected EOF""#, "other"),
            ("http.handlers.reverse_proxy.health_checker.active", "HTTP request failed", r#","host":"a:1","error":"x""#, "other"),
        ] {
            let line = line(logger, message, more);
            assert_eq!(told(&KIND, &line), expected, "{line}");
        }
        check(&KIND, &[("{\"a\":1}", "foreign"), ("text", "foreign")]);
    }

    #[test]
    fn a_failed_lookup_stands_behind_no_upstreams() {
        let lookup = |error: &str| {
            format!(
                r#"{{"level":"error","ts":1795172733.2707,"logger":"http.handlers.reverse_proxy","msg":"failed getting dynamic upstreams; falling back to static upstreams","error":"{error}"}}"#
            )
        };
        let none = line("http.log.error", "no upstreams available", r#","status":503"#);
        let timeout = lookup("lookup a.lab on 127.0.0.1:53: read udp 127.0.0.1:1->127.0.0.1:53: i/o timeout");
        let missing = lookup("lookup b.lab on 127.0.0.1:53: no such host");
        let late = none.replace("733.27", "734.27");
        for (lines, expected) in [
            (vec![&timeout, &none], "refused dns_timeout"),
            (vec![&timeout, &none, &none], "refused no_live_upstream"),
            (vec![&missing, &none], "refused dns_failed?"),
            (vec![&timeout, &missing, &none], "refused dns_failed?"),
            (vec![&timeout, &late], "refused no_live_upstream"),
        ] {
            let lines: Vec<&str> = lines.iter().map(|line| line.as_str()).collect();
            assert_eq!(told(&KIND, &lines.join("\n")), expected);
        }
    }
}
