//! What attempts add up to: what confirmation is told of each, what is shown once it is believed, and the round in sum.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::finish::Found;
use super::{HopRun, State};
use crate::cause::Cause;
use crate::clock;
use crate::confirmation::{Attempt, Change, Place};
use crate::finding::{Finding, Outcome, RoundSummary};
use crate::observation::{Address, Observation, Resolution};

impl HopRun {
    /// What confirmation needs of a round.
    pub(super) fn attempts(&self, found: &Found, now: Instant) -> Vec<Attempt> {
        let of_findings = found.findings.iter();
        let mut attempts: Vec<_> = of_findings
            .map(|(place, finding)| self.attempt(place, finding, now))
            .collect();
        attempts.extend(self.names_that_resolve(&found.resolutions));
        attempts
    }

    /// What confirmation needs of a finding. After an answer that asks for patience there is no further request in between
    /// rounds; after `Retry-After` none before. A failure while our own network is lost says nothing of anybody else.
    pub(super) fn attempt(&self, place: &Place, finding: &Finding, now: Instant) -> Attempt {
        let head = finding.observation().and_then(Observation::head);
        let patient = finding.outcome.cause().is_some_and(Cause::asks_for_patience)
            || head.is_some_and(|head| asks_for_patience(head.status));
        let wait = head.and_then(|head| head.retry_after).unwrap_or_default();
        Attempt {
            place: place.clone(),
            outcome: match finding.outcome {
                Outcome::Failure(_) if self.standing.own_network().is_lost() => Outcome::Skipped,
                outcome => outcome,
            },
            recheck_from: (!patient).then(|| now + wait),
        }
    }

    /// Shows believed results; true when the hop just began to fail.
    pub(super) fn apply(
        &self,
        state: &mut State,
        changes: &[Change],
        findings: &[(Place, Finding)],
        now: Instant,
    ) -> bool {
        for change in changes {
            self.metrics
                .confirmed(change.place.address.as_ref(), &change.place.path, change.to);
            if change.to.cause().is_some() {
                let seen = findings.iter().find(|(place, _)| *place == change.place);
                let evidence = seen
                    .map(|(place, finding)| self.in_words(place, finding))
                    .unwrap_or_default();
                let since = state.failing.take().map_or_else(clock::now, |(since, _)| since);
                state.failing = Some((since, evidence.into()));
            }
        }
        if !state.status.is_failing() {
            state.failing = None;
        }
        state.status.note_failing(now)
    }

    /// The round in numbers.
    pub(super) fn summarise(
        &self,
        state: &State,
        resolutions: &[Arc<Resolution>],
        attempts: &[Attempt],
        dns_changed: bool,
    ) -> RoundSummary {
        let judged: Vec<_> = attempts
            .iter()
            .filter(|attempt| matches!(attempt.outcome, Outcome::Success | Outcome::Failure(_)))
            .filter(|attempt| attempt.place.address.is_some() || attempt.outcome != Outcome::Success)
            .collect();
        let mut by_address: BTreeMap<(usize, Option<&Address>), bool> = BTreeMap::new();
        for attempt in &judged {
            let failed = matches!(attempt.outcome, Outcome::Failure(_));
            *by_address
                .entry((attempt.place.target, attempt.place.address.as_ref()))
                .or_default() |= failed;
        }
        RoundSummary {
            at: clock::now(),
            failed_wholly: !by_address.is_empty() && by_address.values().all(|failed| *failed),
            clean: by_address.values().all(|failed| !failed),
            judged: !judged.is_empty(),
            addresses: state.count_addresses(),
            dns_addresses: resolutions
                .iter()
                .map(|seen| seen.result.as_ref().map_or(0, Vec::len))
                .sum(),
            dns_ttl: resolutions.iter().filter_map(|seen| seen.ttl).min(),
            dns_changed,
        }
    }
}

/// Whatever page comes with it.
fn asks_for_patience(status: u16) -> bool {
    matches!(status, 429 | 503 | 504)
}
