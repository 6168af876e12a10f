//! AWS Application Load Balancer.
//!
//! Source: Elastic Load Balancing user guide (`load-balancer-troubleshooting`, `edit-load-balancer-attributes`).
//! - Connect 10 s, TLS handshake 10 s, both fixed.
//! - Idle timeout 60 s (1 to 4000) on both sides: between two reads, for the first byte, and for kept connections.
//! - Response head 32 KB.
//! - Targets' certificates are not verified.
//!
//! Commands: docs.aws.amazon.com/cli/latest/reference/elbv2/.

use std::time::Duration;

use super::commands::Command;
use super::log::{Field, Fields, Format, Layout, Logs, Unit, Variable, text, var, var_in};
use super::page::Page;
use super::{Kind, NONE, kib, secs};
use crate::cause::Cause;
use crate::exchange::{Exchange, Outcome, Reason};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "aws_alb",
    aliases: &["alb"],
    products: &["awselb"],
    limits: Limits {
        connect: secs(10),
        tls: secs(10),
        first_byte: secs(60),
        between_reads: secs(60),
        idle: secs(60),
        response_header: kib(32),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "its target groups",
            line: "aws elbv2 describe-target-groups --query 'TargetGroups[].[TargetGroupName,Port,TargetGroupArn]' --output table",
        },
        Command {
            shows: "what it thinks of every target, and why",
            line: "aws elbv2 describe-target-health --target-group-arn TARGET_GROUP_ARN",
        },
        Command {
            shows: "its idle timeout",
            line: "aws elbv2 describe-load-balancer-attributes --load-balancer-arn LOAD_BALANCER_ARN",
        },
    ],
};

/// nginx's page without the footer, under its own `Server` (public captures). Its 503 is that of a target group without
/// targets; a fixed response has another body. A target's own answer keeps the target's `Server`.
pub const PAGE: Page = Page {
    rank: 11,
    read: |answer| {
        let page = super::nginx::standard_page(answer)?;
        if !page.has_no_footer() || !answer.server_is("awselb/") {
            return None;
        }
        match page.number {
            503 => Some(page.said("aws_alb").because(Cause::NoLiveUpstream)),
            _ => Some(page.said("aws_alb")),
        }
    },
    passed: |answer| answer.server_is("awselb/").then_some("aws_alb"),
};

/// What its logs look like and mean.
///
/// Source: Elastic Load Balancing user guide, `load-balancer-access-logs` and `load-balancer-troubleshooting`.
const LOGS: Logs = Logs {
    formats: &[Format {
        name: "access log",
        layout: Layout::Columns {
            separator: b' ',
            names: COLUMNS,
        },
    }],
    syntax: None,
    variables: VARIABLES,
    exchange,
    errors: None,
    causes: CAUSES,
    tells: "A target's own 5xx is told from one of the balancer's, a balancer without targets from one whose targets fail, a connect that timed out from an answer that did not come; Lambda targets are named with their reason.",
    silent: "All causes of a 502 look the same: refused, reset, closed, malformed, TLS. Lines come every five minutes: for reports, not for paging.",
};

/// New columns are added at the end.
const COLUMNS: &[&str] = &[
    "type",
    "time",
    "elb",
    "client:port",
    "target:port",
    "request_processing_time",
    "target_processing_time",
    "response_processing_time",
    "elb_status_code",
    "target_status_code",
    "received_bytes",
    "sent_bytes",
    "request",
    "user_agent",
    "ssl_cipher",
    "ssl_protocol",
    "target_group_arn",
    "trace_id",
    "domain_name",
    "chosen_cert_arn",
    "matched_rule_priority",
    "request_creation_time",
    "actions_executed",
    "redirect_url",
    "error_reason",
];

const VARIABLES: &[Variable] = &[
    var("type", Field::Kind),
    var("time", Field::Time),
    var("client:port", Field::Client),
    var("target:port", Field::Backends),
    var_in("request_processing_time", Field::QueueTime, Unit::Seconds),
    var_in("target_processing_time", Field::BackendTimes, Unit::Seconds),
    var_in("response_processing_time", Field::HeaderTimes, Unit::Seconds),
    var("elb_status_code", Field::Status),
    var("target_status_code", Field::BackendStatuses),
    var("request", Field::Request),
    var("user_agent", Field::Agent),
    var("target_group_arn", Field::Name),
    var("trace_id", Field::RequestId),
    var("domain_name", Field::Host),
    var("matched_rule_priority", Field::Route),
    var("actions_executed", Field::State),
    var("error_reason", Field::Detail),
];

const CAUSES: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ResponseMalformed,
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
    Cause::NoLiveUpstream,
    Cause::UpstreamOverloaded,
    Cause::GatewayConfig,
];

/// What the user guide lists under 502, all written alike.
const ANY_502: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectUnreachable,
    Cause::ConnectReset,
    Cause::TlsTimeout,
    Cause::TlsClosed,
    Cause::TlsNotTls,
    Cause::TlsProtocol,
    Cause::TlsClientCertificateRequired,
    Cause::ResponseReset,
    Cause::ResponseClosed,
    Cause::ResponseMalformed,
    Cause::ResponseHeaderTooLarge,
];
/// The request had reached the target. A body shorter than announced ends in 504 too.
const DISPATCHED_504: &[Cause] = &[Cause::ResponseTimeout, Cause::ResponseTruncated];

/// `error_reason` of Lambda targets; all others say that the function cannot be used as it is set up.
const LAMBDA: &[(&str, Cause)] = &[
    ("LambdaConnectionError", Cause::ConnectRefused),
    ("LambdaConnectionTimeout", Cause::ConnectTimeout),
    ("LambdaInvalidResponse", Cause::ResponseMalformed),
    ("LambdaResponseTooLarge", Cause::ResponseMalformed),
    ("LambdaUnhandled", Cause::ResponseMalformed),
    ("LambdaThrottling", Cause::UpstreamOverloaded),
    ("LambdaEC2ThrottledException", Cause::UpstreamOverloaded),
    ("LambdaServiceException", Cause::ServerError),
    ("LambdaEC2UnexpectedException", Cause::ServerError),
];

/// A request, from its line.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    if !matches!(
        fields.text(Field::Kind),
        b"http" | b"https" | b"h2" | b"grpcs" | b"ws" | b"wss"
    ) {
        return None;
    }
    let mut exchange = fields.exchange();
    exchange.names[0] = target_group(exchange.names[0]);
    exchange.backend_time = fields.time(Field::BackendTimes);
    exchange.taken.first_byte = exchange.backend_time;
    exchange.duration = [Field::QueueTime, Field::BackendTimes, Field::HeaderTimes]
        .into_iter()
        .map(|field| fields.time(field))
        .sum::<Option<Duration>>();
    exchange.outcome = match exchange.status {
        None | Some(460) => Outcome::ClientClosed,
        Some(status) => failure(fields, status).map_or(Outcome::Served, Outcome::Failed),
    };
    exchange.tried_once(fields.text(Field::Backends));
    Some(exchange)
}

/// Why a request failed, first match first:
///
/// 1. The target answered so, or a rule of the balancer's own.
/// 2. A Lambda function, with its reason.
/// 3. 503 without a target: none is registered, or their zone is not in use.
/// 4. 504: the request was never dispatched, or no answer came.
fn failure(fields: &Fields<'_, '_>, status: u16) -> Option<Reason> {
    let own = text::own_status(status)?;
    let answered = fields.status(Field::BackendStatuses);
    let lambda = fields.text(Field::Detail);
    let no_target = fields.text(Field::Backends).is_empty();
    Some(match status {
        _ if answered == Some(status) || text::has(fields.text(Field::State), "fixed-response") => Reason::exact(own),
        _ if lambda.starts_with(b"Lambda") => Reason::exact(
            LAMBDA
                .iter()
                .find(|(name, _)| name.as_bytes() == lambda)
                .map_or(Cause::GatewayConfig, |(_, cause)| *cause),
        ),
        502 => Reason::one_of(own, ANY_502),
        503 if no_target => Reason::exact(Cause::NoLiveUpstream),
        504 if fields.time(Field::QueueTime).is_none() => Reason::exact(Cause::ConnectTimeout),
        504 => Reason::one_of(own, DISPATCHED_504),
        _ => Reason::open(own),
    })
}

/// `arn:aws:elasticloadbalancing:…:targetgroup/NAME/ID` is NAME.
fn target_group(arn: &[u8]) -> &[u8] {
    text::between(arn, b":targetgroup/", b"/").unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;

    fn line(target: &str, times: &str, statuses: &str, actions: &str, reason: &str) -> String {
        format!(
            r#"https 2026-11-20T10:57:01.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 {target} {times} {statuses} 34 366 "GET https://www.example.com:443/a?b=\"c HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337262-36d228ad5d99923122bbe354" "www.example.com" "-" 0 2026-11-20T10:57:01.086000Z "{actions}" "-" "{reason}" "-" "-" "-" "-" TID_1234 "-" "-" "-""#
        )
    }

    #[test]
    fn what_the_balancer_and_its_targets_answered() {
        for (target, times, statuses, actions, reason, expected) in [
            (
                "10.0.0.1:80",
                "0.000 0.001 0.000",
                "200 200",
                "forward",
                "-",
                "200 served",
            ),
            (
                "10.0.0.1:80",
                "0.000 0.001 0.000",
                "502 502",
                "forward",
                "-",
                "502 bad_gateway",
            ),
            (
                "10.0.0.1:80",
                "0.000 0.001 0.000",
                "503 503",
                "forward",
                "-",
                "503 service_unavailable",
            ),
            (
                "10.0.0.1:80",
                "0.000 0.001 0.000",
                "500 500",
                "forward",
                "-",
                "500 server_error",
            ),
            (
                "10.0.0.1:80",
                "0.000 -1 -1",
                "502 -",
                "forward",
                "-",
                "502 bad_gateway?",
            ),
            ("10.0.0.1:80", "-1 -1 -1", "502 -", "forward", "-", "502 bad_gateway?"),
            ("-", "-1 -1 -1", "503 -", "forward", "-", "503 no_live_upstream"),
            (
                "-",
                "-1 -1 -1",
                "503 -",
                "fixed-response",
                "-",
                "503 service_unavailable",
            ),
            (
                "10.0.0.1:80",
                "-1 -1 -1",
                "504 -",
                "forward",
                "-",
                "504 connect_timeout",
            ),
            (
                "10.0.0.1:80",
                "0.000 -1 -1",
                "504 -",
                "forward",
                "-",
                "504 gateway_timeout?",
            ),
            ("-", "-1 -1 -1", "460 -", "forward", "-", "460 client_closed"),
            ("-", "-1 -1 -1", "463 -", "forward", "-", "463 served"),
            ("-", "-1 -1 -1", "464 -", "-", "-", "464 served"),
            (
                "-",
                "-1 -1 -1",
                "561 -",
                "authenticate",
                "AuthUserinfoEndpointError",
                "561 server_error",
            ),
            (
                "-",
                "0.0 0.1 0.0",
                "502 -",
                "forward",
                "LambdaInvalidResponse",
                "502 response_malformed",
            ),
            (
                "-",
                "0.0 0.1 0.0",
                "502 -",
                "forward",
                "LambdaResponseTooLarge",
                "502 response_malformed",
            ),
            (
                "-",
                "0.0 0.1 0.0",
                "502 -",
                "forward",
                "LambdaUnhandled",
                "502 response_malformed",
            ),
            (
                "-",
                "0.0 0.1 0.0",
                "502 -",
                "forward",
                "LambdaConnectionError",
                "502 connect_refused",
            ),
            (
                "-",
                "0.0 0.1 0.0",
                "502 -",
                "forward",
                "LambdaConnectionTimeout",
                "502 connect_timeout",
            ),
            (
                "-",
                "0.0 0.1 0.0",
                "502 -",
                "forward",
                "LambdaThrottling",
                "502 upstream_overloaded",
            ),
            (
                "-",
                "0.0 0.1 0.0",
                "502 -",
                "forward",
                "LambdaAccessDenied",
                "502 gateway_config",
            ),
            (
                "-",
                "0.0 0.1 0.0",
                "502 -",
                "forward",
                "LambdaResourceNotFound",
                "502 gateway_config",
            ),
        ] {
            let line = line(target, times, statuses, actions, reason);
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
    }

    #[test]
    fn names_and_times() {
        let line = line("10.0.0.1:80", "0.001 0.002 0.003", "200 200", "forward", "-");
        let mut parser = super::super::log::Parser::new(&KIND, None).unwrap();
        let Some(crate::exchange::Line::Exchange(exchange)) = parser.read(line.as_bytes()) else {
            panic!("not read: {line}");
        };
        assert_eq!(exchange.names[0], b"my-targets");
        assert_eq!(exchange.client, b"192.168.131.39");
        assert_eq!(exchange.duration, Some(Duration::from_millis(6)));
        assert_eq!(exchange.attempts[0].backend, b"10.0.0.1:80");
        assert_eq!(exchange.join.request, br#"/a?b=\"c"#);
    }

    #[test]
    fn other_logs_in_columns() {
        let connection_log = "2026-11-20T10:57:01.186641Z 10.0.0.2 4711 443 TLSv1.2 ECDHE 4.0 - - - - Success TID_1";
        testing::check(&KIND, &[(connection_log, "foreign")]);
    }
}
