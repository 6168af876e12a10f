//! What a hop tells its upstream when a round or a confirmation has ended.

use std::sync::Arc;

use super::{HopRun, Shared};
use crate::diagnosis::HopFacts;
use crate::observation::listening::Queue;

impl HopRun {
    /// Brings what is believed of this hop now; `round_failed` says of a round that ended whether a first attempt failed.
    pub(super) fn report(&self, round_failed: Option<bool>) {
        let state = self.state();
        self.standing.take(self.key, |facts: &mut HopFacts| {
            facts.complete = state.first_round_done;
            (facts.last_failed, facts.well_since) = (state.last_failed, state.well_since);
            facts.evidence = state.evidence();
            facts.believe(&state.status, &state.recognised, |target| {
                self.targets[target].target.host.to_string().into()
            });
            let mut queues = state.trail.listening().iter().filter_map(|(_, seen)| seen.queue());
            facts.queue_is_full = queues.any(Queue::is_full);
            if let Some(failed) = round_failed {
                facts.rounds.push(failed);
            }
        });
    }

    /// The first hop of an upstream to fail brings the next rounds of the others forward: together they say where the
    /// fault lies, and their last rounds may be an interval old.
    pub(super) fn ask_the_others(&self, shared: &Arc<Shared>) {
        for key in self.standing.others_if_first(self.key) {
            shared.forward.add(key);
        }
    }
}
