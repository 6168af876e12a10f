//! Azure Application Gateway.
//!
//! Source: Azure documentation (backend settings, `application-gateway-troubleshooting-502`).
//! - Request timeout 20 s in v2, until the response begins.
//! - Backend certificates are verified: a wrong name or root is a 502.
//!
//! Commands: learn.microsoft.com/cli/azure/network/application-gateway.

use super::commands::Command;
use super::log::{Field, Fields, Format, Key, Layout, Logs, Unit, key, key_in, text};
use super::page::{Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::exchange::{Attempt, Exchange, Outcome, Reason};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "azure_application_gateway",
    aliases: &["application_gateway"],
    products: &["microsoft-azure-application-gateway"],
    limits: Limits {
        first_byte: secs(20),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "what it thinks of every backend, and why",
            line: "az network application-gateway show-backend-health --resource-group RESOURCE_GROUP --name APPLICATION_GATEWAY",
        },
        Command {
            shows: "its timeouts, ports and host names",
            line: "az network application-gateway http-settings list --resource-group RESOURCE_GROUP --gateway-name APPLICATION_GATEWAY",
        },
    ],
};

/// v2 writes nginx's page with its own word in the footer. v1 writes that of IIS with Application Request Routing, for
/// timeouts too, and nothing tells the two apart.
pub const PAGE: Page = Page {
    rank: 7,
    read: |answer| {
        let page = super::nginx::standard_page(answer);
        if let Some(page) = page.filter(|page| page.is_by("Microsoft-Azure-Application-Gateway")) {
            return Some(page.said("azure_application_gateway"));
        }
        let text = "502 - Web server received an invalid response while acting as a gateway or proxy server.";
        answer.has(text).then(|| Said::by("iis_arr").bad_gateway())
    },
    passed: |answer| {
        let own = answer.server_is("Microsoft-Azure-Application-Gateway");
        own.then_some("azure_application_gateway")
    },
};

/// What its logs look like and mean.
///
/// Source: Azure documentation, `monitor-application-gateway-reference` (`ApplicationGatewayAccessLog`) and
/// `application-gateway-troubleshooting-502`.
const LOGS: Logs = Logs {
    formats: &[Format {
        name: "ApplicationGatewayAccessLog",
        layout: Layout::Json(JSON),
    }],
    syntax: None,
    variables: &[],
    exchange,
    errors: None,
    causes: CAUSES,
    tells: "error_info tells a pool without a healthy server, a connection that was closed and a timeout apart; serverStatus tells a server's own answer; backend pool and rule are named.",
    silent: "Whether a closed connection was closed, reset or ended in the handshake; without serverConnectTime, whether a connect or an answer timed out. v1 says only the status.",
};

const JSON: &[Key] = &[
    key("timeStamp", Field::Time),
    key("time", Field::Time),
    key("backendPoolName", Field::Name),
    key("backendSettingName", Field::Server),
    key("ruleName", Field::Route),
    key("properties/clientIP", Field::Client),
    key("properties/originalRequestUriWithArgs", Field::Target),
    key("properties/requestUri", Field::Target),
    key("properties/originalHost", Field::Host),
    key("properties/host", Field::Host),
    key("properties/userAgent", Field::Agent),
    key("properties/httpStatus", Field::Status),
    key_in("properties/timeTaken", Field::Duration, Unit::Seconds),
    key("properties/serverRouted", Field::Backends),
    key("properties/serverStatus", Field::BackendStatuses),
    key_in("properties/serverResponseLatency", Field::BackendTimes, Unit::Seconds),
    key_in("properties/serverConnectTime", Field::ConnectTimes, Unit::Seconds),
    key("properties/error_info", Field::Detail),
    key("properties/transactionId", Field::RequestId),
];

const CAUSES: &[Cause] = &[
    Cause::ResponseTimeout,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::NoLiveUpstream,
];

const CLOSED: &[Cause] = &[Cause::ResponseClosed, Cause::ResponseReset, Cause::TlsClosed];
const TIMED_OUT: &[Cause] = &[Cause::ConnectTimeout, Cause::ResponseTimeout];

/// A request, from its record. v2 is nginx: with several attempts, its lists are nginx's.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    // v1 counts thousandths, without a point.
    if !fields.text(Field::Duration).contains(&b'.') {
        exchange.duration = None;
    }
    exchange.backend_time = text::list(fields.text(Field::BackendTimes))
        .filter_map(|time| fields.time_of(Field::BackendTimes, time))
        .reduce(|sum, time| sum + time);
    let mut statuses = text::list(fields.text(Field::BackendStatuses)).map(text::status);
    for backend in text::list(fields.text(Field::Backends)) {
        let answered = statuses.next().flatten();
        exchange.attempts.push(Attempt {
            backend,
            reason: answered.and_then(text::own_status).map(Reason::exact),
            reused: None,
        });
        exchange.retries += 1;
    }
    exchange.retries = exchange.retries.saturating_sub(1);
    exchange.outcome = outcome(fields, exchange.status);
    if let (Some(last), Outcome::Failed(reason)) = (exchange.attempts.last_mut(), exchange.outcome) {
        last.reason = Some(reason);
    }
    Some(exchange)
}

fn outcome(fields: &Fields<'_, '_>, status: Option<u16>) -> Outcome {
    let details = fields.text(Field::Detail);
    if matches!(
        details,
        b"ERRORINFO_CLIENT_CLOSED_REQUEST" | b"ERRORINFO_CLIENT_TIMED_OUT"
    ) {
        return Outcome::ClientClosed;
    }
    let Some(status) = status.filter(|status| *status != 499) else {
        return Outcome::ClientClosed;
    };
    let Some(own) = text::own_status(status) else {
        return Outcome::Served;
    };
    let answered = text::list(fields.text(Field::BackendStatuses))
        .last()
        .and_then(text::status);
    Outcome::Failed(match details {
        b"ERRORINFO_UPSTREAM_NO_LIVE" => Reason::exact(Cause::NoLiveUpstream),
        b"ERRORINFO_UPSTREAM_CLOSED_CONNECTION" => Reason::one_of(own, CLOSED),
        // Connected, and no answer.
        b"ERRORINFO_UPSTREAM_TIMED_OUT" if connected(fields) => Reason::exact(Cause::ResponseTimeout),
        b"ERRORINFO_UPSTREAM_TIMED_OUT" => Reason::one_of(own, TIMED_OUT),
        _ if answered == Some(status) => Reason::exact(own),
        _ => Reason::open(own),
    })
}

fn connected(fields: &Fields<'_, '_>) -> bool {
    let last = text::list(fields.text(Field::ConnectTimes)).last();
    last.is_some_and(|time| fields.time_of(Field::ConnectTimes, time).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;

    #[test]
    fn error_infos_and_servers() {
        for (status, server, info, extra, expected) in [
            ("200", "200", "ERRORINFO_NO_ERROR", "", "200 served"),
            ("502", "502", "ERRORINFO_NO_ERROR", "", "502 bad_gateway"),
            ("503", "503", "ERRORINFO_NO_ERROR", "", "503 service_unavailable"),
            ("502", "", "ERRORINFO_UPSTREAM_NO_LIVE", "", "502 no_live_upstream"),
            (
                "502",
                "502",
                "ERRORINFO_UPSTREAM_CLOSED_CONNECTION",
                "",
                "502 bad_gateway?",
            ),
            ("504", "504", "ERRORINFO_UPSTREAM_TIMED_OUT", "", "504 gateway_timeout?"),
            (
                "504",
                "504",
                "ERRORINFO_UPSTREAM_TIMED_OUT",
                r#""serverConnectTime":"0.003","#,
                "504 response_timeout",
            ),
            (
                "504",
                "504",
                "ERRORINFO_UPSTREAM_TIMED_OUT",
                r#""serverConnectTime":"-","#,
                "504 gateway_timeout?",
            ),
            ("499", "-", "ERRORINFO_CLIENT_CLOSED_REQUEST", "", "499 client_closed"),
            ("408", "-", "ERRORINFO_CLIENT_TIMED_OUT", "", "408 client_closed"),
            ("400", "-", "ERRORINFO_INVALID_HOST", "", "400 served"),
            ("413", "-", "ERRORINFO_REQUEST_ENTITY_TOO_LARGE", "", "413 served"),
            ("502", "504, 502", "ERRORINFO_NO_ERROR", "", "502 bad_gateway"),
        ] {
            let line = format!(
                r#"{{"timeStamp":"2026-11-20T10:57:01+00:00","listenerName":"l","ruleName":"r","backendPoolName":"shop","operationName":"ApplicationGatewayAccess","category":"ApplicationGatewayAccessLog","properties":{{"instanceId":"appgw_1","clientIP":"192.0.2.1","clientPort":55057,"httpMethod":"GET","originalRequestUriWithArgs":"/a?b","requestUri":"/a","userAgent":"curl","httpStatus":{status},"timeTaken":0.012,{extra}"serverRouted":"10.0.0.1:80","serverStatus":"{server}","serverResponseLatency":"0.008","originalHost":"shop.example","host":"shop.example","error_info":"{info}"}}}}"#
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
    }
}
