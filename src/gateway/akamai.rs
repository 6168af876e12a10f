//! Akamai.
//!
//! Source: the Property Manager documentation.
//! - Read timeout 120 s until the first byte (shorter in some versions).
//! - Kept connections 300 s.
//!
//! Its logs are not read: DataStream 2 (techdocs.akamai.com/datastream2, "Data set parameters") writes the fields its
//! owner chooses, in an order of their own, and what its error codes say of the origin is not documented in public.
//!
//! Commands: techdocs.akamai.com/edge-diagnostics/docs/pragma-headers.

use super::commands::Command;
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "akamai",
    aliases: &[],
    products: &["akamaighost"],
    limits: Limits {
        first_byte: secs(120),
        idle: secs(300),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
    commands: &[Command {
        shows: "whether it answers from its cache, and where its log has the request",
        line: "curl -sI -H 'Pragma: akamai-x-cache-on, akamai-x-get-request-id' 'https://{front}{path}'",
    }],
};

/// Its page ends with a reference: groups of hexadecimal digits with dots, the number before the first dot being the kind
/// of error (public captures, IBM's `ts-503-error` for 30). `Server` names it on its own pages only.
pub const PAGE: Page = Page {
    rank: 9,
    read: |answer| {
        let prefix = reference_prefix(answer);
        let own = answer.server_is("AkamaiGHost") || prefix.is_some();
        own.then(|| of_page(answer, prefix))
    },
    passed: |answer| {
        let own = answer.server_is("AkamaiGHost") || answer.header("akamai-grn").is_some();
        own.then_some("akamai")
    },
};

fn of_page(answer: &Answer<'_>, prefix: Option<u16>) -> Said {
    let said = Said::by("akamai");
    match () {
        () if answer.has("The proxy server did not receive a timely response") => {
            said.timed_out().maybe(&[Cause::ConnectTimeout, Cause::ResponseTimeout])
        }
        () if answer.has("Service Unavailable - Zero size object") => said.bad_gateway().because(Cause::ResponseClosed),
        () if answer.has("Service Unavailable - DNS failure") => said.bad_gateway().because(Cause::DnsFailed),
        () if prefix == Some(30) && answer.status == 503 => said.bad_gateway().because(Cause::TlsFailed),
        () => said,
    }
}

/// The digits before the first dot of `Reference #1.2d351ab8.1557333295.a4e16ab`, which may be written as entities.
fn reference_prefix(answer: &Answer<'_>) -> Option<u16> {
    let (text, dot) = match answer.after("Reference&#32;&#35;") {
        Some(text) => (text, "&#46;"),
        None => (answer.after("Reference #")?, "."),
    };
    let groups: Vec<&str> = text.splitn(4, dot).collect();
    let hex = |group: &&&str| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let whole = groups.len() == 4 && groups.iter().take(3).filter(hex).count() == 3;
    whole.then(|| groups[0].parse().ok()).flatten()
}
