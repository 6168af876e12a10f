//! Where an upstream stands: the facts of its hops, the diagnosis made of them, and whether an incident is open.
//!
//! Hops bring their facts when a round or a confirmation ends; the diagnosis is made anew then, of that upstream only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::cause::Cause;
use crate::clock;
use crate::diagnosis::{HopFacts, LogEvidence, UpstreamFacts, diagnose};
use crate::evidence::Evidence;
use crate::finding::Purpose;
use crate::incident::Ending;
use crate::incidents::{self, Incidents};
use crate::metrics::UpstreamMetrics;
use crate::observation::Digest;
use crate::schedule::Key;
use crate::upstream::Upstream;
use crate::verdict::{Diagnosis, Impact, Verdict};

/// A failure this long before an incident is not what began it.
const BEGAN_IT: Duration = Duration::from_secs(300);

/// Whether this host's own network works, as far as self checks tell. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct OwnNetwork {
    lost: Arc<AtomicBool>,
    doubted: Arc<Notify>,
}

impl OwnNetwork {
    /// True while every self check fails.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Takes in what self checks say; true when that is new.
    pub fn set_lost(&self, lost: bool) -> bool {
        self.lost.swap(lost, Ordering::Relaxed) != lost
    }

    /// Something failed that was well: that may be our own doing.
    pub fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Waits until somebody has doubted it since the last time.
    pub async fn doubted(&self) {
        self.doubted.notified().await;
    }
}

/// Where one upstream stands. Its hops share it.
#[derive(Debug)]
pub struct Standing {
    upstream: Arc<str>,
    /// The key of the outermost hop; those of the others follow.
    first_key: Key,
    metrics: Arc<UpstreamMetrics>,
    own_network: OwnNetwork,
    incidents: Arc<Incidents>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    facts: UpstreamFacts,
    /// How many of the hops are probed; they come first.
    probed: usize,
    present: Arc<Diagnosis>,
    /// The open incident.
    incident: Option<Open>,
    /// What the origin last answered for each path named stable.
    content: HashMap<Arc<str>, Digest>,
    /// The latest failed first attempt.
    last_failure: Option<Arc<Evidence>>,
}

/// An incident that has begun and not ended.
#[derive(Clone, Copy, Debug)]
struct Open {
    id: u64,
    /// Up to when its time is counted.
    counted: Instant,
}

impl Standing {
    /// Nothing is known yet; `unknown` is said of it.
    pub fn new(
        upstream: &Upstream,
        first_key: Key,
        metrics: Arc<UpstreamMetrics>,
        own_network: OwnNetwork,
        incidents: Arc<Incidents>,
    ) -> Self {
        let hops = upstream.hops.iter();
        let facts = UpstreamFacts {
            hops: hops
                .map(|hop| HopFacts::unknown(hop.name.clone(), hop.is_origin()))
                .collect(),
            self_check_lost: false,
        };
        metrics.judged(Verdict::Unknown, Impact::None);
        Standing {
            upstream: upstream.name.clone(),
            first_key,
            metrics,
            own_network,
            incidents,
            known: Mutex::new(Known {
                probed: facts.hops.len(),
                facts,
                present: Arc::new(Diagnosis::unknown(clock::now())),
                incident: None,
                last_failure: None,
                content: HashMap::new(),
            }),
        }
    }

    /// What self checks say of this host's own network.
    pub fn own_network(&self) -> &OwnNetwork {
        &self.own_network
    }

    /// What is said of the upstream now.
    pub fn diagnosis(&self) -> Arc<Diagnosis> {
        self.known().present.clone()
    }

    /// Goes on with the incident that was open when the program ended before.
    pub fn resume(&self) {
        let now = Instant::now();
        let id = self.incidents.resume(&self.upstream, clock::now());
        self.known().incident = id.map(|id| Open { id, counted: now });
    }

    /// The upstream left the configuration: an open incident ends with it.
    pub fn removed(&self) {
        if let Some(open) = self.known().incident.take() {
            self.incidents.end(open.id, clock::now(), Ending::Removed);
        }
    }

    /// True once the origin has succeeded since it is configured.
    pub fn origin_was_reached(&self) -> bool {
        let known = self.known();
        known.facts.hops.iter().any(|hop| hop.is_origin && hop.ever_succeeded)
    }

    /// Goes on where the upstream stood before its configuration changed: an open incident stays open, and where the
    /// origin is still the same one it may have succeeded before.
    pub fn follow(&self, before: &Standing, same_origin: bool) {
        let (mut known, mut before) = (self.known(), before.known());
        known.incident = before.incident.take();
        let succeeded = before.facts.hops.iter().any(|hop| hop.is_origin && hop.ever_succeeded);
        let origin = known.facts.hops.iter_mut().find(|hop| hop.is_origin);
        if let Some(origin) = origin.filter(|_| same_origin && succeeded) {
            origin.ever_succeeded = true;
        }
    }

    /// Lets a hop bring its facts, then judges the upstream.
    pub fn take(&self, hop: Key, bring: impl FnOnce(&mut HopFacts)) {
        let mut known = self.known();
        let place = (hop - self.first_key) as usize;
        bring(&mut known.facts.hops[place]);
        self.judge_known(&mut known);
    }

    /// Takes in what a gateway's log says of the upstream's real traffic. A gateway that is not probed, only named by
    /// routes, is a hop without rounds behind the others.
    pub fn hear_log(&self, gateway: &Arc<str>, evidence: Option<LogEvidence>) {
        let mut known = self.known();
        let hops = &mut known.facts.hops;
        let place = hops.iter().position(|hop| hop.name == *gateway).unwrap_or_else(|| {
            hops.push(HopFacts::unknown(gateway.clone(), false));
            hops.len() - 1
        });
        hops[place].log = evidence.map(Box::new);
        self.judge_known(&mut known);
    }

    /// Takes in the evidence of a failed probe.
    pub fn failed(&self, purpose: Purpose, evidence: &Arc<Evidence>) {
        let mut known = self.known();
        let counts = purpose == Purpose::Scheduled;
        if counts {
            known.last_failure = Some(Arc::clone(evidence));
        }
        if let Some(open) = known.incident {
            self.incidents.failed(open.id, evidence, counts);
        }
    }

    /// What the logs of gateways said last, for those with requests.
    pub fn logs(&self) -> Vec<(Arc<str>, LogEvidence)> {
        let known = self.known();
        let logged = known.facts.hops.iter().filter_map(|hop| Some((hop, hop.log.as_ref()?)));
        logged.map(|(hop, log)| (hop.name.clone(), (**log).clone())).collect()
    }

    /// What the origin answers for a path that is the same everywhere.
    pub fn content_is(&self, path: &Arc<str>, content: Digest) {
        self.known().content.insert(Arc::clone(path), content);
    }

    /// What the origin last answered for that path.
    pub fn content_of(&self, path: &str) -> Option<Digest> {
        self.known().content.get(path).copied()
    }

    /// Answers of the upstream name another version than before.
    pub fn version_changed(&self, from: Option<&str>, to: &str) {
        let marker = incidents::version_changed(&self.upstream, from, to, clock::now());
        if self.incidents.mark(marker) {
            info!(upstream = %self.upstream, from, to, "version changed");
        }
    }

    /// Takes in how many real requests there were since the last time, and how many of them failed.
    pub fn hear_requests(&self, total: u64, failed: u64) {
        if let Some(open) = self.known().incident {
            self.incidents.requests(open.id, total, failed);
        }
    }

    /// The other hops, where this one is the only one that fails.
    pub fn others_if_first(&self, hop: Key) -> Vec<Key> {
        let known = self.known();
        let probed = &known.facts.hops[..known.probed];
        let hops = || (self.first_key..).zip(probed).filter(|(key, _)| *key != hop);
        match hops().any(|(_, facts)| facts.fails()) {
            true => Vec::new(),
            false => hops().map(|(key, _)| key).collect(),
        }
    }

    /// Judges the upstream anew: what self checks say has changed.
    pub fn judge(&self) {
        self.judge_known(&mut self.known());
    }

    fn judge_known(&self, known: &mut Known) {
        known.facts.self_check_lost = self.own_network.is_lost();
        let before = known.present.clone();
        let present = diagnose(&known.facts, &before, clock::now());
        self.count_incident(known, &present);
        if present == *before {
            return;
        }
        self.metrics.judged(present.verdict, present.impact);
        if !present.says_the_same(&before) {
            self.log(&before, &present);
        }
        known.present = Arc::new(present);
    }

    /// An incident:
    ///
    /// 1. begins when a verdict says that something is wrong with the upstream, and every hop had its first round;
    /// 2. takes a step when something else is said of the upstream;
    /// 3. ends when a verdict says that nothing is, and every hop had its first round;
    /// 4. neither begins nor ends with `unknown`, and that time is not counted.
    fn count_incident(&self, known: &mut Known, present: &Diagnosis) {
        let (now, at, verdict) = (Instant::now(), clock::now(), present.verdict);
        let was_fault = known.present.verdict.is_fault();
        let all_heard = known.facts.hops.iter().take(known.probed).all(|hop| hop.complete);
        if let Some(open) = known.incident.filter(|_| was_fault) {
            self.metrics.incident_lasted(now - open.counted);
        }
        known.incident = match known.incident {
            None if verdict.is_fault() && all_heard => {
                self.metrics.incident_began();
                let first = known.last_failure.take().filter(|evidence| began_it(evidence, at));
                let id = self.incidents.begin(&self.upstream, at, present, first);
                Some(Open { id, counted: now })
            }
            None => None,
            Some(open) if verdict.is_fault() || verdict == Verdict::Unknown || !all_heard => {
                if !present.says_the_same(&known.present) {
                    self.incidents.step(open.id, at, present);
                }
                Some(Open { counted: now, ..open })
            }
            Some(open) => {
                self.incidents.end(open.id, at, Ending::Recovered);
                None
            }
        };
    }

    /// One line when verdict or impact, the hop or the cause changes. Only at debug what is said of all upstreams at once:
    /// the first good news, and that our own network is lost.
    fn log(&self, before: &Diagnosis, present: &Diagnosis) {
        let (upstream, verdict, impact) = (&self.upstream, present.verdict, present.impact);
        let hop = present.hop.as_deref().unwrap_or_default();
        let cause = present.cause.map_or("", Cause::label);
        let sentence = present.sentence();
        match (before.verdict, verdict) {
            (Verdict::Unknown, Verdict::Healthy) | (_, Verdict::Unknown) => {
                debug!(%upstream, %verdict, %impact, hop, cause, sentence, "verdict");
            }
            (_, Verdict::Healthy) => info!(%upstream, %verdict, %impact, hop, cause, sentence, "verdict"),
            _ => warn!(%upstream, %verdict, %impact, hop, cause, sentence, "verdict"),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn began_it(evidence: &Evidence, at: SystemTime) -> bool {
    at.duration_since(evidence.at).map_or(true, |time| time < BEGAN_IT)
}

#[cfg(test)]
mod tests {

    use tokio::time::advance;

    use super::*;
    use crate::diagnosis::FailingAddress;
    use crate::metrics::{Build, Format, Metrics};

    struct Watched {
        metrics: Metrics,
        own_network: OwnNetwork,
        standing: Standing,
    }

    fn watched() -> Watched {
        let urls = ["http://127.0.0.1:9/=shop".to_owned()];
        let config = crate::config::from_urls(&urls, &["http://127.0.0.1:8/".to_owned()]).expect("it is valid");
        let metrics = Metrics::new(Build::of("0", "0"));
        metrics.configure(&config.upstreams);
        let (upstream, own_network) = (&config.upstreams[0], OwnNetwork::default());
        let handle = metrics.upstream(&upstream.name).expect("configured");
        Watched {
            standing: Standing::new(upstream, 7, handle, own_network.clone(), Arc::default()),
            metrics,
            own_network,
        }
    }

    impl Watched {
        /// The gateway has key 7, the origin key 8.
        fn hears(&self, hop: Key, fails: bool) -> (Verdict, Impact) {
            self.standing.take(hop, |facts| {
                facts.complete = true;
                facts.healthy = usize::from(!fails);
                facts.ever_succeeded |= !fails;
                facts.failing = fails.then(refused).into_iter().collect();
            });
            let said = self.standing.diagnosis();
            (said.verdict, said.impact)
        }

        fn incidents(&self) -> (String, String) {
            let mut page = String::new();
            let mut sink = |chunk: &str| {
                page.push_str(chunk);
                Ok(())
            };
            self.metrics
                .encode(Format::Prometheus, clock::now(), &mut sink)
                .expect("it is taken");
            let value = |name: &str| {
                let line = page
                    .lines()
                    .find(|line| line.starts_with(&format!("badgateway_{name}{{")));
                line.and_then(|line| line.rsplit(' ').next())
                    .unwrap_or_default()
                    .to_owned()
            };
            (value("incidents_total"), value("incident_seconds_total"))
        }
    }

    fn refused() -> FailingAddress {
        FailingAddress {
            address: "127.0.0.1:9".into(),
            is_name: false,
            cause: Cause::ConnectRefused,
            paths: Vec::new(),
            from_cache: false,
        }
    }

    fn count(incidents: &str, seconds: &str) -> (String, String) {
        (incidents.to_owned(), seconds.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn an_incident_lasts_until_all_is_well_and_our_own_outage_does_not_count() {
        let second = Duration::from_secs(1);
        let watched = watched();
        assert_eq!(watched.incidents(), count("0", "0.0"));
        watched.hears(8, false);
        assert_eq!(watched.hears(7, false), (Verdict::Healthy, Impact::None));
        assert_eq!(watched.hears(8, true), (Verdict::OriginDown, Impact::Redundancy));
        advance(second * 10).await;
        assert_eq!(watched.hears(7, true), (Verdict::OriginDown, Impact::Users));
        assert_eq!(watched.incidents(), count("1", "10.0"));
        watched.own_network.set_lost(true);
        watched.standing.judge();
        assert_eq!(watched.standing.diagnosis().verdict, Verdict::Unknown);
        advance(second * 100).await;
        watched.own_network.set_lost(false);
        watched.standing.judge();
        advance(second * 5).await;
        watched.hears(8, false);
        assert_eq!(watched.hears(7, false), (Verdict::Healthy, Impact::None));
        advance(second * 5).await;
        watched.hears(8, false);
        assert_eq!(watched.incidents(), count("1", "15.0"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_never_reached_is_no_incident() {
        let watched = watched();
        watched.hears(8, true);
        assert_eq!(watched.hears(7, false), (Verdict::OriginUnverified, Impact::Redundancy));
        assert_eq!(watched.incidents(), count("0", "0.0"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_to_fail_asks_the_others() {
        let watched = watched();
        watched.hears(7, false);
        watched.hears(8, true);
        assert_eq!(watched.standing.others_if_first(8), [7]);
        watched.hears(7, true);
        assert!(watched.standing.others_if_first(7).is_empty());
    }
}
