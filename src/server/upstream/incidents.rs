//! Incidents as people look at them: what was said and when, with the changes beside it.

use maud::{Markup, html};

use super::{Shown, failures};
use crate::incident::{Ending, Marker, WithChanges};
use crate::metrics::Build;
use crate::moment;
use crate::server::html::{Frame, ago, since, upstream_link};
use crate::verdict::Impact;

/// Those of one upstream, with its latest changes.
pub(super) fn section(shown: &Shown<'_>) -> Markup {
    html! {
        h2 { "Last incidents" }
        @if shown.incidents.is_empty() { p.good { "None is known." } }
        @for incident in shown.incidents { (entry(incident, None, shown.now)) }
        @if !shown.changes.is_empty() {
            h3 { "Latest changes" }
            ul { @for change in shown.changes { li { (since(change.at, shown.now)) " ago, " (text(change)) } } }
        }
    }
}

/// `/incidents`: those of all upstreams, the latest first.
pub(in crate::server) fn list(build: &Build, incidents: &[WithChanges], now: std::time::SystemTime) -> String {
    let open = incidents.iter().filter(|shown| shown.incident.is_open()).count();
    let content = html! {
        section #list {
            h1 { (incidents.len()) @if incidents.len() == 1 { " incident" } @else { " incidents" } " of the last 30 days" @if open > 0 { ", " (open) " open" } }
            p.dim { "The same as JSON: " a href="api/v1/incidents?since=30d" { "/api/v1/incidents" } ". As a timeline for a review: " code { "badgateway incidents --since 30d --markdown" } }
            @for incident in incidents { (entry(incident, Some(()), now)) }
        }
    };
    Frame {
        title: "Incidents",
        build,
        search: "",
        below: false,
        live: true,
    }
    .around(content)
}

fn entry(shown: &WithChanges, named: Option<()>, now: std::time::SystemTime) -> Markup {
    let incident = &shown.incident;
    let (class, felt) = match incident.impact {
        Impact::Users => ("users", "users felt it"),
        Impact::Redundancy => ("redundancy", "redundancy lost"),
        Impact::None => ("waiting", "no impact known"),
    };
    let lasted = moment::rough(incident.lasted(now));
    html! {
        details id={ "incident-" (incident.id) } open[incident.is_open()] {
            summary {
                (moment::utc(incident.began)) " "
                @if named.is_some() { strong { (incident.upstream) } " " }
                span class={ "badge " (class) } { (felt) } " "
                @match incident.end.map(|end| end.how) {
                    None => strong.bad { "open for " (lasted) },
                    Some(Ending::Recovered) => { "lasted " (lasted) },
                    Some(Ending::Removed) => { (lasted) ", then left the configuration" },
                    Some(Ending::Unwatched) => { (lasted) ", then not watched" },
                }
                " " span.cause { (shown.verdict) }
            }
            @if named.is_some() { p { a href=(upstream_link(&incident.upstream)) { "Its page" } } }
            ol {
                @for change in &shown.changes { li { strong { (shown.when(change)) } " it began, " (text(change)) } }
                @for step in &incident.steps { li { (moment::utc(step.at)) " " span.mono { (step.verdict) } ", impact " (step.impact) ": " (step.sentence) } }
                @if incident.steps_left_out > 0 { li.dim { (incident.steps_left_out) " more in between" } }
                @if let Some(end) = incident.end { li { (moment::utc(end.at)) " end, " (ago(end.at, now)) " ago" } }
            }
            dl.pairs {
                @if incident.requests.total > 0 {
                    dt { "Requests of users" } dd { (incident.requests.failed) " of " (incident.requests.total) " failed" }
                }
                @for count in &incident.probes {
                    dt { "Probes of " (count.hop) } dd { (count.failed) " failed: " span.cause { (count.cause) } }
                }
                @if incident.unwatched_seconds > 0 { dt { "Not watched" } dd { (incident.unwatched_seconds) " s, while badgateway did not run" } }
            }
            @if let Some(first) = &incident.first {
                details id={ "incident-" (incident.id) "-first" } {
                    summary { "First evidence, " (moment::utc(first.at)) } (failures::whole(first))
                }
            }
            @if let Some(last) = incident.last.as_ref().filter(|last| Some(*last) != incident.first.as_ref()) {
                details id={ "incident-" (incident.id) "-last" } {
                    summary { "Last evidence, " (moment::utc(last.at)) } (failures::whole(last))
                }
            }
        }
    }
}

/// `deploy: checkout 1.4.2`.
fn text(change: &Marker) -> Markup {
    html! {
        em { (change.kind.label()) } ": "
        @match &change.link {
            Some(link) => a href=(link) rel="noreferrer" { (change.text) },
            None => (change.text),
        }
    }
}
