//! Which hop is due when. No I/O; time is an argument.
//!
//! A hop is due at fixed moments: its share of the interval, given by a stable hash of its name, then every interval.
//! The moments lie on the wall clock, so neither a restart nor a reload moves them, and rounds of many hops spread
//! evenly. A round that is late does not shift the next one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// Names one hop of one upstream in the schedule.
pub type Key = u32;

/// The moments at which hops are due.
#[derive(Debug)]
pub struct Schedule {
    /// A moment and the same moment in time since the epoch.
    anchor: (Instant, Duration),
    entries: HashMap<Key, Entry>,
    due: BinaryHeap<Reverse<(Instant, Key)>>,
}

#[derive(Debug)]
struct Entry {
    interval: Duration,
    /// The regular moment the queue holds for this key, or an earlier one it was brought forward to.
    next: Instant,
    offset: Duration,
}

/// One hop that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub key: Key,
    /// The moment it was due.
    pub at: Instant,
}

impl Schedule {
    /// `now` and the time since the epoch at that moment.
    pub fn new(now: Instant, since_epoch: Duration) -> Self {
        Schedule {
            anchor: (now, since_epoch),
            entries: HashMap::new(),
            due: BinaryHeap::new(),
        }
    }

    /// Adds a hop; `hash` places it within the interval.
    pub fn insert(&mut self, key: Key, interval: Duration, hash: u64, now: Instant) {
        let share = hash as f64 / 2f64.powi(64);
        let entry = Entry {
            interval,
            next: now,
            offset: interval.mul_f64(share),
        };
        let next = self.regular_after(&entry, now);
        self.entries.insert(key, Entry { next, ..entry });
        self.due.push(Reverse((next, key)));
    }

    /// Takes a hop out.
    pub fn remove(&mut self, key: Key) {
        self.entries.remove(&key);
    }

    /// Brings the next round of a hop forward to `at`, once; the moments after it stay as they are.
    pub fn bring_forward(&mut self, key: Key, at: Instant) {
        if let Some(entry) = self.entries.get_mut(&key).filter(|entry| at < entry.next) {
            entry.next = at;
            self.due.push(Reverse((at, key)));
        }
    }

    /// The next moment at which something is due.
    pub fn next_due(&mut self) -> Option<Instant> {
        self.drop_stale();
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The next hop that is due by now; its following moment is put in the queue.
    pub fn pop(&mut self, now: Instant) -> Option<Due> {
        self.drop_stale();
        let Reverse((at, key)) = *self.due.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.due.pop();
        let next = self.regular_after(&self.entries[&key], at.max(now));
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.next = next;
        }
        self.due.push(Reverse((next, key)));
        Some(Due { key, at })
    }

    /// Hops in the schedule.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without hops.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Moments of removed hops, and regular ones replaced by an earlier one, are left in the queue until they surface.
    fn drop_stale(&mut self) {
        while let Some(Reverse((at, key))) = self.due.peek() {
            if self.entries.get(key).is_some_and(|entry| entry.next == *at) {
                return;
            }
            self.due.pop();
        }
    }

    /// The first regular moment after `moment`.
    fn regular_after(&self, entry: &Entry, moment: Instant) -> Instant {
        let (anchor, since_epoch) = self.anchor;
        let interval = entry.interval.as_nanos().max(1);
        let now = (since_epoch + moment.saturating_duration_since(anchor)).as_nanos();
        let offset = entry.offset.as_nanos();
        let passed = (now + interval - offset % interval) % interval;
        let wait = u64::try_from(interval - passed).expect("an interval fits 584 years of nanoseconds");
        moment.max(anchor) + Duration::from_nanos(wait)
    }
}

/// A hash that is the same on every host and in every version: FNV-1a, 64 bits, mixed at the end so that names that
/// differ in their last letter lie apart.
pub fn stable_hash(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(now: Instant) -> Schedule {
        Schedule::new(now, Duration::from_secs(1_700_000_000))
    }

    #[tokio::test(start_paused = true)]
    async fn moments_neither_drift_nor_pile_up() {
        let start = Instant::now();
        let mut schedule = schedule(start);
        schedule.insert(1, 15 * SECOND, stable_hash(&["a"]), start);
        let first = schedule.next_due().expect("one is due");
        assert!(first > start && first <= start + 15 * SECOND);
        assert_eq!(schedule.pop(first - SECOND / 1000), None);
        assert_eq!(schedule.pop(first + SECOND), Some(Due { key: 1, at: first }));
        assert_eq!(schedule.next_due(), Some(first + 15 * SECOND));
        // Nobody looked for a minute: one round is due, not four.
        let late = first + 61 * SECOND;
        assert_eq!(schedule.pop(late).map(|due| due.key), Some(1));
        assert_eq!(schedule.pop(late), None);
        assert_eq!(schedule.next_due(), Some(first + 75 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_does_not_move_the_moments() {
        let start = Instant::now();
        let hash = stable_hash(&["shop", "origin"]);
        let mut before = schedule(start);
        before.insert(1, 15 * SECOND, hash, start);
        let later = start + Duration::from_millis(7_300);
        let mut after = Schedule::new(later, Duration::from_secs(1_700_000_000) + (later - start));
        after.insert(1, 15 * SECOND, hash, later);
        let of_before = before.next_due().expect("due");
        let of_before = if of_before > later {
            of_before
        } else {
            of_before + 15 * SECOND
        };
        assert_eq!(after.next_due(), Some(of_before));
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_is_brought_forward_once() {
        let start = Instant::now();
        let mut schedule = schedule(start);
        schedule.insert(1, 15 * SECOND, 0, start);
        let regular = schedule.next_due().expect("due");
        let early = regular - 5 * SECOND;
        schedule.bring_forward(1, early);
        schedule.bring_forward(1, regular + SECOND);
        assert_eq!(schedule.pop(early), Some(Due { key: 1, at: early }));
        assert_eq!(schedule.pop(early), None);
        assert_eq!(schedule.next_due(), Some(regular));
    }

    #[tokio::test(start_paused = true)]
    async fn removed_hops_are_never_due() {
        let start = Instant::now();
        let mut schedule = schedule(start);
        schedule.insert(1, SECOND, 0, start);
        schedule.insert(2, SECOND, u64::MAX / 2, start);
        schedule.remove(1);
        assert_eq!(schedule.pop(start + SECOND).map(|due| due.key), Some(2));
        assert_eq!(schedule.pop(start + SECOND).map(|due| due.key), None);
        assert_eq!(schedule.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn many_hops_spread_evenly() {
        let start = Instant::now();
        let mut schedule = schedule(start);
        for key in 0..10_000 {
            schedule.insert(
                key,
                10 * SECOND,
                stable_hash(&[&format!("upstream-{key}"), "origin"]),
                start,
            );
        }
        let mut in_tenths = [0; 100];
        while let Some(due) = schedule.pop(start + 10 * SECOND) {
            let tenth = ((due.at - start).as_millis() / 100).min(99);
            in_tenths[tenth as usize] += 1;
        }
        assert_eq!(in_tenths.iter().sum::<i32>(), 10_000);
        // A hundred are expected in each; the bounds are six deviations of a fair spread.
        assert!(
            in_tenths.iter().all(|count| (40..=160).contains(count)),
            "{in_tenths:?}"
        );
    }
}
