//! Envoy.
//!
//! Source: the configuration reference.
//! - Cluster `connect_timeout` 5 s, the TLS handshake included.
//! - Route `timeout` 15 s, from the end of the request to the end of the response.
//! - `stream_idle_timeout` 5 min, between two pieces of a stream.
//! - Upstream `idle_timeout` 1 h: longer than most origins keep a connection.
//! - Without a validation context the peer's certificate is not verified.
//!
//! Commands: envoyproxy.io/docs/envoy/latest/operations/admin; 9901 is the port its examples give the admin interface.

#[cfg(test)]
mod tests;

use super::commands::Command;
use super::log::{
    ErrorLine, Field, Fields, Format, Key, Layout, Logs, Memory, Syntax, Unit, Variable, key, key_in, text, time, var,
    var_in,
};
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::exchange::{Exchange, Outcome, Reason, Taken};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "envoy",
    aliases: &[],
    products: &["envoy"],
    limits: Limits {
        connect: secs(5),
        between_reads: secs(300),
        total: secs(15),
        idle: secs(3600),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "what it thinks of this backend: health, failed connects, success rate",
            line: "curl -s http://127.0.0.1:9901/clusters | grep -F '{address}'",
        },
        Command {
            shows: "failed connects, timeouts, resets and open circuit breakers by cluster",
            line: "curl -s 'http://127.0.0.1:9901/stats?usedonly&filter=upstream_(cx_connect|cx_overflow|rq_timeout|rq_rx_reset|rq_pending_overflow)'",
        },
        Command {
            shows: "the certificates it has loaded",
            line: "curl -s http://127.0.0.1:9901/certs",
        },
    ],
};

/// Its local replies: `source/common/http/utility.cc` and `source/common/router/router.cc`. It overwrites `Server` by
/// default.
pub const PAGE: Page = Page {
    rank: 15,
    read: |answer| local_reply(answer, "envoy"),
    passed: |answer| {
        let own = answer.server_is("envoy") || answer.header("x-envoy-upstream-service-time").is_some();
        (own && !answer.server_is("istio-envoy")).then_some("envoy")
    },
};

/// Reads the texts of a local reply; none of them is HTML or JSON.
pub(super) fn local_reply(answer: &Answer<'_>, writer: &'static str) -> Option<Said> {
    let said = Said::by(writer);
    match () {
        () if answer.begins("upstream connect error or disconnect/reset before headers") => {
            let text = std::str::from_utf8(answer.body).unwrap_or_default();
            Some(reset(said, text))
        }
        () if answer.is("no healthy upstream") => Some(said.bad_gateway().because(Cause::NoLiveUpstream)),
        () if answer.is("upstream request timeout") || answer.is("upstream max stream duration reached") => {
            Some(said.timed_out().because(Cause::ResponseTimeout))
        }
        () => None,
    }
}

/// `reset reason: REASON[, transport failure reason: TEXT]`.
fn reset(said: Said, text: &str) -> Said {
    let (text, transport) = text.split_once(", transport failure reason: ").unwrap_or((text, ""));
    let reason = text
        .rsplit_once("reset reason: ")
        .map_or("", |(_, reason)| reason.trim());
    let (failed, reset) = (said.bad_gateway(), reason.replace(' ', "_"));
    if is_failed_connect(reset.as_bytes()) {
        return match by_transport(transport.as_bytes()) {
            Some(reason) => failed.because(reason.cause).maybe(reason.candidates),
            None => failed.maybe(NO_CONNECTION),
        };
    }
    match by_reset(reset.as_bytes()) {
        // Its own doing, not a failure to get an answer: the number stands for itself.
        Some(Reason {
            cause: cause @ (Cause::UpstreamOverloaded | Cause::GatewayInternal),
            ..
        }) => said.because(cause),
        Some(reason) => failed.because(reason.cause).maybe(reason.candidates),
        None if reset == "connection_timeout" => failed.maybe(CONNECT_OR_TLS_TIMEOUT),
        None => failed,
    }
}

/// Since the release of 2026 that detects resets in the TLS socket a connection failure without a transport failure
/// reason does not exclude certificates (issue 45011 of envoyproxy/envoy).
const NO_CONNECTION: &[Cause] = &[Cause::ConnectFailed, Cause::TlsFailed];

/// What its logs look like and mean. Istio writes the same.
///
/// Source: Envoy documentation, `access_log/usage` and `response_code_details`; `router.cc`, `utility.cc`
/// (`resetReasonToString`); Istio documentation, `access-log`.
pub const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "default",
            layout: Layout::Pattern(DEFAULT),
        },
        Format {
            name: "istio",
            layout: Layout::Pattern(ISTIO),
        },
        Format {
            name: "badgateway",
            layout: Layout::Pattern(RECOMMENDED),
        },
        Format {
            name: "json",
            layout: Layout::Json(JSON),
        },
    ],
    syntax: Some(Syntax::Envoy),
    variables: VARIABLES,
    exchange,
    errors: Some(error_line),
    causes: CAUSES,
    tells: "With %RESPONSE_CODE_DETAILS% and %UPSTREAM_TRANSPORT_FAILURE_REASON% one line names why a connect or a handshake failed, tells an answer of the origin from one of Envoy's own, and shows a response that was cut.",
    silent: "Whether the origin closed or reset the connection; whether a connect timed out or the TLS handshake on it; why no host is healthy, DNS included. The default format leaves connect and TLS together.",
};

const DEFAULT: &str = r#"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%""#;

const ISTIO: &str = r#"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%"#;

/// The format that makes Envoy say the most.
const RECOMMENDED: &str = r#"[%START_TIME%] %DOWNSTREAM_REMOTE_ADDRESS% "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %DURATION% %UPSTREAM_REQUEST_ATTEMPT_COUNT% "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %ROUTE_NAME%"#;

const VARIABLES: &[Variable] = &[
    var("START_TIME", Field::Time),
    var("REQ(:METHOD)", Field::Method),
    var("REQ(X-ENVOY-ORIGINAL-PATH?:PATH)", Field::Target),
    var("REQ(:PATH)", Field::Target),
    var("REQ(:AUTHORITY)", Field::Host),
    var("REQ(USER-AGENT)", Field::Agent),
    var("REQ(X-REQUEST-ID)", Field::RequestId),
    var("REQ", Field::Text),
    var("PROTOCOL", Field::Own),
    var("RESPONSE_CODE", Field::Status),
    var("RESPONSE_FLAGS", Field::State),
    var("RESPONSE_CODE_DETAILS", Field::Detail),
    var("CONNECTION_TERMINATION_DETAILS", Field::Closing),
    var("UPSTREAM_TRANSPORT_FAILURE_REASON", Field::TlsReason),
    var_in("DURATION", Field::Duration, Unit::Millis),
    var_in("RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)", Field::BackendTimes, Unit::Millis),
    var("UPSTREAM_REQUEST_ATTEMPT_COUNT", Field::Tried),
    var("UPSTREAM_HOST", Field::Backends),
    var("UPSTREAM_REMOTE_ADDRESS", Field::Backends),
    var("UPSTREAM_CLUSTER", Field::Name),
    var("UPSTREAM_CLUSTER_RAW", Field::Name),
    var("ROUTE_NAME", Field::Route),
    var("DOWNSTREAM_REMOTE_ADDRESS", Field::Client),
    var("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Field::Client),
    var("UPSTREAM_HEADER_BYTES_RECEIVED", Field::HeadBytes),
    var("BYTES_RECEIVED", Field::Own),
    var("BYTES_SENT", Field::BytesSent),
    var("UPSTREAM_LOCAL_ADDRESS", Field::Own),
    var("DOWNSTREAM_LOCAL_ADDRESS", Field::Own),
];

/// Istio's keys, and those of the examples in Envoy's documentation.
const JSON: &[Key] = &[
    key("start_time", Field::Time),
    key("method", Field::Method),
    key("path", Field::Target),
    key("authority", Field::Host),
    key("user_agent", Field::Agent),
    key("request_id", Field::RequestId),
    key("response_code", Field::Status),
    key("status", Field::Status),
    key("response_flags", Field::State),
    key("response_code_details", Field::Detail),
    key("upstream_transport_failure_reason", Field::TlsReason),
    key_in("duration", Field::Duration, Unit::Millis),
    key_in("upstream_service_time", Field::BackendTimes, Unit::Millis),
    key("upstream_header_bytes_received", Field::HeadBytes),
    key("upstream_request_attempt_count", Field::Tried),
    key("upstream_attempts", Field::Tried),
    key("upstream_host", Field::Backends),
    key("upstream_cluster", Field::Name),
    key("route_name", Field::Route),
    key("downstream_remote_address", Field::Client),
    key("client", Field::Client),
];

const CAUSES: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
    Cause::TlsClientCertificateRequired,
    Cause::ResponseTimeout,
    Cause::ResponseReset,
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

/// `UF` says neither connect nor TLS: both belong to the connection pool's connect.
const CONNECT_OR_TLS: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::TlsTimeout,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
    Cause::TlsClientCertificateRequired,
];
/// `connect_timeout` of the cluster covers the handshake.
const CONNECT_OR_TLS_TIMEOUT: &[Cause] = &[Cause::ConnectTimeout, Cause::TlsTimeout];
/// A failed connect has a transport reason; without one the peer ended the handshake, or (since 2026) a certificate
/// was refused: envoyproxy/envoy issue 45011.
const TLS_WITHOUT_REASON: &[Cause] = &[
    Cause::TlsClosed,
    Cause::TlsClientCertificateRequired,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
];
const ANY_CERTIFICATE: &[Cause] = &[
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
];
const CLOSED_OR_RESET: &[Cause] = &[Cause::ResponseClosed, Cause::ResponseReset, Cause::ConnectReset];
const NO_VALID_HEAD: &[Cause] = &[
    Cause::ResponseMalformed,
    Cause::ResponseReset,
    Cause::ResponseHeaderTooLarge,
];
const CUT_OR_MALFORMED: &[Cause] = &[Cause::ResponseTruncated, Cause::ResponseMalformed];
const ANY_DNS: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsTimeout,
    Cause::DnsMalformed,
];

/// A request, from its line in the access log.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    exchange.backend_time = fields.time(Field::BackendTimes);
    // The upstream's time ends with the head of the response: what the route's timeout bounds took that long at least.
    exchange.taken = Taken {
        first_byte: exchange.backend_time,
        total: exchange.backend_time,
        response_header: fields
            .number(Field::HeadBytes)
            .and_then(|bytes| u64::try_from(bytes).ok())
            .filter(|bytes| *bytes > 0),
        ..Taken::default()
    };
    exchange.outcome = outcome(fields, exchange.status);
    exchange.tried_once(fields.text(Field::Backends));
    let tried = fields.number(Field::Tried).unwrap_or_default();
    exchange.retries = u32::try_from(tried.saturating_sub(1)).unwrap_or_default();
    Some(exchange)
}

fn outcome(fields: &Fields<'_, '_>, status: Option<u16>) -> Outcome {
    let flags = fields.text(Field::State);
    let details = fields.text(Field::Detail);
    let reason = by_details(details, fields.text(Field::TlsReason), status).or_else(|| by_flags(flags, status));
    let left = details.starts_with(b"downstream_") || (has_flag(flags, b"DC") && !details.starts_with(b"upstream_"));
    match (status, reason) {
        _ if left => Outcome::ClientClosed,
        (Some(400..500), _) => Outcome::Served,
        (_, Some(reason)) => Outcome::Failed(reason),
        // A status of 0: nothing could be sent.
        (None, None) => Outcome::ClientClosed,
        (Some(status), None) => own(status).map_or(Outcome::Served, Outcome::Failed),
    }
}

/// What is left where only the status is known.
fn own(status: u16) -> Option<Reason> {
    text::own_status(status).map(Reason::exact)
}

fn has_flag(flags: &[u8], flag: &[u8]) -> bool {
    flags.split(|byte| *byte == b',').any(|known| known == flag)
}

/// From `RESPONSE_CODE_DETAILS`; `None` where they say nothing of a failure.
fn by_details(details: &[u8], transport: &[u8], status: Option<u16>) -> Option<Reason> {
    let failed = status.filter(|status| *status >= 500);
    let (name, inside) = match memchr::memchr(b'{', details) {
        Some(at) => (
            &details[..at],
            details[at + 1..].strip_suffix(b"}").unwrap_or(&details[at + 1..]),
        ),
        None => (details, &b""[..]),
    };
    let end = memchr::memchr2(b'|', b',', inside).unwrap_or(inside.len());
    let (reset, behind) = (&inside[..end], inside.get(end + 1..).unwrap_or_default());
    let transport = if transport.is_empty() { behind } else { transport };
    match name {
        b"upstream_reset_before_response_started" => Some(before_head(reset, transport, status)),
        b"upstream_reset_after_response_started" => Some(after_head(reset)),
        b"response_timeout"
        | b"upstream_per_try_timeout"
        | b"upstream_per_try_idle_timeout"
        | b"upstream_max_stream_duration_reached"
        | b"stream_idle_timeout" => Some(timeout(status)),
        b"no_healthy_upstream" => failed.map(|_| Reason::exact(Cause::NoLiveUpstream)),
        b"cluster_not_found" | b"route_not_found" => failed.map(|_| Reason::exact(Cause::GatewayConfig)),
        b"maintenance_mode" | b"overload" | b"drop_overload" => {
            failed.map(|_| Reason::exact(Cause::UpstreamOverloaded))
        }
        b"dns_resolution_failure" => failed.map(|_| Reason::one_of(Cause::DnsFailed, ANY_DNS)),
        _ => None,
    }
}

/// A deadline that passed before the head, or behind it.
fn timeout(status: Option<u16>) -> Reason {
    match status {
        Some(..500) => Reason::exact(Cause::ResponseBodyTimeout),
        _ => Reason::exact(Cause::ResponseTimeout),
    }
}

/// Why no response began, by the words of `resetReasonToString` and the transport's.
fn before_head(reset: &[u8], transport: &[u8], status: Option<u16>) -> Reason {
    let unknown = status.and_then(text::own_status).unwrap_or(Cause::Unknown);
    if is_failed_connect(reset) {
        return by_transport(transport).unwrap_or(match reset {
            b"remote_connection_failure" if transport.is_empty() => {
                Reason::one_of(Cause::TlsFailed, TLS_WITHOUT_REASON)
            }
            _ => Reason::one_of(unknown, CONNECT_OR_TLS),
        });
    }
    let known = match reset {
        b"connection_timeout" => Some(Reason::one_of(unknown, CONNECT_OR_TLS_TIMEOUT)),
        b"connection_termination" => by_transport(transport).or_else(|| by_reset(reset)),
        _ => by_reset(reset),
    };
    known.unwrap_or(Reason::open(unknown))
}

/// The words of `resetReasonToString` for a connection that did not come about, blanks as `_`.
fn is_failed_connect(reset: &[u8]) -> bool {
    matches!(
        reset,
        b"remote_connection_failure" | b"local_connection_failure" | b"connection_failure"
    )
}

/// Its words that tell by themselves why there was no response.
fn by_reset(reset: &[u8]) -> Option<Reason> {
    Some(match reset {
        b"connection_termination" => Reason::one_of(Cause::ResponseFailed, CLOSED_OR_RESET),
        b"remote_reset" | b"remote_refused_stream_reset" => Reason::exact(Cause::ResponseReset),
        b"protocol_error" => Reason::one_of(Cause::ResponseFailed, NO_VALID_HEAD),
        b"overflow" | b"overload_manager_reset" => Reason::exact(Cause::UpstreamOverloaded),
        b"local_reset" | b"local_refused_stream_reset" => Reason::exact(Cause::GatewayInternal),
        _ => return None,
    })
}

fn after_head(reset: &[u8]) -> Reason {
    match reset {
        b"connection_termination" | b"remote_reset" => Reason::exact(Cause::ResponseTruncated),
        b"protocol_error" => Reason::one_of(Cause::ResponseFailed, CUT_OR_MALFORMED),
        _ => Reason::open(Cause::ResponseFailed),
    }
}

/// From `RESPONSE_FLAGS`; `None` where no flag tells of a failure behind Envoy.
fn by_flags(flags: &[u8], status: Option<u16>) -> Option<Reason> {
    let sent = matches!(status, Some(..500));
    flags.split(|byte| *byte == b',').find_map(|flag| {
        Some(match flag {
            b"UF" => Reason::one_of(
                status.and_then(text::own_status).unwrap_or(Cause::Unknown),
                CONNECT_OR_TLS,
            ),
            b"UC" | b"UR" if sent => Reason::exact(Cause::ResponseTruncated),
            b"UC" => Reason::one_of(Cause::ResponseFailed, CLOSED_OR_RESET),
            b"UR" => Reason::exact(Cause::ResponseReset),
            b"UPE" if sent => Reason::one_of(Cause::ResponseFailed, CUT_OR_MALFORMED),
            b"UPE" => Reason::one_of(Cause::ResponseFailed, NO_VALID_HEAD),
            b"UT" | b"UMSDR" | b"SI" => timeout(status),
            // What follows speaks of this request only where no answer was sent.
            _ if sent => return None,
            b"UH" => Reason::exact(Cause::NoLiveUpstream),
            b"UO" | b"OM" | b"DO" => Reason::exact(Cause::UpstreamOverloaded),
            b"NR" | b"NC" => Reason::exact(Cause::GatewayConfig),
            b"LR" | b"LH" => Reason::exact(Cause::GatewayInternal),
            b"DF" => Reason::one_of(Cause::DnsFailed, ANY_DNS),
            _ => return None,
        })
    })
}

/// The words of `UPSTREAM_TRANSPORT_FAILURE_REASON`, blanks as `_`, first match first: system errors of connect, and
/// BoringSSL's names.
const TRANSPORT: &[(&str, Reason)] = &{
    use Cause::*;
    const fn exact(cause: Cause) -> Reason {
        Reason::exact(cause)
    }
    [
        ("connect_error:_111", exact(ConnectRefused)),
        ("connect_error:_Connection_refused", exact(ConnectRefused)),
        ("connect_error:_110", exact(ConnectTimeout)),
        ("connect_error:_Connection_timed_out", exact(ConnectTimeout)),
        ("connect_error:_113", exact(ConnectUnreachable)),
        ("connect_error:_101", exact(ConnectUnreachable)),
        ("connect_error:_No_route_to_host", exact(ConnectUnreachable)),
        ("connect_error:_Network_is_unreachable", exact(ConnectUnreachable)),
        ("connect_error:_104", exact(ConnectReset)),
        ("connect_error:_Connection_reset_by_peer", exact(ConnectReset)),
        ("connect_error:_99", exact(GatewayInternal)),
        ("connect_error:_Cannot_assign_requested_address", exact(GatewayInternal)),
        ("connect_error:", Reason::open(ConnectFailed)),
        ("CERTIFICATE_VERIFY_FAILED:", Reason::one_of(TlsFailed, ANY_CERTIFICATE)),
        ("WRONG_VERSION_NUMBER", exact(TlsNotTls)),
        ("HTTP_REQUEST", exact(TlsNotTls)),
        ("ALERT_CERTIFICATE_REQUIRED", exact(TlsClientCertificateRequired)),
        ("ALERT_BAD_CERTIFICATE", exact(TlsClientCertificateRequired)),
        ("ALERT_UNKNOWN_CA", exact(TlsClientCertificateRequired)),
        ("ALERT_PROTOCOL_VERSION", exact(TlsProtocol)),
        ("ALERT_HANDSHAKE_FAILURE", exact(TlsProtocol)),
        ("ALERT_UNRECOGNIZED_NAME", exact(TlsProtocol)),
        ("ALERT_INTERNAL_ERROR", exact(TlsProtocol)),
        ("ALERT_NO_APPLICATION_PROTOCOL", exact(TlsProtocol)),
        ("UNSUPPORTED_PROTOCOL", exact(TlsProtocol)),
        ("TLS_error:", Reason::open(TlsFailed)),
        ("Secret_is_not_supplied_by_SDS", exact(GatewayConfig)),
    ]
};

/// What follows `CERTIFICATE_VERIFY_FAILED:`. The texts are OpenSSL's, blanks as `_`.
const CERTIFICATE: &[(&str, Cause)] = &[
    ("certificate_has_expired", Cause::TlsCertificateExpired),
    ("certificate_is_not_yet_valid", Cause::TlsCertificateNotYetValid),
    ("SAN_matcher", Cause::TlsCertificateNameMismatch),
    ("hostname_mismatch", Cause::TlsCertificateNameMismatch),
    ("certificate_revoked", Cause::TlsCertificateRevoked),
    ("unable_to_get_local_issuer_certificate", Cause::TlsCertificateUntrusted),
    ("unable_to_get_issuer_certificate", Cause::TlsCertificateUntrusted),
    ("unable_to_verify_the_first_certificate", Cause::TlsCertificateUntrusted),
    ("self_signed_certificate", Cause::TlsCertificateUntrusted),
    ("self-signed_certificate", Cause::TlsCertificateUntrusted),
];

fn by_transport(transport: &[u8]) -> Option<Reason> {
    if transport.is_empty() {
        return None;
    }
    // Older versions leave the blanks.
    let said: Vec<u8> = transport
        .iter()
        .map(|byte| if *byte == b' ' { b'_' } else { *byte })
        .collect();
    if let Some(at) = text::find(&said, b"CERTIFICATE_VERIFY_FAILED:")
        && let Some((_, cause)) = CERTIFICATE.iter().find(|(words, _)| text::has(&said[at..], words))
    {
        return Some(Reason::exact(*cause));
    }
    let known = TRANSPORT.iter().find(|(words, _)| text::has(&said, words));
    known.map(|(_, reason)| *reason)
}

/// Envoy's own log says nothing of requests that fail. Its lines stand among those of the access log in containers:
/// `[2026-11-20 11:01:42.303][13][info][main] …`, Istio's agent `2026-11-20T11:01:42.303000Z\tinfo\t…`.
fn error_line<'l>(_: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    let of_envoy = line.strip_prefix(b"[").and_then(|rest| {
        let end = text::find(rest.get(..rest.len().min(40))?, b"][")?;
        time::parse(&rest[..end])
    });
    let of_agent = || time::parse(&line[..memchr::memchr(b'\t', line.get(..line.len().min(40))?)?]);
    match of_envoy.or_else(of_agent) {
        Some(_) => ErrorLine::Other,
        None => ErrorLine::Foreign,
    }
}
