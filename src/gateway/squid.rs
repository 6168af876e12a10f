//! Squid as an accelerator.
//!
//! Source: `cf.data.pre`.
//! - `peer_connect_timeout` 30 s, which holds for `cache_peer` origins; `read_timeout` 15 min, between two reads.
//! - `server_idle_pconn_timeout` 1 min; `reply_header_max_size` 64 KB.
//! - Certificates are verified.

use super::page::{Answer, Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "squid",
    aliases: &[],
    limits: Limits {
        connect: secs(30),
        first_byte: secs(900),
        between_reads: secs(900),
        idle: secs(60),
        response_header: kib(64),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
};

/// Its error page names itself in a header, with the error and the errno (`src/errorpage.cc`).
pub const PAGE: Page = Page {
    rank: 1,
    read: |answer| {
        let mut words = answer.header("x-squid-error")?.split(' ');
        let (error, errno) = (words.next()?, words.next().unwrap_or_default());
        error.starts_with("ERR_").then(|| of_error(error, errno, answer))
    },
    passed: |answer| (answer.server_is("squid") || answer.via("(squid")).then_some("squid"),
};

fn of_error(error: &str, errno: &str, answer: &Answer<'_>) -> Said {
    let said = Said::by("squid");
    let failed = said.bad_gateway();
    match error {
        "ERR_CONNECT_FAIL" => failed.because(match errno {
            "111" => Cause::ConnectRefused,
            "110" => Cause::ConnectTimeout,
            "113" | "101" => Cause::ConnectUnreachable,
            "104" => Cause::ConnectReset,
            _ => Cause::ConnectFailed,
        }),
        "ERR_DNS_FAIL" => failed.because(first_of(answer, DNS).unwrap_or(Cause::DnsFailed)),
        "ERR_SECURE_CONNECT_FAIL" => failed.because(match errno {
            "104" => Cause::TlsClosed,
            _ => first_of(answer, TLS).unwrap_or(Cause::TlsFailed),
        }),
        "ERR_READ_TIMEOUT" | "ERR_LIFETIME_EXP" => said.timed_out().because(Cause::ResponseTimeout),
        "ERR_READ_ERROR" if errno == "104" => failed.because(Cause::ResponseReset),
        // Seen for refused connections and names that do not resolve too, behind a parent or in a tunnel.
        "ERR_READ_ERROR" => failed,
        "ERR_ZERO_SIZE_OBJECT" => failed.because(Cause::ResponseFailed).maybe(&[
            Cause::ConnectReset,
            Cause::ResponseReset,
            Cause::ResponseClosed,
        ]),
        "ERR_INVALID_RESP" => failed.because(Cause::ResponseMalformed),
        "ERR_TOO_BIG" => failed.because(Cause::ResponseHeaderTooLarge),
        "ERR_WRITE_ERROR" => failed.because(Cause::ResponseReset),
        "ERR_CANNOT_FORWARD" => failed.because(Cause::NoLiveUpstream),
        "ERR_GATEWAY_FAILURE" | "ERR_SOCKET_FAILURE" | "ERR_SHUTTING_DOWN" => said.because(Cause::GatewayInternal),
        _ => said,
    }
}

fn first_of(answer: &Answer<'_>, texts: &[(&str, Cause)]) -> Option<Cause> {
    texts.iter().find(|(text, _)| answer.has(text)).map(|(_, cause)| *cause)
}

/// What the resolver said, as the page quotes it (`src/ipcache.cc`, `lib/rfc1035.c`).
const DNS: &[(&str, Cause)] = &[
    ("Name Error: The domain name does not exist", Cause::DnsNxdomain),
    ("No DNS records", Cause::DnsNodata),
    ("Server Failure: ", Cause::DnsServfail),
    ("<pre>Timeout</pre>", Cause::DnsTimeout),
];

/// Details of the handshake, as the page quotes them (`src/security/PeerConnector.cc`).
const TLS: &[(&str, Cause)] = &[
    ("SQUID_X509_V_ERR_DOMAIN_MISMATCH", Cause::TlsCertificateNameMismatch),
    ("TLS_CONNECT_TIMEOUT", Cause::TlsTimeout),
    ("TLS_CONNECT_CLOSE", Cause::TlsClosed),
];
