//! The series of gateway logs: zero at first, within the budget when everything happens, and their places freed again.

use std::sync::Arc;

use super::support::*;
use crate::cause::Cause;
use crate::metrics::{LoggedRequest, Metrics};

/// One gateway with two upstreams, as the kind with the most causes would have it.
fn followed(causes: &[Cause]) -> Metrics {
    let metrics = configured(&[]);
    let upstreams: Vec<(Arc<str>, bool)> = vec![("shop".into(), true), ("blog".into(), false)];
    metrics.configure_gateways(&[("edge".into(), upstreams, causes)]);
    metrics
}

fn count(metrics: &Metrics, part: &str) -> usize {
    samples(metrics).keys().filter(|series| series.contains(part)).count()
}

fn request(upstream: usize, status: u16, failed: Option<Cause>) -> LoggedRequest {
    LoggedRequest {
        upstream,
        at: 1_800_000_000,
        status: Some(status),
        failed,
        client_closed: false,
        retries: 1,
        backend_time: Some(std::time::Duration::from_millis(20)),
        near: [Some(true); 4],
    }
}

#[test]
fn they_begin_at_zero() {
    let causes = [Cause::ConnectRefused, Cause::ResponseClosed, Cause::Unknown];
    let metrics = followed(&causes);
    let samples = samples(&metrics);
    let zero = |series: String| assert_eq!(samples.get(&series).map(String::as_str), Some("0"), "{series}");
    for upstream in ["shop", "blog"] {
        let pair = format!("gateway=\"edge\",upstream=\"{upstream}\"");
        for cause in causes {
            zero(format!("gateway_requests_failed_total{{{pair},cause=\"{cause}\"}}"));
        }
        for code in [200, 500, 502, 503, 504] {
            zero(format!("gateway_responses_total{{{pair},code=\"{code}\"}}"));
        }
        for name in ["requests", "retries", "client_closed", "synthetic_requests"] {
            zero(format!("gateway_{name}_total{{{pair}}}"));
        }
    }
    // What was never seen of nobody's traffic, and a ratio of nothing, are not shown.
    assert_eq!(count(&metrics, "upstream=\"other\""), 0);
    assert_eq!(count(&metrics, "gateway_bad_gateway_ratio"), 0);
}

#[test]
fn a_pair_stays_within_its_budget_whatever_is_logged() {
    let metrics = followed(Cause::ALL);
    let gateway = metrics.gateway("edge").expect("configured");
    for status in 100..600 {
        for cause in Cause::ALL {
            gateway.requests(&[request(0, status, Some(*cause))]);
        }
    }
    gateway.synthetic(0);
    gateway.stale_backends(0, Some(1));
    let of_pair = count(&metrics, "gateway=\"edge\",upstream=\"shop\"");
    println!("one gateway and one upstream: {of_pair} series");
    assert!(of_pair <= 100);
    let codes = count(&metrics, "gateway_responses_total{gateway=\"edge\",upstream=\"shop\"");
    assert_eq!(codes, 17, "sixteen and the others");
}

#[test]
fn attempts_stay_within_their_budget_and_lose_nothing() {
    // Each backend with every cause, one after the other; and all backends with one cause, then with the next.
    let pairs = |by_backend: bool| {
        let backends = 0..2_000;
        let causes = Cause::ALL.iter();
        let mut pairs: Vec<_> = backends
            .flat_map(|backend| causes.clone().map(move |cause| (backend, *cause)))
            .collect();
        if !by_backend {
            pairs.sort_by_key(|(_, cause)| *cause);
        }
        pairs
    };
    attempts_stay_within_their_budget(&pairs(true));
    attempts_stay_within_their_budget(&pairs(false));
}

fn attempts_stay_within_their_budget(pairs: &[(usize, Cause)]) {
    let metrics = followed(Cause::ALL);
    let gateway = metrics.gateway("edge").expect("configured");
    for (backend, cause) in pairs {
        gateway.attempt(format!("10.0.0.7:{backend}").as_bytes(), *cause, 1_800_000_000);
    }
    let attempts: Vec<u64> = samples(&metrics)
        .iter()
        .filter(|(series, _)| series.starts_with("gateway_attempts_failed_total"))
        .map(|(_, value)| value.parse().expect("a number"))
        .collect();
    assert!(attempts.len() <= 1_000, "{} series", attempts.len());
    assert_eq!(attempts.iter().sum::<u64>(), pairs.len() as u64);
    // An hour later their places are free.
    gateway.attempt(b"10.0.0.9:80", Cause::ConnectRefused, 1_800_000_000 + 3_601);
    assert_eq!(count(&metrics, "backend=\"10.0.0.9:80\""), 1);
}

#[test]
fn failures_of_nobody_known_are_shown() {
    let metrics = followed(&[Cause::ResponseTruncated]);
    let gateway = metrics.gateway("edge").expect("configured");
    gateway.failed_after_all(usize::MAX, Cause::ResponseTruncated);
    let samples = samples(&metrics);
    let series = "gateway_requests_failed_total{gateway=\"edge\",upstream=\"other\",cause=\"response_truncated\"}";
    assert_eq!(samples.get(series).map(String::as_str), Some("1"));
}
