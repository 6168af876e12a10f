//! The values of one hop in one compact table: counters, sums, windows. Arithmetic only: no labels, no text, no lock.

use std::time::Duration;

use crate::observation::TraceId;

/// Upper bounds of the latency buckets, seconds; `+Inf` comes after them.
///
/// The budget decides how many. Two phases cost `2 * (bounds + 3)` series: with 8 bounds 22. Beside them a hop with names,
/// TLS, a body rule, expected addresses, every limit, 17 status codes, a version and every purpose of extra probes has 113,
/// in all 135; plain HTTP on an address with a body rule, every limit, a version and every purpose has 78, in all 100. 1, 5,
/// 10, 30 and 60 are the budgets of gateways that people compare with; what is left goes to the low end, where healthy
/// services answer.
pub(super) const LATENCY_BOUNDS: [f64; 8] = [0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];

/// From this duration on a success is slow enough to be worth an exemplar: the first budget of the buckets.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// One probe that stands for others of its bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) value: Duration,
    /// Seconds since the epoch.
    pub(super) at: f64,
}

/// Durations by bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// Not cumulative; the last is `+Inf`.
    pub(super) buckets: [u64; LATENCY_BOUNDS.len() + 1],
    pub(super) sum: Duration,
    /// The last failed or slow probe. Most hops never have one.
    pub(super) exemplar: Option<Box<Exemplar>>,
}

impl Histogram {
    pub(super) fn observe(&mut self, value: Duration) {
        self.buckets[bucket(value)] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// The bucket a duration falls in.
pub(super) fn bucket(value: Duration) -> usize {
    let seconds = value.as_secs_f64();
    LATENCY_BOUNDS
        .iter()
        .position(|bound| seconds <= *bound)
        .unwrap_or(LATENCY_BOUNDS.len())
}

/// Time in finished phases of one kind, and their number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    pub(super) time: Duration,
    pub(super) count: u64,
}

impl Total {
    pub(super) fn add(&mut self, time: Option<Duration>) {
        if let Some(time) = time {
            self.time = self.time.saturating_add(time);
            self.count += 1;
        }
    }
}

/// Status codes that have a series of their own; further ones share `other`.
pub(super) const MAX_CODES: usize = 16;

/// Responses by status.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    /// Sorted by code.
    known: Vec<(u16, u64)>,
    /// `None` until a code found no place.
    pub(super) other: Option<u64>,
}

impl Default for Codes {
    /// 200 and 502 are there from the start, so that `increase()` sees the first of them.
    fn default() -> Self {
        Codes {
            known: vec![(200, 0), (502, 0)],
            other: None,
        }
    }
}

impl Codes {
    /// For a gateway's log: what its 502s and their neighbours are compared with is there from the start.
    pub(super) fn of_logs() -> Codes {
        Codes {
            known: [200, 500, 502, 503, 504].map(|code| (code, 0)).to_vec(),
            other: None,
        }
    }

    /// Counts one; false where it went to `other`.
    pub(super) fn count(&mut self, code: u16) -> bool {
        match self.known.binary_search_by_key(&code, |(known, _)| *known) {
            Ok(at) => self.known[at].1 += 1,
            Err(at) if self.known.len() < MAX_CODES => self.known.insert(at, (code, 1)),
            Err(_) => {
                *self.other.get_or_insert(0) += 1;
                return false;
            }
        }
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.known.iter().copied()
    }
}

/// Seconds of one slot of a [`Ratio`].
const RATIO_SLOT: u64 = 30;
/// Slots of a [`Ratio`]: 5 minutes.
const RATIO_SLOTS: usize = 10;

/// 502s per probe over the last 5 minutes, in slots of 30 s by wall time.
#[derive(Clone, Debug, Default)]
pub(super) struct Ratio([RatioSlot; RATIO_SLOTS]);

#[derive(Clone, Copy, Debug, Default)]
struct RatioSlot {
    /// Slots since the epoch.
    number: u32,
    probes: u32,
    bad_gateways: u32,
}

impl Ratio {
    /// Counts a probe begun at that second; one older than the window is left out.
    pub(super) fn count(&mut self, at_seconds: u64, bad_gateway: bool) {
        let number = (at_seconds / RATIO_SLOT) as u32;
        let slot = &mut self.0[number as usize % RATIO_SLOTS];
        if slot.number > number && slot.number - number <= RATIO_SLOTS as u32 {
            return;
        }
        if slot.number != number {
            *slot = RatioSlot {
                number,
                ..RatioSlot::default()
            };
        }
        slot.probes += 1;
        slot.bad_gateways += u32::from(bad_gateway);
    }

    /// `None` without probes in the window that ends now.
    pub(super) fn at(&self, now_seconds: u64) -> Option<f64> {
        let now = (now_seconds / RATIO_SLOT) as u32;
        let recent = |slot: &&RatioSlot| slot.number <= now && now - slot.number < RATIO_SLOTS as u32;
        let (probes, bad) = self.0.iter().filter(recent).fold((0u64, 0u64), |(probes, bad), slot| {
            (probes + u64::from(slot.probes), bad + u64::from(slot.bad_gateways))
        });
        (probes > 0).then(|| bad as f64 / probes as f64)
    }
}

/// Seconds of one window of a [`Largest`].
const LARGEST_WINDOW: u64 = 300;

/// The largest of the present and the previous 5-minute window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Largest {
    /// Windows since the epoch.
    window: u32,
    present: Option<u64>,
    previous: Option<u64>,
}

impl Largest {
    pub(super) fn see(&mut self, at_seconds: u64, value: u64) {
        let window = (at_seconds / LARGEST_WINDOW) as u32;
        if window != self.window {
            let follows = window == self.window + 1;
            self.previous = self.present.take().filter(|_| follows);
            self.window = window;
        }
        self.present = self.present.max(Some(value));
    }

    /// `None` where both windows are empty or long gone.
    pub(super) fn at(&self, now_seconds: u64) -> Option<u64> {
        match ((now_seconds / LARGEST_WINDOW) as u32).saturating_sub(self.window) {
            0 => self.present.max(self.previous),
            1 => self.present,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        for (millis, expected) in [(0, 0), (25, 0), (26, 1), (1000, 3), (1001, 4), (60_000, 7), (60_001, 8)] {
            assert_eq!(bucket(Duration::from_millis(millis)), expected, "{millis} ms");
        }
    }

    #[test]
    fn codes_beyond_the_bound_share_one_place() {
        let mut codes = Codes::default();
        assert!((100..114).all(|code| codes.count(code)));
        assert!(!codes.count(599));
        assert!(codes.count(502), "one that has a place keeps it");
        assert_eq!((codes.iter().count(), codes.other), (MAX_CODES, Some(1)));
    }

    #[test]
    fn ratio_forgets_after_five_minutes() {
        let mut ratio = Ratio::default();
        assert_eq!(ratio.at(1_000_000), None);
        ratio.count(1_000_000, true);
        ratio.count(1_000_100, false);
        assert_eq!(ratio.at(1_000_100), Some(0.5));
        assert_eq!(ratio.at(1_000_310), Some(0.0));
        assert_eq!(ratio.at(1_000_410), None);
        ratio.count(1_000_300, true);
        ratio.count(1_000_000, true);
        assert_eq!(
            ratio.at(1_000_300),
            Some(0.5),
            "a late finding does not clear a newer slot"
        );
    }

    #[test]
    fn ratio_survives_a_clock_that_jumps_back() {
        let mut ratio = Ratio::default();
        ratio.count(2_000_000, true);
        ratio.count(1_000_000, false);
        assert_eq!(ratio.at(1_000_000), Some(0.0));
    }

    #[test]
    fn largest_is_of_two_windows() {
        let mut largest = Largest::default();
        assert_eq!(largest.at(3000), None);
        largest.see(3000, 7);
        largest.see(3299, 5);
        assert_eq!(largest.at(3299), Some(7));
        largest.see(3300, 6);
        assert_eq!(largest.at(3300), Some(7));
        largest.see(3600, 1);
        assert_eq!(largest.at(3600), Some(6));
        assert_eq!(largest.at(4300), None);
    }
}
