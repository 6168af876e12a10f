//! The gateway's own health check, replayed against every address of the origin, at the gateway's own interval.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::info;

use super::{HopRun, Shared, State, Work};
use crate::finding::Purpose;
use crate::observation::Address;
use crate::prevention::health_check::{Replay, passes};
use crate::probe::Checked;
use crate::upstream::HealthCheck;

impl HopRun {
    /// From now on the addresses of this round are checked.
    pub(super) fn take_over(&self, state: &mut State, work: &[Work]) {
        // A name that does not resolve for the moment takes nothing away.
        if self.hop.health_check.is_none() || work.is_empty() {
            return;
        }
        let addresses = || work.iter().map(|work| (work.target, work.address.clone()));
        let known = std::mem::take(&mut state.checks);
        let replay = |place: &(usize, Address)| known.get(place).copied().unwrap_or_default();
        state.checks = addresses().map(|place| (place.clone(), replay(&place))).collect();
    }

    /// Checks beside the rounds, from the first of them on and until the hop is retired.
    pub(super) fn begin_health_checks(self: &Arc<Self>, shared: &Arc<Shared>) {
        if self.hop.health_check.is_some() && !self.checking.swap(true, Ordering::AcqRel) {
            self.beside(shared, |hop, shared| async move {
                hop.check_health(&shared).await;
            });
        }
    }

    async fn check_health(&self, shared: &Shared) {
        let Some(check) = &self.hop.health_check else { return };
        let mut ticks = interval(check.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.retired.load(Ordering::Relaxed) {
                return;
            }
            let places: Vec<(usize, Address)> = self.state().checks.keys().cloned().collect();
            join_all(places.iter().map(|place| self.check_one(shared, check, place))).await;
        }
    }

    /// One check of one address. What our own side prevents says nothing, and turns nothing.
    async fn check_one(&self, shared: &Shared, check: &HealthCheck, place: &(usize, Address)) {
        if !self.turns.wait(Instant::now() + check.interval).await {
            return;
        }
        let (target, address) = place;
        let seen = shared.prober.check(&self.targets[*target], check, address).await;
        let passed = match seen {
            Checked::Prevented => return,
            Checked::Failed => false,
            Checked::Connected => true,
            Checked::Answered(status) => passes(status),
        };
        self.metrics.extra(Purpose::HealthCheck, 1);
        let (turned, healthy) = {
            let mut state = self.state();
            let Some(replay) = state.checks.get_mut(place) else {
                return;
            };
            (replay.take(passed, check), Replay::healthy(replay))
        };
        self.metrics.checked(address, healthy.unwrap_or(passed), turned);
        if turned {
            let (upstream, seen) = (&self.upstream.name, seen.to_string());
            info!(%upstream, %address, healthy = passed, seen, "the gateway's health check would turn");
        }
    }
}
