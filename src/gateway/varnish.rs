//! Varnish.
//!
//! Source: `include/tbl/params.h`.
//! - `connect_timeout` 3.5 s, `first_byte_timeout` 60 s, `between_bytes_timeout` 60 s, `backend_idle_timeout` 60 s.
//! - `http_resp_size` 32 KiB, the whole head.
//! - Backends are reached in the clear (TLS is in the Enterprise version only).

use std::time::Duration;

use super::page::{Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "varnish",
    aliases: &[],
    limits: Limits {
        connect: Some(Duration::from_millis(3500)),
        first_byte: secs(60),
        between_reads: secs(60),
        idle: secs(60),
        response_header: kib(32),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
};

/// Its synthetic page: `builtin.vcl`. `Backend fetch failed` is written where no answer of a backend could be used; any
/// other reason may be the operator's own (`synth`).
pub const PAGE: Page = Page {
    rank: 5,
    read: |answer| {
        let own = answer.header("x-varnish").is_some() || answer.has("<p>Varnish cache server</p>");
        if !own || !answer.has("<h3>Guru Meditation:</h3>") {
            return None;
        }
        let said = Said::by("varnish");
        match answer.between("<h1>Error ", "</h1>")? {
            "503 Backend fetch failed" => Some(said.bad_gateway()),
            _ => Some(said),
        }
    },
    passed: |answer| (answer.header("x-varnish").is_some() || answer.via("(Varnish/")).then_some("varnish"),
};
