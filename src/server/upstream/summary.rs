//! The state of an upstream in a few lines of plain text, to be pasted into a chat.

use std::fmt::Write;

use super::Shown;
use crate::moment;
use crate::server::html::{ago, path_segment, percent};
use crate::server::status::Urgency;

/// Steps in it at most.
const STEPS: usize = 3;

/// The text. `external_url` is where people reach this program; empty where nothing is configured.
pub(super) fn text(shown: &Shown<'_>, external_url: &str) -> String {
    let status = &shown.detail.status;
    let said = &status.diagnosis;
    let felt = Urgency::of(status)
        .words()
        .trim_start_matches(|char: char| !char.is_alphabetic());
    let mut text = format!(
        "{}: {} · {felt} · since {} ({})\n{}\n",
        status.upstream,
        said.verdict,
        moment::utc(said.since),
        ago(said.since, shown.now),
        said.sentence()
    );
    // Writing to a string does not fail.
    if let Some(hop) = &said.hop {
        let cause = said.cause.map(|cause| format!(" · cause: {cause}")).unwrap_or_default();
        let _ = writeln!(text, "Hop to fix: {hop}{cause}");
    }
    let share = |ratio: Option<f64>| ratio.map_or("not known".to_owned(), percent);
    let _ = writeln!(
        text,
        "502s in the last 5 min: {} of real requests, {} of probes",
        share(status.real_bad_gateways),
        share(status.probed_bad_gateways)
    );
    if let Some(evidence) = shown.failures.first().and_then(|record| record.evidence.as_deref()) {
        let address = evidence.address.as_deref().unwrap_or("no address");
        let _ = writeln!(
            text,
            "Latest failure: {} {} at {address}: {}: {}",
            moment::utc(evidence.at),
            evidence.hop,
            evidence.cause,
            evidence.text
        );
    }
    let open = shown.incidents.iter().find(|shown| shown.incident.is_open());
    for change in open.iter().flat_map(|shown| &shown.changes) {
        let when = open.map(|shown| shown.when(change)).unwrap_or_default();
        let _ = writeln!(text, "Changed {when} the incident began: {}", change.text);
    }
    for step in said.next_steps().iter().take(STEPS) {
        let _ = writeln!(text, "Next: {step}");
    }
    if !external_url.is_empty() {
        let base = external_url.trim_end_matches('/');
        let _ = writeln!(text, "{base}/upstreams/{}", path_segment(&status.upstream));
    }
    text
}
