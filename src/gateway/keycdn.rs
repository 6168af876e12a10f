//! KeyCDN.
//!
//! Source: keycdn.com/support. Its timeouts are not published; connections to the origin are not kept (`Connection: close`).

use super::{Kind, NONE};

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "keycdn",
    aliases: &[],
    limits: NONE,
    verifies_origin_certificate: true,
    logs: None,
};
