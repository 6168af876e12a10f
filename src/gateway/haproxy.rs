//! HAProxy.
//!
//! Source: `doc/configuration.txt`.
//! - `timeout connect`, `timeout server`, `timeout queue`: none unless configured, so they belong into `limits`.
//! - The head must fit into `tune.bufsize` less `tune.maxrewrite`: 16384 - 1024 bytes.
//! - Idle connections are purged by halves (`pool-purge-delay` 5 s): no firm limit.
//! - `verify` on `ssl` servers: `required`.
//!
//! Commands: docs.haproxy.org, management guide 9.3 (`show stat`, `show servers state`, `show errors`), with the
//! socket of Debian's package.

use super::commands::Command;
use super::log::{
    ErrorLine, Field, Fields, Format, HTTPLOG, Key, Layout, Logs, Memory, Syntax, Unit, Variable, key, key_in, openssl,
    text, time, var, var_in,
};
use super::page::{Page, Said};
use super::{Kind, NONE, kib};
use crate::cause::Cause;
use crate::exchange::{Complaint, Effect, Exchange, Join, Outcome, Reason, Stamp, Taken};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "haproxy",
    aliases: &[],
    products: &[],
    limits: Limits {
        response_header: kib(15),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "the state of every server, and what its last check said",
            line: "echo 'show stat' | socat stdio /run/haproxy/admin.sock | cut -d, -f1,2,18,37,38,57",
        },
        Command {
            shows: "which addresses and ports it uses now",
            line: "echo 'show servers state' | socat stdio /run/haproxy/admin.sock",
        },
        Command {
            shows: "the last response it could not read",
            line: "echo 'show errors' | socat stdio /run/haproxy/admin.sock",
        },
    ],
};

/// Its error pages: `src/http.c`. It adds no header to answers it passes on.
///
/// The page of a 503 is the same for no usable server, a failed connection or handshake, and a full queue.
pub const PAGE: Page = Page {
    rank: 18,
    read: |answer| {
        let said = Said::by("haproxy");
        let is =
            |heading: &str, text: &str| answer.begins("<html><body><h1>") && answer.has(heading) && answer.has(text);
        match () {
            () if is(
                "<h1>502 Bad Gateway</h1>",
                "The server returned an invalid or incomplete response.",
            ) =>
            {
                Some(said.bad_gateway().because(Cause::ResponseFailed).maybe(NO_ANSWER))
            }
            () if is(
                "<h1>503 Service Unavailable</h1>",
                "No server is available to handle this request.",
            ) =>
            {
                Some(said.bad_gateway().maybe(NO_SERVER))
            }
            () if is("<h1>504 Gateway Time-out</h1>", "The server didn't respond in time.") => {
                Some(said.timed_out().because(Cause::ResponseTimeout))
            }
            // The reason phrase of `http-request return status 502`, which no other product writes.
            () if answer.reason == "Bad Gateway or Proxy Error" => Some(said.numbered(answer.status)),
            () => None,
        }
    },
    passed: |_| None,
};

const NO_ANSWER: &[Cause] = &[
    Cause::TlsClientCertificateRequired,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];
const NO_SERVER: &[Cause] = &[
    Cause::NoLiveUpstream,
    Cause::ConnectFailed,
    Cause::TlsFailed,
    Cause::DnsFailed,
    Cause::UpstreamOverloaded,
];

/// What its logs look like and mean.
///
/// Source: `doc/configuration.txt` 8.2 to 8.5, `src/connection.c`, `src/server.c`, `src/check.c`, and HAProxy 2.6.12.
pub const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "httplog",
            layout: Layout::Pattern(HTTPLOG),
        },
        Format {
            name: "httpslog",
            layout: Layout::Pattern("${HAPROXY_HTTPS_LOG_FMT}"),
        },
        Format {
            name: "badgateway",
            layout: Layout::Pattern(RECOMMENDED),
        },
        Format {
            name: "clf",
            layout: Layout::Pattern(CLF),
        },
        Format {
            name: "json",
            layout: Layout::Json(JSON),
        },
        // Whatever was added behind the predefined format is read over.
        Format {
            name: "httplog and more",
            layout: Layout::Pattern("${HAPROXY_HTTP_LOG_FMT} %[more]"),
        },
    ],
    syntax: Some(Syntax::Haproxy),
    variables: VARIABLES,
    exchange,
    errors: Some(error_line),
    causes: CAUSES,
    tells: "Every line says who ended the request and at which stage, so a cut response, a slow one, a full queue and a backend's own 502 are told apart in every format. With bc_err_str and ssl_bc_err_str a failed connect is told from a failed handshake, and certificates from other TLS faults. Lines about servers going down name the reason why a backend has none left.",
    silent: "httplog alone: whether a connect or a handshake failed. In every format: closed, reset and half a head look the same (SH), as do a malformed head and one that is too large (PH). A request that met a closing keep-alive connection is closed without an answer and without a line. option tcplog tells of sessions, not of requests: they count as none, and of them only attempts that reached no server count as failed, by backend and with what candidates the state leaves.",
};

/// The format that makes HAProxy say the most: `option httplog` and more. Written out, because `HAPROXY_HTTP_LOG_FMT` is
/// empty in 2.6.
const RECOMMENDED: &str = r#"%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r srv=%si:%sp up=%U bc_err=%[bc_err] bc_err_str=%{+Q}[bc_err_str] ssl_bc_err=%[ssl_bc_err] ssl_bc_err_str=%{+Q}[ssl_bc_err_str] id=%ID"#;

/// `option httplog clf`.
const CLF: &str = r#"%{+Q}o %{-Q}ci - - [%trg] %r %ST %B "" "" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl"#;

const VARIABLES: &[Variable] = &[
    var("ci", Field::Client),
    var("src", Field::Client),
    var("cp", Field::Port),
    var("src_port", Field::Port),
    var("tr", Field::Time),
    var("trg", Field::Time),
    var("trl", Field::Time),
    var("t", Field::Time),
    var("T", Field::Time),
    var("Tl", Field::Time),
    var("b", Field::Name),
    var("be_name", Field::Name),
    var("s", Field::Server),
    var("srv_name", Field::Server),
    var("si", Field::Extra1),
    var("sp", Field::Extra2),
    var_in("Tw", Field::QueueTime, Unit::Millis),
    var_in("Tc", Field::ConnectTimes, Unit::Millis),
    var_in("Tr", Field::HeaderTimes, Unit::Millis),
    var_in("Ta", Field::Duration, Unit::Millis),
    var_in("Tt", Field::Duration, Unit::Millis),
    var("ST", Field::Status),
    var("status", Field::Status),
    var("B", Field::BytesSent),
    var("ts", Field::State),
    var("tsc", Field::State),
    var("rc", Field::Retries),
    var("r", Field::Request),
    var("HM", Field::Method),
    var("HU", Field::Target),
    var("HP", Field::Target),
    var("HPO", Field::Target),
    var("hr", Field::Captures),
    var("hs", Field::Captures),
    var("bc_err", Field::ErrorCode),
    var("bc_err_str", Field::Reason),
    var("ssl_bc_err_str", Field::TlsReason),
    var("ssl_bc_err", Field::Own),
    var("ID", Field::RequestId),
    var("unique-id", Field::RequestId),
    var("ft", Field::Own),
    var("f", Field::Own),
    var("TR", Field::Own),
    var("Tq", Field::Own),
    var("Th", Field::Own),
    var("Ti", Field::Own),
    var("Td", Field::Own),
    var("Tu", Field::Own),
    var("Ts", Field::Own),
    var("ms", Field::Own),
    var("U", Field::Own),
    var("CC", Field::Own),
    var("CS", Field::Own),
    var("ac", Field::Own),
    var("fc", Field::Own),
    var("bc", Field::Own),
    var("sc", Field::Own),
    var("sq", Field::Own),
    var("bq", Field::Own),
    var("bi", Field::Own),
    var("bp", Field::Own),
    var("fi", Field::Own),
    var("fp", Field::Own),
    var("lc", Field::Own),
    var("pid", Field::Own),
    var("rt", Field::Own),
    var("HV", Field::Own),
    var("H", Field::Own),
    var("sslc", Field::Own),
    var("sslv", Field::Own),
    var("fc_err", Field::Own),
    var("ssl_fc_err", Field::Own),
    var("ssl_c_err", Field::Own),
    var("ssl_c_ca_err", Field::Own),
    var("ssl_fc_is_resumed", Field::Own),
];

/// JSON under the names of the variables, and under those most examples use.
const JSON: &[Key] = &[
    key("ST", Field::Status),
    key("status", Field::Status),
    key("status_code", Field::Status),
    key("tsc", Field::State),
    key("ts", Field::State),
    key("termination_state", Field::State),
    key("termination_state_cookie", Field::State),
    key("ci", Field::Client),
    key("client_ip", Field::Client),
    key("cp", Field::Port),
    key("client_port", Field::Port),
    key("tr", Field::Time),
    key("trg", Field::Time),
    key("t", Field::Time),
    key("time", Field::Time),
    key("request_date", Field::Time),
    key("b", Field::Name),
    key("backend", Field::Name),
    key("backend_name", Field::Name),
    key("be_name", Field::Name),
    key("s", Field::Server),
    key("server", Field::Server),
    key("server_name", Field::Server),
    key("r", Field::Request),
    key("request", Field::Request),
    key("http_request", Field::Request),
    key("HU", Field::Target),
    key("uri", Field::Target),
    key("HP", Field::Target),
    key("path", Field::Target),
    key_in("Tw", Field::QueueTime, Unit::Millis),
    key_in("Tc", Field::ConnectTimes, Unit::Millis),
    key_in("Tr", Field::HeaderTimes, Unit::Millis),
    key_in("Ta", Field::Duration, Unit::Millis),
    key_in("Tt", Field::Duration, Unit::Millis),
    key_in("time_wait", Field::QueueTime, Unit::Millis),
    key_in("time_connect", Field::ConnectTimes, Unit::Millis),
    key_in("time_response", Field::HeaderTimes, Unit::Millis),
    key_in("time_active", Field::Duration, Unit::Millis),
    key("rc", Field::Retries),
    key("retries", Field::Retries),
    key("bc_err", Field::ErrorCode),
    key("bc_err_str", Field::Reason),
    key("ssl_bc_err_str", Field::TlsReason),
    key("user_agent", Field::Agent),
    key("host", Field::Host),
    key("ID", Field::RequestId),
    key("id", Field::RequestId),
];

const CAUSES: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsRefused,
    Cause::DnsTimeout,
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::TlsTimeout,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsClientCertificateRequired,
    Cause::ResponseTimeout,
    Cause::ResponseReset,
    Cause::ResponseMalformed,
    Cause::ResponseTruncated,
    Cause::ResponseBodyTimeout,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
    Cause::GatewayInternal,
    Cause::DnsFailed,
    Cause::ConnectFailed,
    Cause::TlsFailed,
    Cause::ResponseFailed,
    Cause::Unknown,
];

/// `SC` with a server: the connect, the handshake, or the certificate.
const NOT_CONNECTED: &[Cause] = &[
    Cause::ConnectRefused,
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
];
/// `SC` with a server, where the format would name a TLS fault and does not.
const NO_CONNECT: &[Cause] = &[Cause::ConnectRefused, Cause::ConnectUnreachable, Cause::ConnectReset];
/// "General socket error" is said of what `connect()` refuses at once.
const NOT_SENT: &[Cause] = &[Cause::ConnectRefused, Cause::ConnectUnreachable];
/// `sC`: a reject that arrives while `connect()` runs ends so too.
const TOO_LATE: &[Cause] = &[Cause::ConnectTimeout, Cause::ConnectUnreachable, Cause::TlsTimeout];
/// `SC` without a server.
const NONE_LEFT: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsTimeout,
    Cause::DnsMalformed,
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ServiceUnavailable,
    Cause::NoLiveUpstream,
    Cause::GatewayConfig,
];
/// `SH`.
const NO_HEAD: &[Cause] = &[
    Cause::ConnectReset,
    Cause::TlsClientCertificateRequired,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
];
/// `PH`.
const BAD_HEAD: &[Cause] = &[Cause::ResponseMalformed, Cause::ResponseHeaderTooLarge];
const ANY_TLS: &[Cause] = &[
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
    Cause::TlsClientCertificateRequired,
];

/// A request, from its line.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let &[who, stage, ..] = fields.raw(Field::State)? else {
        return None;
    };
    let status = fields.status(Field::Status);
    let outcome = outcome(fields, who, stage, status);
    let target = match fields.target() {
        // What could not be read as a request: `<BADREQ>`.
        [b'<', ..] => &b""[..],
        target => target,
    };
    let mut exchange = Exchange {
        time: fields.stamp(),
        duration: fields.time(Field::Duration),
        client: client(fields),
        host: fields.text(Field::Host),
        target,
        agent: fields.text(Field::Agent),
        names: [fields.text(Field::Name), b"", b""],
        status,
        outcome,
        retries: fields
            .number(Field::Retries)
            .and_then(|retries| u32::try_from(retries).ok())
            .unwrap_or_default(),
        backend_time: backend_time(fields),
        taken: Taken {
            connect: fields.time(Field::ConnectTimes),
            first_byte: fields.time(Field::HeaderTimes),
            ..Taken::default()
        },
        ..Exchange::default()
    };
    exchange.join = Join {
        client: exchange.client,
        request: target,
        status,
        ..Join::default()
    };
    exchange.tried_once(backend(fields).unwrap_or_default());
    Some(exchange)
}

/// `%ci:%cp`, whose address may be of IPv6 without brackets.
fn client<'l>(fields: &Fields<'_, 'l>) -> &'l [u8] {
    let both = fields.joined(Field::Client, Field::Port);
    let port = both.and_then(|both| memchr::memrchr(b':', both));
    match (both, port) {
        (Some(both), Some(port)) => &both[..port],
        _ => fields.text(Field::Client),
    }
}

/// True where a server was chosen: not `<NOSRV>`, `<STATS>` or `<PROMEX>`.
fn has_server(fields: &Fields<'_, '_>) -> bool {
    !matches!(fields.text(Field::Server), [] | [b'<', ..])
}

/// The server's address where the format states it, else `BACKEND/SERVER`.
fn backend<'l>(fields: &Fields<'_, 'l>) -> Option<&'l [u8]> {
    if !has_server(fields) {
        return None;
    }
    let address = fields.joined(Field::Extra1, Field::Extra2);
    address
        .filter(|address| !address.starts_with(b"-"))
        .or_else(|| fields.joined(Field::Name, Field::Server))
        .or_else(|| Some(fields.text(Field::Server)))
}

/// The connect and the wait for the head.
fn backend_time(fields: &Fields<'_, '_>) -> Option<std::time::Duration> {
    let head = fields.time(Field::HeaderTimes)?;
    Some(fields.time(Field::ConnectTimes).unwrap_or_default() + head)
}

/// By the first two letters of the termination state. Source: `doc/configuration.txt` 8.5.
fn outcome(fields: &Fields<'_, '_>, who: u8, stage: u8, status: Option<u16>) -> Outcome {
    let own = || match status.and_then(text::own_status) {
        Some(cause) => Outcome::Failed(Reason::exact(cause)),
        None => Outcome::Served,
    };
    let failed_already = status.is_some_and(|status| status >= 500);
    let reason = match (who, stage) {
        (b'C' | b'c', _) => return Outcome::ClientClosed,
        // Answered, by a server or by a rule.
        (b'-' | b'L', _) | (b'P', b'R') => return own(),
        // Held back on purpose, and then a 500.
        (b'P', b'T') => return Outcome::Served,
        // A rule that answers in place of the server.
        (b'P', b'H') if status != Some(502) => return own(),
        (b'S' | b's' | b'P' | b'D' | b'K' | b'U', b'D' | b'L') if failed_already => return own(),
        (b'R' | b'I', _) | (b'P', b'C') => Reason::exact(Cause::GatewayInternal),
        (b's', b'Q') => Reason::exact(Cause::UpstreamOverloaded),
        (_, b'Q') => Reason::exact(Cause::NoLiveUpstream),
        (b'S', b'C') if !has_server(fields) => Reason::one_of(Cause::ServiceUnavailable, NONE_LEFT),
        (b'S', b'C') => not_connected(fields),
        (b's', b'C') => said(fields).unwrap_or(Reason::one_of(Cause::ServiceUnavailable, TOO_LATE)),
        (b'S', b'H') => no_head(fields),
        (b's', b'H') => Reason::exact(Cause::ResponseTimeout),
        (b'P', b'H') => Reason::one_of(Cause::ResponseFailed, BAD_HEAD),
        (b's', b'D') => Reason::exact(Cause::ResponseBodyTimeout),
        (b'P', b'D') => Reason::exact(Cause::ResponseMalformed),
        (_, b'D' | b'L') => Reason::exact(Cause::ResponseTruncated),
        // The server was taken out while it worked.
        (_, b'C') => Reason::open(Cause::ConnectFailed),
        (_, b'H') => Reason::open(Cause::ResponseFailed),
        _ => return own(),
    };
    Outcome::Failed(reason)
}

fn not_connected(fields: &Fields<'_, '_>) -> Reason {
    match (said(fields), fields.has(Field::Reason)) {
        (Some(reason), _) => reason,
        (None, true) => Reason::one_of(Cause::ConnectFailed, NO_CONNECT),
        (None, false) => Reason::one_of(Cause::ServiceUnavailable, NOT_CONNECTED),
    }
}

/// With TLS 1.3 a missing client certificate shows after the handshake.
fn no_head(fields: &Fields<'_, '_>) -> Reason {
    match said(fields) {
        Some(reason) if reason.cause == Cause::ConnectReset => Reason::exact(Cause::ResponseReset),
        Some(reason) if reason.settled => reason,
        _ => Reason::one_of(Cause::BadGateway, NO_HEAD),
    }
}

/// What `bc_err_str` says, by its beginning. Source: `src/connection.c`; the numbers shift between versions.
const ERRORS: &[(&str, Reason)] = &[
    ("ECONNREFUSED returned by OS", Reason::exact(Cause::ConnectRefused)),
    ("ECONNRESET returned by OS", Reason::exact(Cause::ConnectReset)),
    ("ETIMEDOUT returned by OS", Reason::exact(Cause::ConnectTimeout)),
    ("ENETUNREACH returned by OS", Reason::exact(Cause::ConnectUnreachable)),
    ("EHOSTUNREACH returned by OS", Reason::exact(Cause::ConnectUnreachable)),
    ("General socket error", Reason::one_of(Cause::ConnectFailed, NOT_SENT)),
    (
        "Connection closed during SSL handshake",
        Reason::exact(Cause::TlsClosed),
    ),
    ("Connection error during SSL handshake", Reason::exact(Cause::TlsClosed)),
    ("Timeout during SSL handshake", Reason::exact(Cause::TlsTimeout)),
    (
        "Server presented an SSL certificate different from",
        Reason::exact(Cause::TlsCertificateNameMismatch),
    ),
    ("SSL fatal error", Reason::open(Cause::TlsFailed)),
    (
        "Reached configured maxconn value",
        Reason::exact(Cause::GatewayInternal),
    ),
    ("Too many sockets on the", Reason::exact(Cause::GatewayInternal)),
    ("Out of system buffers", Reason::exact(Cause::GatewayInternal)),
    (
        "Protocol or address family not supported",
        Reason::exact(Cause::GatewayInternal),
    ),
    ("Source port range exhausted", Reason::exact(Cause::GatewayInternal)),
    ("Can't bind to source address", Reason::exact(Cause::GatewayInternal)),
    (
        "Out of local source ports on the system",
        Reason::exact(Cause::GatewayInternal),
    ),
    (
        "Local source address already in use",
        Reason::exact(Cause::GatewayInternal),
    ),
    ("Too many SSL connections", Reason::exact(Cause::GatewayInternal)),
    (
        "Out of memory when initializing an SSL",
        Reason::exact(Cause::GatewayInternal),
    ),
];

/// What the errors on the connection to the server say, where the format has them.
fn said(fields: &Fields<'_, '_>) -> Option<Reason> {
    if let Some(reason) = openssl::reason(fields.text(Field::TlsReason)) {
        return Some(reason);
    }
    let error = fields.text(Field::Reason);
    if error.starts_with(b"SSL handshake failure") {
        // OpenSSL has no error where the server closed or reset the connection.
        return Some(match fields.has(Field::TlsReason) {
            true => Reason::exact(Cause::TlsClosed),
            false => Reason::one_of(Cause::TlsFailed, ANY_TLS),
        });
    }
    let known = ERRORS.iter().find(|(start, _)| error.starts_with(start.as_bytes()));
    known.map(|(_, reason)| *reason)
}

/// A line about servers and backends, or about a connection that brought no request.
///
/// `Server B/S is DOWN, reason: …` says for all requests to come why this server cannot be asked.
fn error_line<'l>(_: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    let (stamp, said) = match text::after_syslog_header(line) {
        Some(rest) if !is_about_us(line) && !is_connection_error(line) => (time::before_syslog_tag(line), rest),
        _ => (None, line),
    };
    let said = after_level(said);
    if let Some(complaint) = standing(stamp, said) {
        return ErrorLine::Complaint(complaint);
    }
    if let Some(session) = Session::of(said) {
        return session.failed().map_or(ErrorLine::Other, ErrorLine::Complaint);
    }
    match is_about_us(said) || is_connection_error(said) {
        true => ErrorLine::Other,
        false => ErrorLine::Foreign,
    }
}

/// A line of `option tcplog`: `CLIENT:PORT [DATE] FRONTEND BACKEND/SERVER Tw/Tc/Tt BYTES STATE a/f/b/s/r s/b`.
///
/// It tells of a session, which may hold any number of requests and states the outcome of none. So it counts as no
/// request; what it does say is that an attempt to give the session a server failed.
struct Session<'l> {
    time: Stamp,
    name: &'l [u8],
    /// `BACKEND/SERVER`; empty where no server was chosen.
    backend: &'l [u8],
    who: u8,
    stage: u8,
}

impl<'l> Session<'l> {
    fn of(said: &'l [u8]) -> Option<Session<'l>> {
        let mut words = said.split(|byte| *byte == b' ');
        let words: [&[u8]; 9] = std::array::from_fn(|_| words.next().unwrap_or_default());
        let [client, date, _, place, timers, bytes, state, counts, queues] = words;
        let numbers = |text: &[u8], count: usize| {
            let is_number = |part: &[u8]| text::integer(part.strip_prefix(b"+").unwrap_or(part)).is_some();
            text.split(|byte| *byte == b'/').count() == count && text.split(|byte| *byte == b'/').all(is_number)
        };
        let is_one = client.contains(&b':')
            && numbers(timers, 3)
            && numbers(bytes, 1)
            && numbers(counts, 5)
            && numbers(queues, 2)
            && words.iter().map(|word| word.len() + 1).sum::<usize>() == said.len() + 1;
        let &[who, stage] = state else { return None };
        let slash = memchr::memchr(b'/', place)?;
        is_one.then_some(Session {
            time: time::parse(date.strip_prefix(b"[")?.strip_suffix(b"]")?)?,
            name: &place[..slash],
            backend: if place[slash + 1..].starts_with(b"<") {
                b""
            } else {
                place
            },
            who,
            stage,
        })
    }

    /// A session that reached no server, or that HAProxy itself could not serve. How one ends that did reach a server is no
    /// failure for certain: servers reset, and `timeout server` ends the idle.
    fn failed(&self) -> Option<Complaint<'l>> {
        let (effect, reason) = match (self.who, self.stage) {
            (b'C' | b'c' | b'-' | b'L', _) | (b'P', b'R') => return None,
            (b'R' | b'I', _) | (b'P', b'C') => (Effect::Refused, Reason::exact(Cause::GatewayInternal)),
            (b's', b'Q') => (Effect::Refused, Reason::exact(Cause::UpstreamOverloaded)),
            (_, b'Q') => (Effect::Refused, Reason::exact(Cause::NoLiveUpstream)),
            // Without a status, no cause holds for all of these but that it is not known.
            (_, b'C') if self.backend.is_empty() => (Effect::Refused, Reason::one_of(Cause::Unknown, NONE_LEFT)),
            (b'S', b'C') => (Effect::Attempt, Reason::one_of(Cause::Unknown, NOT_CONNECTED)),
            (b's', b'C') => (Effect::Attempt, Reason::one_of(Cause::Unknown, TOO_LATE)),
            (_, b'C') => (Effect::Attempt, Reason::open(Cause::ConnectFailed)),
            _ => return None,
        };
        Some(Complaint {
            time: Some(self.time),
            effect,
            reason,
            backend: self.backend,
            host: b"",
            names: [self.name, b"", b""],
            join: Join::default(),
        })
    }
}

/// `[WARNING] 123/105739 (13) : ` before a line on standard error.
fn after_level(said: &[u8]) -> &[u8] {
    let is_level = ["[NOTICE]", "[WARNING]", "[ALERT]", "[EMERG]", "[INFO]"]
        .iter()
        .any(|level| said.starts_with(level.as_bytes()));
    match text::find(said, b") : ") {
        Some(at) if is_level => &said[at + 4..],
        _ => said,
    }
}

/// How lines of HAProxy about itself begin. Source: `src/server.c`, `src/check.c`, `src/proxy.c`, `src/resolvers.c`.
const STARTS: &[&str] = &[
    "Server ",
    "Backup Server ",
    "backend ",
    "Backend ",
    "Proxy ",
    "Stopping ",
    "Pausing ",
    "Health check for ",
    "Agent check for ",
    "Connect from ",
    "config : ",
];

fn is_about_us(said: &[u8]) -> bool {
    let first = said.split(|byte| *byte == b' ').next().unwrap_or_default();
    let about_server = || first.contains(&b'/') && said[first.len()..].starts_with(b" changed its ");
    STARTS.iter().any(|start| said.starts_with(start.as_bytes())) || about_server()
}

/// `CLIENT:PORT [DATE] FRONTEND/BIND: TEXT`: a connection that ended before it brought a request.
fn is_connection_error(said: &[u8]) -> bool {
    let after_date = || {
        let open = text::find(said, b" [")?;
        let close = text::find(said, b"] ")?;
        time::parse(said.get(open + 2..close)?)?;
        let place = said[close + 2..].split(|byte| *byte == b' ').next()?;
        Some(place.ends_with(b":") && place.contains(&b'/'))
    };
    after_date().unwrap_or(false)
}

/// A server that goes down or comes back.
fn standing(time: Option<Stamp>, said: &[u8]) -> Option<Complaint<'_>> {
    let said = said.strip_prefix(b"Backup ").unwrap_or(said);
    let said = said.strip_prefix(b"Server ")?;
    let end = memchr::memchr(b' ', said)?;
    let (server, state) = (&said[..end], &said[end..]);
    let name = &server[..memchr::memchr(b'/', server)?];
    let (effect, reason) = match () {
        () if state.starts_with(b" is UP") || state.starts_with(b" administratively READY") => {
            (Effect::Up, Reason::open(Cause::Unknown))
        }
        () if state.starts_with(b" is DOWN") => (Effect::Down, down_reason(state)),
        () if state.starts_with(b" is going DOWN for maintenance")
            || state.starts_with(b" was DOWN and now enters maintenance") =>
        {
            (Effect::Down, maintenance_reason(state))
        }
        () => return None,
    };
    Some(Complaint {
        time,
        effect,
        reason,
        backend: server,
        host: b"",
        names: [name, b"", b""],
        join: Join::default(),
    })
}

/// What the health check found. Source: `src/check.c`.
fn down_reason(state: &[u8]) -> Reason {
    let Some(reason) = text::between(state, b" reason: ", b"") else {
        return Reason::open(Cause::NoLiveUpstream);
    };
    let starts = |start: &str| reason.starts_with(start.as_bytes());
    match () {
        () if starts("Layer4 timeout") => Reason::exact(Cause::ConnectTimeout),
        () if starts("Layer4 connection problem") => connection_problem(reason),
        () if starts("Layer6 timeout") => Reason::exact(Cause::TlsTimeout),
        () if starts("Layer6 invalid response") => Reason::one_of(Cause::TlsFailed, ANY_TLS),
        () if starts("Layer7 timeout") => Reason::exact(Cause::ResponseTimeout),
        () if starts("Layer7 invalid response") => Reason::exact(Cause::ResponseMalformed),
        () => Reason::open(Cause::NoLiveUpstream),
    }
}

/// `info: "Connection refused"`: the operating system's word.
fn connection_problem(reason: &[u8]) -> Reason {
    let says = |words: &str| text::has(reason, words);
    match () {
        () if says("refused") => Reason::exact(Cause::ConnectRefused),
        () if says("No route to host") || says("unreachable") => Reason::exact(Cause::ConnectUnreachable),
        () if says("reset by peer") => Reason::exact(Cause::ConnectReset),
        () => Reason::one_of(Cause::ConnectFailed, NO_CONNECT),
    }
}

/// `(DNS timeout status)`: the server's name could not be resolved. Source: `src/server.c`.
fn maintenance_reason(state: &[u8]) -> Reason {
    const UNSPECIFIED: &[Cause] = &[Cause::DnsNodata, Cause::DnsServfail, Cause::DnsMalformed];
    const NO_ADDRESS: &[Cause] = &[Cause::DnsNxdomain, Cause::DnsNodata];
    let why = text::between(state, b" maintenance (", b")").unwrap_or_default();
    match why {
        b"DNS NX status" => Reason::exact(Cause::DnsNxdomain),
        b"DNS timeout status" => Reason::exact(Cause::DnsTimeout),
        b"DNS refused status" => Reason::exact(Cause::DnsRefused),
        b"unspecified DNS error" => Reason::one_of(Cause::DnsFailed, UNSPECIFIED),
        b"No IP for server " => Reason::one_of(Cause::DnsFailed, NO_ADDRESS),
        // By the operator's hand.
        _ => Reason::exact(Cause::ServiceUnavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::Parser;
    use super::super::log::testing::{check, told};
    use super::*;
    use crate::exchange::Line;

    /// A line of `option httplog`: server, timers, status, state.
    fn httplog(server: &str, timers: &str, status: &str, state: &str) -> String {
        format!(
            r#"Nov 20 10:57:50 gw1 haproxy[13]: 127.0.0.1:50810 [20/Nov/2026:10:57:49.952] web app40/{server} {timers} {status} 430 - - {state} 20/20/19/19/0 0/0 "GET /app40/v1/orders/1001?expand=items HTTP/1.1""#
        )
    }

    #[test]
    #[rustfmt::skip]
    fn termination_states_and_their_causes() {
        for (server, timers, status, state, expected) in [
            ("s1", "0/0/0/703/703", "200", "----", "200 served"),
            ("s1", "0/0/0/2/2", "502", "----", "502 bad_gateway"),
            ("s1", "0/0/1/0/1", "504", "----", "504 gateway_timeout"),
            ("s1", "0/0/-1/-1/3012", "503", "SC--", "503 service_unavailable?"),
            ("s1", "0/0/-1/-1/4004", "503", "sC--", "503 service_unavailable?"),
            ("<NOSRV>", "0/-1/-1/-1/0", "503", "SC--", "503 service_unavailable?"),
            ("<NOSRV>", "0/302/-1/-1/302", "503", "sQ--", "503 upstream_overloaded"),
            ("<NOSRV>", "0/302/-1/-1/302", "503", "SQ--", "503 no_live_upstream"),
            ("s1", "0/0/0/-1/1", "502", "SH--", "502 bad_gateway?"),
            ("s1", "0/0/0/-1/2001", "504", "sH--", "504 response_timeout"),
            ("s1", "0/0/0/-1/0", "502", "PH--", "502 response_failed?"),
            ("s1", "0/0/0/-1/0", "403", "PH--", "403 served"),
            ("s1", "0/0/0/0/0", "200", "SD--", "200 response_truncated"),
            ("s1", "0/0/0/2/2003", "200", "sD--", "200 response_body_timeout"),
            ("s1", "0/0/0/2/3", "200", "PD--", "200 response_malformed"),
            ("s1", "0/0/0/2/3", "502", "SD--", "502 bad_gateway"),
            ("s1", "0/0/0/1202/1202", "200", "CD--", "200 client_closed"),
            ("s1", "0/0/0/-1/10", "-1", "CH--", "- client_closed"),
            ("<NOSRV>", "-1/-1/-1/-1/5000", "408", "cR--", "408 client_closed"),
            ("<NOSRV>", "0/-1/-1/-1/0", "502", "LR--", "502 bad_gateway"),
            ("<NOSRV>", "-1/-1/-1/-1/0", "400", "PR--", "400 served"),
            ("<NOSRV>", "0/-1/-1/-1/9", "500", "PT--", "500 served"),
            ("s1", "0/0/-1/-1/0", "503", "PC--", "503 gateway_internal"),
            ("<NOSRV>", "0/-1/-1/-1/0", "500", "IH--", "500 gateway_internal"),
            ("s1", "0/0/0/-1/9", "502", "DH--", "502 response_failed"),
            ("s1", "0/0/0/1/9", "200", "KD--", "200 response_truncated"),
        ] {
            let line = httplog(server, timers, status, state);
            assert_eq!(told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn errors_on_the_connection_to_the_server() {
        for (state, error, tls, expected) in [
            ("SC--", "", "", "503 connect_failed?"),
            ("SC--", "General socket error", "", "503 connect_failed?"),
            ("SC--", "ECONNREFUSED returned by OS", "", "503 connect_refused"),
            ("SC--", "Can't bind to source address", "", "503 gateway_internal"),
            ("SC--", "SSL handshake failure", "", "503 tls_closed"),
            ("SC--", "SSL handshake failure", "error:0A000086:SSL routines::certificate verify failed", "503 tls_failed?"),
            ("SC--", "SSL handshake failure", "error:0A00042E:SSL routines::tlsv1 alert protocol version", "503 tls_protocol"),
            ("SC--", "SSL handshake failure", "error:0A00010B:SSL routines::wrong version number", "503 tls_not_tls"),
            ("SC--", "Server presented an SSL certificate different from the expected one", "", "503 tls_certificate_name_mismatch"),
            ("sC--", "", "", "503 service_unavailable?"),
            ("sC--", "Timeout during SSL handshake", "", "503 tls_timeout"),
            ("SH--", "Success", "", "503 bad_gateway?"),
            ("SH--", "ECONNRESET returned by OS", "", "503 response_reset"),
            ("SH--", "SSL fatal error", "error:0A00045C:SSL routines::tlsv13 alert certificate required", "503 tls_client_certificate_required"),
        ] {
            let line = httplog("s1", "0/0/-1/-1/3012", "503", state)
                + &format!(r#" srv=127.0.0.1:22035 up=119 bc_err=34 bc_err_str="{error}" ssl_bc_err=0 ssl_bc_err_str="{tls}" id=7F"#);
            assert_eq!(told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    fn backends_clients_and_targets() {
        let line = httplog("s1", "0/0/0/703/703", "200", "----").replace("127.0.0.1:50810", "2001:db8::1:50810");
        let recommended = line.clone()
            + r#" srv=::1:22001 up=119 bc_err=0 bc_err_str="Success" ssl_bc_err=- ssl_bc_err_str="" id=7F"#;
        for (line, backend) in [(line, "app40/s1"), (recommended, "::1:22001")] {
            let mut parser = Parser::new(&KIND, None).unwrap();
            let Some(Line::Exchange(exchange)) = parser.read(line.as_bytes()) else {
                panic!("{line}");
            };
            assert_eq!(exchange.attempts[0].backend, backend.as_bytes());
            assert_eq!(exchange.client, b"2001:db8::1");
            assert_eq!(exchange.target, b"/app40/v1/orders/1001?expand=items");
            assert_eq!(exchange.names[0], b"app40");
            assert_eq!(exchange.backend_time, Some(std::time::Duration::from_millis(703)));
        }
    }

    #[test]
    fn what_limits_bound_is_told() {
        let millis = |millis| Some(std::time::Duration::from_millis(millis));
        for (timers, connect, first_byte) in [
            ("0/0/3/703/709", millis(3), millis(703)),
            ("0/0/2/-1/5", millis(2), None),
        ] {
            let line = httplog("s1", timers, "200", "----");
            let mut parser = Parser::new(&KIND, None).unwrap();
            let Some(Line::Exchange(exchange)) = parser.read(line.as_bytes()) else {
                panic!("{line}");
            };
            assert_eq!(
                (exchange.taken.connect, exchange.taken.first_byte),
                (connect, first_byte)
            );
        }
    }

    #[test]
    #[rustfmt::skip]
    fn sessions_are_no_requests() {
        for (said, expected) in [
            ("f1 refused/s1 1/-1/1001 0 SC 1/1/0/0/1 0/0", "attempt unknown? refused/s1"),
            ("f3 blackhole/s1 1/-1/2005 0 sC 1/1/0/0/1 0/0", "attempt unknown? blackhole/s1"),
            ("f2 nosrv/<NOSRV> -1/-1/0 0 SC 1/1/0/0/0 0/0", "refused unknown?"),
            ("f2 app/<NOSRV> 302/-1/302 0 sQ 1/1/0/0/0 0/7", "refused upstream_overloaded"),
            ("f2~ app/s1 302/-1/302 0 PC 1/1/0/0/0 0/7", "refused gateway_internal app/s1"),
            ("f4 good/s1 1/0/0 5 -- 1/1/0/0/0 0/0", "other"),
            ("f4 good/s1 1/0/+0 +5 -- 1/1/0/0/+1 0/0", "other"),
            ("f4 good/s1 1/0/0 0 SD 1/1/0/0/0 0/0", "other"),
            ("f4 good/s1 1/0/1001 0 sD 1/1/0/0/0 0/0", "other"),
            ("f4 good/s1 1/0/1001 0 CD 1/1/0/0/0 0/0", "other"),
            ("f4 good/s1 1/0/1001 0 SC 1/1/0/0/0", "foreign"),
            ("f4 good/s1 1/0/1001 0 SC 1/1/0/0/0 0/0 x", "foreign"),
            ("f4 good 1/0/1001 0 SC 1/1/0/0/0 0/0", "foreign"),
        ] {
            for start in ["Nov 20 19:02:21 haproxy[28613]: ", ""] {
                let line = format!("{start}127.0.0.1:39860 [20/Nov/2026:19:02:20.197] {said}");
                assert_eq!(told(&KIND, &line), expected, "{line}");
            }
        }
    }

    #[test]
    #[rustfmt::skip]
    fn other_formats() {
        check(&KIND, &[
            (r#"unix:1 [20/Nov/2026:16:10:18.517] f6 refused/s1 0/0/-1/-1/1002 503 217 - - SC-- 1/1/0/0/1 0/0 "GET /refused/a?#22b HTTP/1.1" 0/-/-/-/0 -/-/-"#, "503 service_unavailable?"),
            (r#"127.0.0.1 - - [20/Nov/2026:16:10:16 +0000] "GET /a?#22b HTTP/1.1" 503 217 "" "" 1 375 "f2" "refused" "s1" 0 0 -1 -1 1001 SC-- 1 1 0 0 1 0 0 "AB=1 SD-- 0/0/0/0/0 0/0 {" "" "curl/7.88.1" "q#22x #7By#7D #7C z" """#, "503 service_unavailable?"),
            (r#"127.0.0.1 - - [20/Nov/2026:16:10:15 +0000] "GET /a HTTP/1.1" 503 217 "" "" 1 309 "f" "refused" "s1" 0 0 -1 -1 1005 SC-- 1 1 0 0 1 0 0 "" "" "#, "503 service_unavailable?"),
            (r#"{"client_ip":"1.2.3.4","status_code":502,"termination_state":"PH--","backend_name":"app","server_name":"s1"}"#, "502 response_failed?"),
            (r#"unix:1 [20/Nov/2026:16:10:18.479] f5 ok/s1 0/0/1/2/3 200 49 - - ---- 1/1/0/0/0 0/0 {curl/7.88.1|q#22x #7By#7D #7C z} {} "GET /ok/a?#22b HTTP/1.1""#, "200 served"),
        ]);
    }

    #[test]
    fn a_format_that_is_written_as_json() {
        let blog = r#"{"client_ip": "127.0.0.1", "client_port": 50516, "request_date": "20/Jun/2024:11:47:56.766", "be_name": "app", "server_name": "s1", "time_wait": 0, "time_connect": -1, "time_response": -1, "status_code": 502, "termination_state_cookie": "PH--", "retries": 0, "http_request": "GET /a HTTP/1.1"}"#;
        let own = r#"{"when": "20/Nov/2026:16:10:18.517", "how": "sH--", "code": 504, "place": "app", "what": "GET /a\"b HTTP/1.1", "forged": "}, \"code\": 200"}"#;
        let format = "%{+json}o %(when)tr ignored %(how){+Q}tsc/%(code:sint)ST %{+Q}(place)b %(forged)[req.hdr(x),json] %(what){+Q}r %Tr";
        for (format, line, expected) in [
            (
                None,
                blog,
                Some(Outcome::Failed(Reason::one_of(Cause::ResponseFailed, BAD_HEAD))),
            ),
            (
                Some(format),
                own,
                Some(Outcome::Failed(Reason::exact(Cause::ResponseTimeout))),
            ),
            (Some(format), blog, None),
        ] {
            let mut parser = Parser::new(&KIND, format).unwrap();
            let outcome = match parser.read(line.as_bytes()) {
                Some(Line::Exchange(exchange)) => {
                    assert_eq!(exchange.names[0], b"app", "{line}");
                    assert!(exchange.time.is_some() && exchange.target.starts_with(b"/a"), "{line}");
                    Some(exchange.outcome)
                }
                _ => None,
            };
            assert_eq!(outcome, expected, "{line}");
        }
        let error = Parser::new(&KIND, Some("%{+json}o %(how)tsc %ST")).unwrap_err();
        assert!(error.message.contains("status the client got"), "{error}");
    }

    #[test]
    fn a_captured_cookie_forges_no_state() {
        let forged = r#"unix:1 [20/Nov/2026:16:10:17.456] f5 refused/s1 0/0/-1/-1/1001 503 217 AB=1 SD-- 0/0/0/0/0 0/0 { - SC-- 1/1/0/0/1 0/0 {curl/7.88.1|x} {} "GET /refused/a HTTP/1.1""#;
        assert_eq!(told(&KIND, forged), "foreign");
        let without_captures = forged.replace("{curl/7.88.1|x} {} ", "");
        assert_eq!(told(&KIND, &without_captures), "foreign");
    }

    #[test]
    #[rustfmt::skip]
    fn servers_that_go_down_and_come_back() {
        let tail = ". 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.";
        for (line, expected) in [
            ("Server app36/s1 is going DOWN for maintenance (unspecified DNS error)", "down dns_failed? app36/s1"),
            ("Server app37/s1 is going DOWN for maintenance (DNS timeout status)", "down dns_timeout app37/s1"),
            ("Server app37/s1 is going DOWN for maintenance (DNS NX status)", "down dns_nxdomain app37/s1"),
            ("Server app37/s1 is going DOWN for maintenance", "down service_unavailable app37/s1"),
            ("Server app/s1 is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 0ms", "down connect_refused app/s1"),
            ("Backup Server app/s1 is DOWN, reason: Layer4 timeout, check duration: 2001ms", "down connect_timeout app/s1"),
            ("Server app/s1 is DOWN, reason: Layer6 invalid response, info: \"SSL handshake failure\"", "down tls_failed? app/s1"),
            ("Server app/s1 is DOWN, reason: Layer7 wrong status, code: 500, info: \"Connection refused\"", "down no_live_upstream app/s1"),
            ("Server app36/s1 ('checkout.lab') is UP/READY (resolves again)", "other"),
            ("Server app36/s1 administratively READY thanks to valid DNS answer.", "up unknown app36/s1"),
            ("Server app/s1 is UP, reason: Layer4 check passed", "up unknown app/s1"),
            ("app36/s1 changed its IP from (none) to 127.0.0.1 by lab/dns1.", "other"),
            ("backend app37 has no server available!", "other"),
            ("127.0.0.1:1 [20/Nov/2026:16:10:18.517] web/1: SSL handshake failure", "other"),
            ("something else altogether", "foreign"),
        ] {
            for start in ["Nov 20 10:57:39 gw1 haproxy[13]: ", "", "[WARNING]  (13) : "] {
                let line = format!("{start}{line}{tail}");
                if !(expected == "foreign" && start.starts_with('[')) {
                    assert_eq!(told(&KIND, &line), expected, "{line}");
                }
            }
        }
    }
}
