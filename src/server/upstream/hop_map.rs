//! The way of a request: client, name, each gateway, each address of the origin, and what each of them did and how long.

use std::sync::Arc;
use std::time::SystemTime;

use maud::{Markup, html};

use super::Shown;
use crate::history::{Record, Trail};
use crate::moment;
use crate::server::html::{seconds, since};
use crate::server::view::{HopDetail, HopState, HopStatus};
use crate::upstream::Host;

/// From here on an answer is slow to a person (seconds).
const SLOW: f64 = 1.0;
/// Addresses shown of a hop; failing ones come first.
const MOST: usize = 12;

/// How a place looks: by what it did, and how long.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    Good,
    Slow,
    Bad,
    Waiting,
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Look::Good => "good",
            Look::Slow => "warn",
            Look::Bad => "bad",
            Look::Waiting => "waiting",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Look::Good => "✓",
            Look::Slow => "▲",
            Look::Bad => "✕",
            Look::Waiting => "…",
        }
    }
}

/// The map.
pub(super) fn render(shown: &Shown<'_>) -> Markup {
    let detail = shown.detail;
    let faulty = detail.status.diagnosis.hop.as_deref();
    let pairs = || detail.status.hops.iter().zip(&detail.hops);
    html! {
        h2 { "The way of a request" }
        ol.map {
            li.client { h3 { "Client" } p.dim { "probes leave from this host" } }
            @if let Some((_, outermost)) = pairs().next() { (name(outermost)) }
            @for (status, hop) in pairs() { (place(status, hop, faulty, shown.now)) }
        }
    }
}

/// What the name that users ask for gave.
fn name(hop: &HopDetail) -> Markup {
    let names: Vec<_> = hop
        .hop
        .targets
        .iter()
        .filter(|target| matches!(target.host, Host::Name(_)))
        .collect();
    let resolution = hop.trail.latest().iter().find_map(|record| record.resolution.clone());
    let (look, said) = match (names.first(), &resolution) {
        (None, _) => (Look::Good, html! { p.dim { "no name: the address is configured" } }),
        (Some(_), None) => (Look::Waiting, html! { p.dim { "… not asked yet" } }),
        (Some(_), Some(resolution)) => match &resolution.result {
            Ok(addresses) => (
                Look::Good,
                html! {
                    p { "✓ " (addresses.len()) @if addresses.len() == 1 { " address" } @else { " addresses" }
                        ", " (seconds(resolution.elapsed.as_secs_f64())) }
                    p.dim { "says " (resolution.source) @if let Some(ttl) = resolution.ttl { ", for " (moment::rough(ttl)) } }
                },
            ),
            Err(fault) => (Look::Bad, html! { p { "✕ " (fault) } }),
        },
    };
    html! {
        li class=(look.class()) {
            h3 { "DNS" }
            @if let Some(target) = names.first() { p.mono { (target.host) } }
            (said)
        }
    }
}

/// One hop with its addresses.
fn place(status: &HopStatus, detail: &HopDetail, faulty: Option<&str>, now: SystemTime) -> Markup {
    let asked = detail.trail.latest().iter().map(|record| record.at).max();
    let look = look_of_hop(status, detail);
    let kind = detail.hop.gateway.as_ref().map(|gateway| gateway.kind);
    let mut records: Vec<&Arc<Record>> = detail.trail.latest().iter().collect();
    records.sort_by_key(|record| !record.failed());
    let class = if detail.hop.is_origin() { "origin " } else { "" };
    html! {
        li class={ (class) (look.class()) } {
            h3 { (status.hop) @if let Some(kind) = kind { " " span.dim { (kind) } } }
            @if faulty == Some(&*status.hop) { p { span.fix { "fix this" } } }
            p { (look.sign()) " " (said_of_hop(status, look)) }
            ul {
                @for record in records.iter().take(MOST) { (address(record, &detail.trail)) }
                @if records.len() > MOST { li.dim { "and " (records.len() - MOST) " more" } }
            }
            @if let Some(asked) = asked { p.dim { "asked " (since(asked, now)) " ago" } }
            @if status.addresses.unprobed > 0 { p.dim { (status.addresses.unprobed) " more addresses, not asked in every round" } }
        }
    }
}

fn look_of_hop(status: &HopStatus, detail: &HopDetail) -> Look {
    let slow = detail.trail.latest().iter().any(|record| look_of(record) == Look::Slow);
    match &status.state {
        HopState::Failing(_) => Look::Bad,
        HopState::Pending => Look::Waiting,
        HopState::Healthy if slow => Look::Slow,
        HopState::Healthy => Look::Good,
    }
}

fn said_of_hop(status: &HopStatus, look: Look) -> Markup {
    let counts = status.addresses;
    html! {
        @match &status.state {
            HopState::Failing(failing) if failing.wholly => { span.cause { (failing.cause) } " everywhere" },
            HopState::Failing(failing) => {
                span.cause { (failing.cause) } " at " (counts.failing) " of " (counts.failing + counts.healthy)
            },
            HopState::Pending => "no round yet",
            HopState::Healthy if look == Look::Slow => "answers slowly",
            HopState::Healthy => "answers",
        }
    }
}

fn look_of(record: &Record) -> Look {
    let total = record.timings.map(|times| times.total.as_secs_f64());
    match (record.failed(), total) {
        (true, _) => Look::Bad,
        (false, None) => Look::Waiting,
        (false, Some(time)) if time >= SLOW => Look::Slow,
        (false, Some(_)) => Look::Good,
    }
}

/// The latest probe of one address and path.
fn address(record: &Record, trail: &Trail) -> Markup {
    let total = record.timings.map(|times| times.total.as_secs_f64());
    let version = record.address.as_ref().and_then(|address| trail.versions.get(address));
    html! {
        li {
            (look_of(record).sign()) " "
            span.mono {
                @match &record.address { Some(address) => (address), None => "no address" }
            }
            @if let Some(path) = &record.path { " " span.dim { (path) } }
            br;
            @match record.outcome.cause() {
                Some(cause) => { span.cause { (cause) } @if let Some(status) = record.status { " " (status) } },
                None => { @match record.status { Some(status) => (status), None => (record.outcome) } },
            }
            @if let Some(total) = total { ", " (seconds(total)) }
            @if let Some(version) = version { br; span.dim { (version) } }
        }
    }
}
