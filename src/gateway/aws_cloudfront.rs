//! AWS CloudFront.
//!
//! Source: the developer guide (origin settings, `http-502-bad-gateway`).
//! - Connection timeout 10 s per attempt, three attempts.
//! - Response timeout 30 s, for the first byte and between packets.
//! - Keep-alive timeout 5 s.
//! - Certificates are verified: expired, self-signed, wrong name or an incomplete chain is a 502.

use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "aws_cloudfront",
    aliases: &["cloudfront"],
    limits: Limits {
        connect: secs(10),
        first_byte: secs(30),
        between_reads: secs(30),
        idle: secs(5),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
};
