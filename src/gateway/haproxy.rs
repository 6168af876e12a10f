//! HAProxy.
//!
//! Source: `doc/configuration.txt`.
//! - `timeout connect`, `timeout server`, `timeout queue`: none unless configured, so they belong into `limits`.
//! - The head must fit into `tune.bufsize` less `tune.maxrewrite`: 16384 - 1024 bytes.
//! - Idle connections are purged by halves (`pool-purge-delay` 5 s): no firm limit.
//! - `verify` on `ssl` servers: `required`.

use super::{Kind, NONE, kib};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "haproxy",
    aliases: &[],
    limits: Limits {
        response_header: kib(15),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
};
