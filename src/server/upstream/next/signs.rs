//! What goes wrong already and is no outage yet: what resolvers and caches say, backends left behind, retries that grow.

use std::time::SystemTime;

use super::{NEAR, Risk};
use crate::server::view::{Ahead, UpstreamDetail};

/// Retries per request from which BadGatewayRetryStorm fires, and from which it does where they grew.
const STORM: f64 = 0.2;
const GROWN: f64 = 0.05;
/// Grown is this many times of what was before.
const GROWTH: f64 = 3.0;

/// Resolvers that disagree, content that differs, errors that caches keep.
pub(super) fn answers(detail: &UpstreamDetail, _: SystemTime) -> Vec<Risk> {
    let found = detail
        .hops
        .iter()
        .flat_map(|hop| hop.ahead.iter().map(move |ahead| (&*hop.hop.name, ahead)));
    let risk = |(hop, ahead): (&str, &Ahead)| match ahead {
        Ahead::ResolversDisagree(how) => Some(Risk {
            what: format!("the resolvers of {hop} disagree"),
            nearness: 0.95,
            figure: how.to_string(),
            limit: "the same of each".to_owned(),
            from: "each resolver, asked for itself".to_owned(),
            change: "see which of them is left behind, before a gateway asks that one",
            runbook: "BadGatewayUpstreamDNSDisagreement",
        }),
        Ahead::ContentDiffers(path) => Some(Risk {
            what: format!("{hop} serves other content than the origin"),
            nearness: 1.0,
            figure: format!("{path} differs"),
            limit: "the origin's".to_owned(),
            from: "content.stable".to_owned(),
            change: "purge the cache, or see which server the gateway asks",
            runbook: "BadGatewayContentDiffers",
        }),
        Ahead::CachedError(status) => Some(Risk {
            what: format!("errors of {hop} stay in a cache"),
            nearness: 1.0,
            figure: format!("a {status} from a cache, or with leave to keep it"),
            limit: "no error kept".to_owned(),
            from: "the headers of the answer".to_owned(),
            change: "purge it, and send errors with Cache-Control: no-store",
            runbook: "BadGatewayCached",
        }),
        Ahead::EndsIdle { .. } | Ahead::TakenOut(_) | Ahead::LeftIn(_) => None,
    };
    found.filter_map(risk).collect()
}

/// Backends that a gateway asks and DNS no longer gives.
pub(super) fn stale_backends(detail: &UpstreamDetail, _: SystemTime) -> Vec<Risk> {
    let stale = detail.traffic.iter().filter_map(|traffic| {
        let count = traffic.total.stale_backends.filter(|count| *count > 0)?;
        Some(Risk {
            what: format!("{} asks backends that DNS no longer gives", traffic.gateway),
            nearness: 1.0,
            figure: match count {
                1 => "1 backend".to_owned(),
                count => format!("{count} backends"),
            },
            limit: "none".to_owned(),
            from: "its log, and the answers of 10 minutes or the TTL".to_owned(),
            change: "reload the gateway, and let it resolve at run time",
            runbook: "BadGatewayStaleBackendAddress",
        })
    });
    stale.collect()
}

/// Retries of a gateway against what they may be, and against what they were.
pub(super) fn retries(detail: &UpstreamDetail, _: SystemTime) -> Vec<Risk> {
    let least = detail.config.spike.minimum_requests;
    let near = detail.traffic.iter().filter_map(|traffic| {
        let lately = traffic.total.lately.retries_per_request(least)?;
        let before = traffic.total.before.retries_per_request(least);
        let grown = before.filter(|before| lately > GROWN && lately > GROWTH * before);
        let share = (NEAR * lately / STORM).min(0.99);
        let (limit, from) = match grown {
            Some(before) if lately <= STORM => (format!("{before:.2} before"), "its own log, an hour ago".to_owned()),
            _ => (
                format!("{STORM} per request"),
                "the budget that proxies which have one keep".to_owned(),
            ),
        };
        Some(Risk {
            what: format!("retries of {}", traffic.gateway),
            nearness: if grown.is_some() { share.max(NEAR) } else { share },
            figure: format!("{lately:.2} per request"),
            limit,
            from,
            change: "see which backend fails, and bound the tries",
            runbook: "BadGatewayRetryStorm",
        })
    });
    near.collect()
}

#[cfg(test)]
mod tests;
