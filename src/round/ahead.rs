//! What was found at a hop that will fail next, by its rounds and beside them.

use std::sync::Arc;

use super::HopRun;
use crate::finding::KeptIdle;
use crate::server::Ahead;
use crate::upstream::Gateway;

impl HopRun {
    /// What is found now; nothing where all is well.
    pub fn ahead(&self) -> Vec<Ahead> {
        let state = self.state();
        let idle = state
            .idle
            .iter()
            .filter_map(|((_, address), idle)| match idle.known()? {
                KeptIdle::For(kept) => Some(Ahead::EndsIdle {
                    address: address.clone(),
                    kept,
                    limit: self.kept_idle()?,
                }),
                KeptIdle::AtLeast(_) | KeptIdle::Never => None,
            });
        let checks = state.checks.iter().filter_map(|((target, address), replay)| {
            match (replay.healthy()?, state.fails(*target, address)) {
                (false, false) => Some(Ahead::TakenOut(address.clone())),
                (true, true) => Some(Ahead::LeftIn(address.clone())),
                _ => None,
            }
        });
        let names = state.disagreements.values().cloned().map(Ahead::ResolversDisagree);
        let content = state.other_content.iter().cloned().map(Ahead::ContentDiffers);
        let cached = state.cached_error.into_iter().map(Ahead::CachedError);
        idle.chain(checks).chain(names).chain(content).chain(cached).collect()
    }

    /// The gateway whose limits are those of this hop.
    pub(super) fn gateway_in_front(&self) -> Option<&Arc<Gateway>> {
        let hops = &self.upstream.hops;
        let here = hops.iter().position(|hop| hop.name == self.hop.name)?;
        hops.get(here.checked_sub(1)?)?.gateway.as_ref()
    }
}
