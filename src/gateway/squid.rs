//! Squid as an accelerator.
//!
//! Source: `cf.data.pre`.
//! - `peer_connect_timeout` 30 s, which holds for `cache_peer` origins; `read_timeout` 15 min, between two reads.
//! - `server_idle_pconn_timeout` 1 min; `reply_header_max_size` 64 KB.
//! - Certificates are verified.

use super::{Kind, NONE, kib, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "squid",
    aliases: &[],
    limits: Limits {
        connect: secs(30),
        first_byte: secs(900),
        between_reads: secs(900),
        idle: secs(60),
        response_header: kib(64),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
};
