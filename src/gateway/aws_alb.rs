//! AWS Application Load Balancer.
//!
//! Source: Elastic Load Balancing user guide (`load-balancer-troubleshooting`, `edit-load-balancer-attributes`).
//! - Connect 10 s, TLS handshake 10 s, both fixed.
//! - Idle timeout 60 s (1 to 4000) on both sides: between two reads, for the first byte, and for kept connections.
//! - Response head 32 KB.
//! - Targets' certificates are not verified.

use super::page::Page;
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "aws_alb",
    aliases: &["alb"],
    limits: Limits {
        connect: secs(10),
        tls: secs(10),
        first_byte: secs(60),
        between_reads: secs(60),
        idle: secs(60),
        response_header: kib(32),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: None,
    page: Some(PAGE),
};

/// nginx's page without the footer, under its own `Server` (public captures). Its 503 is that of a target group without
/// targets; a fixed response has another body. A target's own answer keeps the target's `Server`.
pub const PAGE: Page = Page {
    rank: 11,
    read: |answer| {
        let page = super::nginx::standard_page(answer)?;
        if !page.has_no_footer() || !answer.server_is("awselb/") {
            return None;
        }
        match page.number {
            503 => Some(page.said("aws_alb").because(Cause::NoLiveUpstream)),
            _ => Some(page.said("aws_alb")),
        }
    },
    passed: |answer| answer.server_is("awselb/").then_some("aws_alb"),
};
