//! Caddy 2.
//!
//! Source: `reverseproxy/httptransport.go`.
//! - `dial_timeout` 3 s; `response_header_timeout`, `read_timeout`, `write_timeout`, `tls_timeout`: none.
//! - Keep-alive `idle_timeout` 2 min; `max_response_header_size` 10 MiB.
//! - Certificates are verified.

use super::page::{Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "caddy",
    aliases: &[],
    limits: Limits {
        connect: secs(3),
        idle: secs(120),
        response_header: kib(10 * 1024),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
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
