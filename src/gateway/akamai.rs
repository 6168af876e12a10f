//! Akamai.
//!
//! Source: the Property Manager documentation.
//! - Read timeout 120 s until the first byte (shorter in some versions).
//! - Kept connections 300 s.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "akamai",
    aliases: &[],
    limits: Limits {
        first_byte: secs(120),
        idle: secs(300),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
};
