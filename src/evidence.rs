//! The facts behind a finding: in one line of plain words here, for logs, pages and the command line; whole, as they are
//! kept, in [`Evidence`]. Pure.
//!
//! Only what says something of the hop: no query, no cookie, no body beyond its first printable bytes.

mod kept;
mod secrets;

pub use kept::{Certificate, Dns, Evidence, Page, Phases, Tls};

use crate::finding::{Finding, Recognised, Seen, Told};
use crate::observation::{
    CertificateProblem, ConnectFault, End, Head, HttpFailure, HttpFault, Observation, RedirectFault, Resolution,
    TlsFacts, TlsFault,
};
use crate::upstream::{EvidencePolicy, Request, Target};
use secrets::Secrets;

/// Characters of foreign text in one line at most.
const MAX_FOREIGN: usize = 80;

/// The facts of a finding, without what was sent with the request. `target` and `request` are what was probed.
pub fn of_finding(finding: &Finding, target: &Target, request: Option<&Request>) -> String {
    Secrets::of(target, request, finding.upstream.evidence).strike_out(facts(finding))
}

/// The facts of a probe of this target, as [`of_probe`] gives them, without what was sent with the request.
pub fn of_probe_of(target: &Target, request: &Request, seen: &Observation, recognised: &Recognised) -> String {
    Secrets::of(target, Some(request), EvidencePolicy::Safe).strike_out(of_probe(seen, recognised))
}

/// The kept headers of the answer, names in lower case, without what was sent with the request; none without an answer.
pub fn headers_of(target: &Target, request: &Request, seen: &Observation) -> Vec<(String, String)> {
    let secrets = Secrets::of(target, Some(request), EvidencePolicy::Safe);
    let headers = seen.head().map(|head| head.headers.clone()).unwrap_or_default();
    let struck = headers
        .into_iter()
        .map(|(name, value)| (name, secrets.strike_out(value)));
    struck.collect()
}

fn facts(finding: &Finding) -> String {
    match &finding.seen {
        Seen::Resolution(resolution) => of_resolution(resolution),
        Seen::Probe(observation) => of_probe(observation, &finding.recognised),
        Seen::Nothing => finding.outcome.to_string(),
    }
}

/// The facts of a resolution.
pub fn of_resolution(seen: &Resolution) -> String {
    let chain = match seen.cname_chain.as_slice() {
        [] => String::new(),
        chain => format!(" by way of {}", chain.join(", ")),
    };
    match &seen.result {
        Err(fault) => format!("{}: {fault}{chain}", seen.name),
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let half = seen
                .half
                .as_ref()
                .map(|fault| format!("; the other address family: {fault}"))
                .unwrap_or_default();
            format!(
                "{} is {}{chain}, says {}{half}",
                seen.name,
                addresses.join(", "),
                seen.source
            )
        }
    }
}

/// The facts of a probe, with what the answer says of the layers it came through: `status 503, 98 bytes; written by envoy
/// behind cloudflare, states connect_refused`.
pub fn of_probe(seen: &Observation, recognised: &Recognised) -> String {
    let facts = of_observation(seen);
    match layers(recognised) {
        layers if layers.is_empty() => facts,
        layers => format!("{facts}; {layers}"),
    }
}

fn layers(recognised: &Recognised) -> String {
    let behind = recognised
        .behind
        .map(|last| format!(" behind {last}"))
        .unwrap_or_default();
    let writer = recognised.writer.map(|writer| format!("written by {writer}{behind}"));
    let told = recognised
        .told
        .filter(|_| recognised.writer.is_none())
        .map(|told| match told {
            Told::BadGateway => "a page of a bad gateway".to_owned(),
            Told::GatewayTimeout => "a page of a gateway timeout".to_owned(),
        });
    let words: Vec<_> = recognised.candidates.iter().map(|cause| cause.label()).collect();
    let stated = match (recognised.stated, words.as_slice()) {
        (None, []) => None,
        (None, candidates) => Some(format!("may be {}", candidates.join(" or "))),
        (Some(cause), []) => Some(format!("states {cause}")),
        (Some(cause), candidates) => Some(format!("states {cause}: {}", candidates.join(" or "))),
    };
    let cached = recognised.cached_by.map(|header| format!("from a cache ({header})"));
    let parts: Vec<_> = [writer, told, stated, cached].into_iter().flatten().collect();
    parts.join(", ")
}

/// The facts of a probe.
pub fn of_observation(seen: &Observation) -> String {
    let text = match &seen.end {
        End::Own(limit) => limit.to_string(),
        End::NoRoute => "this host has no route for this address family".to_owned(),
        End::Dns(fault) => format!("the host of the redirect: {fault}"),
        End::Connect(fault) => connect(*fault),
        End::Tls(fault) => tls(fault, seen.tls.as_deref()),
        End::Http(failure) => http(failure),
        End::Redirect { fault, head } => format!("status {}, {}", head.status, redirect(fault)),
        End::Response(response) => match status(&response.head) {
            line if response.body_complete => format!("{line}, {} bytes", response.body_bytes),
            line => format!("{line}, more than {} bytes", response.body_bytes),
        },
    };
    let text = match &seen.listening {
        Some(listening) => format!("{text}; {listening}"),
        None => text,
    };
    match seen.redirected.last() {
        Some(url) => format!("{text} (redirected to {url})"),
        None => text,
    }
}

fn connect(fault: ConnectFault) -> String {
    match fault {
        ConnectFault::Refused => "connection refused".to_owned(),
        ConnectFault::Timeout => "no answer to the connection attempt".to_owned(),
        ConnectFault::Unreachable(code) => std::io::Error::from_raw_os_error(code).to_string().to_lowercase(),
        ConnectFault::ResetAfterAccept => "reset right after the connection was accepted".to_owned(),
    }
}

fn tls(fault: &TlsFault, facts: Option<&TlsFacts>) -> String {
    match fault {
        TlsFault::Timeout => "the TLS handshake did not finish".to_owned(),
        TlsFault::Closed { reset: true } => "reset during the TLS handshake".to_owned(),
        TlsFault::Closed { reset: false } => "closed during the TLS handshake".to_owned(),
        TlsFault::NotTls(start) => format!("instead of TLS came {}", quoted(start)),
        TlsFault::Protocol(words) => format!("TLS: {}", cut(words)),
        TlsFault::Alert(alert) => format!("TLS alert {alert} ({})", alert_name(*alert)),
        TlsFault::ClientCertificate { sent: false } => {
            "a client certificate is demanded and none is configured".to_owned()
        }
        TlsFault::ClientCertificate { sent: true } => "our client certificate was refused".to_owned(),
        TlsFault::Certificate(problem) => certificate(problem.label(), facts),
    }
}

fn certificate(problem: &str, facts: Option<&TlsFacts>) -> String {
    let detail = facts
        .and_then(|facts| facts.problem_detail.as_deref())
        .unwrap_or_default();
    match facts.and_then(|facts| facts.chain.certificates.first()) {
        Some(leaf) => format!(
            "certificate {problem}: {} for {} of issuer {} ({}){}",
            cut(&leaf.subject),
            cut(&leaf.names.join(", ")),
            cut(&leaf.issuer),
            cut(detail),
            open_end(problem, facts)
        ),
        None => format!("certificate {problem} ({})", cut(detail)),
    }
}

/// Where a chain that is not trusted ends: the issuer of its last certificate was neither sent nor is it known here.
fn open_end(problem: &str, facts: Option<&TlsFacts>) -> String {
    let last = facts.and_then(|facts| facts.chain.certificates.last());
    match last {
        Some(last) if problem == CertificateProblem::Untrusted.label() && last.issuer != last.subject => format!(
            "; {} was neither sent nor is trusted here: an intermediate is missing, or ca_file",
            cut(&last.issuer)
        ),
        _ => String::new(),
    }
}

/// Names of the alerts seen in practice (RFC 8446, 6.2, and its forerunners).
fn alert_name(alert: u8) -> &'static str {
    match alert {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure: no cipher or parameter in common",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version: no TLS version in common",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name: no such virtual host",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "of unknown meaning",
    }
}

fn http(failure: &HttpFailure) -> String {
    let what = match &failure.fault {
        HttpFault::HeadTimeout if failure.start.is_empty() => "not a byte of response".to_owned(),
        HttpFault::HeadTimeout => "the response head did not end".to_owned(),
        HttpFault::Reset => "connection reset before a whole response head".to_owned(),
        HttpFault::Closed => "connection closed without a byte of response".to_owned(),
        HttpFault::ClosedInHead => "connection closed inside the response head".to_owned(),
        HttpFault::Malformed(rule) => format!("no valid HTTP: {rule}"),
        HttpFault::HeadTooLarge => "the response head is too large".to_owned(),
        HttpFault::BodyCut => format!("the body was cut after {} bytes", failure.body_bytes),
        HttpFault::BodyTimeout => format!("the body stalled after {} bytes", failure.body_bytes),
    };
    match &failure.head {
        Some(head) => format!("{}, {what}", status(head)),
        None if failure.start.is_empty() => what,
        None => format!("{what}; it began with {}", quoted(&failure.start)),
    }
}

fn redirect(fault: &RedirectFault) -> String {
    match fault {
        RedirectFault::TooMany => "one redirect too many".to_owned(),
        RedirectFault::Host(host) => format!("a redirect to {}, which redirects.hosts does not allow", cut(host)),
        RedirectFault::Address(host, ip) => format!("a redirect to {} at {ip}, which is not allowed", cut(host)),
        RedirectFault::Location => "a redirect without a usable Location".to_owned(),
    }
}

fn status(head: &Head) -> String {
    match head.header("server") {
        Some(server) => format!("status {} from {}", head.status, cut(server)),
        None => format!("status {}", head.status),
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", cut(&bytes.escape_ascii().to_string()))
}

/// Foreign text, cut and without control characters.
pub fn cut(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    match clean.char_indices().nth(MAX_FOREIGN) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn foreign_bytes_are_shown_safely() {
        let failure = HttpFailure {
            fault: HttpFault::Malformed("the first bytes are no status line"),
            head: None,
            start: Bytes::from_static(b"SSH-2.0-x\r\n\x1b[31m"),
            body_bytes: 0,
        };
        assert_eq!(
            http(&failure),
            r#"no valid HTTP: the first bytes are no status line; it began with "SSH-2.0-x\r\n\x1b[31m""#
        );
        assert_eq!(cut(&"é".repeat(100)).chars().count(), MAX_FOREIGN + 1);
        assert_eq!(cut("a\u{7}b"), "a b");
    }
}
