//! A gateway of a kind nothing is known of: no limits, certificates verified. State its limits under `limits`.
//!
//! Its logs are not read: nothing is known of their format. A gateway that writes the format of another one is read
//! as that kind.

use super::page::{Page, Said};
use super::{Kind, NONE};

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "generic",
    aliases: &["other", "unknown"],
    products: &[],
    limits: NONE,
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
    commands: &[],
};

/// Pages of a layer that rewrites what it gets: texts named in public support pages
/// (keycdn.com/support/502-bad-gateway) whose writer is not known. Only a title or a heading that says just that, so
/// that no page about a 502 is taken for one.
pub const PAGE: Page = Page {
    rank: 24,
    read: |answer| {
        let start = answer.body.trim_ascii_start();
        let is = |tag: &[u8]| {
            start
                .get(..tag.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(tag))
        };
        if !is(b"<html") && !is(b"<!doctype html") {
            return None;
        }
        let title = answer.between("<title>", "</title>");
        let said = title.or_else(|| answer.between("<h1>", "</h1>"))?.trim();
        let known = BAD_GATEWAY.iter().any(|text| said.eq_ignore_ascii_case(text));
        known.then_some(Said::NOTHING.bad_gateway())
    },
    passed: |_| None,
};

const BAD_GATEWAY: &[&str] = &[
    "502 Bad Gateway",
    "502 - Bad Gateway",
    "502: Bad Gateway",
    "Error 502",
    "HTTP 502",
    "HTTP Error 502",
    "HTTP Error 502 - Bad Gateway",
    "502 Proxy Error",
    "502 Service Temporarily Overloaded",
    "502 Bad Gateway NGINX",
    "Temporary Error (502)",
];
