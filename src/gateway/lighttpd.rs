//! lighttpd with mod_proxy.
//!
//! Source: its `gw_backend.c` and `configfile.c`.
//! - `connect-timeout` 8 s; `read-timeout` and `write-timeout`: none.
//! - Response head 65535 bytes.
//! - Backends are reached in the clear and connections are not kept.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "lighttpd",
    aliases: &[],
    limits: Limits {
        connect: secs(8),
        response_header: Some(65_535),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
};
