//! AWS Classic Load Balancer.
//!
//! Source: Elastic Load Balancing user guide, `ts-elb-error-message`.
//! - Idle timeout 60 s (1 to 4000): between two reads, for the first byte, and for kept connections.
//! - Backend certificates are verified only with a backend authentication policy.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "aws_elb",
    aliases: &["elb"],
    limits: Limits {
        first_byte: secs(60),
        between_reads: secs(60),
        idle: secs(60),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: None,
};
