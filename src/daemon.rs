//! Wires the parts together: configuration, engine, server, signals; starts and stops them in order.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

mod discovered;
mod shown;

use crate::agent_check;
use crate::asking::Asking;
use crate::build_info;
use crate::clock;
use crate::config::operation::ConfigFile;
use crate::config::{self, Config, Problems};
use crate::discovery::{self, Means};
use crate::engine::{CannotProbe, Engine};
use crate::gateway_config::Seen;
use crate::gateway_logs::GatewayLogs;
use crate::history::{Bounds, History};
use crate::incidents::{self, Incidents};
use crate::metrics::{Build, Metrics};
use crate::on_request;
use crate::probe::{Prepared, Prober};
use crate::self_check;
use crate::server::{self, ProbeEndpoint, ReloadRequest, ServerState, WebConfig};
use crate::shard::Shard;

use discovered::Discoveries;
use shown::Shown;

/// How often the gateways' own configurations are looked at: one `stat` for each of their files.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Probes under way at the end are waited for this long.
const GRACE: Duration = Duration::from_secs(5);
/// Incidents take at most this part of what `storage` may take; positions of logs need far less than the rest.
const INCIDENTS_SHARE: u64 = 2;
/// Reloads asked for while one is running.
const RELOAD_QUEUE: usize = 4;

/// Where the configuration comes from, now and at each reload.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// URLs on the command line.
    Urls {
        /// Upstreams.
        urls: Vec<String>,
        /// Gateways in front of the one upstream.
        via: Vec<String>,
    },
}

impl Source {
    /// Loads it.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load(&self) -> Result<Config, Problems> {
        self.load_after(&[])
    }

    /// As [`Source::load`]; a gateway's own configuration that is broken now says what it last said.
    fn load_after(&self, last: &[ConfigFile]) -> Result<Config, Problems> {
        match self {
            Source::File(path) => config::load_after(path, last),
            Source::Urls { urls, via } => config::from_urls(urls, via),
        }
    }
}

/// Why the daemon did not start or did not go on.
#[derive(Debug)]
pub enum DaemonError {
    /// An upstream cannot be probed as configured.
    CannotProbe(Vec<CannotProbe>),
    /// A part that runs for as long as the daemon ended unasked.
    Ended(&'static str),
}

impl std::fmt::Display for DaemonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DaemonError::CannotProbe(problems) => {
                let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            DaemonError::Ended(part) => write!(f, "the {part} ended unasked; please report this"),
        }
    }
}

/// Runs until `stop`. The caller binds the listeners and decides when to stop; signals are the caller's business,
/// except that each message on `reload` is a reload asked for.
///
/// Order of stopping: no new rounds, rounds under way up to five seconds, then the server.
///
/// # Errors
/// The first configuration cannot be probed, or a part ended unasked.
pub async fn run(
    source: Source,
    config: Config,
    shard: Shard,
    listeners: Vec<TcpListener>,
    web: Option<WebConfig>,
    mut reload: mpsc::Receiver<()>,
    stop: CancellationToken,
) -> Result<(), DaemonError> {
    let metrics = Metrics::new(Build::of(build_info::VERSION, build_info::REVISION));
    let history = Arc::new(Mutex::new(History::new(Bounds::default())));
    let incidents = Arc::new(match &config.storage {
        Some(storage) => Incidents::open(&storage.path, storage.max_size / INCIDENTS_SHARE, clock::now()),
        None => Incidents::default(),
    });
    let engine = Arc::new(Engine::new(metrics.clone(), history.clone(), incidents.clone()));
    let (lists, mut found) = mpsc::channel(discovery::QUEUED_LISTS);
    let means = Means {
        prober: Arc::new(Prober::new(0.0)),
        modules: config.modules.clone(),
        metrics: metrics.clone(),
        lists,
    };
    let mut running = Running {
        source,
        shard,
        discoveries: Discoveries::new(means),
        config,
        engine: engine.clone(),
        gateway_logs: GatewayLogs::new(metrics.clone(), engine.clone(), history.clone()),
        metrics: metrics.clone(),
        history,
        incidents: incidents.clone(),
        shown: Arc::default(),
        probe_endpoint: Arc::default(),
        seen: Vec::new(),
        asking: Asking::new(engine.clone()),
        agent_check: None,
        _self_check: None,
    };
    running.start().await.map_err(DaemonError::CannotProbe)?;

    let (stopping, is_stopping) = watch::channel(false);
    let (ask_reload, mut asked) = mpsc::channel::<ReloadRequest>(RELOAD_QUEUE);
    let tls = web.as_ref().is_some_and(WebConfig::has_tls);
    let state = running.server_state(web, ask_reload, is_stopping);
    let mut servers = JoinSet::new();
    let stop_server = CancellationToken::new();
    for listener in listeners {
        let address = listener
            .local_addr()
            .map(|address| address.to_string())
            .unwrap_or_default();
        servers.spawn(server::serve(
            listener,
            state.clone(),
            stop_server.clone().cancelled_owned(),
        ));
        info!(address, tls, version = build_info::VERSION, "listening");
    }
    tell_the_service_manager(NotifyState::Ready);
    let stop_engine = CancellationToken::new();
    let mut rounds = tokio::spawn({
        let (engine, stop) = (engine.clone(), stop_engine.clone());
        async move { engine.run(stop).await }
    });
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            Some(()) = reload.recv() => drop(running.reload().await),
            Some(list) = found.recv() => {
                let more = std::iter::from_fn(|| found.try_recv().ok()).collect::<Vec<_>>();
                running.discovered(std::iter::once(list).chain(more)).await;
            }
            _ = looks.tick(), if running.looks_at_files() => running.look_at_files().await,
            Some(answer) = asked.recv() => drop(answer.send(running.reload().await)),
            _ = &mut rounds => break Err(DaemonError::Ended("scheduler")),
            Some(_) = servers.join_next() => break Err(DaemonError::Ended("server")),
        }
    };
    let _ = stopping.send(true);
    tell_the_service_manager(NotifyState::Stopping);
    stop_engine.cancel();
    tokio::join!(engine.finish(GRACE), running.stop_agent_check());
    running.gateway_logs.stop().await;
    stop_server.cancel();
    while servers.join_next().into_future().await.is_some() {}
    incidents.close();
    info!("stopped");
    end
}

/// systemd waits for the first before what comes after us starts (sd_notify(3)); elsewhere nobody listens.
fn tell_the_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "the service manager cannot be told");
    }
}

/// What a reload needs.
struct Running {
    source: Source,
    shard: Shard,
    discoveries: Discoveries,
    /// As loaded; what is discovered is not in it.
    config: Config,
    engine: Arc<Engine>,
    gateway_logs: GatewayLogs,
    metrics: Metrics,
    history: Arc<Mutex<History>>,
    incidents: Arc<Incidents>,
    shown: Arc<ArcSwap<String>>,
    probe_endpoint: Arc<ArcSwapOption<ProbeEndpoint>>,
    /// The gateways' own configurations, as they looked when they were last looked at.
    seen: Vec<Seen>,
    asking: Asking,
    agent_check: Option<AgentCheckRun>,
    /// Ends when dropped.
    _self_check: Option<AbortOnDropHandle<()>>,
}

impl Running {
    /// Takes the first configuration over; sources begin to be asked.
    async fn start(&mut self) -> Result<(), Vec<CannotProbe>> {
        let merged = self.merged(&self.config.clone());
        self.engine.apply(&merged)?;
        self.gateway_logs.apply(&merged).await;
        self.adopted(&merged);
        self.discoveries.follow(&self.config);
        Ok(())
    }

    /// What the file and discovery give together, as far as it is this instance's.
    fn merged(&mut self, config: &Config) -> Config {
        let mut merged = self.discoveries.merge(config);
        merged.upstreams.retain(|upstream| self.shard.owns(&upstream.name));
        merged
    }

    /// Sources gave new lists. An upstream that cannot be probed is left out, so that it does not keep others away.
    async fn discovered(&mut self, lists: impl Iterator<Item = discovery::List>) {
        lists.for_each(|list| self.discoveries.take(list, &self.config));
        let mut merged = self.merged(&self.config.clone());
        if let Err(problems) = self.engine.apply(&merged) {
            for problem in &problems {
                warn!(%problem, "a discovered upstream cannot be probed; it is left out");
            }
            let bad = |name: &Arc<str>| problems.iter().any(|problem| problem.upstream == *name);
            merged.upstreams.retain(|upstream| !bad(&upstream.name));
            if let Err(problems) = self.engine.apply(&merged) {
                error!(problem = %DaemonError::CannotProbe(problems), "discovered upstreams not taken over");
                return;
            }
        }
        self.gateway_logs.apply(&merged).await;
        self.forget_others(&merged);
        info!(upstreams = merged.upstreams.len(), "discovered upstreams taken over");
    }

    /// Loads the whole new configuration first; if it is not good, the old one keeps running.
    async fn reload(&mut self) -> Result<(), String> {
        let (source, last) = (self.source.clone(), self.config.config_files.clone());
        let loaded = tokio::task::spawn_blocking(move || source.load_after(&last))
            .await
            .expect("loading does not panic");
        let result = match loaded {
            Err(problems) => Err(problems.to_string()),
            Ok(config) => {
                self.discoveries.rebuild(&config);
                let merged = self.merged(&config);
                match self.engine.apply(&merged) {
                    Err(problems) => {
                        self.discoveries.rebuild(&self.config);
                        Err(DaemonError::CannotProbe(problems).to_string())
                    }
                    Ok(()) => {
                        self.gateway_logs.apply(&merged).await;
                        self.adopted(&merged);
                        self.mark_changes(&config);
                        self.discoveries.follow(&config);
                        self.config = config;
                        Ok(())
                    }
                }
            }
        };
        match &result {
            Ok(()) => info!("configuration reloaded"),
            Err(problems) => {
                self.metrics.config_reloaded(false, clock::now());
                for problem in problems.lines() {
                    error!(problem, "configuration not reloaded; the old one keeps running");
                }
            }
        }
        result
    }

    fn looks_at_files(&self) -> bool {
        !self.config.config_files.is_empty()
    }

    /// Takes over what gateways' own configurations say now, where one of them changed: the way of every reload. Where that
    /// fails, the next change is the next attempt.
    async fn look_at_files(&mut self) {
        let before = std::mem::take(&mut self.seen);
        let again = before.clone();
        let now = tokio::task::spawn_blocking(move || again.iter().map(Seen::again).collect::<Vec<_>>())
            .await
            .expect("looking does not panic");
        let changed = now != before;
        self.seen = now;
        if changed {
            info!("a gateway's own configuration changed");
            let _ = self.reload().await;
        }
    }

    fn adopted(&mut self, config: &Config) {
        let files = &config.config_files;
        self.seen = files.iter().map(|file| file.seen.clone()).collect();
        let changed = files
            .iter()
            .filter_map(|file| Some((file.gateway.clone(), file.changed?)));
        self.metrics.gateway_configs(changed);
        for note in &config.notes {
            warn!(note = %note, "not taken over");
        }
        self.metrics
            .external_url(config.external_url.as_deref().unwrap_or_default());
        self.metrics.config_reloaded(true, clock::now());
        self.asking.allow_all(config.health_endpoint.allow_all);
        self.follow_agent_check(config.agent_check.map(|check| check.listen));
        self.shown.store(Arc::new(config.shown.clone()));
        self.probe_endpoint
            .store(on_request::endpoint(config, &self.metrics).map(Arc::new));
        self.forget_others(config);
        self._self_check = self.begin_self_check(config);
        for note in &config.unused {
            warn!(note = %note, "not acted on by this version");
        }
    }

    /// Answers agent checks at this address from now on; one answered already stays as it is.
    fn follow_agent_check(&mut self, listen: Option<SocketAddr>) {
        if self.agent_check.as_ref().map(|run| run.listen) == listen {
            return;
        }
        if let Some(before) = self.agent_check.take() {
            before.stop.cancel();
        }
        self.agent_check = listen.map(|listen| {
            let (answers, stop) = (self.asking.answers(), CancellationToken::new());
            AgentCheckRun {
                listen,
                task: tokio::spawn(agent_check::run(listen, answers, stop.clone())),
                stop,
            }
        });
    }

    /// Waits until whoever heard that something is down has been told otherwise.
    async fn stop_agent_check(&mut self) {
        if let Some(run) = self.agent_check.take() {
            run.stop.cancel();
            let _ = run.task.await;
        }
    }

    /// Asks the self checks of this configuration from now on. Until they have answered, what was known stays.
    fn begin_self_check(&self, config: &Config) -> Option<AbortOnDropHandle<()>> {
        let prepare = |target: &Arc<_>| {
            let prepared = Prepared::new(Arc::clone(target));
            prepared
                .inspect_err(|error| warn!(problem = error.0, "a self check cannot be asked; it is left out"))
                .ok()
        };
        let targets: Vec<_> = config.self_check.iter().filter_map(prepare).collect();
        if targets.is_empty() {
            self.engine.own_network_lost(false);
        }
        let works = !self.engine.own_network().is_lost();
        self.metrics.self_connectivity((!targets.is_empty()).then_some(works));
        let (engine, metrics) = (self.engine.clone(), self.metrics.clone());
        let own_network = engine.own_network().clone();
        let tell = move |lost: bool| {
            metrics.self_connectivity(Some(!lost));
            engine.own_network_lost(lost);
        };
        (!targets.is_empty()).then(|| {
            AbortOnDropHandle::new(tokio::spawn(self_check::run(
                targets,
                Prober::new(0.0),
                own_network,
                tell,
            )))
        })
    }

    /// What a reload changed stands beside incidents: our own configuration, and those of gateways.
    fn mark_changes(&self, config: &Config) {
        if self.config.shown != config.shown {
            self.incidents.mark(incidents::configuration_changed(clock::now()));
        }
        for file in &config.config_files {
            let before = self.config.config_files.iter().find(|known| known.path == file.path);
            if let Some(changed) = file
                .changed
                .filter(|_| before.is_some_and(|known| known.changed != file.changed))
            {
                self.incidents
                    .mark(incidents::gateway_config_changed(&file.gateway, changed));
            }
        }
        if self.config.storage != config.storage {
            warn!("a change of storage takes a restart for incidents; they are kept where they were");
        }
    }

    /// Forgets the history of upstreams that are not probed any more.
    fn forget_others(&self, config: &Config) {
        let names: std::collections::HashSet<&str> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
        let stays = |name: &str| names.contains(name);
        self.history
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .retain_upstreams(stays, names.len());
    }

    fn server_state(
        &self,
        web: Option<WebConfig>,
        reload: mpsc::Sender<ReloadRequest>,
        stopping: watch::Receiver<bool>,
    ) -> ServerState {
        ServerState {
            metrics: self.metrics.clone(),
            history: self.history.clone(),
            watched: Arc::new(Shown {
                engine: self.engine.clone(),
                metrics: self.metrics.clone(),
            }),
            incidents: self.incidents.clone(),
            health: self.asking.answers(),
            shown_config: self.shown.clone(),
            probe_endpoint: self.probe_endpoint.clone(),
            reload,
            stopping,
            web: web.map(Arc::new),
        }
    }
}

/// Agent checks being answered.
struct AgentCheckRun {
    listen: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// Binds one of `--web.listen-address`: `:10502`, `127.0.0.1:10502`, `[::1]:0`, `host:port`.
///
/// # Errors
/// One line that names the address and what is wrong with it.
pub async fn bind(address: &str) -> Result<TcpListener, String> {
    let wanted = match address.strip_prefix(':') {
        // As for other exporters, no host means every address of both families where there are both.
        Some(port) => {
            let port = port
                .parse()
                .map_err(|_| format!("{address:?} is no address to listen on; write :10502"))?;
            let both = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
            match TcpListener::bind(both).await {
                Ok(listener) => return Ok(listener),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => return Err(in_the_way(address, &error)),
                Err(_) => format!("0.0.0.0:{port}"),
            }
        }
        None => address.to_owned(),
    };
    TcpListener::bind(&wanted)
        .await
        .map_err(|error| in_the_way(address, &error))
}

fn in_the_way(address: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("{address} is in use by another program; choose another with --web.listen-address")
        }
        _ => format!("cannot listen on {address}: {error}"),
    }
}
