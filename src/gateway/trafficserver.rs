//! Apache Traffic Server.
//!
//! No default is stated here: its timeouts are set per installation in `records.yaml`; write them under `limits`.
//! Its policy for server certificates is `PERMISSIVE`: what does not verify is logged and used.

use super::page::{Page, Said};
use super::{Kind, NONE};
use crate::cause::Cause;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "trafficserver",
    aliases: &["ats", "traffic_server"],
    limits: NONE,
    verifies_origin_certificate: false,
    logs: None,
    page: Some(PAGE),
};

/// Its error page: the default body factory, with the reason in the status line. Answers it passes on have its `Server`
/// where they had none, and its `Via`.
pub const PAGE: Page = Page {
    rank: 19,
    read: |answer| {
        if !answer.begins("<HTML>\n<HEAD>\n<TITLE>") || !answer.has("<FONT FACE=\"Helvetica,Arial\"><B>\nDescription: ")
        {
            return None;
        }
        let said = Said::by("trafficserver");
        let failed = said.bad_gateway();
        match (answer.between("<TITLE>", "</TITLE>")?, answer.reason) {
            ("Unknown Host", _) => Some(failed.because(Cause::DnsFailed)),
            (_, "Connection refused") => Some(failed.because(Cause::ConnectRefused)),
            (_, "Next Hop Connection Failed") => Some(failed.because(Cause::ConnectFailed)),
            ("Could Not Connect", _) => Some(failed.maybe(NO_CONNECTION)),
            (_, "Invalid HTTP Response") => Some(failed.because(Cause::ResponseMalformed)),
            ("Web Server Error" | "Server Connection Closed", _) => {
                Some(failed.because(Cause::ResponseFailed).maybe(NO_ANSWER))
            }
            ("Inactivity Timeout", _) => Some(said.timed_out().because(Cause::ResponseTimeout)),
            _ => Some(said),
        }
    },
    passed: |answer| (answer.server_is("ATS/") || answer.via("ApacheTrafficServer")).then_some("trafficserver"),
};

const NO_CONNECTION: &[Cause] = &[Cause::ConnectFailed, Cause::TlsFailed];
const NO_ANSWER: &[Cause] = &[
    Cause::ConnectReset,
    Cause::TlsClientCertificateRequired,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
];
