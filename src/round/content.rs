//! Content of paths named stable, compared between the hops of an upstream, beside the rounds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{HopRun, Shared, State, Work};
use crate::finding::Purpose;
use crate::observation::{Digest, End, Observation};

impl HopRun {
    /// One address to be asked for the stable paths after this round, if it is time for that.
    pub(super) fn to_be_compared(&self, state: &mut State, work: &[Work]) -> Option<Work> {
        let has_stable = |work: &&Work| !self.targets[work.target].target.stable.is_empty();
        let work = work.iter().find(has_stable)?;
        state.content.is_due().then(|| work.clone())
    }

    /// Asks for them. The origin says what is right; a gateway is held against that.
    pub(super) async fn compare_content(&self, shared: &Shared, work: Work) {
        let prepared = &self.targets[work.target];
        let mut differing = None;
        let mut compared = false;
        for request in &prepared.target.stable {
            if !self.turns.wait(Instant::now() + self.upstream.interval).await {
                break;
            }
            let seen = shared.prober.probe(prepared, request, &work.address).await;
            if self.retired.load(Ordering::Relaxed) {
                return;
            }
            self.metrics.extra(Purpose::Content, 1);
            let Some(here) = digest(&seen) else { continue };
            if self.hop.is_origin() {
                self.standing.content_is(&request.label, here);
                compared = true;
            } else if let Some(there) = self.standing.content_of(&request.label) {
                compared = true;
                if here != there {
                    differing.get_or_insert(Arc::clone(&request.label));
                }
            }
        }
        let differs = compared.then_some(differing.is_some());
        let believed = {
            let mut state = self.state();
            let believed = state.content.take(differs);
            if let Some(believed) = believed.filter(|_| !self.hop.is_origin()) {
                state.other_content = differing.clone().filter(|_| believed);
            }
            believed
        };
        if self.hop.is_origin() {
            return;
        }
        if let Some(believed) = believed {
            let (upstream, hop) = (&self.upstream.name, &self.hop.name);
            let was = self.metrics.content_differs(believed);
            match (differing, was == Some(true)) {
                (Some(path), false) => warn!(%upstream, %hop, %path, "content differs from the origin's"),
                (None, true) => info!(%upstream, %hop, "content is the origin's again"),
                _ => {}
            }
        }
    }
}

/// Of a whole good answer; of another there is nothing to compare.
fn digest(seen: &Observation) -> Option<Digest> {
    match &seen.end {
        End::Response(response) if response.head.status == 200 && response.body_complete => {
            // Cut bodies are known by their length alone; `max_body` bounds what is kept.
            let whole = response.body.len() as u64 == response.body_bytes;
            whole.then(|| Digest::of(&response.body))
        }
        _ => None,
    }
}
