//! Apache httpd with mod_proxy.
//!
//! Source: the documentation of core, mod_proxy and mod_ssl.
//! - `Timeout` 60 s, which `ProxyTimeout`, the worker's `timeout` and `connectiontimeout` fall back to; it counts between two reads.
//!   Some distributions ship `Timeout 300`.
//! - `ResponseFieldSize` (8192 bytes) limits a single header line, not the head.
//! - Idle connections are kept until the backend closes them.
//! - `SSLProxyVerify`: none.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "apache",
    aliases: &["httpd", "apache2"],
    limits: Limits {
        connect: secs(60),
        first_byte: secs(60),
        between_reads: secs(60),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: None,
};
