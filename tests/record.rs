//! Records the series that the tests of the alert rules run on, from real daemons and peers that are well, fail and are
//! well again. It writes `alerts/tests/recorded_*.yml` anew and is no test: `cargo test` leaves it out.
//!
//! - `cargo test --test record faults`: what upstreams do, in some five minutes.
//! - `cargo test --test record exporter`: what the program itself may suffer from, in as many.
//! - `cargo test --test record health`: a healthy pair that is restarted and reloaded, in 16 minutes.
//! - `cargo test --test record onset`: how faults begin, in 12.
//! - `cargo test --test record logs`: what the logs of gateways tell, in some five.
//!
//! But for `health` and `onset`, a second of a recording stands for 15 s of the tests: rounds and scrapes come once a second, and
//! times since the beginning are stretched alike.

mod support;

#[path = "record/exporter.rs"]
mod exporter;
#[path = "record/faults.rs"]
mod faults;
#[path = "record/logs.rs"]
mod logs;
#[path = "record/peers.rs"]
mod peers;
#[path = "record/real_time.rs"]
mod real_time;
#[path = "record/scenarios.rs"]
mod scenarios;
#[path = "record/series.rs"]
mod series;

/// Scrapes of a stretched recording, and from which to which the fault lasts. One before it, a blip begins and ends.
const SCRAPES: usize = 250;
const BLIP: std::ops::Range<usize> = 12..13;
const FAULT: std::ops::Range<usize> = 30..140;
/// Seconds of the tests that a second of such a recording stands for.
const STRETCH: f64 = 15.0;

#[test]
fn faults() {
    faults::record();
}

#[test]
fn exporter() {
    exporter::record();
}

#[test]
fn health() {
    real_time::health();
}

#[test]
fn onset() {
    real_time::onset();
}

#[test]
fn logs() {
    logs::record();
}
