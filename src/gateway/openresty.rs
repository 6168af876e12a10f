//! OpenResty: nginx with Lua, the limits of nginx.
//!
//! Source: the OpenResty patches, which change none of them. Sockets opened by Lua code have limits of their own.
//!
//! Commands: those of nginx, with the paths of openresty.org/en/installation.html.

use super::Kind;
use super::commands::Command;
use super::page::{Answer, Page, Said};
use crate::cause::Cause;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "openresty",
    aliases: &[],
    products: &["openresty", "kong", "apisix"],
    limits: super::nginx::KIND.limits,
    verifies_origin_certificate: false,
    logs: Some(&super::nginx::LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "which backends it asks, and with which limits",
            line: "openresty -T 2>/dev/null | grep -nE 'upstream |server |_pass |resolver|_timeout|_buffer'",
        },
        Command {
            shows: "what it says of failed attempts at this backend",
            line: "grep -F '{address}' /usr/local/openresty/nginx/logs/error.log | tail -n 20",
        },
    ],
};

/// Its page is nginx's with another word in the footer (the OpenResty patches); Tengine does the same. Kong and APISIX
/// are built on it: Kong's balancer writes JSON of its own, APISIX names itself in `Server`.
pub const PAGE: Page = Page {
    rank: 16,
    read: |answer| kong(answer).or_else(|| derivative(answer)),
    passed: |answer| {
        let names = [
            ("openresty", "openresty"),
            ("APISIX", "apisix"),
            ("kong", "kong"),
            ("Tengine", "tengine"),
        ];
        let by_server = names
            .iter()
            .find(|(server, _)| answer.server_is(server))
            .map(|(_, name)| *name);
        let by_kong = answer.header("x-kong-upstream-latency").map(|_| "kong");
        let by_apisix = answer.header("x-apisix-upstream-status").map(|_| "apisix");
        by_kong.or(by_apisix).or(by_server)
    },
};

/// Source: Kong's balancer.
fn kong(answer: &Answer<'_>) -> Option<Said> {
    let said = Said::by("kong");
    if !answer.begins("{") {
        return None;
    }
    match () {
        () if answer.has("An invalid response was received from the upstream server") => Some(said.bad_gateway()),
        () if answer.has("failure to get a peer from the ring-balancer") => {
            Some(said.bad_gateway().because(Cause::NoLiveUpstream))
        }
        () => None,
    }
}

fn derivative(answer: &Answer<'_>) -> Option<Said> {
    let page = super::nginx::standard_page(answer)?;
    match () {
        () if page.is_by("openresty") && answer.server_is("APISIX") => Some(page.said("apisix")),
        () if page.is_by("openresty") => Some(page.said("openresty")),
        () if page.is_by("tengine") => Some(page.said("tengine")),
        () => None,
    }
}
