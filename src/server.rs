//! The HTTP server: metrics, a first status page, recent probes, probes on request, the shown configuration,
//! health and reload.
//!
//! The caller binds the listener and says when to stop. The server reads what others own and changes nothing itself:
//! a reload is a message to the daemon. `web_config` knows TLS and who may come in.

mod access;
mod connection;
mod html;
mod logs;
mod negotiate;
mod probe_endpoint;
mod routes;
mod runbooks;
mod scrape;
mod stalling;
mod status;
#[cfg(test)]
mod tests;
mod web_config;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{mpsc, oneshot, watch};

pub use connection::serve;
pub use probe_endpoint::{Ask, Asked, Phases, ProbeEndpoint, Probed, Refusal};
pub use web_config::WebConfig;

use crate::cause::Cause;
use crate::finding::AddressCounts;
use crate::history::History;
use crate::metrics::Metrics;
use crate::verdict::Diagnosis;

/// Asks for a reload; the answer is the reason why the old configuration stays.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// What the server shows, and whom it asks. The daemon fills it; clones share everything.
#[derive(Clone)]
pub struct ServerState {
    /// For `/metrics`, and the version shown on pages.
    pub metrics: Metrics,
    /// For `/logs`; locked only while records are copied.
    pub history: Arc<Mutex<History>>,
    /// The present state of every upstream, for `/`. Called once a page, on a thread that may block shortly.
    pub upstreams: Arc<dyn Fn() -> Vec<UpstreamStatus> + Send + Sync>,
    /// The running configuration with secrets hidden, for `/config`.
    pub shown_config: Arc<ArcSwap<String>>,
    /// `/probe` as the running configuration has it; `None` while it is off.
    pub probe_endpoint: Arc<ArcSwapOption<ProbeEndpoint>>,
    /// To the daemon, one request for each POST to `/-/reload`; when it is full the caller gets a 503.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// True from the moment the daemon begins to stop: `/-/ready` is 503 from then on.
    pub stopping: watch::Receiver<bool>,
    /// TLS and who may come in; where callers must show who they are, they may see everything.
    pub web: Option<Arc<WebConfig>>,
}

/// One upstream as `/` shows it.
#[derive(Clone, Debug)]
pub struct UpstreamStatus {
    /// Its name.
    pub upstream: Arc<str>,
    /// What is said of it as a whole.
    pub diagnosis: Arc<Diagnosis>,
    /// Outermost first.
    pub hops: Vec<HopStatus>,
}

/// One hop as `/` shows it.
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

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerState")
    }
}
