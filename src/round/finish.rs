//! The end of a round: what it found is taken in, believed or doubted, and told; what runs beside the rounds begins.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::choose::Chosen;
use super::{HopRun, Shared, State};
use crate::cause::Cause;
use crate::clock;
use crate::confirmation::{Attempt, Place};
use crate::finding::limits::{PROBED, used};
use crate::finding::{Finding, Outcome};
use crate::observation::{Address, Resolution};

/// What a round found.
pub(super) struct Found {
    /// What each target gave.
    pub(super) resolutions: Vec<Arc<Resolution>>,
    pub(super) chosen: Chosen,
    /// Those of names too.
    pub(super) findings: Vec<(Place, Finding)>,
}

impl HopRun {
    pub(super) fn finish_round(self: &Arc<Self>, shared: &Arc<Shared>, found: &Found) {
        let now = Instant::now();
        let attempts = self.attempts(found, now);
        let is_aborted = |attempt: &Attempt| matches!(attempt.outcome, Outcome::Aborted(_));
        let whole = !attempts.iter().any(is_aborted);
        let mut state = self.state();
        state.first_round_done |= whole;
        state.forwarded = false;
        let dns_changed = self.remember(shared, &mut state, found, now);
        let (present, confirm) = (&found.chosen.present, &self.upstream.confirm);
        let plan = state.status.round(&attempts, present, whole, confirm);
        for place in &plan.gone {
            self.metrics.forget(place.address.as_ref(), &place.path);
        }
        state.recognise(&found.findings, now);
        let began = self.apply(&mut state, &plan.changes, &found.findings, now);
        let beside = self.choose_beside(&mut state, found, now);
        let healthy = state.count_addresses().healthy;
        state.trail.healthy(healthy, clock::now());
        let summary = self.summarise(&state, &found.resolutions, &attempts, dns_changed);
        // Nothing can be said of what was known: there is no way out of this host any more.
        let cut_off = !summary.judged && !state.skipped.is_empty() && state.status.believed().next().is_some();
        drop(state);
        if cut_off || !plan.retry.is_empty() {
            // Asked before a failure is confirmed, so that it is not believed where the fault is ours.
            self.standing.own_network().doubt();
        }
        self.metrics.round(&summary);
        self.log_changes(&plan.changes, &found.findings);
        self.report(summary.judged.then_some(!summary.clean));
        if began {
            self.ask_the_others(shared);
        }
        if !plan.retry.is_empty() {
            self.beside(shared, |hop, shared| hop.confirm(shared, plan.retry, plan.follow));
        } else if began {
            self.begin_rechecks(shared);
        }
        self.begin_beside(shared, beside, &found.resolutions);
    }

    /// Keeps what the round found for later rounds and for the page; true when its names give other addresses than before.
    fn remember(&self, shared: &Shared, state: &mut State, found: &Found, now: Instant) -> bool {
        let (findings, present) = (&found.findings, &found.chosen.present);
        state.remember_addresses(&self.targets, &found.resolutions, now);
        let records = std::mem::take(&mut state.round);
        let is_present = |address: &Address| present.contains(address);
        state
            .trail
            .round(&records, |known| known.address.as_ref().is_some_and(is_present));
        for (_, finding) in findings {
            let Some(seen) = finding.observation() else { continue };
            let cause = finding.outcome.cause();
            let uses = PROBED
                .into_iter()
                .filter_map(|kind| used(&self.hop.limits, kind, seen, cause));
            state.trail.used(uses);
        }
        self.note_versions(state, present, findings);
        self.note_listening(shared, state, present, findings);
        state.cached_error = findings.iter().find_map(|(_, finding)| cached_error(finding));
        state.skipped = skipped(findings);
        state.unprobed = found.chosen.unprobed;
        let changed = state.take_names(&found.resolutions, present, now) && self.hop.resolves();
        self.note_reached(state, findings);
        changed
    }
}

fn skipped(findings: &[(Place, Finding)]) -> BTreeSet<Address> {
    let skipped = findings
        .iter()
        .filter(|(_, finding)| finding.outcome == Outcome::Skipped);
    skipped.filter_map(|(place, _)| place.address.clone()).collect()
}

/// The status of an error that came from a cache or may stay in one.
fn cached_error(finding: &Finding) -> Option<u16> {
    let status = finding.observation()?.head()?.status;
    let is_error = status >= 500 || finding.outcome.cause() == Some(Cause::DisguisedBadGateway);
    (is_error && finding.recognised.is_cached()).then_some(status)
}
