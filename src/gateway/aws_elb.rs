//! AWS Classic Load Balancer.
//!
//! Source: Elastic Load Balancing user guide, `ts-elb-error-message`.
//! - Idle timeout 60 s (1 to 4000): between two reads, for the first byte, and for kept connections.
//! - Backend certificates are verified only with a backend authentication policy.

use std::time::Duration;

use super::page::{Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
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
    page: Some(PAGE),
};

/// It has no page, but reason phrases found nowhere else (`ts-elb-error-message`), which exist in HTTP/1 only. It adds no
/// header to answers it passes on.
pub const PAGE: Page = Page {
    rank: 12,
    read: |answer| {
        let said = Said::by("aws_elb");
        match (answer.status, answer.reason) {
            _ if !answer.is("") => None,
            // A backend that closed a kept connection (`504-error-classic`).
            (504, "GATEWAY_TIMEOUT") if answer.first_byte.is_some_and(|waited| waited < SHORTEST_IDLE_TIMEOUT) => {
                Some(said.bad_gateway().because(Cause::ResponseClosed))
            }
            (504, "GATEWAY_TIMEOUT") => Some(said.timed_out()),
            (502, "BAD_GATEWAY") => Some(said.bad_gateway().because(Cause::ResponseMalformed)),
            (503, "Service Unavailable: Back-end server is at capacity") => {
                Some(said.maybe(&[Cause::NoLiveUpstream, Cause::UpstreamOverloaded]))
            }
            _ => None,
        }
    },
    passed: |_| None,
};

/// The idle timeout cannot be set to less; a 504 that comes sooner is none.
const SHORTEST_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
