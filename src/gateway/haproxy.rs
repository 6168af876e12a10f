//! HAProxy.
//!
//! Source: `doc/configuration.txt`.
//! - `timeout connect`, `timeout server`, `timeout queue`: none unless configured, so they belong into `limits`.
//! - The head must fit into `tune.bufsize` less `tune.maxrewrite`: 16384 - 1024 bytes.
//! - Idle connections are purged by halves (`pool-purge-delay` 5 s): no firm limit.
//! - `verify` on `ssl` servers: `required`.

use super::page::{Page, Said};
use super::{Kind, NONE, kib};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "haproxy",
    aliases: &[],
    limits: Limits {
        response_header: kib(15),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
};

/// Its error pages: `src/http.c`. It adds no header to answers it passes on.
///
/// The page of a 503 is the same for no usable server, a failed connection or handshake, and a full queue.
pub const PAGE: Page = Page {
    rank: 18,
    read: |answer| {
        let said = Said::by("haproxy");
        let is =
            |heading: &str, text: &str| answer.begins("<html><body><h1>") && answer.has(heading) && answer.has(text);
        match () {
            () if is(
                "<h1>502 Bad Gateway</h1>",
                "The server returned an invalid or incomplete response.",
            ) =>
            {
                Some(said.bad_gateway().because(Cause::ResponseFailed).maybe(NO_ANSWER))
            }
            () if is(
                "<h1>503 Service Unavailable</h1>",
                "No server is available to handle this request.",
            ) =>
            {
                Some(said.bad_gateway().maybe(NO_SERVER))
            }
            () if is("<h1>504 Gateway Time-out</h1>", "The server didn't respond in time.") => {
                Some(said.timed_out().because(Cause::ResponseTimeout))
            }
            // The reason phrase of `http-request return status 502`, which no other product writes.
            () if answer.reason == "Bad Gateway or Proxy Error" => Some(said.numbered(answer.status)),
            () => None,
        }
    },
    passed: |_| None,
};

const NO_ANSWER: &[Cause] = &[
    Cause::TlsClientCertificateRequired,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];
const NO_SERVER: &[Cause] = &[
    Cause::NoLiveUpstream,
    Cause::ConnectFailed,
    Cause::TlsFailed,
    Cause::DnsFailed,
    Cause::UpstreamOverloaded,
];
