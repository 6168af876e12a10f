//! Fastly.
//!
//! Source: Fastly documentation of backends.
//! - `connect_timeout` 1 s, `first_byte_timeout` 15 s, `between_bytes_timeout` 10 s.

use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "fastly",
    aliases: &[],
    limits: Limits {
        connect: secs(1),
        first_byte: secs(15),
        between_reads: secs(10),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
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
    let known = REASONS.iter().find(|(text, _)| reason.starts_with(text));
    match known.map(|(_, cause)| *cause) {
        None => said,
        // Its own doing, not a failure to get an answer: the number stands for itself.
        Some(cause @ (Cause::UpstreamOverloaded | Cause::GatewayConfig)) => said.because(cause),
        Some(Cause::ResponseFailed) => said.bad_gateway().because(Cause::ResponseFailed).maybe(NO_ANSWER),
        // Reset while connecting or after it: two phases.
        Some(Cause::ConnectReset) => said.bad_gateway().maybe(&[Cause::ConnectReset, Cause::ResponseReset]),
        Some(cause) => said.bad_gateway().because(cause),
    }
}

const NO_ANSWER: &[Cause] = &[Cause::ResponseTimeout, Cause::ResponseReset, Cause::ResponseClosed];

/// In lower case; the case differs between versions.
const REASONS: &[(&str, Cause)] = &[
    ("backend read error", Cause::ResponseFailed),
    ("backend write error", Cause::ResponseReset),
    ("first byte timeout", Cause::ResponseTimeout),
    ("between bytes timeout", Cause::ResponseBodyTimeout),
    ("connection timed out", Cause::ConnectTimeout),
    ("operation now in progress", Cause::ConnectTimeout),
    ("connection refused", Cause::ConnectRefused),
    ("connection reset by peer", Cause::ConnectReset),
    ("no route to host", Cause::ConnectUnreachable),
    ("network is unreachable", Cause::ConnectUnreachable),
    ("all backends failed or unhealthy", Cause::NoLiveUpstream),
    ("backend is unhealthy", Cause::NoLiveUpstream),
    ("backend.max_conn reached", Cause::UpstreamOverloaded),
    (
        "hostname doesn't match against certificate",
        Cause::TlsCertificateNameMismatch,
    ),
    ("ssl handshake error", Cause::TlsFailed),
    ("unable to get local issuer certificate", Cause::TlsCertificateUntrusted),
    ("self signed certificate", Cause::TlsCertificateUntrusted),
    ("certificate has expired", Cause::TlsCertificateExpired),
    ("loop detected", Cause::GatewayConfig),
];
