//! lighttpd with mod_proxy.
//!
//! Source: its `gw_backend.c` and `configfile.c`.
//! - `connect-timeout` 8 s; `read-timeout` and `write-timeout`: none.
//! - Response head 65535 bytes.
//! - Backends are reached in the clear and connections are not kept.
//!
//! Commands: lighttpd(8) (`-p`, `-tt`); the paths are those of Debian's package.

use super::commands::Command;
use super::log::{
    ErrorLine, Field, Fields, Format, Layout, Logs, Memory, Syntax, Unit, Variable, text, time, var, var_in,
};
use super::page::{Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::exchange::{Complaint, Effect, Exchange, Join, Outcome, Reason, Stamp};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "lighttpd",
    aliases: &[],
    products: &["lighttpd"],
    limits: Limits {
        connect: secs(8),
        response_header: Some(65_535),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "where it sends requests, and with which limits",
            line: "lighttpd -p -f /etc/lighttpd/lighttpd.conf | grep -nE 'proxy|fastcgi|host|port|timeout'",
        },
        Command {
            shows: "what it says of backends",
            line: "tail -n 200 /var/log/lighttpd/error.log",
        },
    ],
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

/// What its logs look like and mean.
///
/// Source: `mod_accesslog.c`, `log.c`, and the files named at [`MESSAGES`].
const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "default",
            layout: Layout::Pattern(r#"%h %V %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#),
        },
        Format {
            name: "badgateway",
            layout: Layout::Pattern(RECOMMENDED),
        },
        // Whatever was added behind the predefined format is read over.
        Format {
            name: "default and more",
            layout: Layout::Pattern(r#"%h %V %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %x"#),
        },
    ],
    syntax: Some(Syntax::Percent),
    variables: VARIABLES,
    exchange,
    errors: Some(error_line),
    causes: CAUSES,
    tells: "The error log names a refused or timed out connect, a reset, a timeout, a head that is too large or no HTTP, and backends switched off; %D and %X in the access log show how long a request took and that its client left.",
    silent: "The access log knows nothing of backends: an origin's own 502 looks like one of lighttpd's. A backend that closes without an answer leaves no error line, nor does a body that is too short. The error log names no client, so its lines are brought together with requests by path or by status and time.",
};

/// The format that makes lighttpd say the most.
const RECOMMENDED: &str = r#"%h %V %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" us=%D conn=%X in=%I out=%O"#;

const VARIABLES: &[Variable] = &[
    var("h", Field::Client),
    var("a", Field::Client),
    var("V", Field::Host),
    // A name that was checked; a blank in it would only make the line be read from its end.
    var("u", Field::Own),
    var("l", Field::Own),
    var("t", Field::Time),
    var("r", Field::Request),
    var("m", Field::Method),
    var("U", Field::Target),
    var("s", Field::Status),
    var("b", Field::Own),
    var("B", Field::Own),
    var("I", Field::Own),
    var("O", Field::BytesSent),
    var_in("D", Field::Duration, Unit::Micros),
    var_in("T", Field::Duration, Unit::Seconds),
    var("X", Field::Completion),
    var("{user-agent}i", Field::Agent),
    var("{host}i", Field::Host),
    var("{x-request-id}i", Field::RequestId),
];

const CAUSES: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::ResponseTimeout,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
    Cause::ResponseTruncated,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
    Cause::GatewayInternal,
    Cause::ConnectFailed,
    Cause::ResponseFailed,
];

const ANY_500: &[Cause] = &[
    Cause::ConnectReset,
    Cause::ConnectUnreachable,
    Cause::ResponseClosed,
    Cause::ResponseReset,
    Cause::ResponseMalformed,
    Cause::ServerError,
];
const ANY_502: &[Cause] = &[
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
    Cause::BadGateway,
];
const ANY_503: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
    Cause::GatewayInternal,
    Cause::ServiceUnavailable,
];
const ANY_504: &[Cause] = &[Cause::ResponseTimeout, Cause::GatewayTimeout];
/// The line does not say whether a head had come.
const READ_TIMEOUT: &[Cause] = &[Cause::ResponseTimeout, Cause::ResponseBodyTimeout];
const ENDED: &[Cause] = &[Cause::ResponseReset, Cause::ResponseClosed];

/// A request, from its line in the access log.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    // The error log leaves out the query of some.
    exchange.join.request = text::without_query(exchange.join.request);
    let left = fields.raw(Field::Completion) == Some(b"X");
    let Some(status) = exchange.status.filter(|_| !left) else {
        exchange.outcome = Outcome::ClientClosed;
        return Some(exchange);
    };
    exchange.outcome = match text::own_status(status) {
        Some(own) => Outcome::Failed(match status {
            500 => Reason::one_of(own, ANY_500),
            502 => Reason::one_of(own, ANY_502),
            503 => Reason::one_of(own, ANY_503),
            504 => Reason::one_of(own, ANY_504),
            _ => Reason::exact(own),
        }),
        None => Outcome::Served,
    };
    Some(exchange)
}

/// One row of [`MESSAGES`].
struct Message {
    /// The message begins with this …
    start: &'static str,
    /// … and holds this behind it.
    holds: &'static str,
    effect: Effect,
    reason: Reason,
    /// The status the request ends with, where the line does not name the request.
    status: Option<u16>,
}

/// What the error log says of requests that fail, by the beginning of the message, first match first.
///
/// Source: `gw_backend.c`, `http-header-glue.c`; the text of "got a FDEVENT_ERR" is what a recorded EHOSTUNREACH left.
#[rustfmt::skip]
const MESSAGES: &[Message] = &{
    use Cause::*;
    use Effect::*;
    const fn exact(cause: Cause) -> Reason { Reason::exact(cause) }
    const fn row(start: &'static str, holds: &'static str, effect: Effect, reason: Reason, status: u16) -> Message {
        Message { start, holds, effect, reason, status: if status == 0 { None } else { Some(status) } }
    }
    const ESTABLISHING: &str = "establishing connection failed: ";
    [
        row(ESTABLISHING, "Connection refused", Attempt, exact(ConnectRefused), 503),
        row(ESTABLISHING, "timed out", Attempt, exact(ConnectTimeout), 503),
        row(ESTABLISHING, "No route to host", Attempt, exact(ConnectUnreachable), 503),
        row(ESTABLISHING, "Network is unreachable", Attempt, exact(ConnectUnreachable), 503),
        row(ESTABLISHING, "socket: unix:", Attempt, exact(ConnectRefused), 503),
        row(ESTABLISHING, "", Attempt, Reason::open(ConnectFailed), 503),
        row("gw: got a FDEVENT_ERR.", "", Attempt, exact(ConnectUnreachable), 500),
        row("all handlers for ", " are down.", Refused, exact(NoLiveUpstream), 0),
        row("If this happened on Linux: You have run out of local ports", "", Refused, exact(GatewayInternal), 503),
        row("This means that you have more incoming requests than your FastCGI", "", Refused, exact(UpstreamOverloaded), 503),
        row("connection was dropped after accept()", "", Attempt, exact(ConnectReset), 500),
        row("response not received, request sent: ", "", Attempt, Reason::one_of(ResponseFailed, ENDED), 0),
        row("closing connection; response not received, but request sent", "", Attempt, Reason::one_of(ResponseFailed, ENDED), 0),
        row("unexpected close of gw connection for ", "", Attempt, exact(ResponseClosed), 0),
        row("response already sent out, but backend returned error", "", Cut, exact(ResponseTruncated), 0),
        row("terminating connection; response already sent out, but backend returned error", "", Cut, exact(ResponseTruncated), 0),
        row("read timeout on socket: ", "", Attempt, Reason::one_of(ResponseFailed, READ_TIMEOUT), 504),
        row("write timeout on socket: ", "", Attempt, exact(ResponseTimeout), 504),
        row("response headers too large for ", "", Attempt, exact(ResponseHeaderTooLarge), 0),
        row("invalid HTTP status line: ", "", Attempt, exact(ResponseMalformed), 502),
        row("HTTP backend response missing CR before LF", "", Attempt, exact(ResponseMalformed), 502),
    ]
};

/// A line of the error log: `2026-11-20 10:57:24: (gw_backend.c.2389) MESSAGE`. No line names the client.
fn error_line<'l>(memory: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    let Some((stamp, said)) = head(line) else {
        return ErrorLine::Foreign;
    };
    if said.starts_with(b"read() ") && said.ends_with(b": Connection reset by peer") {
        keep_reset(memory, stamp);
        return ErrorLine::Other;
    }
    let Some(message) = MESSAGES.iter().find(|message| {
        let rest = said.strip_prefix(message.start.as_bytes());
        rest.is_some_and(|rest| text::has(rest, message.holds))
    }) else {
        return ErrorLine::Other;
    };
    // Both kinds of message can follow a reset; a body's says no more for it.
    let may_follow = message.reason.candidates == ENDED || message.effect == Effect::Cut;
    let reason = match may_follow && take_reset(memory, stamp) && message.effect != Effect::Cut {
        true => Reason::exact(Cause::ResponseReset),
        false => message.reason,
    };
    ErrorLine::Complaint(Complaint {
        time: Some(stamp),
        effect: message.effect,
        reason,
        backend: socket(said),
        host: b"",
        names: [b""; 3],
        join: Join {
            request: request(said, message),
            status: message.status,
            ..Join::default()
        },
    })
}

/// A reset while reading is a line of its own; the next one, of the same second, says of which request. With several
/// workers others may stand between.
fn keep_reset(memory: &mut Memory, stamp: Stamp) {
    memory.numbers.rotate_right(1);
    memory.numbers[0] = stamp.millis.unsigned_abs();
}

/// Whether a reset of that second waits for its request.
fn take_reset(memory: &mut Memory, stamp: Stamp) -> bool {
    let waiting = memory.numbers.iter_mut().find(|at| **at == stamp.millis.unsigned_abs());
    waiting.map(|at| *at = 0).is_some()
}

/// Time and message.
fn head(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let stamp = time::parse(line.get(..19)?)?;
    let rest = line[19..].strip_prefix(b": (")?;
    let end = text::find(rest.get(..rest.len().min(80))?, b") ")?;
    Some((stamp, &rest[end + 2..]))
}

/// The address in `socket: tcp:10.0.0.1:80`, or `unix:/path`.
fn socket(said: &[u8]) -> &[u8] {
    let named = text::between(said, b"socket: ", b" ").unwrap_or_default();
    let named = named.strip_suffix(b":").unwrap_or(named);
    named.strip_prefix(b"tcp:").unwrap_or(named)
}

/// The path behind the words that lead to it.
fn request<'l>(said: &'l [u8], message: &Message) -> &'l [u8] {
    let target = match message.start.ends_with(" for ") {
        true => said.get(message.start.len()..),
        false => text::between(said, b" for ", b"").filter(|_| message.status.is_none()),
    };
    let target = target.unwrap_or_default();
    let end = memchr::memchr2(b' ', b',', target).unwrap_or(target.len());
    text::without_query(&target[..end])
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;
    use crate::exchange::Line;

    #[test]
    fn requests() {
        for (status, tail, expected) in [
            ("200", "", "200 served"),
            ("404", "", "404 served"),
            ("500", "", "500 server_error?"),
            ("502", "", "502 bad_gateway?"),
            ("503", "", "503 service_unavailable?"),
            ("504", "", "504 gateway_timeout?"),
            ("504", " us=4014429 conn=- in=135 out=512", "504 gateway_timeout?"),
            ("200", " us=1203102 conn=X in=135 out=-", "200 client_closed"),
            ("502", " more \"x", "502 bad_gateway?"),
        ] {
            let line = format!(
                r#"127.0.0.1 shop.example - [20/Nov/2026:10:57:49 +0000] "GET /a?b=\"c HTTP/1.1" {status} 345 "-" "curl"{tail}"#
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    fn every_message() {
        const RESET: &str = "read() 12 13: Connection reset by peer";
        for (said, expected) in [
            (
                "establishing connection failed: socket: tcp:127.0.0.1:80: Connection refused",
                "attempt connect_refused 127.0.0.1:80",
            ),
            (
                "establishing connection failed: socket: tcp:127.0.0.1:80: Connection timed out",
                "attempt connect_timeout 127.0.0.1:80",
            ),
            (
                "establishing connection failed: socket: tcp:127.0.0.1:80: No route to host",
                "attempt connect_unreachable 127.0.0.1:80",
            ),
            (
                "establishing connection failed: socket: tcp:127.0.0.1:80: Network is unreachable",
                "attempt connect_unreachable 127.0.0.1:80",
            ),
            (
                "establishing connection failed: socket: unix:/run/a.sock: No such file or directory",
                "attempt connect_refused unix:/run/a.sock",
            ),
            ("gw: got a FDEVENT_ERR. Don't know why.", "attempt connect_unreachable"),
            ("all handlers for /a?b on /ext are down.", "refused no_live_upstream"),
            ("gw-server re-enabled: tcp:127.0.0.1:80 127.0.0.1 80 ", "other"),
            (
                "backend error; we'll disable for 1secs and send the request to another backend instead: load: 1",
                "other",
            ),
            (
                "If this happened on Linux: You have run out of local ports. Check the manual",
                "refused gateway_internal",
            ),
            (
                "This means that you have more incoming requests than your FastCGI backend can handle in parallel.",
                "refused upstream_overloaded",
            ),
            (
                "connection was dropped after accept() (perhaps the gw process died), socket: tcp:127.0.0.1:80",
                "attempt connect_reset 127.0.0.1:80",
            ),
            (
                "response not received, request sent: 242 on socket: tcp:127.0.0.1:80 for /a?, closing connection",
                "attempt response_failed? 127.0.0.1:80",
            ),
            (
                "closing connection; response not received, but request sent on socket: tcp:127.0.0.1:80 for /a",
                "attempt response_failed? 127.0.0.1:80",
            ),
            ("unexpected close of gw connection for /a", "attempt response_closed"),
            (
                "reconnecting; response not received, request not sent on socket: tcp:127.0.0.1:80 for /a",
                "other",
            ),
            (
                "response already sent out, but backend returned error on socket: tcp:127.0.0.1:80 for /a, terminating connection",
                "cut response_truncated 127.0.0.1:80",
            ),
            (
                "terminating connection; response already sent out, but backend returned error on socket: tcp:127.0.0.1:80 for /a",
                "cut response_truncated 127.0.0.1:80",
            ),
            (
                "read timeout on socket: tcp:127.0.0.1:80 (fd: 11)",
                "attempt response_failed? 127.0.0.1:80",
            ),
            (
                "write timeout on socket: tcp:127.0.0.1:80 (fd: 11)",
                "attempt response_timeout 127.0.0.1:80",
            ),
            ("response headers too large for /a", "attempt response_header_too_large"),
            (
                "invalid HTTP status line: HTTP/1.1 banana OK",
                "attempt response_malformed",
            ),
            (
                "HTTP backend response missing CR before LF",
                "attempt response_malformed",
            ),
            ("FastCGI-stderr: unexpected close of gw connection for /a", "other"),
            (RESET, "other"),
        ] {
            let line = format!("2026-11-20 10:57:24: (gw_backend.c.2389) {said}");
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
        let reset = format!(
            "2026-11-20 10:57:24: (http-header-glue.c.1341) {RESET}\n2026-11-20 10:57:24: (gw_backend.c.2389) response not received, request sent: 242 on socket: tcp:127.0.0.1:80 for /a?, closing connection"
        );
        assert_eq!(testing::told(&KIND, &reset), "attempt response_reset 127.0.0.1:80");
    }

    #[test]
    fn the_path_both_logs_state() {
        for (said, expected) in [
            ("response headers too large for /a/b", "/a/b"),
            ("all handlers for /a/b?c on /x are down.", "/a/b"),
            (
                "response not received, request sent: 2 on socket: tcp:127.0.0.1:80 for /a/b?c, closing connection",
                "/a/b",
            ),
            ("invalid HTTP status line: banana for /a", ""),
        ] {
            let line = format!("2026-11-20 10:57:24: (gw_backend.c.2389) {said}");
            let mut parser = super::super::log::Parser::new(&KIND, None).unwrap();
            let Some(Line::Complaint(complaint)) = parser.read(line.as_bytes()) else {
                panic!("not read: {line}");
            };
            assert_eq!(complaint.join.request, expected.as_bytes(), "{line}");
        }
    }
}
