//! Cloudflare.
//!
//! Source: `fundamentals/reference/connection-limits`.
//! - TCP connect 19 s; proxy read 120 s, for the first byte and between two reads; proxy write 30 s; proxy idle 900 s.
//! - Response head 128 KB.
//! - Certificates are verified only in the mode "Full (strict)"; there set `tls: { verify: true }` on the origin.

use super::{Kind, NONE, kib, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "cloudflare",
    aliases: &[],
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
    logs: None,
};
