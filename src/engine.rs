//! The probing part of the daemon: which hops exist, when each has its rounds, and how a reload replaces them.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::clock;
use crate::config::Config;
use crate::history::History;
use crate::incidents::Incidents;
use crate::metrics::Metrics;
use crate::probe::http::KeptHeaders;
use crate::probe::{Prepared, Prober};
use crate::round::{Forward, HopRun, Shared, Turns};
use crate::schedule::{Key, Schedule, stable_hash};
use crate::standing::{OwnNetwork, Standing};
use crate::upstream::{EvidencePolicy, Upstream};

/// With nothing to do the scheduler sleeps this long at a time.
const IDLE: Duration = Duration::from_secs(60);

/// Patient probes under way in the whole process. In an outage of many upstreams a few tell what all would.
const PATIENT_AT_ONCE: usize = 32;
/// Connections left idle in the whole process. Each holds a descriptor, and nobody waits for what it shows: with thousands of
/// upstreams a first row of measurements takes hours.
const IDLE_AT_ONCE: usize = 64;

/// An upstream with its hops under way.
#[derive(Debug)]
pub struct UpstreamRun {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Outermost first, the origin last.
    pub hops: Vec<Arc<HopRun>>,
    /// What is said of it as a whole.
    pub standing: Arc<Standing>,
}

/// An upstream that cannot be probed as configured.
#[derive(Debug)]
pub struct CannotProbe {
    /// Its name.
    pub upstream: Arc<str>,
    /// The hop.
    pub hop: Arc<str>,
    /// Why, and what would be right.
    pub reason: String,
}

impl fmt::Display for CannotProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "upstream {:?}, hop {:?}: tls: {}",
            self.upstream, self.hop, self.reason
        )
    }
}

/// Schedules rounds and runs them.
#[derive(Debug)]
pub struct Engine {
    metrics: Metrics,
    forward: Arc<Forward>,
    own_network: OwnNetwork,
    incidents: Arc<Incidents>,
    upstreams: ArcSwap<Vec<Arc<UpstreamRun>>>,
    table: Mutex<Table>,
    changed: Notify,
    rounds: TaskTracker,
}

#[derive(Debug)]
struct Table {
    schedule: Schedule,
    hops: HashMap<Key, Arc<HopRun>>,
    shared: Arc<Shared>,
    settings: (usize, u64),
    next_key: Key,
}

impl Engine {
    /// An engine without upstreams.
    pub fn new(metrics: Metrics, history: Arc<Mutex<History>>, incidents: Arc<Incidents>) -> Self {
        let forward = Arc::new(Forward::default());
        let since_epoch = clock::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let table = Table {
            schedule: Schedule::new(Instant::now(), since_epoch),
            hops: HashMap::new(),
            shared: Arc::new(Shared {
                prober: Arc::new(Prober::new(0.0)),
                slots: Arc::new(Semaphore::new(0)),
                patient: Arc::new(Semaphore::new(PATIENT_AT_ONCE)),
                idle: Arc::new(Semaphore::new(IDLE_AT_ONCE)),
                metrics: metrics.clone(),
                history,
                forward: forward.clone(),
            }),
            settings: (0, 0),
            next_key: 0,
        };
        Engine {
            metrics,
            forward,
            own_network: OwnNetwork::default(),
            incidents,
            upstreams: ArcSwap::default(),
            table: Mutex::new(table),
            changed: Notify::new(),
            rounds: TaskTracker::new(),
        }
    }

    /// The upstreams as they are now.
    pub fn upstreams(&self) -> Arc<Vec<Arc<UpstreamRun>>> {
        self.upstreams.load_full()
    }

    /// Takes a configuration over. Upstreams that did not change keep their hops, state and schedule; those that did
    /// begin anew; those that went are retired.
    ///
    /// # Errors
    /// Every upstream whose TLS settings cannot be used; nothing is changed then.
    pub fn apply(&self, config: &Config) -> Result<(), Vec<CannotProbe>> {
        let before = self.upstreams.load_full();
        let known: HashMap<&str, &Arc<UpstreamRun>> = before.iter().map(|run| (&*run.upstream.name, run)).collect();
        let stays = |upstream: &Upstream| {
            known
                .get(&*upstream.name)
                .filter(|run| run.upstream.fingerprint == upstream.fingerprint)
                .copied()
        };
        let prepared = prepare(config.upstreams.iter().filter(|upstream| stays(upstream).is_none()))?;
        self.metrics.configure(&config.upstreams);
        let mut prepared = prepared.into_iter();
        let mut table = self.table();
        let after: Vec<_> = config
            .upstreams
            .iter()
            .map(|upstream| match stays(upstream) {
                Some(run) => run.clone(),
                None => {
                    let targets = prepared
                        .next()
                        .expect("one was prepared for each upstream that does not stay");
                    let run = self.begin(&mut table, upstream, targets);
                    match known.get(&*upstream.name) {
                        Some(old) => run.standing.follow(&old.standing, same_origin(&old.upstream, upstream)),
                        None => run.standing.resume(),
                    }
                    Arc::new(run)
                }
            })
            .collect();
        let names: std::collections::HashSet<&str> = after.iter().map(|run| &*run.upstream.name).collect();
        for gone in before.iter().filter(|run| !names.contains(&*run.upstream.name)) {
            gone.standing.removed();
        }
        let kept: std::collections::HashSet<_> = after.iter().map(Arc::as_ptr).collect();
        for hop in before
            .iter()
            .filter(|run| !kept.contains(&Arc::as_ptr(run)))
            .flat_map(|run| &run.hops)
        {
            hop.retire();
            table.schedule.remove(hop.key);
            table.hops.remove(&hop.key);
        }
        table.adopt_settings(config);
        drop(table);
        self.upstreams.store(Arc::new(after));
        self.changed.notify_one();
        Ok(())
    }

    fn begin(&self, table: &mut Table, upstream: &Arc<Upstream>, targets: Vec<Vec<Prepared>>) -> UpstreamRun {
        let now = Instant::now();
        let turns = Arc::new(Turns::new(upstream.max_rate));
        let metrics = self
            .metrics
            .upstream(&upstream.name)
            .expect("its series were just made");
        let standing = Arc::new(Standing::new(
            upstream,
            table.next_key,
            metrics,
            self.own_network.clone(),
            self.incidents.clone(),
        ));
        let hops = upstream.hops.iter().zip(targets).map(|(hop, targets)| {
            let key = table.next_key;
            table.next_key += 1;
            let metrics = self
                .metrics
                .hop(&upstream.name, &hop.name)
                .expect("its series were just made");
            let (turns, standing) = (turns.clone(), standing.clone());
            let run = HopRun::new(key, upstream.clone(), hop.clone(), targets, metrics, turns, standing);
            let run = Arc::new(run);
            table.hops.insert(key, run.clone());
            table
                .schedule
                .insert(key, upstream.interval, stable_hash(&[&upstream.name, &hop.name]), now);
            run
        });
        UpstreamRun {
            upstream: upstream.clone(),
            hops: hops.collect(),
            standing,
        }
    }

    /// Asks places that a hop's name has left, beside its rounds; see [`HopRun::ask_left`].
    pub fn ask_left(&self, hop: &Arc<HopRun>, places: Vec<SocketAddr>) {
        let (hop, shared) = (hop.clone(), self.table().shared.clone());
        tokio::spawn(async move { hop.ask_left(&shared, places).await });
    }

    /// What self checks say of this host's own network.
    pub fn own_network(&self) -> &OwnNetwork {
        &self.own_network
    }

    /// Takes in what self checks say; a change of that changes every verdict.
    pub fn own_network_lost(&self, lost: bool) {
        if self.own_network.set_lost(lost) {
            match lost {
                true => warn!("every self check fails: no verdict can be given"),
                false => info!("self checks are answered: verdicts are given again"),
            }
            self.upstreams.load().iter().for_each(|run| run.standing.judge());
        }
    }

    /// Runs rounds until stopped.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let next = self
                .table()
                .schedule
                .next_due()
                .unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                keys = self.forward.next() => self.bring_forward(&keys),
                () = self.changed.notified() => {}
                () = sleep_until(next) => self.begin_due_rounds(),
            }
        }
    }

    /// Waits for the rounds under way, at most this long; what is not done then is given up.
    pub async fn finish(&self, grace: Duration) {
        self.rounds.close();
        let _ = tokio::time::timeout(grace, self.rounds.wait()).await;
        for hop in self.upstreams.load().iter().flat_map(|run| &run.hops) {
            hop.retire();
        }
    }

    fn bring_forward(&self, keys: &[Key]) {
        let (mut table, now) = (self.table(), Instant::now());
        for key in keys {
            // One under way sees what is to be seen.
            if table.hops.get(key).is_some_and(|hop| !hop.is_running()) {
                table.schedule.bring_forward(*key, now);
            }
        }
    }

    fn begin_due_rounds(&self) {
        let now = Instant::now();
        let mut table = self.table();
        while let Some(due) = table.schedule.pop(now) {
            let Some(hop) = table.hops.get(&due.key) else { continue };
            if !hop.begin() {
                self.metrics.round_skipped();
                continue;
            }
            let (hop, shared) = (hop.clone(), table.shared.clone());
            self.rounds.spawn(async move {
                shared.metrics.schedule_lag(due.at.elapsed());
                hop.round(shared, due.at).await;
            });
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Settings of the whole process; rounds under way keep those they began with.
    fn adopt_settings(&mut self, config: &Config) {
        let settings = (config.max_concurrent_probes, config.trace_sampled.to_bits());
        if self.settings != settings {
            self.settings = settings;
            self.shared = Arc::new(Shared {
                prober: Arc::new(Prober::new(config.trace_sampled)),
                slots: Arc::new(Semaphore::new(config.max_concurrent_probes)),
                ..(*self.shared).clone()
            });
        }
    }
}

/// True where both have the same servers behind their gateways.
fn same_origin(one: &Upstream, other: &Upstream) -> bool {
    let servers = |upstream: &Upstream| -> Vec<_> {
        let origin = upstream.hops.iter().filter(|hop| hop.is_origin());
        let targets = origin.flat_map(|hop| hop.targets.clone());
        targets
            .map(|target| (target.scheme, target.host.clone(), target.port))
            .collect()
    };
    servers(one) == servers(other)
}

/// Prepares the targets of each hop of each upstream.
fn prepare<'a>(
    upstreams: impl Iterator<Item = &'a Arc<Upstream>>,
) -> Result<Vec<Vec<Vec<Prepared>>>, Vec<CannotProbe>> {
    let mut problems = Vec::new();
    let prepared = upstreams
        .map(|upstream| {
            let of_hop = |hop: &Arc<crate::upstream::Hop>| {
                let kept = KeptHeaders {
                    all: upstream.evidence == EvidencePolicy::Full,
                    version: upstream.version_header.clone(),
                };
                let prepare = |target| Prepared::new(target).map(|prepared| prepared.keeping(kept.clone()));
                let targets: Result<Vec<_>, _> = hop.targets.iter().cloned().map(prepare).collect();
                targets.map_err(|error| CannotProbe {
                    upstream: upstream.name.clone(),
                    hop: hop.name.clone(),
                    reason: error.0,
                })
            };
            let mut targets = Vec::new();
            for result in upstream.hops.iter().map(of_hop) {
                match result {
                    Ok(of_hop) => targets.push(of_hop),
                    Err(problem) => problems.push(problem),
                }
            }
            targets
        })
        .collect();
    if problems.is_empty() {
        Ok(prepared)
    } else {
        Err(problems)
    }
}
