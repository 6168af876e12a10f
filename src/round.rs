//! One pass over a hop: resolve once, probe its addresses and paths, judge, confirm what failed, look again.
//!
//! ```text
//! names -> choose -> ask -> findings -> finish: believe, report -> beside: again, patient, idle, content, check
//! ```
//!
//! First attempts make the round; confirmations and rechecks run beside the schedule and count apart.

mod again;
mod ahead;
mod ask;
mod believe;
mod beside;
mod check;
mod choose;
mod content;
mod findings;
mod finish;
mod idle;
mod left;
mod lines;
mod listening;
mod names;
mod patient;
mod report;
mod resolvers;
mod shared;
mod shown;
mod state;
mod turns;
mod versions;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::finding::Purpose;
use crate::metrics::{HopMetrics, Metrics};
use crate::probe::Prepared;
use crate::schedule::Key;
use crate::standing::Standing;
use crate::upstream::{Hop, Upstream};

use choose::Work;
use finish::Found;
pub use shared::{Forward, Shared};
pub use state::HopFailing;
use state::State;
pub use turns::Turns;

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
    /// The log of the gateway in front shows that it reuses connections.
    reused: AtomicBool,
    next_address: AtomicUsize,
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
            reused: AtomicBool::new(false),
            next_address: AtomicUsize::new(0),
        }
    }

    /// No more rounds: what is still under way counts as cancelled.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
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
        let _running = Running {
            hop: &self,
            metrics: &shared.metrics,
        };
        let not_after = due + self.upstream.interval;
        let resolutions = self.resolve_all(&shared).await;
        let mut findings = self.judge_names(&shared, &resolutions);
        let chosen = self.choose(&resolutions);
        let asked = self.probe_all(&shared, &chosen.work, Purpose::Scheduled, not_after);
        findings.extend(asked.await);
        if self.retired.load(Ordering::Relaxed) {
            return;
        }
        let found = Found {
            resolutions,
            chosen,
            findings,
        };
        self.finish_round(&shared, &found);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            .encode(crate::metrics::Format::Prometheus, crate::clock::now(), &mut add)
            .expect("the sink takes everything");
        assert!(page.contains("\nbadgateway_probe_panics_total 1\n"), "{page}");
    }
}
