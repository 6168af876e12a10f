//! Apache httpd with mod_proxy.
//!
//! Source: the documentation of core, mod_proxy and mod_ssl.
//! - `Timeout` 60 s, which `ProxyTimeout`, the worker's `timeout` and `connectiontimeout` fall back to; it counts between two reads.
//!   Some distributions ship `Timeout 300`.
//! - `ResponseFieldSize` (8192 bytes) limits a single header line, not the head.
//! - Idle connections are kept until the backend closes them.
//! - `SSLProxyVerify`: none.

use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "apache",
    aliases: &["httpd", "apache2"],
    limits: Limits {
        connect: secs(60),
        first_byte: secs(60),
        between_reads: secs(60),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: None,
    page: Some(PAGE),
};

/// Its error pages: `modules/http/http_protocol.c`. Answers it passes on keep the `Server` of the backend.
pub const PAGE: Page = Page {
    rank: 17,
    read: |answer| proxy_error(answer).or_else(|| other_page(answer)),
    passed: |answer| answer.server_is("Apache").then_some("apache"),
};

/// What mod_proxy writes; no other part of httpd does.
fn proxy_error(answer: &Answer<'_>) -> Option<Said> {
    let said = Said::by("apache").bad_gateway();
    let headed = |heading: &str| answer.has(heading);
    let invalid = answer.has("The proxy server received an invalid");
    match () {
        () if headed("<h1>Proxy Error</h1>")
            && (invalid || answer.has("The proxy server could not handle the request")) =>
        {
            Some(with_reason(said, answer))
        }
        () if headed("<h1>Bad Gateway</h1>") && invalid => Some(said.because(Cause::ResponseFailed).maybe(NO_ANSWER)),
        () if headed("<h1>Gateway Timeout</h1>") && answer.has("The gateway did not receive a timely response") => {
            Some(said.timed_out().because(Cause::ResponseTimeout))
        }
        // A page of the operator's own; the reason phrase stays.
        () if answer.reason == "Proxy Error" => Some(said),
        () => None,
    }
}

/// The text after `Reason:` is that of the error log (`ap_proxyerror`).
fn with_reason(said: Said, answer: &Answer<'_>) -> Said {
    let reason = answer.between("Reason: <strong>", "<").unwrap_or_default();
    let cause = REASONS.iter().find(|(text, _)| reason.starts_with(text));
    match cause {
        Some((_, Cause::ResponseFailed)) => said.because(Cause::ResponseFailed).maybe(NO_ANSWER),
        Some((_, cause)) => said.because(*cause),
        None => said,
    }
}

/// A timeout is among them: mod_proxy_http answers 502 to it.
const NO_ANSWER: &[Cause] = &[
    Cause::TlsClientCertificateRequired,
    Cause::ResponseTimeout,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];

const REASONS: &[(&str, Cause)] = &[
    ("Error reading from remote server", Cause::ResponseFailed),
    ("DNS lookup failure for", Cause::DnsFailed),
    ("Error during SSL Handshake with remote server", Cause::TlsFailed),
    (
        "Corrupt status line returned by remote server",
        Cause::ResponseMalformed,
    ),
    ("Malformed connection header returned by", Cause::ResponseMalformed),
    ("Unexpected Upgrade", Cause::ResponseMalformed),
    ("Too many (", Cause::ResponseMalformed),
    ("Timeout on 100-Continue", Cause::ResponseTimeout),
];

/// Pages httpd writes as a server too. Its 503 is that of a failed connection where it is a gateway.
fn other_page(answer: &Answer<'_>) -> Option<Said> {
    let said = Said::by("apache");
    match () {
        () if answer.has("maintenance downtime or capacity") && answer.has("<h1>Service Unavailable</h1>") => {
            match answer.through("apache") {
                true => Some(said.bad_gateway().maybe(NO_CONNECTION)),
                false => Some(said),
            }
        }
        () if answer.has("<h1>Internal Server Error</h1>")
            && answer.has("The server encountered an internal error or") =>
        {
            Some(said)
        }
        () => None,
    }
}

const NO_CONNECTION: &[Cause] = &[Cause::ConnectFailed, Cause::NoLiveUpstream, Cause::UpstreamOverloaded];
