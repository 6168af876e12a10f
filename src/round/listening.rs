//! Who listens at the addresses of an origin on this host, looked at when a round ends.

use std::collections::BTreeSet;

use super::state::State;
use super::{HopRun, Shared};
use crate::cause::Cause;
use crate::confirmation::Place;
use crate::finding::Finding;
use crate::observation::Address;

impl HopRun {
    /// Asks this host's kernel, of origins only. The probes of the round are through: what waits to be accepted now does
    /// not wait because of them, unless nobody accepts.
    pub(super) fn note_listening(
        &self,
        shared: &Shared,
        state: &mut State,
        present: &BTreeSet<Address>,
        findings: &[(Place, Finding)],
    ) {
        if !self.hop.is_origin() {
            return;
        }
        let refused = |address: &Address| {
            let mut own = findings
                .iter()
                .filter(|(place, _)| place.address.as_ref() == Some(address));
            own.any(|(_, finding)| finding.outcome.cause() == Some(Cause::ConnectRefused))
        };
        let mut known = Vec::new();
        for address in present {
            let listening = shared.prober.listening(address, refused(address));
            self.metrics.listening(address, listening.clone());
            known.extend(listening.map(|listening| (address.clone(), listening)));
        }
        state.trail.listen(known);
    }
}
