//! How long an origin keeps an idle connection, against how long the gateway in front keeps it for its next request.
//!
//! An origin that closes first meets a request of the gateway in that moment now and then: a 502 without a cause of its own.

use std::time::Duration;

use tokio::time::Instant;

use crate::finding::KeptIdle;
use crate::observation::Idled;

/// The longest silence. Most origins close within it, and a connection must not be held for ever to learn that one does not.
pub const LONGEST: Duration = Duration::from_secs(120);
/// Requests of one measurement at most: before the silence, after it, and on a fresh connection.
#[cfg(test)]
pub(super) const REQUESTS: u32 = 3;
/// Measurements in a row at most; two that agree end it sooner.
pub(super) const IN_A_ROW: u32 = 6;
/// Rounds from one row to the next, of each address.
pub(super) const ROUNDS_BETWEEN: u32 = 400;

/// The measurements of one address.
#[derive(Debug, Default)]
pub struct Idle {
    /// When the last row ended; `None` before the first has.
    rested: Option<Instant>,
    in_row: u32,
    before: Option<Idled>,
    /// Silences that a connection has survived for certain, and not survived, without a close that was seen.
    survives: Duration,
    lost: Option<Duration>,
    drops: u32,
    known: Option<KeptIdle>,
}

impl Idle {
    /// How long to be silent in the next measurement, if it is time for one. `limit` is how long the gateway keeps an idle
    /// connection.
    pub fn next(&self, limit: Duration, interval: Duration, now: Instant) -> Option<Duration> {
        let rests = |since: Instant| now.saturating_duration_since(since) < interval * ROUNDS_BETWEEN;
        if self.in_row == 0 && self.rested.is_some_and(rests) {
            return None;
        }
        let longest = limit.min(LONGEST);
        // A silent drop is searched for by halves.
        Some(
            self.lost
                .map_or(longest, |lost| (self.survives + lost) / 2)
                .min(longest),
        )
    }

    /// Takes a measurement in:
    ///
    /// 1. Two of the same sort in a row that agree, within a second or a tenth, are believed.
    /// 2. Connections lost in silence are believed once two were, and the silence they survive and the one they do not agree.
    /// 3. After so many without that, what was believed stays, and the address rests; a search by halves goes on later.
    pub fn take(&mut self, seen: Idled, now: Instant) {
        self.in_row += 1;
        let before = self.before.replace(seen);
        match seen {
            Idled::Dropped(after) => {
                self.drops += 1;
                self.lost = Some(self.lost.map_or(after, |lost| lost.min(after)));
            }
            Idled::Served(after) if self.lost.is_some() => self.survives = self.survives.max(after),
            _ => {}
        }
        let found = match (self.lost, seen) {
            (Some(lost), _) if self.drops > 1 && agree(self.survives, lost) => {
                Some(KeptIdle::For(self.survives.max(lost / 2)))
            }
            (Some(_), Idled::Dropped(_) | Idled::Served(_)) => None,
            (_, seen) => before.and_then(|before| both(before, seen)),
        };
        if found.is_some() {
            *self = Idle {
                known: found,
                ..Idle::default()
            };
        }
        if found.is_some() || self.in_row >= IN_A_ROW {
            self.rest(now);
        }
    }

    /// No measurement came about: the address rests, and what is known of it stays.
    pub fn rest(&mut self, now: Instant) {
        (self.rested, self.in_row, self.before) = (Some(now), 0, None);
    }

    /// What is known; `None` before two measurements agreed.
    pub fn known(&self) -> Option<KeptIdle> {
        self.known
    }
}

/// What two measurements say together.
fn both(one: Idled, other: Idled) -> Option<KeptIdle> {
    match (one, other) {
        // The lower one: the gateway must close before the origin ever does.
        (Idled::Closed(one), Idled::Closed(other)) if agree(one, other) => Some(KeptIdle::For(one.min(other))),
        (Idled::Served(one), Idled::Served(other)) => Some(KeptIdle::AtLeast(one.min(other))),
        (Idled::NotKept, Idled::NotKept) => Some(KeptIdle::Never),
        _ => None,
    }
}

/// Within a second, or a tenth of the longer one.
fn agree(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= Duration::from_secs(1).max(one.max(other) / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Measures until the address rests; returns the silences and what is known.
    fn measured(limit: f64, origin: impl Fn(Duration, usize) -> Idled) -> (Vec<u64>, Option<KeptIdle>) {
        let (mut idle, now) = (Idle::default(), Instant::now());
        let mut silences = Vec::new();
        while let Some(silence) = idle.next(secs(limit), INTERVAL, now) {
            silences.push(silence.as_secs());
            idle.take(origin(silence, silences.len()), now);
        }
        (silences, idle.known())
    }

    #[tokio::test(start_paused = true)]
    async fn two_that_agree_are_believed() {
        let closes = |at: &'static [f64]| move |_, number: usize| Idled::Closed(secs(at[number - 1]));
        assert_eq!(
            measured(60.0, closes(&[5.0, 5.9])),
            (vec![60, 60], Some(KeptIdle::For(secs(5.0))))
        );
        assert_eq!(measured(60.0, closes(&[30.0, 33.0])).1, Some(KeptIdle::For(secs(30.0))));
        assert_eq!(
            measured(60.0, closes(&[2.0, 9.0, 9.5])).1,
            Some(KeptIdle::For(secs(9.0)))
        );
        let never = [2.0, 9.0, 2.0, 9.0, 2.0, 9.0];
        assert_eq!(
            measured(60.0, |_, number| Idled::Closed(secs(never[number - 1]))),
            (vec![60; 6], None)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlasts_the_silence_is_a_lower_bound() {
        let serves = |silence, _| Idled::Served(silence);
        assert_eq!(
            measured(60.0, serves),
            (vec![60, 60], Some(KeptIdle::AtLeast(secs(60.0))))
        );
        assert_eq!(
            measured(900.0, serves),
            (vec![120, 120], Some(KeptIdle::AtLeast(LONGEST)))
        );
        assert_eq!(measured(60.0, |_, _| Idled::NotKept).1, Some(KeptIdle::Never));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_drop_is_searched_for_by_halves() {
        let drops = |at: f64| {
            move |silence: Duration, _| match silence < secs(at) {
                true => Idled::Served(silence),
                false => Idled::Dropped(silence),
            }
        };
        let (silences, known) = measured(60.0, drops(20.0));
        assert_eq!(silences, [60, 30, 15, 22, 18, 20], "two seconds are a tenth");
        let Some(KeptIdle::For(found)) = known else {
            panic!("{known:?}")
        };
        assert!(found >= secs(18.0) && found < secs(20.0), "{found:?}");
        // One that drops at once is told as well.
        let (_, known) = measured(8.0, drops(0.1));
        assert!(
            matches!(known, Some(KeptIdle::For(found)) if found <= secs(1.0)),
            "{known:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_rests_between_two_rows() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        let limit = secs(60.0);
        (0..2).for_each(|_| idle.take(Idled::Closed(secs(5.0)), now));
        assert_eq!(idle.next(limit, INTERVAL, now + INTERVAL * 399), None);
        assert_eq!(idle.next(limit, INTERVAL, now + INTERVAL * 400), Some(limit));
        idle.rest(now + INTERVAL * 400);
        assert_eq!(idle.next(limit, INTERVAL, now + INTERVAL * 401), None);
        assert_eq!(idle.known(), Some(KeptIdle::For(secs(5.0))), "what is known stays");
    }
}
