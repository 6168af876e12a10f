//! A list in http_sd format, asked for with the program's own prober: one request, bounded in time and size.
//!
//! No HTTP client library is needed for that, and the same words say why an answer did not come.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};

use super::{Failed, Means};
use crate::classify::classify;
use crate::config::operation::PrivateUrl;
use crate::config::{MAX_GROUPS_SIZE, TargetGroup, json_groups};
use crate::evidence;
use crate::finding::Outcome;
use crate::fingerprint::recognise;
use crate::observation::{Address, End, Response};
use crate::probe::Prepared;
use crate::upstream::{BodyRule, Host, Target};

/// Time for one list. Prometheus gives its own a minute.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks once, one address after the other as far as none answers at all.
pub(super) async fn ask(url: &PrivateUrl, refresh: Duration, means: &Means) -> Result<Vec<TargetGroup>, Failed> {
    let target = target(url, refresh, means)?;
    let response = answer(target, means).await?;
    if !response.body_complete || response.body_bytes > MAX_GROUPS_SIZE as u64 {
        return Err(Failed::with(format!(
            "the list is larger than {} MiB",
            MAX_GROUPS_SIZE >> 20
        )));
    }
    let text = std::str::from_utf8(&response.body).map_err(|_| Failed::with("the list is not UTF-8 text".into()))?;
    json_groups(text).map_err(|why| Failed::with(format!("the answer {why}")))
}

fn target(url: &PrivateUrl, refresh: Duration, means: &Means) -> Result<Target, Failed> {
    let made = means.modules.plain_target(url.reveal());
    let mut target = made.map_err(Failed::with)?;
    target.timeout = TIMEOUT;
    target.redirects.max = 3;
    target.max_body = MAX_GROUPS_SIZE as u64 + 1;
    target.expect.status = vec![200..=200];
    // A rule for the body, so that the whole of it is kept; this one always holds.
    target.expect.body = Some(BodyRule::Contains(String::new()));
    let seconds = HeaderValue::from(refresh.as_secs());
    target.headers = vec![
        (header::ACCEPT, HeaderValue::from_static("application/json")),
        (
            HeaderName::from_static("x-prometheus-refresh-interval-seconds"),
            seconds,
        ),
    ];
    Ok(target)
}

async fn answer(target: Target, means: &Means) -> Result<Response, Failed> {
    let resolution = means.prober.resolve_host(&target).await;
    let ips = match (&resolution.result, &target.host) {
        (_, Host::Unix(_)) => Vec::new(),
        (Ok(ips), _) => ips.clone(),
        (Err(_), _) => return Err(Failed::with(evidence::of_resolution(&resolution))),
    };
    let port = target.port;
    let prepared = Prepared::new(Arc::new(target)).map_err(|error| Failed::with(format!("tls: {}", error.0)))?;
    let target = &prepared.target;
    let mut failed = Failed::with("the name has no address".into());
    for ip in ips.into_iter().take(target.max_addresses) {
        let address = Address::Tcp((ip, port).into());
        let seen = means.prober.probe(&prepared, &target.requests[0], &address).await;
        let outcome = classify(&seen, &recognise(&seen, &[]), &target.expect);
        failed = Failed::with(format!("{outcome}: {}", evidence::of_observation(&seen)));
        match (outcome, seen.end) {
            (Outcome::Success, End::Response(response)) => return Ok(*response),
            (_, End::Connect(_) | End::NoRoute) => {}
            _ => break,
        }
    }
    Err(failed)
}
