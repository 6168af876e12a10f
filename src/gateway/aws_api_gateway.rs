//! AWS API Gateway.
//!
//! Source: the developer guide, `limits`.
//! - Integration timeout 29 s for REST APIs (30 s for HTTP APIs), the whole exchange.
//! - Payload 10 MB.
//! - Certificates of HTTP integrations are verified.

use super::{Kind, NONE, kib, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "aws_api_gateway",
    aliases: &["api_gateway"],
    limits: Limits {
        total: secs(29),
        response_body: kib(10 * 1024),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
};
