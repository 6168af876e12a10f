//! Azure Front Door.
//!
//! Source: Azure documentation (`troubleshoot-issues`).
//! - Origin response timeout 30 s (16 to 240 s in Standard and Premium), until the response begins.
//! - The certificate's name and chain are checked.

use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "azure_front_door",
    aliases: &["front_door"],
    limits: Limits {
        first_byte: secs(30),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
};

/// Its page and the header with its reference (`troubleshoot-issues`). Asked with `X-Azure-DebugInfo: 1` it also says
/// what was wrong with the origin (`front-door-http-headers-protocol`).
pub const PAGE: Page = Page {
    rank: 6,
    read: |answer| {
        // The apostrophe is a plain or a typographic one.
        let own = reference(answer).is_some() && answer.has("Our services aren") && answer.has("t available right now");
        own.then(|| with_cause(Said::by("azure_front_door").bad_gateway(), answer))
    },
    passed: |answer| reference(answer).map(|_| "azure_front_door"),
};

/// Microsoft's own sites spell it otherwise.
fn reference<'a>(answer: &Answer<'a>) -> Option<&'a str> {
    answer.header("x-azure-ref").or(answer.header("x-msedge-ref"))
}

fn with_cause(said: Said, answer: &Answer<'_>) -> Said {
    match answer.header("x-azure-externalerror") {
        Some(text) if text.contains("The certificate authority was unfamiliar") => {
            said.because(Cause::TlsCertificateUntrusted)
        }
        _ => said,
    }
}
