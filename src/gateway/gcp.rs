//! Google Cloud external and internal HTTP(S) load balancers.
//!
//! Source: Cloud Load Balancing documentation (`https/request-distribution`, backend services).
//! - Backend service timeout 30 s, the whole exchange.
//! - Kept connections 600 s, fixed.
//! - Backend certificates are verified only with backend authentication configured.

use super::page::{Answer, Page, Said};
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
    page: Some(PAGE),
};

/// The balancer's page, and that of the front end of Google's own services (public captures). Balancers built on Envoy
/// write Envoy's texts. Only answers passed on have the `Via`.
pub const PAGE: Page = Page {
    rank: 10,
    read: |answer| balancer(answer).or_else(|| front_end(answer)),
    passed: |answer| answer.via("1.1 google").then_some("gcp"),
};

fn balancer(answer: &Answer<'_>) -> Option<Said> {
    let number = answer.number_after("<title>")?;
    let own = answer.has(" Server Error</title>") && answer.has("<h1>Error: Server Error</h1>");
    own.then(|| Said::by("gcp").numbered(number))
}

/// The apostrophe of "That's an error" is often mangled on the way.
fn front_end(answer: &Answer<'_>) -> Option<Said> {
    let own = answer.has("(Server Error)!!1</title>") || answer.has("</b> <ins>That");
    let number = answer
        .number_after("<title>Error ")
        .or_else(|| answer.number_after("<p><b>"))?;
    own.then(|| Said::by("google_front_end").numbered(number))
}
