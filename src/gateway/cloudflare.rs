//! Cloudflare.
//!
//! Source: `fundamentals/reference/connection-limits`.
//! - TCP connect 19 s; proxy read 120 s, for the first byte and between two reads; proxy write 30 s; proxy idle 900 s.
//! - Response head 128 KB.
//! - Certificates are verified only in the mode "Full (strict)"; there set `tls: { verify: true }` on the origin.
//!
//! Commands: developers.cloudflare.com/fundamentals/reference/cdn-cgi-endpoint/ and
//! developers.cloudflare.com/support/troubleshooting/general-troubleshooting/gathering-information-for-troubleshooting-sites/.

use super::commands::Command;
use super::log::{Field, Fields, Format, Key, Layout, Logs, Unit, key, key_in, text};
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::exchange::{Attempt, Exchange, Outcome, Reason};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "cloudflare",
    aliases: &[],
    products: &["cloudflare"],
    limits: Limits {
        connect: secs(19),
        send: secs(30),
        first_byte: secs(120),
        between_reads: secs(120),
        idle: secs(900),
        response_header: kib(128),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "which data centre answers from here",
            line: "curl -s 'https://{front}/cdn-cgi/trace'",
        },
        Command {
            shows: "the same request past it, at the origin",
            line: "curl -svo /dev/null --connect-to '::{address}' 'https://{front}{path}'",
        },
    ],
};

/// Its own pages, and its codes (`support/troubleshooting/http-status-codes`). On every answer it sets `Server` and
/// `CF-RAY`.
pub const PAGE: Page = Page {
    rank: 2,
    read: |answer| inner_trouble(answer).or_else(|| own_page(answer)),
    passed: |answer| (answer.server_is("cloudflare") || answer.header("cf-ray").is_some()).then_some("cloudflare"),
};

/// nginx's page with its word in the footer: something inside Cloudflare failed, not the origin.
fn inner_trouble(answer: &Answer<'_>) -> Option<Said> {
    let page = super::nginx::standard_page(answer).filter(|page| page.is_by("cloudflare"))?;
    match page.number {
        500 | 502 | 504 => Some(
            Said::by("cloudflare")
                .numbered(page.number)
                .because(Cause::GatewayInternal),
        ),
        _ => Some(Said::by("cloudflare")),
    }
}

fn own_page(answer: &Answer<'_>) -> Option<Said> {
    if !answer.server_is("cloudflare") || answer.header("cf-ray").is_none() {
        return None;
    }
    let code = stated_code(answer);
    let own = code.is_some() || matches!(answer.status, 520..=527 | 530) || answer.has("id=\"cf-error-details\"");
    own.then(|| of_code(answer.status, code))
}

/// The code in the header, or in the body as plain text or HTML.
fn stated_code(answer: &Answer<'_>) -> Option<u16> {
    let header = answer.header("cf-error-type").map(str::as_bytes);
    let plain = answer.body.strip_prefix(b"error code: ").filter(|_| answer.whole);
    let first = header.or(plain).and_then(super::page::leading_number);
    first
        .or_else(|| answer.number_after("<span class=\"cf-error-code\">"))
        .or_else(|| answer.number_after("<span class=\"code-label\">Error code "))
}

/// 520 to 526 and 530 are bad gateways; a 502 or 504 in Cloudflare's dress is the origin's own.
fn of_code(status: u16, code: Option<u16>) -> Said {
    let said = match status {
        520..=527 | 530 => Said::by("cloudflare").bad_gateway(),
        _ => Said::by("cloudflare"),
    };
    match code.unwrap_or(status) {
        520 => said.because(Cause::ResponseFailed).maybe(UNKNOWN_ERROR),
        521 => said.because(Cause::ConnectRefused),
        522 => said.because(Cause::ConnectTimeout),
        523 => said.because(Cause::ConnectUnreachable),
        524 => said.because(Cause::ResponseTimeout),
        525 | 526 => said.because(Cause::TlsFailed),
        1000 | 1002 => said.maybe(&[Cause::DnsUnexpectedAddress, Cause::GatewayConfig]),
        1001 => said.because(Cause::DnsNxdomain),
        1014 | 1018 | 1023 | 1025 => said.because(Cause::GatewayConfig),
        1016 => said
            .because(Cause::DnsFailed)
            .maybe(&[Cause::DnsNxdomain, Cause::DnsServfail]),
        1027 | 1101 | 1102 => said.because(Cause::GatewayInternal),
        1033 => said.because(Cause::NoLiveUpstream),
        _ => said,
    }
}

const UNKNOWN_ERROR: &[Cause] = &[
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];

/// What its logs look like and mean.
///
/// Source: Cloudflare documentation, Logpush data set `http_requests`, and "Cloudflare 5xx errors" for the numbers.
const LOGS: Logs = Logs {
    formats: &[Format {
        name: "http_requests",
        layout: Layout::Json(JSON),
    }],
    syntax: None,
    variables: &[],
    exchange,
    errors: None,
    causes: CAUSES,
    tells: "The status says where it failed: 521 to 526 name connect, timeout and TLS. With OriginResponseStatus an origin's own 5xx is told from one made by Cloudflare, with OriginTCPHandshakeDurationMs a request on a kept connection. Ask for EdgeStartTimestamp, EdgeResponseStatus, OriginResponseStatus, OriginIP, ClientIP, ClientRequestHost, ClientRequestURI, ClientRequestUserAgent, OriginResponseDurationMs, OriginTCPHandshakeDurationMs and WorkerStatus.",
    silent: "What lies behind 520 (closed, reset, malformed, header too large), 525 (any handshake) and 526 (any certificate); the number that belongs to a 530.",
};

const JSON: &[Key] = &[
    key("EdgeStartTimestamp", Field::Time),
    key("EdgeResponseStatus", Field::Status),
    key("OriginResponseStatus", Field::BackendStatuses),
    key("OriginIP", Field::Backends),
    key("ClientIP", Field::Client),
    key("ClientRequestHost", Field::Host),
    key("ClientRequestURI", Field::Target),
    key("ClientRequestUserAgent", Field::Agent),
    key("RayID", Field::RequestId),
    key("ZoneName", Field::Name),
    key("CacheCacheStatus", Field::Cache),
    key("WorkerStatus", Field::State),
    key_in("OriginResponseDurationMs", Field::BackendTimes, Unit::Millis),
    key_in("OriginTCPHandshakeDurationMs", Field::ConnectTimes, Unit::Millis),
    key_in("EdgeTimeToFirstByteMs", Field::Duration, Unit::Millis),
];

const CAUSES: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ResponseTimeout,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::GatewayInternal,
    Cause::TlsFailed,
    Cause::ResponseFailed,
];

const ANY_520: &[Cause] = &[
    Cause::ResponseClosed,
    Cause::ResponseReset,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];
const ANY_525: &[Cause] = &[
    Cause::TlsTimeout,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsClientCertificateRequired,
];
const ANY_526: &[Cause] = &[
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
];
/// The number behind a 530 is on the page alone.
const ANY_530: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsServfail,
    Cause::DnsUnexpectedAddress,
    Cause::NoLiveUpstream,
    Cause::GatewayConfig,
];

/// A request, from its record.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    exchange.backend_time = fields.time(Field::BackendTimes);
    exchange.outcome = match exchange.status {
        None | Some(499) => Outcome::ClientClosed,
        Some(status) => failure(fields, status).map_or(Outcome::Served, Outcome::Failed),
    };
    attempt(fields, &mut exchange);
    Some(exchange)
}

/// Cloudflare's own numbers, then what the origin answered, then what Cloudflare made of it.
fn failure(fields: &Fields<'_, '_>, status: u16) -> Option<Reason> {
    let own = text::own_status(status)?;
    if let Some(reason) = by_number(status) {
        return Some(reason);
    }
    let worker = fields.text(Field::State);
    Some(match fields.number(Field::BackendStatuses) {
        Some(answered) if answered == i64::from(status) => Reason::exact(own),
        _ if !matches!(worker, b"" | b"unknown" | b"ok") => Reason::exact(Cause::GatewayInternal),
        // The origin was not asked, or gave no answer that counts, and no script answered for it.
        Some(0) if worker != b"ok" => Reason::exact(Cause::GatewayInternal),
        _ => Reason::open(own),
    })
}

/// The numbers that only Cloudflare writes.
fn by_number(status: u16) -> Option<Reason> {
    Some(match status {
        520 => Reason::one_of(Cause::ResponseFailed, ANY_520),
        521 => Reason::exact(Cause::ConnectRefused),
        522 => Reason::exact(Cause::ConnectTimeout),
        523 => Reason::exact(Cause::ConnectUnreachable),
        524 => Reason::exact(Cause::ResponseTimeout),
        525 => Reason::one_of(Cause::TlsFailed, ANY_525),
        526 => Reason::one_of(Cause::TlsFailed, ANY_526),
        530 => Reason::one_of(Cause::ServerError, ANY_530),
        _ => return None,
    })
}

/// The origin's answer; behind a stale copy it may be a failure nobody saw.
fn attempt<'l>(fields: &Fields<'_, 'l>, exchange: &mut Exchange<'l>) {
    let backend = fields.text(Field::Backends);
    if backend.is_empty() {
        return;
    }
    let answered = fields.status(Field::BackendStatuses);
    let hidden = || answered.and_then(|status| by_number(status).or(text::own_status(status).map(Reason::exact)));
    exchange.attempts.push(Attempt {
        backend,
        reason: match exchange.outcome {
            Outcome::Failed(reason) => Some(reason),
            Outcome::Served | Outcome::ClientClosed => hidden(),
        },
        reused: fields.number(Field::ConnectTimes).map(|millis| millis == 0),
    });
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;
    use crate::exchange::Line;

    fn record(edge: u16, origin: u16, worker: &str) -> String {
        format!(
            r#"{{"ClientIP":"192.0.2.1","ClientRequestHost":"shop.example","ClientRequestURI":"/a?b","EdgeResponseStatus":{edge},"EdgeStartTimestamp":1795172221123456789,"OriginIP":"10.0.0.1","OriginResponseStatus":{origin},"OriginTCPHandshakeDurationMs":0,"RayID":"3a6","WorkerStatus":"{worker}"}}"#
        )
    }

    #[test]
    fn statuses() {
        for (edge, origin, worker, expected) in [
            (200, 200, "unknown", "200 served"),
            (200, 521, "unknown", "200 served"),
            (502, 502, "unknown", "502 bad_gateway"),
            (503, 503, "unknown", "503 service_unavailable"),
            (504, 504, "unknown", "504 gateway_timeout"),
            (502, 0, "unknown", "502 gateway_internal"),
            (500, 0, "exception", "500 gateway_internal"),
            (503, 0, "ok", "503 service_unavailable"),
            (520, 520, "unknown", "520 response_failed?"),
            (520, 0, "unknown", "520 response_failed?"),
            (521, 521, "unknown", "521 connect_refused"),
            (522, 522, "unknown", "522 connect_timeout"),
            (523, 523, "unknown", "523 connect_unreachable"),
            (524, 524, "unknown", "524 response_timeout"),
            (525, 525, "unknown", "525 tls_failed?"),
            (526, 526, "unknown", "526 tls_failed?"),
            (527, 527, "unknown", "527 server_error"),
            (530, 0, "unknown", "530 server_error?"),
            (499, 0, "unknown", "499 client_closed"),
            (0, 0, "unknown", "- client_closed"),
        ] {
            let line = record(edge, origin, worker);
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
        let few = r#"{"EdgeResponseStatus":502,"EdgeStartTimestamp":"2026-11-20T10:57:01Z"}"#;
        testing::check(&KIND, &[(few, "502 bad_gateway"), ("{}", "foreign")]);
    }

    #[test]
    fn attempts_behind_the_edge() {
        for (edge, reason) in [(520, Some(Cause::ResponseFailed)), (200, Some(Cause::ResponseFailed))] {
            let line = record(edge, 520, "unknown");
            let mut parser = super::super::log::Parser::new(&KIND, None).unwrap();
            let Some(Line::Exchange(exchange)) = parser.read(line.as_bytes()) else {
                panic!("not read: {line}");
            };
            assert_eq!(exchange.attempts[0].reused, Some(true));
            assert_eq!(exchange.attempts[0].reason.map(|reason| reason.cause), reason);
        }
    }
}
