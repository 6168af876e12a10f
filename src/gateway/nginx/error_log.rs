//! nginx's error log: why an attempt failed, and at which request.

use super::super::log::{ErrorLine, Memory, text, time};
use crate::cause::Cause;
use crate::exchange::{Complaint, Effect, Join, Reason, Stamp};

/// "prematurely closed" says nothing of the bytes before.
const CLOSED_IN_HEAD: &[Cause] = &[Cause::ResponseClosed, Cause::ResponseMalformed];
/// Over TLS 1.3 that is also how a backend refuses a missing client certificate: its alert may come too late.
const CLOSED_IN_HEAD_OVER_TLS: &[Cause] = &[
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::TlsClientCertificateRequired,
];
const NO_ADDRESS: &[Cause] = &[Cause::DnsNxdomain, Cause::DnsNodata];

/// One row of [`MESSAGES`].
struct Message {
    /// The message begins with this …
    start: &'static str,
    /// … and holds this behind it.
    holds: &'static str,
    /// What the gateway was doing; empty is anything.
    during: &'static str,
    effect: Effect,
    reason: Reason,
}

const fn message(
    start: &'static str,
    holds: &'static str,
    during: &'static str,
    effect: Effect,
    reason: Reason,
) -> Message {
    Message {
        start,
        holds,
        during,
        effect,
        reason,
    }
}

/// The messages nginx writes about requests that fail, first match first.
///
/// Source: `ngx_http_upstream.c`, `ngx_event_openssl.c`, `ngx_event_connect.c`, `ngx_resolver.c`,
/// `ngx_http_proxy_module.c`, `ngx_http_fastcgi_module.c`, `ngx_http_grpc_module.c`, `ngx_event_pipe.c`.
#[rustfmt::skip]
const MESSAGES: &[Message] = &{
    use Cause::*;
    use Effect::*;
    const fn exact(cause: Cause) -> Reason { Reason::exact(cause) }
    const CONNECTING: &str = "connecting to upstream";
    const HANDSHAKE: &str = "SSL handshaking to upstream";
    const SENDING: &str = "sending request to upstream";
    const HEAD: &str = "reading response header from upstream";
    const BODY: &str = "reading upstream";
    [
        message("connect() ", "failed (111:", CONNECTING, Attempt, exact(ConnectRefused)),
        message("connect() ", "failed (110:", CONNECTING, Attempt, exact(ConnectTimeout)),
        message("connect() ", "failed (113:", CONNECTING, Attempt, exact(ConnectUnreachable)),
        message("connect() ", "failed (101:", CONNECTING, Attempt, exact(ConnectUnreachable)),
        message("connect() ", "failed (13:", CONNECTING, Attempt, exact(ConnectUnreachable)),
        message("connect() ", "failed (1:", CONNECTING, Attempt, exact(ConnectUnreachable)),
        message("connect() ", "failed (104:", CONNECTING, Attempt, exact(ConnectReset)),
        message("connect() ", "failed (2:", CONNECTING, Attempt, exact(ConnectRefused)),
        message("connect() ", "failed (11:", CONNECTING, Attempt, exact(UpstreamOverloaded)),
        message("connect() ", "failed (99:", CONNECTING, Attempt, exact(GatewayInternal)),
        message("connect() ", "failed (24:", CONNECTING, Attempt, exact(GatewayInternal)),
        message("connect() ", "failed (", CONNECTING, Attempt, Reason::open(ConnectFailed)),
        message("socket() failed (", "", CONNECTING, Attempt, exact(GatewayInternal)),
        message("bind(", "failed (", CONNECTING, Attempt, exact(GatewayInternal)),
        message("upstream timed out (110:", "", CONNECTING, Attempt, exact(ConnectTimeout)),
        message("no live upstreams", "", CONNECTING, Refused, exact(NoLiveUpstream)),

        message("upstream timed out (110:", "", HANDSHAKE, Attempt, exact(TlsTimeout)),
        message("peer closed connection in SSL handshake", "", HANDSHAKE, Attempt, exact(TlsClosed)),
        message("SSL_do_handshake() failed", "wrong version number", HANDSHAKE, Attempt, exact(TlsNotTls)),
        message("SSL_do_handshake() failed", "packet length too long", HANDSHAKE, Attempt, exact(TlsNotTls)),
        message("SSL_do_handshake() failed", "http request)", HANDSHAKE, Attempt, exact(TlsNotTls)),
        message("SSL_do_handshake() failed", "https proxy request)", HANDSHAKE, Attempt, exact(TlsNotTls)),
        message("SSL_do_handshake() failed", "SSL alert number 42)", HANDSHAKE, Attempt, exact(TlsClientCertificateRequired)),
        message("SSL_do_handshake() failed", "SSL alert number 116)", HANDSHAKE, Attempt, exact(TlsClientCertificateRequired)),
        message("SSL_do_handshake() failed", "certificate verify failed", HANDSHAKE, Attempt, exact(TlsCertificateUntrusted)),
        message("SSL_do_handshake() failed", "SSL alert number", HANDSHAKE, Attempt, exact(TlsProtocol)),
        message("SSL_do_handshake() failed", "unsupported protocol", HANDSHAKE, Attempt, exact(TlsProtocol)),
        message("SSL_do_handshake() failed", "no protocols available", HANDSHAKE, Attempt, exact(TlsProtocol)),
        message("SSL_do_handshake() failed", "(104:", HANDSHAKE, Attempt, exact(TlsClosed)),
        message("SSL_do_handshake() failed", "(32:", HANDSHAKE, Attempt, exact(TlsClosed)),
        message("SSL_do_handshake() failed", "", HANDSHAKE, Attempt, Reason::open(TlsFailed)),
        message("upstream SSL certificate verify error: (10:", "", HANDSHAKE, Attempt, exact(TlsCertificateExpired)),
        message("upstream SSL certificate verify error: (9:", "", HANDSHAKE, Attempt, exact(TlsCertificateNotYetValid)),
        message("upstream SSL certificate verify error: (23:", "", HANDSHAKE, Attempt, exact(TlsCertificateRevoked)),
        message("upstream SSL certificate verify error: (", "", HANDSHAKE, Attempt, exact(TlsCertificateUntrusted)),
        message("upstream SSL certificate does not match", "", "", Attempt, exact(TlsCertificateNameMismatch)),

        message("upstream timed out (110:", "", SENDING, Attempt, exact(ResponseTimeout)),
        message("writev() failed (", "", SENDING, Attempt, exact(ResponseReset)),
        message("send() failed (", "", SENDING, Attempt, exact(ResponseReset)),
        message("sendfile() failed (", "", SENDING, Attempt, exact(ResponseReset)),
        message("SSL_write() failed (", "", SENDING, Attempt, exact(ResponseReset)),
        message("upstream prematurely sent response", "", SENDING, Attempt, exact(ResponseMalformed)),
        message("upstream prematurely closed connection", "", SENDING, Attempt, exact(ResponseClosed)),

        message("SSL_read() failed (", "SSL alert number 116)", HEAD, Attempt, exact(TlsClientCertificateRequired)),
        message("SSL_read() failed (", "SSL alert number 42)", HEAD, Attempt, exact(TlsClientCertificateRequired)),
        message("SSL_read() failed (", "", HEAD, Attempt, Reason::open(ResponseFailed)),
        message("recv() failed (104:", "", HEAD, Attempt, exact(ResponseReset)),
        message("readv() failed (104:", "", HEAD, Attempt, exact(ResponseReset)),
        message("upstream timed out (110:", "", HEAD, Attempt, exact(ResponseTimeout)),
        message("upstream prematurely closed connection", "", HEAD, Attempt, Reason::one_of(ResponseFailed, CLOSED_IN_HEAD)),
        message("upstream prematurely closed FastCGI", "", HEAD, Attempt, Reason::one_of(ResponseFailed, CLOSED_IN_HEAD)),
        message("upstream prematurely closed stream", "", HEAD, Attempt, Reason::one_of(ResponseFailed, CLOSED_IN_HEAD)),
        message("upstream sent too big header", "", HEAD, Attempt, exact(ResponseHeaderTooLarge)),
        message("upstream sent no valid HTTP/1.0 header", "", "", Attempt, exact(ResponseMalformed)),
        message("upstream sent invalid chunked response", "", BODY, Cut, exact(ResponseMalformed)),
        message("upstream sent invalid ", "", "", Attempt, exact(ResponseMalformed)),
        message("upstream sent duplicate header line", "", "", Attempt, exact(ResponseMalformed)),
        message("upstream sent \"Content-Length\" and", "", "", Attempt, exact(ResponseMalformed)),
        message("upstream sent unknown \"Transfer-Encoding\"", "", "", Attempt, exact(ResponseMalformed)),
        message("upstream sent unsupported FastCGI protocol version", "", "", Attempt, exact(ResponseMalformed)),
        message("upstream sent unexpected FastCGI record", "", "", Attempt, exact(ResponseMalformed)),
        message("upstream sent frame for unknown stream", "", "", Attempt, exact(ResponseMalformed)),
        message("upstream rejected request with error", "", "", Attempt, exact(ResponseReset)),
        message("upstream sent goaway with error", "", "", Attempt, exact(ResponseReset)),

        message("upstream prematurely closed connection", "", BODY, Cut, exact(ResponseTruncated)),
        message("upstream prematurely closed FastCGI", "", BODY, Cut, exact(ResponseTruncated)),
        message("upstream prematurely closed stream", "", BODY, Cut, exact(ResponseTruncated)),
        message("readv() failed (104:", "", BODY, Cut, exact(ResponseTruncated)),
        message("recv() failed (104:", "", BODY, Cut, exact(ResponseTruncated)),
        message("upstream timed out (110:", "", BODY, Cut, exact(ResponseBodyTimeout)),
        message("pread() read only", "", BODY, Cut, exact(GatewayInternal)),
        message("writev() ", "failed (28:", BODY, Cut, exact(GatewayInternal)),
        message("pwrite() ", "failed (28:", BODY, Cut, exact(GatewayInternal)),

        message("no resolver defined to resolve", "", "", Refused, exact(GatewayConfig)),
        message("client prematurely closed connection", "", "", ClientClosed, Reason::open(Unknown)),
        message("epoll_wait() reported that client prematurely closed", "", "", ClientClosed, Reason::open(Unknown)),
    ]
};

/// `NAME could not be resolved (N: TEXT)`, by N.
///
/// Source: `ngx_resolver.c`; NXDOMAIN and a name without addresses are both 3.
const RESOLVER: &[(&str, Reason)] = &[
    ("(1:", Reason::exact(Cause::DnsMalformed)),
    ("(2:", Reason::exact(Cause::DnsServfail)),
    ("(3:", Reason::one_of(Cause::DnsFailed, NO_ADDRESS)),
    ("(4:", Reason::exact(Cause::DnsMalformed)),
    ("(5:", Reason::exact(Cause::DnsRefused)),
    ("(110:", Reason::exact(Cause::DnsTimeout)),
];

/// A line of the error log:
/// `TIME [LEVEL] PID#TID: *CONNECTION MESSAGE while ACTION, client: …, server: …, request: "…", upstream: "…", host: "…"`.
///
/// The message stands before everything a client can write; what follows holds the request line as it came, quotes
/// included. So messages are compared at their beginning, and a backend counts only where the line states one.
pub(super) fn read<'l>(_: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    let Some((stamp, connection, rest)) = head(line) else {
        return ErrorLine::Foreign;
    };
    let (said, about) = match text::find(rest, b", client: ") {
        Some(at) => (&rest[..at], &rest[at + 2..]),
        None => (rest, &b""[..]),
    };
    let Some((effect, mut reason)) = meaning(said) else {
        return ErrorLine::Other;
    };
    if reason.candidates == CLOSED_IN_HEAD && text::has(about, ", upstream: \"https://") {
        reason.candidates = CLOSED_IN_HEAD_OVER_TLS;
    }
    ErrorLine::Complaint(Complaint {
        time: Some(stamp),
        effect,
        reason,
        backend: backend(about),
        host: text::between(about, b"\", host: \"", b"\"").unwrap_or_default(),
        names: [resolved_name(said), b"", b""],
        join: Join {
            exact: text::id(connection),
            group: 0,
            client: text::between(about, b"client: ", b",").unwrap_or_default(),
            request: text::target_of(text::between(about, b", request: \"", b"").unwrap_or_default()),
            status: None,
        },
    })
}

/// Time, connection number and what follows, of a line in nginx's form.
fn head(line: &[u8]) -> Option<(Stamp, &[u8], &[u8])> {
    let stamp = time::parse(line.get(..19)?)?;
    let rest = line[19..].strip_prefix(b" [")?;
    let level = memchr::memchr(b']', rest).filter(|length| *length <= 6)?;
    let rest = rest[level..].strip_prefix(b"] ")?;
    let process = memchr::memchr(b' ', rest)?;
    rest[..process].strip_suffix(b":")?;
    let rest = &rest[process + 1..];
    match rest.strip_prefix(b"*") {
        Some(numbered) => {
            let end = memchr::memchr(b' ', numbered)?;
            Some((stamp, &numbered[..end], &numbered[end + 1..]))
        }
        None => Some((stamp, b"", rest)),
    }
}

fn meaning(said: &[u8]) -> Option<(Effect, Reason)> {
    if let Some(at) = text::find(said, b" could not be resolved (") {
        // A name holds no blank: this is no other message that quotes it.
        let known = RESOLVER
            .iter()
            .find(|(number, _)| said[at..].ends_with(b")") && text::has(&said[at..], number));
        return known
            .filter(|_| !said[..at].contains(&b' '))
            .map(|(_, reason)| (Effect::Refused, *reason));
    }
    let action = match memchr::memmem::rfind(said, b" while ") {
        Some(at) => &said[at + 7..],
        None => b"",
    };
    let found = MESSAGES.iter().find(|message| {
        said.starts_with(message.start.as_bytes())
            && (message.holds.is_empty() || text::has(&said[message.start.len()..], message.holds))
            && (message.during.is_empty() || action == message.during.as_bytes())
    })?;
    Some((found.effect, found.reason))
}

/// The name that was not resolved: the backend, as far as anything is known of it.
fn resolved_name(said: &[u8]) -> &[u8] {
    match text::find(said, b" could not be resolved (") {
        Some(at) => &said[..at],
        None => b"",
    }
}

/// The address in `upstream: "SCHEME://ADDRESS/…"`. A request line can hold the same words: then nobody can tell, and
/// none is named.
fn backend(about: &[u8]) -> &[u8] {
    const MARK: &[u8] = b", upstream: \"";
    let Some(at) = text::find(about, MARK) else {
        return b"";
    };
    let rest = &about[at + MARK.len()..];
    if text::find(rest, MARK).is_some() {
        return b"";
    }
    let Some(scheme) = text::find(rest, b"://").filter(|length| *length <= 8) else {
        return b"";
    };
    let address = &rest[scheme + 3..];
    let end = match address.starts_with(b"unix:") {
        true => text::find(address, b":/").and_then(|first| {
            let path = &address[first + 2..];
            memchr::memchr2(b':', b'"', path).map(|end| first + 2 + end)
        }),
        false => memchr::memchr2(b'/', b'"', address),
    };
    &address[..end.unwrap_or(address.len())]
}
