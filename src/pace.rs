//! `max_rate`: when the next request to an upstream may be sent. No I/O; time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Hands out moments at which requests may be sent, no two closer than the rate allows.
#[derive(Debug)]
pub struct Pace {
    gap: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// `max_rate` in requests per second, above 0.
    pub fn new(max_rate: f64) -> Self {
        Pace {
            gap: Duration::from_secs_f64(1.0 / max_rate.max(1e-6)),
            next: None,
        }
    }

    /// The next free moment from now on, or `None` if there is none before `not_after`.
    pub fn reserve(&mut self, now: Instant, not_after: Instant) -> Option<Instant> {
        let at = self.next.map_or(now, |next| next.max(now));
        if at > not_after {
            return None;
        }
        self.next = Some(at + self.gap);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_keep_their_distance() {
        let now = Instant::now();
        let end = now + Duration::from_secs(1);
        let mut pace = Pace::new(4.0);
        let moments: Vec<_> = std::iter::from_fn(|| pace.reserve(now, end))
            .map(|at| (at - now).as_millis())
            .collect();
        assert_eq!(moments, [0, 250, 500, 750, 1000]);
        let later = now + Duration::from_secs(5);
        assert_eq!(
            pace.reserve(later, later),
            Some(later),
            "unused moments are not saved up, and none is lost"
        );
    }
}
