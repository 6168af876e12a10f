//! `/probe?target=&module=&hostname=&debug=`: one probe while the asker waits, as blackbox_exporter has it.
//!
//! The status is 200 whenever the target was probed, well or not: `probe_success` tells. What cannot be probed because of
//! the request or of ourselves is no result, and gets another status. Who may be probed is not decided here.

mod page;
mod parameters;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::access::Caller;
use super::{ServerState, negotiate};
use crate::finding::Outcome;
use crate::observation::Observation;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// A URL, or `host:port`.
    pub target: String,
    /// The module's name, where one is named.
    pub module: Option<String>,
    /// `Host` of the request.
    pub hostname: Option<String>,
    /// Seconds the asker waits, where it says.
    pub wait: Option<f64>,
}

/// What a probe on request showed.
#[derive(Debug)]
pub struct Probed {
    /// One line for each thing that happened.
    pub log: Vec<String>,
    /// The module in YAML, secrets hidden.
    pub module: String,
    /// From the beginning of resolution to the judgement.
    pub elapsed: Duration,
    /// The time it had.
    pub timeout: Duration,
    /// Time of its phases.
    pub phases: Phases,
    /// Time to resolve the target's host, also where that failed; zero for an address.
    pub lookup: Duration,
    /// The rule for the body decided.
    pub body_rule_failed: bool,
    /// The request; `None` where none was made.
    pub seen: Option<Observation>,
    /// The judgement.
    pub outcome: Outcome,
}

/// Time spent in each phase that was finished, over all redirects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Looking up names.
    pub resolve: Option<Duration>,
    /// TCP handshakes.
    pub connect: Option<Duration>,
    /// TLS handshakes.
    pub tls: Option<Duration>,
    /// From the request to the first byte of the response.
    pub processing: Option<Duration>,
    /// From there to the last byte.
    pub transfer: Option<Duration>,
}

/// Why a request leads to no probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No module of that name.
    UnknownModule,
    /// What is wrong with the parameters.
    Unusable(String),
    /// This host, or every address it has, is not allowed.
    NotAllowed(String),
    /// The module cannot be used as configured.
    Broken(String),
}

/// Makes the probe.
pub type Ask = dyn Fn(Asked) -> Pin<Box<dyn Future<Output = Result<Probed, Refusal>> + Send>> + Send + Sync;

/// `/probe` as the running configuration has it.
#[derive(Clone)]
pub struct ProbeEndpoint {
    /// One for each probe that may be under way.
    pub slots: Arc<Semaphore>,
    /// Makes the probe.
    pub ask: Arc<Ask>,
}

/// Answers one request.
pub(super) async fn answer(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let Some(endpoint) = state.probe_endpoint.load_full() else {
        let message = "/probe is off; set probe_endpoint: { enabled: true, allow: […] } in the configuration.\n";
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    let (asked, debug) = match parameters::read(&uri, &headers) {
        Ok(read) => read,
        Err((status, message)) => return (status, message + "\n").into_response(),
    };
    if let (true, Some(refusal)) = (debug, caller.refuse()) {
        return refusal;
    }
    let Ok(_slot) = Arc::clone(&endpoint.slots).try_acquire_owned() else {
        let message = "As many probes as probe_endpoint.concurrency allows are under way.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
    };
    let module = asked.module.clone().unwrap_or_default();
    match (endpoint.ask)(asked).await {
        Ok(probed) => page_of(&probed, debug, &headers),
        Err(refusal) => refused(&refusal, &module),
    }
}

fn page_of(probed: &Probed, debug: bool, headers: &HeaderMap) -> Response {
    if debug {
        let kind = "text/plain; charset=utf-8";
        return text(kind, page::debug(probed));
    }
    if let Outcome::Aborted(_) | Outcome::Skipped = probed.outcome {
        let message = format!("Not probed, which says nothing of the target: {}.\n", probed.outcome);
        return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
    }
    let wanted = negotiate::choose(headers);
    text(&wanted.content_type, page::metrics(probed, wanted.format))
}

fn text(content_type: &str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}

fn refused(refusal: &Refusal, module: &str) -> Response {
    let (status, message) = match refusal {
        Refusal::UnknownModule => (StatusCode::BAD_REQUEST, format!("Unknown module {module:?}\n")),
        Refusal::Unusable(message) => (StatusCode::BAD_REQUEST, format!("{message}\n")),
        Refusal::NotAllowed(host) => (
            StatusCode::FORBIDDEN,
            format!(
                "{host} is not allowed: neither its name nor an address of it is in probe_endpoint.allow, or it is one that is never probed\n"
            ),
        ),
        Refusal::Broken(message) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{message}\n")),
    };
    (status, message).into_response()
}
