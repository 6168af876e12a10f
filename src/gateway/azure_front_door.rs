//! Azure Front Door.
//!
//! Source: Azure documentation (`troubleshoot-issues`).
//! - Origin response timeout 30 s (16 to 240 s in Standard and Premium), until the response begins.
//! - The certificate's name and chain are checked.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "azure_front_door",
    aliases: &["front_door"],
    limits: Limits {
        first_byte: secs(30),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
};
