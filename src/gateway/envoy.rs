//! Envoy.
//!
//! Source: the configuration reference.
//! - Cluster `connect_timeout` 5 s, the TLS handshake included.
//! - Route `timeout` 15 s, from the end of the request to the end of the response.
//! - `stream_idle_timeout` 5 min, between two pieces of a stream.
//! - Upstream `idle_timeout` 1 h: longer than most origins keep a connection.
//! - Without a validation context the peer's certificate is not verified.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "envoy",
    aliases: &[],
    limits: Limits {
        connect: secs(5),
        between_reads: secs(300),
        total: secs(15),
        idle: secs(3600),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: None,
};
