//! One hop's handle: what the daemon records into. No lookup and, apart from new addresses, no allocation per event.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::labels::Ready;
use super::process::Process;
use super::shape::Shape;
use super::state::State;
use crate::finding::{AddressCounts, Confirmed, Finding, KeptIdle, Purpose, RoundSummary};
use crate::observation::listening::Listening;
use crate::observation::version::Version;
use crate::observation::{Address, Resolution};

/// The metrics of one hop of one upstream. Stays valid over a reload as long as upstream and hop of that name exist;
/// afterwards what is recorded goes nowhere.
pub struct HopMetrics {
    /// The label `hop`.
    pub(super) name: Arc<str>,
    pub(super) labels: Ready,
    process: Arc<Process>,
    /// Held for a few dozen instructions only: a scrape copies one family's values at a time.
    state: Mutex<State>,
}

impl HopMetrics {
    pub(super) fn new(upstream: &str, shape: Shape, process: &Arc<Process>) -> HopMetrics {
        HopMetrics {
            name: Arc::clone(&shape.hop.name),
            labels: Ready::new([("upstream", upstream)], ("hop", &shape.hop.name)),
            process: Arc::clone(process),
            state: Mutex::new(State::new(shape)),
        }
    }

    /// Counts one finding of this hop.
    ///
    /// 1. A scheduled probe that succeeded or failed counts in every probe metric; `bad_gateway_total` counts answers
    ///    that are 502s, also where the expectations allow a 502, and disguised ones.
    /// 2. A failed resolution is one probe and one failure; it has no latency.
    /// 3. One prevented by ourselves counts in `probes_aborted_total` only, one that was skipped nowhere.
    /// 4. One of another purpose counts in `extra_probes_total` only, if it was made at all.
    pub fn record(&self, finding: &Finding) {
        let dropped = self.state().record(finding);
        self.dropped(dropped);
    }

    /// Whether a path named stable has another content here than at the origin. Returns what was said before.
    pub fn content_differs(&self, differs: bool) -> Option<bool> {
        self.state().content_differs.replace(differs)
    }

    /// Requests beside the schedule of which there is no finding.
    pub fn extra(&self, purpose: Purpose, requests: u64) {
        self.state().extra(purpose, requests);
    }

    /// How long idle connections to an address last; `None` where that is not known any more.
    pub fn kept_idle(&self, address: &Address, kept: Option<KeptIdle>) {
        self.state().kept_idle(address, kept);
    }

    /// What the gateway's health check, replayed, says of an address; `turned` when it said the opposite before.
    pub fn checked(&self, address: &Address, healthy: bool, turned: bool) {
        self.state().checked(address, healthy, turned);
    }

    /// A failure that its confirming retry did not repeat.
    pub fn transient(&self) {
        self.state().transient += 1;
    }

    /// What resolving one target of a round gave; an address in the URL counts nothing.
    pub fn resolved(&self, resolution: &Resolution) {
        self.state().resolved(resolution);
    }

    /// Whether the resolvers of its names disagree; `None` where there are not two of them.
    pub fn resolvers_disagree(&self, disagree: Option<bool>) {
        self.state().resolvers_disagree = disagree;
    }

    /// 502s per probe over the last five minutes; `now` in seconds since the epoch, `None` without probes.
    pub fn bad_gateway_ratio(&self, now: u64) -> Option<f64> {
        self.state().ratio.at(now)
    }

    /// A finished round. One that judged nothing changes the gauges of addresses only.
    pub fn round(&self, round: &RoundSummary) {
        self.state().round(round);
    }

    /// A round that was due while the one before was still running; counted for the whole process.
    pub fn round_skipped(&self) {
        self.process.rounds_skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// The confirmed result of one address and path: drives `probe_success` and `probe_failing`. A name that gives no
    /// address has both labels empty.
    pub fn confirmed(&self, address: Option<&Address>, path: &str, confirmed: Confirmed) {
        let kept = self.state().confirmed(address, path, confirmed);
        self.dropped(u64::from(!kept));
    }

    /// Who listens at an address of this host; `None` where that is not known.
    pub fn listening(&self, address: &Address, listening: Option<Listening>) {
        let kept = self.state().listening(address, listening);
        self.dropped(u64::from(!kept));
    }

    /// Who answered at an address.
    pub fn version(&self, address: &Address, version: Version) {
        let kept = self.state().version(address, version);
        self.dropped(u64::from(!kept));
    }

    /// Removes the series of one path of an address, and with its last path those of the address.
    pub fn forget(&self, address: Option<&Address>, path: &str) {
        self.state().forget(address, path);
    }

    /// Addresses by state, where they changed between two rounds.
    pub fn addresses(&self, counts: AddressCounts) {
        self.state().addresses = Some(counts);
    }

    /// The state, locked. Nothing slow may happen while it is held, above all no writing to a page.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dropped(&self, values: u64) {
        if values > 0 {
            self.process.series_dropped.fetch_add(values, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for HopMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HopMetrics({})", self.labels.as_str())
    }
}
