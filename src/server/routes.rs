//! Which path answers what.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Router, http::HeaderValue};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::access::Caller;
use super::{ServerState, api, failures_of, health, html, logs, probe_endpoint, runbooks, scrape, status, upstream};
use crate::clock;

/// The page of incidents goes back this far.
const INCIDENTS_SHOWN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Incidents on it at most.
const MAX_INCIDENTS: usize = 300;

/// All routes. Any other path is 404, another method 405.
pub(super) fn router(state: ServerState) -> Router {
    let scrapes = Arc::new(Semaphore::new(scrape::MAX_SCRAPES));
    let metrics = state.metrics.clone();
    Router::new()
        .route("/", get(show_status))
        .route(
            "/metrics",
            get(move |headers: HeaderMap| async move { scrape::answer(metrics, &scrapes, &headers) }),
        )
        .route("/probe", any(probe))
        .route("/upstreams/{name}", get(show_upstream_page))
        .route("/incidents", get(show_incidents))
        .route("/health/{upstream}", any(health_of))
        .route("/logs", get(show_logs))
        .route("/config", get(show_config))
        .route("/api/v1/upstreams", get(list_upstreams))
        .route("/api/v1/upstreams/{name}", get(show_upstream))
        .route("/api/v1/incidents", get(list_incidents))
        .route(
            "/api/v1/events",
            post(add_event).layer(DefaultBodyLimit::max(api::MAX_EVENT_BYTES)),
        )
        .route("/runbooks/", get(list_runbooks))
        .route("/runbooks/{name}", get(show_runbook))
        .route("/-/healthy", get(async || "badgateway is healthy.\n"))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload).fallback(reload_needs_post))
        .fallback(async || (StatusCode::NOT_FOUND, "There is nothing at this path.\n"))
        .with_state(state)
}

async fn show_status(State(state): State<ServerState>, Extension(caller): Extension<Caller>, uri: Uri) -> Response {
    page(move || status::render(&state.metrics.build(), &state.watched.upstreams(), &uri, caller.trusted)).await
}

async fn show_upstream_page(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Response {
    if let Some(refusal) = caller.refuse() {
        return refusal;
    }
    let found = tokio::task::spawn_blocking({
        let (state, name) = (state.clone(), name.clone());
        move || state.watched.upstream(&name)
    });
    let build = state.metrics.build();
    let Ok(Some(detail)) = found.await else {
        let answer = page(move || upstream::unknown(&build, &name)).await;
        return (StatusCode::NOT_FOUND, answer).into_response();
    };
    page(move || {
        let now = clock::now();
        let mut incidents = state.incidents.list(SystemTime::UNIX_EPOCH, Some(&name), now);
        incidents.truncate(upstream::MAX_INCIDENTS);
        let shown = upstream::Shown {
            detail: &detail,
            failures: &failures_of(&state.history, &name),
            incidents: &incidents,
            changes: &state.incidents.changes(&name, upstream::MAX_CHANGES),
            now,
        };
        upstream::render(&build, &shown)
    })
    .await
}

async fn show_incidents(State(state): State<ServerState>, Extension(caller): Extension<Caller>) -> Response {
    if let Some(refusal) = caller.refuse() {
        return refusal;
    }
    page(move || {
        let now = clock::now();
        let since = now.checked_sub(INCIDENTS_SHOWN).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut incidents = state.incidents.list(since, None, now);
        incidents.truncate(MAX_INCIDENTS);
        upstream::list_incidents(&state.metrics.build(), &incidents, now)
    })
    .await
}

async fn health_of(State(state): State<ServerState>, Path(upstream): Path<String>, uri: Uri) -> Response {
    let address = html::query(&uri, "address");
    let address = Some(&*address).filter(|address| !address.is_empty());
    health::answer((state.health)(&upstream, address))
}

async fn show_logs(State(state): State<ServerState>, Extension(caller): Extension<Caller>, uri: Uri) -> Response {
    match caller.refuse() {
        Some(refusal) => refusal,
        None => {
            let search = html::query(&uri, "q");
            page(move || logs::render(&state.metrics.build(), &logs::copy(&state.history), &search)).await
        }
    }
}

async fn list_upstreams(State(state): State<ServerState>, Extension(caller): Extension<Caller>, uri: Uri) -> Response {
    json(caller, move || api::upstreams(&state, &uri)).await
}

async fn show_upstream(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Response {
    json(caller, move || api::upstream(&state, &name)).await
}

async fn list_incidents(State(state): State<ServerState>, Extension(caller): Extension<Caller>, uri: Uri) -> Response {
    json(caller, move || api::incidents(&state, &uri)).await
}

async fn add_event(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match refuse_other_sites(&headers) {
        Some(refusal) => refusal,
        None => json(caller, move || api::add_event(&state, &body)).await,
    }
}

/// Builds an answer of the API for a caller who may see it, on a thread that may take its time.
async fn json(caller: Caller, build: impl FnOnce() -> Response + Send + 'static) -> Response {
    match caller.refuse() {
        Some(refusal) => refusal,
        None => tokio::task::spawn_blocking(build).await.unwrap_or_else(|_| {
            (StatusCode::INTERNAL_SERVER_ERROR, "The answer could not be built.\n").into_response()
        }),
    }
}

/// Runbooks are for whoever is woken, from wherever; they say nothing of what is watched here.
async fn list_runbooks(State(state): State<ServerState>) -> Response {
    page(move || runbooks::list(&state.metrics.build())).await
}

async fn show_runbook(State(state): State<ServerState>, Path(name): Path<String>) -> Response {
    match runbooks::find(&name) {
        Some(runbook) => page(move || runbooks::render(&state.metrics.build(), runbook)).await,
        None => (
            StatusCode::NOT_FOUND,
            "There is no runbook of this name; see /runbooks/.\n",
        )
            .into_response(),
    }
}

/// Builds a page on a thread that may take its time, and sends it with the headers every page has.
async fn page(render: impl FnOnce() -> String + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(render).await {
        Ok(html) => (html::headers(), html).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be built.\n").into_response(),
    }
}

async fn show_config(State(state): State<ServerState>, Extension(caller): Extension<Caller>) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    match caller.refuse() {
        Some(refusal) => refusal,
        None => (headers, state.shown_config.load().to_string()).into_response(),
    }
}

async fn ready(State(state): State<ServerState>) -> Response {
    match *state.stopping.borrow() {
        false => "badgateway is ready.\n".into_response(),
        true => (StatusCode::SERVICE_UNAVAILABLE, "badgateway is stopping.\n").into_response(),
    }
}

/// A page of another site must not reload us or make us probe; programs send no such header.
fn refuse_other_sites(headers: &HeaderMap) -> Option<Response> {
    let site = headers.get(HeaderName::from_static("sec-fetch-site"))?;
    let other = site != "same-origin" && site != "none";
    other.then(|| (StatusCode::FORBIDDEN, "Not from a page of another site.\n").into_response())
}

async fn probe(state: State<ServerState>, caller: Extension<Caller>, headers: HeaderMap, uri: Uri) -> Response {
    match refuse_other_sites(&headers) {
        Some(refusal) => refusal,
        None => probe_endpoint::answer(state, caller, headers, uri).await,
    }
}

/// Asks the daemon for a reload and waits for what comes of it.
async fn reload(State(state): State<ServerState>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refuse_other_sites(&headers) {
        return refusal;
    }
    let (answer, outcome) = oneshot::channel();
    match state.reload.try_send(answer) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => {
            return (StatusCode::SERVICE_UNAVAILABLE, "Another reload is under way.\n").into_response();
        }
        Err(mpsc::error::TrySendError::Closed(_)) => return stopping(),
    }
    match outcome.await {
        Ok(Ok(())) => "The configuration is reloaded.\n".into_response(),
        Ok(Err(reason)) => {
            let message = format!("The old configuration stays: {reason}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
        Err(_) => stopping(),
    }
}

fn stopping() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "badgateway is stopping.\n").into_response()
}

async fn reload_needs_post() -> Response {
    let headers = [(header::ALLOW, HeaderValue::from_static("POST"))];
    (
        StatusCode::METHOD_NOT_ALLOWED,
        headers,
        "This endpoint requires a POST request.\n",
    )
        .into_response()
}
