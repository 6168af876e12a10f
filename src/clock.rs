//! Wall time: the one place that reads it, and how it is written for people.
//!
//! Monotonic time is [`tokio::time::Instant`]; it needs no help from here.

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

/// `2026-11-20 12:31:05 UTC`.
pub fn utc(at: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// `2026-11-20T12:31:05.250Z`, from milliseconds since the epoch; times before it are the epoch.
pub fn rfc3339_millis(millis: i64) -> String {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_for_people() {
        assert_eq!(
            utc(UNIX_EPOCH + Duration::from_secs(1_763_641_865)),
            "2025-11-20 12:31:05 UTC"
        );
    }
}
