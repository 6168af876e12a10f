//! Caddy 2.
//!
//! Source: `reverseproxy/httptransport.go`.
//! - `dial_timeout` 3 s; `response_header_timeout`, `read_timeout`, `write_timeout`, `tls_timeout`: none.
//! - Keep-alive `idle_timeout` 2 min; `max_response_header_size` 10 MiB.
//! - Certificates are verified.

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
};
