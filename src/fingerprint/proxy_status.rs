//! `Proxy-Status` (RFC 9209): what an intermediary says of a failure in words that every product shares.

use crate::cause::Cause;
use crate::finding::Told;
use crate::gateway::page::{Answer, Said};

/// What a page said, with what the header adds. The page goes first: it says who wrote it, and often more.
pub(super) fn complete(said: Option<Said>, answer: &Answer<'_>) -> Said {
    let said = said.unwrap_or(Said::NOTHING);
    // Under another status the failure was mended: a stale answer was served instead.
    let silent = said.cause.is_none() && answer.status >= 500;
    let error = silent.then(|| answer.headers("proxy-status").find_map(error)).flatten();
    match error {
        Some((told, cause)) => Said {
            told: said.told.or(told),
            ..said.because(cause).maybe(&[])
        },
        None => said,
    }
}

/// The first member with an error is the layer nearest to the origin (section 2).
fn error(value: &str) -> Option<(Option<Told>, Cause)> {
    let token = value
        .split([';', ','])
        .find_map(|part| part.trim().strip_prefix("error="))?;
    let (_, told, cause) = ERRORS.iter().find(|(name, _, _)| *name == token.trim())?;
    Some((*told, *cause))
}

const BAD: Option<Told> = Some(Told::BadGateway);
const LATE: Option<Told> = Some(Told::GatewayTimeout);

/// The types of section 2.3 that say something of the next hop. What it is told as is the status each recommends: 502 or
/// 504, or neither.
const ERRORS: &[(&str, Option<Told>, Cause)] = &[
    ("dns_timeout", LATE, Cause::DnsTimeout),
    ("dns_error", BAD, Cause::DnsFailed),
    ("destination_unavailable", None, Cause::NoLiveUpstream),
    ("destination_ip_unroutable", BAD, Cause::ConnectUnreachable),
    ("connection_refused", BAD, Cause::ConnectRefused),
    ("connection_terminated", BAD, Cause::ResponseFailed),
    ("connection_timeout", LATE, Cause::ConnectTimeout),
    ("connection_read_timeout", LATE, Cause::ResponseTimeout),
    ("connection_write_timeout", LATE, Cause::ResponseTimeout),
    ("connection_limit_reached", None, Cause::UpstreamOverloaded),
    ("tls_protocol_error", BAD, Cause::TlsProtocol),
    ("tls_certificate_error", BAD, Cause::TlsFailed),
    ("tls_alert_received", BAD, Cause::TlsFailed),
    ("http_response_incomplete", BAD, Cause::ResponseFailed),
    ("http_response_header_section_size", BAD, Cause::ResponseHeaderTooLarge),
    ("http_response_timeout", LATE, Cause::ResponseTimeout),
    ("http_protocol_error", BAD, Cause::ResponseMalformed),
    ("proxy_internal_error", None, Cause::GatewayInternal),
    ("proxy_configuration_error", None, Cause::GatewayConfig),
    ("proxy_loop_detected", None, Cause::GatewayConfig),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_from_their_member() {
        let cases = [
            (
                "envoy; error=connection_refused; details=\"x\"",
                Some(Cause::ConnectRefused),
            ),
            (
                "a.example; received-status=502, b.example; error=dns_timeout",
                Some(Cause::DnsTimeout),
            ),
            ("cache; error = \"connection_refused\"", None),
            ("cache; error=http_request_denied", None),
            ("cache", None),
            ("", None),
        ];
        for (value, cause) in cases {
            assert_eq!(error(value).map(|(_, cause)| cause), cause, "{value}");
        }
    }
}
