//! The HTTP server: metrics, a first status page, recent probes, probes on request, the shown configuration,
//! health of upstreams for gateways and our own, and reload.
//!
//! The caller binds the listener and says when to stop. The server reads what others own and changes nothing itself:
//! a reload is a message to the daemon. `web_config` knows TLS and who may come in.

mod access;
mod api;
mod connection;
mod health;
mod html;
mod logs;
mod negotiate;
mod probe_endpoint;
mod routes;
mod runbooks;
mod scrape;
mod spark;
mod stalling;
mod status;
#[cfg(test)]
mod tests;
mod upstream;
mod view;
mod web_config;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{mpsc, oneshot, watch};

pub use connection::serve;
pub use probe_endpoint::{Ask, Asked, Phases, ProbeEndpoint, Probed, Refusal};
pub use view::{
    Ahead, Failing, HopDetail, HopState, HopStatus, TrafficStatus, UpstreamDetail, UpstreamStatus, Watched,
};
pub use web_config::WebConfig;

use crate::health::Answers;
use crate::history::{History, Record};
use crate::incidents::Incidents;
use crate::metrics::Metrics;

/// Asks for a reload; the answer is the reason why the old configuration stays.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// What the server shows, and whom it asks. The daemon fills it; clones share everything.
#[derive(Clone)]
pub struct ServerState {
    /// For `/metrics`, and the version shown on pages.
    pub metrics: Metrics,
    /// For `/logs`; locked only while records are copied.
    pub history: Arc<Mutex<History>>,
    /// The present state of what is watched, for pages and the API.
    pub watched: Arc<dyn Watched>,
    /// Incidents and changes, for pages and the API.
    pub incidents: Arc<Incidents>,
    /// How an upstream is, or one address of it, for `/health`.
    pub health: Answers,
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

/// The latest failures of an upstream, the latest first.
fn failures_of(history: &Mutex<History>, upstream: &str) -> Vec<Arc<Record>> {
    let history = history.lock().unwrap_or_else(PoisonError::into_inner);
    history.failures_of(upstream).cloned().collect()
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerState")
    }
}
