//! Varnish.
//!
//! Source: `include/tbl/params.h`.
//! - `connect_timeout` 3.5 s, `first_byte_timeout` 60 s, `between_bytes_timeout` 60 s, `backend_idle_timeout` 60 s.
//! - `http_resp_size` 32 KiB, the whole head.
//! - Backends are reached in the clear (TLS is in the Enterprise version only).
//!
//! Commands: varnish-cache.org/docs/trunk/reference/varnish-cli.html and docs/trunk/reference/varnishlog.html.

use std::time::Duration;

use super::commands::Command;
use super::log::{
    About, ErrorLine, Field, Fields, Format, Layout, Logs, Memory, Syntax, Unit, Variable, text, time, var, var_in,
};
use super::page::{Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::exchange::{Complaint, Effect, Exchange, Join, Outcome, Reason, Stamp};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "varnish",
    aliases: &[],
    products: &["varnish"],
    limits: Limits {
        connect: Some(Duration::from_millis(3500)),
        first_byte: secs(60),
        between_reads: secs(60),
        idle: secs(60),
        response_header: kib(32),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "the health of every backend, and its last probes",
            line: "varnishadm backend.list -p",
        },
        Command {
            shows: "the last failed requests still in memory, with what the fetch said",
            line: "varnishlog -d -g request -q 'RespStatus >= 500'",
        },
    ],
};

/// Its synthetic page: `builtin.vcl`. `Backend fetch failed` is written where no answer of a backend could be used; any
/// other reason may be the operator's own (`synth`).
pub const PAGE: Page = Page {
    rank: 5,
    read: |answer| {
        let own = answer.header("x-varnish").is_some() || answer.has("<p>Varnish cache server</p>");
        if !own || !answer.has("<h3>Guru Meditation:</h3>") {
            return None;
        }
        let said = Said::by("varnish");
        match answer.between("<h1>Error ", "</h1>")? {
            "503 Backend fetch failed" => Some(said.bad_gateway()),
            _ => Some(said),
        }
    },
    passed: |answer| (answer.header("x-varnish").is_some() || answer.via("(Varnish/")).then_some("varnish"),
};

/// What its logs look like and mean: `varnishncsa -c` for requests, and for faults `varnishlog -g vxid` or
/// `varnishncsa -b`.
///
/// Source: `varnishncsa.c`, `varnishlog.c`, and the files named at [`MESSAGES`].
const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "default",
            layout: Layout::Pattern(r#"%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-agent}i""#),
        },
        Format {
            name: "badgateway",
            layout: Layout::Pattern(RECOMMENDED),
        },
        // Whatever was added behind the predefined format is read over.
        Format {
            name: "default and more",
            layout: Layout::Pattern(r#"%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-agent}i" %x"#),
        },
    ],
    syntax: Some(Syntax::Percent),
    variables: VARIABLES,
    exchange,
    errors: Some(error_line),
    causes: CAUSES,
    tells: "The error log is varnishlog -g vxid -q 'FetchError or VCL_Error', or varnishncsa -b with side=%{Varnish:side}x backend=\"%{VSL:BackendOpen[2]}x\" fetch_error=\"%{VSL:FetchError}x\" behind the request, status and size: it names the cause of every failed fetch, also of one that a retry saved. With %{Varnish:vxid}x in the access log the two are brought together without doubt.",
    silent: "The access log alone: every failure is a 503, and a response that was cut is a 200. Whether the backend closed, reset or broke off within the head: \"HTC eof\" is all three. That the client left.",
};

/// The format that makes varnishncsa say the most of requests.
const RECOMMENDED: &str = r#"%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-agent}i" side=%{Varnish:side}x handling=%{Varnish:handling}x ttfb=%{Varnish:time_firstbyte}x vxid=%{Varnish:vxid}x dur_us=%D err="%{VSL:VCL_Error}x" resp_reason="%{VSL:RespReason}x""#;

const VARIABLES: &[Variable] = &[
    var("h", Field::Client),
    var("l", Field::Own),
    var("u", Field::Text),
    var("t", Field::Time),
    var("r", Field::Request),
    var("m", Field::Method),
    var("U", Field::Target),
    var("s", Field::Status),
    var("b", Field::Own),
    var("O", Field::Own),
    var("I", Field::Own),
    var_in("D", Field::Duration, Unit::Micros),
    var_in("T", Field::Duration, Unit::Seconds),
    var("{user-agent}i", Field::Agent),
    var("{host}i", Field::Host),
    var("{varnish:side}x", Field::Kind),
    var("{varnish:vxid}x", Field::LogId),
    var("{varnish:handling}x", Field::Cache),
    var("{varnish:hitmiss}x", Field::Own),
    var_in("{varnish:time_firstbyte}x", Field::HeaderTimes, Unit::Seconds),
    var("{vsl:vcl_error}x", Field::Message),
    var("{vsl:respreason}x", Field::Reason),
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
    Cause::ResponseBodyTimeout,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
    Cause::GatewayInternal,
    Cause::ConnectFailed,
    Cause::ResponseFailed,
    Cause::Unknown,
];

/// All failures end in 503, and an origin's own 503 looks the same.
const ANY: &[Cause] = &[
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
    Cause::ServiceUnavailable,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
    Cause::GatewayInternal,
];
/// Varnish 7 writes an errno of 0 where the kernel answered at once.
const NO_ERRNO: &[Cause] = &[Cause::ConnectRefused, Cause::ConnectUnreachable, Cause::ConnectReset];
/// The connection ended before a whole head.
const END_OF_HEAD: &[Cause] = &[
    Cause::ResponseClosed,
    Cause::ResponseReset,
    Cause::ResponseMalformed,
    Cause::ConnectReset,
];

/// A request, from its line of varnishncsa.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    // A fetch is no request: see `backend_line`.
    if fields.text(Field::Kind) == b"b" {
        return None;
    }
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    exchange.join.exact = text::id(fields.text(Field::LogId));
    // Varnish knows the client's address, and the log of its backend side does not.
    exchange.outcome = match exchange.status {
        None => Outcome::ClientClosed,
        Some(503) => Outcome::Failed(unavailable(fields)),
        // Varnish itself makes no other.
        Some(status) => match text::own_status(status) {
            Some(cause) => Outcome::Failed(Reason::exact(cause)),
            None => Outcome::Served,
        },
    };
    Some(exchange)
}

/// A 503: what Varnish writes itself has its own reason phrase.
fn unavailable(fields: &Fields<'_, '_>) -> Reason {
    let fetched = matches!(fields.text(Field::Cache), b"pass" | b"miss" | b"hit");
    match fields.text(Field::Reason) {
        b"" | b"Backend fetch failed" => Reason::one_of(Cause::ServiceUnavailable, ANY),
        b"VCL failed" => Reason::open(Cause::GatewayInternal),
        _ if fetched => Reason::exact(Cause::ServiceUnavailable),
        _ => Reason::one_of(Cause::ServiceUnavailable, ANY),
    }
}

/// What a `FetchError` says, by its beginning, first match first.
///
/// Source: `cache_backend.c`, `cache_fetch.c`, `http1/cache_http1_fetch.c`, `http1/cache_http1_vfp.c`,
/// `cache_gzip.c`; those of the body come after the head has gone to the client.
#[rustfmt::skip]
const MESSAGES: &[(&str, Effect, Reason)] = &{
    use Cause::*;
    use Effect::*;
    const fn exact(cause: Cause) -> Reason { Reason::exact(cause) }
    [
        ("No backend", Refused, exact(NoLiveUpstream)),
        ("Director ", Refused, exact(NoLiveUpstream)),
        ("HTC eof", Attempt, Reason::one_of(ResponseFailed, END_OF_HEAD)),
        ("first byte timeout", Attempt, exact(ResponseTimeout)),
        ("timeout", Attempt, exact(ResponseTimeout)),
        ("overflow", Attempt, exact(ResponseHeaderTooLarge)),
        ("Received junk", Attempt, exact(ResponseMalformed)),
        ("http format error", Attempt, exact(ResponseMalformed)),
        ("backend closed", Attempt, exact(ResponseClosed)),
        ("backend write error", Attempt, exact(ResponseReset)),
        ("straight insufficient bytes", Cut, exact(ResponseTruncated)),
        ("chunked insufficient bytes", Cut, exact(ResponseTruncated)),
        ("chunked read err", Cut, exact(ResponseTruncated)),
        ("chunked ", Cut, exact(ResponseMalformed)),
        ("Resource temporarily unavailable", Cut, exact(ResponseBodyTimeout)),
        ("Connection reset by peer", Cut, exact(ResponseTruncated)),
        ("Invalid Gzip header", Cut, exact(ResponseMalformed)),
        ("Gunzip error", Cut, exact(ResponseMalformed)),
        ("TestGunzip error", Cut, exact(ResponseMalformed)),
        ("Could not get storage", Cut, exact(GatewayInternal)),
    ]
};

/// What follows `backend NAME: `, by its beginning.
#[rustfmt::skip]
const OF_BACKEND: &[(&str, Effect, Reason)] = &{
    use Cause::*;
    use Effect::*;
    const fn exact(cause: Cause) -> Reason { Reason::exact(cause) }
    [
        ("fail errno 111 ", Attempt, exact(ConnectRefused)),
        ("fail errno 110 ", Attempt, exact(ConnectTimeout)),
        ("fail errno 113 ", Attempt, exact(ConnectUnreachable)),
        ("fail errno 101 ", Attempt, exact(ConnectUnreachable)),
        ("fail errno 104 ", Attempt, exact(ConnectReset)),
        ("fail errno 99 ", Attempt, exact(GatewayInternal)),
        ("fail errno 24 ", Attempt, exact(GatewayInternal)),
        ("fail errno ", Attempt, Reason::one_of(ConnectFailed, NO_ERRNO)),
        ("unhealthy", Refused, exact(NoLiveUpstream)),
        ("busy", Refused, exact(UpstreamOverloaded)),
    ]
};

/// The name of the backend, where the text states it, and what happened.
fn meaning(said: &[u8]) -> (&[u8], Effect, Reason) {
    let of_backend = said
        .strip_prefix(b"backend ")
        .or_else(|| said.strip_prefix(b"Backend "))
        .and_then(|rest| Some((rest, text::find(rest, b": ")?)))
        .filter(|(rest, end)| !rest[..*end].contains(&b' '));
    let (name, table, said) = match of_backend {
        Some((rest, end)) => (&rest[..end], OF_BACKEND, &rest[end + 2..]),
        None => (&b""[..], MESSAGES, said),
    };
    match table.iter().find(|(start, ..)| said.starts_with(start.as_bytes())) {
        Some((_, effect, reason)) => (name, *effect, *reason),
        None => (name, Effect::Attempt, Reason::open(Cause::Unknown)),
    }
}

/// A line of `varnishlog -g vxid`, or one of `varnishncsa -b`.
fn error_line<'l>(memory: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    if line.is_empty() {
        return ErrorLine::Other;
    }
    if let Some(number) = group_header(line) {
        *memory = Memory::default();
        memory.numbers[IDENTITY] = text::id(number);
        return ErrorLine::Other;
    }
    match record(line) {
        Some((tag, value)) => of_group(memory, tag, value),
        None => {
            memory.about.clear();
            backend_line(line)
        }
    }
}

/// Of the client's side of the group, where [`Memory::numbers`] keeps it.
const IDENTITY: usize = 0;
/// When the group began, milliseconds since the epoch.
const BEGAN: usize = 1;
/// 1 where the group has said already that the body broke off.
const CUT: usize = 2;

/// The number in `*   << BeReq    >> 98388`, or with more stars below another group.
fn group_header(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"*")?;
    text::between(line, b" >> ", b"")
        .map(<[u8]>::trim_ascii)
        .filter(|_| text::has(line, " << "))
}

/// Tag and value of `-   FetchError     overflow`, or with more dashes below another group.
fn record(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (level, rest) = line.split_at_checked(4)?;
    let is_level = matches!(level, b"-   " | b"--  " | b"--- ") || (level[0] == b'-' && level[2..] == *b"- ");
    let end = memchr::memchr(b' ', rest)?;
    let is_tag = rest[..end]
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        && end > 0;
    (is_level && is_tag).then(|| (&rest[..end], rest[end..].trim_ascii()))
}

fn of_group<'l>(memory: &mut Memory, tag: &[u8], value: &'l [u8]) -> ErrorLine<'l> {
    let mut words = value.split(|byte| *byte == b' ');
    match tag {
        // `bereq 98387 pass`: the number of the request it is for. The request's own begins with `req`.
        b"Begin" if value.starts_with(b"bereq ") => {
            memory.numbers[IDENTITY] = text::id(words.nth(1).unwrap_or_default());
        }
        // The beginning is what varnishncsa writes too.
        b"Timestamp" if value.starts_with(b"Start: ") => {
            let began = words.nth(1).and_then(time::parse).map_or(0, |stamp| stamp.millis);
            memory.numbers[BEGAN] = u64::try_from(began).unwrap_or_default();
        }
        b"BereqURL" | b"ReqURL" => About::keep(&mut memory.about.request, value),
        // `40 app30 127.0.0.1 22017 127.0.0.1 41820 connect`.
        b"BackendOpen" => {
            About::keep(&mut memory.about.name, words.nth(1).unwrap_or_default());
            let mut backend = words.next().unwrap_or_default().to_vec();
            backend.push(b':');
            backend.extend_from_slice(words.next().unwrap_or_default());
            About::keep(&mut memory.about.backend, &backend);
        }
        b"FetchError" => {
            let complaint = of_fetch(memory, value);
            // A body that broke off is also too short: the first line says why.
            let again = complaint.effect == Effect::Cut && memory.numbers[CUT] != 0;
            memory.numbers[CUT] = u64::from(complaint.effect == Effect::Cut);
            return match again {
                true => ErrorLine::Other,
                false => ErrorLine::Complaint(complaint),
            };
        }
        b"VCL_Error" => {
            return ErrorLine::Complaint(Complaint {
                effect: Effect::Refused,
                reason: Reason::exact(Cause::GatewayInternal),
                names: [b""; 3],
                ..of_fetch(memory, value)
            });
        }
        _ => {}
    }
    ErrorLine::Other
}

fn of_fetch<'l>(memory: &Memory, said: &'l [u8]) -> Complaint<'l> {
    let (name, effect, reason) = meaning(said);
    let began = i64::try_from(memory.numbers[BEGAN]).unwrap_or_default();
    Complaint {
        time: (began > 0).then_some(Stamp {
            millis: began,
            local: false,
        }),
        effect,
        reason,
        backend: b"",
        host: b"",
        names: [name, b"", b""],
        join: Join {
            exact: memory.numbers[IDENTITY],
            ..Join::default()
        },
    }
}

/// A fetch: `HOST - USER [TIME] "REQUEST" STATUS SIZE side=b … fetch_error="…"`. Quotes in what the client wrote have a
/// backslash before them.
fn backend_line(line: &[u8]) -> ErrorLine<'_> {
    let Some((time, request, own)) = fetch(line) else {
        return ErrorLine::Foreign;
    };
    let said = text::between(own, b" fetch_error=\"", b"\"").unwrap_or(b"-");
    if said == b"-" {
        return ErrorLine::Other;
    }
    let (name, effect, reason) = meaning(said);
    let value = |start: &[u8]| text::between(own, start, b"\"").filter(|value| !matches!(*value, b"-" | b"-:-"));
    ErrorLine::Complaint(Complaint {
        time: Some(time),
        effect,
        reason,
        backend: value(b" addr=\"").unwrap_or_default(),
        host: b"",
        names: [value(b" backend=\"").unwrap_or(name), b"", b""],
        join: Join {
            request: text::path_of(text::target_of(request)),
            ..Join::default()
        },
    })
}

/// Time, request line and what Varnish wrote behind them.
fn fetch(line: &[u8]) -> Option<(Stamp, &[u8], &[u8])> {
    let start = text::find(line, b"] \"")?;
    let time = time::parse(&line[memchr::memrchr(b'[', &line[..start])? + 1..start])?;
    let rest = &line[start + 3..];
    let end = memchr::memchr_iter(b'"', rest).find(|at| {
        let backslashes = rest[..*at].iter().rev().take_while(|byte| **byte == b'\\').count();
        backslashes % 2 == 0
    })?;
    let own = &rest[end + 1..];
    text::has(own, " side=b ").then_some((time, &rest[..end], own))
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;
    use crate::exchange::Line;

    #[test]
    fn requests() {
        let line = |status: &str, tail: &str| {
            format!(
                r#"127.0.0.1 - - [20/Nov/2026:11:01:01 +0000] "GET http://shop.example/a\"b HTTP/1.1" {status} 282 "-" "curl"{tail}"#
            )
        };
        let tail = |handling: &str, reason: &str| {
            format!(r#" side=c handling={handling} ttfb=0.000849 vxid=98354 dur_us=867 err="-" resp_reason="{reason}""#)
        };
        for (line, expected) in [
            (line("200", ""), "200 served"),
            (line("503", ""), "503 service_unavailable?"),
            (line("502", ""), "502 bad_gateway"),
            (line("504", ""), "504 gateway_timeout"),
            (line("200", &tail("pass", "OK")), "200 served"),
            (
                line("503", &tail("pass", "Backend fetch failed")),
                "503 service_unavailable?",
            ),
            (
                line("503", &tail("pass", "Service Unavailable")),
                "503 service_unavailable",
            ),
            (
                line("503", &tail("synth", "Service Unavailable")),
                "503 service_unavailable?",
            ),
            (line("503", &tail("synth", "VCL failed")), "503 gateway_internal"),
            (line("503", " more"), "503 service_unavailable?"),
        ] {
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
    }

    const GROUP: &str = "*   << BeReq    >> 98388     \n-   Begin          bereq 98387 pass\n-   Timestamp      Start: 1795172466.252905 0.000000 0.000000\n-   BereqURL       /app30/v1?x\n-   BackendOpen    40 app30 127.0.0.1 22017 127.0.0.1 41820 connect\n";

    #[test]
    fn every_message() {
        for (said, expected) in [
            (
                "backend b: fail errno 111 (Connection refused)",
                "attempt connect_refused",
            ),
            ("backend b: fail errno 0 (Success)", "attempt connect_failed?"),
            (
                "backend b: fail errno 110 (Connection timed out)",
                "attempt connect_timeout",
            ),
            (
                "backend b: fail errno 113 (No route to host)",
                "attempt connect_unreachable",
            ),
            (
                "backend b: fail errno 101 (Network is unreachable)",
                "attempt connect_unreachable",
            ),
            ("backend b: unhealthy", "refused no_live_upstream"),
            ("backend b: busy", "refused upstream_overloaded"),
            ("No backend", "refused no_live_upstream"),
            ("Director d returned no backend", "refused no_live_upstream"),
            ("HTC eof (-1)", "attempt response_failed?"),
            ("HTC eof (Unexpected end of input)", "attempt response_failed?"),
            ("first byte timeout", "attempt response_timeout"),
            ("first byte timeout (reused connection)", "attempt response_timeout"),
            ("timeout", "attempt response_timeout"),
            ("overflow", "attempt response_header_too_large"),
            ("Received junk", "attempt response_malformed"),
            ("http format error", "attempt response_malformed"),
            ("backend closed", "attempt response_closed"),
            (
                "backend write error: 104 (Connection reset by peer)",
                "attempt response_reset",
            ),
            ("straight insufficient bytes", "cut response_truncated"),
            ("chunked insufficient bytes", "cut response_truncated"),
            ("chunked read err", "cut response_truncated"),
            ("chunked header non-hex", "cut response_malformed"),
            ("chunked tail no NL", "cut response_malformed"),
            ("Resource temporarily unavailable", "cut response_body_timeout"),
            ("Connection reset by peer", "cut response_truncated"),
            ("Gunzip error at the very end", "cut response_malformed"),
            ("something new", "attempt unknown"),
        ] {
            let lines = format!("{GROUP}-   FetchError     {said}");
            assert_eq!(
                testing::told(&KIND, &lines),
                format!("{expected} 127.0.0.1:22017"),
                "{said}"
            );
            let line = format!(
                r#"- - - [20/Nov/2026:11:00:49 +0000] "GET http://a/b\" side=b fetch_error=\"x HTTP/1.1" 503 0 side=b vxid=12 backend="-" addr="-:-" fetch_error="{said}" backend_close="-""#
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    fn what_earlier_lines_of_the_group_said() {
        let mut parser = super::super::log::Parser::new(&KIND, None).unwrap();
        for line in GROUP.lines() {
            assert!(matches!(parser.read(line.as_bytes()), Some(Line::Other)), "{line}");
        }
        let Some(Line::Complaint(complaint)) = parser.read(b"-   FetchError     overflow") else {
            panic!("a complaint");
        };
        assert_eq!(complaint.join.exact, text::id(b"98387"));
        assert_eq!(complaint.join.request, b"/app30/v1?x");
        assert_eq!(complaint.names[0], b"app30");
        assert_eq!(complaint.time.unwrap().millis, 1_795_172_466_252);
        assert!(matches!(parser.read(b""), Some(Line::Other)));
        assert!(matches!(parser.read(b"*   << BeReq    >> 98390"), Some(Line::Other)));
        let Some(Line::Complaint(complaint)) = parser.read(b"-   FetchError     overflow") else {
            panic!("a complaint");
        };
        assert!(complaint.join.request.is_empty() && complaint.backend.is_empty());
    }

    #[test]
    fn lines_that_say_nothing_of_a_failure() {
        testing::check(
            &KIND,
            &[
                ("*   << Request  >> 98387", "other"),
                ("-   BerespStatus   503", "other"),
                (
                    "-   FetchError     Resource temporarily unavailable\n-   FetchError     straight insufficient bytes",
                    "other",
                ),
                ("--  BerespStatus   503", "other"),
                (
                    r#"127.0.0.1 - - [20/Nov/2026:11:00:49 +0000] "GET http://a/b HTTP/1.1" 200 0 side=b vxid=12 backend="b" addr="10.0.0.1:80" fetch_error="-" backend_close="22 b recycle""#,
                    "other",
                ),
                ("- - something", "foreign"),
            ],
        );
    }
}
