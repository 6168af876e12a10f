//! `/logs`: recent probes, the latest first; failures are kept longer than the others. Below them, lines of gateways' logs
//! that were not read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use maud::{Markup, html};

use super::html::{Column, Frame, head, upstream_link};
use crate::history::{History, Record, SkippedLine};
use crate::metrics::Build;
use crate::moment;

/// What the page shows.
pub(super) struct Shown {
    records: Vec<Arc<Record>>,
    skipped: Vec<SkippedLine>,
}

/// Takes what is shown out; the lock is held for as long as that takes.
pub(super) fn copy(history: &Mutex<History>) -> Shown {
    let history = history.lock().unwrap_or_else(PoisonError::into_inner);
    Shown {
        records: history.latest().cloned().collect(),
        skipped: history.skipped().cloned().collect(),
    }
}

/// Builds the page.
pub(super) fn render(build: &Build, Shown { records, skipped }: &Shown, search: &str) -> String {
    let wanted: Vec<&Arc<Record>> = records.iter().filter(|record| matches(record, search)).collect();
    let content = html! {
        h1 { (wanted.len()) " of " (records.len()) " recent probes" }
        p.dim { "The latest first; failures are kept longer." }
        form role="search" aria-label="Recent probes" {
            input type="search" name="q" value=(search) aria-label="Search recent probes"
                placeholder="upstream, address, cause, trace id";
            " " button { "Search" }
        }
        div.scroll tabindex="0" role="region" aria-label="Recent probes" {
            table.logs {
                (head(HEADINGS.map(Column::Text)))
                tbody { @for record in wanted { (row(record)) } }
            }
        }
        (skipped_lines(skipped, search))
    };
    Frame {
        title: "Recent probes",
        build,
        search: "",
        below: false,
        live: false,
    }
    .around(content)
}

const SKIPPED_HEADINGS: [&str; 7] = ["Time", "Gateway", "Log", "File", "Offset", "Bytes", "Why"];

const HEADINGS: [&str; 14] = [
    "Time",
    "Upstream",
    "Hop",
    "Address",
    "Path",
    "Purpose",
    "Outcome",
    "Status",
    "Connect",
    "TLS",
    "First byte",
    "Total",
    "Evidence",
    "Trace id",
];

/// Lines that were not read, where there are any: where they stand and why, never what stands in them.
fn skipped_lines(skipped: &[SkippedLine], search: &str) -> Markup {
    let search = search.to_lowercase();
    let wanted: Vec<&SkippedLine> = skipped
        .iter()
        .filter(|line| search.is_empty() || line.gateway.to_lowercase().contains(&search))
        .collect();
    html! {
        @if !skipped.is_empty() {
            h2 { (wanted.len()) " of " (skipped.len()) " skipped log lines" }
            p.dim { "Lines of the gateways' logs that were not read, the latest first; what stands in them is not shown." }
            div.scroll tabindex="0" role="region" aria-label="Skipped log lines" {
                table.logs {
                    (head(SKIPPED_HEADINGS.map(Column::Text)))
                    tbody {
                        @for line in wanted {
                            tr {
                                td { (moment::utc(line.at)) }
                                td { (line.gateway) }
                                td { (line.log) }
                                td { (line.file.as_deref().unwrap_or_default()) }
                                td { (text_of(line.offset)) }
                                td { @match line.length { Some(length) => (length), None => "no end yet" } }
                                td { (line.why) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn row(record: &Record) -> Markup {
    let times = record.timings.unwrap_or_default();
    let millis = |time: Option<Duration>| time.map(|time| format!("{:.1} ms", time.as_secs_f64() * 1000.0));
    html! {
        tr {
            td { (moment::utc(record.at)) }
            td { a href=(upstream_link(&record.upstream)) { (record.upstream) } }
            td { (record.hop) }
            td { (text_of(record.address.as_ref())) }
            td { (text_of(record.path.as_ref())) }
            td { (record.purpose.label()) }
            td class=(if record.failed() { "bad" } else { "good" }) { (record.outcome) }
            td { (text_of(record.status)) }
            td { (text_of(millis(times.connect))) }
            td { (text_of(millis(times.tls))) }
            td { (text_of(millis(times.first_byte))) }
            td { (text_of(millis(record.timings.map(|times| times.total)))) }
            td.ev { @if let Some(evidence) = &record.evidence { (evidence.text) } }
            td { (text_of(record.trace)) }
        }
    }
}

fn matches(record: &Record, search: &str) -> bool {
    let search = search.to_lowercase();
    let found = |text: &str| text.to_lowercase().contains(&search);
    search.is_empty()
        || found(&record.upstream)
        || found(&record.hop)
        || found(&record.outcome.to_string())
        || found(&text_of(record.address.as_ref()))
        || found(&text_of(record.trace))
}

fn text_of(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
