//! Squid as an accelerator.
//!
//! Source: `cf.data.pre`.
//! - `peer_connect_timeout` 30 s, which holds for `cache_peer` origins; `read_timeout` 15 min, between two reads.
//! - `server_idle_pconn_timeout` 1 min; `reply_header_max_size` 64 KB.
//! - Certificates are verified.
//!
//! Commands: wiki.squid-cache.org/Features/CacheManager/Index, squid(8); the path of the log is that of Debian's
//! package.

#[cfg(test)]
mod tests;

use super::commands::Command;
use super::log::{
    ErrorLine, Field, Fields, Format, Layout, Logs, Memory, Syntax, Unit, Variable, text, time, var, var_in,
};
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::exchange::{Complaint, Effect, Exchange, Join, Outcome, Reason, Stamp};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "squid",
    aliases: &[],
    products: &["squid"],
    limits: Limits {
        connect: secs(30),
        first_byte: secs(900),
        between_reads: secs(900),
        idle: secs(60),
        response_header: kib(64),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "what it thinks of every peer",
            line: "curl -s http://127.0.0.1:3128/squid-internal-mgr/server_list",
        },
        Command {
            shows: "its last failed requests",
            line: "grep -E '/50[0-9] ' /var/log/squid/access.log | tail -n 20",
        },
        Command {
            shows: "mistakes in the configuration",
            line: "squid -k parse",
        },
    ],
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

/// What its logs look like and mean.
///
/// Source: `cf.data.pre` (`logformat`), `errors/`, `http.cc`, `neighbors.cc`, `security/PeerConnector.cc`.
const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "squid",
            layout: Layout::Pattern("%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt"),
        },
        Format {
            name: "badgateway",
            layout: Layout::Pattern(RECOMMENDED),
        },
        Format {
            name: "combined",
            layout: Layout::Pattern(
                r#"%>a %[ui %[un [%tl] "%rm %ru HTTP/%rv" %>Hs %<st "%{Referer}>h" "%{User-Agent}>h" %Ss:%Sh"#,
            ),
        },
        Format {
            name: "common",
            layout: Layout::Pattern(r#"%>a %[ui %[un [%tl] "%rm %ru HTTP/%rv" %>Hs %<st %Ss:%Sh"#),
        },
    ],
    syntax: Some(Syntax::Squid),
    variables: VARIABLES,
    exchange,
    errors: Some(error_line),
    causes: CAUSES,
    tells: "With %err_code/%err_detail in the access log each failure has its name, and an answer of the origin is told from one of Squid's own; cache.log adds responses that are no HTTP.",
    silent: "The native format: an origin's own 502 or 503 looks like one of Squid's. In any format: that a response was cut, unless the peer reset it; what was no HTTP and went to the client as HTTP/0.9; NXDOMAIN, SERVFAIL and a full backlog behind a cache_peer. cache.log says \"TCP connection to … failed\" of failed handshakes too, so those lines are not counted.",
};

/// The format that makes Squid say the most.
const RECOMMENDED: &str = r#"%>a %[ui %[un [%tl] "%rm %ru HTTP/%rv" %>Hs %<st "%{Referer}>h" "%{User-Agent}>h" %Ss:%Sh srv=%<a:%<p us=%<Hs tr=%tr pt=%<pt tt=%<tt err=%err_code/%err_detail id=%{X-Request-Id}>h"#;

const VARIABLES: &[Variable] = &[
    var("ts", Field::Time),
    var("tl", Field::Time),
    var("tg", Field::Time),
    var("tu", Field::Own),
    var_in("tr", Field::Duration, Unit::Millis),
    var(">a", Field::Client),
    var("Ss", Field::State),
    var(">Hs", Field::Status),
    var("<st", Field::Own),
    // None of these holds a blank: what is not of a method or a URL is refused or encoded, parameters of a content type
    // are not logged.
    var("rm", Field::Own),
    var("ui", Field::Own),
    var("un", Field::Own),
    var("mt", Field::Own),
    var("ru", Field::Target),
    var(">ru", Field::Target),
    var("rv", Field::Own),
    var("Sh", Field::Hierarchy),
    var("<a", Field::Server),
    var("<A", Field::Server),
    var("<p", Field::Port),
    var("<Hs", Field::BackendStatuses),
    var_in("<pt", Field::HeaderTimes, Unit::Millis),
    var_in("<tt", Field::BackendTimes, Unit::Millis),
    var("err_code", Field::ErrorCode),
    var("err_detail", Field::Detail),
    var("{user-agent}>h", Field::Agent),
    var("{host}>h", Field::Host),
    var(">rd", Field::Host),
];

const CAUSES: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::TlsTimeout,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
    Cause::TlsClientCertificateRequired,
    Cause::ResponseTimeout,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
    Cause::ResponseTruncated,
    Cause::ResponseBodyTimeout,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::NoLiveUpstream,
    Cause::GatewayInternal,
    Cause::DnsFailed,
    Cause::ConnectFailed,
    Cause::TlsFailed,
    Cause::ResponseFailed,
];

const ANY_CONNECT: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
];
const ANY_DNS: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsTimeout,
];
const ANY_TLS: &[Cause] = &[
    Cause::TlsTimeout,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
    Cause::TlsClientCertificateRequired,
];
const CLOSED_IN_HANDSHAKE: &[Cause] = &[Cause::TlsClosed, Cause::TlsClientCertificateRequired];
/// A 502 and no peer: none was alive or could be found.
const NOBODY_502: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsTimeout,
    Cause::NoLiveUpstream,
];
/// A 503 and no peer: the handshake failed, or the name did not resolve.
const NOBODY_503: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsTimeout,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
    Cause::TlsClientCertificateRequired,
    Cause::NoLiveUpstream,
];
const PEER_502: &[Cause] = &[
    Cause::ConnectReset,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
    Cause::BadGateway,
];
const PEER_503: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::ServiceUnavailable,
];
const PEER_504: &[Cause] = &[Cause::ResponseTimeout, Cause::TlsTimeout, Cause::GatewayTimeout];
/// No byte of a response. Where the request was not sent whole either, a reset shows as a close.
const NO_BYTE: &[Cause] = &[Cause::ResponseClosed, Cause::ResponseReset, Cause::ConnectReset];

/// A request, from its line in access.log.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    exchange.names = [b""; 3];
    // Squid leaves out the query here and not in cache.log.
    exchange.join.request = text::without_query(exchange.join.request);
    exchange.backend_time = fields.time(Field::BackendTimes);
    exchange.outcome = outcome(fields, exchange.status);
    let backend = match fields.text(Field::Server) {
        b"" => b"",
        server => fields.joined(Field::Server, Field::Port).unwrap_or(server),
    };
    exchange.tried_once(backend);
    Some(exchange)
}

fn outcome(fields: &Fields<'_, '_>, status: Option<u16>) -> Outcome {
    let code = fields.text(Field::ErrorCode);
    let aborted = text::has(fields.text(Field::State), "_ABORTED") || code == b"ERR_CLIENT_GONE";
    let Some(status) = status.filter(|_| !aborted) else {
        return Outcome::ClientClosed;
    };
    let nobody = fields.text(Field::Hierarchy).ends_with(b"HIER_NONE");
    let reason = match (fields.has(Field::ErrorCode), code) {
        (true, b"") => text::own_status(status).map(Reason::exact),
        (true, _) => by_code(fields, status, nobody),
        (false, _) => by_status(status, nobody),
    };
    reason.map_or(Outcome::Served, Outcome::Failed)
}

/// What `%err_code` and `%err_detail` say.
fn by_code(fields: &Fields<'_, '_>, status: u16, nobody: bool) -> Option<Reason> {
    use Cause::*;
    let detail = fields.text(Field::Detail);
    let cut = status < 500;
    let unsent = fields.has(Field::HeaderTimes) && fields.text(Field::HeaderTimes).is_empty();
    Some(match fields.text(Field::ErrorCode) {
        b"ERR_READ_ERROR" if cut => Reason::exact(ResponseTruncated),
        b"ERR_READ_TIMEOUT" if cut => Reason::exact(ResponseBodyTimeout),
        // What else is said of the request is the client's doing.
        _ if cut => return None,
        b"ERR_CONNECT_FAIL" => match detail {
            b"111" => Reason::exact(ConnectRefused),
            b"110" => Reason::exact(ConnectTimeout),
            b"113" | b"101" => Reason::exact(ConnectUnreachable),
            b"104" => Reason::exact(ConnectReset),
            _ => Reason::one_of(ConnectFailed, ANY_CONNECT),
        },
        b"ERR_DNS_FAIL" => Reason::one_of(DnsFailed, ANY_DNS),
        b"ERR_SECURE_CONNECT_FAIL" => by_handshake(detail),
        b"ERR_READ_TIMEOUT" | b"ERR_LIFETIME_EXP" => Reason::exact(ResponseTimeout),
        // That a peer could not be had is logged under the same name.
        b"ERR_READ_ERROR" if nobody => Reason::one_of(text::own_status(status)?, NOBODY_502),
        b"ERR_READ_ERROR" | b"ERR_WRITE_ERROR" => Reason::exact(ResponseReset),
        b"ERR_ZERO_SIZE_OBJECT" if unsent => Reason::one_of(ResponseFailed, NO_BYTE),
        b"ERR_ZERO_SIZE_OBJECT" => Reason::exact(ResponseClosed),
        b"ERR_INVALID_RESP" => Reason::exact(ResponseMalformed),
        b"ERR_TOO_BIG" => Reason::exact(ResponseHeaderTooLarge),
        b"ERR_CANNOT_FORWARD" => Reason::exact(NoLiveUpstream),
        b"ERR_GATEWAY_FAILURE" | b"ERR_SOCKET_FAILURE" | b"ERR_SHUTTING_DOWN" => Reason::exact(GatewayInternal),
        _ => Reason::exact(text::own_status(status)?),
    })
}

/// Words of `%err_detail` on a failed handshake, first match first: Squid's own, OpenSSL's and GnuTLS's names, and the
/// end of OpenSSL's error numbers (`sslerr.h`).
const HANDSHAKE: &[(&str, Reason)] = &{
    use Cause::*;
    const fn exact(cause: Cause) -> Reason {
        Reason::exact(cause)
    }
    [
        ("TLS_CONNECT_TIMEOUT", exact(TlsTimeout)),
        ("TLS_CONNECT_CLOSE", exact(TlsClosed)),
        ("X509_V_ERR_CERT_HAS_EXPIRED", exact(TlsCertificateExpired)),
        ("X509_V_ERR_CERT_NOT_YET_VALID", exact(TlsCertificateNotYetValid)),
        ("X509_V_ERR_DOMAIN_MISMATCH", exact(TlsCertificateNameMismatch)),
        ("X509_V_ERR_CERT_REVOKED", exact(TlsCertificateRevoked)),
        ("X509_V_ERR_", exact(TlsCertificateUntrusted)),
        ("GNUTLS_E_UNEXPECTED_PACKET", exact(TlsNotTls)),
        ("GNUTLS_E_PULL_ERROR", exact(TlsClosed)),
        (
            "GNUTLS_E_PREMATURE_TERMINATION",
            Reason::one_of(TlsFailed, CLOSED_IN_HANDSHAKE),
        ),
        ("GNUTLS_E_FATAL_ALERT_RECEIVED", exact(TlsProtocol)),
        ("10B+TLS_IO_ERR", exact(TlsNotTls)),
        ("45C+TLS_IO_ERR", exact(TlsClientCertificateRequired)),
        ("412+TLS_IO_ERR", exact(TlsClientCertificateRequired)),
        ("410+TLS_IO_ERR", exact(TlsProtocol)),
        ("42E+TLS_IO_ERR", exact(TlsProtocol)),
    ]
};

fn by_handshake(detail: &[u8]) -> Reason {
    HANDSHAKE
        .iter()
        .find(|(words, _)| text::has(detail, words))
        .map_or(Reason::one_of(Cause::TlsFailed, ANY_TLS), |(_, reason)| *reason)
}

/// Without an error code: an answer of the peer looks like one of Squid's own.
fn by_status(status: u16, nobody: bool) -> Option<Reason> {
    let own = text::own_status(status)?;
    Some(match (status, nobody) {
        (502, true) => Reason::one_of(own, NOBODY_502),
        (503, true) => Reason::one_of(own, NOBODY_503),
        (502, false) => Reason::one_of(own, PEER_502),
        (503, false) => Reason::one_of(own, PEER_503),
        (504, _) => Reason::one_of(own, PEER_504),
        _ => Reason::open(own),
    })
}

/// What cache.log says of a response, by what follows `WARNING: HTTP: Invalid Response: `.
const INVALID: &[(&str, Reason)] = &[
    (
        "No object data received for ",
        Reason::one_of(Cause::ResponseFailed, NO_BYTE),
    ),
    ("Bad header encountered from ", Reason::exact(Cause::ResponseMalformed)),
    ("Missing header termination", Reason::exact(Cause::ResponseMalformed)),
    ("", Reason::exact(Cause::ResponseMalformed)),
];

/// Lines of a quoted header that may still follow, in [`Memory::numbers`].
const QUOTED: usize = 0;
const MAX_QUOTED: u64 = 200;

/// A line of cache.log: `2026/11/20 11:04:52 kid1| WARNING: HTTP: Invalid Response: … from URL AKA URL`.
///
/// A header that is no HTTP is quoted as it came, over several lines; a line behind it ends them.
fn error_line<'l>(memory: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    let Some((stamp, said)) = head(line) else {
        return continued(memory, line);
    };
    memory.numbers[QUOTED] = match said.starts_with(b"WARNING: HTTP header contains") {
        true => MAX_QUOTED,
        false => 0,
    };
    let Some(invalid) = said.strip_prefix(b"WARNING: HTTP: Invalid Response: ") else {
        return ErrorLine::Other;
    };
    let Some((start, reason)) = INVALID.iter().find(|(start, _)| invalid.starts_with(start.as_bytes())) else {
        return ErrorLine::Other;
    };
    let url = text::between(&invalid[start.len()..], b"", b" AKA ").unwrap_or_default();
    ErrorLine::Complaint(Complaint {
        time: Some(stamp),
        effect: Effect::Attempt,
        reason: *reason,
        backend: b"",
        host: b"",
        names: [b""; 3],
        join: Join {
            request: text::without_query(text::path_of(url)),
            ..Join::default()
        },
    })
}

/// Time and text of a line of cache.log.
fn head(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let stamp = time::parse(line.get(..19)?)?;
    let rest = &line[19..];
    let end = memchr::memchr(b'|', rest).filter(|end| *end <= 8)?;
    let of_process = rest[..end].is_empty() || rest.starts_with(b" kid");
    of_process.then(|| (stamp, rest[end + 1..].trim_ascii_start()))
}

fn continued<'l>(memory: &mut Memory, line: &[u8]) -> ErrorLine<'l> {
    if line.starts_with(b"    current master transaction: ") {
        memory.numbers[QUOTED] = 0;
        return ErrorLine::Other;
    }
    match memory.numbers[QUOTED].checked_sub(1) {
        Some(left) => {
            memory.numbers[QUOTED] = left;
            ErrorLine::Other
        }
        None => ErrorLine::Foreign,
    }
}
