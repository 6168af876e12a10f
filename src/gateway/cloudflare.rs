//! Cloudflare.
//!
//! Source: `fundamentals/reference/connection-limits`.
//! - TCP connect 19 s; proxy read 120 s, for the first byte and between two reads; proxy write 30 s; proxy idle 900 s.
//! - Response head 128 KB.
//! - Certificates are verified only in the mode "Full (strict)"; there set `tls: { verify: true }` on the origin.

use super::page::{Answer, Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "cloudflare",
    aliases: &[],
    limits: Limits {
        connect: secs(19),
        send: secs(30),
        first_byte: secs(120),
        between_reads: secs(120),
        idle: secs(900),
        response_header: kib(128),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: None,
    page: Some(PAGE),
};

/// Its own pages, and its codes (`support/troubleshooting/http-status-codes`). On every answer it sets `Server` and
/// `CF-RAY`.
pub const PAGE: Page = Page {
    rank: 2,
    read: |answer| inner_trouble(answer).or_else(|| own_page(answer)),
    passed: |answer| (answer.server_is("cloudflare") || answer.header("cf-ray").is_some()).then_some("cloudflare"),
};

/// nginx's page with its word in the footer: something inside Cloudflare failed, not the origin.
fn inner_trouble(answer: &Answer<'_>) -> Option<Said> {
    let page = super::nginx::standard_page(answer).filter(|page| page.is_by("cloudflare"))?;
    match page.number {
        500 | 502 | 504 => Some(
            Said::by("cloudflare")
                .numbered(page.number)
                .because(Cause::GatewayInternal),
        ),
        _ => Some(Said::by("cloudflare")),
    }
}

fn own_page(answer: &Answer<'_>) -> Option<Said> {
    if !answer.server_is("cloudflare") || answer.header("cf-ray").is_none() {
        return None;
    }
    let code = stated_code(answer);
    let own = code.is_some() || matches!(answer.status, 520..=527 | 530) || answer.has("id=\"cf-error-details\"");
    own.then(|| of_code(answer.status, code))
}

/// The code in the header, or in the body as plain text or HTML.
fn stated_code(answer: &Answer<'_>) -> Option<u16> {
    let header = answer.header("cf-error-type").map(str::as_bytes);
    let plain = answer.body.strip_prefix(b"error code: ").filter(|_| answer.whole);
    let first = header.or(plain).and_then(super::page::leading_number);
    first
        .or_else(|| answer.number_after("<span class=\"cf-error-code\">"))
        .or_else(|| answer.number_after("<span class=\"code-label\">Error code "))
}

/// 520 to 526 and 530 are bad gateways; a 502 or 504 in Cloudflare's dress is the origin's own.
fn of_code(status: u16, code: Option<u16>) -> Said {
    let said = match status {
        520..=527 | 530 => Said::by("cloudflare").bad_gateway(),
        _ => Said::by("cloudflare"),
    };
    match code.unwrap_or(status) {
        520 => said.because(Cause::ResponseFailed).maybe(UNKNOWN_ERROR),
        521 => said.because(Cause::ConnectRefused),
        522 => said.because(Cause::ConnectTimeout),
        523 => said.because(Cause::ConnectUnreachable),
        524 => said.because(Cause::ResponseTimeout),
        525 | 526 => said.because(Cause::TlsFailed),
        1000 | 1002 => said.maybe(&[Cause::DnsUnexpectedAddress, Cause::GatewayConfig]),
        1001 => said.because(Cause::DnsNxdomain),
        1014 | 1018 | 1023 | 1025 => said.because(Cause::GatewayConfig),
        1016 => said
            .because(Cause::DnsFailed)
            .maybe(&[Cause::DnsNxdomain, Cause::DnsServfail]),
        1027 | 1101 | 1102 => said.because(Cause::GatewayInternal),
        1033 => said.because(Cause::NoLiveUpstream),
        _ => said,
    }
}

const UNKNOWN_ERROR: &[Cause] = &[
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];
