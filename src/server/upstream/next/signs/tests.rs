//! What logs say of backends and retries, by figures made up.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::*;
use crate::metrics::{Counted, LoggedTraffic};
use crate::server::view::{TrafficStatus, UpstreamStatus};
use crate::verdict::Diagnosis;

fn traffic(stale_backends: Option<u64>, lately: (u64, u64), before: (u64, u64)) -> UpstreamDetail {
    let counted = |(requests, retries)| Counted { requests, retries };
    let config = crate::config::from_urls(&["http://127.0.0.1:1/".to_owned()], &[]).expect("it is valid");
    UpstreamDetail {
        status: UpstreamStatus {
            upstream: "shop".into(),
            diagnosis: Arc::new(Diagnosis::unknown(UNIX_EPOCH)),
            hops: Vec::new(),
            probed_bad_gateways: None,
            real_bad_gateways: None,
            rounds: Vec::new(),
        },
        config: config.upstreams[0].clone(),
        hops: Vec::new(),
        traffic: vec![TrafficStatus {
            gateway: "edge".into(),
            total: LoggedTraffic {
                user_view: true,
                requests: lately.0 + before.0,
                failed: 0,
                retries: lately.1 + before.1,
                client_closed: 0,
                bad_gateway_ratio: None,
                stale_backends,
                lately: counted(lately),
                before: counted(before),
            },
            recent: None,
        }],
    }
}

#[test]
fn stale_backends_are_listed_while_there_are_any() {
    let found = |count| stale_backends(&traffic(count, (0, 0), (0, 0)), UNIX_EPOCH);
    assert!(found(None).is_empty() && found(Some(0)).is_empty());
    let risk = found(Some(2)).remove(0);
    assert_eq!(risk.what, "edge asks backends that DNS no longer gives");
    assert_eq!((risk.figure.as_str(), risk.nearness), ("2 backends", 1.0));
    assert_eq!(risk.runbook, "BadGatewayStaleBackendAddress");
}

#[test]
fn retries_are_held_against_the_budget_and_against_the_hour_before() {
    let found = |lately, before| {
        let risk = retries(&traffic(None, lately, before), UNIX_EPOCH).pop();
        risk.map(|risk| (risk.figure, risk.limit, (risk.nearness * 100.0).round()))
    };
    let said = |figure: &str, limit: &str, nearness| Some((figure.to_owned(), limit.to_owned(), nearness));
    // Few requests say nothing.
    assert_eq!(found((19, 19), (0, 0)), None);
    assert_eq!(
        found((100, 20), (0, 0)),
        said("0.20 per request", "0.2 per request", 80.0)
    );
    assert_eq!(
        found((100, 90), (0, 0)),
        said("0.90 per request", "0.2 per request", 99.0)
    );
    // Below what is listed at all.
    assert_eq!(
        found((100, 4), (0, 0)),
        said("0.04 per request", "0.2 per request", 16.0)
    );
    // More than three times of before; before is too little; no more than three times; few.
    assert_eq!(
        found((100, 8), (600, 12)),
        said("0.08 per request", "0.02 before", 80.0)
    );
    assert_eq!(
        found((100, 8), (10, 0)),
        said("0.08 per request", "0.2 per request", 32.0)
    );
    assert_eq!(
        found((100, 8), (600, 24)),
        said("0.08 per request", "0.2 per request", 32.0)
    );
    assert_eq!(
        found((100, 5), (600, 0)),
        said("0.05 per request", "0.2 per request", 20.0)
    );
    assert_eq!(
        found((100, 90), (600, 12)),
        said("0.90 per request", "0.2 per request", 99.0)
    );
}
