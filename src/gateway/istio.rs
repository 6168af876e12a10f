//! Istio: Envoy as sidecar or gateway, configured by its control plane.
//!
//! Source: the configuration reference of Envoy. Istio sets no route timeout; its connect timeout differs between versions and
//! belongs into `limits`.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "istio",
    aliases: &[],
    limits: Limits {
        between_reads: secs(300),
        idle: secs(3600),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: None,
};
