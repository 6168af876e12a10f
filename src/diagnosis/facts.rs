//! What a diagnosis is made from: plain data, one part for each hop, filled from what is believed of its places.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::rounds::Rounds;
use crate::cause::{Cause, Phase};
use crate::confirmation::{Place, Status};
use crate::finding::{Confirmed, Recognised};

/// All that is known of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamFacts {
    /// In the order users pass them: outermost gateway first, the origin last.
    pub hops: Vec<HopFacts>,
    /// Self checks are configured and every one fails.
    pub self_check_lost: bool,
}

/// All that is known of a hop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HopFacts {
    /// Its name.
    pub name: Arc<str>,
    /// True on the hop that reaches the servers directly.
    pub is_origin: bool,
    /// A whole round was made.
    pub complete: bool,
    /// Addresses of which every judged path is believed healthy. What was skipped, aborted or waits for its
    /// confirmation is not judged.
    pub healthy: usize,
    /// Addresses believed failing, and names that do not resolve.
    pub failing: Vec<FailingAddress>,
    /// All that is believed failing has succeeded since and waits for its next clean round.
    pub recovering: bool,
    /// When the last probe of it that failed began.
    pub last_failed: Option<SystemTime>,
    /// When the first probe of it that succeeded since then began.
    pub well_since: Option<SystemTime>,
    /// Something of it was healthy once, since this process learnt of it.
    pub ever_succeeded: bool,
    /// First attempts of the last rounds.
    pub rounds: Rounds,
    /// What was seen when it began to fail, for people.
    pub evidence: Option<Arc<str>>,
    /// What error pages say of the failed requests: of several causes the one most places state.
    pub stated: Option<Cause>,
    /// The accept queue of one of its addresses is full, as the kernel of this host says.
    pub queue_is_full: bool,
    /// Real requests of the upstream in this gateway's log, those of the last moments.
    pub log: Option<Box<LogEvidence>>,
}

/// An address that fails, or a name that does not resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingAddress {
    /// As people write it.
    pub address: Arc<str>,
    /// A name that gives no address stands here as one address.
    pub is_name: bool,
    /// The earliest of its paths' causes, in the order of [`Cause::ALL`].
    pub cause: Cause,
    /// The paths that fail; none for a name or an unexpected address.
    pub paths: Vec<Arc<str>>,
    /// The answer of one of its paths came from a cache.
    pub from_cache: bool,
}

/// Real requests of an upstream in the log of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvidence {
    /// Failed requests exceed the upstream's `spike`.
    pub exceeds_spike: bool,
    /// Failed requests in the window.
    pub failed: u64,
    /// Requests in the window.
    pub requests: u64,
    /// Why most of them failed.
    pub cause: Option<Cause>,
    /// The path most of them asked for.
    pub path: Option<Arc<str>>,
    /// The backend most of them were sent to.
    pub backend: Option<Arc<str>>,
    /// Causes, backends and paths with the number of failed requests of each, the most frequent first.
    pub ranked: Ranked,
}

/// What failed requests share: a few values of each, the most frequent first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ranked {
    /// Why they failed.
    pub causes: Vec<(Cause, u64)>,
    /// The backends they were sent to.
    pub backends: Vec<(Arc<str>, u64)>,
    /// The paths they asked for.
    pub paths: Vec<(Arc<str>, u64)>,
}

impl HopFacts {
    /// A hop of which nothing is known.
    pub fn unknown(name: Arc<str>, is_origin: bool) -> HopFacts {
        HopFacts {
            name,
            is_origin,
            ..HopFacts::default()
        }
    }

    /// Takes over what is believed of the hop's places:
    ///
    /// 1. An address fails when any of its paths does, and counts with the earliest cause.
    /// 2. A name that does not resolve is one failing address; the addresses it had count no more.
    /// 3. What nothing is believed of yet does not count.
    /// 4. Pages speak for the places that are believed failing.
    ///
    /// `pages` is what the last failed answers say, `name_of` gives the name of a target.
    pub fn believe(
        &mut self,
        status: &Status,
        pages: &BTreeMap<Place, Recognised>,
        name_of: impl Fn(usize) -> Arc<str>,
    ) {
        let lost_name = |place: &Place, confirmed: Confirmed| place.address.is_none() && confirmed.cause().is_some();
        let lost_names: BTreeSet<usize> = status
            .believed()
            .filter(|(place, confirmed)| lost_name(place, *confirmed))
            .map(|(place, _)| place.target)
            .collect();
        let mut stated = Vec::new();
        let mut healthy = BTreeSet::new();
        let mut failing: BTreeMap<_, FailingAddress> = BTreeMap::new();
        for (place, confirmed) in status.believed() {
            let is_name = place.address.is_none();
            if !is_name && lost_names.contains(&place.target) {
                continue;
            }
            let key = (place.target, place.address.as_ref());
            let Some(cause) = confirmed.cause() else {
                healthy.insert(key);
                continue;
            };
            let entry = failing.entry(key).or_insert_with(|| FailingAddress {
                address: match &place.address {
                    Some(address) => address.to_string().into(),
                    None => name_of(place.target),
                },
                is_name,
                cause,
                paths: Vec::new(),
                from_cache: false,
            });
            let page = pages.get(place).copied().unwrap_or_default();
            stated.extend(page.stated);
            entry.from_cache |= page.cached_by.is_some();
            entry.cause = entry.cause.min(cause);
            entry.paths.extend((!place.path.is_empty()).then(|| place.path.clone()));
        }
        self.healthy = healthy.iter().filter(|key| !failing.contains_key(*key)).count();
        self.recovering = status.is_recovering();
        self.ever_succeeded |= !healthy.is_empty();
        self.failing = failing.into_values().collect();
        self.state(stated.into_iter());
    }

    /// Takes over what error pages state.
    pub fn state(&mut self, causes: impl Iterator<Item = Cause>) {
        self.stated = super::most(causes);
    }

    /// A whole round was made and some result is confirmed; other hops are left out.
    pub fn is_judged(&self) -> bool {
        self.complete && (self.healthy > 0 || self.fails())
    }

    /// Some address fails.
    pub fn fails(&self) -> bool {
        !self.failing.is_empty()
    }

    /// All probed addresses fail.
    pub fn fails_wholly(&self) -> bool {
        self.fails() && self.healthy == 0
    }

    /// Some addresses fail and others do not.
    pub fn fails_partly(&self) -> bool {
        self.fails() && self.healthy > 0
    }

    /// Why what it was asked for fails, as its error page says, or where that does not, as its log says of real requests.
    /// A status is no reason: what the log knows no more of than that, it does not state.
    pub fn states(&self) -> Option<Cause> {
        let is_reason = |cause: &Cause| *cause != Cause::Unknown && cause.phase() != Phase::Status;
        let logged = self.log.as_ref().and_then(|log| log.cause).filter(is_reason);
        self.stated.filter(is_reason).or(logged).or(self.stated)
    }

    /// Failed requests in its log exceed the upstream's `spike`.
    pub fn exceeds_spike(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.exceeds_spike)
    }
}
