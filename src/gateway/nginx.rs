//! nginx.
//!
//! Source: `ngx_http_proxy_module.c` and `ngx_http_upstream_keepalive_module.c`.
//! - `proxy_connect_timeout`, `proxy_send_timeout`, `proxy_read_timeout`: 60 s each. Send and read are between two operations,
//!   not totals; the wait for the first byte is a read like any other.
//! - `proxy_buffer_size`: one page (4 KiB on x86, 8 KiB where pages are larger); the whole head must fit.
//! - `keepalive_timeout` in `upstream`: 60 s.
//! - `proxy_ssl_verify`: off.
//!
//! Commands: nginx.org/en/docs/switches.html and nginx.org/en/docs/ngx_core_module.html#error_log, with the path of
//! the packages of nginx.org.

mod error_log;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::commands::Command;
use super::log::{Field, Fields, Format, Key, Layout, Logs, Syntax, Unit, Variable, key, key_in, text, var, var_in};
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::exchange::{Attempt, Attempts, Exchange, Join, Outcome, Reason, Taken};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "nginx",
    aliases: &[],
    products: &["nginx"],
    limits: Limits {
        connect: secs(60),
        send: secs(60),
        first_byte: secs(60),
        between_reads: secs(60),
        idle: secs(60),
        response_header: kib(4),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "which backends it asks, and with which limits",
            line: "nginx -T 2>/dev/null | grep -nE 'upstream |server |_pass |resolver|_timeout|_buffer'",
        },
        Command {
            shows: "what it says of failed attempts at this backend",
            line: "grep -F '{address}' /var/log/nginx/error.log | tail -n 20",
        },
    ],
};

/// What its logs look like and mean. ingress-nginx and OpenResty write the same.
///
/// Source: `ngx_http_log_module.c`, `ngx_http_upstream.c`, `ngx_log.c`; of the messages, see [`error_log`].
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
            name: "badgateway without lengths",
            layout: Layout::Pattern(WITHOUT_LENGTHS),
        },
        Format {
            name: "ingress-nginx",
            layout: Layout::Pattern(
                r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"#,
            ),
        },
        Format {
            name: "main",
            layout: Layout::Pattern(
                r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#,
            ),
        },
        Format {
            name: "json",
            layout: Layout::Json(JSON),
        },
        // Whatever was added behind the predefined format is read over.
        Format {
            name: "combined and more",
            layout: Layout::Pattern(
                r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $more"#,
            ),
        },
    ],
    syntax: Some(Syntax::Dollar),
    variables: VARIABLES,
    exchange,
    errors: Some(error_log::read),
    causes: CAUSES,
    tells: "The error log names the cause of every failed attempt. With $upstream_addr, $upstream_status, $upstream_header_time and $upstream_bytes_received in the access log, retries are seen, an origin's own 502 is told from one nginx made, and a response that broke off from one that never began. $upstream_response_length beside $upstream_bytes_received tells how large response heads are.",
    silent: "combined alone: only the status. Without the error log: why a connect or a handshake failed, and that a 200 was cut. NXDOMAIN and a name without addresses look the same.",
};

const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// The format that makes nginx say the most.
const RECOMMENDED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" ua="$upstream_addr" us="$upstream_status" ut="$upstream_response_time" uc="$upstream_connect_time" uh="$upstream_header_time" ub="$upstream_bytes_received" ul="$upstream_response_length" rt=$request_time id=$request_id done="$request_completion" host="$host" up="$proxy_host""#;

/// The same without the lengths of bodies, as it was recommended at first: it tells nothing of the sizes of heads.
const WITHOUT_LENGTHS: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" ua="$upstream_addr" us="$upstream_status" ut="$upstream_response_time" uc="$upstream_connect_time" uh="$upstream_header_time" ub="$upstream_bytes_received" rt=$request_time id=$request_id done="$request_completion" host="$host" up="$proxy_host""#;

const VARIABLES: &[Variable] = &[
    var("remote_addr", Field::Client),
    var("time_local", Field::Time),
    var("time_iso8601", Field::Time),
    var("msec", Field::Time),
    var("request", Field::Request),
    var("request_method", Field::Method),
    var("request_uri", Field::Target),
    var("uri", Field::Target),
    var("host", Field::Host),
    var("http_host", Field::Host),
    var("http_user_agent", Field::Agent),
    var("status", Field::Status),
    var_in("request_time", Field::Duration, Unit::Seconds),
    var("upstream_addr", Field::Backends),
    var("upstream_status", Field::BackendStatuses),
    var_in("upstream_connect_time", Field::ConnectTimes, Unit::Seconds),
    var_in("upstream_header_time", Field::HeaderTimes, Unit::Seconds),
    var_in("upstream_response_time", Field::BackendTimes, Unit::Seconds),
    var("upstream_bytes_received", Field::BackendBytes),
    var("upstream_response_length", Field::BackendLengths),
    var("upstream_cache_status", Field::Cache),
    var("proxy_host", Field::Name),
    var("proxy_upstream_name", Field::Name),
    var("service_name", Field::Route),
    var("request_id", Field::RequestId),
    var("req_id", Field::RequestId),
    var("connection", Field::Connection),
    var("request_completion", Field::Completion),
    var("bytes_sent", Field::BytesSent),
    var("body_bytes_sent", Field::Own),
    var("request_length", Field::Own),
    var("proxy_alternative_upstream_name", Field::Own),
    var("server_port", Field::Own),
    var("remote_port", Field::Own),
    var("scheme", Field::Own),
    var("pipe", Field::Own),
    var("ssl_protocol", Field::Own),
    var("ssl_cipher", Field::Own),
    var("connection_requests", Field::Own),
    var("gzip_ratio", Field::Own),
    var("server_protocol", Field::Own),
    var("upstream_bytes_sent", Field::Own),
    var("namespace", Field::Own),
    var("ingress_name", Field::Own),
];

/// JSON by `escape=json`, under the names of the variables and under those most examples use.
const JSON: &[Key] = &[
    key("status", Field::Status),
    key("s", Field::Status),
    key("time_iso8601", Field::Time),
    key("time_local", Field::Time),
    key("time", Field::Time),
    key("t", Field::Time),
    key("msec", Field::Time),
    key("remote_addr", Field::Client),
    key("client", Field::Client),
    key("request", Field::Request),
    key("r", Field::Request),
    key("request_uri", Field::Target),
    key("uri", Field::Target),
    key("path", Field::Target),
    key("host", Field::Host),
    key("http_host", Field::Host),
    key("http_user_agent", Field::Agent),
    key("user_agent", Field::Agent),
    key_in("request_time", Field::Duration, Unit::Seconds),
    key_in("rt", Field::Duration, Unit::Seconds),
    key("upstream_addr", Field::Backends),
    key("u", Field::Backends),
    key("upstream_status", Field::BackendStatuses),
    key("us", Field::BackendStatuses),
    key_in("upstream_connect_time", Field::ConnectTimes, Unit::Seconds),
    key_in("uct", Field::ConnectTimes, Unit::Seconds),
    key_in("upstream_header_time", Field::HeaderTimes, Unit::Seconds),
    key_in("uht", Field::HeaderTimes, Unit::Seconds),
    key_in("upstream_response_time", Field::BackendTimes, Unit::Seconds),
    key_in("urt", Field::BackendTimes, Unit::Seconds),
    key("upstream_bytes_received", Field::BackendBytes),
    key("ub", Field::BackendBytes),
    key("upstream_response_length", Field::BackendLengths),
    key("ul", Field::BackendLengths),
    key("proxy_host", Field::Name),
    key("proxy_upstream_name", Field::Name),
    key("upstream_cache_status", Field::Cache),
    key("connection", Field::Connection),
    key("c", Field::Connection),
    key("request_id", Field::RequestId),
    key("request_completion", Field::Completion),
];

const CAUSES: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsTimeout,
    Cause::DnsMalformed,
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
    Cause::UpstreamOverloaded,
    Cause::GatewayConfig,
    Cause::GatewayInternal,
    Cause::DnsFailed,
    Cause::ConnectFailed,
    Cause::TlsFailed,
    Cause::ResponseFailed,
];

/// What nginx answers 502 to before a connection stands, TLS included: `$upstream_connect_time` covers both.
const NOT_CONNECTED: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::ConnectTimeout,
    Cause::UpstreamOverloaded,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
    Cause::TlsClientCertificateRequired,
    Cause::GatewayInternal,
];
/// No attempt and a 502: the name did not resolve, or there was no resolver.
const NOT_TRIED: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsTimeout,
    Cause::DnsMalformed,
    Cause::GatewayConfig,
    Cause::BadGateway,
];
/// Connected, and no head: whether any byte came is known.
const NO_HEAD: &[Cause] = &[
    Cause::ResponseClosed,
    Cause::ResponseReset,
    Cause::TlsClientCertificateRequired,
];
const PART_OF_HEAD: &[Cause] = &[
    Cause::ResponseMalformed,
    Cause::ResponseReset,
    Cause::ResponseHeaderTooLarge,
];
/// Connected, and no head: nothing else is known.
const CONNECTED: &[Cause] = &[
    Cause::ResponseClosed,
    Cause::ResponseReset,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
    Cause::TlsClientCertificateRequired,
];
const CONNECT_OR_TLS_TIMEOUT: &[Cause] = &[Cause::ConnectTimeout, Cause::TlsTimeout];
const ANY_TIMEOUT: &[Cause] = &[
    Cause::ConnectTimeout,
    Cause::TlsTimeout,
    Cause::ResponseTimeout,
    Cause::GatewayTimeout,
];

/// A request, from its line in the access log.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    let raw_status = fields.raw(Field::Status)?;
    let status = fields.status(Field::Status);
    let client = fields.text(Field::Client);
    let target = fields.target();
    let tried = Tried::new(fields);
    let outcome = outcome(fields, raw_status, status, &tried.attempts);
    Some(Exchange {
        time: fields.stamp(),
        duration: fields.time(Field::Duration),
        client,
        host: fields.text(Field::Host),
        target,
        agent: fields.text(Field::Agent),
        names: [fields.text(Field::Name), fields.text(Field::Route), b""],
        status,
        outcome,
        retries: u32::try_from(tried.attempts.len().saturating_sub(1)).unwrap_or(u32::MAX),
        attempts: tried.attempts,
        backend_time: tried.time,
        taken: tried.taken,
        join: Join {
            exact: text::id(fields.text(Field::Connection)),
            group: 0,
            client,
            request: target,
            status,
        },
    })
}

/// What the lists of `$upstream_…` say together: each has one item for each attempt.
#[derive(Default)]
struct Tried<'l> {
    attempts: Attempts<'l>,
    time: Option<Duration>,
    taken: Taken,
}

impl<'l> Tried<'l> {
    fn new(fields: &Fields<'_, 'l>) -> Tried<'l> {
        let mut tried = Tried::default();
        let backends = fields.text(Field::Backends);
        if backends.is_empty() {
            tried.time = text::list(fields.text(Field::BackendTimes))
                .filter_map(|time| fields.time_of(Field::BackendTimes, time))
                .reduce(Duration::saturating_add);
            return tried;
        }
        let many = text::is_list(backends);
        let list = |field| text::list_like(fields.text(field), many);
        let mut states = list(Field::BackendStatuses);
        let mut connects = list(Field::ConnectTimes);
        let mut heads = text::list_like(fields.raw(Field::HeaderTimes).unwrap_or_default(), many);
        let mut bytes = list(Field::BackendBytes);
        let mut lengths = list(Field::BackendLengths);
        let mut times = list(Field::BackendTimes);
        // Further groups come from `error_page` and the like: a request of its own, to the same backend it may be.
        let one_group = many && text::find(backends, b" : ").is_none();
        let mut closed = None;
        for backend in text::list_like(backends, many) {
            if closed == Some(backend)
                && let Some(before) = tried.attempts.last_mut()
            {
                before.reused = Some(true);
            }
            let state = State {
                backend,
                status: states.next().unwrap_or_default(),
                connect: connects.next(),
                head: heads.next(),
                bytes: bytes.next().and_then(text::integer),
            };
            closed = (one_group && state.is_closed()).then_some(backend);
            let time = times.next().and_then(|time| fields.time_of(Field::BackendTimes, time));
            let taken = Taken {
                response_header: state.head_bytes(lengths.next()),
                ..state.times(fields, time)
            };
            tried.attempts.push(Attempt {
                backend,
                reason: state.reason(),
                reused: None,
            });
            tried.taken = tried.taken.most(taken);
            tried.time = match (tried.time, time) {
                (Some(sum), Some(time)) => Some(sum.saturating_add(time)),
                (sum, time) => sum.or(time),
            };
        }
        tried
    }
}

/// What the lists say of one attempt; `None` where a list is not logged.
struct State<'l> {
    backend: &'l [u8],
    status: &'l [u8],
    /// `$upstream_connect_time`; `-` where no connection stood.
    connect: Option<&'l [u8]>,
    /// `$upstream_header_time`, from the start of connecting; `-` where no head came.
    head: Option<&'l [u8]>,
    bytes: Option<i64>,
}

impl State<'_> {
    /// What it took, of the connection and of the wait behind it.
    fn times(&self, fields: &Fields<'_, '_>, whole: Option<Duration>) -> Taken {
        let connect = fields.time_of(Field::ConnectTimes, self.connect.unwrap_or_default());
        let head = fields.time_of(Field::HeaderTimes, self.head.unwrap_or_default());
        // In vain: all of it was waiting, from a connection that stood.
        let in_vain = || whole.filter(|_| connect.is_some() && text::status(self.status) == Some(504));
        Taken {
            connect,
            first_byte: (head.or_else(in_vain)).map(|head| head.saturating_sub(connect.unwrap_or_default())),
            ..Taken::default()
        }
    }

    /// It failed on a connection that stood. Where nginx then asks the same backend, the connection was a kept one: only after
    /// such a failure it has a try left for a backend that it has tried (`ngx_http_upstream_next`, `u->peer.cached`).
    fn is_closed(&self) -> bool {
        let is_missing = |value: &[u8]| text::is_dash(value);
        let connected = self.connect.is_some_and(|connect| !is_missing(connect));
        self.status == b"502" && connected && self.head.is_none_or(is_missing)
    }

    /// Bytes received less those of the body. What follows a switch of protocols counts as no body.
    fn head_bytes(&self, length: Option<&[u8]>) -> Option<u64> {
        let body = text::integer(length?).filter(|_| text::status(self.status) != Some(101))?;
        u64::try_from(self.bytes? - body).ok().filter(|bytes| *bytes > 0)
    }

    fn reason(&self) -> Option<Reason> {
        // The name of an upstream block in place of an address: nobody was asked.
        let nobody = || !self.backend.contains(&b':');
        let status = text::status(self.status)?;
        let is_stated = |value: Option<&[u8]>| value.map(|value| !text::is_dash(value));
        let connected = is_stated(self.connect);
        match (status, is_stated(self.head)) {
            (..500, _) => None,
            (502, _) if nobody() => Some(Reason::exact(Cause::NoLiveUpstream)),
            (_, Some(true)) => text::own_status(status).map(Reason::exact),
            (502, Some(false)) => Some(match (connected, self.bytes) {
                (Some(false), _) => Reason::one_of(Cause::BadGateway, NOT_CONNECTED),
                (Some(true), Some(0)) => Reason::one_of(Cause::ResponseFailed, NO_HEAD),
                (Some(true), Some(1..)) => Reason::one_of(Cause::ResponseFailed, PART_OF_HEAD),
                (Some(true), _) => Reason::one_of(Cause::ResponseFailed, CONNECTED),
                (None, _) => Reason::open(Cause::BadGateway),
            }),
            (504, Some(false)) => Some(match connected {
                Some(false) => Reason::one_of(Cause::GatewayTimeout, CONNECT_OR_TLS_TIMEOUT),
                Some(true) => Reason::exact(Cause::ResponseTimeout),
                None => Reason::one_of(Cause::GatewayTimeout, ANY_TIMEOUT),
            }),
            (504, None) => Some(Reason::one_of(Cause::GatewayTimeout, ANY_TIMEOUT)),
            (status, _) => text::own_status(status).map(Reason::open),
        }
    }
}

fn outcome(fields: &Fields<'_, '_>, raw_status: &[u8], status: Option<u16>, attempts: &[Attempt<'_>]) -> Outcome {
    let last = attempts.last().and_then(|attempt| attempt.reason);
    let Some(status) = status else {
        return match raw_status {
            // What the backend sent was no HTTP and went to the client as it was.
            b"009" | b"\"009\"" => Outcome::Failed(Reason::exact(Cause::ResponseMalformed)),
            _ => Outcome::ClientClosed,
        };
    };
    match (status, last) {
        (499, _) => Outcome::ClientClosed,
        // A failure that `error_page` shows under another number; a stale or replacing answer is none.
        (400..500, Some(reason)) => Outcome::Failed(reason),
        (..500, _) => Outcome::Served,
        (_, Some(reason)) => Outcome::Failed(reason),
        // No attempt, and the format would show one.
        (502, None) if fields.has(Field::Backends) && attempts.is_empty() => {
            Outcome::Failed(Reason::one_of(Cause::BadGateway, NOT_TRIED))
        }
        (504, None) => Outcome::Failed(Reason::one_of(Cause::GatewayTimeout, ANY_TIMEOUT)),
        (status, None) => {
            text::own_status(status).map_or(Outcome::Served, |cause| Outcome::Failed(Reason::open(cause)))
        }
    }
}

/// Its error page: `ngx_http_special_response.c`. It replaces `Server` on answers it passes on, so the page decides.
pub const PAGE: Page = Page {
    rank: 20,
    read: |answer| {
        let page = standard_page(answer)?;
        page.is_by("nginx").then(|| page.said("nginx"))
    },
    passed: |answer| answer.server_is("nginx").then_some("nginx"),
};

/// The page nginx and its derivatives write; they differ in the word of the footer.
pub(super) struct StandardPage<'a> {
    /// The number in the page.
    pub(super) number: u16,
    footer: Option<&'a str>,
}

/// Reads that page: title and heading say the same, and nothing stands before the title.
pub(super) fn standard_page<'a>(answer: &Answer<'a>) -> Option<StandardPage<'a>> {
    if !answer.begins("<html>\r\n<head><title>") && !answer.begins("<html>\n<head><title>") {
        return None;
    }
    let title = answer.between("<head><title>", "</title></head>")?;
    let heading = answer.between("<center><h1>", "</h1></center>")?;
    Some(StandardPage {
        number: super::page::leading_number(title.as_bytes()).filter(|_| title == heading)?,
        footer: answer.between("<hr><center>", "</center>"),
    })
}

impl StandardPage<'_> {
    /// The footer is this word, alone or with a version.
    pub(super) fn is_by(&self, product: &str) -> bool {
        let rest = self.footer.and_then(|footer| footer.strip_prefix(product));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ' ']))
    }

    /// There is no footer.
    pub(super) fn has_no_footer(&self) -> bool {
        self.footer.is_none()
    }

    /// What it says. Every failure of one number has the same page.
    pub(super) fn said(&self, writer: &'static str) -> Said {
        let said = Said::by(writer).numbered(self.number);
        match self.number {
            504 => said.maybe(&[Cause::ConnectTimeout, Cause::TlsTimeout, Cause::ResponseTimeout]),
            _ => said,
        }
    }
}
