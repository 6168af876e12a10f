//! KeyCDN.
//!
//! Source: keycdn.com/support. Its timeouts are not published; connections to the origin are not kept (`Connection: close`).
//!
//! Commands: keycdn.com/support and keycdn.com/api#zone-management.

use super::commands::Command;
use super::log::{Field, Fields, Format, Layout, Logs, Variable, text, var};
use super::page::{Page, Said};
use super::{Kind, NONE};
use crate::cause::Cause;
use crate::exchange::{Exchange, Outcome, Reason};

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "keycdn",
    aliases: &[],
    products: &["keycdn-engine"],
    limits: NONE,
    verifies_origin_certificate: true,
    logs: Some(&LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "whether it answers from its cache (X-Cache)",
            line: "curl -sI 'https://{front}{path}'",
        },
        Command {
            shows: "its zones with their origins",
            line: "curl -s -u API_KEY: https://api.keycdn.com/zones.json",
        },
    ],
};

/// Its page for an origin that gives nothing, under the number 500 (support/502-bad-gateway). The reason is never told.
pub const PAGE: Page = Page {
    rank: 8,
    read: |answer| {
        let own = answer.server_is("keycdn") || answer.has(">Origin Not Reachable");
        (own && answer.has("Origin Not Reachable")).then(|| Said::by("keycdn").bad_gateway())
    },
    passed: |answer| answer.server_is("keycdn").then_some("keycdn"),
};

/// What its logs look like and mean.
///
/// Source: keycdn.com/support, "KeyCDN Log Format" for the columns, "502 Bad Gateway" for the page "Origin Not
/// Reachable" with status 500, and "CDN Troubleshooting Guide" for the cache status of errors.
const LOGS: Logs = Logs {
    formats: &[Format {
        name: "log forwarding",
        layout: Layout::Columns {
            separator: b'|',
            names: COLUMNS,
        },
    }],
    syntax: None,
    variables: VARIABLES,
    exchange,
    errors: None,
    causes: CAUSES,
    tells: "The status alone. A 500 without a cache status is the page \"Origin Not Reachable\": a bad gateway under another number.",
    silent: "Why the origin was not reached; an origin's own 5xx looks like one of KeyCDN's. Clients' addresses are shortened.",
};

/// New columns are added at the end.
const COLUMNS: &[&str] = &[
    "timestamp",
    "pop",
    "client",
    "status",
    "bytes",
    "user",
    "zone",
    "alias",
    "cache",
    "request",
    "date",
    "referrer",
    "agent",
    "scheme",
];

const VARIABLES: &[Variable] = &[
    var("timestamp", Field::Time),
    var("client", Field::Client),
    var("status", Field::Status),
    var("zone", Field::Server),
    var("alias", Field::Name),
    var("cache", Field::Cache),
    var("request", Field::Request),
    var("agent", Field::Agent),
];

const CAUSES: &[Cause] = &[
    Cause::BadGateway,
    Cause::GatewayTimeout,
    Cause::ServiceUnavailable,
    Cause::DisguisedBadGateway,
    Cause::ServerError,
];

/// What "502 Bad Gateway" lists: a name that does not resolve, an origin that is down, a firewall.
const UNREACHABLE: &[Cause] = &[
    Cause::DnsNxdomain,
    Cause::DnsNodata,
    Cause::DnsServfail,
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
];
const ANY_500: &[Cause] = &[Cause::DisguisedBadGateway, Cause::ServerError];

/// A request, from its line.
fn exchange<'l>(fields: &Fields<'_, 'l>) -> Option<Exchange<'l>> {
    fields.raw(Field::Status)?;
    let mut exchange = fields.exchange();
    exchange.time?;
    exchange.outcome = match exchange.status {
        None => Outcome::ClientClosed,
        Some(status) => failure(fields, status).map_or(Outcome::Served, Outcome::Failed),
    };
    Some(exchange)
}

fn failure(fields: &Fields<'_, '_>, status: u16) -> Option<Reason> {
    let own = text::own_status(status)?;
    Some(match (status, fields.text(Field::Cache)) {
        (500, b"") => Reason::one_of(Cause::DisguisedBadGateway, UNREACHABLE),
        (500, _) => Reason::one_of(own, ANY_500),
        _ => Reason::open(own),
    })
}

#[cfg(test)]
mod tests {
    use super::super::log::testing;
    use super::*;

    #[test]
    fn statuses() {
        for (status, cache, expected) in [
            ("200", "HIT", "200 served"),
            ("404", "MISS", "404 served"),
            ("500", "-", "500 disguised_bad_gateway?"),
            ("500", "MISS", "500 server_error?"),
            ("502", "-", "502 bad_gateway"),
            ("503", "MISS", "503 service_unavailable"),
            ("504", "-", "504 gateway_timeout"),
        ] {
            let line = format!(
                r#"1795172221.123|usla|192.0.2.0|{status}|253061|uid1234|zid4321|example-hexid.kxcdn.com|{cache}|"GET /a|b HTTP/1.1"|[20/Nov/2026:10:57:01 +0000]|"-"|"Mozilla/5.0 (x)"|https|TLSv1.2|US|CA|"AS14618 Amazon.com, Inc."|-"#
            );
            assert_eq!(testing::told(&KIND, &line), expected, "{line}");
        }
        testing::check(&KIND, &[("a|b|c|d|e|f|g|h|i|j|k|l|m|n", "foreign")]);
    }
}
