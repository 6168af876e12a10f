//! Traefik 2 and 3.
//!
//! Source: `pkg/config/static`, and Go's `net/http` below it.
//! - `forwardingTimeouts.dialTimeout` 30 s, `responseHeaderTimeout` none, `idleConnTimeout` 90 s.
//! - TLS handshake 10 s, fixed; response head 10 MiB.
//! - Certificates are verified.

use super::{Kind, NONE, kib, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "traefik",
    aliases: &[],
    limits: Limits {
        connect: secs(30),
        tls: secs(10),
        idle: secs(90),
        response_header: kib(10 * 1024),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
};
