//! The phases of the hops side by side: one probe of each, the failing or the slowest, on one scale.

use std::sync::Arc;

use maud::{Markup, html};

use crate::evidence::Phases;
use crate::history::Record;
use crate::server::html::{Column, head, seconds};
use crate::server::view::{HopDetail, UpstreamDetail};

/// The width of the scale, in its own units.
const WIDTH: f64 = 1000.0;

const PHASES: [(&str, &str); 5] = [
    ("dns", "DNS"),
    ("connect", "Connect"),
    ("tls", "TLS"),
    ("first_byte", "First byte"),
    ("body", "Body"),
];

/// The table with its bars.
pub(super) fn render(detail: &UpstreamDetail) -> Markup {
    let shown: Vec<(&HopDetail, &Arc<Record>, Phases)> = detail
        .hops
        .iter()
        .filter_map(|hop| {
            let record = most_telling(hop)?;
            Some((hop, record, record.phases()?))
        })
        .collect();
    let longest = shown.iter().map(|(_, _, phases)| length(phases)).fold(0.0, f64::max);
    let columns = ["Hop", "Address", "Together, on one scale"].map(Column::Text);
    let figures = PHASES.iter().map(|(_, name)| *name).chain(["Total"]);
    let columns = columns.into_iter().chain(figures.map(Column::Figure));
    html! {
        h2 { "Phases" }
        @if shown.is_empty() { p.dim { "No request was made yet." } }
        @else {
            p.dim { "The latest round: of each hop the probe that failed, else the slowest." }
            div.scroll tabindex="0" role="region" aria-label="Phases of each hop" {
                table.fall {
                    (head(columns))
                    tbody { @for (hop, record, phases) in &shown { (row(hop, record, phases, longest)) } }
                }
            }
            ul.key {
                @for (label, name) in PHASES { li { (swatch(label)) (name) } }
                li { (swatch("rest")) "the phase it failed in" }
            }
        }
    }
}

/// A failed probe before others, then the slowest.
fn most_telling(hop: &HopDetail) -> Option<&Arc<Record>> {
    let made = hop.trail.latest().iter().filter(|record| record.timings.is_some());
    made.max_by_key(|record| (record.failed(), record.timings.map(|times| times.total)))
}

fn length(phases: &Phases) -> f64 {
    phases.dns.unwrap_or_default() + phases.total
}

fn row(hop: &HopDetail, record: &Record, phases: &Phases, longest: f64) -> Markup {
    let of = |label: &str| match label {
        "dns" => phases.dns,
        "connect" => phases.connect,
        "tls" => phases.tls,
        "first_byte" => phases.first_byte,
        _ => phases.body,
    };
    let open = phases.ended_in.as_deref();
    html! {
        tr {
            th scope="row" { (hop.hop.name) }
            td.mono { @if let Some(address) = &record.address { (address) } }
            td.bar { (bar(phases, longest)) }
            @for (label, _) in PHASES {
                td.n {
                    @match of(label) {
                        time if open == Some(label) => span.bad { "✕ " (seconds(time.unwrap_or(phases.rest))) },
                        Some(time) => (seconds(time)),
                        None => span.dim { "–" },
                    }
                }
            }
            td.n { strong { (seconds(phases.total)) } }
        }
    }
}

fn bar(phases: &Phases, longest: f64) -> Markup {
    let scale = |time: f64| if longest > 0.0 { time / longest * WIDTH } else { 0.0 };
    let open = phases.ended_in.as_deref();
    let mut at = 0.0;
    let mut parts = Vec::new();
    for (label, time) in phases.in_order() {
        let failed = open == Some(label);
        let width = scale(time);
        parts.push((if failed { "rest" } else { label }, at, width));
        at += width;
    }
    html! {
        svg viewBox={ "0 0 " (WIDTH) " 16" } preserveAspectRatio="none" aria-hidden="true" {
            @for (class, x, width) in parts {
                rect class={ "p-" (class) } x=(format!("{x:.2}")) y="0" width=(format!("{:.2}", f64::max(width, 1.0))) height="16" {}
            }
        }
    }
}

fn swatch(label: &str) -> Markup {
    html! { svg viewBox="0 0 10 10" aria-hidden="true" { rect class={ "p-" (label) } width="10" height="10" {} } }
}
