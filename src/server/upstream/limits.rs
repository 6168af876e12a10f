//! What the gateways tolerate, beside the most that was seen of late, the nearest limit first.

use maud::{Markup, html};

use crate::finding::limits::{Amount, Use};
use crate::server::html::{Column, percent, seconds, table};
use crate::server::view::{HopDetail, UpstreamDetail};
use crate::upstream::LimitKind;

const HEADINGS: [Column; 6] = [
    Column::Text("Limit"),
    Column::Text("Of"),
    Column::Figure("Tolerates"),
    Column::Figure("Seen"),
    Column::Text("Share"),
    Column::Text("Known from"),
];

/// The table.
pub(super) fn render(detail: &UpstreamDetail) -> Markup {
    let hops = &detail.hops;
    // The limits of a hop are those of the gateway in front of it.
    let mut all: Vec<(&HopDetail, &str, Use)> = hops
        .iter()
        .zip(hops.iter().skip(1))
        .flat_map(|(gateway, behind)| {
            let uses = behind.trail.nearest();
            uses.map(move |used| (gateway, &*behind.hop.name, used))
        })
        .collect();
    all.sort_by(|(_, _, one), (_, _, other)| other.share().total_cmp(&one.share()));
    html! {
        @if !all.is_empty() {
            h2 { "Limits, the nearest first" }
            p.dim { "The most that was seen of a hop in its last rounds, against what the gateway in front of it tolerates." }
            (table("Limits", HEADINGS, html! { @for (gateway, hop, used) in &all { (row(gateway, hop, used)) } }))
        }
    }
}

fn row(gateway: &HopDetail, hop: &str, used: &Use) -> Markup {
    let name = in_words(used.kind);
    let share = used.share();
    html! {
        tr {
            th scope="row" { (name) }
            td { (gateway.hop.name) " of " (hop) }
            td.n { (amount(used.limit)) }
            td.n { @if used.at_least { "at least " } (seen(used.seen)) }
            td {
                meter min="0" max="1" high="0.8" value=(format!("{:.3}", share.min(1.0))) aria-label={ (name) " used" } {}
                " "
                @if used.is_beyond() { strong.bad { "✕ beyond it" } }
                @else if used.is_near() { strong.warn { "▲ " (percent(share)) } }
                @else { (percent(share)) }
            }
            td.dim { @if let Some(gateway) = &gateway.hop.gateway { (gateway.source_of(used.kind)) } }
        }
    }
}

pub(super) fn in_words(kind: LimitKind) -> String {
    kind.label().replace('_', " ")
}

pub(super) fn amount(amount: Amount) -> String {
    match amount {
        Amount::Time(time) => seconds(time.as_secs_f64()),
        Amount::Size(bytes) => size(bytes),
    }
}

/// A head over our own cap has no size that is known.
pub(super) fn seen(seen: Amount) -> String {
    match seen {
        Amount::Size(u64::MAX) => "our own cap".to_owned(),
        seen => amount(seen),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 10 << 20 => format!("{} MiB", bytes >> 20),
        bytes if bytes >= 10 << 10 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} B"),
    }
}
