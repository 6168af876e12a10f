//! Asking: each request waits for its turn and for a slot, and what comes back is judged and kept at once.

use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::{HopRun, Shared, Work};
use crate::confirmation::Place;
use crate::finding::{Finding, Outcome, Purpose, Seen};
use crate::observation::OwnLimit;

impl HopRun {
    /// All these requests, in no order.
    pub(super) async fn probe_all(
        &self,
        shared: &Shared,
        work: &[Work],
        purpose: Purpose,
        not_after: Instant,
    ) -> Vec<(Place, Finding)> {
        match work {
            [] => Vec::new(),
            [one] => vec![self.probe(shared, one, purpose, not_after).await],
            many => {
                let probes: FuturesUnordered<_> = many
                    .iter()
                    .map(|work| self.probe(shared, work, purpose, not_after))
                    .collect();
                probes.collect().await
            }
        }
    }

    /// One request at the pace of the upstream, judged and recorded.
    pub(super) async fn probe(
        &self,
        shared: &Shared,
        work: &Work,
        purpose: Purpose,
        not_after: Instant,
    ) -> (Place, Finding) {
        let prepared = &self.targets[work.target];
        let request = &prepared.target.requests[work.request];
        let aborted = |limit| {
            let address = Some(work.address.clone());
            self.finding(
                work.target,
                address,
                Some(request),
                purpose,
                Outcome::Aborted(limit),
                Seen::Nothing,
            )
        };
        let judged = if self.turns.wait(not_after).await {
            let permit = shared.slots.acquire().await.expect("the slots are never closed");
            let in_flight = shared.metrics.in_flight();
            let seen = shared.prober.probe(prepared, request, &work.address).await;
            drop((permit, in_flight));
            match self.retired.load(Ordering::Relaxed) {
                true => aborted(OwnLimit::Cancelled),
                false => self.judge(work, request, purpose, seen),
            }
        } else {
            aborted(OwnLimit::RateLimit)
        };
        self.record(shared, work.target, Some(request), &judged.1);
        judged
    }
}
