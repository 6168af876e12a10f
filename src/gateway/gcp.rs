//! Google Cloud external and internal HTTP(S) load balancers.
//!
//! Source: Cloud Load Balancing documentation (`https/request-distribution`, backend services).
//! - Backend service timeout 30 s, the whole exchange.
//! - Kept connections 600 s, fixed.
//! - Backend certificates are verified only with backend authentication configured.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "gcp",
    aliases: &["gcp_lb", "google"],
    limits: Limits {
        total: secs(30),
        idle: secs(600),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: None,
};
