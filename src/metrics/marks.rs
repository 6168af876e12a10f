//! How counters of a gateway's log stood every ten minutes of the last hour, so that what is lately can be told from what
//! was before.

use std::collections::VecDeque;

/// From one mark to the next, in seconds.
const EVERY: u64 = 600;
/// An hour, and the two of what is lately.
const MOST: usize = 8;

/// Requests and retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests.
    pub requests: u64,
    /// Attempts of the gateway after the first one of a request.
    pub retries: u64,
}

impl Counted {
    /// Retries per request; `None` with fewer requests than that.
    pub fn retries_per_request(&self, at_least: u64) -> Option<f64> {
        (self.requests >= at_least.max(1)).then(|| self.retries as f64 / self.requests as f64)
    }

    fn since(self, earlier: Counted) -> Counted {
        Counted {
            requests: self.requests.saturating_sub(earlier.requests),
            retries: self.retries.saturating_sub(earlier.retries),
        }
    }
}

/// The marks, the oldest first, with the ten minutes since the epoch in which each was made.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(VecDeque<(u64, Counted)>);

impl Marks {
    /// Makes one, if it is time for one; `now` in seconds since the epoch.
    pub(super) fn mark(&mut self, now: u64, counted: Counted) {
        let number = now / EVERY;
        if self.0.back().is_some_and(|(last, _)| *last >= number) {
            return;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((number, counted));
    }

    /// What was counted since the last mark but one; with fewer, since the start.
    pub(super) fn lately(&self, now: Counted) -> Counted {
        now.since(self.turn().unwrap_or_default())
    }

    /// What was counted before that, within the hour.
    pub(super) fn before(&self) -> Counted {
        let first = self.0.front().map(|(_, counted)| *counted);
        match (self.turn(), first) {
            (Some(turn), Some(first)) => turn.since(first),
            _ => Counted::default(),
        }
    }

    fn turn(&self) -> Option<Counted> {
        let at = self.0.len().checked_sub(2)?;
        Some(self.0[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(requests: u64, retries: u64) -> Counted {
        Counted { requests, retries }
    }

    #[test]
    fn what_is_lately_is_told_from_the_hour_before() {
        let mut marks = Marks::default();
        assert_eq!(marks.lately(counted(50, 5)), counted(50, 5), "a fresh start");
        assert_eq!(marks.before(), counted(0, 0));
        // Three hours of a hundred requests each ten minutes, marked more often than needed.
        for second in (0..3 * 3600).step_by(10) {
            let requests = second / 6;
            marks.mark(second, counted(requests, requests / 100));
        }
        assert_eq!(marks.before(), counted(600, 6));
        let now = counted(1800 + 200, 18 + 80);
        assert_eq!(marks.lately(now), counted(2000 - 1600, 98 - 16));
        assert_eq!(marks.0.len(), MOST);
    }

    #[test]
    fn few_requests_have_no_ratio() {
        assert_eq!(counted(19, 19).retries_per_request(20), None);
        assert_eq!(counted(20, 5).retries_per_request(20), Some(0.25));
        assert_eq!(counted(0, 0).retries_per_request(0), None);
    }
}
