//! Apache httpd with mod_proxy.
//!
//! Source: the documentation of core, mod_proxy and mod_ssl.
//! - `Timeout` 60 s, which `ProxyTimeout`, the worker's `timeout` and `connectiontimeout` fall back to; it counts between two reads.
//!   Some distributions ship `Timeout 300`.
//! - `ResponseFieldSize` (8192 bytes) limits a single header line, not the head.
//! - Idle connections are kept until the backend closes them.
//! - `SSLProxyVerify`: none.
//!
//! Commands: httpd.apache.org/docs/2.4/programs/httpd.html, docs/2.4/mod/mod_status.html; the path of the log is that
//! of Debian's package.

mod error_log;
mod threads;

use super::commands::Command;
use super::log::{Field, Fields, Format, Key, Layout, Logs, Syntax, Unit, Variable, key, key_in, text, var, var_in};
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::exchange::{Exchange, Join, Outcome, Reason};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "apache",
    aliases: &["httpd", "apache2"],
    products: &["apache"],
    limits: Limits {
        connect: secs(60),
        first_byte: secs(60),
        between_reads: secs(60),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "which virtual host answers, and where its configuration stands",
            line: "apachectl -S",
        },
        Command {
            shows: "what it says of failed attempts",
            line: "grep -E 'proxy|ssl' /var/log/apache2/error.log | tail -n 20",
        },
        Command {
            shows: "whether workers are left (mod_status)",
            line: "curl -s 'http://localhost/server-status?auto'",
        },
    ],
};

/// Its error pages: `modules/http/http_protocol.c`. Answers it passes on keep the `Server` of the backend.
pub const PAGE: Page = Page {
    rank: 17,
    read: |answer| proxy_error(answer).or_else(|| other_page(answer)),
    passed: |answer| answer.server_is("Apache").then_some("apache"),
};

/// What mod_proxy writes; no other part of httpd does.
fn proxy_error(answer: &Answer<'_>) -> Option<Said> {
    let said = Said::by("apache").bad_gateway();
    let headed = |heading: &str| answer.has(heading);
    let invalid = answer.has("The proxy server received an invalid");
    match () {
        () if headed("<h1>Proxy Error</h1>")
            && (invalid || answer.has("The proxy server could not handle the request")) =>
        {
            Some(with_reason(said, answer))
        }
        () if headed("<h1>Bad Gateway</h1>") && invalid => Some(said.because(Cause::ResponseFailed).maybe(NO_ANSWER)),
        () if headed("<h1>Gateway Timeout</h1>") && answer.has("The gateway did not receive a timely response") => {
            Some(said.timed_out().because(Cause::ResponseTimeout))
        }
        // A page of the operator's own; the reason phrase stays.
        () if answer.reason == "Proxy Error" => Some(said),
        () => None,
    }
}

/// The text after `Reason:` is that of the error log (`ap_proxyerror`).
fn with_reason(said: Said, answer: &Answer<'_>) -> Said {
    let reason = answer.between("Reason: <strong>", "<").unwrap_or_default();
    let cause = REASONS.iter().find(|(text, _)| reason.starts_with(text));
    match cause {
        Some((_, Cause::ResponseFailed)) => said.because(Cause::ResponseFailed).maybe(NO_ANSWER),
        Some((_, cause)) => said.because(*cause),
        None => said,
    }
}

/// A timeout is among them: mod_proxy_http answers 502 to it.
const NO_ANSWER: &[Cause] = &[
    Cause::TlsClientCertificateRequired,
    Cause::ResponseTimeout,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];

const REASONS: &[(&str, Cause)] = &[
    ("Error reading from remote server", Cause::ResponseFailed),
    ("DNS lookup failure for", Cause::DnsFailed),
    ("Error during SSL Handshake with remote server", Cause::TlsFailed),
    (
        "Corrupt status line returned by remote server",
        Cause::ResponseMalformed,
    ),
    ("Malformed connection header returned by", Cause::ResponseMalformed),
    ("Unexpected Upgrade", Cause::ResponseMalformed),
    ("Too many (", Cause::ResponseMalformed),
    ("Timeout on 100-Continue", Cause::ResponseTimeout),
];

/// Pages httpd writes as a server too. Its 503 is that of a failed connection where it is a gateway.
fn other_page(answer: &Answer<'_>) -> Option<Said> {
    let said = Said::by("apache");
    match () {
        () if answer.has("maintenance downtime or capacity") && answer.has("<h1>Service Unavailable</h1>") => {
            match answer.through("apache") {
                true => Some(said.bad_gateway().maybe(NO_CONNECTION)),
                false => Some(said),
            }
        }
        () if answer.has("<h1>Internal Server Error</h1>")
            && answer.has("The server encountered an internal error or") =>
        {
            Some(said)
        }
        () => None,
    }
}

const NO_CONNECTION: &[Cause] = &[Cause::ConnectFailed, Cause::NoLiveUpstream, Cause::UpstreamOverloaded];

/// What its logs look like and mean.
///
/// Source: `mod_log_config`, `server/core.c` (the default form of error lines), the modules named in [`error_log`], and the
/// logs of httpd 2.4.71.
pub const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "combined",
            layout: Layout::Pattern(COMBINED),
        },
        Format {
            name: "badgateway",
            layout: Layout::Pattern(RECOMMENDED),
        },
        Format {
            name: "vhost_combined",
            layout: Layout::Pattern(r#"%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i""#),
        },
        Format {
            name: "json",
            layout: Layout::Json(JSON),
        },
        // The recommended format without its last variable.
        Format {
            name: "combined and notes",
            layout: Layout::Pattern(
                r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" us=%D conn=%X eid=%L id=%{UNIQUE_ID}e vhost=%v handler=%R worker="%{BALANCER_WORKER_NAME}e" route="%{BALANCER_WORKER_ROUTE}e" notes="%{error-notes}n""#,
            ),
        },
        // Whatever was added behind the predefined format is read over.
        Format {
            name: "combined and more",
            layout: Layout::Pattern(r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %{more}x"#),
        },
        Format {
            name: "common",
            layout: Layout::Pattern(r#"%h %l %u %t "%r" %>s %b"#),
        },
    ],
    syntax: Some(Syntax::Percent),
    variables: VARIABLES,
    exchange,
    errors: Some(error_log::read),
    causes: CAUSES,
    tells: "The error log names the cause of almost every failed request, and why a response broke off. With %L, %{error-notes}n and %{proxy-status}n in the access log, a backend's own status is told from one httpd made, DNS, TLS and connect faults are told apart, and a cut response shows.",
    silent: "combined alone: only the status. Without LogLevel ssl:info, all TLS faults but a certificate that does not verify look the same, and the name of a certificate is one of them. A failed connection is told with the client and no request: it is brought together with a request by client, status and time, so without %L two faults of one client in one moment may be exchanged, and without %D a connection that took longer than a second and a half to fail is not found. Answers that are no HTTP at all are passed on as a success and logged as such.",
};

const COMBINED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;

/// The format that makes httpd say the most.
const RECOMMENDED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" us=%D conn=%X eid=%L id=%{UNIQUE_ID}e vhost=%v handler=%R worker="%{BALANCER_WORKER_NAME}e" route="%{BALANCER_WORKER_ROUTE}e" notes="%{error-notes}n" ps="%{proxy-status}n""#;

const VARIABLES: &[Variable] = &[
    var("h", Field::Client),
    var("a", Field::Client),
    var("l", Field::Own),
    var("u", Field::Text),
    var("t", Field::Time),
    var("{%s}t", Field::Time),
    var("{sec}t", Field::Time),
    var("{msec}t", Field::Time),
    var("{usec}t", Field::Time),
    var("r", Field::Request),
    var("m", Field::Method),
    var("U", Field::Target),
    var("{host}i", Field::Host),
    var("{user-agent}i", Field::Agent),
    var("s", Field::Status),
    var_in("D", Field::Duration, Unit::Micros),
    var_in("T", Field::Duration, Unit::Seconds),
    var_in("{s}T", Field::Duration, Unit::Seconds),
    var_in("{ms}T", Field::Duration, Unit::Millis),
    var_in("{us}T", Field::Duration, Unit::Micros),
    var("b", Field::BytesSent),
    var("B", Field::BytesSent),
    var("O", Field::BytesSent),
    var("I", Field::Own),
    var("X", Field::Completion),
    var("L", Field::LogId),
    var("v", Field::Server),
    var("V", Field::Server),
    var("p", Field::Own),
    var("P", Field::Own),
    var("k", Field::Own),
    var("H", Field::Own),
    var("R", Field::Own),
    var("{unique_id}e", Field::RequestId),
    var("{balancer_name}e", Field::Name),
    var("{balancer_worker_name}e", Field::Route),
    var("{balancer_worker_route}e", Field::Own),
    var("{error-notes}n", Field::Reason),
    var("{proxy-status}n", Field::BackendStatuses),
    var("{proxy-source-port}n", Field::Own),
];

/// JSON under the names most examples use.
const JSON: &[Key] = &[
    key("s", Field::Status),
    key("status", Field::Status),
    key("t", Field::Time),
    key("time", Field::Time),
    key("timestamp", Field::Time),
    key("h", Field::Client),
    key("a", Field::Client),
    key("client", Field::Client),
    key("remoteIP", Field::Client),
    key("r", Field::Request),
    key("request", Field::Request),
    key("path", Field::Target),
    key("host", Field::Host),
    key("ua", Field::Agent),
    key("userAgent", Field::Agent),
    key_in("D", Field::Duration, Unit::Micros),
    key("us", Field::BackendStatuses),
    key("ps", Field::BackendStatuses),
    key("w", Field::Route),
    key("worker", Field::Route),
    key("balancer", Field::Name),
    key("L", Field::LogId),
    key("notes", Field::Reason),
    key("id", Field::RequestId),
    key("X", Field::Completion),
    key("v", Field::Server),
];

const CAUSES: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
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
    Cause::UpstreamOverloaded,
    Cause::GatewayConfig,
    Cause::GatewayInternal,
    Cause::DnsFailed,
    Cause::ConnectFailed,
    Cause::TlsFailed,
    Cause::ResponseFailed,
];

const NO_CONNECT: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
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
];
/// "Error reading from remote server" alone.
const NO_STATUS_LINE: &[Cause] = &[
    Cause::ConnectReset,
    Cause::TlsClientCertificateRequired,
    Cause::ResponseTimeout,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
];
/// A 502 without notes: the status line came, the head did not.
const BAD_HEAD: &[Cause] = &[
    Cause::ResponseTimeout,
    Cause::ResponseReset,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];
const CUT: &[Cause] = &[
    Cause::ResponseMalformed,
    Cause::ResponseTruncated,
    Cause::ResponseBodyTimeout,
];

/// A request, from its line in the access log.
///
/// Attempts are not listed: the worker is that of the last one, and the error log states each.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let status = fields.status(Field::Status);
    let client = fields.text(Field::Client);
    let target = fields.target();
    Some(Exchange {
        time: fields.stamp(),
        duration: fields.time(Field::Duration),
        client,
        host: match fields.text(Field::Host) {
            [] => fields.text(Field::Server),
            host => host,
        },
        target,
        agent: fields.text(Field::Agent),
        names: [
            fields.text(Field::Name),
            text::authority(fields.text(Field::Route)),
            b"",
        ],
        status,
        outcome: outcome(fields, status),
        join: Join {
            exact: text::id(fields.text(Field::LogId)),
            group: 0,
            client: text::without_port(client),
            request: plain(target),
            status,
        },
        ..Exchange::default()
    })
}

/// The beginning of a target that both logs write alike: the error log states the path alone, and decoded.
fn plain(target: &[u8]) -> &[u8] {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/_.~!$&()*+,;=:@-".contains(byte);
    let length = target.iter().take_while(|byte| is_plain(byte)).count();
    &target[..length]
}

fn outcome(fields: &Fields<'_, '_>, status: Option<u16>) -> Outcome {
    let Some(status) = status else {
        return Outcome::ClientClosed;
    };
    let complained = !fields.text(Field::LogId).is_empty();
    let aborted = fields.raw(Field::Completion) == Some(b"X");
    let Some(cause) = text::own_status(status) else {
        // Something was written to the error log about a response that was cut short.
        return match complained && aborted {
            true => Outcome::Failed(Reason::one_of(Cause::ResponseFailed, CUT)),
            false => Outcome::Served,
        };
    };
    let of_backend = fields.text(Field::BackendStatuses);
    let own = of_backend.get(..3).and_then(text::status) == Some(status);
    Outcome::Failed(match (own, fields.has(Field::LogId)) {
        (true, _) => Reason::exact(cause),
        // With nothing in the error log, nothing is left to be told.
        (false, true) if !complained => Reason::exact(cause),
        (false, true) => noted(fields.text(Field::Reason), cause),
        (false, false) => Reason::open(cause),
    })
}

/// What the notes for the error page say, or that there are none.
fn noted(notes: &[u8], cause: Cause) -> Reason {
    let says = |words: &str| text::has(notes, words);
    match cause {
        _ if says("<strong>DNS lookup failure for: ") => Reason::one_of(Cause::DnsFailed, ANY_DNS),
        _ if says("<strong>Error during SSL Handshake with remote server</strong>") => {
            Reason::one_of(Cause::TlsFailed, ANY_TLS)
        }
        Cause::BadGateway if says("<strong>Error reading from remote server</strong>") => {
            Reason::one_of(Cause::BadGateway, NO_STATUS_LINE)
        }
        Cause::BadGateway if notes.is_empty() => Reason::one_of(Cause::ResponseFailed, BAD_HEAD),
        Cause::ServiceUnavailable => Reason::one_of(Cause::ConnectFailed, NO_CONNECT),
        cause => Reason::open(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::testing::told;
    use super::*;

    #[test]
    fn requests_and_their_outcomes() {
        let noted = |conn: &str, id: &str, notes: &str| {
            format!(
                r#" us=275 conn={conn} eid={id} id=x vhost=shop.example handler=proxy-server worker="-" route="-" notes="{notes}""#
            )
        };
        let reason = |text: &str| noted("-", "abc", &format!("<p>Reason: <strong>{text}</strong></p>"));
        for (status, more, expected) in [
            ("200", String::new(), "200 served"),
            ("502", String::new(), "502 bad_gateway"),
            ("503", noted("-", "abc", "-"), "503 connect_failed?"),
            ("503", noted("-", "-", "-"), "503 service_unavailable"),
            ("500", reason("DNS lookup failure for: payments.lab"), "500 dns_failed?"),
            (
                "500",
                reason("Error during SSL Handshake with remote server"),
                "500 tls_failed?",
            ),
            ("502", reason("Error reading from remote server"), "502 bad_gateway?"),
            ("502", noted("-", "abc", "-"), "502 response_failed?"),
            (
                "502",
                noted("-", "abc", "-") + " ps=\"502 Bad Gateway\"",
                "502 bad_gateway",
            ),
            ("200", noted("-", "abc", "-"), "200 served"),
            ("200", noted("X", "abc", "-"), "200 response_failed?"),
            ("404", noted("-", "-", "-"), "404 served"),
        ] {
            let line = format!(
                r#"127.0.0.1 - - [20/Nov/2026:11:03:44 +0000] "GET /a?b=c HTTP/1.1" {status} 544 "-" "curl"{more}"#
            );
            assert_eq!(told(&KIND, &line), expected, "{line}");
        }
    }
}
