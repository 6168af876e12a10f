//! Everything `/metrics` shows: counters of hops, gauges of addresses, and the program itself.
//!
//! Values stand in one compact table per hop ([`HopMetrics`]); the page is written from the tables, chunk by chunk,
//! and no probe waits for it longer than one hop's values take to copy. The list of all families is [`FAMILIES`].
//! Only the files of this module know the metrics library.

mod addresses;
mod catalogue;
mod collect;
mod exposition;
mod gateways;
mod hop;
mod labels;
mod latency;
mod marks;
mod origins;
mod prevention;
mod process;
mod shape;
mod state;
#[cfg(test)]
mod tests;
mod upstreams;
mod values;
mod verdicts;
mod versions;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub use catalogue::{FAMILIES, Family, Kind, Unit};
pub use exposition::{Format, Sink};
pub use gateways::{GatewayMetrics, LogSource, LoggedGateway, LoggedRequest, LoggedTraffic, Reading, ReadingLog};
pub use hop::HopMetrics;
pub use marks::Counted;
pub use process::{Build, InFlight};
pub use verdicts::UpstreamMetrics;

use collect::Collected;
use exposition::Page;
use labels::Ready;
use process::Process;
use shape::Shape;

use crate::clock;
use crate::upstream::Upstream;

/// All metrics of one process. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    process: Arc<Process>,
    /// Replaced as a whole by [`Metrics::configure`]; a page being written keeps the one it began with.
    tables: Arc<ArcSwap<Tables>>,
}

/// The tables of all upstreams.
#[derive(Debug, Default)]
struct Tables {
    /// Sorted by name.
    upstreams: Vec<Arc<UpstreamTable>>,
    /// Those whose logs are read, sorted by name.
    gateways: Vec<Arc<GatewayMetrics>>,
}

/// One upstream: its configuration and its hops.
#[derive(Debug)]
struct UpstreamTable {
    config: Arc<Upstream>,
    /// Configured labels, then `upstream`.
    info_labels: Ready,
    /// In the order of the configuration.
    hops: Vec<Arc<HopMetrics>>,
    verdict: Arc<UpstreamMetrics>,
}

impl Metrics {
    /// Metrics without upstreams; `config_last_reload_successful` is 0 until [`Metrics::config_reloaded`].
    pub fn new(build: Build) -> Metrics {
        Metrics {
            process: Arc::new(Process::new(build)),
            tables: Arc::default(),
        }
    }

    /// Takes a new configuration over.
    ///
    /// 1. A new upstream or hop begins with every series it can reach at zero.
    /// 2. One that went away loses all its series.
    /// 3. An upstream with the same name and fingerprint keeps everything.
    /// 4. Of a changed upstream, the incidents stay, and a hop that still exists by name keeps its counters and
    ///    histograms, so that no counter falls back; what was known of its addresses, answers and certificates is forgotten.
    ///
    /// Handles given out before stay valid in cases 3 and 4. Calls must not overlap.
    pub fn configure(&self, upstreams: &[Arc<Upstream>]) {
        let before = self.tables.load_full();
        let known: HashMap<&str, &Arc<UpstreamTable>> = before
            .upstreams
            .iter()
            .map(|table| (&*table.config.name, table))
            .collect();
        let mut tables: Vec<Arc<UpstreamTable>> = upstreams
            .iter()
            .map(|upstream| match known.get(&*upstream.name) {
                Some(table) if table.config.fingerprint == upstream.fingerprint => Arc::clone(table),
                old => Arc::new(UpstreamTable::new(upstream, old.map(|table| &***table), &self.process)),
            })
            .collect();
        tables.sort_by(|one, other| one.config.name.cmp(&other.config.name));
        tables.dedup_by(|one, other| one.config.name == other.config.name);
        self.tables.store(Arc::new(Tables {
            upstreams: tables,
            gateways: before.gateways.clone(),
        }));
    }

    /// The handle of one upstream; `None` where none of that name is configured.
    pub fn upstream(&self, name: &str) -> Option<Arc<UpstreamMetrics>> {
        let tables = self.tables.load();
        tables.upstream(name).map(|table| Arc::clone(&table.verdict))
    }

    /// The handle of one hop; `None` where no such upstream or hop is configured.
    pub fn hop(&self, upstream: &str, hop: &str) -> Option<Arc<HopMetrics>> {
        let tables = self.tables.load();
        tables
            .upstream(upstream)?
            .hops
            .iter()
            .find(|known| &*known.name == hop)
            .cloned()
    }

    /// How much later than planned a round began.
    pub fn schedule_lag(&self, lag: Duration) {
        self.process.schedule_lag(lag);
    }

    /// Counts a probe as under way until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        InFlight::new(&self.process)
    }

    /// A round that was due while the one before was still running.
    pub fn round_skipped(&self) {
        self.process.rounds_skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// A probe that ended in a panic.
    pub fn probe_panicked(&self) {
        self.process.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// A source of discovery that gave no list, or not all of it.
    pub fn discovery_failed(&self) {
        self.process.discovery_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt to load the configuration, the first one at start included.
    pub fn config_reloaded(&self, successful: bool, at: SystemTime) {
        self.process.config_reloaded(successful, at);
    }

    /// When each gateway's own configuration was last written, in place of what was said before.
    pub fn gateway_configs(&self, changed: impl Iterator<Item = (Arc<str>, SystemTime)>) {
        let seconds = changed.map(|(gateway, at)| (gateway, clock::seconds(at)));
        self.process.set_config_changed(seconds.collect());
    }

    /// What self checks say: whether any of them is answered; `None` where none is configured.
    pub fn self_connectivity(&self, works: Option<bool>) {
        self.process.set_self_connectivity(works);
    }

    /// Where people reach this instance; a reload may change it.
    pub fn external_url(&self, url: &str) {
        self.process.set_external_url(url);
    }

    /// What program this is.
    pub fn build(&self) -> Build {
        self.process.build()
    }

    /// Writes the page in chunks of some 32 KiB. `now` decides what is recent. Blocks as long as the sink does, with
    /// no lock held; an error of the sink ends the page and is returned.
    pub fn encode(&self, format: Format, now: SystemTime, sink: Sink<'_>) -> fmt::Result {
        let tables = self.tables.load_full();
        let mut page = Page::new(format, sink);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collected {
            tables: Arc::clone(&tables),
            process: Arc::clone(&self.process),
            now_seconds: clock::since_epoch(now).as_secs(),
        }));
        text::encode_registry(&mut page, &registry)?;
        latency::encode(&tables, format == Format::OpenMetrics, &mut page)?;
        gateways::encode_latency(&tables, &mut page)?;
        text::encode_eof(&mut page)?;
        page.finish()
    }
}

impl Metrics {
    /// Series on the page as it is now.
    pub fn count_series(&self) -> usize {
        let (mut series, mut previous) = (0, b'\n');
        let mut count = |chunk: &str| {
            for byte in chunk.bytes() {
                series += usize::from(previous == b'\n' && byte != b'#');
                previous = byte;
            }
            Ok(())
        };
        let _ = self.encode(Format::OpenMetrics, clock::now(), &mut count);
        series
    }
}

impl Tables {
    fn upstream(&self, name: &str) -> Option<&Arc<UpstreamTable>> {
        let at = self
            .upstreams
            .binary_search_by(|table| (*table.config.name).cmp(name))
            .ok()?;
        self.upstreams.get(at)
    }

    /// All hops, by upstream.
    fn hops(&self) -> impl Iterator<Item = &Arc<HopMetrics>> {
        self.upstreams.iter().flat_map(|table| &table.hops)
    }

    /// Upstreams of which no hop has had a complete round.
    fn pending(&self) -> u64 {
        let pending = |table: &&Arc<UpstreamTable>| table.hops.iter().all(|hop| hop.state().rounds == 0);
        self.upstreams.iter().filter(pending).count() as u64
    }
}

impl UpstreamTable {
    /// The table of a new or changed upstream; `old` is what was there under its name.
    fn new(upstream: &Arc<Upstream>, old: Option<&UpstreamTable>, process: &Arc<Process>) -> UpstreamTable {
        let old_hop = |name: &str| old.and_then(|old| old.hops.iter().find(|hop| &*hop.name == name));
        let hops = upstream.hops.iter().map(|hop| match old_hop(&hop.name) {
            Some(kept) => {
                kept.state().reshape(Shape::of(hop));
                Arc::clone(kept)
            }
            None => Arc::new(HopMetrics::new(&upstream.name, Shape::of(hop), process)),
        });
        let configured = upstream
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        UpstreamTable {
            hops: hops.collect(),
            info_labels: Ready::new(configured, ("upstream", &upstream.name)),
            verdict: old.map_or_else(|| Arc::new(UpstreamMetrics::new()), |old| Arc::clone(&old.verdict)),
            config: Arc::clone(upstream),
        }
    }
}
