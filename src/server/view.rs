//! What the pages and the API show of upstreams: plain data, filled by the daemon, read by many.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::cause::Cause;
use crate::diagnosis::LogEvidence;
use crate::finding::AddressCounts;
use crate::history::{RoundPoint, Trail};
use crate::metrics::LoggedTraffic;
use crate::observation::Address;
use crate::upstream::{Hop, Upstream};
use crate::verdict::Diagnosis;

/// What is watched, as it is now. Both may block shortly and are called on threads that may.
pub trait Watched: Send + Sync {
    /// Every upstream, in the order of the configuration.
    fn upstreams(&self) -> Vec<UpstreamStatus>;

    /// All that is known of one; `None` where nothing is called so.
    fn upstream(&self, name: &str) -> Option<UpstreamDetail>;
}

/// One upstream in a list.
#[derive(Clone, Debug)]
pub struct UpstreamStatus {
    /// Its name.
    pub upstream: Arc<str>,
    /// What is said of it as a whole.
    pub diagnosis: Arc<Diagnosis>,
    /// Outermost first.
    pub hops: Vec<HopStatus>,
    /// 502s per probe of the outermost hop over the last five minutes; `None` without probes.
    pub probed_bad_gateways: Option<f64>,
    /// 502s per real request in the log of the outermost gateway that has one; `None` without requests.
    pub real_bad_gateways: Option<f64>,
    /// The last rounds of the outermost hop, the oldest first.
    pub rounds: Vec<RoundPoint>,
}

/// One hop in a list.
#[derive(Clone, Debug)]
pub struct HopStatus {
    /// The hop's name.
    pub hop: Arc<str>,
    /// True on the hop that users reach.
    pub user_view: bool,
    /// How it is.
    pub state: HopState,
    /// Addresses by state.
    pub addresses: AddressCounts,
}

/// How a hop is, by confirmed results.
#[derive(Clone, Debug)]
pub enum HopState {
    /// No complete round yet.
    Pending,
    /// Nothing is confirmed failing.
    Healthy,
    /// Something is.
    Failing(Failing),
}

/// What fails at a hop.
#[derive(Clone, Debug)]
pub struct Failing {
    /// Why; of several causes the one most addresses have.
    pub cause: Cause,
    /// All its addresses fail.
    pub wholly: bool,
    /// When that began.
    pub since: SystemTime,
    /// What was seen, for people; shown to local callers only.
    pub evidence: Option<Arc<str>>,
}

/// All that is known of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamDetail {
    /// What the list shows of it.
    pub status: UpstreamStatus,
    /// As it is configured.
    pub config: Arc<Upstream>,
    /// In the order of `status.hops`.
    pub hops: Vec<HopDetail>,
    /// Real traffic, for each gateway whose log is read.
    pub traffic: Vec<TrafficStatus>,
}

/// All that is known of one hop.
#[derive(Clone, Debug)]
pub struct HopDetail {
    /// As it is configured.
    pub hop: Arc<Hop>,
    /// What it did of late.
    pub trail: Trail,
    /// What was found that will fail next, by its rounds and beside them.
    pub ahead: Vec<Ahead>,
}

/// What was found at a hop that will fail next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// It ends idle connections that the gateway still reuses.
    EndsIdle {
        /// Which.
        address: Address,
        /// After this.
        kept: Duration,
        /// The gateway keeps them for this long.
        limit: Duration,
    },
    /// The gateway's health check fails there, and real requests do not.
    TakenOut(Address),
    /// The gateway's health check passes there, and real requests fail.
    LeftIn(Address),
    /// The resolvers of its name say different things, as the sentence tells.
    ResolversDisagree(Arc<str>),
    /// This path, named stable, has other content than at the origin.
    ContentDiffers(Arc<str>),
    /// An error with this status came from a cache, or may stay in one.
    CachedError(u16),
}

/// Real traffic of an upstream in the log of one gateway.
#[derive(Clone, Debug)]
pub struct TrafficStatus {
    /// The gateway's name.
    pub gateway: Arc<str>,
    /// Since the start.
    pub total: LoggedTraffic,
    /// Over the window of the upstream's `spike`; `None` without requests.
    pub recent: Option<LogEvidence>,
}

impl UpstreamStatus {
    /// Something is wrong with it, or some hop of it fails.
    pub fn has_fault(&self) -> bool {
        use crate::verdict::Verdict;
        let verdict = self.diagnosis.verdict;
        verdict.is_fault()
            || verdict == Verdict::OriginUnverified
            || self.hops.iter().any(|hop| hop.failing().is_some())
    }
}

impl HopStatus {
    /// What fails, if anything does.
    pub fn failing(&self) -> Option<&Failing> {
        match &self.state {
            HopState::Failing(failing) => Some(failing),
            HopState::Pending | HopState::Healthy => None,
        }
    }
}
