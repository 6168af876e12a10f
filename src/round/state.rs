//! What one hop remembers from round to round.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::debug;

use super::choose::{Work, addresses_of};
use crate::agreement::Agreement;
use crate::cause::Cause;
use crate::confirmation::{Place, Status};
use crate::finding::{AddressCounts, Confirmed, Finding, Outcome, Recognised};
use crate::health;
use crate::history::{Record, Trail};
use crate::observation::{Address, Resolution};
use crate::prevention::content::Looks;
use crate::prevention::health_check::Replay;
use crate::prevention::keepalive::Idle;
use crate::prevention::patient::Patience;
use crate::probe::Prepared;
use crate::stale::Answers;
use crate::upstream::Host;

/// Last known addresses are still probed for this long while their name does not resolve (design, section 4).
const STALE_ADDRESS_FOR: Duration = Duration::from_secs(600);

/// What one hop remembers.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) status: Status,
    /// Addresses each target's name gave last, and when.
    pub(super) known: HashMap<usize, (Instant, Vec<Address>)>,
    pub(super) last_addresses: Option<BTreeSet<Address>>,
    /// What the targets' names gave in the present round.
    pub(super) resolutions: Vec<Arc<Resolution>>,
    /// What was found of the resolvers of each target's name, and whether it is believed that they disagree; `None` while
    /// there are not two of them.
    pub(super) agreements: HashMap<usize, (Agreement, Option<bool>)>,
    /// What the resolvers of a target's name say that are believed to disagree.
    pub(super) disagreements: HashMap<usize, Arc<str>>,
    /// What the hop's names gave, round by round.
    pub(super) answers: Answers,
    /// The first attempts of the present round.
    pub(super) round: Vec<Arc<Record>>,
    pub(super) trail: Trail,
    /// Looks at content that is the same everywhere.
    pub(super) content: Looks,
    /// The path that is believed to have other content here than at the origin.
    pub(super) other_content: Option<Arc<str>>,
    /// An error of the last round that came from a cache or may stay in one: its status.
    pub(super) cached_error: Option<u16>,
    /// Versions that the answers of the last round named.
    pub(super) versions: BTreeSet<Arc<str>>,
    pub(super) skipped: BTreeSet<Address>,
    pub(super) unprobed: usize,
    pub(super) first_round_done: bool,
    pub(super) forwarded: bool,
    /// When the last probe that failed began.
    pub(super) last_failed: Option<SystemTime>,
    /// When the first one that succeeded since then began.
    pub(super) well_since: Option<SystemTime>,
    /// What the last failed answer of each place says of the layers it came through.
    pub(super) recognised: BTreeMap<Place, Recognised>,
    /// When each place that is believed failing, or waits for its confirmation, was last seen to fail.
    pub(super) failed_at: BTreeMap<Place, Instant>,
    pub(super) patience: Patience,
    /// How long idle connections last, by target and address.
    pub(super) idle: BTreeMap<(usize, Address), Idle>,
    /// The gateway's health check, replayed, by target and address.
    pub(super) checks: BTreeMap<(usize, Address), Replay>,
    /// Since when the hop fails, and what was seen then.
    pub(super) failing: Option<(SystemTime, Arc<str>)>,
}

/// What is confirmed failing at a hop.
#[derive(Clone, Debug)]
pub struct HopFailing {
    /// Why; of several causes the one most places have.
    pub cause: Cause,
    /// Nothing of the hop is known to be well.
    pub wholly: bool,
    /// When that began.
    pub since: SystemTime,
    /// What was seen then.
    pub evidence: Arc<str>,
}

impl State {
    /// What is confirmed failing, if anything is.
    pub(super) fn failing(&self) -> Option<HopFailing> {
        let since = self.failing.as_ref()?.0;
        let evidence = self.evidence()?;
        let mut causes: BTreeMap<Cause, usize> = BTreeMap::new();
        for cause in self.status.believed().filter_map(|(_, believed)| believed.cause()) {
            *causes.entry(cause).or_default() += 1;
        }
        // Of several the most frequent, of equally frequent the one of the earliest phase.
        let (cause, _) = causes.into_iter().rev().max_by_key(|(_, count)| *count)?;
        let wholly = !self
            .status
            .believed()
            .any(|(_, believed)| believed == Confirmed::Healthy);
        Some(HopFailing {
            cause,
            wholly,
            since,
            evidence,
        })
    }

    /// What was seen when the hop began to fail, and what patience has found out since.
    pub(super) fn evidence(&self) -> Option<Arc<str>> {
        let (_, evidence) = self.failing.as_ref()?;
        let told = self.patience.told().map(ToString::to_string);
        let more: Vec<String> = self
            .told_apart()
            .map(|apart| apart.to_string())
            .into_iter()
            .chain(told)
            .collect();
        match more.as_slice() {
            [] => Some(evidence.clone()),
            more => Some(format!("{evidence}; {}", more.join("; ")).into()),
        }
    }

    /// Remembers what failed answers say, as long as their places fail or wait for a confirmation.
    pub(super) fn recognise(&mut self, findings: &[(Place, Finding)], now: Instant) {
        let failed = findings.iter().filter(|(_, finding)| finding.outcome.cause().is_some());
        let failed: BTreeMap<&Place, Recognised> = failed.map(|(place, finding)| (place, finding.recognised)).collect();
        let status = &self.status;
        self.recognised.retain(|place, _| status.is_believed_failing(place));
        self.failed_at.retain(|place, _| status.is_believed_failing(place));
        self.failed_at
            .extend(failed.keys().map(|place| ((*place).clone(), now)));
        self.recognised
            .extend(failed.into_iter().map(|(place, page)| (place.clone(), page)));
    }

    /// What is believed of every address, and of names that do not resolve.
    pub(super) fn health(&self, now: Instant) -> Vec<health::Place> {
        let lost = |target| {
            let mut names = self.status.believed().filter(|(place, _)| place.address.is_none());
            names.any(|(place, believed)| place.target == target && believed != Confirmed::Healthy)
        };
        let mut places: BTreeMap<(usize, Option<&Address>), health::Place> = BTreeMap::new();
        for (place, believed) in self.status.believed() {
            let known = places
                .entry((place.target, place.address.as_ref()))
                .or_insert_with(|| health::Place {
                    address: place.address.clone(),
                    failed_ago: None,
                    name_lost: place.address.is_some() && lost(place.target),
                });
            if matches!(believed, Confirmed::Failing(_)) {
                let ago = self.failed_at.get(place).map(|at| now.saturating_duration_since(*at));
                known.failed_ago = known.failed_ago.into_iter().chain(ago).min();
            }
        }
        places.into_values().collect()
    }

    /// Remembers what the names of targets gave, for when they give nothing.
    pub(super) fn remember_addresses(&mut self, targets: &[Prepared], resolutions: &[Arc<Resolution>], now: Instant) {
        for (index, (target, resolution)) in targets.iter().zip(resolutions).enumerate() {
            if matches!(target.target.host, Host::Name(_)) && resolution.result.is_ok() {
                self.known
                    .insert(index, (now, addresses_of(&target.target, resolution)));
            }
        }
    }

    /// Takes in what the names gave in a round; true when these addresses are others than those of the round before.
    pub(super) fn take_names(
        &mut self,
        resolutions: &[Arc<Resolution>],
        present: &BTreeSet<Address>,
        now: Instant,
    ) -> bool {
        let before = self.last_addresses.as_ref();
        let changed = before.is_some_and(|before| before != present);
        if resolutions.iter().all(|resolution| resolution.result.is_ok()) {
            self.last_addresses = Some(present.clone());
            let given = resolutions
                .iter()
                .flat_map(|resolution| resolution.result.iter().flatten());
            let ttl = resolutions.iter().filter_map(|resolution| resolution.ttl).max();
            self.answers.saw(given.copied(), ttl, now);
        }
        changed
    }

    /// Last known addresses of names that do not resolve now, one path each.
    pub(super) fn stale_addresses(
        &self,
        targets: &[Prepared],
        resolutions: &[Arc<Resolution>],
        now: Instant,
    ) -> Vec<Work> {
        let mut work = Vec::new();
        for (index, (target, resolution)) in targets.iter().zip(resolutions).enumerate() {
            if resolution.result.is_ok() {
                continue;
            }
            if let Some((at, addresses)) = self.known.get(&index).filter(|(at, _)| now - *at < STALE_ADDRESS_FOR) {
                debug!(age_seconds = (now - *at).as_secs(), "probing last known addresses");
                let addresses = addresses.iter().take(target.target.max_addresses);
                work.extend(addresses.map(|address| Work {
                    target: index,
                    request: 0,
                    address: address.clone(),
                }));
            }
        }
        work
    }

    /// Takes in how a probe ended that began at that time.
    pub(super) fn looked(&mut self, at: SystemTime, outcome: Outcome) {
        match outcome {
            Outcome::Failure(_) => (self.last_failed, self.well_since) = (Some(at), None),
            Outcome::Success => {
                self.well_since.get_or_insert(at);
            }
            Outcome::Aborted(_) | Outcome::Skipped => {}
        }
    }

    /// Some path of the address is confirmed failing.
    pub(super) fn fails(&self, target: usize, address: &Address) -> bool {
        let mut of_address = self
            .status
            .believed()
            .filter(|(place, _)| place.target == target && place.address.as_ref() == Some(address));
        of_address.any(|(_, believed)| believed != Confirmed::Healthy)
    }

    /// Addresses by what is believed of them.
    pub(super) fn count_addresses(&self) -> AddressCounts {
        let mut failing: BTreeMap<&Address, bool> = BTreeMap::new();
        for (place, believed) in self.status.believed() {
            if let Some(address) = &place.address {
                *failing.entry(address).or_default() |= matches!(believed, Confirmed::Failing(_));
            }
        }
        let skipped = self
            .skipped
            .iter()
            .filter(|address| !failing.contains_key(address))
            .count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        AddressCounts {
            healthy: count(failing.values().filter(|failing| !**failing).count()),
            failing: count(failing.values().filter(|failing| **failing).count()),
            skipped: count(skipped),
            unprobed: count(self.unprobed),
        }
    }
}
