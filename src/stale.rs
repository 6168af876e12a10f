//! Whether a gateway still asks servers that its upstream's name no longer gives: what its log shows in use, held against
//! the answers of DNS. Pure; time is an argument.
//!
//! A backend is stale when all of this holds:
//!
//! 1. The gateway has asked it of late, and its last attempt there failed, or it does not answer us and the log shows no
//!    answer of it since. One that still serves hurts nobody.
//! 2. When it was asked, no answer had had its address for so long, while there were answers. One that the gateway left a
//!    little later than the name did is no matter.
//! 3. An earlier answer had it. Where none did since we look, its port must be one of the origin's, and no other backend
//!    that no answer ever had may serve: a gateway that finds its servers elsewhere than in this name is not judged by it.
//!
//! Anybody can write into a log. So a log chooses only among the places that this upstream's own name gave and that
//! our own probes reached there ([`Answers::reached`]); no other is ever asked because of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

/// An address is missing for this long, or for its time to live where that is longer, before it counts as gone.
pub const GONE_AFTER: Duration = Duration::from_secs(600);
/// A place that the name has left is asked that often in this time: once a minute.
const ASKED_IN_IT: u32 = 10;
/// Addresses and backends remembered, each.
const MOST: usize = 64;

/// What the names of an origin gave, round by round, and what the places they have left answer to us.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// When the first and the last answer came.
    times: Option<(Instant, Instant)>,
    given: BTreeMap<IpAddr, Given>,
    /// Places that were asked because a gateway still does.
    left: BTreeMap<SocketAddr, Left>,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    /// The longest time to live it was given with.
    ttl: Duration,
    /// When the first answer without it came.
    missing_since: Option<Instant>,
    /// A probe of ours got a connection there.
    reached: bool,
}

/// A place that the name has left.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// When it was asked last.
    asked: Instant,
    /// Questions without an answer since the last one that had one, and when the first of them was put.
    silent: u32,
    silent_since: Instant,
}

impl Answers {
    /// A whole answer: every address the origin has now.
    pub fn saw(&mut self, addresses: impl Iterator<Item = IpAddr>, ttl: Option<Duration>, now: Instant) {
        let first = self.times.map_or(now, |(first, _)| first);
        self.times = Some((first, now));
        let ttl = ttl.unwrap_or_default();
        let mut present = Vec::new();
        for address in addresses {
            present.push(address);
            let given = self.given.entry(address).or_insert(Given {
                ttl,
                missing_since: None,
                reached: false,
            });
            given.ttl = given.ttl.max(ttl);
            given.missing_since = None;
        }
        for (address, given) in &mut self.given {
            if !present.contains(address) {
                given.missing_since.get_or_insert(now);
            }
        }
        self.left.retain(|place, _| !present.contains(&place.ip()));
        while self.given.len() > MOST.max(present.len()) {
            let longest = self.given.iter().filter(|(_, given)| given.missing_since.is_some());
            let Some(address) = longest
                .min_by_key(|(_, given)| given.missing_since)
                .map(|(address, _)| *address)
            else {
                return;
            };
            self.given.remove(&address);
            self.left.retain(|place, _| place.ip() != address);
        }
    }

    /// A probe of ours got a connection there: from here on its silence says something.
    pub fn reached(&mut self, address: IpAddr) {
        if let Some(given) = self.given.get_mut(&address) {
            given.reached = true;
        }
    }

    /// Notes that a place which the name has left is asked now. False where it must not be: the name never gave it, our
    /// probes never reached it, or it was asked within the last tenth of `after`.
    pub fn begin_to_ask(&mut self, place: SocketAddr, after: Duration, now: Instant) -> bool {
        let may = self.may_be_asked(&place, after, now);
        if may {
            let left = self.left.entry(place).or_insert(Left {
                asked: now,
                silent: 0,
                silent_since: now,
            });
            left.asked = now;
        }
        may
    }

    /// Whether it took the connection.
    pub fn asked(&mut self, place: &SocketAddr, answers: bool) {
        let Some(left) = self.left.get_mut(place) else { return };
        match answers {
            true => left.silent = 0,
            false if left.silent == 0 => (left.silent, left.silent_since) = (1, left.asked),
            false => left.silent = left.silent.saturating_add(1),
        }
    }

    /// Since when it does not answer us; one question without an answer is none.
    fn silent_since(&self, place: &SocketAddr) -> Option<Instant> {
        let left = self.left.get(place).filter(|left| left.silent >= 2)?;
        Some(left.silent_since)
    }

    /// True where the name gave it, our probes got a connection there, and it was not asked of late.
    fn may_be_asked(&self, place: &SocketAddr, after: Duration, now: Instant) -> bool {
        let of_late = |left: &Left| now.saturating_duration_since(left.asked) < after / ASKED_IN_IT;
        self.given.get(&place.ip()).is_some_and(|given| given.reached) && !self.left.get(place).is_some_and(of_late)
    }

    /// True where at that moment no answer had had it for that long, or for its time to live where that is longer.
    fn was_gone(&self, address: IpAddr, after: Duration, at: Instant) -> bool {
        let Some((first, last)) = self.times else { return false };
        let (since, ttl) = match self.given.get(&address) {
            Some(given) => (given.missing_since, given.ttl),
            None => (Some(first), Duration::ZERO),
        };
        since.is_some_and(|since| last.min(at).saturating_duration_since(since) >= after.max(ttl))
    }

    fn was_given(&self, address: IpAddr) -> bool {
        self.given.contains_key(&address)
    }
}

/// The backends that a gateway's log shows in use for one upstream, as the log writes them.
#[derive(Clone, Debug, Default)]
pub struct Backends(HashMap<Box<[u8]>, Backend>);

#[derive(Clone, Copy, Debug)]
struct Backend {
    address: SocketAddr,
    /// The last attempt.
    last: Instant,
    /// The last attempt that was answered.
    served: Option<Instant>,
    /// What the last attempt came to of which that is known.
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Served,
    Failed,
}

impl Backend {
    fn take(&mut self, told: Option<Told>, now: Instant) {
        self.last = now;
        self.told = told.or(self.told);
        if told == Some(Told::Served) {
            self.served = Some(now);
        }
    }
}

impl Backends {
    /// An attempt at a backend and whether it was answered; what is no address is not remembered.
    pub fn asked(&mut self, backend: &[u8], serves: bool, now: Instant) {
        self.take(backend, Some(if serves { Told::Served } else { Told::Failed }), now);
    }

    /// An attempt of which the log does not say whether it was answered, since the client left before.
    pub fn left_waiting(&mut self, backend: &[u8], now: Instant) {
        self.take(backend, None, now);
    }

    fn take(&mut self, backend: &[u8], told: Option<Told>, now: Instant) {
        if let Some(known) = self.0.get_mut(backend) {
            return known.take(told, now);
        }
        let address = std::str::from_utf8(backend).ok().and_then(|text| text.parse().ok());
        let Some(address) = address else { return };
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, known)| known.last);
            if let Some(oldest) = oldest.map(|(backend, _)| backend.clone()) {
                self.0.remove(&oldest);
            }
        }
        let mut known = Backend {
            address,
            last: now,
            served: None,
            told: None,
        };
        known.take(told, now);
        self.0.insert(backend.into(), known);
    }

    /// True where none was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are stale, in order. `ports` are those of the origin.
    pub fn stale(&self, answers: &Answers, ports: &[u16], after: Duration, now: Instant) -> Vec<SocketAddr> {
        let finds_elsewhere = self
            .in_use(after, now)
            .any(|known| known.told == Some(Told::Served) && !answers.was_given(known.address.ip()));
        let is_of_origin = |address: &SocketAddr| {
            answers.was_given(address.ip()) || (ports.contains(&address.port()) && !finds_elsewhere)
        };
        let is_silent = |known: &Backend| {
            let since = answers.silent_since(&known.address);
            since.is_some_and(|since| known.served.is_none_or(|served| served < since))
        };
        let stale = self
            .left(answers, after, now)
            .filter(|known| known.told == Some(Told::Failed) || is_silent(known));
        in_order(stale.map(|known| known.address).filter(is_of_origin))
    }

    /// Places to ask now whether they answer, in order: the name has left them, the gateway has not, and its log does not
    /// say that they fail. Only such as the name gave and our own probes reached.
    pub fn to_be_asked(&self, answers: &Answers, ports: &[u16], after: Duration, now: Instant) -> Vec<SocketAddr> {
        let left = self.left(answers, after, now);
        let open = left.filter(|known| known.told != Some(Told::Failed));
        let may_be =
            |address: &SocketAddr| ports.contains(&address.port()) && answers.may_be_asked(address, after, now);
        in_order(open.map(|known| known.address).filter(may_be))
    }

    fn in_use(&self, after: Duration, now: Instant) -> impl Iterator<Item = &Backend> {
        let all = self.0.values();
        all.filter(move |known| now.saturating_duration_since(known.last) < after)
    }

    /// Those in use that the name had left for long enough when they were asked.
    fn left<'a>(&'a self, answers: &'a Answers, after: Duration, now: Instant) -> impl Iterator<Item = &'a Backend> {
        let was_gone = move |known: &&Backend| answers.was_gone(known.address.ip(), after, known.last);
        self.in_use(after, now).filter(was_gone)
    }
}

fn in_order(places: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let places: BTreeSet<SocketAddr> = places.collect();
    places.into_iter().collect()
}

#[cfg(test)]
mod tests;
