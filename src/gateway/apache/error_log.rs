//! The error log of httpd: which lines tell of a request that failed, and why it did.

use super::super::log::{ErrorLine, Memory, openssl, text, time};
use super::{ANY_DNS, ANY_TLS, CUT, NO_STATUS_LINE, plain, threads};
use crate::cause::Cause;
use crate::exchange::{Complaint, Effect, Join, Reason, Stamp};

/// A line of the error log:
/// `[TIME] [MODULE:LEVEL] [pid P:tid T] [LOG ID] FILE(LINE): (ERROR)TEXT: [client IP:PORT] AHnnnnn: MESSAGE, referer: URL`,
/// of which all but time, level and message may be missing.
///
/// The message stands before everything a client can write.
pub(super) fn read<'l>(memory: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    let Some(head) = Head::of(line) else {
        return ErrorLine::Foreign;
    };
    let (number, message) = head.number_and_message();
    if number == b"AH02268" {
        // A demand alone is no fault: many backends take a certificate or leave it.
        threads::keep_wish(memory, head.thread, head.time);
        return ErrorLine::Other;
    }
    let Some((effect, mut reason)) = meaning(&head, number, message) else {
        return ErrorLine::Other;
    };
    let ended = number == b"AH01102" && matches!(head.error, b"70014" | b"20014" | b"104");
    if ended && threads::is_wished(memory, head.thread, head.time) {
        reason = Reason::exact(Cause::TlsClientCertificateRequired);
    }
    ErrorLine::Complaint(Complaint {
        time: Some(head.time),
        effect,
        reason,
        backend: backend(&head, number, message),
        host: b"",
        names: [name(number, message), b"", b""],
        join: Join {
            exact: text::id(head.id),
            group: threads::fault(memory, head.thread, head.time, head.client, number),
            client: text::without_port(head.client),
            request: request(message),
            status: status_of(number),
        },
    })
}

/// An end of file in the status line; over TLS also before it.
const END_IN_STATUS_LINE: &[Cause] = &[Cause::ResponseClosed, Cause::ResponseMalformed];
const TRY_AGAIN: &[Cause] = &[Cause::DnsServfail, Cause::DnsRefused, Cause::DnsTimeout];

/// One row of [`MESSAGES`].
struct Message {
    number: &'static str,
    /// The text behind the number begins with this …
    start: &'static str,
    /// … and the error before it is one of these; empty is any.
    errors: &'static [&'static str],
    effect: Effect,
    reason: Reason,
}

const fn message(
    number: &'static str,
    start: &'static str,
    errors: &'static [&'static str],
    effect: Effect,
    reason: Reason,
) -> Message {
    Message {
        number,
        start,
        errors,
        effect,
        reason,
    }
}

/// The messages httpd writes about requests that fail, first match first. Where several lines tell of one fault, those that
/// say less leave the cause open.
///
/// Source: `proxy_util.c`, `mod_proxy_http.c`, `mod_proxy_balancer.c`, `mod_proxy_fcgi.c`, `mod_proxy_ajp.c`,
/// `mod_proxy_uwsgi.c`, `mod_proxy_scgi.c`, `ssl_engine_kernel.c`, `ssl_engine_io.c`, `server/ssl.c`.
#[rustfmt::skip]
const MESSAGES: &[Message] = &{
    use Cause::*;
    use Effect::*;
    const fn exact(cause: Cause) -> Reason { Reason::exact(cause) }
    const fn open(cause: Cause) -> Reason { Reason::open(cause) }
    const REFUSED: &[&str] = &["111"];
    const TIMED_OUT: &[&str] = &["110", "70007"];
    const UNREACHABLE: &[&str] = &["113", "101", "13", "1"];
    const RESET: &[&str] = &["104", "32"];
    /// No more bytes before any, inside httpd.
    const NONE_CAME: &[&str] = &["20014"];
    const END: &[&str] = &["70014"];
    const PARTIAL: &[&str] = &["70008"];
    const ANY: &[&str] = &[];
    [
        message("AH00957", "", REFUSED, Attempt, exact(ConnectRefused)),
        message("AH00957", "", TIMED_OUT, Attempt, exact(ConnectTimeout)),
        message("AH00957", "", UNREACHABLE, Attempt, exact(ConnectUnreachable)),
        message("AH00957", "", RESET, Attempt, exact(ConnectReset)),
        message("AH00957", "", ANY, Attempt, open(ConnectFailed)),
        message("AH02454", "", &["111", "2"], Attempt, exact(ConnectRefused)),
        message("AH02454", "", &["11"], Attempt, exact(UpstreamOverloaded)),
        message("AH02454", "", UNREACHABLE, Attempt, exact(ConnectUnreachable)),
        message("AH02454", "", TIMED_OUT, Attempt, exact(ConnectTimeout)),
        message("AH02454", "", ANY, Attempt, open(ConnectFailed)),
        message("AH01114", "", ANY, Attempt, open(ConnectFailed)),
        message("AH01079", "", ANY, Attempt, open(ConnectFailed)),
        message("AH00896", "", ANY, Attempt, open(ConnectFailed)),
        message("AH10101", "", ANY, Attempt, open(ConnectFailed)),
        message("AH00866", "", ANY, Attempt, open(ConnectFailed)),
        message("AH00940", "", ANY, Refused, exact(NoLiveUpstream)),
        message("AH01170", "", ANY, Refused, exact(NoLiveUpstream)),
        message("AH01167", "", ANY, Refused, exact(NoLiveUpstream)),
        message("AH01171", "", ANY, Refused, exact(GatewayConfig)),
        message("AH00934", "", ANY, Refused, exact(UpstreamOverloaded)),
        message("AH01144", "", ANY, Refused, exact(GatewayConfig)),
        message("AH01961", "", ANY, Refused, exact(GatewayConfig)),

        message("AH00898", "DNS lookup failure for: ", &["EAI 2"], Refused, exact(DnsNxdomain)),
        message("AH00898", "DNS lookup failure for: ", &["EAI 5"], Refused, exact(DnsNodata)),
        message("AH00898", "DNS lookup failure for: ", &["EAI 3"], Refused, Reason::one_of(DnsFailed, TRY_AGAIN)),
        message("AH00898", "DNS lookup failure for: ", ANY, Refused, Reason::one_of(DnsFailed, ANY_DNS)),
        message("AH00898", "Error during SSL Handshake with remote server", ANY, Attempt, Reason::one_of(TlsFailed, ANY_TLS)),
        message("AH00898", "Error reading from remote server", ANY, Attempt, Reason::one_of(ResponseFailed, NO_STATUS_LINE)),
        message("AH00898", "Corrupt status line returned by remote server", ANY, Attempt, exact(ResponseMalformed)),
        message("AH00898", "Malformed connection header returned by", ANY, Attempt, exact(ResponseMalformed)),
        message("AH00898", "Unexpected Upgrade", ANY, Attempt, exact(ResponseMalformed)),
        message("AH00898", "Too many (", ANY, Attempt, exact(ResponseMalformed)),
        message("AH00898", "Timeout on 100-Continue", ANY, Attempt, exact(ResponseTimeout)),

        message("AH02004", "", ANY, Attempt, exact(TlsCertificateExpired)),
        message("AH02411", "", ANY, Attempt, exact(TlsCertificateNameMismatch)),
        message("AH02005", "", ANY, Attempt, exact(TlsCertificateNameMismatch)),

        message("AH01102", "", RESET, Attempt, exact(ResponseReset)),
        message("AH01102", "", TIMED_OUT, Attempt, exact(ResponseTimeout)),
        message("AH01102", "", NONE_CAME, Attempt, exact(ResponseClosed)),
        message("AH01102", "", END, Attempt, Reason::one_of(ResponseFailed, END_IN_STATUS_LINE)),
        message("AH01102", "", ANY, Attempt, Reason::one_of(BadGateway, NO_STATUS_LINE)),
        message("AH10404", "", RESET, Attempt, exact(ResponseReset)),
        message("AH10404", "", TIMED_OUT, Attempt, exact(ResponseTimeout)),
        message("AH10404", "", END, Attempt, exact(ResponseMalformed)),
        message("AH10404", "", NONE_CAME, Attempt, exact(ResponseMalformed)),
        message("AH10404", "", ANY, Attempt, open(ResponseFailed)),
        message("AH10124", "", ANY, Attempt, exact(ResponseHeaderTooLarge)),
        message("AH01106", "", ANY, Attempt, open(ResponseMalformed)),
        message("AH01084", "", RESET, Attempt, open(ResponseReset)),
        message("AH01084", "", TIMED_OUT, Attempt, open(ResponseTimeout)),
        message("AH01084", "", ANY, Attempt, open(ResponseFailed)),

        message("AH01110", "", PARTIAL, Cut, exact(ResponseTruncated)),
        message("AH01110", "", RESET, Cut, exact(ResponseTruncated)),
        message("AH01110", "", END, Cut, exact(ResponseTruncated)),
        message("AH01110", "", TIMED_OUT, Cut, exact(ResponseBodyTimeout)),
        message("AH01110", "", NONE_CAME, Cut, exact(ResponseMalformed)),
        message("AH01110", "", ANY, Cut, Reason::one_of(ResponseFailed, CUT)),

        message("AH01075", "", TIMED_OUT, Attempt, exact(ResponseTimeout)),
        message("AH01075", "", RESET, Attempt, exact(ResponseReset)),
        message("AH01075", "", ANY, Attempt, open(ResponseFailed)),
        message("AH01067", "", TIMED_OUT, Attempt, exact(ResponseTimeout)),
        message("AH01067", "", RESET, Attempt, exact(ResponseReset)),
        message("AH01067", "", ANY, Attempt, open(ResponseFailed)),
        message("AH01068", "", ANY, Attempt, exact(ResponseMalformed)),
        message("AH01070", "", ANY, Attempt, exact(ResponseMalformed)),
        message("AH00897", "", TIMED_OUT, Attempt, exact(ResponseTimeout)),
        message("AH00897", "", ANY, Attempt, open(ResponseFailed)),
        message("AH00878", "", TIMED_OUT, Attempt, exact(ResponseTimeout)),
        message("AH00878", "", RESET, Attempt, exact(ResponseReset)),
        message("AH00878", "", ANY, Attempt, open(ResponseFailed)),
        message("AH00992", "", TIMED_OUT, Attempt, exact(ResponseTimeout)),
        message("AH00992", "", RESET, Attempt, exact(ResponseReset)),
        message("AH00992", "", ANY, Attempt, open(ResponseFailed)),
        message("AH01030", "", ANY, Attempt, open(ResponseFailed)),
    ]
};

/// What a client gets if this attempt was the last one, of the messages that lead to one status alone and state no path.
///
/// Source: `proxy_util.c`, `mod_proxy_http.c`, `mod_proxy_balancer.c`, `mod_proxy_uwsgi.c`, and httpd 2.4.71.
fn status_of(number: &[u8]) -> Option<u16> {
    match number {
        b"AH00957" | b"AH02454" | b"AH01114" | b"AH10101" | b"AH00866" | b"AH00896" | b"AH01079" => Some(503),
        b"AH00940" | b"AH00934" | b"AH01170" | b"AH01167" | b"AH01171" => Some(503),
        b"AH10404" | b"AH10124" | b"AH01106" => Some(502),
        _ => None,
    }
}

/// What stands before the message.
#[derive(Debug)]
struct Head<'l> {
    time: Stamp,
    /// Process and thread, as a number.
    thread: u64,
    /// `%L`, where the format has it.
    id: &'l [u8],
    client: &'l [u8],
    /// The backend's address, on lines about TLS with it.
    remote: &'l [u8],
    /// The number in `(111)Connection refused: `.
    error: &'l [u8],
    rest: &'l [u8],
}

impl<'l> Head<'l> {
    fn of(line: &'l [u8]) -> Option<Head<'l>> {
        let (stamp, rest) = in_brackets(line)?;
        let (level, rest) = in_brackets(rest)?;
        let mut head = Head {
            time: time::parse(stamp)?,
            thread: 0,
            id: b"",
            client: b"",
            remote: b"",
            error: b"",
            rest,
        };
        // `module:level`, or the level alone.
        let is_level = level
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-'));
        is_level.then(|| {
            while head.pass() {}
            head
        })
    }

    /// Passes over one part; false where the message begins.
    fn pass(&mut self) -> bool {
        if let Some((part, rest)) = in_brackets(self.rest) {
            match part {
                [b'p', b'i', b'd', b' ', process @ ..] => self.thread = text::id(process),
                [b'c', b'l', b'i', b'e', b'n', b't', b' ', client @ ..] => self.client = client,
                [b'r', b'e', b'm', b'o', b't', b'e', b' ', remote @ ..] => self.remote = remote,
                id if !id.contains(&b' ') => self.id = if id == b"-" { b"" } else { id },
                _ => return false,
            }
            self.rest = rest;
            return true;
        }
        // `(111)Connection refused: `, `mod_proxy.c(1234): `.
        let Some(end) = text::find(self.rest, b": ") else {
            return false;
        };
        let part = &self.rest[..end];
        if let (Some(number), true) = (text::between(part, b"(", b")"), part.first() == Some(&b'(')) {
            self.error = number;
        } else if !(part.ends_with(b")") && text::has(part, ".c(") && !part.contains(&b' ')) {
            return false;
        }
        self.rest = &self.rest[end + 2..];
        true
    }

    /// `AH00957` and what follows it; no number where the message has none.
    fn number_and_message(&self) -> (&'l [u8], &'l [u8]) {
        match (self.rest.split_at_checked(7), self.rest.get(7..9)) {
            (Some((number, _)), Some(b": ")) if number.starts_with(b"AH") => (number, &self.rest[9..]),
            _ => (b"", self.rest),
        }
    }
}

/// `[part] ` at the beginning.
fn in_brackets(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"[")?;
    let end = memchr::memchr(b']', inner)?;
    // An address of IPv6 has brackets of its own: `[client [::1]:80]`.
    let end = match inner[end + 1..].first() {
        Some(b':') => end + memchr::memchr(b']', &inner[end + 1..])? + 1,
        _ => end,
    };
    let rest = &inner[end + 1..];
    Some((&inner[..end], rest.strip_prefix(b" ").unwrap_or(rest)))
}

fn meaning(head: &Head<'_>, number: &[u8], message: &[u8]) -> Option<(Effect, Reason)> {
    if number == b"AH02039" {
        // Lines about clients' certificates look the same and name the client.
        let code = text::between(message, b"Certificate Verification: Error (", b")")?;
        let of_backend = !head.remote.is_empty();
        return of_backend.then(|| (Effect::Attempt, Reason::exact(openssl::verify_error(code))));
    }
    if number.is_empty() && !head.remote.is_empty() {
        let text = message.strip_prefix(b"SSL Library Error: ")?;
        let reason = openssl::reason(text).filter(|reason| reason.settled)?;
        return Some((Effect::Attempt, reason));
    }
    let found = MESSAGES.iter().find(|row| {
        row.number.as_bytes() == number
            && message.starts_with(row.start.as_bytes())
            && (row.errors.is_empty() || row.errors.iter().any(|error| error.as_bytes() == head.error))
    })?;
    Some((found.effect, found.reason))
}

/// The backend as the message states it.
fn backend<'l>(head: &Head<'l>, number: &[u8], message: &'l [u8]) -> &'l [u8] {
    let stated = match number {
        // `attempt to connect to IP:PORT (HOST:PORT) failed`
        b"AH00957" | b"AH02454" => text::between(message, b" (", b")"),
        b"AH01102" => text::between(message, b"remote server ", b","),
        b"AH01084" => text::between(message, b" failed to ", b" "),
        b"AH00940" => text::between(message, b" for (", b")"),
        _ => None,
    };
    stated.unwrap_or(head.remote)
}

/// The balancer, or the name that did not resolve.
fn name<'l>(number: &[u8], message: &'l [u8]) -> &'l [u8] {
    let stated = match number {
        b"AH01170" | b"AH01167" | b"AH01171" => message
            .starts_with(b"balancer://")
            .then(|| text::between(message, b"", b": ").unwrap_or_default()),
        b"AH00898" => message
            .starts_with(b"DNS lookup failure for: ")
            .then(|| text::between(message, b": ", b" ").unwrap_or_default()),
        _ => None,
    };
    stated.unwrap_or_default()
}

/// The path in `… returned by /path`.
fn request(message: &[u8]) -> &[u8] {
    const MARK: &[u8] = b" returned by ";
    match text::find(message, MARK) {
        Some(at) => plain(&message[at + MARK.len()..]),
        None => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::log::testing::told;
    use super::super::KIND;
    use super::*;

    const START: &str = "[Fri Nov 20 11:03:44.123370 2026] ";

    fn check(rows: &[(&str, &str)]) {
        for (rest, expected) in rows {
            let line = format!("{START}{rest}").replace("PID", "[pid 14:tid 92]");
            assert_eq!(told(&KIND, &line), *expected, "{line}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn messages_and_their_causes() {
        check(&[
            ("[proxy:error] PID (111)Connection refused: AH00957: http: attempt to connect to 127.0.0.1:22002 (a.lab:22002) failed", "attempt connect_refused a.lab:22002"),
            ("[proxy:error] PID (70007)The timeout specified has expired: AH00957: http: attempt to connect to 127.0.0.1:22004 (127.0.0.1:22004) failed", "attempt connect_timeout 127.0.0.1:22004"),
            ("[proxy:error] PID (113)No route to host: AH00957: http: attempt to connect to 10.0.0.1:80 (10.0.0.1:80) failed", "attempt connect_unreachable 10.0.0.1:80"),
            ("[proxy:error] PID (2)No such file or directory: AH02454: FCGI: attempt to connect to Unix domain socket /run/php/php8.2-fpm.sock (localhost:8000) failed", "attempt connect_refused localhost:8000"),
            ("[proxy_http:error] PID [client 127.0.0.1:35140] AH01114: HTTP: failed to make connection to backend: 127.0.0.1", "attempt connect_failed"),
            ("[proxy_balancer:error] PID [client 127.0.0.1:1] AH01170: balancer://app: All workers are in error state", "refused no_live_upstream"),
            ("[proxy:error] PID AH00940: http: disabled connection for (127.0.0.1:80)", "refused no_live_upstream 127.0.0.1:80"),
            ("[proxy:error] PID (EAI 2)Name or service not known: [client 127.0.0.1:54596] AH00898: DNS lookup failure for: payments.lab returned by /app19/v1", "refused dns_nxdomain"),
            ("[proxy:error] PID (EAI 3)Temporary failure in name resolution: [client 127.0.0.1:54936] AH00898: DNS lookup failure for: billing.lab returned by /app02", "refused dns_failed?"),
            ("[proxy:error] PID (EAI 5)No address associated with hostname: [client 127.0.0.1:49062] AH00898: DNS lookup failure for: search.lab returned by /app43", "refused dns_nodata"),
            ("[proxy:error] PID [client 127.0.0.1:49710] AH00898: Error during SSL Handshake with remote server returned by /app28", "attempt tls_failed?"),
            ("[ssl:error] PID [remote 127.0.0.1:22034] AH02039: Certificate Verification: Error (10): certificate has expired", "attempt tls_certificate_expired 127.0.0.1:22034"),
            ("[ssl:error] PID [remote [::1]:22034] AH02039: Certificate Verification: Error (20): unable to get local issuer certificate", "attempt tls_certificate_untrusted [::1]:22034"),
            ("[ssl:info] PID [remote 127.0.0.1:22036] AH02411: SSL Proxy: Peer certificate does not match for hostname origin.lab", "attempt tls_certificate_name_mismatch 127.0.0.1:22036"),
            ("[ssl:info] PID [remote 127.0.0.1:22038] SSL Library Error: error:0A00010B:SSL routines::wrong version number", "attempt tls_not_tls 127.0.0.1:22038"),
            ("[proxy_http:error] PID (104)Connection reset by peer: [client 127.0.0.1:35810] AH01102: error reading status line from remote server 127.0.0.1:22006", "attempt response_reset 127.0.0.1:22006"),
            ("[proxy_http:error] PID (20014)Internal error (specific information not available): [client 127.0.0.1:43526] AH01102: error reading status line from remote server 127.0.0.1:23009", "attempt response_closed 127.0.0.1:23009"),
            ("[proxy_http:error] PID (70014)End of file found: [client 127.0.0.1:55802] AH01102: error reading status line from remote server 127.0.0.1:22010", "attempt response_failed? 127.0.0.1:22010"),
            ("[proxy_http:error] PID (70007)The timeout specified has expired: [client 127.0.0.1:5] AH01102: error reading status line from remote server 127.0.0.1:22010, referer: http://x/", "attempt response_timeout 127.0.0.1:22010"),
            ("[proxy_http:warn] PID (104)Connection reset by peer: [client 127.0.0.1:55444] AH10404: Error reading headers from backend", "attempt response_reset"),
            ("[proxy_http:warn] PID [client 127.0.0.1:56506] AH01106: bad HTTP/1.1 header returned by /app34/v1/orders/1002 (GET)", "attempt response_malformed"),
            ("[proxy_http:warn] PID [client 127.0.0.1:1] AH10124: header size is over the limit allowed by ResponseFieldSize (8192 bytes). Bad response header 'x'", "attempt response_header_too_large"),
            ("[proxy_http:error] PID (70008)Partial results are valid but processing is incomplete: [client 127.0.0.1:57252] AH01110: error reading response", "cut response_truncated"),
            ("[proxy_http:error] PID (20014)Internal error (specific information not available): [client 127.0.0.1:57572] AH01110: error reading response", "cut response_malformed"),
            ("[proxy_http:error] PID (70007)The timeout specified has expired: [client 127.0.0.1:5] AH01110: error reading response", "cut response_body_timeout"),
            ("[proxy_fcgi:error] PID (70007)The timeout specified has expired: [client 127.0.0.1:5] AH01075: Error dispatching request to : (polling)", "attempt response_timeout"),
        ]);
    }

    #[test]
    #[rustfmt::skip]
    fn lines_that_tell_of_no_failed_request() {
        check(&[
            ("[mpm_event:notice] PID AH00489: Apache/2.4.71 (Debian) configured -- resuming normal operations", "other"),
            ("[proxy:error] PID AH00959: ap_proxy_connect_backend disabling worker for (127.0.0.1:22046) for 60s", "other"),
            ("[proxy_http:error] PID [client 127.0.0.1:1] AH01097: pass request body failed to 127.0.0.1:22036 (origin.lab) from 127.0.0.1 ()", "other"),
            ("[ssl:error] PID [client 127.0.0.1:1] AH02039: Certificate Verification: Error (10): certificate has expired", "other"),
            ("[ssl:warn] PID AH02268: Proxy client certificate callback: (shop.example:80) downstream server wanted client certificate but none are configured", "other"),
            ("[php:error] [pid 1] [client 1.2.3.4:5] PHP: AH00957: x, referer: (111)Connection refused: AH00957: y", "other"),
            ("[core:info] PID [client 1.2.3.4:5] AH00128: File does not exist: /x AH00957: http", "other"),
        ]);
        assert_eq!(told(&KIND, "[Fri Nov 20 11:03:44 2026] not one"), "foreign");
    }

    #[test]
    fn the_form_of_error_lines_may_be_chosen() {
        let line = "[2026-11-20 11:03:44.123370] [proxy:error] [pid 14:tid 92] [awApEP_0Zty93wok6qm6ygAAAJY] proxy_util.c(3210): (111)Connection refused: AH00957: http: attempt to connect to 127.0.0.1:22002 (127.0.0.1:22002) failed";
        let ErrorLine::Complaint(complaint) = read(&mut Memory::default(), line.as_bytes()) else {
            panic!("{line}");
        };
        assert_eq!(complaint.reason, Reason::exact(Cause::ConnectRefused));
        assert_eq!(complaint.join.exact, text::id(b"awApEP_0Zty93wok6qm6ygAAAJY"));
    }

    #[test]
    fn a_missing_client_certificate_takes_two_lines() {
        let wish = "[ssl:warn] [pid 13:tid 17] AH02268: Proxy client certificate callback: (shop.example:80) downstream server wanted client certificate but none are configured";
        for (thread, expected) in [
            ("17", "attempt tls_client_certificate_required origin.lab:22044"),
            ("18", "attempt response_failed? origin.lab:22044"),
        ] {
            let end = format!(
                "[proxy_http:error] [pid 13:tid {thread}] (70014)End of file found: [client 127.0.0.1:57778] AH01102: error reading status line from remote server origin.lab:22044"
            );
            assert_eq!(told(&KIND, &format!("{START}{wish}\n{START}{end}")), expected);
        }
    }

    #[test]
    fn lines_of_one_fault_and_of_two() {
        let refused = format!(
            "{START}[proxy:error] [pid 14:tid 90] (111)Connection refused: AH00957: http: attempt to connect to 127.0.0.1:1 (127.0.0.1:1) failed"
        );
        let follow = |port: u32| {
            format!(
                "{START}[proxy_http:error] [pid 14:tid 90] [client 127.0.0.1:{port}] AH01114: HTTP: failed to make connection to backend: 127.0.0.1"
            )
        };
        let mut memory = Memory::default();
        let mut groups = Vec::new();
        for line in [&refused, &follow(1), &refused, &follow(1), &follow(2), &follow(2)] {
            let ErrorLine::Complaint(complaint) = read(&mut memory, line.as_bytes()) else {
                panic!("{line}");
            };
            groups.push(complaint.join.group);
        }
        assert_eq!(groups[0], groups[1]);
        assert_eq!(groups[2], groups[3]);
        for (one, other) in [(1, 2), (3, 4), (4, 5)] {
            assert_ne!(groups[one], groups[other], "{one}");
        }
        for thread in 0..1000 {
            let line = refused.replace("tid 90", &format!("tid {thread}"));
            read(&mut memory, line.as_bytes());
        }
        assert!(memory.texts[1].len() <= threads::THREADS * threads::LAST);
    }
}
