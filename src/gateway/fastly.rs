//! Fastly.
//!
//! Source: Fastly documentation of backends.
//! - `connect_timeout` 1 s, `first_byte_timeout` 15 s, `between_bytes_timeout` 10 s.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "fastly",
    aliases: &[],
    limits: Limits {
        connect: secs(1),
        first_byte: secs(15),
        between_reads: secs(10),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
};
