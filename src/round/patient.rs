//! Patient probes: one place of a hop that does not answer in time is asked once more, beside the rounds, and waited for
//! longer than the gateway in front would.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::{HopRun, Shared, State, Work};
use crate::cause::Cause;
use crate::confirmation::Place;
use crate::finding::limits::{PROBED, used};
use crate::finding::{Finding, Purpose};
use crate::observation::Observation;
use crate::prevention::patient::{self, Pace, Plan, Told};
use crate::upstream::LimitKind;

/// A place to be patient with.
pub(super) struct Patient {
    work: Work,
    plan: Plan,
}

impl HopRun {
    /// The place to be patient with after this round, if it is time for that.
    pub(super) fn to_be_patient_with(
        &self,
        state: &mut State,
        findings: &[(Place, Finding)],
        now: Instant,
    ) -> Option<Patient> {
        let timed_out = |finding: &&(Place, Finding)| finding.1.outcome.cause() == Some(Cause::ResponseTimeout);
        let slow = |finding: &&(Place, Finding)| {
            let timeout = self.targets[finding.0.target].target.timeout;
            first_byte(&finding.1).is_some_and(|took| took * 2 >= timeout)
        };
        let late = findings.iter().find(timed_out);
        let slowest = || {
            let slow = findings.iter().filter(slow);
            slow.max_by_key(|(_, finding)| first_byte(finding))
        };
        let (pace, found) = match late.or_else(slowest) {
            Some(found) if late.is_some() => (Pace::TimedOut, Some(found)),
            Some(found) => (Pace::Slow, Some(found)),
            None => (Pace::Quick, None),
        };
        let begins = state.patience.begin(pace, self.upstream.interval, now);
        let (place, _) = found.filter(|_| begins)?;
        let target = &self.targets[place.target].target;
        let plan = patient::plan(&self.hop.limits, target.timeout)?;
        let request = target.requests.iter().position(|request| request.label == place.path)?;
        let work = Work {
            target: place.target,
            request,
            address: place.address.clone()?,
        };
        Some(Patient { work, plan })
    }

    /// Makes the probe, one at a time of an upstream; where another is under way, or too many are, this one is left out.
    pub(super) async fn wait_patiently(&self, shared: &Shared, Patient { work, plan }: Patient) {
        let (Ok(_turn), Ok(_permit)) = (self.turns.patient.try_acquire(), shared.patient.try_acquire()) else {
            return;
        };
        if !self.turns.wait(Instant::now() + self.upstream.interval).await {
            return;
        }
        let prepared = &self.targets[work.target];
        let request = &prepared.target.requests[work.request];
        let seen = shared
            .prober
            .probe_within(prepared, request, &work.address, plan.wait)
            .await;
        if self.retired.load(Ordering::Relaxed) {
            return;
        }
        let (_, finding) = self.judge(&work, request, Purpose::Patient, seen);
        self.record(shared, work.target, Some(request), &finding);
        self.learn(&finding, &plan);
    }

    /// Keeps what it says of the limit, and brings it into the diagnosis.
    fn learn(&self, finding: &Finding, plan: &Plan) {
        let Some(seen) = finding.observation() else { return };
        let cause = finding.outcome.cause();
        let answered = answered(seen, plan.limit);
        if answered.is_none() && !matches!(cause, Some(Cause::ResponseTimeout | Cause::ResponseBodyTimeout)) {
            return;
        }
        let told = Told {
            gateway: self
                .gateway_in_front()
                .map_or_else(|| "the gateway".into(), |front| front.name.clone()),
            gives_up: plan.gives_up,
            answered,
            waited: plan.wait,
        };
        info!(upstream = %self.upstream.name, hop = %self.hop.name, found = %told, "waited longer than the gateway does");
        {
            let mut state = self.state();
            let uses = PROBED
                .into_iter()
                .filter_map(|kind| used(&self.hop.limits, kind, seen, cause));
            state.trail.used(uses);
            state.patience.tell(told);
        }
        self.report(None);
    }
}

fn first_byte(finding: &Finding) -> Option<Duration> {
    finding.observation()?.timings.first_byte
}

/// The time that such a limit is compared with, where the answer came.
fn answered(seen: &Observation, limit: LimitKind) -> Option<Duration> {
    match limit {
        LimitKind::Total => seen.timings.body.map(|_| seen.timings.total),
        _ => seen.timings.first_byte,
    }
}
