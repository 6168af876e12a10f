//! KeyCDN.
//!
//! Source: keycdn.com/support. Its timeouts are not published; connections to the origin are not kept (`Connection: close`).

use super::page::{Page, Said};
use super::{Kind, NONE};

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "keycdn",
    aliases: &[],
    limits: NONE,
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
};

/// Its page for an origin that gives nothing, under the number 500 (support/502-bad-gateway). The reason is never told.
pub const PAGE: Page = Page {
    rank: 8,
    read: |answer| {
        let own = answer.server_is("keycdn") || answer.has(">Origin Not Reachable");
        (own && answer.has("Origin Not Reachable")).then(|| Said::by("keycdn").bad_gateway())
    },
    passed: |answer| answer.server_is("keycdn").then_some("keycdn"),
};
