//! What nginx tolerates of the servers behind it, at every place that passes requests on.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Found, Scope};
use crate::gateway;
use crate::gateway_config::{Amount, Stated, size, stated, time};
use crate::upstream::{LimitKind, Limits};

/// The modules that pass requests on; `proxy_pass` and `proxy_read_timeout` share their first word.
const MODULES: [&str; 5] = ["proxy", "fastcgi", "grpc", "uwsgi", "scgi"];

/// The end of a directive's name, and what it limits.
const LIMITS: [(&str, &[LimitKind]); 4] = [
    ("_connect_timeout", &[LimitKind::Connect]),
    ("_send_timeout", &[LimitKind::Send]),
    ("_read_timeout", &[LimitKind::FirstByte, LimitKind::BetweenReads]),
    ("_buffer_size", &[LimitKind::ResponseHeader]),
];

/// Whether a directive is a limit of such a module.
pub(super) fn is_one(directive: &str) -> bool {
    MODULES.iter().any(|module| {
        let end = directive.strip_prefix(module);
        end.is_some_and(|end| LIMITS.iter().any(|(limit, _)| end == *limit))
    })
}

/// Every limit, with its value at each place; nginx's own where the place says nothing.
pub(super) fn of(found: &Found) -> Vec<Stated> {
    let own = gateway::kind("nginx").map(|kind| kind.limits).unwrap_or_default();
    let mut limits: Vec<Stated> = LIMITS
        .iter()
        .flat_map(|(end, kinds)| kinds.iter().map(move |kind| (end, *kind)))
        .filter_map(|(end, kind)| stated(kind, named(end), places(found, end, kind, &own)))
        .collect();
    let kept = found
        .groups
        .values()
        .filter_map(|group| match &group.keepalive_timeout {
            Some(text) => nginx_time(text),
            None => own.idle.filter(|_| group.keeps_alive),
        });
    limits.extend(stated(LimitKind::Idle, "keepalive_timeout", kept.map(Amount::Time)));
    limits
}

fn named(end: &str) -> &'static str {
    match end {
        "_connect_timeout" => "proxy_connect_timeout",
        "_send_timeout" => "proxy_send_timeout",
        "_read_timeout" => "proxy_read_timeout",
        _ => "proxy_buffer_size",
    }
}

/// The value at every place that passes requests on, or in `http` where there is none.
fn places(found: &Found, end: &str, kind: LimitKind, own: &Limits) -> BTreeSet<Amount> {
    let at = |module: &str, scope: &Scope| {
        let written = scope.get(&format!("{module}{end}"));
        written
            .and_then(|text| amount(kind, text))
            .or_else(|| default(kind, own))
    };
    // What is probed goes through proxy_pass; the others count where there is nothing else.
    let proxies = found.passes.iter().any(|pass| pass.directive == "proxy_pass");
    let counts = |directive: &str| !proxies || directive == "proxy_pass";
    let mut amounts: BTreeSet<Amount> = found
        .passes
        .iter()
        .filter(|pass| counts(&pass.directive))
        .filter_map(|pass| at(pass.directive.strip_suffix("_pass")?, &pass.scope))
        .collect();
    if found.passes.is_empty() {
        amounts.extend(at("proxy", &found.scope));
    }
    amounts
}

fn amount(kind: LimitKind, text: &str) -> Option<Amount> {
    match kind.is_size() {
        true => size(text).map(Amount::Size),
        false => nginx_time(text).map(Amount::Time),
    }
}

fn default(kind: LimitKind, own: &Limits) -> Option<Amount> {
    own.time(kind).map(Amount::Time).or(own.size(kind).map(Amount::Size))
}

fn nginx_time(text: &str) -> Option<Duration> {
    time(text, Duration::from_secs(1))
}
