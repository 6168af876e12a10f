//! Recent findings, bounded: the last ones of any kind, and failures that outlive them; and lines of gateways' logs that
//! were not read.
//!
//! Pure data: the caller brings the findings and the lock. What a thousand healthy upstreams leave behind is one ring.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::evidence::{Evidence, Phases};
use crate::finding::limits::Use;
use crate::finding::{Finding, Outcome, Purpose, Recognised};
use crate::observation::listening::Listening;
use crate::observation::version::Version;
use crate::observation::{Address, End, Resolution, Timings, TlsFacts, TraceId};

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
    /// Bytes of the response head, where one came.
    pub head_bytes: Option<u64>,
    /// Bytes of the response body, where one came whole.
    pub body_bytes: Option<u64>,
    /// Times of the finished phases; `None` where no request was made.
    pub timings: Option<Timings>,
    /// What its name gave, where it has one.
    pub resolution: Option<Arc<Resolution>>,
    /// What the TLS handshake showed.
    pub tls: Option<Arc<TlsFacts>>,
    /// What the answer says of the layers it came through.
    pub recognised: Recognised,
    /// All that speaks for the cause; only a failure has it.
    pub evidence: Option<Arc<Evidence>>,
    /// The attempt, as in logs and `traceparent`; `None` where no request was made.
    pub trace: Option<TraceId>,
}

impl Record {
    /// The record of a finding. `resolution` is that of its round, where its host has a name.
    pub fn new(finding: &Finding, resolution: Option<Arc<Resolution>>, evidence: Option<Arc<Evidence>>) -> Record {
        let observation = finding.observation();
        let head = observation.and_then(|seen| seen.head());
        Record {
            at: finding.at,
            upstream: Arc::clone(&finding.upstream.name),
            hop: Arc::clone(&finding.hop.name),
            address: finding.address.clone(),
            path: finding.path.clone(),
            purpose: finding.purpose,
            outcome: finding.outcome,
            status: head.map(|head| head.status),
            head_bytes: head.map(|head| head.bytes),
            body_bytes: observation.and_then(|seen| match &seen.end {
                End::Response(response) => Some(response.body_bytes),
                _ => None,
            }),
            timings: observation.map(|seen| seen.timings),
            resolution,
            tls: observation.and_then(|seen| seen.tls.clone()),
            recognised: finding.recognised,
            evidence,
            trace: observation.map(|seen| seen.trace),
        }
    }

    /// True for a failure of the upstream; what our own side prevented is none.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failure(_))
    }

    /// Times of its phases, with the resolution of its round.
    pub fn phases(&self) -> Option<Phases> {
        let dns = self.resolution.as_ref().map(|resolution| resolution.elapsed);
        Some(Phases::of(self.timings.as_ref()?, dns, self.outcome.cause()))
    }
}

/// A line of a gateway's log that was not read. Nothing of what stands in it: any client may have written that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedLine {
    /// When it was found.
    pub at: SystemTime,
    /// The gateway.
    pub gateway: Arc<str>,
    /// The log: `access`, `error`, `syslog`, `http`, `drop`.
    pub log: &'static str,
    /// The file or object; `None` where it was sent.
    pub file: Option<Box<str>>,
    /// Where it begins in that file, bytes.
    pub offset: Option<u64>,
    /// Its bytes; `None` where its end had not come.
    pub length: Option<usize>,
    /// Why, in words.
    pub why: &'static str,
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
    /// Latest lines that were not read, in the whole process.
    pub skipped: usize,
}

/// Latest failures of all upstreams together; each has an equal share.
const OF_ALL_UPSTREAMS: usize = 10_000;

impl Default for Bounds {
    /// Some 0.5 MiB for the process where all is well, and about 1 KiB for each failure kept.
    fn default() -> Self {
        Bounds {
            recent: 400,
            failures: 600,
            of_upstream: 20,
            skipped: 50,
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
    skipped: VecDeque<SkippedLine>,
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
    pub fn push(&mut self, record: Arc<Record>) {
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

    /// Keeps a line that was not read, and lets the oldest go.
    pub fn skip(&mut self, line: SkippedLine) {
        push_bounded(&mut self.skipped, line, self.bounds.skipped);
    }

    /// Lines that were not read, the latest first.
    pub fn skipped(&self) -> impl Iterator<Item = &SkippedLine> {
        self.skipped.iter().rev()
    }

    /// Forgets the failures of upstreams that went away; what the process keeps ages on its own. The room for latest
    /// failures is shared among this many upstreams: each keeps 2 to 20.
    pub fn retain_upstreams(&mut self, mut stays: impl FnMut(&str) -> bool, upstreams: usize) {
        self.of_upstream.retain(|name, _| stays(name));
        self.bounds.of_upstream = (OF_ALL_UPSTREAMS / upstreams.max(1)).clamp(2, 20);
        let most = self.bounds.of_upstream;
        for own in self.of_upstream.values_mut() {
            own.drain(..own.len().saturating_sub(most));
        }
    }
}

/// Rounds of a hop that are kept: a quarter of an hour at the default interval.
pub const TRAIL_ROUNDS: usize = 60;
/// Places of a hop whose latest probe is kept.
const TRAIL_PLACES: usize = 64;

/// So long it is missed that there was more than one healthy address.
const REDUNDANT_FOR: Duration = Duration::from_secs(24 * 3600);

/// What one hop did of late: the latest probe of each address and path, and how long its rounds took.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    latest: Vec<Arc<Record>>,
    rounds: VecDeque<RoundPoint>,
    /// Who answered at each address, as far as it was shown.
    pub versions: BTreeMap<Address, Version>,
    /// When more than one address was healthy last, and how many.
    redundant: Option<(SystemTime, u32)>,
    /// By address of this host, who listened there at the end of the last round.
    listening: Vec<(Address, Listening)>,
    /// Of each limit the most that was used of it, and how many rounds ago; empty where no gateway is in front.
    nearest: Vec<(Use, usize)>,
}

/// One round, as a point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundPoint {
    /// The longest of its probes, seconds; `None` where no request was made.
    pub seconds: Option<f32>,
    /// Some first attempt failed.
    pub failed: bool,
}

impl Trail {
    /// Takes a round's first attempts in. Places it did not ask keep what they had; those not in `present` are gone.
    pub fn round(&mut self, records: &[Arc<Record>], present: impl Fn(&Record) -> bool) {
        self.latest.retain(|known| {
            let replaced = |new: &Arc<Record>| new.address == known.address && new.path == known.path;
            present(known) && !records.iter().any(replaced)
        });
        self.latest.extend(records.iter().cloned());
        self.latest
            .sort_by(|one, other| (&one.address, &one.path).cmp(&(&other.address, &other.path)));
        self.latest.truncate(TRAIL_PLACES);
        self.nearest.iter_mut().for_each(|(_, age)| *age += 1);
        self.nearest.retain(|(_, age)| *age <= TRAIL_ROUNDS);
        let totals = records
            .iter()
            .filter_map(|record| record.timings)
            .map(|times| times.total);
        let point = RoundPoint {
            seconds: totals.max().as_ref().map(Duration::as_secs_f32),
            failed: records.iter().any(|record| record.failed()),
        };
        push_bounded(&mut self.rounds, point, TRAIL_ROUNDS);
    }

    /// Takes in what a probe of the present round used of the limits of the gateway in front.
    pub fn used(&mut self, uses: impl Iterator<Item = Use>) {
        for used in uses {
            match self.nearest.iter_mut().find(|(known, _)| known.kind == used.kind) {
                Some(known) if used.share() >= known.0.share() => *known = (used, 0),
                Some(_) => {}
                None => self.nearest.push((used, 0)),
            }
        }
    }

    /// The most that was used of each limit in the last rounds.
    pub fn nearest(&self) -> impl Iterator<Item = Use> {
        self.nearest.iter().map(|(used, _)| *used)
    }

    /// Takes in how many addresses are healthy.
    pub fn healthy(&mut self, addresses: u32, now: SystemTime) {
        if addresses > 1 {
            self.redundant = Some((now, addresses));
        }
    }

    /// How many addresses were healthy when last there was more than one, within a day before `now`.
    pub fn were_healthy(&self, now: SystemTime) -> Option<u32> {
        let lately = |at: SystemTime| now.duration_since(at).is_ok_and(|time| time <= REDUNDANT_FOR);
        self.redundant
            .filter(|(at, _)| lately(*at))
            .map(|(_, addresses)| addresses)
    }

    /// Takes in who listens at the addresses of this host.
    pub fn listen(&mut self, listening: Vec<(Address, Listening)>) {
        self.listening = listening;
    }

    /// Who listened at each address of this host at the end of the last round.
    pub fn listening(&self) -> &[(Address, Listening)] {
        &self.listening
    }

    /// The latest probe of each address and path, in their order.
    pub fn latest(&self) -> &[Arc<Record>] {
        &self.latest
    }

    /// The last rounds, the oldest first.
    pub fn rounds(&self) -> impl ExactSizeIterator<Item = RoundPoint> {
        self.rounds.iter().copied()
    }
}

/// Adds at the end; returns what fell out at the front, which is the new one itself where nothing is kept.
fn push_bounded<T>(ring: &mut VecDeque<T>, one: T, bound: usize) -> Option<T> {
    if bound == 0 {
        return Some(one);
    }
    let fallen = (ring.len() >= bound).then(|| ring.pop_front()).flatten();
    ring.push_back(one);
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
            head_bytes: None,
            body_bytes: None,
            timings: None,
            resolution: None,
            tls: None,
            recognised: Recognised::default(),
            evidence: None,
            trace: None,
        }
    }

    fn made(status: u16) -> Arc<Record> {
        Arc::new(record(status))
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
            skipped: 2,
        });
        for status in [501, 200, 502, 503, 201, 202, 203] {
            history.push(made(status));
        }
        assert_eq!(statuses(history.latest()), [203, 202, 201, 503, 502]);
        assert_eq!(statuses(history.failures_of("checkout")), [503, 502]);
        history.push(made(204));
        assert_eq!(statuses(history.latest()), [204, 203, 202, 503, 502]);
        history.retain_upstreams(|name| name != "checkout", 1);
        assert_eq!(history.failures_of("checkout").count(), 0);
    }

    #[test]
    fn lines_that_were_not_read_are_bounded() {
        let mut history = History::new(Bounds {
            skipped: 2,
            ..Bounds::default()
        });
        for offset in 0..3 {
            history.skip(SkippedLine {
                at: UNIX_EPOCH,
                gateway: "edge".into(),
                log: "access",
                file: None,
                offset: Some(offset),
                length: None,
                why: "binary",
            });
        }
        assert_eq!(
            history.skipped().map(|line| line.offset).collect::<Vec<_>>(),
            [Some(2), Some(1)]
        );
    }

    #[test]
    fn nothing_is_allocated_for_an_upstream_that_never_failed() {
        let mut history = History::new(Bounds::default());
        history.push(made(200));
        assert!(history.of_upstream.is_empty());
    }

    #[test]
    fn bounds_of_zero_keep_nothing() {
        let mut history = History::new(Bounds {
            recent: 0,
            failures: 0,
            of_upstream: 0,
            skipped: 0,
        });
        history.push(made(502));
        assert_eq!(history.latest().count() + history.failures_of("checkout").count(), 0);
    }

    #[test]
    fn a_trail_holds_the_latest_of_each_place_and_its_last_rounds() {
        let at = |path: &str, status| {
            Arc::new(Record {
                path: Some(path.into()),
                timings: Some(Timings {
                    total: Duration::from_millis(u64::from(status)),
                    ..Timings::default()
                }),
                ..record(status)
            })
        };
        let mut trail = Trail::default();
        for _ in 0..TRAIL_ROUNDS {
            trail.round(&[at("/b", 200), at("/a", 201)], |_| true);
        }
        trail.round(&[at("/a", 502)], |_| true);
        assert_eq!(statuses(trail.latest().iter()), [502, 200]);
        let last = trail.rounds().last().unwrap();
        assert_eq!((last.seconds, last.failed), (Some(0.502), true));
        assert_eq!(trail.rounds().len(), TRAIL_ROUNDS);
        trail.round(&[], |record| record.path.as_deref() == Some("/b"));
        assert_eq!(statuses(trail.latest().iter()), [200]);
    }
}
