//! Google Cloud external and internal HTTP(S) load balancers.
//!
//! Source: Cloud Load Balancing documentation (`https/request-distribution`, backend services).
//! - Backend service timeout 30 s, the whole exchange.
//! - Kept connections 600 s, fixed.
//! - Backend certificates are verified only with backend authentication configured.
//!
//! Commands: cloud.google.com/sdk/gcloud/reference/compute/backend-services/ and
//! cloud.google.com/sdk/gcloud/reference/logging/read.

use super::commands::Command;
use super::log::{Field, Fields, Format, Key, Layout, Logs, Unit, key, key_in, text};
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::exchange::{Exchange, Outcome, Reason};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "gcp",
    aliases: &["gcp_lb", "google"],
    products: &[],
    limits: Limits {
        total: secs(30),
        idle: secs(600),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "what it thinks of every backend",
            line: "gcloud compute backend-services get-health BACKEND_SERVICE --global",
        },
        Command {
            shows: "its timeout and health check",
            line: "gcloud compute backend-services describe BACKEND_SERVICE --global",
        },
        Command {
            shows: "its last failed requests, with statusDetails",
            line: "gcloud logging read 'resource.type=\"http_load_balancer\" AND httpRequest.status>=500' --freshness=15m --limit=20",
        },
    ],
};

/// The balancer's page, and that of the front end of Google's own services (public captures). Balancers built on Envoy
/// write Envoy's texts. Only answers passed on have the `Via`.
pub const PAGE: Page = Page {
    rank: 10,
    read: |answer| balancer(answer).or_else(|| front_end(answer)),
    passed: |answer| answer.via("1.1 google").then_some("gcp"),
};

fn balancer(answer: &Answer<'_>) -> Option<Said> {
    let number = answer.number_after("<title>")?;
    let own = answer.has(" Server Error</title>") && answer.has("<h1>Error: Server Error</h1>");
    own.then(|| Said::by("gcp").numbered(number))
}

/// The apostrophe of "That's an error" is often mangled on the way.
fn front_end(answer: &Answer<'_>) -> Option<Said> {
    let own = answer.has("(Server Error)!!1</title>") || answer.has("</b> <ins>That");
    let number = answer
        .number_after("<title>Error ")
        .or_else(|| answer.number_after("<p><b>"))?;
    own.then(|| Said::by("google_front_end").numbered(number))
}

/// What its logs look like and mean.
///
/// Source: Cloud Load Balancing documentation, `https/https-logging-monitoring`; RFC 9209 section 2.3 for `proxyStatus`.
const LOGS: Logs = Logs {
    formats: &[Format {
        name: "LogEntry",
        layout: Layout::Json(JSON),
    }],
    syntax: None,
    variables: &[],
    exchange,
    errors: None,
    causes: CAUSES,
    tells: "statusDetails, or proxyStatus of the Envoy based balancers, names the cause and tells a backend's own answer from one of the balancer's; backend service and URL map are named.",
    silent: "Whether a connect was refused or timed out. With a sample rate below 1, failures are missing.",
};

const JSON: &[Key] = &[
    key("timestamp", Field::Time),
    key("httpRequest/requestUrl", Field::Target),
    key("httpRequest/requestMethod", Field::Method),
    key("httpRequest/status", Field::Status),
    key("httpRequest/userAgent", Field::Agent),
    key("httpRequest/remoteIp", Field::Client),
    key("httpRequest/serverIp", Field::Backends),
    key_in("httpRequest/latency", Field::Duration, Unit::Go),
    key("jsonPayload/statusDetails", Field::Detail),
    key("jsonPayload/proxyStatus", Field::Closing),
    key("resource/labels/backend_service_name", Field::Name),
    key("resource/labels/backend_name", Field::Server),
    key("resource/labels/url_map_name", Field::Route),
    key("trace", Field::RequestId),
];

const CAUSES: &[Cause] = &[
    Cause::DnsTimeout,
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::TlsProtocol,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::ResponseTimeout,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
    Cause::ResponseTruncated,
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

const ANY_DNS: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::DnsRefused,
    Cause::DnsMalformed,
];
const ANY_CONNECT: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
];
const ANY_CERTIFICATE: &[Cause] = &[
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
];
const ALERT: &[Cause] = &[Cause::TlsProtocol, Cause::TlsClientCertificateRequired];
const CLOSED_OR_RESET: &[Cause] = &[Cause::ResponseClosed, Cause::ResponseReset];
const ENDPOINT: &[Cause] = &[Cause::DnsNxdomain, Cause::DnsNodata, Cause::GatewayConfig];

/// What `statusDetails` say of a failure.
#[rustfmt::skip]
const DETAILS: &[(&str, Reason)] = &{
    use Cause::*;
    const fn exact(cause: Cause) -> Reason { Reason::exact(cause) }
    [
        ("failed_to_connect_to_backend", Reason::one_of(ConnectFailed, ANY_CONNECT)),
        ("failed_to_pick_backend", exact(NoLiveUpstream)),
        ("backend_timeout", exact(ResponseTimeout)),
        ("backend_connection_closed_before_data_sent_to_client", Reason::one_of(ResponseFailed, CLOSED_OR_RESET)),
        ("backend_connection_closed_after_partial_response_sent", exact(ResponseTruncated)),
        ("backend_response_corrupted", exact(ResponseMalformed)),
        ("backend_response_headers_too_long", exact(ResponseHeaderTooLarge)),
        ("backend_interim_response_not_supported", exact(ResponseMalformed)),
        ("backend_early_response_with_non_error_status", exact(ResponseMalformed)),
        ("failed_to_negotiate_alpn", exact(TlsProtocol)),
        ("ssl_certificate_san_verification_failed", exact(TlsCertificateNameMismatch)),
        ("ssl_certificate_chain_verification_failed", exact(TlsCertificateUntrusted)),
        ("error_uncompressing_gzipped_body", exact(ResponseMalformed)),
        ("config_not_found", exact(GatewayConfig)),
        ("internal_error", exact(GatewayInternal)),
        ("retriable_error", exact(GatewayInternal)),
        ("request_loop_detected", exact(GatewayConfig)),
        ("serverless_neg_routing_failed", exact(GatewayConfig)),
        ("invalid_external_origin_endpoint", Reason::one_of(GatewayConfig, ENDPOINT)),
    ]
};

/// The error types of RFC 9209 that speak of what is behind the proxy, or of itself.
#[rustfmt::skip]
const PROXY_STATUS: &[(&str, Reason)] = &{
    use Cause::*;
    const fn exact(cause: Cause) -> Reason { Reason::exact(cause) }
    [
        ("dns_timeout", exact(DnsTimeout)),
        ("dns_error", Reason::one_of(DnsFailed, ANY_DNS)),
        ("destination_not_found", exact(GatewayConfig)),
        ("destination_unavailable", exact(NoLiveUpstream)),
        ("destination_ip_prohibited", exact(GatewayConfig)),
        ("destination_ip_unroutable", exact(ConnectUnreachable)),
        ("connection_refused", exact(ConnectRefused)),
        ("connection_terminated", Reason::one_of(ResponseFailed, CLOSED_OR_RESET)),
        ("connection_timeout", exact(ConnectTimeout)),
        ("connection_read_timeout", exact(ResponseTimeout)),
        ("connection_write_timeout", exact(ResponseTimeout)),
        ("connection_limit_reached", exact(UpstreamOverloaded)),
        ("tls_protocol_error", exact(TlsProtocol)),
        ("tls_certificate_error", Reason::one_of(TlsFailed, ANY_CERTIFICATE)),
        ("tls_alert_received", Reason::one_of(TlsFailed, ALERT)),
        ("http_response_incomplete", exact(ResponseTruncated)),
        ("http_response_header_section_size", exact(ResponseHeaderTooLarge)),
        ("http_response_header_size", exact(ResponseHeaderTooLarge)),
        ("http_response_timeout", exact(ResponseTimeout)),
        ("http_upgrade_failed", exact(ResponseMalformed)),
        ("http_protocol_error", exact(ResponseMalformed)),
        ("proxy_internal_error", exact(GatewayInternal)),
        ("proxy_configuration_error", exact(GatewayConfig)),
        ("proxy_loop_detected", exact(GatewayConfig)),
    ]
};

/// A request, from its LogEntry. A status of 0 is not written at all.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Target)?;
    let mut exchange = fields.exchange();
    exchange.outcome = outcome(fields, exchange.status);
    exchange.tried_once(fields.text(Field::Backends));
    Some(exchange)
}

/// How it ended, first match first:
///
/// 1. The client left, or kept the balancer waiting.
/// 2. A response was cut, whatever its status.
/// 3. The backend answered so.
/// 4. The balancer's own word, below 500 none of a failure.
fn outcome(fields: &Fields<'_, '_>, status: Option<u16>) -> Outcome {
    let details = fields.text(Field::Detail);
    if details.starts_with(b"client_") {
        return Outcome::ClientClosed;
    }
    let known = DETAILS.iter().find(|(name, _)| name.as_bytes() == details);
    let reason = known.map(|(_, reason)| *reason).or_else(|| {
        let error = proxy_error(fields.text(Field::Closing));
        let known = PROXY_STATUS.iter().find(|(name, _)| name.as_bytes() == error);
        known.map(|(_, reason)| *reason)
    });
    let certificate = || {
        let refused = details.starts_with(b"server_cert_");
        refused.then_some(Reason::one_of(Cause::TlsCertificateUntrusted, ANY_CERTIFICATE))
    };
    let own = status.and_then(text::own_status);
    match (reason.or_else(certificate), own) {
        (Some(reason), _) if reason.cause == Cause::ResponseTruncated => Outcome::Failed(reason),
        (Some(reason), Some(_)) => Outcome::Failed(reason),
        (None, Some(own)) if details == b"response_sent_by_backend" => Outcome::Failed(Reason::exact(own)),
        (None, Some(own)) => Outcome::Failed(Reason::open(own)),
        (_, None) if status.is_none() => Outcome::ClientClosed,
        (_, None) => Outcome::Served,
    }
}

/// The type in `error="connection_timeout"; details="…"`, as JSON writes it.
fn proxy_error(status: &[u8]) -> &[u8] {
    let Some(after) = text::between(status, b"error=", b"") else {
        return b"";
    };
    let quotes = after.iter().take_while(|byte| matches!(byte, b'\\' | b'"')).count();
    let name = &after[quotes..];
    let length = name
        .iter()
        .take_while(|byte| byte.is_ascii_lowercase() || **byte == b'_')
        .count();
    &name[..length]
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;

    fn entry(status: &str, payload: &str) -> String {
        format!(
            r#"{{"httpRequest":{{"latency":"0.131s","remoteIp":"192.0.2.1","requestMethod":"GET","requestUrl":"https://shop.example/a","serverIp":"10.0.0.1",{status}"userAgent":"curl"}},"jsonPayload":{{{payload}}},"resource":{{"labels":{{"backend_service_name":"shop"}},"type":"http_load_balancer"}},"timestamp":"2026-11-20T10:57:01.123Z"}}"#
        )
    }

    #[test]
    fn status_details() {
        for (status, details, expected) in [
            ("200", "response_sent_by_backend", "200 served"),
            ("200", "response_from_cache", "200 served"),
            ("502", "response_sent_by_backend", "502 bad_gateway"),
            ("502", "failed_to_connect_to_backend", "502 connect_failed?"),
            ("502", "failed_to_pick_backend", "502 no_live_upstream"),
            ("504", "backend_timeout", "504 response_timeout"),
            ("502", "backend_timeout", "502 response_timeout"),
            (
                "502",
                "backend_connection_closed_before_data_sent_to_client",
                "502 response_failed?",
            ),
            (
                "200",
                "backend_connection_closed_after_partial_response_sent",
                "200 response_truncated",
            ),
            (
                "",
                "backend_connection_closed_after_partial_response_sent",
                "- response_truncated",
            ),
            ("502", "backend_response_corrupted", "502 response_malformed"),
            (
                "502",
                "backend_response_headers_too_long",
                "502 response_header_too_large",
            ),
            (
                "502",
                "backend_interim_response_not_supported",
                "502 response_malformed",
            ),
            (
                "502",
                "backend_early_response_with_non_error_status",
                "502 response_malformed",
            ),
            ("502", "failed_to_negotiate_alpn", "502 tls_protocol"),
            (
                "502",
                "ssl_certificate_san_verification_failed",
                "502 tls_certificate_name_mismatch",
            ),
            (
                "502",
                "ssl_certificate_chain_verification_failed",
                "502 tls_certificate_untrusted",
            ),
            ("502", "server_cert_not_provided", "502 tls_certificate_untrusted?"),
            ("503", "error_uncompressing_gzipped_body", "503 response_malformed"),
            ("404", "config_not_found", "404 served"),
            ("503", "config_not_found", "503 gateway_config"),
            ("500", "internal_error", "500 gateway_internal"),
            ("502", "retriable_error", "502 gateway_internal"),
            ("502", "request_loop_detected", "502 gateway_config"),
            ("502", "serverless_neg_routing_failed", "502 gateway_config"),
            ("502", "invalid_external_origin_endpoint", "502 gateway_config?"),
            ("", "client_disconnected_before_any_response", "- client_closed"),
            ("200", "client_disconnected_after_partial_response", "200 client_closed"),
            ("408", "client_timed_out", "408 client_closed"),
            ("403", "denied_by_security_policy", "403 served"),
            ("502", "something_new", "502 bad_gateway"),
        ] {
            let status = match status {
                "" => String::new(),
                status => format!(r#""status":{status},"#),
            };
            let line = entry(&status, &format!(r#""statusDetails":"{details}""#));
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    fn proxy_status() {
        for (error, expected) in [
            ("dns_timeout", "dns_timeout"),
            ("dns_error", "dns_failed?"),
            ("destination_unavailable", "no_live_upstream"),
            ("destination_ip_unroutable", "connect_unreachable"),
            ("connection_refused", "connect_refused"),
            ("connection_terminated", "response_failed?"),
            ("connection_timeout", "connect_timeout"),
            ("connection_limit_reached", "upstream_overloaded"),
            ("tls_protocol_error", "tls_protocol"),
            ("tls_certificate_error", "tls_failed?"),
            ("tls_alert_received", "tls_failed?"),
            ("http_response_incomplete", "response_truncated"),
            ("http_response_timeout", "response_timeout"),
            ("http_protocol_error", "response_malformed"),
            ("proxy_internal_error", "gateway_internal"),
            ("http_request_error", "service_unavailable"),
        ] {
            let payload = format!(r#""proxyStatus":"error=\"{error}\"; details=\"x\"""#);
            let line = entry(r#""status":503,"#, &payload);
            assert_eq!(testing::told(&KIND, &line), format!("503 {expected}"), "{line}");
        }
    }

    #[test]
    fn other_entries() {
        testing::check(
            &KIND,
            &[(r#"{"timestamp":"2026-11-20T10:57:01Z","textPayload":"x"}"#, "foreign")],
        );
    }
}
