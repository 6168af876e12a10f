//! What runs beside the rounds, in the background: chosen and begun when one ends.

use std::sync::Arc;

use tokio::time::Instant;

use super::finish::Found;
use super::idle::ToIdle;
use super::patient::Patient;
use super::{HopRun, Shared, State, Work};
use crate::finding::Purpose;
use crate::observation::Resolution;

/// What is due after a round.
pub(super) struct Beside {
    patient: Option<Patient>,
    idle: Option<ToIdle>,
    compared: Option<Work>,
    /// Last known addresses of names that do not resolve.
    stale: Vec<Work>,
    /// Those are asked before the next round.
    until: Instant,
}

impl HopRun {
    /// What is due after this round, which ends now.
    pub(super) fn choose_beside(&self, state: &mut State, found: &Found, now: Instant) -> Beside {
        let work = &found.chosen.work;
        self.take_over(state, work);
        Beside {
            patient: self.to_be_patient_with(state, &found.findings, now),
            idle: self.to_be_left_idle(state, work, now),
            compared: self.to_be_compared(state, work),
            stale: state.stale_addresses(&self.targets, &found.resolutions, now),
            until: now + self.upstream.interval,
        }
    }

    /// Begins it.
    pub(super) fn begin_beside(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        beside: Beside,
        resolutions: &[Arc<Resolution>],
    ) {
        self.compare_resolvers(shared, resolutions);
        if let Some(work) = beside.patient {
            self.beside(shared, |hop, shared| async move {
                hop.wait_patiently(&shared, work).await;
            });
        }
        if let Some(idle) = beside.idle {
            self.beside(shared, |hop, shared| async move {
                hop.leave_idle(&shared, idle).await;
            });
        }
        if let Some(work) = beside.compared {
            self.beside(shared, |hop, shared| async move {
                hop.compare_content(&shared, work).await;
            });
        }
        self.begin_health_checks(shared);
        if !beside.stale.is_empty() {
            let (stale, until) = (beside.stale, beside.until);
            self.beside(shared, move |hop, shared| async move {
                hop.probe_all(&shared, &stale, Purpose::StaleAddress, until).await;
            });
        }
    }

    /// Runs a job in the background.
    pub(super) fn beside<J, R>(self: &Arc<Self>, shared: &Arc<Shared>, job: J)
    where
        J: FnOnce(Arc<Self>, Arc<Shared>) -> R,
        R: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(job(self.clone(), shared.clone()));
    }
}
