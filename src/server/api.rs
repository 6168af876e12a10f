//! `/api/v1`: what the pages show, as JSON. Names are those of the metrics, times are seconds or RFC 3339 in UTC.

mod events;

use std::time::{Duration, SystemTime};

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::view::{HopDetail, HopState, HopStatus, TrafficStatus, UpstreamStatus};
use super::{ServerState, html, upstream};
use crate::clock;
use crate::evidence::{Certificate, Page};
use crate::history::{Record, Trail};
use crate::verdict::Diagnosis;

pub(super) use events::{MAX_BYTES as MAX_EVENT_BYTES, add as add_event};

/// Incidents of this long are listed unless `since` says otherwise.
const DEFAULT_SINCE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Incidents listed at once unless `limit` says otherwise.
const DEFAULT_LIMIT: usize = 200;

/// `GET /api/v1/upstreams`: every upstream, or those that `q` finds.
pub(super) fn upstreams(state: &ServerState, uri: &Uri) -> Response {
    let search = html::query(uri, "q").to_lowercase();
    let all = state.watched.upstreams();
    let found = all.iter().filter(|one| one.upstream.to_lowercase().contains(&search));
    answer(&json!({ "upstreams": found.map(status).collect::<Vec<_>>() }))
}

/// `GET /api/v1/upstreams/{name}`: one with all its evidence.
pub(super) fn upstream(state: &ServerState, name: &str) -> Response {
    let Some(detail) = state.watched.upstream(name) else {
        return problem(StatusCode::NOT_FOUND, &format!("no upstream is called {name:?}"));
    };
    let failures = super::failures_of(&state.history, name);
    let failures: Vec<_> = failures
        .iter()
        .filter_map(|record| record.evidence.as_deref())
        .collect();
    let mut shown = status(&detail.status);
    shown["interval_seconds"] = json!(detail.config.interval.as_secs_f64());
    shown["hops"] = detail.status.hops.iter().zip(&detail.hops).map(hop_detail).collect();
    shown["risks"] = json!(upstream::next::risks(&detail, clock::now()));
    shown["traffic"] = detail.traffic.iter().map(traffic).collect();
    shown["failures"] = json!(failures);
    shown["changes"] = json!(state.incidents.changes(name, 20));
    shown["incidents"] = json!(
        state
            .incidents
            .list(SystemTime::UNIX_EPOCH, Some(name), clock::now())
            .into_iter()
            .take(10)
            .collect::<Vec<_>>()
    );
    answer(&shown)
}

/// `GET /api/v1/incidents?since=24h&upstream=NAME&limit=N`: the latest first.
pub(super) fn incidents(state: &ServerState, uri: &Uri) -> Response {
    let now = clock::now();
    let since = match html::query(uri, "since").as_str() {
        "" => now.checked_sub(DEFAULT_SINCE),
        text => match since(text, now) {
            Some(since) => Some(since),
            None => {
                let message =
                    format!("since: {text:?} is neither a duration (24h, 7d) nor a time (2026-11-20T12:00:00Z)");
                return problem(StatusCode::BAD_REQUEST, &message);
            }
        },
    };
    let limit = match html::query(uri, "limit").as_str() {
        "" => DEFAULT_LIMIT,
        text => match text.parse() {
            Ok(limit) => limit,
            Err(_) => return problem(StatusCode::BAD_REQUEST, &format!("limit: {text:?} is no number")),
        },
    };
    let name = html::query(uri, "upstream");
    let name = Some(name.as_str()).filter(|name| !name.is_empty());
    let mut incidents = state.incidents.list(since.unwrap_or(SystemTime::UNIX_EPOCH), name, now);
    incidents.truncate(limit);
    answer(&json!({ "incidents": incidents }))
}

/// A stretch of time before now, or a time.
pub(super) fn since(text: &str, now: SystemTime) -> Option<SystemTime> {
    match humantime::parse_duration(text) {
        Ok(time) => Some(now.checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH)),
        Err(_) => humantime::parse_rfc3339(text).ok(),
    }
}

fn status(upstream: &UpstreamStatus) -> Value {
    let mut value = diagnosis(&upstream.diagnosis);
    value["upstream"] = json!(&*upstream.upstream);
    value["bad_gateway_ratio"] = json!({
        "probed": upstream.probed_bad_gateways,
        "real": upstream.real_bad_gateways,
    });
    value["hops"] = upstream.hops.iter().map(hop).collect();
    value
}

fn diagnosis(said: &Diagnosis) -> Value {
    let texts = |texts: &[std::sync::Arc<str>]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "upstream": null,
        "verdict": said.verdict,
        "impact": said.impact,
        "since": rfc3339(said.since),
        "sentence": said.sentence(),
        "hop": said.hop.as_deref(),
        "cause": said.cause,
        "addresses": texts(&said.scope.addresses),
        "paths": texts(&said.scope.paths),
        "backend": said.scope.backend.as_deref(),
        "evidence": said.evidence.as_deref(),
        "next_steps": said.next_steps(),
    })
}

fn hop(hop: &HopStatus) -> Value {
    let (state, failing) = match &hop.state {
        HopState::Pending => ("pending", None),
        HopState::Healthy => ("healthy", None),
        HopState::Failing(failing) => ("failing", Some(failing)),
    };
    let counts = hop.addresses;
    json!({
        "hop": &*hop.hop,
        "user_view": hop.user_view,
        "state": state,
        "cause": failing.map(|failing| failing.cause),
        "wholly": failing.map(|failing| failing.wholly),
        "since": failing.map(|failing| rfc3339(failing.since)),
        "evidence": failing.and_then(|failing| failing.evidence.as_deref()),
        "addresses": {
            "healthy": counts.healthy,
            "failing": counts.failing,
            "skipped": counts.skipped,
            "unprobed": counts.unprobed,
        },
    })
}

fn hop_detail((shown, detail): (&HopStatus, &HopDetail)) -> Value {
    let mut value = hop(shown);
    let gateway = detail.hop.gateway.as_ref();
    value["kind"] = json!(gateway.map(|gateway| gateway.kind));
    value["probes"] = detail.trail.latest().iter().map(|record| probe(record)).collect();
    value["versions"] = versions(&detail.trail);
    value["rounds_seconds"] = detail.trail.rounds().map(|round| json!(round.seconds)).collect();
    value
}

/// Who answers at each address, as far as it is shown.
fn versions(trail: &Trail) -> Value {
    let shown = trail.versions.iter();
    shown
        .map(|(address, version)| (address.to_string(), json!(version.to_string())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The latest probe of a place; a failed one with all its evidence.
fn probe(record: &Record) -> Value {
    let certificate = record.tls.as_ref().and_then(|tls| tls.chain.certificates.first());
    json!({
        "at": rfc3339(record.at),
        "address": record.address,
        "path": record.path.as_deref(),
        "outcome": record.outcome.to_string(),
        "cause": record.outcome.cause(),
        "status": record.status,
        "seconds": record.phases(),
        "certificate": certificate.map(Certificate::new),
        "page": Page::new(&record.recognised),
        "trace_id": record.trace.map(|trace| trace.to_string()),
        "evidence": record.evidence,
    })
}

fn traffic(traffic: &TrafficStatus) -> Value {
    let TrafficStatus { gateway, total, recent } = traffic;
    let ranked = recent.as_ref().map(|recent| &recent.ranked);
    let named = |pairs: &[(std::sync::Arc<str>, u64)], name: &str| -> Vec<Value> {
        pairs
            .iter()
            .map(|(text, count)| json!({ name: &**text, "failed": count }))
            .collect()
    };
    json!({
        "gateway": &**gateway,
        "user_view": total.user_view,
        "requests": total.requests,
        "failed": total.failed,
        "retries": total.retries,
        "client_closed": total.client_closed,
        "bad_gateway_ratio": total.bad_gateway_ratio,
        "recent": recent.as_ref().map(|recent| json!({
            "requests": recent.requests,
            "failed": recent.failed,
            "exceeds_spike": recent.exceeds_spike,
        })),
        "causes": ranked.map(|ranked| {
            ranked.causes.iter().map(|(cause, count)| json!({ "cause": cause, "failed": count })).collect::<Vec<_>>()
        }),
        "backends": ranked.map(|ranked| named(&ranked.backends, "backend")),
        "paths": ranked.map(|ranked| named(&ranked.paths, "path")),
    })
}

fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// A good answer.
fn answer(value: &Value) -> Response {
    with_status(StatusCode::OK, value)
}

/// An answer that says what is wrong.
fn problem(status: StatusCode, message: &str) -> Response {
    with_status(status, &json!({ "error": message }))
}

fn with_status(status: StatusCode, value: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, format!("{value}\n")).into_response()
}
