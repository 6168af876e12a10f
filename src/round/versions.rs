//! What runs at each address, as far as answers show it; a new version of the application stands beside incidents as a
//! change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::HopRun;
use super::state::State;
use crate::confirmation::Place;
use crate::finding::{Confirmed, Finding};
use crate::fingerprint::version::{named, of_gateway, of_origin};
use crate::observation::version::Version;
use crate::observation::{Address, Head};

/// Versions of one round, and named in one sentence, at most.
const MAX_VERSIONS: usize = 8;

impl HopRun {
    /// Takes in who answered at each address.
    pub(super) fn note_versions(&self, state: &mut State, present: &BTreeSet<Address>, findings: &[(Place, Finding)]) {
        state.trail.versions.retain(|address, _| present.contains(address));
        for (place, finding) in findings {
            let head = finding.observation().and_then(|seen| seen.head());
            let shown = head.and_then(|head| self.shown(head));
            if let (Some(address), Some(shown)) = (&place.address, shown)
                && state.trail.versions.get(address) != Some(&shown)
            {
                self.metrics.version(address, shown.clone());
                state.trail.versions.insert(address.clone(), shown);
            }
        }
        self.note_changes(state, findings);
    }

    /// Who answered, as this hop shows it.
    fn shown(&self, head: &Head) -> Option<Version> {
        match &self.hop.gateway {
            Some(gateway) => of_gateway(head, gateway.kind),
            None => of_origin(
                head,
                self.upstream.version_header.as_ref().map(|header| header.as_str()),
            ),
        }
    }

    /// Compares the versions of this round with those of the last that named any. An old one that goes is no news: its
    /// servers were replaced one by one, and the new one was told when it came.
    fn note_changes(&self, state: &mut State, findings: &[(Place, Finding)]) {
        let Some(header) = &self.upstream.version_header else {
            return;
        };
        let heads = findings.iter().filter_map(|(_, finding)| finding.observation()?.head());
        let versions: BTreeSet<Arc<str>> = heads
            .filter_map(|head| Some(named(head, header.as_str())?.version))
            .take(MAX_VERSIONS)
            .collect();
        if versions.is_empty() {
            return;
        }
        let before = std::mem::replace(&mut state.versions, versions);
        if before.is_empty() {
            return;
        }
        let from = before.iter().map(|version| &**version).collect::<Vec<_>>().join(", ");
        for new in state.versions.difference(&before) {
            self.standing.version_changed(Some(&from), new);
        }
    }
}

impl State {
    /// How what fails differs from what does not, where no version runs on both sides.
    pub(super) fn told_apart(&self) -> Option<String> {
        let mut sides: [BTreeSet<String>; 2] = Default::default();
        let mut failing: BTreeMap<&Address, bool> = BTreeMap::new();
        for (place, believed) in self.status.believed() {
            if let Some(address) = &place.address {
                *failing.entry(address).or_default() |= matches!(believed, Confirmed::Failing(_));
            }
        }
        for (address, fails) in failing {
            let shown = self.trail.versions.get(address)?;
            sides[usize::from(fails)].insert(shown.to_string());
        }
        let [well, failing] = &sides;
        let apart = !well.is_empty() && !failing.is_empty() && well.is_disjoint(failing);
        let list = |side: &BTreeSet<String>| {
            let names = side.iter().take(MAX_VERSIONS).map(String::as_str);
            names.collect::<Vec<_>>().join(", ")
        };
        apart.then(|| format!("failing: {}; well: {}", list(failing), list(well)))
    }
}
