//! One pass over a hop: resolve once, probe its addresses and paths, judge, confirm what failed, look again.
//!
//! First attempts make the round; confirmations and rechecks run beside the schedule and count apart.

mod again;
mod ahead;
mod check;
mod content;
mod idle;
mod lines;
mod listening;
mod patient;
mod report;
mod resolvers;
mod state;
mod turns;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::cause::Cause;
use crate::classify::{classify, classify_resolution, unexpected};
use crate::clock;
use crate::confirmation::{Attempt, Change, Place};
use crate::evidence::{self, Evidence};
use crate::finding::limits::{PROBED, used};
use crate::finding::{AddressCounts, Finding, Outcome, Purpose, Recognised, RoundSummary, Seen};
use crate::fingerprint::recognise;
use crate::health;
use crate::history::{History, Record, RoundPoint, Trail};
use crate::metrics::{HopMetrics, Metrics};
use crate::observation::{Address, Observation, OwnLimit, Resolution};
use crate::probe::{Prepared, Prober};
use crate::schedule::Key;
use crate::stale::Answers;
use crate::standing::Standing;
use crate::upstream::{AddressChoice, Hop, Host, Request, Target, Upstream};

use lines::log_finding;
pub use state::HopFailing;
use state::State;
pub use turns::Turns;

/// What the rounds of all hops share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Makes the probes.
    pub prober: Arc<Prober>,
    /// One permit per probe under way.
    pub slots: Arc<Semaphore>,
    /// One permit per patient probe: those that wait for minutes take no slot from the rounds.
    pub patient: Arc<Semaphore>,
    /// One permit per connection left idle.
    pub idle: Arc<Semaphore>,
    /// Where findings are counted.
    pub metrics: Metrics,
    /// Where findings are kept.
    pub history: Arc<Mutex<History>>,
    /// Asks for a round at once.
    pub forward: Arc<Forward>,
}

/// Hops whose next round is to come at once.
#[derive(Debug, Default)]
pub struct Forward {
    keys: Mutex<Vec<Key>>,
    added: Notify,
}

impl Forward {
    fn add(&self, key: Key) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.added.notify_one();
    }

    /// Waits for the next ones.
    pub async fn next(&self) -> Vec<Key> {
        self.added.notified().await;
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one hop needs from round to round.
#[derive(Debug)]
pub struct HopRun {
    /// Its number in the schedule.
    pub key: Key,
    /// The upstream it belongs to.
    pub upstream: Arc<Upstream>,
    /// The hop.
    pub hop: Arc<Hop>,
    targets: Vec<Prepared>,
    kinds: Vec<&'static str>,
    metrics: Arc<HopMetrics>,
    turns: Arc<Turns>,
    standing: Arc<Standing>,
    state: Mutex<State>,
    running: AtomicBool,
    rechecking: AtomicBool,
    comparing: AtomicBool,
    checking: AtomicBool,
    retired: AtomicBool,
    next_address: AtomicUsize,
}

/// One request to be made in a round.
#[derive(Clone, Debug)]
struct Work {
    target: usize,
    request: usize,
    address: Address,
}

impl HopRun {
    /// A hop of which nothing is known yet. `targets` are those of the hop, prepared.
    pub fn new(
        key: Key,
        upstream: Arc<Upstream>,
        hop: Arc<Hop>,
        targets: Vec<Prepared>,
        metrics: Arc<HopMetrics>,
        turns: Arc<Turns>,
        standing: Arc<Standing>,
    ) -> Self {
        HopRun {
            key,
            kinds: upstream.kinds_from(&hop.name),
            upstream,
            hop,
            targets,
            metrics,
            turns,
            standing,
            state: Mutex::default(),
            running: AtomicBool::new(false),
            rechecking: AtomicBool::new(false),
            comparing: AtomicBool::new(false),
            checking: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            next_address: AtomicUsize::new(0),
        }
    }

    /// No more rounds: what is still under way counts as cancelled.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// True once a whole round is done.
    pub fn has_completed_a_round(&self) -> bool {
        self.state().first_round_done
    }

    /// Addresses by state.
    pub fn addresses(&self) -> AddressCounts {
        self.state().count_addresses()
    }

    /// What is confirmed failing, if anything is.
    pub fn failing(&self) -> Option<HopFailing> {
        self.state().failing()
    }

    /// Its last rounds, the oldest first.
    pub fn rounds(&self) -> Vec<RoundPoint> {
        self.state().trail.rounds().collect()
    }

    /// 502s per probe over the last five minutes; `now` in seconds since the epoch, `None` without probes.
    pub fn bad_gateway_ratio(&self, now: u64) -> Option<f64> {
        self.metrics.bad_gateway_ratio(now)
    }

    /// What it did of late.
    pub fn trail(&self) -> Trail {
        self.state().trail.clone()
    }

    /// What is believed of every address, for gateways that ask.
    pub fn health(&self) -> Vec<health::Place> {
        self.state().health(Instant::now())
    }

    /// What its names gave of late; `None` where its URLs hold addresses alone.
    pub fn answers(&self) -> Option<Answers> {
        self.hop.resolves().then(|| self.state().answers.clone())
    }

    /// True while a round is under way.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Marks a round as begun; false while the one before still runs.
    pub fn begin(&self) -> bool {
        !self.running.swap(true, Ordering::AcqRel)
    }

    /// The round begun before. Its end, also by a panic, makes room for the next.
    pub async fn round(self: Arc<Self>, shared: Arc<Shared>, due: Instant) {
        let running = Running {
            hop: &self,
            metrics: &shared.metrics,
        };
        let not_after = due + self.upstream.interval;
        let resolutions = self.resolve_all(&shared).await;
        self.state().resolutions.clone_from(&resolutions);
        let mut findings = self.judge_names(&resolutions);
        for (place, finding) in &findings {
            self.record(&shared, place.target, None, finding);
        }
        let chosen = self.choose(&resolutions);
        findings.extend(
            self.probe_all(&shared, &chosen.work, Purpose::Scheduled, not_after)
                .await,
        );
        if self.retired.load(Ordering::Relaxed) {
            return;
        }
        self.finish_round(&shared, &resolutions, chosen, findings);
        drop(running);
    }

    async fn resolve_all(&self, shared: &Shared) -> Vec<Arc<Resolution>> {
        let resolve = |target| shared.prober.resolve(target);
        let resolutions = match self.targets.as_slice() {
            [one] => vec![resolve(one).await],
            many => join_all(many.iter().map(resolve)).await,
        };
        for (target, resolution) in self.targets.iter().zip(&resolutions) {
            if matches!(target.target.host, Host::Name(_)) {
                self.metrics.resolved(resolution);
                debug!(upstream = %self.upstream.name, hop = %self.hop.name, evidence = evidence::of_resolution(resolution), "resolved");
            }
        }
        resolutions
    }

    /// Findings of names that give no address, and of addresses a name must not give.
    fn judge_names(&self, resolutions: &[Arc<Resolution>]) -> Vec<(Place, Finding)> {
        let mut findings = Vec::new();
        for (index, (target, resolution)) in self.targets.iter().zip(resolutions).enumerate() {
            let seen = || Seen::Resolution(resolution.clone());
            match classify_resolution(resolution) {
                Outcome::Success => {
                    let outside = unexpected_of(&target.target, resolution);
                    findings.extend(outside.map(|address| {
                        let outcome = Outcome::Failure(Cause::DnsUnexpectedAddress);
                        self.finding(index, Some(address), None, Purpose::Scheduled, outcome, seen())
                    }));
                }
                outcome => findings.push(self.finding(index, None, None, Purpose::Scheduled, outcome, seen())),
            }
        }
        findings
    }

    /// The requests of this round: every address, or the next one, times every path.
    fn choose(&self, resolutions: &[Arc<Resolution>]) -> Chosen {
        let mut chosen = Chosen::default();
        for (index, (target, resolution)) in self.targets.iter().zip(resolutions).enumerate() {
            let target = &target.target;
            let mut addresses = addresses_of(target, resolution);
            chosen.present.extend(addresses.iter().cloned());
            chosen.present.extend(unexpected_of(target, resolution));
            let all = addresses.len();
            if target.addresses == AddressChoice::One && all > 1 {
                let next = self.next_address.fetch_add(1, Ordering::Relaxed) % all;
                addresses = vec![addresses.swap_remove(next)];
            }
            addresses.truncate(target.max_addresses);
            chosen.unprobed += all - addresses.len();
            for address in addresses {
                let works = (0..target.requests.len()).map(|request| Work {
                    target: index,
                    request,
                    address: address.clone(),
                });
                chosen.work.extend(works);
            }
        }
        chosen
    }

    async fn probe_all(
        &self,
        shared: &Shared,
        work: &[Work],
        purpose: Purpose,
        not_after: Instant,
    ) -> Vec<(Place, Finding)> {
        match work {
            [] => Vec::new(),
            [one] => vec![self.probe(shared, one, purpose, not_after).await],
            many => {
                let probes: FuturesUnordered<_> = many
                    .iter()
                    .map(|work| self.probe(shared, work, purpose, not_after))
                    .collect();
                probes.collect().await
            }
        }
    }

    /// One request at the pace of the upstream, judged and recorded.
    async fn probe(&self, shared: &Shared, work: &Work, purpose: Purpose, not_after: Instant) -> (Place, Finding) {
        let prepared = &self.targets[work.target];
        let request = &prepared.target.requests[work.request];
        let aborted = |limit| {
            let address = Some(work.address.clone());
            self.finding(
                work.target,
                address,
                Some(request),
                purpose,
                Outcome::Aborted(limit),
                Seen::Nothing,
            )
        };
        let judged = match self.turns.reserve(not_after) {
            None => aborted(OwnLimit::RateLimit),
            Some(at) => {
                if at > Instant::now() {
                    sleep_until(at).await;
                }
                let permit = shared.slots.acquire().await.expect("the slots are never closed");
                let in_flight = shared.metrics.in_flight();
                let seen = shared.prober.probe(prepared, request, &work.address).await;
                drop((permit, in_flight));
                match self.retired.load(Ordering::Relaxed) {
                    true => aborted(OwnLimit::Cancelled),
                    false => self.judge(work, request, purpose, seen),
                }
            }
        };
        self.record(shared, work.target, Some(request), &judged.1);
        judged
    }

    fn judge(&self, work: &Work, request: &Request, purpose: Purpose, seen: Observation) -> (Place, Finding) {
        let recognised = recognise(&seen, &self.kinds);
        let outcome = classify(&seen, &recognised, &self.targets[work.target].target.expect);
        let (address, seen) = (Some(work.address.clone()), Seen::Probe(Box::new(seen)));
        let (place, finding) = self.finding(work.target, address, Some(request), purpose, outcome, seen);
        (place, Finding { recognised, ..finding })
    }

    fn finding(
        &self,
        target: usize,
        address: Option<Address>,
        request: Option<&Request>,
        purpose: Purpose,
        outcome: Outcome,
        seen: Seen,
    ) -> (Place, Finding) {
        let path = request.map(|request| request.label.clone());
        let place = Place {
            target,
            address: address.clone(),
            path: path.clone().unwrap_or_else(|| "".into()),
        };
        let finding = Finding {
            upstream: self.upstream.clone(),
            hop: self.hop.clone(),
            at: match &seen {
                Seen::Probe(observation) => observation.at,
                Seen::Resolution(_) | Seen::Nothing => clock::now(),
            },
            purpose,
            address,
            path,
            outcome,
            recognised: Recognised::default(),
            seen,
        };
        (place, finding)
    }

    /// Counts a finding and keeps it: for the process, for the trail of this hop, and for an incident.
    fn record(&self, shared: &Shared, target: usize, request: Option<&Request>, finding: &Finding) {
        self.metrics.record(finding);
        if tracing::enabled!(tracing::Level::DEBUG) {
            log_finding(
                finding,
                &evidence::of_finding(finding, &self.targets[target].target, request),
            );
        }
        let resolution = self.state().resolutions.get(target).cloned();
        let target = &self.targets[target].target;
        let resolution = resolution.filter(|_| matches!(target.host, Host::Name(_)));
        let evidence = Evidence::new(finding, target, request, resolution.as_deref()).map(Arc::new);
        if let Some(evidence) = &evidence {
            self.standing.failed(finding.purpose, evidence);
        }
        let record = Arc::new(Record::new(finding, resolution, evidence));
        if finding.purpose != Purpose::StaleAddress {
            self.state().looked(finding.at, finding.outcome);
        }
        if finding.purpose == Purpose::Scheduled {
            self.state().round.push(Arc::clone(&record));
        }
        shared
            .history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record);
    }

    fn finish_round(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        resolutions: &[Arc<Resolution>],
        chosen: Chosen,
        findings: Vec<(Place, Finding)>,
    ) {
        let now = Instant::now();
        let mut attempts: Vec<_> = findings
            .iter()
            .map(|(place, finding)| self.attempt(place, finding, now))
            .collect();
        attempts.extend(self.names_that_resolve(resolutions));
        let whole = !attempts
            .iter()
            .any(|attempt| matches!(attempt.outcome, Outcome::Aborted(_)));
        let mut state = self.state();
        state.first_round_done |= whole;
        state.forwarded = false;
        state.remember_addresses(&self.targets, resolutions, now);
        let records = std::mem::take(&mut state.round);
        state.trail.round(&records, |known| {
            known
                .address
                .as_ref()
                .is_some_and(|address| chosen.present.contains(address))
        });
        let probed = findings
            .iter()
            .filter_map(|(_, finding)| Some((finding, finding.observation()?)));
        for (finding, seen) in probed {
            let uses = PROBED
                .into_iter()
                .filter_map(|kind| used(&self.hop.limits, kind, seen, finding.outcome.cause()));
            state.trail.used(uses);
        }
        self.note_versions(&mut state, &chosen.present, &findings);
        self.note_listening(shared, &mut state, &chosen.present, &findings);
        state.skipped = skipped(&findings);
        state.unprobed = chosen.unprobed;
        let changed = state
            .last_addresses
            .as_ref()
            .is_some_and(|known| *known != chosen.present);
        if resolutions.iter().all(|resolution| resolution.result.is_ok()) {
            state.last_addresses = Some(chosen.present.clone());
            let given = resolutions
                .iter()
                .flat_map(|resolution| resolution.result.iter().flatten());
            let ttl = resolutions.iter().filter_map(|resolution| resolution.ttl).max();
            state.answers.saw(given.copied(), ttl, now);
        }
        let plan = state
            .status
            .round(&attempts, &chosen.present, whole, &self.upstream.confirm);
        for place in &plan.gone {
            self.metrics.forget(place.address.as_ref(), &place.path);
        }
        state.recognise(&findings, now);
        let began = self.apply(&mut state, &plan.changes, &findings, now);
        let patient = self.to_be_patient_with(&mut state, &findings, now);
        let idle = self.to_be_left_idle(&mut state, &chosen.work, now);
        let compared = self.to_be_compared(&mut state, &chosen.work);
        self.take_over(&mut state, &chosen.work);
        let stale = state.stale_addresses(&self.targets, resolutions, now);
        let healthy = state.count_addresses().healthy;
        state.trail.healthy(healthy, clock::now());
        let summary = self.summarise(&state, resolutions, &attempts, changed && self.hop.resolves());
        // Nothing can be said of what was known: there is no way out of this host any more.
        let cut_off = !summary.judged && !state.skipped.is_empty() && state.status.believed().next().is_some();
        drop(state);
        if cut_off || !plan.retry.is_empty() {
            // Asked before a failure is confirmed, so that it is not believed where the fault is ours.
            self.standing.own_network().doubt();
        }
        self.metrics.round(&summary);
        self.log_changes(&plan.changes, &findings);
        self.report(summary.judged.then_some(!summary.clean));
        if began {
            self.ask_the_others(shared);
        }
        if !plan.retry.is_empty() {
            let (hop, shared, retry, follow) = (self.clone(), shared.clone(), plan.retry, plan.follow);
            tokio::spawn(async move { hop.confirm(shared, retry, follow).await });
        } else if began {
            self.begin_rechecks(shared);
        }
        self.compare_resolvers(shared, resolutions);
        if let Some(work) = patient {
            let (hop, shared) = (self.clone(), shared.clone());
            tokio::spawn(async move { hop.wait_patiently(&shared, work).await });
        }
        if let Some(idle) = idle {
            let (hop, shared) = (self.clone(), shared.clone());
            tokio::spawn(async move { hop.leave_idle(&shared, idle).await });
        }
        if let Some(work) = compared {
            let (hop, shared) = (self.clone(), shared.clone());
            tokio::spawn(async move { hop.compare_content(&shared, work).await });
        }
        self.begin_health_checks(shared);
        if !stale.is_empty() {
            let (hop, shared, until) = (self.clone(), shared.clone(), now + self.upstream.interval);
            tokio::spawn(async move { hop.probe_all(&shared, &stale, Purpose::StaleAddress, until).await });
        }
    }

    /// What confirmation needs of a finding. After an answer that asks for patience there is no further request in between
    /// rounds; after `Retry-After` none before. A failure while our own network is lost says nothing of anybody else.
    fn attempt(&self, place: &Place, finding: &Finding, now: Instant) -> Attempt {
        let head = finding.observation().and_then(Observation::head);
        let patient = finding.outcome.cause().is_some_and(Cause::asks_for_patience)
            || head.is_some_and(|head| asks_for_patience(head.status));
        let wait = head.and_then(|head| head.retry_after).unwrap_or_default();
        Attempt {
            place: place.clone(),
            outcome: match finding.outcome {
                Outcome::Failure(_) if self.standing.own_network().is_lost() => Outcome::Skipped,
                outcome => outcome,
            },
            recheck_from: (!patient).then(|| now + wait),
        }
    }

    /// Names that give addresses: their attempts, for a name that failed before.
    fn names_that_resolve(&self, resolutions: &[Arc<Resolution>]) -> Vec<Attempt> {
        let named = self.targets.iter().zip(resolutions).enumerate();
        named
            .filter(|(_, (target, seen))| matches!(target.target.host, Host::Name(_)) && seen.result.is_ok())
            .map(|(target, _)| Attempt {
                place: Place {
                    target,
                    address: None,
                    path: "".into(),
                },
                outcome: Outcome::Success,
                recheck_from: None,
            })
            .collect()
    }

    /// The facts of a finding of this place.
    fn in_words(&self, place: &Place, finding: &Finding) -> String {
        let target = &self.targets[place.target].target;
        let request = target.requests.iter().find(|request| request.label == place.path);
        evidence::of_finding(finding, target, request)
    }

    /// Shows believed results; true when the hop just began to fail.
    fn apply(&self, state: &mut State, changes: &[Change], findings: &[(Place, Finding)], now: Instant) -> bool {
        for change in changes {
            self.metrics
                .confirmed(change.place.address.as_ref(), &change.place.path, change.to);
            if change.to.cause().is_some() {
                let seen = findings.iter().find(|(place, _)| *place == change.place);
                let evidence = seen
                    .map(|(place, finding)| self.in_words(place, finding))
                    .unwrap_or_default();
                let since = state.failing.take().map_or_else(clock::now, |(since, _)| since);
                state.failing = Some((since, evidence.into()));
            }
        }
        if !state.status.is_failing() {
            state.failing = None;
        }
        state.status.note_failing(now)
    }

    fn summarise(
        &self,
        state: &State,
        resolutions: &[Arc<Resolution>],
        attempts: &[Attempt],
        dns_changed: bool,
    ) -> RoundSummary {
        let judged: Vec<_> = attempts
            .iter()
            .filter(|attempt| matches!(attempt.outcome, Outcome::Success | Outcome::Failure(_)))
            .filter(|attempt| attempt.place.address.is_some() || attempt.outcome != Outcome::Success)
            .collect();
        let mut by_address: BTreeMap<(usize, Option<&Address>), bool> = BTreeMap::new();
        for attempt in &judged {
            let failed = matches!(attempt.outcome, Outcome::Failure(_));
            *by_address
                .entry((attempt.place.target, attempt.place.address.as_ref()))
                .or_default() |= failed;
        }
        RoundSummary {
            at: clock::now(),
            failed_wholly: !by_address.is_empty() && by_address.values().all(|failed| *failed),
            clean: by_address.values().all(|failed| !failed),
            judged: !judged.is_empty(),
            addresses: state.count_addresses(),
            dns_addresses: resolutions
                .iter()
                .map(|seen| seen.result.as_ref().map_or(0, Vec::len))
                .sum(),
            dns_ttl: resolutions.iter().filter_map(|seen| seen.ttl).min(),
            dns_changed,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests of one round.
#[derive(Debug, Default)]
struct Chosen {
    work: Vec<Work>,
    present: BTreeSet<Address>,
    unprobed: usize,
}

/// A round under way; its end makes room for the next, also when it ends by a panic.
struct Running<'a> {
    hop: &'a HopRun,
    metrics: &'a Metrics,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.metrics.probe_panicked();
        }
        self.hop.running.store(false, Ordering::Release);
    }
}

/// Whatever page comes with it.
fn asks_for_patience(status: u16) -> bool {
    matches!(status, 429 | 503 | 504)
}

/// The addresses of a target that may be probed.
fn addresses_of(target: &Target, resolution: &Resolution) -> Vec<Address> {
    if let Host::Unix(path) = &target.host {
        return vec![Address::Unix(Arc::new(path.clone()))];
    }
    let mut seen = BTreeSet::new();
    let addresses = resolution
        .result
        .iter()
        .flatten()
        .filter(|ip| !unexpected(**ip, &target.expect));
    addresses
        .filter(|ip| seen.insert(**ip))
        .map(|ip| at(*ip, target))
        .collect()
}

/// The addresses of a target that its name must not have.
fn unexpected_of(target: &Target, resolution: &Resolution) -> impl Iterator<Item = Address> {
    let outside = resolution
        .result
        .iter()
        .flatten()
        .filter(|ip| unexpected(**ip, &target.expect));
    outside
        .map(|ip| at(*ip, target))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .take(target.max_addresses)
}

fn at(ip: IpAddr, target: &Target) -> Address {
    Address::Tcp(SocketAddr::new(ip, target.port))
}

fn skipped(findings: &[(Place, Finding)]) -> BTreeSet<Address> {
    let skipped = findings
        .iter()
        .filter(|(_, finding)| finding.outcome == Outcome::Skipped);
    skipped.filter_map(|(place, _)| place.address.clone()).collect()
}
#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F, R>(_: F) -> usize
    where
        F: FnOnce(Arc<HopRun>, Arc<Shared>, Instant) -> R,
    {
        std::mem::size_of::<R>()
    }

    /// In an outage thousands of rounds wait at once; what one holds is what an outage costs.
    #[test]
    fn a_round_under_way_is_small() {
        let bytes = size_of_future(HopRun::round);
        assert!(bytes <= 4096, "{bytes} bytes");
    }

    #[test]
    fn a_panic_is_counted_and_makes_room_for_the_next_round() {
        let config = crate::config::from_urls(&["http://127.0.0.1:9/".to_owned()], &[]).expect("it is valid");
        let metrics = Metrics::new(crate::metrics::Build::of("0", "0"));
        metrics.configure(&config.upstreams);
        let upstream = config.upstreams[0].clone();
        let hop = upstream.hops[0].clone();
        let handle = metrics.hop(&upstream.name, &hop.name).expect("configured");
        let turns = Arc::new(Turns::new(1.0));
        let of_upstream = metrics.upstream(&upstream.name).expect("configured");
        let standing = Standing::new(
            &upstream,
            0,
            of_upstream,
            crate::standing::OwnNetwork::default(),
            Arc::default(),
        );
        let run = HopRun::new(0, upstream, hop, Vec::new(), handle, turns, Arc::new(standing));
        assert!(run.begin());
        assert!(!run.begin(), "the round before still runs");
        let round = std::panic::AssertUnwindSafe(|| {
            let _running = Running {
                hop: &run,
                metrics: &metrics,
            };
            panic!("as a defect would");
        });
        assert!(std::panic::catch_unwind(round).is_err());
        assert!(run.begin(), "its end makes room");
        let mut page = String::new();
        let mut add = |chunk: &str| {
            page.push_str(chunk);
            Ok(())
        };
        metrics
            .encode(crate::metrics::Format::Prometheus, clock::now(), &mut add)
            .expect("the sink takes everything");
        assert!(page.contains("\nbadgateway_probe_panics_total 1\n"), "{page}");
    }
}
