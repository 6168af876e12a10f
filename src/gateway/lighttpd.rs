//! lighttpd with mod_proxy.
//!
//! Source: its `gw_backend.c` and `configfile.c`.
//! - `connect-timeout` 8 s; `read-timeout` and `write-timeout`: none.
//! - Response head 65535 bytes.
//! - Backends are reached in the clear and connections are not kept.

use super::page::{Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "lighttpd",
    aliases: &[],
    limits: Limits {
        connect: secs(8),
        response_header: Some(65_535),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
};

/// Its error page: a title and a heading with the status, in XHTML up to 1.4.69 and HTML 5 after it. Answers it passes on
/// keep the backend's `Server`.
///
/// A program it runs itself that ends too early has the same 500, so that one counts only where lighttpd is configured on
/// the way. Its 503 says nothing more than the number.
pub const PAGE: Page = Page {
    rank: 23,
    read: |answer| {
        let title = answer
            .between("<title>", "</title>")
            .filter(|_| answer.server_is("lighttpd"))?;
        let heading = answer.between("<h1>", "</h1>")?;
        let number = super::page::leading_number(title.as_bytes()).filter(|_| title == heading)?;
        let said = Said::by("lighttpd");
        match number {
            500 if answer.through("lighttpd") => Some(said.bad_gateway().maybe(DROPPED)),
            502 => Some(said.bad_gateway().because(Cause::ResponseFailed).maybe(REFUSED_ANSWERS)),
            504 => Some(said.timed_out().because(Cause::ResponseTimeout)),
            _ => Some(said),
        }
    },
    passed: |answer| answer.server_is("lighttpd").then_some("lighttpd"),
};

const DROPPED: &[Cause] = &[Cause::ConnectUnreachable, Cause::ConnectReset, Cause::ResponseFailed];
const REFUSED_ANSWERS: &[Cause] = &[Cause::ResponseMalformed, Cause::ResponseHeaderTooLarge];
