//! `/upstreams/{name}`: where the fault of one upstream lies, what proves it, what happened before, and what to do.

mod failures;
mod hop_map;
mod incidents;
mod limits;
pub(super) mod next;
mod steps;
mod summary;
mod traffic;
mod waterfall;

use std::sync::Arc;
use std::time::SystemTime;

use maud::{Markup, html};

use super::html::{Frame, since};
use super::spark;
use super::status::{Urgency, shares};
use super::view::UpstreamDetail;
use crate::history::Record;
use crate::incident::{Marker, WithChanges};
use crate::metrics::Build;
use crate::moment;

pub(super) use incidents::list as list_incidents;

/// Incidents on the page at most.
pub(super) const MAX_INCIDENTS: usize = 10;
/// Changes on the page at most.
pub(super) const MAX_CHANGES: usize = 10;

/// All that the page shows.
pub(super) struct Shown<'a> {
    pub(super) detail: &'a UpstreamDetail,
    /// The latest first.
    pub(super) failures: &'a [Arc<Record>],
    /// The latest first.
    pub(super) incidents: &'a [WithChanges],
    /// The latest first.
    pub(super) changes: &'a [Marker],
    pub(super) now: SystemTime,
}

/// Builds the page.
pub(super) fn render(build: &Build, shown: &Shown<'_>) -> String {
    let name = &*shown.detail.status.upstream;
    let content = html! {
        (head(build, shown))
        section #hops { (hop_map::render(shown)) }
        section #steps { (steps::render(shown)) }
        section #next { (next::render(shown.detail, shown.now)) }
        section #phases { (waterfall::render(shown.detail)) }
        section #traffic { (traffic::render(shown.detail)) }
        section #failures { (failures::render(shown)) }
        section #incidents { (incidents::section(shown)) }
        section #limits { (limits::render(shown.detail)) }
    };
    Frame {
        title: name,
        build,
        search: "",
        below: true,
        live: true,
    }
    .around(content)
}

/// Name, verdict, sentence, shares and curve.
fn head(build: &Build, shown: &Shown<'_>) -> Markup {
    let status = &shown.detail.status;
    let (said, urgency) = (&status.diagnosis, Urgency::of(status));
    html! {
        section #verdict {
            h1 { (status.upstream) }
            div class={ "verdict " (urgency.class()) } {
                p {
                    span class={ "badge " (urgency.class()) } { (urgency.words()) }
                    " " strong.mono { (said.verdict) }
                    " " span.dim { "since " (since(said.since, shown.now)) ", " (moment::utc(said.since)) }
                }
                p.said { (said.sentence()) }
                @if let Some(hop) = &said.hop {
                    p { "Hop to fix: " strong { (hop) } @if let Some(cause) = said.cause { ", cause " span.cause { (cause) } } }
                }
            }
            div.cols {
                div.shares { (shares(status)) p.dim { "over the last five minutes" } }
                div { (spark::line(&status.rounds)) p.dim { "what users reach, one round every " (moment::rough(shown.detail.config.interval)) } }
            }
            div.actions {
                button #copy type="button" data-copy="summary-text" hidden { "Copy summary" }
                a href={ "../api/v1/upstreams/" (super::html::path_segment(&status.upstream)) } { "As JSON" }
                a href={ "../logs?q=" (super::html::path_segment(&status.upstream)) } { "Its recent probes" }
            }
            details #summary {
                summary { "Summary for chat" }
                pre #summary-text { (summary::text(shown, &build.external_url)) }
            }
        }
    }
}

/// A page for one that nothing is called.
pub(super) fn unknown(build: &Build, name: &str) -> String {
    let content = html! {
        h1 { "No upstream is called “" (name) "”" }
        p { a href="../" { "All upstreams" } }
    };
    Frame {
        title: "Not found",
        build,
        search: "",
        below: true,
        live: false,
    }
    .around(content)
}
