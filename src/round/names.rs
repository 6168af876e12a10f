//! The names of a hop's targets: resolved at the beginning of each round, and judged before anything is asked.

use std::sync::Arc;

use futures_util::future::join_all;
use tracing::debug;

use super::choose::unexpected_of;
use super::{HopRun, Shared};
use crate::cause::Cause;
use crate::classify::classify_resolution;
use crate::confirmation::{Attempt, Place};
use crate::evidence;
use crate::finding::{Finding, Outcome, Purpose, Seen};
use crate::observation::Resolution;
use crate::upstream::Host;

impl HopRun {
    /// What every target gives now.
    pub(super) async fn resolve_all(&self, shared: &Shared) -> Vec<Arc<Resolution>> {
        let resolve = |target| shared.prober.resolve(target);
        let resolutions = match self.targets.as_slice() {
            [one] => vec![resolve(one).await],
            many => join_all(many.iter().map(resolve)).await,
        };
        for (target, resolution) in self.targets.iter().zip(&resolutions) {
            if matches!(target.target.host, Host::Name(_)) {
                self.metrics.resolved(resolution);
                debug!(upstream = %self.upstream.name, hop = %self.hop.name, evidence = evidence::of_resolution(resolution), "resolved");
            }
        }
        self.state().resolutions.clone_from(&resolutions);
        resolutions
    }

    /// Findings of names that give no address, and of addresses a name must not give.
    pub(super) fn judge_names(&self, shared: &Shared, resolutions: &[Arc<Resolution>]) -> Vec<(Place, Finding)> {
        let mut findings = Vec::new();
        for (index, (target, resolution)) in self.targets.iter().zip(resolutions).enumerate() {
            let seen = || Seen::Resolution(resolution.clone());
            match classify_resolution(resolution) {
                Outcome::Success => {
                    let outside = unexpected_of(&target.target, resolution);
                    findings.extend(outside.map(|address| {
                        let outcome = Outcome::Failure(Cause::DnsUnexpectedAddress);
                        self.finding(index, Some(address), None, Purpose::Scheduled, outcome, seen())
                    }));
                }
                outcome => findings.push(self.finding(index, None, None, Purpose::Scheduled, outcome, seen())),
            }
        }
        for (place, finding) in &findings {
            self.record(shared, place.target, None, finding);
        }
        findings
    }

    /// Names that give addresses: their attempts, for a name that failed before.
    pub(super) fn names_that_resolve(&self, resolutions: &[Arc<Resolution>]) -> Vec<Attempt> {
        let named = self.targets.iter().zip(resolutions).enumerate();
        named
            .filter(|(_, (target, seen))| matches!(target.target.host, Host::Name(_)) && seen.result.is_ok())
            .map(|(target, _)| Attempt {
                place: Place {
                    target,
                    address: None,
                    path: "".into(),
                },
                outcome: Outcome::Success,
                recheck_from: None,
            })
            .collect()
    }
}
