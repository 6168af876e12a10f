//! Whose turn it is among the hops of one upstream: the pace of all requests, and one at a time of those that wait long.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::pace::Pace;

/// The turns of one upstream. Its hops share them.
#[derive(Debug)]
pub struct Turns {
    pace: Mutex<Pace>,
    /// One patient probe at a time.
    pub(super) patient: Semaphore,
    /// One connection at a time that is left idle.
    pub(super) idle: Semaphore,
}

impl Turns {
    /// `max_rate` in requests per second.
    pub fn new(max_rate: f64) -> Turns {
        Turns {
            pace: Mutex::new(Pace::new(max_rate)),
            patient: Semaphore::new(1),
            idle: Semaphore::new(1),
        }
    }

    /// Waits for the moment of the next request; false, and at once, where there is none before `not_after`.
    #[must_use]
    pub(super) async fn wait(&self, not_after: Instant) -> bool {
        let now = Instant::now();
        let Some(at) = self.reserve(now, not_after) else {
            return false;
        };
        if at > now {
            sleep_until(at).await;
        }
        true
    }

    fn reserve(&self, now: Instant, not_after: Instant) -> Option<Instant> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.reserve(now, not_after)
    }
}
