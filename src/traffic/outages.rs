//! Servers a gateway has taken out of a backend, and why: what stands behind a request that found none left.
//!
//! A line that says so speaks of a period, not of a request, so nothing is counted by it.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Told;
use crate::exchange::{Complaint, Effect, Exchange, Stamp};

/// Backends remembered; those of more are not.
const BACKENDS: usize = 1024;
/// Changes remembered of one backend, the latest ones.
const CHANGES: usize = 64;
/// A line may be written that much later than what it tells of, milliseconds.
const SLACK: i64 = 2_000;
const DAY: i64 = 86_400_000;
/// Times before this state no year, milliseconds.
const FIRST_YEAR: i64 = 10 * 365 * DAY;

/// Which servers are out, by backend.
#[derive(Debug, Default)]
pub(super) struct Outages {
    backends: HashMap<Box<[u8]>, VecDeque<Change>>,
}

#[derive(Debug)]
struct Change {
    time: Option<Stamp>,
    server: u64,
    /// `None` where it is asked again.
    out: Option<Told>,
}

impl Outages {
    /// Takes note of a server that goes down or comes back.
    pub(super) fn note(&mut self, complaint: &Complaint<'_>) {
        let name = complaint.names[0];
        if name.is_empty() || (self.backends.len() >= BACKENDS && !self.backends.contains_key(name)) {
            return;
        }
        let changes = self.backends.entry(name.into()).or_default();
        if changes.len() == CHANGES {
            changes.pop_front();
        }
        let mut hasher = DefaultHasher::new();
        complaint.backend.hash(&mut hasher);
        changes.push_back(Change {
            time: complaint.time,
            server: hasher.finish(),
            out: (complaint.effect == Effect::Down).then(|| complaint.reason.into()),
        });
    }

    /// Why the servers of this request's backend were out, where all were for the same cause.
    pub(super) fn why(&self, exchange: &Exchange<'_>) -> Option<Told> {
        if self.backends.is_empty() || exchange.status != Some(503) || !exchange.attempts.is_empty() {
            return None;
        }
        let changes = exchange.names.iter().find_map(|name| self.backends.get(*name))?;
        let mut servers: Vec<(u64, Option<&Told>)> = Vec::new();
        for change in changes.iter().filter(|change| !is_after(change.time, exchange.time)) {
            match servers.iter_mut().find(|(server, _)| *server == change.server) {
                Some((_, out)) => *out = change.out.as_ref(),
                None => servers.push((change.server, change.out.as_ref())),
            }
        }
        let mut out = servers.iter().filter_map(|(_, out)| *out);
        let first = out.next()?;
        out.all(|other| other.cause == first.cause).then(|| first.clone())
    }
}

/// Whether a change came after a request; where nobody can tell, it did not.
fn is_after(change: Option<Stamp>, request: Option<Stamp>) -> bool {
    let (Some(change), Some(request)) = (change, request) else {
        return false;
    };
    if change.local != request.local {
        return false;
    }
    let later = match change.millis < FIRST_YEAR {
        // The place in a year that begins in March, so that years with and without a leap day agree.
        true => {
            let later = (in_year(change.millis) - in_year(request.millis)).rem_euclid(366 * DAY);
            if later > 183 * DAY { later - 366 * DAY } else { later }
        }
        false => change.millis - request.millis,
    };
    later > SLACK
}

/// Milliseconds since 1 March.
fn in_year(millis: i64) -> i64 {
    // Days since 1 March 2000, in cycles of 400, 100, 4 and 1 years.
    let days = (millis.div_euclid(DAY) - 11_017).rem_euclid(146_097);
    let in_century = days - (days / 36_524).min(3) * 36_524;
    let in_four = in_century % 1_461;
    let in_one = in_four - (in_four / 365).min(3) * 365;
    in_one * DAY + millis.rem_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;
    use crate::exchange::{Join, Reason};

    fn at(millis: i64) -> Option<Stamp> {
        Some(Stamp { millis, local: true })
    }

    fn change<'l>(backend: &'l [u8], effect: Effect, cause: Cause, time: Option<Stamp>) -> Complaint<'l> {
        Complaint {
            time,
            effect,
            reason: Reason::exact(cause),
            backend,
            host: b"",
            names: [b"app", b"", b""],
            join: Join::default(),
        }
    }

    fn request(time: Option<Stamp>) -> Exchange<'static> {
        Exchange {
            time,
            status: Some(503),
            names: [b"", b"app", b""],
            ..Exchange::default()
        }
    }

    #[test]
    fn the_cause_behind_a_backend_without_servers() {
        let mut outages = Outages::default();
        let why = |outages: &Outages, time| outages.why(&request(at(time))).map(|told| told.cause);
        assert_eq!(why(&outages, 0), None);
        let start = FIRST_YEAR * 5;
        outages.note(&change(b"s1", Effect::Down, Cause::ConnectRefused, at(start)));
        assert_eq!(why(&outages, start - 60_000), None);
        assert_eq!(why(&outages, start + 60_000), Some(Cause::ConnectRefused));
        outages.note(&change(b"s2", Effect::Down, Cause::ConnectTimeout, at(start + 10_000)));
        assert_eq!(why(&outages, start + 60_000), None);
        outages.note(&change(b"s2", Effect::Up, Cause::Unknown, at(start + 20_000)));
        assert_eq!(why(&outages, start + 60_000), Some(Cause::ConnectRefused));
        let other = Exchange {
            status: Some(502),
            ..request(at(start + 60_000))
        };
        assert_eq!(outages.why(&other), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut outages = Outages::default();
        for number in 0..2000 {
            let name = format!("app{number}");
            let mut down = change(b"s1", Effect::Down, Cause::ConnectRefused, None);
            down.names[0] = name.as_bytes();
            for _ in 0..=CHANGES {
                outages.note(&down);
            }
        }
        assert_eq!(outages.backends.len(), BACKENDS);
        assert!(outages.backends.values().all(|changes| changes.len() == CHANGES));
    }

    #[test]
    fn times_without_a_year() {
        // 20 November 1972, 10:57:39, and 2026, 10:59:04.
        const CHANGE: i64 = 91_105_059_000;
        const REQUEST: i64 = 1_795_172_344_000;
        assert!(!is_after(at(CHANGE), at(REQUEST)));
        assert!(is_after(at(CHANGE + 120_000), at(REQUEST)));
        // 31 December and 1 January.
        assert!(!is_after(at(1_096 * DAY - 1_000), at(20_454 * DAY)));
        assert!(is_after(at(731 * DAY), at(20_454 * DAY - 60_000)));
        // 29 February 1972 is before 1 March of any year.
        assert_eq!(in_year(790 * DAY) - in_year(789 * DAY), -365 * DAY);
        assert_eq!(in_year(20_513 * DAY), 0);
    }
}
