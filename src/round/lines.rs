//! Log lines: one when a hop begins to fail, when its cause changes and when it is well again; each probe at debug.

use tracing::{debug, info, warn};

use super::HopRun;
use crate::cause::Cause;
use crate::confirmation::{Change, Place};
use crate::finding::{Confirmed, Finding};

impl HopRun {
    /// One line when a hop begins to fail, when its cause changes, and when it is well again.
    pub(super) fn log_changes(&self, changes: &[Change], findings: &[(Place, Finding)]) {
        let Some(change) = changes.iter().find(|change| matters(change)) else {
            return;
        };
        let others = changes.iter().filter(|change| matters(change)).count() - 1;
        let (upstream, hop) = (&self.upstream.name, &self.hop.name);
        let address = change
            .place
            .address
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let found = findings.iter().find(|(place, _)| *place == change.place);
        let evidence = found
            .map(|(place, finding)| self.in_words(place, finding))
            .unwrap_or_default();
        let attempt = found
            .and_then(|(_, finding)| finding.observation())
            .map(|seen| seen.trace.to_string())
            .unwrap_or_default();
        let path = &change.place.path;
        match change.to {
            Confirmed::Failing(cause) => {
                warn!(%upstream, %hop, address, %path, %cause, evidence, attempt, others, "failing");
            }
            Confirmed::Healthy => {
                let cause = change.from.and_then(Confirmed::cause).map_or("", Cause::label);
                info!(%upstream, %hop, address, %path, cause, evidence, attempt, others, "recovered");
            }
        }
    }
}

fn matters(change: &Change) -> bool {
    !matches!((change.from, change.to), (None, Confirmed::Healthy))
}

pub(super) fn log_finding(finding: &Finding, evidence: &str) {
    let (upstream, hop) = (&finding.upstream.name, &finding.hop.name);
    let address = finding.address.as_ref().map(ToString::to_string).unwrap_or_default();
    let path = finding.path.as_deref().unwrap_or_default();
    let cause = finding.outcome.cause().map_or("", Cause::label);
    let attempt = finding
        .observation()
        .map(|seen| seen.trace.to_string())
        .unwrap_or_default();
    let elapsed_ms = finding.observation().map_or(0, |seen| seen.timings.total.as_millis());
    let (purpose, outcome) = (finding.purpose.label(), finding.outcome.to_string());
    debug!(%upstream, %hop, address, path, purpose, outcome, cause, attempt, elapsed_ms, evidence, "probed");
}
