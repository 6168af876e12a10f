//! The rate limit: so many requests at once, then one per interval. Counted over all callers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A bucket of `burst` requests that regains one every `interval`.
pub(super) struct Limiter {
    interval: Duration,
    burst: u32,
    /// When the bucket is full again; in the past while it is full.
    full_at: Mutex<Option<Instant>>,
}

impl Limiter {
    /// A full bucket. `interval` times `burst` is far below what an [`Instant`] can hold.
    pub(super) fn new(interval: Duration, burst: u32) -> Limiter {
        Limiter {
            interval,
            burst,
            full_at: Mutex::new(None),
        }
    }

    /// Takes one request out of the bucket; false when it is empty.
    pub(super) fn allow(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let after = full_at.map_or(now, |at| at.max(now)) + self.interval;
        let allowed = after - now <= self.interval * self.burst;
        if allowed {
            *full_at = Some(after);
        }
        allowed
    }

    /// True when both allow the same.
    pub(super) fn is_like(&self, other: &Limiter) -> bool {
        (self.interval, self.burst) == (other.interval, other.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let limiter = Limiter::new(Duration::from_secs(10), 3);
        let begin = Instant::now();
        let allowed = |seconds| limiter.allow(begin + Duration::from_secs(seconds));
        for (seconds, expected) in [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (9, false),
            (10, true),
            (10, false),
            (25, true),
            (29, false),
            (30, true),
            (1000, true),
            (1000, true),
            (1000, true),
            (1000, false),
        ] {
            assert_eq!(allowed(seconds), expected, "at {seconds} s");
        }
    }
}
