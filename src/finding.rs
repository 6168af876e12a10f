//! A judged observation: who, when, for what purpose, and success or exactly one cause.

pub mod limits;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::cause::Cause;
use crate::observation::{Address, Observation, OwnLimit, Resolution};
use crate::upstream::{Hop, Upstream};

/// Why a probe was made. Only scheduled ones count in the probe metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The first attempt of a round.
    Scheduled,
    /// A retry that confirms a failure.
    Confirm,
    /// A look between two rounds while a hop fails.
    Recheck,
    /// A last known address, probed while the name does not resolve.
    StaleAddress,
    /// One that waits longer than the gateway in front does.
    Patient,
    /// A connection left idle after an answer.
    Keepalive,
    /// The gateway's own health check, replayed.
    HealthCheck,
    /// A path named stable, compared between hops.
    Content,
}

impl Purpose {
    /// The label `purpose` of `extra_probes_total`; scheduled probes are no extra ones.
    pub fn label(self) -> &'static str {
        match self {
            Purpose::Scheduled => "scheduled",
            Purpose::Confirm => "confirm",
            Purpose::Recheck => "recheck",
            Purpose::StaleAddress => "stale_address",
            Purpose::Patient => "patient",
            Purpose::Keepalive => "keepalive",
            Purpose::HealthCheck => "health_check",
            Purpose::Content => "content",
        }
    }
}

/// How a probe is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All expectations hold.
    Success,
    /// Exactly one cause.
    Failure(Cause),
    /// Prevented by our own side; says nothing of the peer.
    Aborted(OwnLimit),
    /// No route for this family of addresses on this host; says nothing of the peer.
    Skipped,
}

impl Outcome {
    /// The cause of a failure.
    pub fn cause(self) -> Option<Cause> {
        match self {
            Outcome::Failure(cause) => Some(cause),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Success => f.write_str("ok"),
            Outcome::Failure(cause) => cause.fmt(f),
            Outcome::Aborted(limit) => write!(f, "aborted: {limit}"),
            Outcome::Skipped => f.write_str("skipped: this host has no route for this address family"),
        }
    }
}

/// What the page of a gateway tells of the next hop, whatever number it stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// No valid response came from there.
    BadGateway,
    /// None came in time.
    GatewayTimeout,
}

/// What an answer says of the layers it came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Recognised {
    /// The product that wrote the page; `None` where nothing tells.
    pub writer: Option<&'static str>,
    /// Another product that passed the page on, by its headers the outermost.
    pub behind: Option<&'static str>,
    /// What the page tells of the hop behind its writer.
    pub told: Option<Told>,
    /// Why, where the page says so: a cause, or the phase alone.
    pub stated: Option<Cause>,
    /// What it may be; empty where the page says it exactly or not at all.
    pub candidates: &'static [Cause],
    /// The header that shows that the answer came from a cache.
    pub cached_by: Option<&'static str>,
    /// For how long a shared cache may go on answering with it, as it says itself.
    pub fresh_for: Option<std::time::Duration>,
}

impl Recognised {
    /// It came from a cache, or may stay in one.
    pub fn is_cached(&self) -> bool {
        self.cached_by.is_some() || self.fresh_for.is_some()
    }
}

/// What a finding was judged from.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The name gave no usable address: one probe, one failure of the hop.
    Resolution(Arc<Resolution>),
    /// One request.
    Probe(Box<Observation>),
    /// Nothing: our own side prevented it before it began.
    Nothing,
}

/// One judged probe.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The upstream probed.
    pub upstream: Arc<Upstream>,
    /// The hop probed.
    pub hop: Arc<Hop>,
    /// When it began.
    pub at: SystemTime,
    /// Why it was made.
    pub purpose: Purpose,
    /// The address; `None` where the name gave none.
    pub address: Option<Address>,
    /// The label `path`; `None` where the name gave no address.
    pub path: Option<Arc<str>>,
    /// The judgement.
    pub outcome: Outcome,
    /// What the answer says of the layers it came through.
    pub recognised: Recognised,
    /// The facts behind it.
    pub seen: Seen,
}

impl Finding {
    /// The observation, where a request was made.
    pub fn observation(&self) -> Option<&Observation> {
        match &self.seen {
            Seen::Probe(observation) => Some(observation),
            Seen::Resolution(_) | Seen::Nothing => None,
        }
    }
}

/// How long an origin keeps idle connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptIdle {
    /// They last this long.
    For(Duration),
    /// They last at least this long.
    AtLeast(Duration),
    /// There are none: each answer ends its connection.
    Never,
}

/// The confirmed state of one address and path of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// The last confirmed result is a success.
    Healthy,
    /// Confirmed failing, with this cause.
    Failing(Cause),
}

impl Confirmed {
    /// The cause of a confirmed failure.
    pub fn cause(self) -> Option<Cause> {
        match self {
            Confirmed::Healthy => None,
            Confirmed::Failing(cause) => Some(cause),
        }
    }
}

/// What one finished round of a hop leaves behind, for the gauges and the schedule of rounds.
#[derive(Clone, Debug)]
pub struct RoundSummary {
    /// When its last first attempt ended.
    pub at: SystemTime,
    /// True when all its probed addresses failed, or its names gave none.
    pub failed_wholly: bool,
    /// True when every first attempt was a success.
    pub clean: bool,
    /// False where nothing of it was judged (all aborted or skipped); such a round counts for nothing.
    pub judged: bool,
    /// Addresses by state.
    pub addresses: AddressCounts,
    /// Distinct addresses of the answers, before the bound.
    pub dns_addresses: usize,
    /// The lowest time to live of the answers.
    pub dns_ttl: Option<Duration>,
    /// The set of resolved addresses differs from that of the round before.
    pub dns_changed: bool,
}

/// How many addresses of a hop are in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AddressCounts {
    /// All paths succeeded in their last confirmed result.
    pub healthy: u32,
    /// Some path is confirmed failing.
    pub failing: u32,
    /// No route for this family here.
    pub skipped: u32,
    /// Resolved, but not probed (over `max_addresses`, or one is chosen).
    pub unprobed: u32,
}
