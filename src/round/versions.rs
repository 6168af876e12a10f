//! The running version, where answers name it (`version_header`): a new one stands beside incidents as a change.

use std::collections::BTreeSet;

use super::HopRun;
use super::state::State;
use crate::confirmation::Place;
use crate::finding::Finding;

/// Characters of a version at most.
const MAX_VERSION: usize = 64;
/// Versions of one round at most.
const MAX_VERSIONS: usize = 8;

impl HopRun {
    /// Compares the versions of this round with those of the last that named any. An old one that goes is no news: its
    /// servers were replaced one by one, and the new one was told when it came.
    pub(super) fn note_versions(&self, state: &mut State, findings: &[(Place, Finding)]) {
        let Some(header) = &self.upstream.version_header else {
            return;
        };
        let heads = findings.iter().filter_map(|(_, finding)| finding.observation()?.head());
        let named = heads.filter_map(|head| head.header(header.as_str()));
        let versions: BTreeSet<String> = named
            .map(clean)
            .filter(|name| !name.is_empty())
            .take(MAX_VERSIONS)
            .collect();
        if versions.is_empty() {
            return;
        }
        let before = std::mem::replace(&mut state.versions, versions);
        if before.is_empty() {
            return;
        }
        let from = before.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        for new in state.versions.difference(&before) {
            self.standing.version_changed(Some(&from), new);
        }
    }
}

fn clean(text: &str) -> String {
    let printable = text.trim().chars().filter(|char| !char.is_control());
    printable.take(MAX_VERSION).collect()
}
