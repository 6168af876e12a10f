//! Beside the rounds: what every resolver of a hop's names says, so that one that is left behind is seen.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::{info, warn};

use super::{HopRun, Shared};
use crate::agreement::difference;
use crate::observation::{AnswerSource, Resolution};
use crate::upstream::Host;

impl HopRun {
    /// Compares, in the background, the resolvers of those names whose turn it is. One comparison is under way at most.
    pub(super) fn compare_resolvers(self: &Arc<Self>, shared: &Arc<Shared>, resolutions: &[Arc<Resolution>]) {
        let mut due = Vec::new();
        {
            let mut state = self.state();
            for (target, resolution) in resolutions.iter().enumerate() {
                if self.is_asked_for(target, resolution) && state.agreements.entry(target).or_default().0.is_due() {
                    due.push((target, Arc::clone(resolution)));
                }
            }
        }
        if !due.is_empty() && !self.comparing.swap(true, Ordering::AcqRel) {
            self.beside(shared, |hop, shared| async move {
                for (target, resolution) in due {
                    hop.compare(&shared, target, &resolution).await;
                }
                hop.comparing.store(false, Ordering::Release);
            });
        }
    }

    /// A name that resolvers answer for: neither `/etc/hosts` does, nor is it one of this very host (RFC 6761, 6.3).
    fn is_asked_for(&self, target: usize, resolution: &Resolution) -> bool {
        let name = resolution.name.trim_end_matches('.').to_ascii_lowercase();
        let is_local = name == "localhost" || name.ends_with(".localhost");
        matches!(self.targets[target].target.host, Host::Name(_))
            && resolution.source != AnswerSource::HostsFile
            && !is_local
    }

    async fn compare(&self, shared: &Shared, target: usize, resolution: &Resolution) {
        let of = &self.targets[target].target;
        let answers = match shared.prober.resolvers(&of.resolvers) {
            0..2 => Vec::new(),
            _ => {
                let (name, wait) = (&resolution.name, of.resolution_timeout());
                shared.prober.ask_each(name, of.family, &of.resolvers, wait).await
            }
        };
        let found = difference(&answers, &of.expect);
        let (was, is) = {
            let mut state = self.state();
            let (agreement, believed) = state.agreements.entry(target).or_default();
            let was = *believed == Some(true);
            let is = agreement.compared(found.is_some());
            *believed = (answers.len() >= 2).then_some(is);
            match &found {
                Some(difference) if is => drop(state.disagreements.insert(target, difference.as_str().into())),
                _ => drop(state.disagreements.remove(&target)),
            }
            let all = state.agreements.values().filter_map(|(_, believed)| *believed);
            self.metrics.resolvers_disagree(all.reduce(|one, other| one | other));
            (was, is)
        };
        let (upstream, hop, name) = (&self.upstream.name, &self.hop.name, &resolution.name);
        match found {
            Some(difference) if is && !was => warn!(%upstream, %hop, name, difference, "its resolvers disagree"),
            None if was => info!(%upstream, %hop, name, "its resolvers agree again"),
            _ => {}
        }
    }
}
