//! Recent findings, bounded: the last ones of any kind, and failures that outlive them.
//!
//! Pure data: the caller brings the findings and the lock. What a thousand healthy upstreams leave behind is one ring.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use crate::finding::{Finding, Outcome, Purpose};
use crate::observation::{Address, Timings, TraceId};

/// Bytes of evidence text kept of one finding; an outage of thousands of upstreams keeps thousands of them.
pub const MAX_EVIDENCE_BYTES: usize = 400;

/// What a page needs of one finding.
#[derive(Clone, Debug)]
pub struct Record {
    /// When the probe began.
    pub at: SystemTime,
    /// The upstream.
    pub upstream: Arc<str>,
    /// The hop.
    pub hop: Arc<str>,
    /// `None` where the name gave none.
    pub address: Option<Address>,
    /// `None` where the name gave no address.
    pub path: Option<Arc<str>>,
    /// Why it was made.
    pub purpose: Purpose,
    /// The judgement.
    pub outcome: Outcome,
    /// The status, where a head came.
    pub status: Option<u16>,
    /// Times of the finished phases; `None` where no request was made.
    pub timings: Option<Timings>,
    /// What was seen, for people; at most [`MAX_EVIDENCE_BYTES`].
    pub evidence: Option<Box<str>>,
    /// The attempt, as in logs and `traceparent`; `None` where no request was made.
    pub trace: Option<TraceId>,
}

impl Record {
    /// The record of a finding; a longer evidence is cut.
    pub fn new(finding: &Finding, evidence: Option<&str>) -> Record {
        let observation = finding.observation();
        Record {
            at: finding.at,
            upstream: Arc::clone(&finding.upstream.name),
            hop: Arc::clone(&finding.hop.name),
            address: finding.address.clone(),
            path: finding.path.clone(),
            purpose: finding.purpose,
            outcome: finding.outcome,
            status: observation.and_then(|seen| seen.head()).map(|head| head.status),
            timings: observation.map(|seen| seen.timings),
            evidence: evidence.map(cut),
            trace: observation.map(|seen| seen.trace),
        }
    }

    /// True for a failure of the upstream; what our own side prevented is none.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failure(_))
    }
}

fn cut(text: &str) -> Box<str> {
    if text.len() <= MAX_EVIDENCE_BYTES {
        return text.into();
    }
    let room = MAX_EVIDENCE_BYTES - '…'.len_utf8();
    let ends = text
        .char_indices()
        .map(|(start, character)| start + character.len_utf8());
    let end = ends.take_while(|end| *end <= room).last().unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Findings of any kind, in the whole process.
    pub recent: usize,
    /// Failures that fell out of those, in the whole process.
    pub failures: usize,
    /// Latest failures of each upstream that ever failed.
    pub of_upstream: usize,
}

impl Default for Bounds {
    /// Some 0.5 MiB for the process, and 2 KiB for an upstream that fails.
    fn default() -> Self {
        Bounds {
            recent: 400,
            failures: 600,
            of_upstream: 3,
        }
    }
}

/// The findings kept. A record that stands in several places is there once.
#[derive(Debug, Default)]
pub struct History {
    bounds: Bounds,
    recent: VecDeque<Arc<Record>>,
    failures: VecDeque<Arc<Record>>,
    of_upstream: HashMap<Arc<str>, VecDeque<Arc<Record>>>,
}

impl History {
    /// An empty history.
    pub fn new(bounds: Bounds) -> History {
        History {
            bounds,
            ..History::default()
        }
    }

    /// Keeps a record, and lets the oldest go:
    ///
    /// 1. It becomes the latest of all; a failure also the latest of its upstream.
    /// 2. What falls out of the recent ones is kept among the failures if it is one.
    /// 3. What falls out there, or of its upstream, is gone from there.
    pub fn push(&mut self, record: Record) {
        let record = Arc::new(record);
        if record.failed() && self.bounds.of_upstream > 0 {
            let own = self.of_upstream.entry(Arc::clone(&record.upstream)).or_default();
            push_bounded(own, Arc::clone(&record), self.bounds.of_upstream);
        }
        let fallen = push_bounded(&mut self.recent, record, self.bounds.recent);
        if let Some(fallen) = fallen.filter(|fallen| fallen.failed()) {
            push_bounded(&mut self.failures, fallen, self.bounds.failures);
        }
    }

    /// All of the process, the latest first; older ones are failures only.
    pub fn latest(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.recent.iter().rev().chain(self.failures.iter().rev())
    }

    /// The latest failures of one upstream, the latest first.
    pub fn failures_of(&self, upstream: &str) -> impl Iterator<Item = &Arc<Record>> {
        self.of_upstream
            .get(upstream)
            .into_iter()
            .flat_map(|own| own.iter().rev())
    }

    /// Forgets the failures of upstreams that went away. What the process keeps ages on its own.
    pub fn retain_upstreams(&mut self, mut stays: impl FnMut(&str) -> bool) {
        self.of_upstream.retain(|name, _| stays(name));
    }
}

/// Adds at the end; returns what fell out at the front, which is the new one itself where nothing is kept.
fn push_bounded(ring: &mut VecDeque<Arc<Record>>, record: Arc<Record>, bound: usize) -> Option<Arc<Record>> {
    if bound == 0 {
        return Some(record);
    }
    let fallen = (ring.len() >= bound).then(|| ring.pop_front()).flatten();
    ring.push_back(record);
    fallen
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::cause::Cause;

    fn record(status: u16) -> Record {
        Record {
            at: UNIX_EPOCH,
            upstream: "checkout".into(),
            hop: "origin".into(),
            address: None,
            path: None,
            purpose: Purpose::Scheduled,
            outcome: if status < 500 {
                Outcome::Success
            } else {
                Outcome::Failure(Cause::ServerError)
            },
            status: Some(status),
            timings: None,
            evidence: None,
            trace: None,
        }
    }

    fn statuses<'a>(records: impl Iterator<Item = &'a Arc<Record>>) -> Vec<u16> {
        records.filter_map(|record| record.status).collect()
    }

    #[test]
    fn failures_outlive_the_recent_ones() {
        let mut history = History::new(Bounds {
            recent: 3,
            failures: 2,
            of_upstream: 2,
        });
        for status in [501, 200, 502, 503, 201, 202, 203] {
            history.push(record(status));
        }
        assert_eq!(statuses(history.latest()), [203, 202, 201, 503, 502]);
        assert_eq!(statuses(history.failures_of("checkout")), [503, 502]);
        history.push(record(204));
        assert_eq!(statuses(history.latest()), [204, 203, 202, 503, 502]);
        history.retain_upstreams(|name| name != "checkout");
        assert_eq!(history.failures_of("checkout").count(), 0);
    }

    #[test]
    fn nothing_is_allocated_for_an_upstream_that_never_failed() {
        let mut history = History::new(Bounds::default());
        history.push(record(200));
        assert!(history.of_upstream.is_empty());
    }

    #[test]
    fn bounds_of_zero_keep_nothing() {
        let mut history = History::new(Bounds {
            recent: 0,
            failures: 0,
            of_upstream: 0,
        });
        history.push(record(502));
        assert_eq!(history.latest().count() + history.failures_of("checkout").count(), 0);
    }

    #[test]
    fn evidence_is_cut_between_characters() {
        let text = cut(&"ä".repeat(MAX_EVIDENCE_BYTES));
        assert!(text.len() <= MAX_EVIDENCE_BYTES && text.ends_with('…'));
        assert_eq!(&*cut("short"), "short");
    }
}
