//! The logs of the configured gateways: followed, read, counted, and brought into the verdicts.
//!
//! Each gateway's logs are read by a thread of their own ([`crate::tail`]); every line is taken apart, joined and counted
//! there. Once a second what has come of it is laid before the diagnosis.

mod counting;
mod inputs;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info};

use crate::config::Config;
use crate::config::operation::GatewaySettings;
use crate::engine::Engine;
use crate::gateway;
use crate::history::History;
use crate::metrics::Metrics;
use crate::round::HopRun;
use crate::tail::{self, Store};
use crate::upstream::Upstream;

use counting::Counting;

/// How often what the logs say is laid before the diagnosis.
const JUDGED_EVERY: Duration = Duration::from_secs(1);
/// In one of so many times the backends in use are held against what DNS gives.
const BACKENDS_HELD_EVERY: u32 = 10;

/// The logs that are read now.
pub struct GatewayLogs {
    metrics: Metrics,
    engine: Arc<Engine>,
    history: Arc<Mutex<History>>,
    store: Option<(Option<std::path::PathBuf>, Arc<Store>)>,
    read: HashMap<Arc<str>, ReadGateway>,
    /// Ends when dropped.
    _judging: Option<AbortOnDropHandle<()>>,
}

/// One gateway whose logs are read.
struct ReadGateway {
    settings: GatewaySettings,
    behind: Vec<Behind>,
    counting: Arc<Counting>,
    reading: tail::Running,
}

impl ReadGateway {
    /// Stops reading, saves how far it got, and counts what still waits.
    async fn end(self) {
        self.reading.stop().await;
        self.counting.finish();
        let gateway = self.counting.gateway();
        info!(%gateway, lines = self.counting.lines(), "its logs are read no more");
    }
}

/// An upstream behind a gateway.
#[derive(Clone, Debug)]
struct Behind {
    upstream: Arc<Upstream>,
    /// Users see the upstream through this gateway, and its requests are read while they happen.
    user_view: bool,
}

impl PartialEq for Behind {
    fn eq(&self, other: &Behind) -> bool {
        self.upstream.fingerprint == other.upstream.fingerprint && self.user_view == other.user_view
    }
}

impl GatewayLogs {
    /// Nothing is read yet.
    pub fn new(metrics: Metrics, engine: Arc<Engine>, history: Arc<Mutex<History>>) -> GatewayLogs {
        GatewayLogs {
            metrics,
            engine,
            history,
            store: None,
            read: HashMap::new(),
            _judging: None,
        }
    }

    /// Takes a configuration over: what did not change is read on, what went or changed is stopped first, so that no line
    /// is read twice and none is missed.
    pub async fn apply(&mut self, config: &Config) {
        let store = self.store_of(config);
        let wanted: Vec<(&GatewaySettings, Vec<Behind>)> = config
            .gateways
            .iter()
            .filter(|settings| settings.has_logs())
            .map(|settings| (settings, behind(settings, config)))
            .collect();
        let stays = |name: &Arc<str>, read: &ReadGateway| {
            wanted.iter().any(|(settings, behind)| {
                settings.gateway.name == *name && **settings == read.settings && *behind == read.behind
            })
        };
        let stale: Vec<Arc<str>> = self
            .read
            .iter()
            .filter(|(name, read)| !stays(name, read))
            .map(|(name, _)| name.clone())
            .collect();
        for name in stale {
            if let Some(read) = self.read.remove(&name) {
                read.end().await;
            }
        }
        self.show(&wanted);
        for (settings, behind) in wanted {
            let name = &settings.gateway.name;
            if self.read.contains_key(name) {
                continue;
            }
            match self.begin(settings, behind, &store) {
                Ok(read) => drop(self.read.insert(name.clone(), read)),
                Err(error) => error!(gateway = %name, %error, "the gateway's logs are not read"),
            }
        }
        self._judging = (!self.read.is_empty()).then(|| self.judge());
    }

    /// Stops reading and saves how far it got.
    pub async fn stop(mut self) {
        for (_, read) in self.read.drain() {
            read.end().await;
        }
    }

    /// Makes the series of every gateway whose logs are read.
    fn show(&self, wanted: &[(&GatewaySettings, Vec<Behind>)]) {
        let gateways: Vec<_> = wanted
            .iter()
            .map(|(settings, behind)| {
                let kind = gateway::kind(settings.gateway.kind).unwrap_or(gateway::GENERIC);
                let upstreams = behind
                    .iter()
                    .map(|one| (one.upstream.name.clone(), one.user_view))
                    .collect();
                let causes = kind.logs.map(|logs| logs.causes).unwrap_or_default();
                (settings.gateway.name.clone(), upstreams, causes)
            })
            .collect();
        self.metrics.configure_gateways(&gateways);
    }

    fn begin(&self, settings: &GatewaySettings, behind: Vec<Behind>, store: &Arc<Store>) -> io::Result<ReadGateway> {
        let name = &settings.gateway.name;
        let metrics = self.metrics.gateway(name).expect("its series were just made");
        let counting = Arc::new(Counting::new(settings, &behind, metrics, Arc::clone(&self.history)));
        let logs = inputs::logs(settings, &counting).map_err(io::Error::other)?;
        let reading = tail::start(name, logs, Arc::clone(store))?;
        info!(gateway = %name, "reading its logs");
        Ok(ReadGateway {
            settings: settings.clone(),
            behind,
            counting,
            reading,
        })
    }

    /// Positions live where the configuration says; in memory without it, or where that cannot be used.
    fn store_of(&mut self, config: &Config) -> Arc<Store> {
        let path = config.storage.as_ref().map(|storage| storage.path.clone());
        if let Some((known, store)) = &self.store
            && *known == path
        {
            return Arc::clone(store);
        }
        let store = Store::open(path.as_deref()).unwrap_or_else(|error| {
            let path = path.as_deref().unwrap_or(std::path::Path::new(""));
            error!(path = %path.display(), %error, "positions of logs cannot be kept there; a restart will begin at their end");
            Store::default()
        });
        let store = Arc::new(store);
        self.store = Some((path, Arc::clone(&store)));
        store
    }

    /// Lays what the logs say before the diagnosis, as long as the handle lives.
    fn judge(&self) -> AbortOnDropHandle<()> {
        let engine = Arc::clone(&self.engine);
        let countings: Vec<Arc<Counting>> = self.read.values().map(|read| Arc::clone(&read.counting)).collect();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut tick = interval(JUDGED_EVERY);
            let mut ticks = 0u32;
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let upstreams = engine.upstreams();
                if ticks.is_multiple_of(BACKENDS_HELD_EVERY) {
                    let origins: HashMap<&str, &Arc<HopRun>> = upstreams
                        .iter()
                        .filter_map(|run| Some((&*run.upstream.name, run.hops.iter().find(|hop| hop.hop.is_origin())?)))
                        .collect();
                    let answers = |upstream: &str| origins.get(upstream)?.answers();
                    for counting in &countings {
                        for (upstream, places) in counting.hold_backends(&answers, Instant::now()) {
                            if let Some(hop) = origins.get(&*upstream) {
                                engine.ask_left(hop, places);
                            }
                        }
                        let reused = counting.reused().filter_map(|upstream| origins.get(&**upstream));
                        reused.for_each(|hop| hop.is_reused_by(counting.gateway()));
                    }
                }
                ticks = ticks.wrapping_add(1);
                for counting in &countings {
                    for (upstream, evidence) in counting.judge() {
                        if let Some(run) = upstreams.iter().find(|run| run.upstream.name == upstream) {
                            run.standing.hear_log(counting.gateway(), evidence);
                        }
                    }
                    for (upstream, total, failed) in counting.requests() {
                        if let Some(run) = upstreams.iter().find(|run| run.upstream.name == upstream) {
                            run.standing.hear_requests(total, failed);
                        }
                    }
                }
            }
        }))
    }
}

/// The upstreams that are reached through a gateway, or that its routes name, in the order of the configuration.
fn behind(settings: &GatewaySettings, config: &Config) -> Vec<Behind> {
    let name = &settings.gateway.name;
    let routed: HashSet<&str> = settings.routes.iter().map(|route| route.upstream.as_str()).collect();
    let passes = |upstream: &Upstream| upstream.hops.iter().any(|hop| hop.name == *name);
    config
        .upstreams
        .iter()
        .filter(|upstream| passes(upstream) || routed.contains(&*upstream.name))
        .map(|upstream| Behind {
            upstream: Arc::clone(upstream),
            user_view: outermost_read_live(upstream, config).as_ref() == Some(name),
        })
        .collect()
}

/// The outermost gateway of an upstream whose requests are read while they happen; one that only routes name stands
/// behind those it is reached through.
fn outermost_read_live(upstream: &Upstream, config: &Config) -> Option<Arc<str>> {
    let is_live = |name: &str| {
        let settings = config.gateways.iter().find(|settings| *settings.gateway.name == *name);
        settings.is_some_and(GatewaySettings::reads_requests_live)
    };
    let passed = upstream.hops.iter().map(|hop| &hop.name);
    let routed = config
        .gateways
        .iter()
        .filter(|settings| settings.routes.iter().any(|route| *route.upstream == *upstream.name))
        .map(|settings| &settings.gateway.name);
    passed.chain(routed).find(|name| is_live(name)).cloned()
}
