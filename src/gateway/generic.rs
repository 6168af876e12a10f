//! A gateway of a kind nothing is known of: no limits, certificates verified. State its limits under `limits`.

use super::{Kind, NONE};

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "generic",
    aliases: &["other", "unknown"],
    limits: NONE,
    verifies_origin_certificate: true,
    logs: None,
};
