//! Azure Front Door.
//!
//! Source: Azure documentation (`troubleshoot-issues`).
//! - Origin response timeout 30 s (16 to 240 s in Standard and Premium), until the response begins.
//! - The certificate's name and chain are checked.
//!
//! Commands: learn.microsoft.com/cli/azure/afd.

use super::commands::Command;
use super::log::{Field, Fields, Format, Key, Layout, Logs, Unit, key, key_in, text};
use super::page::{Answer, Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::exchange::{Exchange, Outcome, Reason};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "azure_front_door",
    aliases: &["front_door"],
    products: &[],
    limits: Limits {
        first_byte: secs(30),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "its origins: host names, ports, certificate check",
            line: "az afd origin list --resource-group RESOURCE_GROUP --profile-name PROFILE --origin-group-name ORIGIN_GROUP",
        },
        Command {
            shows: "its health probe",
            line: "az afd origin-group show --resource-group RESOURCE_GROUP --profile-name PROFILE --origin-group-name ORIGIN_GROUP",
        },
    ],
};

/// Its page and the header with its reference (`troubleshoot-issues`). Asked with `X-Azure-DebugInfo: 1` it also says
/// what was wrong with the origin (`front-door-http-headers-protocol`).
pub const PAGE: Page = Page {
    rank: 6,
    read: |answer| {
        // The apostrophe is a plain or a typographic one.
        let own = reference(answer).is_some() && answer.has("Our services aren") && answer.has("t available right now");
        own.then(|| with_cause(Said::by("azure_front_door").bad_gateway(), answer))
    },
    passed: |answer| reference(answer).map(|_| "azure_front_door"),
};

/// Microsoft's own sites spell it otherwise.
fn reference<'a>(answer: &Answer<'a>) -> Option<&'a str> {
    answer.header("x-azure-ref").or(answer.header("x-msedge-ref"))
}

fn with_cause(said: Said, answer: &Answer<'_>) -> Said {
    match answer.header("x-azure-externalerror") {
        Some(text) if text.contains("The certificate authority was unfamiliar") => {
            said.because(Cause::TlsCertificateUntrusted)
        }
        _ => said,
    }
}

/// What its logs look like and mean.
///
/// Source: Azure documentation, `frontdoor/monitor-front-door` (`FrontDoorAccessLog`).
const LOGS: Logs = Logs {
    formats: &[Format {
        name: "FrontDoorAccessLog",
        layout: Layout::Json(JSON),
    }],
    syntax: None,
    variables: &[],
    exchange,
    errors: None,
    causes: CAUSES,
    tells: "ErrorInfo names the cause, DNS and TLS included; NoError with a 5xx is the origin's own answer; origin and route are named.",
    silent: "NXDOMAIN and a name without addresses look the same; whether a connect or an answer timed out; which fault of a certificate CertificateError is.",
};

/// Spelt in both ways that documents and exports use.
const JSON: &[Key] = &[
    key("time", Field::Time),
    key("properties/time", Field::Time),
    key("properties/httpStatusCode", Field::Status),
    key("properties/HttpStatusCode", Field::Status),
    key("properties/errorInfo", Field::Detail),
    key("properties/ErrorInfo", Field::Detail),
    key("properties/requestUri", Field::Target),
    key("properties/RequestUri", Field::Target),
    key("properties/hostName", Field::Host),
    key("properties/HostName", Field::Host),
    key("properties/userAgent", Field::Agent),
    key("properties/UserAgent", Field::Agent),
    key("properties/clientIp", Field::Client),
    key("properties/ClientIp", Field::Client),
    key_in("properties/timeTaken", Field::Duration, Unit::Seconds),
    key_in("properties/TimeTaken", Field::Duration, Unit::Seconds),
    key("properties/originIp", Field::Backends),
    key("properties/OriginIP", Field::Backends),
    key("properties/originName", Field::Name),
    key("properties/OriginName", Field::Name),
    key("properties/endpoint", Field::Server),
    key("properties/Endpoint", Field::Server),
    key("properties/routingRuleName", Field::Route),
    key("properties/RouteName", Field::Route),
    key("properties/trackingReference", Field::RequestId),
    key("properties/TrackingReference", Field::RequestId),
];

const CAUSES: &[Cause] = &[
    Cause::DnsServfail,
    Cause::DnsTimeout,
    Cause::ConnectRefused,
    Cause::TlsProtocol,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::ResponseHeaderTooLarge,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::GatewayConfig,
    Cause::GatewayInternal,
    Cause::DnsFailed,
    Cause::ConnectFailed,
    Cause::TlsFailed,
    Cause::ResponseFailed,
];

const NO_ADDRESS: &[Cause] = &[Cause::DnsNxdomain, Cause::DnsNodata];
const NOT_CONNECTED: &[Cause] = &[Cause::ConnectUnreachable, Cause::ConnectReset];
const ABORTED: &[Cause] = &[Cause::ResponseReset, Cause::ResponseClosed];
const ANY_TIMEOUT: &[Cause] = &[Cause::ResponseTimeout, Cause::ConnectTimeout];
const INVALID: &[Cause] = &[Cause::ResponseMalformed, Cause::ServerError];
const HANDSHAKE: &[Cause] = &[Cause::TlsClosed, Cause::TlsProtocol];
const CERTIFICATE: &[Cause] = &[
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
];

/// What `ErrorInfo` says of what is behind Front Door, or of itself.
#[rustfmt::skip]
const ERRORS: &[(&str, Reason)] = &{
    use Cause::*;
    const fn exact(cause: Cause) -> Reason { Reason::exact(cause) }
    [
        ("DNSNameNotResolved", Reason::one_of(DnsFailed, NO_ADDRESS)),
        ("DNSTimeout", exact(DnsTimeout)),
        ("DNSFailure", exact(DnsServfail)),
        ("OriginConnectionRefused", exact(ConnectRefused)),
        ("OriginConnectionError", Reason::one_of(ConnectFailed, NOT_CONNECTED)),
        ("OriginConnectionAborted", Reason::one_of(ResponseFailed, ABORTED)),
        ("OriginTimeout", Reason::one_of(GatewayTimeout, ANY_TIMEOUT)),
        ("OriginInvalidResponse", Reason::one_of(ResponseFailed, INVALID)),
        ("OriginError", Reason::one_of(ResponseFailed, INVALID)),
        ("OriginInvalidRequest", Reason::one_of(ResponseFailed, INVALID)),
        ("ResponseHeaderTooBig", exact(ResponseHeaderTooLarge)),
        ("SSLHandshakeError", Reason::one_of(TlsFailed, HANDSHAKE)),
        ("SSLInvalidCipher", exact(TlsProtocol)),
        ("SSLInvalidRootCA", exact(TlsCertificateUntrusted)),
        ("SSLMismatchedSNI", exact(TlsCertificateNameMismatch)),
        ("CertificateNameCheckFailed", exact(TlsCertificateNameMismatch)),
        ("CertificateError", Reason::one_of(TlsFailed, CERTIFICATE)),
        ("RestrictedIP", exact(GatewayConfig)),
        ("UnspecifiedError", exact(GatewayInternal)),
    ]
};

/// A request, from its record. A status of 0 is an origin that timed out, 499 a client that left.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    exchange.outcome = outcome(fields.text(Field::Detail), exchange.status);
    exchange.tried_once(fields.text(Field::Backends));
    Some(exchange)
}

fn outcome(details: &[u8], status: Option<u16>) -> Outcome {
    if matches!(details, b"ClientDisconnected" | b"UnspecifiedClientError") || status == Some(499) {
        return Outcome::ClientClosed;
    }
    let known = ERRORS.iter().find(|(name, _)| name.as_bytes() == details);
    let own = status.and_then(text::own_status);
    match (known, status, own) {
        (Some((_, reason)), None, _) | (Some((_, reason)), _, Some(_)) => Outcome::Failed(*reason),
        (None, None, _) => Outcome::ClientClosed,
        (None, _, Some(own)) if details == b"NoError" => Outcome::Failed(Reason::exact(own)),
        (None, _, Some(own)) => Outcome::Failed(Reason::open(own)),
        (_, Some(_), None) => Outcome::Served,
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;

    #[test]
    fn error_infos() {
        for (status, info, expected) in [
            ("200", "NoError", "200 served"),
            ("502", "NoError", "502 bad_gateway"),
            ("502", "DNSNameNotResolved", "502 dns_failed?"),
            ("502", "DNSTimeout", "502 dns_timeout"),
            ("502", "DNSFailure", "502 dns_servfail"),
            ("502", "OriginConnectionRefused", "502 connect_refused"),
            ("502", "OriginConnectionError", "502 connect_failed?"),
            ("502", "OriginConnectionAborted", "502 response_failed?"),
            ("504", "OriginTimeout", "504 gateway_timeout?"),
            ("0", "OriginTimeout", "- gateway_timeout?"),
            ("503", "OriginInvalidResponse", "503 response_failed?"),
            ("503", "OriginError", "503 response_failed?"),
            ("503", "OriginInvalidRequest", "503 response_failed?"),
            ("502", "ResponseHeaderTooBig", "502 response_header_too_large"),
            ("502", "SSLHandshakeError", "502 tls_failed?"),
            ("502", "SSLInvalidCipher", "502 tls_protocol"),
            ("502", "SSLInvalidRootCA", "502 tls_certificate_untrusted"),
            ("502", "SSLMismatchedSNI", "502 tls_certificate_name_mismatch"),
            ("502", "CertificateNameCheckFailed", "502 tls_certificate_name_mismatch"),
            ("502", "CertificateError", "502 tls_failed?"),
            ("502", "RestrictedIP", "502 gateway_config"),
            ("503", "UnspecifiedError", "503 gateway_internal"),
            ("499", "ClientDisconnected", "499 client_closed"),
            ("0", "UnspecifiedClientError", "- client_closed"),
            ("403", "ClientGeoBlocked", "403 served"),
            ("400", "InvalidRequest", "400 served"),
            ("503", "SomethingNew", "503 service_unavailable"),
        ] {
            let line = format!(
                r#"{{"time":"2026-11-20T10:57:01.000Z","resourceId":"/X","category":"FrontDoorAccessLog","operationName":"Microsoft.Cdn/Profiles/AccessLog/Write","properties":{{"trackingReference":"0abc","httpMethod":"GET","httpVersion":"2.0.0.0","requestUri":"https://shop.example:443/a","hostName":"shop.example","userAgent":"curl","clientIp":"192.0.2.1","timeTaken":"0.257","endpoint":"e","httpStatusCode":"{status}","errorInfo":"{info}","originIp":"10.0.0.1:443","originName":"origin.example","result":"N/A"}}}}"#
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
            let documented = line
                .replace("httpStatusCode", "HttpStatusCode")
                .replace("errorInfo", "ErrorInfo");
            assert_eq!(testing::told(&KIND, &documented), expected, "{documented}");
        }
    }
}
