//! Looking again at what failed: retries that confirm it, and rechecks between two rounds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};

use super::choose::unexpected_of;
use super::{HopRun, Shared, Work};
use crate::cause::Cause;
use crate::classify::classify_resolution;
use crate::confirmation::{Attempt, Place, Recheck};
use crate::finding::{Finding, Outcome, Purpose, Seen};

impl HopRun {
    /// Retries what failed for the first time; what fails again is believed.
    pub(super) async fn confirm(self: Arc<Self>, shared: Arc<Shared>, retry: Vec<Place>, follow: Vec<(Place, Cause)>) {
        let mut last: HashMap<Place, (Attempt, Finding)> = HashMap::new();
        for _ in 0..self.upstream.confirm.retries {
            sleep(self.upstream.confirm.delay).await;
            let failed: Vec<_> = retry
                .iter()
                .filter(|place| {
                    !last
                        .get(place)
                        .is_some_and(|(attempt, _)| attempt.outcome == Outcome::Success)
                })
                .collect();
            for (place, finding) in
                join_all(failed.iter().map(|place| self.again(&shared, place, Purpose::Confirm))).await
            {
                last.insert(place.clone(), (self.attempt(&place, &finding, Instant::now()), finding));
            }
        }
        if self.retired.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let (attempts, findings): (Vec<_>, Vec<_>) = last
            .into_iter()
            .map(|(place, (attempt, finding))| (attempt, (place, finding)))
            .unzip();
        let (confirmation, began) = {
            let mut state = self.state();
            let confirmation = state.status.confirm(&attempts, &follow);
            state.recognise(&findings, now);
            let began = self.apply(&mut state, &confirmation.changes, &findings, now);
            self.metrics.addresses(state.count_addresses());
            (confirmation, began)
        };
        (0..confirmation.transient).for_each(|_| self.metrics.transient());
        self.log_changes(&confirmation.changes, &findings);
        self.report(None);
        if began {
            self.ask_the_others(&shared);
            self.begin_rechecks(&shared);
        }
    }

    /// One more request to one place; for a name, one more resolution.
    async fn again(&self, shared: &Shared, place: &Place, purpose: Purpose) -> (Place, Finding) {
        let prepared = &self.targets[place.target];
        let request = prepared
            .target
            .requests
            .iter()
            .position(|request| request.label == place.path);
        match (&place.address, request) {
            (Some(address), Some(request)) => {
                let work = Work {
                    target: place.target,
                    request,
                    address: address.clone(),
                };
                // A confirmation may wait for its turn, but not for ever.
                let not_after = Instant::now() + self.upstream.interval.max(Duration::from_secs(60));
                self.probe(shared, &work, purpose, not_after).await
            }
            (address, _) => {
                let resolution = shared.prober.resolve(prepared).await;
                let outcome = match (classify_resolution(&resolution), address) {
                    (Outcome::Success, Some(address)) => {
                        match unexpected_of(&prepared.target, &resolution).any(|other| other == *address) {
                            true => Outcome::Failure(Cause::DnsUnexpectedAddress),
                            false => Outcome::Success,
                        }
                    }
                    (outcome, _) => outcome,
                };
                let seen = Seen::Resolution(resolution);
                let judged = self.finding(place.target, address.clone(), None, purpose, outcome, seen);
                self.record(shared, place.target, None, &judged.1);
                judged
            }
        }
    }

    pub(super) fn begin_rechecks(self: &Arc<Self>, shared: &Arc<Shared>) {
        if !self.rechecking.swap(true, Ordering::AcqRel) {
            self.beside(shared, |hop, shared| async move {
                hop.recheck(&shared).await;
                hop.rechecking.store(false, Ordering::Release);
            });
        }
    }

    /// Looks at one failing place now and then until it is well again or a minute has passed.
    async fn recheck(&self, shared: &Shared) {
        loop {
            sleep(self.upstream.confirm.recheck).await;
            if self.retired.load(Ordering::Relaxed) {
                return;
            }
            let next = self.state().status.recheck(Instant::now());
            match next {
                Err(Recheck::Over) => return,
                Err(Recheck::NotBefore(at)) => sleep_until(at).await,
                Ok(place) => {
                    let (place, finding) = self.again(shared, &place, Purpose::Recheck).await;
                    let mut state = self.state();
                    state.status.rechecked(&self.attempt(&place, &finding, Instant::now()));
                    if finding.outcome == Outcome::Success && !state.forwarded {
                        state.forwarded = true;
                        shared.forward.add(self.key);
                    }
                }
            }
        }
    }
}
