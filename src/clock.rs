//! Wall time: the one place that reads it.
//!
//! Monotonic time is [`tokio::time::Instant`]; it needs no help from here. How times are written: [`crate::moment`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of day now.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the wall clock"
)]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Seconds since the epoch, as the `_timestamp_seconds` metrics hold them; 0 before the epoch.
pub fn seconds(at: SystemTime) -> f64 {
    since_epoch(at).as_secs_f64()
}

/// Time since the epoch; zero before it.
pub fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}
