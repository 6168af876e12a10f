//! AWS Classic Load Balancer.
//!
//! Source: Elastic Load Balancing user guide, `ts-elb-error-message`.
//! - Idle timeout 60 s (1 to 4000): between two reads, for the first byte, and for kept connections.
//! - Backend certificates are verified only with a backend authentication policy.
//!
//! Commands: docs.aws.amazon.com/cli/latest/reference/elb/.

use std::time::Duration;

use super::commands::Command;
use super::log::{Field, Fields, Format, Layout, Logs, Unit, Variable, text, time, var, var_in};
use super::page::{Page, Said};
use super::{Kind, NONE, secs};
use crate::cause::Cause;
use crate::exchange::{Exchange, Outcome, Reason};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "aws_elb",
    aliases: &["elb"],
    products: &["awselb"],
    limits: Limits {
        first_byte: secs(60),
        between_reads: secs(60),
        idle: secs(60),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "what it thinks of every instance, and why",
            line: "aws elb describe-instance-health --load-balancer-name LOAD_BALANCER_NAME",
        },
        Command {
            shows: "its idle timeout",
            line: "aws elb describe-load-balancer-attributes --load-balancer-name LOAD_BALANCER_NAME",
        },
    ],
};

/// It has no page, but reason phrases found nowhere else (`ts-elb-error-message`), which exist in HTTP/1 only. It adds no
/// header to answers it passes on.
pub const PAGE: Page = Page {
    rank: 12,
    read: |answer| {
        let said = Said::by("aws_elb");
        match (answer.status, answer.reason) {
            _ if !answer.is("") => None,
            // A backend that closed a kept connection (`504-error-classic`).
            (504, "GATEWAY_TIMEOUT") if answer.first_byte.is_some_and(|waited| waited < SHORTEST_IDLE_TIMEOUT) => {
                Some(said.bad_gateway().because(Cause::ResponseClosed))
            }
            (504, "GATEWAY_TIMEOUT") => Some(said.timed_out()),
            (502, "BAD_GATEWAY") => Some(said.bad_gateway().because(Cause::ResponseMalformed)),
            (503, "Service Unavailable: Back-end server is at capacity") => {
                Some(said.maybe(&[Cause::NoLiveUpstream, Cause::UpstreamOverloaded]))
            }
            _ => None,
        }
    },
    passed: |_| None,
};

/// The idle timeout cannot be set to less; a 504 that comes sooner is none.
const SHORTEST_IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// What its logs look like and mean.
///
/// Source: Elastic Load Balancing user guide for Classic Load Balancers, `access-log-collection` and
/// `ts-elb-error-message`.
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
    tells: "A backend's own 5xx is told from one of the balancer's.",
    silent: "A 502 is an answer that could not be parsed or a fault of the balancer; a 503 a balancer without healthy backends or with a full queue; a 504 an answer that did not come or a kept-alive connection that the backend closed. Lines come every five minutes at best: for reports, not for paging.",
};

const COLUMNS: &[&str] = &[
    "timestamp",
    "elb",
    "client:port",
    "backend:port",
    "request_processing_time",
    "backend_processing_time",
    "response_processing_time",
    "elb_status_code",
    "backend_status_code",
    "received_bytes",
    "sent_bytes",
    "request",
    "user_agent",
    "ssl_cipher",
    "ssl_protocol",
];

const VARIABLES: &[Variable] = &[
    var("timestamp", Field::Time),
    var("elb", Field::Name),
    var("client:port", Field::Client),
    var("backend:port", Field::Backends),
    var_in("request_processing_time", Field::QueueTime, Unit::Seconds),
    var_in("backend_processing_time", Field::BackendTimes, Unit::Seconds),
    var_in("response_processing_time", Field::HeaderTimes, Unit::Seconds),
    var("elb_status_code", Field::Status),
    var("backend_status_code", Field::BackendStatuses),
    var("request", Field::Request),
    var("user_agent", Field::Agent),
];

const CAUSES: &[Cause] = &[
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::ServerError,
];

const ANY_502: &[Cause] = &[Cause::ResponseMalformed, Cause::GatewayInternal];
/// "Back-end server is at capacity".
const ANY_503: &[Cause] = &[Cause::NoLiveUpstream, Cause::UpstreamOverloaded];
/// After the idle timeout, which the line does not state, the first; well before it the second.
const ANY_504: &[Cause] = &[Cause::ResponseTimeout, Cause::ResponseClosed];

/// A request, from its line. Connections of TCP listeners have lines too, without a request.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    // Bare and in UTC: others begin a line with a time as well, in brackets.
    let time = fields.raw(Field::Time).filter(|time| time.ends_with(b"Z"))?;
    time::parse(time)?;
    let mut exchange = fields.exchange();
    exchange.backend_time = fields.time(Field::BackendTimes);
    exchange.taken.first_byte = exchange.backend_time;
    exchange.duration = [Field::QueueTime, Field::BackendTimes, Field::HeaderTimes]
        .into_iter()
        .map(|field| fields.time(field))
        .sum::<Option<std::time::Duration>>();
    let is_request = !fields.text(Field::Request).starts_with(b"- - -");
    exchange.outcome = match exchange.status {
        None if is_request => Outcome::ClientClosed,
        None => Outcome::Served,
        Some(status) => failure(fields, status).map_or(Outcome::Served, Outcome::Failed),
    };
    exchange.tried_once(fields.text(Field::Backends));
    Some(exchange)
}

fn failure(fields: &Fields<'_, '_>, status: u16) -> Option<Reason> {
    let own = text::own_status(status)?;
    Some(match status {
        _ if fields.status(Field::BackendStatuses) == Some(status) => Reason::exact(own),
        502 => Reason::one_of(own, ANY_502),
        503 => Reason::one_of(own, ANY_503),
        504 => Reason::one_of(own, ANY_504),
        _ => Reason::open(own),
    })
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;

    #[test]
    fn what_the_balancer_and_its_backends_answered() {
        for (backend, statuses, request, expected) in [
            ("10.0.0.1:80", "200 200", "GET http://a:80/b HTTP/1.1", "200 served"),
            (
                "10.0.0.1:80",
                "502 502",
                "GET http://a:80/b HTTP/1.1",
                "502 bad_gateway",
            ),
            (
                "10.0.0.1:80",
                "503 503",
                "GET http://a:80/b HTTP/1.1",
                "503 service_unavailable",
            ),
            ("10.0.0.1:80", "502 0", "GET http://a:80/b HTTP/1.1", "502 bad_gateway?"),
            ("-", "503 0", "GET http://a:80/b HTTP/1.1", "503 service_unavailable?"),
            (
                "10.0.0.1:80",
                "504 0",
                "GET http://a:80/b HTTP/1.1",
                "504 gateway_timeout?",
            ),
            ("-", "400 0", "- http://a:80- - ", "400 served"),
            ("10.0.0.1:80", "- -", "- - - ", "- served"),
        ] {
            let line = format!(
                r#"2026-11-20T10:57:01.945958Z my-elb 192.168.131.39:2817 {backend} 0.000073 -1 -1 {statuses} 0 29 "{request}" "curl/7.38.0" - -"#
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
        let foreign = "a b c d e f g h i j k l m n o";
        testing::check(&KIND, &[(foreign, "foreign")]);
    }
}
