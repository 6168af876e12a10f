//! Fastly.
//!
//! Source: Fastly documentation of backends.
//! - `connect_timeout` 1 s, `first_byte_timeout` 15 s, `between_bytes_timeout` 10 s.
//!
//! Commands: fastly.com/documentation/reference/http/http-headers/Fastly-Debug/ and
//! fastly.com/documentation/reference/cli/.

use super::commands::Command;
use super::log::{Field, Fields, Format, Key, Layout, Logs, Syntax, Unit, Variable, key, key_in, text, var, var_in};
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::exchange::{Exchange, Outcome, Reason};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "fastly",
    aliases: &[],
    products: &[],
    limits: Limits {
        connect: secs(1),
        first_byte: secs(15),
        between_reads: secs(10),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "which nodes answered, and whether from their caches",
            line: "curl -sI -H 'Fastly-Debug: 1' 'https://{front}{path}'",
        },
        Command {
            shows: "its backends, with addresses, ports and timeouts",
            line: "fastly backend list --service-id SERVICE_ID --version active",
        },
    ],
};

/// Its synthetic page, with Varnish's words misspelt (public captures); the reason in it is the cause
/// (developer.fastly.com, errors; `common-503-errors`). A reason that is not listed may be the operator's own (`error
/// 503` in VCL).
pub const PAGE: Page = Page {
    rank: 4,
    read: |answer| {
        if answer.has("Fastly error: unknown domain") {
            return Some(Said::by("fastly").because(Cause::GatewayConfig));
        }
        answer.has("<h3>Guru Mediation:</h3>").then(|| of_reason(answer))
    },
    passed: |answer| {
        let served = answer.headers("x-served-by").any(|by| by.starts_with("cache-"));
        served.then_some("fastly")
    },
};

fn of_reason(answer: &Answer<'_>) -> Said {
    let said = Said::by("fastly");
    let heading = answer.between("<h1>Error ", "</h1>").unwrap_or_default();
    let reason = heading
        .split_once(' ')
        .map_or("", |(_, reason)| reason)
        .to_ascii_lowercase();
    let Some((_, known)) = REASONS.iter().find(|(text, _)| reason.starts_with(text)) else {
        return said;
    };
    match known.cause {
        // Its own doing, not a failure to get an answer: the number stands for itself.
        Cause::UpstreamOverloaded | Cause::GatewayConfig => said.because(known.cause),
        // Several phases are possible, and the page's own number says none.
        Cause::ServiceUnavailable => said.bad_gateway().maybe(known.candidates),
        cause => said.bad_gateway().because(cause).maybe(known.candidates),
    }
}

/// What its logs look like and mean.
///
/// Source: Fastly documentation, "Custom log formats", "VCL reference" and "Common 503 errors".
const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "badgateway",
            layout: Layout::Json(JSON),
        },
        Format {
            name: "common",
            layout: Layout::Pattern(r#"%h %l %u %t "%r" %>s %b"#),
        },
    ],
    syntax: Some(Syntax::Percent),
    variables: VARIABLES,
    exchange,
    errors: None,
    causes: CAUSES,
    tells: "The reason phrase of a 503 is its cause. Add to Fastly's JSON format \"backend\":\"%{req.backend.name}V\", \"backend_ip\":\"%{beresp.backend.ip}V\", \"backend_status\":\"%{beresp.status}V\", \"elapsed_ms\":\"%{time.elapsed.msec}V\" and \"restarts\":\"%{req.restarts}V\": then an origin's own answer is told from one of Fastly's.",
    silent: "Without response_reason: everything but the status. \"backend read error\" is a close, a reset and a timeout between two reads; a response that was cut is a 200.",
};

/// Fastly's own JSON format, and what is added to it.
const JSON: &[Key] = &[
    key("timestamp", Field::Time),
    key("client_ip", Field::Client),
    key("host", Field::Host),
    key("url", Field::Target),
    key("request_user_agent", Field::Agent),
    key("response_state", Field::Cache),
    key("response_status", Field::Status),
    key("response_reason", Field::Reason),
    key("backend", Field::Name),
    key("backend_ip", Field::Backends),
    key("backend_status", Field::BackendStatuses),
    key_in("elapsed_ms", Field::Duration, Unit::Millis),
    key("restarts", Field::Retries),
];

const VARIABLES: &[Variable] = &[
    var("h", Field::Client),
    var("l", Field::Own),
    var("u", Field::Text),
    var("t", Field::Time),
    var("r", Field::Request),
    var("s", Field::Status),
    var("b", Field::Own),
    var("B", Field::Own),
    var_in("D", Field::Duration, Unit::Micros),
    var("{req.http.fastly-client-ip}V", Field::Client),
    var("{client.ip}V", Field::Client),
    var("{req.http.host}V", Field::Host),
    var("{req.http.user-agent}V", Field::Agent),
    var("{req.url}V", Field::Target),
    var("{req.method}V", Field::Method),
    var("{req.request}V", Field::Method),
    var("{resp.status}V", Field::Status),
    var("{resp.response}V", Field::Reason),
    var("{fastly_info.state}V", Field::Cache),
    var("{req.backend}V", Field::Name),
    var("{req.backend.name}V", Field::Name),
    var("{beresp.backend.name}V", Field::Name),
    var("{beresp.backend.ip}V", Field::Backends),
    var("{beresp.status}V", Field::BackendStatuses),
    var("{req.restarts}V", Field::Retries),
    var_in("{time.elapsed.msec}V", Field::Duration, Unit::Millis),
    var_in("{time.elapsed.usec}V", Field::Duration, Unit::Micros),
];

const CAUSES: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::ResponseTimeout,
    Cause::ResponseReset,
    Cause::ResponseBodyTimeout,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
    Cause::GatewayConfig,
    Cause::TlsFailed,
    Cause::ResponseFailed,
];

const READ_ERROR: &[Cause] = &[Cause::ResponseReset, Cause::ResponseClosed, Cause::ResponseTimeout];
/// While connecting, or later.
const RESET: &[Cause] = &[Cause::ConnectReset, Cause::ResponseReset];
const HANDSHAKE: &[Cause] = &[Cause::TlsClosed, Cause::TlsProtocol];
/// "Service Unavailable" alone: a status line that is none, the origin's own, or `error 503` in VCL.
const UNAVAILABLE: &[Cause] = &[Cause::ResponseMalformed, Cause::ServiceUnavailable];

/// What Fastly gives as reason phrase, by its beginning in lower case, first match first.
#[rustfmt::skip]
const REASONS: &[(&str, Reason)] = &{
    use Cause::*;
    const fn exact(cause: Cause) -> Reason { Reason::exact(cause) }
    [
        ("backend read error", Reason::one_of(ResponseFailed, READ_ERROR)),
        ("first byte timeout", exact(ResponseTimeout)),
        ("between bytes timeout", exact(ResponseBodyTimeout)),
        ("connection timed out", exact(ConnectTimeout)),
        ("connect timeout", exact(ConnectTimeout)),
        ("operation now in progress", exact(ConnectTimeout)),
        ("connection refused", exact(ConnectRefused)),
        ("connection reset by peer", Reason::one_of(ServiceUnavailable, RESET)),
        ("no route to host", exact(ConnectUnreachable)),
        ("network is unreachable", exact(ConnectUnreachable)),
        ("backend write error", exact(ResponseReset)),
        ("all backends failed or unhealthy", exact(NoLiveUpstream)),
        ("backend is unhealthy", exact(NoLiveUpstream)),
        ("no backend", exact(NoLiveUpstream)),
        ("backend.max_conn reached", exact(UpstreamOverloaded)),
        ("maximum threads for service reached", exact(UpstreamOverloaded)),
        ("hostname doesn't match against certificate", exact(TlsCertificateNameMismatch)),
        ("ssl handshake error", Reason::one_of(TlsFailed, HANDSHAKE)),
        ("unable to get local issuer certificate", exact(TlsCertificateUntrusted)),
        ("self signed certificate", exact(TlsCertificateUntrusted)),
        ("certificate has expired", exact(TlsCertificateExpired)),
        ("domain not found", exact(GatewayConfig)),
        ("loop detected", exact(GatewayConfig)),
    ]
};

/// A request, from its line.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    let restarts = fields.number(Field::Retries).unwrap_or_default();
    exchange.retries = u32::try_from(restarts).unwrap_or_default();
    exchange.outcome = match exchange.status {
        None => Outcome::ClientClosed,
        Some(status) => failure(fields, status).map_or(Outcome::Served, Outcome::Failed),
    };
    exchange.tried_once(fields.text(Field::Backends));
    Some(exchange)
}

/// The origin answered so; else the reason phrase, which an origin can choose as it likes.
fn failure(fields: &Fields<'_, '_>, status: u16) -> Option<Reason> {
    let own = text::own_status(status)?;
    if fields.status(Field::BackendStatuses) == Some(status) {
        return Some(Reason::exact(own));
    }
    let said = fields.text(Field::Reason).to_ascii_lowercase();
    let known = REASONS.iter().find(|(start, _)| said.starts_with(start.as_bytes()));
    Some(match known {
        Some((_, reason)) => *reason,
        None if status == 503 => Reason::one_of(own, UNAVAILABLE),
        None => Reason::open(own),
    })
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;

    #[test]
    fn reason_phrases() {
        for (status, reason, backend, expected) in [
            ("200", "OK", "200", "200 served"),
            ("502", "Bad Gateway", "502", "502 bad_gateway"),
            ("503", "connection refused", "503", "503 service_unavailable"),
            ("503", "backend read error", "", "503 response_failed?"),
            ("503", "first byte timeout", "", "503 response_timeout"),
            ("503", "between bytes timeout", "", "503 response_body_timeout"),
            ("503", "Connection timed out", "", "503 connect_timeout"),
            ("503", "Connection refused", "", "503 connect_refused"),
            ("503", "connection refused", "", "503 connect_refused"),
            ("503", "Connection reset by peer", "", "503 service_unavailable?"),
            ("503", "No route to host", "", "503 connect_unreachable"),
            ("503", "Network is unreachable", "", "503 connect_unreachable"),
            ("503", "backend write error", "", "503 response_reset"),
            (
                "503",
                "All backends failed or unhealthy (chash)",
                "",
                "503 no_live_upstream",
            ),
            ("503", "Backend is unhealthy", "", "503 no_live_upstream"),
            ("503", "backend.max_conn reached", "", "503 upstream_overloaded"),
            (
                "503",
                "hostname doesn't match against certificate",
                "",
                "503 tls_certificate_name_mismatch",
            ),
            ("503", "SSL handshake error", "", "503 tls_failed?"),
            (
                "503",
                "unable to get local issuer certificate",
                "",
                "503 tls_certificate_untrusted",
            ),
            ("503", "self signed certificate", "", "503 tls_certificate_untrusted"),
            ("503", "certificate has expired", "", "503 tls_certificate_expired"),
            ("503", "Service Unavailable", "", "503 service_unavailable?"),
            ("500", "Domain Not Found", "", "500 gateway_config"),
            ("503", "Loop detected", "", "503 gateway_config"),
        ] {
            let line = format!(
                r#"{{"timestamp":"2026-11-20T10:57:01+0000","client_ip":"192.0.2.1","host":"shop.example","url":"/a","request_user_agent":"curl","response_state":"MISS","response_status":{status},"response_reason":"{reason}","backend":"F_origin","backend_ip":"10.0.0.1","backend_status":"{backend}","elapsed_ms":"12","restarts":"0"}}"#
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    fn the_common_format() {
        let line = r#"192.0.2.1 - - [20/Nov/2026:10:57:01 +0000] "GET /a HTTP/1.1" 503 450"#;
        testing::check(&KIND, &[(line, "503 service_unavailable?")]);
    }
}
