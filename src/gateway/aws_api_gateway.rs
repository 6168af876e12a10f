//! AWS API Gateway.
//!
//! Source: the developer guide, `limits`.
//! - Integration timeout 29 s for REST APIs (30 s for HTTP APIs), the whole exchange.
//! - Payload 10 MB.
//! - Certificates of HTTP integrations are verified.
//!
//! Commands: docs.aws.amazon.com/cli/latest/reference/apigatewayv2/, /apigateway/ and /logs/tail.html.

use super::commands::Command;
use super::log::{Field, Fields, Format, Key, Layout, Logs, Syntax, Unit, Variable, key, key_in, text, var, var_in};
use super::page::{Page, Said};
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::exchange::{Exchange, Outcome, Reason};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "aws_api_gateway",
    aliases: &["api_gateway"],
    products: &[],
    limits: Limits {
        total: secs(29),
        response_body: kib(10 * 1024),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "where an HTTP API sends requests, and with which timeout",
            line: "aws apigatewayv2 get-integrations --api-id API_ID",
        },
        Command {
            shows: "where a REST API sends them",
            line: "aws apigateway get-integration --rest-api-id API_ID --resource-id RESOURCE_ID --http-method METHOD",
        },
        Command {
            shows: "its log",
            line: "aws logs tail LOG_GROUP --since 15m",
        },
    ],
};

/// Its errors are JSON with one message (public captures); the headers alone stand on every answer. With CloudFront in
/// front the body still tells.
///
/// `Internal server error` comes with 500 and 502 alike and says nothing more.
pub const PAGE: Page = Page {
    rank: 13,
    read: |answer| {
        let own = answer.header("x-amz-apigw-id").or(answer.header("apigw-requestid"));
        let message = answer
            .between("{\"message\":", "}")
            .filter(|_| own.is_some() && answer.begins("{"))?;
        let said = Said::by("aws_api_gateway");
        match message.trim().trim_matches('"') {
            "Endpoint request timed out" => Some(said.timed_out().because(Cause::ResponseTimeout)),
            "Internal server error" | "Service Unavailable" => Some(said),
            "Bad Gateway" => Some(said.bad_gateway()),
            _ => None,
        }
    },
    passed: |answer| {
        let own = answer.header("x-amz-apigw-id").or(answer.header("apigw-requestid"));
        own.map(|_| "aws_api_gateway")
    },
};

/// What its logs look like and mean.
///
/// Source: API Gateway developer guide, `set-up-logging`, `http-api-logging-variables` and
/// `supported-gateway-response-types`.
const LOGS: Logs = Logs {
    formats: &[
        Format {
            name: "badgateway",
            layout: Layout::Json(RECOMMENDED),
        },
        Format {
            name: "clf",
            layout: Layout::Pattern(
                r#"$context.identity.sourceIp $context.identity.caller $context.identity.user [$context.requestTime] "$context.httpMethod $context.resourcePath $context.protocol" $context.status $context.responseLength $context.requestId"#,
            ),
        },
        Format {
            name: "json",
            layout: Layout::Json(PREDEFINED),
        },
    ],
    syntax: Some(Syntax::Context),
    variables: VARIABLES,
    exchange,
    errors: None,
    causes: CAUSES,
    tells: "With {\"id\":\"$context.requestId\",\"t\":\"$context.requestTimeEpoch\",\"s\":\"$context.status\",\"is\":\"$context.integration.status\",\"iis\":\"$context.integration.integrationStatus\",\"il\":\"$context.integration.latency\",\"rl\":\"$context.responseLatency\",\"ie\":\"$context.integration.error\",\"em\":\"$context.error.message\",\"et\":\"$context.error.responseType\",\"p\":\"$context.path\",\"m\":\"$context.httpMethod\"} an answer of the integration is told from a timeout, a failed connection and a wrong configuration.",
    silent: "The predefined formats: only the status. In any: why the connection to an integration failed, unless its error text says it.",
};

/// The keys of the format in [`LOGS`] that makes it say the most.
const RECOMMENDED: &[Key] = &[
    key("s", Field::Status),
    key("is", Field::BackendStatuses),
    key("iis", Field::Extra1),
    key_in("il", Field::BackendTimes, Unit::Millis),
    key_in("rl", Field::Duration, Unit::Millis),
    key("ie", Field::Reason),
    key("em", Field::Message),
    key("et", Field::Detail),
    key("t", Field::Time),
    key("p", Field::Target),
    key("id", Field::RequestId),
];

/// The keys the console proposes, and the names of the variables.
const PREDEFINED: &[Key] = &[
    key("status", Field::Status),
    key("ip", Field::Client),
    key("sourceIp", Field::Client),
    key("requestTime", Field::Time),
    key("requestTimeEpoch", Field::Time),
    key("path", Field::Target),
    key("resourcePath", Field::Target),
    key("routeKey", Field::Route),
    key("domainName", Field::Host),
    key("userAgent", Field::Agent),
    key("requestId", Field::RequestId),
    key("integrationStatus", Field::BackendStatuses),
    key_in("integrationLatency", Field::BackendTimes, Unit::Millis),
    key("integrationErrorMessage", Field::Reason),
    key("integrationError", Field::Reason),
    key_in("responseLatency", Field::Duration, Unit::Millis),
    key("errorMessage", Field::Message),
    key("errorResponseType", Field::Detail),
];

const VARIABLES: &[Variable] = &[
    var("context.status", Field::Status),
    var("context.integration.status", Field::BackendStatuses),
    var("context.integration.integrationStatus", Field::Extra1),
    var("context.integrationStatus", Field::BackendStatuses),
    var_in("context.integration.latency", Field::BackendTimes, Unit::Millis),
    var_in("context.integrationLatency", Field::BackendTimes, Unit::Millis),
    var_in("context.responseLatency", Field::Duration, Unit::Millis),
    var("context.integration.error", Field::Reason),
    var("context.integrationErrorMessage", Field::Reason),
    var("context.error.message", Field::Message),
    var("context.error.responseType", Field::Detail),
    var("context.requestTime", Field::Time),
    var("context.requestTimeEpoch", Field::Time),
    var("context.path", Field::Target),
    var("context.resourcePath", Field::Target),
    var("context.routeKey", Field::Text),
    var("context.domainName", Field::Host),
    var("context.identity.sourceIp", Field::Client),
    var("context.identity.userAgent", Field::Agent),
    var("context.requestId", Field::RequestId),
    var("context.httpMethod", Field::Own),
    var("context.protocol", Field::Own),
    var("context.responseLength", Field::Own),
];

const CAUSES: &[Cause] = &[
    Cause::TlsCertificateUntrusted,
    Cause::ResponseTimeout,
    Cause::ResponseMalformed,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::UpstreamOverloaded,
    Cause::GatewayConfig,
];

/// `INTEGRATION_FAILURE`: nothing came of asking the integration.
const ANY_FAILURE: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsServfail,
    Cause::DnsTimeout,
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNameMismatch,
    Cause::TlsCertificateUntrusted,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
];
const ANY_504: &[Cause] = &[Cause::ResponseTimeout, Cause::ConnectTimeout, Cause::GatewayTimeout];
const ANY_502: &[Cause] = &[Cause::ResponseMalformed, Cause::BadGateway];

/// What `integration.error` says, behind "Execution failed due to …".
const ERRORS: &[(&str, Reason)] = &[
    (
        "Malformed Lambda proxy response",
        Reason::exact(Cause::ResponseMalformed),
    ),
    (
        "PKIX path building failed",
        Reason::exact(Cause::TlsCertificateUntrusted),
    ),
    ("timeout error", Reason::exact(Cause::ResponseTimeout)),
    ("Endpoint request timed out", Reason::exact(Cause::ResponseTimeout)),
];

/// A request, from its line.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    exchange.backend_time = fields.time(Field::BackendTimes);
    exchange.taken.total = exchange.backend_time;
    exchange.outcome = match exchange.status {
        None => Outcome::ClientClosed,
        Some(status) => failure(fields, status).map_or(Outcome::Served, Outcome::Failed),
    };
    Some(exchange)
}

/// Why a request failed, first match first:
///
/// 1. The gateway's response type.
/// 2. The service of the integration throttled the call.
/// 3. The integration answered so.
/// 4. The text of the error.
fn failure(fields: &Fields<'_, '_>, status: u16) -> Option<Reason> {
    let own = text::own_status(status)?;
    let text = |field| {
        let said = fields.text(field);
        ERRORS.iter().find(|(words, _)| text::has(said, words))
    };
    let by_text = text(Field::Reason)
        .or_else(|| text(Field::Message))
        .map(|(_, reason)| *reason);
    Some(match fields.text(Field::Detail) {
        b"INTEGRATION_TIMEOUT" => Reason::exact(Cause::ResponseTimeout),
        b"API_CONFIGURATION_ERROR" | b"AUTHORIZER_FAILURE" | b"AUTHORIZER_CONFIGURATION_ERROR" => {
            by_text.unwrap_or(Reason::exact(Cause::GatewayConfig))
        }
        _ if fields.number(Field::Extra1) == Some(429) => Reason::exact(Cause::UpstreamOverloaded),
        _ if fields.status(Field::BackendStatuses) == Some(status) => Reason::exact(own),
        b"INTEGRATION_FAILURE" => by_text.unwrap_or(Reason::one_of(own, ANY_FAILURE)),
        _ => by_text.unwrap_or(match status {
            502 => Reason::one_of(own, ANY_502),
            504 => Reason::one_of(own, ANY_504),
            _ => Reason::open(own),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;

    #[test]
    fn response_types_and_integrations() {
        for (s, is, iis, et, ie, expected) in [
            ("200", "200", "200", "-", "-", "200 served"),
            ("429", "-", "-", "THROTTLED", "-", "429 served"),
            ("504", "-", "-", "INTEGRATION_TIMEOUT", "-", "504 response_timeout"),
            ("504", "-", "-", "INTEGRATION_FAILURE", "-", "504 gateway_timeout?"),
            ("500", "-", "-", "API_CONFIGURATION_ERROR", "-", "500 gateway_config"),
            ("500", "-", "-", "AUTHORIZER_FAILURE", "-", "500 gateway_config"),
            (
                "500",
                "-",
                "-",
                "AUTHORIZER_CONFIGURATION_ERROR",
                "-",
                "500 gateway_config",
            ),
            ("500", "-", "-", "DEFAULT_5XX", "-", "500 server_error"),
            ("502", "502", "200", "-", "-", "502 bad_gateway"),
            ("500", "500", "200", "-", "-", "500 server_error"),
            ("500", "-", "429", "DEFAULT_5XX", "-", "500 upstream_overloaded"),
            ("502", "-", "200", "DEFAULT_5XX", "-", "502 bad_gateway?"),
            ("504", "-", "-", "-", "-", "504 gateway_timeout?"),
            ("503", "-", "-", "-", "-", "503 service_unavailable"),
            (
                "502",
                "-",
                "200",
                "DEFAULT_5XX",
                "Execution failed due to configuration error: Malformed Lambda proxy response",
                "502 response_malformed",
            ),
            (
                "500",
                "-",
                "-",
                "API_CONFIGURATION_ERROR",
                "Execution failed due to configuration error: PKIX path building failed: x",
                "500 tls_certificate_untrusted",
            ),
            (
                "504",
                "-",
                "-",
                "INTEGRATION_FAILURE",
                "Execution failed due to a timeout error",
                "504 response_timeout",
            ),
        ] {
            let line = format!(
                r#"{{"id":"a","xid":"b","t":"1795172221123","s":"{s}","is":"{is}","iis":"{iis}","il":"12","rl":"15","ie":"{ie}","em":"-","et":"{et}","p":"/a","m":"GET"}}"#
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    fn the_predefined_formats() {
        testing::check(
            &KIND,
            &[
                (
                    r#"10.0.0.1 - - [20/Nov/2026:10:57:01 +0000] "GET /a/{b} HTTP/1.1" 504 41 1234-5678"#,
                    "504 gateway_timeout?",
                ),
                (
                    r#"{ "requestId":"1", "ip": "10.0.0.1", "caller":"-", "user":"-","requestTime":"20/Nov/2026:10:57:01 +0000", "httpMethod":"GET","resourcePath":"/a", "status":"503","protocol":"HTTP/1.1", "responseLength":"10" }"#,
                    "503 service_unavailable",
                ),
            ],
        );
    }
}
