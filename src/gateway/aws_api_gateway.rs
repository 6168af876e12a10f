//! AWS API Gateway.
//!
//! Source: the developer guide, `limits`.
//! - Integration timeout 29 s for REST APIs (30 s for HTTP APIs), the whole exchange.
//! - Payload 10 MB.
//! - Certificates of HTTP integrations are verified.

use super::page::{Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
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
    page: Some(PAGE),
};

/// Its errors are JSON with one message (public captures); the headers alone stand on every answer. With CloudFront in
/// front the body still tells.
///
/// `Internal server error` comes with 500 and 502 alike and says nothing more.
pub const PAGE: Page = Page {
    rank: 13,
    read: |answer| {
        let own = answer.header("x-amz-apigw-id").or(answer.header("apigw-requestid"));
        let message = answer
            .between("{\"message\":", "}")
            .filter(|_| own.is_some() && answer.begins("{"))?;
        let said = Said::by("aws_api_gateway");
        match message.trim().trim_matches('"') {
            "Endpoint request timed out" => Some(said.timed_out().because(Cause::ResponseTimeout)),
            "Internal server error" | "Service Unavailable" => Some(said),
            "Bad Gateway" => Some(said.bad_gateway()),
            _ => None,
        }
    },
    passed: |answer| {
        let own = answer.header("x-amz-apigw-id").or(answer.header("apigw-requestid"));
        own.map(|_| "aws_api_gateway")
    },
};
