//! Apache Traffic Server.
//!
//! No default is stated here: its timeouts are set per installation in `records.yaml`; write them under `limits`.
//! Its policy for server certificates is `PERMISSIVE`: what does not verify is logged and used.
//!
//! Commands: docs.trafficserver.apache.org, traffic_ctl; the path of the log is that of Debian's package.

use super::commands::Command;
use super::log::{
    ErrorLine, Field, Fields, Format, Layout, Logs, Memory, Syntax, Unit, Variable, text, time, var, var_in,
};
use super::page::{Page, Said};
use super::{Kind, NONE};
use crate::cause::Cause;
use crate::exchange::{Complaint, Effect, Exchange, Join, Outcome, Reason, Stamp};

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "trafficserver",
    aliases: &["ats", "traffic_server"],
    products: &["ats", "apachetrafficserver"],
    limits: NONE,
    verifies_origin_certificate: false,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "what is configured otherwise than by default",
            line: "traffic_ctl config diff",
        },
        Command {
            shows: "failed connects and answers by class",
            line: "traffic_ctl metric match 'proxy.process.http.(5xx|.*connect.*fail|.*timeout)'",
        },
        Command {
            shows: "what it says of failed attempts",
            line: "tail -n 50 /var/log/trafficserver/error.log",
        },
    ],
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

/// What its logs look like and mean.
///
/// Source: Traffic Server administrator's guide, "Log Fields", "Cache Results" and "Event Logging"; `HttpTransact.cc`.
const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "squid",
            layout: Layout::Pattern(
                "%<cqtq> %<ttms> %<chi> %<crc>/%<pssc> %<psql> %<cqhm> %<cquc> %<caun> %<phr>/%<shn> %<psct>",
            ),
        },
        Format {
            name: "badgateway",
            layout: Layout::Pattern(RECOMMENDED),
        },
        Format {
            name: "extended",
            layout: Layout::Pattern(
                r#"%<chi> - %<caun> [%<cqtn>] "%<cqtx>" %<pssc> %<pscl> %<sssc> %<sscl> %<cqcl> %<pqcl> %<cqhl> %<pshl> %<pqhl> %<sshl> %<tts> %<phr> %<cfsc> %<pfsc> %<crc>"#,
            ),
        },
        Format {
            name: "badgateway and more",
            layout: Layout::Pattern(
                r#"%<chi> - %<caun> [%<cqtn>] "%<cqtx>" %<pssc> %<pscl> "%<{Referer}cqh>" "%<{User-Agent}cqh>" crc=%<crc> phr=%<phr> us=%<sssc> sb=%<sscl> srv=%<pqsi>:%<pqsp> cfsc=%<cfsc> pfsc=%<pfsc> sca=%<sca> tts=%<ttms> sms=%<msdms> sqsi=%<sstc> errc=%<prrp>"#,
            ),
        },
        Format {
            name: "common",
            layout: Layout::Pattern(r#"%<chi> - %<caun> [%<cqtn>] "%<cqtx>" %<pssc> %<pscl>"#),
        },
    ],
    syntax: Some(Syntax::Angle),
    variables: VARIABLES,
    exchange,
    errors: Some(error_line),
    causes: CAUSES,
    tells: "The access log tells an origin's own answer from one of Traffic Server's, a response that did not come or was cut, and a name that did not resolve. error.log names a refused connect and a failed handshake of each attempt.",
    silent: "ERR_CONNECT_FAIL stands for everything before a valid head: refused, reset, closed, malformed, TLS. A connect and a handshake that time out look the same. error.log says only that TLS failed; diags.log says why, but not for which request, so it is not counted. A body that ends early with the connection looks whole.",
};

/// The format that makes Traffic Server say the most.
const RECOMMENDED: &str = r#"%<chi> - %<caun> [%<cqtn>] "%<cqtx>" %<pssc> %<pscl> "%<{Referer}cqh>" "%<{User-Agent}cqh>" crc=%<crc> phr=%<phr> us=%<sssc> sb=%<sscl> srv=%<pqsi>:%<pqsp> cfsc=%<cfsc> pfsc=%<pfsc> sca=%<sca> tts=%<ttms>"#;

const VARIABLES: &[Variable] = &[
    var("cqtq", Field::Time),
    var("cqts", Field::Time),
    var("cqtn", Field::Time),
    var("chi", Field::Client),
    var("caun", Field::Text),
    var("cqtx", Field::Request),
    var("cqhm", Field::Method),
    var("cquc", Field::Target),
    var("cquuc", Field::Target),
    var("cqu", Field::Target),
    var("pssc", Field::Status),
    var("sssc", Field::BackendStatuses),
    var("crc", Field::State),
    var("phr", Field::Hierarchy),
    var("shn", Field::Name),
    var("pqsi", Field::Server),
    var("pqsp", Field::Port),
    var_in("ttms", Field::Duration, Unit::Millis),
    var_in("tts", Field::Duration, Unit::Seconds),
    var("cfsc", Field::Completion),
    var("pfsc", Field::Closing),
    var("sca", Field::Tried),
    var("msdms", Field::Own),
    var("sstc", Field::Own),
    var("prrp", Field::Text),
    var("psql", Field::Own),
    var("pscl", Field::Own),
    var("sscl", Field::Own),
    var("{user-agent}cqh", Field::Agent),
    var("{host}cqh", Field::Host),
];

const CAUSES: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::ResponseTimeout,
    Cause::ResponseMalformed,
    Cause::ResponseBodyTimeout,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::GatewayInternal,
    Cause::DnsFailed,
    Cause::ConnectFailed,
    Cause::TlsFailed,
    Cause::ResponseFailed,
];

const ANY_DNS: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsTimeout,
];
/// The connection to the origin was interrupted: it never stood, or its handshake failed.
const INTERRUPTED: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::TlsTimeout,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
];
/// The connection to the origin was finished, and no valid head had come. Also logged of an origin known to be down.
const FINISHED: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectReset,
    Cause::ResponseClosed,
    Cause::ResponseReset,
    Cause::ResponseMalformed,
    Cause::TlsClientCertificateRequired,
];
const NO_HEAD: &[Cause] = &[
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
    Cause::ResponseClosed,
    Cause::ResponseReset,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];
const CUT_OR_MALFORMED: &[Cause] = &[Cause::ResponseTruncated, Cause::ResponseMalformed];
const READ_ERROR: &[Cause] = &[Cause::ResponseReset, Cause::ResponseClosed, Cause::ResponseMalformed];
const CONNECT_OR_TLS_TIMEOUT: &[Cause] = &[Cause::ConnectTimeout, Cause::TlsTimeout];
/// What `ENET_SSL_CONNECT_FAILED` was recorded of: a peer that closes or resets leaves no such line.
const HANDSHAKE: &[Cause] = &[
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
];

/// A request, from its line in the access log.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    // The server is an address here, no name.
    exchange.names[1] = b"";
    exchange.outcome = outcome(fields, exchange.status);
    let backend = match fields.text(Field::Server) {
        b"" | b"0" => b"",
        server => fields.joined(Field::Server, Field::Port).unwrap_or(server),
    };
    exchange.tried_once(backend);
    Some(exchange)
}

fn outcome(fields: &Fields<'_, '_>, status: Option<u16>) -> Outcome {
    let result = fields.text(Field::State);
    if matches!(
        result,
        b"ERR_CLIENT_ABORT" | b"ERR_CLIENT_READ_ERROR" | b"ERR_CLIENT_READ_TIMEOUT"
    ) {
        return Outcome::ClientClosed;
    }
    let Some(status) = status else {
        return Outcome::ClientClosed;
    };
    let own = text::own_status(status);
    let reason = match (result, own) {
        (b"ERR_READ_ERROR", None) => Some(Reason::one_of(Cause::ResponseFailed, CUT_OR_MALFORMED)),
        (b"ERR_READ_TIMEOUT", None) => Some(Reason::exact(Cause::ResponseBodyTimeout)),
        // What else is said of an answer that was sent is the client's doing.
        (_, None) if fields.text(Field::Completion) == b"INTR" => return Outcome::ClientClosed,
        (_, None) => None,
        (b"ERR_CONNECT_FAIL", Some(own)) => Some(no_head(fields, own)),
        (b"ERR_READ_ERROR", _) => Some(Reason::one_of(Cause::ResponseFailed, READ_ERROR)),
        (b"ERR_READ_TIMEOUT", _) => Some(Reason::exact(Cause::ResponseTimeout)),
        (b"ERR_DNS_FAIL", _) => Some(Reason::one_of(Cause::DnsFailed, ANY_DNS)),
        // Nobody was asked: recorded of names that do not resolve.
        (b"ERR_UNKNOWN", Some(Cause::ServerError)) if fields.text(Field::Hierarchy) == b"NONE" => {
            Some(Reason::one_of(Cause::DnsFailed, ANY_DNS))
        }
        (b"", Some(own)) => Some(Reason::open(own)),
        (result, Some(own)) if result.starts_with(b"ERR_") => Some(Reason::open(own)),
        // Any other result is an answer of the origin, or a copy of one.
        (_, Some(own)) => Some(Reason::exact(own)),
    };
    reason.map_or(Outcome::Served, Outcome::Failed)
}

/// `ERR_CONNECT_FAIL`, which stands for all that happens before a valid head.
fn no_head(fields: &Fields<'_, '_>, own: Cause) -> Reason {
    match fields.text(Field::Closing) {
        // A status line had come: what followed was no head.
        _ if fields.status(Field::BackendStatuses).is_some() => Reason::exact(Cause::ResponseMalformed),
        b"INTR" => Reason::one_of(own, INTERRUPTED),
        b"FIN" => Reason::one_of(own, FINISHED),
        _ => Reason::one_of(own, NO_HEAD),
    }
}

/// What follows `connection_result=`, by the number in brackets: errno, or Traffic Server's own.
const RESULTS: &[(&str, Reason)] = &[
    ("[111]", Reason::exact(Cause::ConnectRefused)),
    ("[113]", Reason::exact(Cause::ConnectUnreachable)),
    ("[101]", Reason::exact(Cause::ConnectUnreachable)),
    ("[104]", Reason::exact(Cause::ConnectReset)),
    ("[110]", Reason::one_of(Cause::BadGateway, CONNECT_OR_TLS_TIMEOUT)),
    ("[-20104]", Reason::one_of(Cause::TlsFailed, HANDSHAKE)),
    ("[99]", Reason::exact(Cause::GatewayInternal)),
    ("[24]", Reason::exact(Cause::GatewayInternal)),
    ("", Reason::open(Cause::ConnectFailed)),
];

/// A line of error.log, `20261120.10h57m08s CONNECT: attempt fail …` or `… DNS Error: looking up URL`; lines of
/// diags.log, `[Nov 20 10:59:06.730] [ET_NET 1] WARNING: …`, are known and say nothing of one request.
fn error_line<'l>(_: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    let Some((stamp, said)) = head(line) else {
        return match is_of_diags(line) {
            true => ErrorLine::Other,
            false => ErrorLine::Foreign,
        };
    };
    let complaint = |effect, reason, backend, url| {
        ErrorLine::Complaint(Complaint {
            time: Some(stamp),
            effect,
            reason,
            backend,
            host: b"",
            names: [b""; 3],
            join: Join {
                request: text::path_of(url),
                ..Join::default()
            },
        })
    };
    if let Some(url) = said.strip_prefix(b"DNS Error: looking up ") {
        let reason = Reason::one_of(Cause::DnsFailed, ANY_DNS);
        return complaint(Effect::Refused, reason, b"", url);
    }
    // The host and the URL come from the client.
    let Some(attempt) = said.strip_prefix(b"CONNECT: attempt fail [") else {
        return ErrorLine::Other;
    };
    let backend = text::between(attempt, b"] to ", b" ").unwrap_or_default();
    // A URL holds no blank, so the last of these words are Traffic Server's.
    const RESULT: &[u8] = b"' connection_result=";
    let about = memchr::memmem::rfind(attempt, RESULT).map_or(&b""[..], |at| &attempt[at + RESULT.len()..]);
    let (result, url) = match text::find(about, b" url='") {
        Some(at) => (&about[..at], &about[at + 6..]),
        None => (about, &b""[..]),
    };
    let result = text::between(result, b"", b" error=").unwrap_or_default();
    let known = RESULTS.iter().find(|(number, _)| result.ends_with(number.as_bytes()));
    let reason = known.map_or(Reason::open(Cause::ConnectFailed), |(_, reason)| *reason);
    complaint(Effect::Attempt, reason, backend, url.strip_suffix(b"'").unwrap_or(url))
}

/// Time and text of a line of error.log. The time has no zone.
fn head(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let [
        y1,
        y2,
        y3,
        y4,
        m1,
        m2,
        d1,
        d2,
        b'.',
        h1,
        h2,
        b'h',
        n1,
        n2,
        b'm',
        s1,
        s2,
        b's',
        b' ',
        rest @ ..,
    ] = line
    else {
        return None;
    };
    let iso = [
        *y1, *y2, *y3, *y4, b'-', *m1, *m2, b'-', *d1, *d2, b'T', *h1, *h2, b':', *n1, *n2, b':', *s1, *s2,
    ];
    Some((time::parse(&iso)?, rest))
}

fn is_of_diags(line: &[u8]) -> bool {
    let starts = matches!(line, [b'[', b'A'..=b'Z', b'a'..=b'z', b'a'..=b'z', b' ', ..]);
    starts
        && line
            .get(..40.min(line.len()))
            .is_some_and(|start| text::has(start, "] ["))
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;

    #[test]
    fn the_squid_format() {
        for (result, hierarchy, expected) in [
            ("TCP_MISS/200", "DIRECT/origin.lab", "200 served"),
            ("TCP_MISS/404", "DIRECT/origin.lab", "404 served"),
            ("TCP_MISS/502", "DIRECT/origin.lab", "502 bad_gateway"),
            ("TCP_MISS/500", "DIRECT/origin.lab", "500 server_error"),
            ("ERR_CONNECT_FAIL/502", "DIRECT/origin.lab", "502 bad_gateway?"),
            ("ERR_UNKNOWN/500", "NONE/-", "500 dns_failed?"),
            ("ERR_DNS_FAIL/502", "NONE/-", "502 dns_failed?"),
            ("ERR_READ_ERROR/200", "DIRECT/origin.lab", "200 response_failed?"),
            (
                "ERR_READ_TIMEOUT/504",
                "TIMEOUT_DIRECT/origin.lab",
                "504 response_timeout",
            ),
            (
                "ERR_READ_TIMEOUT/200",
                "TIMEOUT_DIRECT/origin.lab",
                "200 response_body_timeout",
            ),
            ("ERR_CLIENT_ABORT/000", "DIRECT/origin.lab", "- client_closed"),
            ("ERR_CLIENT_ABORT/200", "DIRECT/origin.lab", "200 client_closed"),
            ("ERR_INVALID_REQ/400", "NONE/-", "400 served"),
        ] {
            let line = format!(
                "1795172387.852 26 127.0.0.1 {result} 476 GET http://origin.lab:23900/a?b=c - {hierarchy} text/html"
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    fn the_format_that_says_most() {
        for (status, tail, expected) in [
            (
                "200",
                "crc=TCP_MISS phr=DIRECT us=200 sb=276 srv=127.0.0.1:80 cfsc=FIN pfsc=FIN",
                "200 served",
            ),
            (
                "200",
                "crc=TCP_MISS phr=DIRECT us=200 sb=276 srv=127.0.0.1:80 cfsc=INTR pfsc=FIN",
                "200 client_closed",
            ),
            (
                "502",
                "crc=TCP_MISS phr=DIRECT us=502 sb=276 srv=127.0.0.1:80 cfsc=FIN pfsc=FIN",
                "502 bad_gateway",
            ),
            (
                "502",
                "crc=ERR_CONNECT_FAIL phr=DIRECT us=200 sb=0 srv=127.0.0.1:80 cfsc=FIN pfsc=FIN",
                "502 response_malformed",
            ),
            (
                "502",
                "crc=ERR_CONNECT_FAIL phr=DIRECT us=000 sb=0 srv=127.0.0.1:80 cfsc=FIN pfsc=INTR",
                "502 bad_gateway?",
            ),
            (
                "500",
                "crc=ERR_UNKNOWN phr=NONE us=000 sb=0 srv=0:0 cfsc=FIN pfsc=FIN",
                "500 dns_failed?",
            ),
        ] {
            let line = format!(
                r#"127.0.0.1 - - [20/Nov/2026:10:57:08 -0000] "GET http://origin.lab:80/a HTTP/1.1" {status} 247 "-" "a "b" c" {tail} sca=1 tts=47"#
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
            let more = format!("{line} sms=-1 sqsi=0 errc=GET");
            assert_eq!(testing::told(&KIND, &more), expected, "{more}");
        }
    }

    #[test]
    fn error_log() {
        for (result, expected) in [
            (
                "Connection refused [111] error=Connection refused [111]",
                "attempt connect_refused 127.0.0.1:80",
            ),
            (
                "Connection timed out [110] error=Success [0]",
                "attempt bad_gateway? 127.0.0.1:80",
            ),
            (
                "No route to host [113] error=No route to host [113]",
                "attempt connect_unreachable 127.0.0.1:80",
            ),
            (
                "ENET_SSL_CONNECT_FAILED [-20104] error=ENET_SSL_CONNECT_FAILED [-20104]",
                "attempt tls_failed? 127.0.0.1:80",
            ),
            (
                "Something new [7] error=Success [0]",
                "attempt connect_failed 127.0.0.1:80",
            ),
        ] {
            let line = format!(
                "20261120.10h57m08s CONNECT: attempt fail [CONNECTION_ERROR] to 127.0.0.1:80 for host='shop.example' connection_result={result} attempts=0 url='http://origin.lab:80/a?connection_result=x'"
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
        testing::check(
            &KIND,
            &[
                (
                    "20261120.10h59m00s DNS Error: looking up http://search.lab:80/a",
                    "refused dns_failed?",
                ),
                ("20261120.10h59m00s RESPONSE: something", "other"),
                (
                    "[Nov 20 10:59:12.716] [ET_NET 0] WARNING: SNI (origin.lab) not in certificate. Action=Terminate server=origin.lab(127.0.0.1)",
                    "other",
                ),
                (
                    "20261120.10h57m08s CONNECT: attempt fail [CONNECTION_ERROR] to 127.0.0.1:80 for host='x' connection_result=Connection refused [111] error=' connection_result=No route to host [113] error=Success [0] attempts=0 url='http://a/b'",
                    "attempt connect_unreachable 127.0.0.1:80",
                ),
                ("20261320.10h59m00s CONNECT: x", "foreign"),
            ],
        );
    }
}
