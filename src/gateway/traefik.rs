//! Traefik 2 and 3.
//!
//! Source: `pkg/config/static`, and Go's `net/http` below it.
//! - `forwardingTimeouts.dialTimeout` 30 s, `responseHeaderTimeout` none, `idleConnTimeout` 90 s.
//! - TLS handshake 10 s, fixed; response head 10 MiB.
//! - Certificates are verified.

use super::page::{Answer, Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "traefik",
    aliases: &[],
    limits: Limits {
        connect: secs(30),
        tls: secs(10),
        idle: secs(90),
        response_header: kib(10 * 1024),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
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
