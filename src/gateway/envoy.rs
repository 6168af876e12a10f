//! Envoy.
//!
//! Source: the configuration reference.
//! - Cluster `connect_timeout` 5 s, the TLS handshake included.
//! - Route `timeout` 15 s, from the end of the request to the end of the response.
//! - `stream_idle_timeout` 5 min, between two pieces of a stream.
//! - Upstream `idle_timeout` 1 h: longer than most origins keep a connection.
//! - Without a validation context the peer's certificate is not verified.

use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "envoy",
    aliases: &[],
    limits: Limits {
        connect: secs(5),
        between_reads: secs(300),
        total: secs(15),
        idle: secs(3600),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: None,
    page: Some(PAGE),
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
    let failed = said.bad_gateway();
    match reason {
        "connection failure" | "remote connection failure" | "local connection failure" => {
            match TRANSPORT.iter().find(|(part, _)| transport.contains(part)) {
                Some((_, cause)) => failed.because(*cause),
                None => failed.maybe(NO_CONNECTION),
            }
        }
        // The connect timeout includes the handshake.
        "connection timeout" => failed.maybe(&[Cause::ConnectTimeout, Cause::TlsTimeout]),
        "connection termination" => failed
            .because(Cause::ResponseFailed)
            .maybe(&[Cause::ResponseReset, Cause::ResponseClosed]),
        "remote reset" | "remote refused stream reset" => failed.because(Cause::ResponseReset),
        "protocol error" => failed
            .because(Cause::ResponseFailed)
            .maybe(&[Cause::ResponseMalformed, Cause::ResponseHeaderTooLarge]),
        // Its own doing, not a failure to get an answer: the number stands for itself.
        "overflow" | "overload manager reset" => said.because(Cause::UpstreamOverloaded),
        "local reset" | "local refused stream reset" => said.because(Cause::GatewayInternal),
        _ => failed,
    }
}

/// Transport failure reasons, the surest first (issues 15584, 17484, 22368 of envoyproxy/envoy). Since the release of
/// 2026 that detects resets in the TLS socket a connection failure without one does not exclude certificates (issue
/// 45011).
const TRANSPORT: &[(&str, Cause)] = &[
    ("delayed connect error: 111", Cause::ConnectRefused),
    ("delayed connect error: Connection refused", Cause::ConnectRefused),
    ("delayed connect error: 110", Cause::ConnectTimeout),
    ("delayed connect error: Connection timed out", Cause::ConnectTimeout),
    ("delayed connect error:", Cause::ConnectFailed),
    ("immediate connect error:", Cause::ConnectFailed),
    ("WRONG_VERSION_NUMBER", Cause::TlsNotTls),
    ("certificate has expired", Cause::TlsCertificateExpired),
    ("TLS_error:", Cause::TlsFailed),
    ("TLS error:", Cause::TlsFailed),
];

const NO_CONNECTION: &[Cause] = &[Cause::ConnectFailed, Cause::TlsFailed];
