//! The error texts of Go's network libraries, which Caddy and Traefik copy into their logs.
//!
//! Source: Go, `net`, `net/http`, `crypto/tls`, `crypto/x509` (1.18 to 1.26), and recordings. A text is told by its
//! beginning, which no backend can choose; what it quotes of an answer comes behind.

use super::{Memory, text};
use crate::cause::Cause;
use crate::exchange::{Reason, Stamp};

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Fault {
    /// The client left, and the request to the backend was given up.
    ClientLeft,
    /// The attempt failed.
    Failed(Reason),
}

struct Row {
    start: &'static str,
    holds: &'static str,
    fault: Fault,
}

const fn row(start: &'static str, holds: &'static str, reason: Reason) -> Row {
    Row {
        start,
        holds,
        fault: Fault::Failed(reason),
    }
}

const fn client(start: &'static str, holds: &'static str) -> Row {
    Row {
        start,
        holds,
        fault: Fault::ClientLeft,
    }
}

const fn exact(cause: Cause) -> Reason {
    Reason::exact(cause)
}

/// "No such host" is said of both.
const NO_ADDRESS: &[Cause] = &[Cause::DnsNxdomain, Cause::DnsNodata];
/// "Server misbehaving" is said of every code but NXDOMAIN.
const MISBEHAVING: &[Cause] = &[Cause::DnsServfail, Cause::DnsRefused];
/// The end of the stream, in the handshake or in place of a response. A missing client certificate ends so too where the
/// alert of TLS 1.3 comes too late.
const CLOSED: &[Cause] = &[
    Cause::TlsClosed,
    Cause::TlsClientCertificateRequired,
    Cause::ResponseClosed,
];
const RESET: &[Cause] = &[Cause::ConnectReset, Cause::TlsClosed, Cause::ResponseReset];
const SILENT: &[Cause] = &[Cause::TlsTimeout, Cause::ResponseTimeout];
/// Go says the same of an end and of a reset within the head.
const BROKEN_HEAD: &[Cause] = &[Cause::ResponseReset, Cause::ResponseMalformed];
const BROKEN_WRITE: &[Cause] = &[Cause::TlsClosed, Cause::ResponseReset];
const NOT_VALID_NOW: &[Cause] = &[Cause::TlsCertificateExpired, Cause::TlsCertificateNotYetValid];
const DEADLINE: &[Cause] = &[Cause::ConnectTimeout, Cause::TlsTimeout, Cause::ResponseTimeout];

/// Before a whole response head, first match first.
#[rustfmt::skip]
const BEFORE_HEAD: &[Row] = &{
    use Cause::*;
    const TRANSPORT: &str = "net/http: HTTP/1.x transport connection broken: ";
    [
        client("context canceled", ""),
        client("dial ", "operation was canceled"),
        row("lookup ", "no such host", Reason::one_of(DnsFailed, NO_ADDRESS)),
        row("lookup ", "server misbehaving", Reason::one_of(DnsFailed, MISBEHAVING)),
        row("lookup ", "i/o timeout", exact(DnsTimeout)),
        row("lookup ", "deadline exceeded", exact(DnsTimeout)),
        row("lookup ", "cannot unmarshal DNS message", exact(DnsMalformed)),
        row("lookup ", "", Reason::open(DnsFailed)),
        row("dial ", "connect: connection refused", exact(ConnectRefused)),
        row("dial ", "connect: no such file or directory", exact(ConnectRefused)),
        row("dial ", "connect: connection timed out", exact(ConnectTimeout)),
        row("dial ", "i/o timeout", exact(ConnectTimeout)),
        row("dial ", "deadline exceeded", exact(ConnectTimeout)),
        row("dial ", "no route to host", exact(ConnectUnreachable)),
        row("dial ", "network is unreachable", exact(ConnectUnreachable)),
        row("dial ", "permission denied", exact(ConnectUnreachable)),
        row("dial ", "operation not permitted", exact(ConnectUnreachable)),
        row("dial ", "connect: connection reset by peer", exact(ConnectReset)),
        row("dial ", "resource temporarily unavailable", exact(UpstreamOverloaded)),
        row("dial ", "cannot assign requested address", exact(GatewayInternal)),
        row("dial ", "too many open files", exact(GatewayInternal)),
        row("dial ", "missing port in address", exact(GatewayConfig)),
        row("dial ", "unknown port", exact(GatewayConfig)),
        row("dial ", "", Reason::open(ConnectFailed)),

        row("net/http: TLS handshake timeout", "", exact(TlsTimeout)),
        row("tls: first record does not look like a TLS handshake", "", exact(TlsNotTls)),
        row("tls: oversized record received", "", exact(TlsNotTls)),
        row("http: server gave HTTP response to HTTPS client", "", exact(TlsNotTls)),
        row("x509: certificate has expired or is not yet valid", " is after ", exact(TlsCertificateExpired)),
        row("x509: certificate has expired or is not yet valid", " is before ", exact(TlsCertificateNotYetValid)),
        row("x509: certificate has expired or is not yet valid", "", Reason::one_of(TlsFailed, NOT_VALID_NOW)),
        row("x509: certificate is valid for ", "", exact(TlsCertificateNameMismatch)),
        row("x509: certificate is not valid for any names", "", exact(TlsCertificateNameMismatch)),
        row("x509: cannot validate certificate for ", "", exact(TlsCertificateNameMismatch)),
        row("x509: ", "", exact(TlsCertificateUntrusted)),
        row("remote error: tls: certificate required", "", exact(TlsClientCertificateRequired)),
        row("remote error: tls: bad certificate", "", exact(TlsClientCertificateRequired)),
        row("remote error: tls: unknown certificate", "", exact(TlsClientCertificateRequired)),
        row("remote error: tls: expired certificate", "", exact(TlsClientCertificateRequired)),
        row("remote error: tls: revoked certificate", "", exact(TlsClientCertificateRequired)),
        row("remote error: tls: unsupported certificate", "", exact(TlsClientCertificateRequired)),
        row("remote error: tls: ", "", exact(TlsProtocol)),
        row("tls: server selected unsupported protocol version", "", exact(TlsProtocol)),
        row("tls: ", "", Reason::open(TlsFailed)),

        row("net/http: timeout awaiting response headers", "", exact(ResponseTimeout)),
        row("net/http: server response headers exceeded", "", exact(ResponseHeaderTooLarge)),
        row(TRANSPORT, "broken: unexpected EOF", Reason::one_of(ResponseFailed, BROKEN_HEAD)),
        row("net/http: HTTP/1.x transport connection broken: malformed", "", exact(ResponseMalformed)),
        row("net/http: HTTP/1.x transport connection broken: write ", "", Reason::one_of(BadGateway, BROKEN_WRITE)),
        row("net/http: HTTP/1.x transport connection broken: read ", "", Reason::one_of(BadGateway, RESET)),
        row("net/http: HTTP/1.x transport connection broken: http: message cannot contain", "", exact(ResponseMalformed)),
        row("net/http: HTTP/1.x transport connection broken: bad Content-Length", "", exact(ResponseMalformed)),
        row("net/http: HTTP/1.x transport connection broken: too many transfer encodings", "", exact(ResponseMalformed)),
        row("net/http: HTTP/1.x transport connection broken: unsupported transfer encoding", "", exact(ResponseMalformed)),
        row("net/http: HTTP/1.x transport connection broken: invalid", "", exact(ResponseMalformed)),
        row(TRANSPORT, "", Reason::open(ResponseFailed)),
        row("http: server closed idle connection", "", exact(ResponseClosed)),
        row("read ", "connection reset by peer", Reason::one_of(BadGateway, RESET)),
        row("read ", "i/o timeout", Reason::one_of(GatewayTimeout, SILENT)),
        row("read ", "connection timed out", Reason::one_of(GatewayTimeout, SILENT)),
        row("write ", "broken pipe", Reason::one_of(BadGateway, BROKEN_WRITE)),
        row("write ", "connection reset by peer", Reason::one_of(BadGateway, BROKEN_WRITE)),
        row("http2: server sent GOAWAY", "", exact(ResponseReset)),
        row("stream error: stream ID", "", exact(ResponseReset)),
        row("http2: client connection lost", "", exact(ResponseTimeout)),
        row("http2: ", "", Reason::open(ResponseFailed)),
        row("context deadline exceeded", "", Reason::one_of(GatewayTimeout, DEADLINE)),
        row("EOF", "", Reason::one_of(BadGateway, CLOSED)),
        row("unexpected EOF", "", Reason::one_of(BadGateway, CLOSED)),
    ]
};

/// After the head was sent on, first match first.
#[rustfmt::skip]
const IN_BODY: &[Row] = &{
    use Cause::*;
    [
        client("context canceled", ""),
        client("writing: ", ""),
        client("write ", ""),
        client("client disconnected", ""),
        client("http2: stream closed", ""),
        row("unexpected EOF", "", exact(ResponseTruncated)),
        row("EOF", "", exact(ResponseTruncated)),
        row("read ", "connection reset by peer", exact(ResponseTruncated)),
        row("read ", "i/o timeout", exact(ResponseBodyTimeout)),
        row("read ", "connection timed out", exact(ResponseBodyTimeout)),
        row("context deadline exceeded", "", exact(ResponseBodyTimeout)),
        row("malformed chunked encoding", "", exact(ResponseMalformed)),
        row("invalid byte in chunk length", "", exact(ResponseMalformed)),
        row("empty hex number for chunk length", "", exact(ResponseMalformed)),
        row("http chunk length too large", "", exact(ResponseMalformed)),
        row("chunked line ends with bare LF", "", exact(ResponseMalformed)),
        row("chunked encoding contains too much non-data", "", exact(ResponseMalformed)),
        row("stream error: stream ID", "", exact(ResponseTruncated)),
        row("http2: ", "", exact(ResponseTruncated)),
    ]
};

/// What an error before the response head means; `None` for a text that is not known.
pub(in crate::gateway) fn before_head(error: &[u8]) -> Option<Fault> {
    row_before_head(error).map(|row| BEFORE_HEAD[row].fault)
}

fn row_before_head(error: &[u8]) -> Option<usize> {
    const VERIFY: &[u8] = b"tls: failed to verify certificate: ";
    let error = error.strip_prefix(VERIFY).unwrap_or(error);
    // Without an address, "dial tcp: " goes before a failed lookup.
    let lookup = error
        .strip_prefix(b"dial tcp: ")
        .filter(|rest| rest.starts_with(b"lookup "));
    find(BEFORE_HEAD, lookup.unwrap_or(error))
}

/// What an error while a body was copied means; `None` for a text that is not known.
pub(in crate::gateway) fn in_body(error: &[u8]) -> Option<Fault> {
    row_in_body(error).map(|row| IN_BODY[row].fault)
}

fn row_in_body(error: &[u8]) -> Option<usize> {
    find(IN_BODY, error.strip_prefix(b"reading: ").unwrap_or(error))
}

/// What the error of a health check means: `Get "URL": ERROR`, quotes with a backslash before them or not.
pub(in crate::gateway) fn of_health_check(error: &[u8]) -> Option<Fault> {
    let error = match text::find(error, b"Get ") {
        Some(at) if at == 0 || error[..at].ends_with(b": ") => {
            let after = text::find(&error[at..], b"\": ")?;
            &error[at + after + 3..]
        }
        _ => error,
    };
    before_head(error)
}

/// The backend's address, where the error states it: `dial tcp ADDRESS: …`, `read tcp OURS->ADDRESS: …`.
pub(in crate::gateway) fn peer(error: &[u8]) -> &[u8] {
    let stated = match error {
        [b'd', b'i', b'a', b'l', b' ', rest @ ..] => text::between(rest, b" ", b": "),
        [b'r', b'e', b'a', b'd', b' ', rest @ ..] | [b'w', b'r', b'i', b't', b'e', b' ', rest @ ..] => {
            text::between(rest, b"->", b": ")
        }
        _ => None,
    };
    // "dial tcp: lookup …" states a name, and no address.
    let is_address = |address: &&[u8]| !address.contains(&b' ') && !address.contains(&b'"');
    stated.filter(is_address).unwrap_or_default()
}

/// The name that was looked up: `lookup NAME on …`.
pub(in crate::gateway) fn looked_up(error: &[u8]) -> &[u8] {
    let error = error.strip_prefix(b"dial tcp: ").unwrap_or(error);
    let name = error.strip_prefix(b"lookup ").map(|rest| {
        rest.split(|byte| matches!(byte, b' ' | b':'))
            .next()
            .unwrap_or_default()
    });
    name.unwrap_or_default()
}

/// Errors of requests that are named by a later line: one line states the error, the next one the request.
///
/// Requests run side by side, so lines of others come between them.
#[derive(Debug)]
pub(in crate::gateway) struct Paired {
    /// What such errors mean.
    pub(in crate::gateway) stage: Stage,
    /// How far the two lines lie apart at most, by the times they state.
    pub(in crate::gateway) within_millis: u64,
}

/// How far a request had come.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) enum Stage {
    /// See [`before_head`].
    BeforeHead,
    /// See [`in_body`].
    Body,
}

impl Paired {
    /// So many errors are kept in [`Memory::texts`].
    const MOST: usize = 256;
    /// A time, and the number of a row.
    const BYTES: usize = 16;

    /// Keeps an error for the request to come.
    pub(in crate::gateway) fn keep(&self, memory: &mut Memory, error: &[u8], time: Option<Stamp>) {
        let row = match self.stage {
            Stage::BeforeHead => row_before_head(error),
            Stage::Body => row_in_body(error),
        };
        let kept = &mut memory.texts[0];
        if kept.len() >= Self::MOST * Self::BYTES {
            kept.drain(..Self::BYTES);
        }
        for number in [millis(time), row.map_or(u64::MAX, |row| row as u64)] {
            kept.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// What the error of a request was: `None` where there was none, `Some(None)` where nobody can tell.
    pub(in crate::gateway) fn take(&self, memory: &mut Memory, time: Option<Stamp>) -> Option<Option<Fault>> {
        let now = millis(time);
        let numbers = |bytes: &[u8]| {
            let (time, row) = bytes.split_at(Self::BYTES / 2);
            let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
            (number(time), number(row))
        };
        let kept = &mut memory.texts[0];
        let near: Vec<(usize, u64, u64)> = kept
            .chunks_exact(Self::BYTES)
            .enumerate()
            .map(|(at, bytes)| (at, numbers(bytes).0, numbers(bytes).1))
            .filter(|(_, time, _)| now.checked_sub(*time).is_some_and(|apart| apart <= self.within_millis))
            .collect();
        let (at, _, row) = *near.iter().max_by_key(|(_, time, _)| *time)?;
        kept.drain(at * Self::BYTES..(at + 1) * Self::BYTES);
        let rows = match self.stage {
            Stage::BeforeHead => BEFORE_HEAD,
            Stage::Body => IN_BODY,
        };
        let agreed = near.iter().all(|(_, _, other)| *other == row);
        let row = usize::try_from(row).ok().filter(|_| agreed);
        Some(row.and_then(|row| rows.get(row)).map(|row| row.fault))
    }
}

fn millis(time: Option<Stamp>) -> u64 {
    time.map_or(0, |stamp| stamp.millis.unsigned_abs())
}

/// The first row that fits.
fn find(rows: &[Row], error: &[u8]) -> Option<usize> {
    rows.iter().position(|row| {
        // A whole text, where it is nothing but a word.
        let starts = match row.start {
            "EOF" | "unexpected EOF" => error == row.start.as_bytes(),
            start => error.starts_with(start.as_bytes()),
        };
        starts && (row.holds.is_empty() || text::has(error, row.holds))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(fault: Option<Fault>) -> Option<Cause> {
        match fault {
            Some(Fault::Failed(reason)) => Some(reason.cause),
            _ => None,
        }
    }

    #[test]
    fn errors_before_the_head() {
        use Cause::*;
        for (error, expected) in [
            ("dial tcp 127.0.0.1:22002: connect: connection refused", ConnectRefused),
            ("dial tcp 127.66.0.1:22003: i/o timeout", ConnectTimeout),
            (
                "dial tcp 127.66.0.2:22005: connect: no route to host",
                ConnectUnreachable,
            ),
            (
                "dial tcp 127.0.0.1:22006: connect: connection reset by peer",
                ConnectReset,
            ),
            (
                "dial unix /run/a.sock: connect: no such file or directory",
                ConnectRefused,
            ),
            ("dial tcp 10.0.0.1:80: something new", ConnectFailed),
            ("dial tcp: lookup payments.lab on 127.0.0.1:53: no such host", DnsFailed),
            ("lookup checkout.lab on 127.0.0.1:53: server misbehaving", DnsFailed),
            (
                "lookup catalog.lab on 127.0.0.1:53: read tcp 127.0.0.1:56996->127.0.0.1:22500: i/o timeout",
                DnsTimeout,
            ),
            ("net/http: TLS handshake timeout", TlsTimeout),
            ("tls: first record does not look like a TLS handshake", TlsNotTls),
            (
                "x509: certificate has expired or is not yet valid: current time A is before B",
                TlsCertificateNotYetValid,
            ),
            (
                "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time A is after B",
                TlsCertificateExpired,
            ),
            (
                "tls: failed to verify certificate: x509: certificate is valid for other.example, not origin.lab",
                TlsCertificateNameMismatch,
            ),
            ("x509: certificate signed by unknown authority", TlsCertificateUntrusted),
            ("remote error: tls: protocol version not supported", TlsProtocol),
            ("remote error: tls: handshake failure", TlsProtocol),
            ("remote error: tls: certificate required", TlsClientCertificateRequired),
            (
                "read tcp 127.0.0.1:47808->127.0.0.1:22007: read: connection reset by peer",
                BadGateway,
            ),
            ("read tcp 127.0.0.1:54470->127.0.0.1:22021: i/o timeout", GatewayTimeout),
            ("EOF", BadGateway),
            ("net/http: timeout awaiting response headers", ResponseTimeout),
            (
                "net/http: HTTP/1.x transport connection broken: unexpected EOF",
                ResponseFailed,
            ),
            (
                "net/http: HTTP/1.x transport connection broken: malformed HTTP status code \\\"20\\\"",
                ResponseMalformed,
            ),
            (
                "net/http: HTTP/1.x transport connection broken: malformed HTTP response \\\"broken: unexpected EO\\\"",
                ResponseMalformed,
            ),
            (
                "net/http: HTTP/1.x transport connection broken: http: message cannot contain multiple Content-Length headers; got [\\\"10\\\" \\\"20\\\"]",
                ResponseMalformed,
            ),
            (
                "net/http: server response headers exceeded 10485760 bytes; aborted",
                ResponseHeaderTooLarge,
            ),
            (
                "http2: server sent GOAWAY and closed the connection; LastStreamID=1",
                ResponseReset,
            ),
        ] {
            assert_eq!(cause(before_head(error.as_bytes())), Some(expected), "{error}");
        }
        assert_eq!(before_head(b"context canceled"), Some(Fault::ClientLeft));
        assert_eq!(before_head(b"EOF of something"), None);
        assert_eq!(before_head(b"anything else"), None);
    }

    #[test]
    fn whom_an_error_speaks_of() {
        for (error, address, name) in [
            (
                "dial tcp 127.0.0.1:22002: connect: connection refused",
                "127.0.0.1:22002",
                "",
            ),
            ("read tcp 127.0.0.1:5->127.0.0.1:22: i/o timeout", "127.0.0.1:22", ""),
            ("dial tcp: lookup a.lab on 127.0.0.1:53: no such host", "", "a.lab"),
            ("lookup a.lab: no such host", "", "a.lab"),
            ("EOF", "", ""),
        ] {
            assert_eq!(peer(error.as_bytes()), address.as_bytes(), "{error}");
            assert_eq!(looked_up(error.as_bytes()), name.as_bytes(), "{error}");
        }
    }

    #[test]
    fn errors_in_the_body() {
        use Cause::*;
        for (error, expected) in [
            ("unexpected EOF", ResponseTruncated),
            ("reading: unexpected EOF", ResponseTruncated),
            ("reading: invalid byte in chunk length", ResponseMalformed),
            (
                "read tcp 127.0.0.1:57350->127.0.0.1:22019: read: connection reset by peer",
                ResponseTruncated,
            ),
            (
                "read tcp 127.0.0.1:40406->127.0.0.1:22023: i/o timeout",
                ResponseBodyTimeout,
            ),
        ] {
            assert_eq!(cause(in_body(error.as_bytes())), Some(expected), "{error}");
        }
        assert_eq!(
            in_body(b"writing: write tcp 1->2: write: broken pipe"),
            Some(Fault::ClientLeft)
        );
        assert_eq!(in_body(b"anything else"), None);
    }

    #[test]
    fn an_error_and_the_request_it_belongs_to() {
        let pairs = Paired {
            stage: Stage::Body,
            within_millis: 100,
        };
        let at = |millis| Some(Stamp { millis, local: false });
        let mut memory = Memory::default();
        let truncated = Some(Fault::Failed(Reason::exact(Cause::ResponseTruncated)));
        assert_eq!(pairs.take(&mut memory, at(0)), None);
        pairs.keep(&mut memory, b"unexpected EOF", at(1000));
        pairs.keep(&mut memory, b"reading: unexpected EOF", at(1050));
        assert_eq!(pairs.take(&mut memory, at(1060)), Some(truncated));
        assert_eq!(pairs.take(&mut memory, at(1060)), Some(truncated));
        assert_eq!(pairs.take(&mut memory, at(1060)), None);
        pairs.keep(&mut memory, b"unexpected EOF", at(2000));
        assert_eq!(pairs.take(&mut memory, at(2101)), None);
        pairs.keep(&mut memory, b"unexpected EOF", at(3000));
        pairs.keep(&mut memory, b"invalid byte in chunk length", at(3000));
        assert_eq!(pairs.take(&mut memory, at(3000)), Some(None));
        for millis in 0..1000 {
            pairs.keep(&mut memory, b"unexpected EOF", at(millis));
        }
        assert_eq!(memory.texts[0].len(), Paired::MOST * Paired::BYTES);
    }

    #[test]
    fn errors_of_health_checks() {
        for error in [
            r#"checking HTTP health: HTTP request failed: Get \"http://127.0.0.1:22002/health\": dial tcp 127.0.0.1:22002: connect: connection refused"#,
            r#"Get "http://127.0.0.1:22046/health": dial tcp 127.0.0.1:22046: connect: connection refused"#,
        ] {
            assert_eq!(
                cause(of_health_check(error.as_bytes())),
                Some(Cause::ConnectRefused),
                "{error}"
            );
        }
        assert_eq!(of_health_check(b"received error status code: 503"), None);
        assert_eq!(of_health_check(b"Get x"), None);
    }
}
