//! Real gateways with live faults, and the daemon that follows what they log: every request counted once, every failed
//! attempt by its backend and cause, and a verdict on what users see.

#[path = "../support/mod.rs"]
mod support;

mod inputs;
mod limits;
mod live;
mod nginx;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::metrics::Metrics;

/// A directory for a gateway inside that of its daemon, which removes both.
fn folder() -> (PathBuf, PathBuf) {
    let scratch = scratch();
    let inner = scratch.join("gateway");
    std::fs::create_dir(&inner).expect("created");
    (scratch, inner)
}

/// Series `NAME{labels}` of the logs that must have a value, and no series beside them but zeros.
type Exact<'a> = (&'a str, &'a str, &'a [(&'a str, f64)]);

/// What of these is not so: the series of a metric by one label have these values and all others are 0.
fn differs(metrics: &Metrics, exact: &[Exact<'_>]) -> Option<String> {
    exact.iter().find_map(|(name, label, expected)| {
        let found: Vec<(&str, f64)> = metrics
            .all(name, &[])
            .filter(|sample| sample.value != 0.0)
            .map(|sample| (sample.labels.get(*label).map_or("", String::as_str), sample.value))
            .collect();
        let mut wanted: Vec<(&str, f64)> = expected.to_vec();
        let mut sorted = found.clone();
        let by_label = |one: &(&str, f64), other: &(&str, f64)| one.0.cmp(other.0).then(one.1.total_cmp(&other.1));
        wanted.sort_by(by_label);
        sorted.sort_by(by_label);
        (wanted != sorted).then(|| format!("{name} by {label}: {sorted:?}, not {wanted:?}"))
    })
}
