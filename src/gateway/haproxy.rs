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

mod error_log;
#[cfg(test)]
mod tests;

use super::commands::Command;
use super::log::{
    Field, Fields, Format, HTTPLOG, Key, Layout, Logs, Syntax, Unit, Variable, key, key_in, openssl, text, var, var_in,
};
use super::page::{Page, Said};
use super::{Kind, NONE, kib};
use crate::cause::Cause;
use crate::exchange::{Exchange, Join, Outcome, Reason, Taken};
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
    errors: Some(error_log::read),
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
