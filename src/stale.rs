//! Whether a gateway still asks servers that its upstream's name no longer gives: what its log shows in use, held against
//! the answers of DNS. Pure; time is an argument.
//!
//! A backend is stale when all of this holds:
//!
//! 1. The gateway has asked it of late, and its last attempt there failed. One that still serves hurts nobody.
//! 2. When it was asked, no answer had had its address for so long, while there were answers. One that the gateway left a
//!    little later than the name did is no matter.
//! 3. An earlier answer had it. Where none did since we look, its port must be one of the origin's, and no other backend
//!    that no answer ever had may serve: a gateway that finds its servers elsewhere than in this name is not judged by it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

/// An address is missing for this long, or for its time to live where that is longer, before it counts as gone.
pub const GONE_AFTER: Duration = Duration::from_secs(600);
/// Addresses and backends remembered, each.
const MOST: usize = 64;

/// What the names of an origin gave, round by round.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// When the first and the last answer came.
    times: Option<(Instant, Instant)>,
    given: BTreeMap<IpAddr, Given>,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    /// The longest time to live it was given with.
    ttl: Duration,
    /// When the first answer without it came.
    missing_since: Option<Instant>,
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
            });
            *given = Given {
                ttl: given.ttl.max(ttl),
                missing_since: None,
            };
        }
        for (address, given) in &mut self.given {
            if !present.contains(address) {
                given.missing_since.get_or_insert(now);
            }
        }
        while self.given.len() > MOST.max(present.len()) {
            let longest = self.given.iter().filter(|(_, given)| given.missing_since.is_some());
            let Some(address) = longest
                .min_by_key(|(_, given)| given.missing_since)
                .map(|(address, _)| *address)
            else {
                return;
            };
            self.given.remove(&address);
        }
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
    /// The last attempt, and whether it was answered.
    last: Instant,
    serves: bool,
}

impl Backends {
    /// An attempt at a backend; what is no address is not remembered.
    pub fn asked(&mut self, backend: &[u8], serves: bool, now: Instant) {
        if let Some(known) = self.0.get_mut(backend) {
            (known.last, known.serves) = (now, serves);
            return;
        }
        let address = std::str::from_utf8(backend).ok().and_then(|text| text.parse().ok());
        let Some(address) = address else { return };
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, known)| known.last);
            if let Some(oldest) = oldest.map(|(backend, _)| backend.clone()) {
                self.0.remove(&oldest);
            }
        }
        let known = Backend {
            address,
            last: now,
            serves,
        };
        self.0.insert(backend.into(), known);
    }

    /// True where none was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are stale, in order. `ports` are those of the origin.
    pub fn stale(&self, answers: &Answers, ports: &[u16], after: Duration, now: Instant) -> Vec<SocketAddr> {
        let in_use = || {
            let all = self.0.values();
            all.filter(|known| now.saturating_duration_since(known.last) < after)
        };
        let finds_elsewhere = in_use().any(|known| known.serves && !answers.was_given(known.address.ip()));
        let is_known = |address: &SocketAddr| {
            answers.was_given(address.ip()) || (ports.contains(&address.port()) && !finds_elsewhere)
        };
        let mut stale: Vec<SocketAddr> = in_use()
            .filter(|known| !known.serves && is_known(&known.address))
            .filter(|known| answers.was_gone(known.address.ip(), after, known.last))
            .map(|known| known.address)
            .collect();
        stale.sort_unstable();
        stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_secs(15);
    const TTL: Option<Duration> = Some(Duration::from_secs(30));

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A clock that a test moves, and what is seen by it.
    struct World {
        now: Instant,
        answers: Answers,
        backends: Backends,
    }

    impl World {
        fn new() -> World {
            World {
                now: Instant::now(),
                answers: Answers::default(),
                backends: Backends::default(),
            }
        }

        /// Rounds in which the name gives these, and the gateway asks these backends with this success.
        fn goes_on(&mut self, rounds: u32, gives: &[&str], asks: &[(&str, bool)]) {
            for _ in 0..rounds {
                self.now += ROUND;
                self.answers.saw(gives.iter().map(|text| ip(text)), TTL, self.now);
                for (backend, serves) in asks {
                    self.backends.asked(backend.as_bytes(), *serves, self.now);
                }
            }
        }

        fn stale(&self) -> Vec<String> {
            let stale = self.backends.stale(&self.answers, &[80], GONE_AFTER, self.now);
            stale.iter().map(ToString::to_string).collect()
        }
    }

    #[test]
    fn a_backend_that_moved_is_stale_after_ten_minutes() {
        let mut world = World::new();
        world.goes_on(10, &["10.0.0.1"], &[("10.0.0.1:80", true)]);
        world.goes_on(40, &["10.0.0.2"], &[("10.0.0.1:80", false)]);
        assert!(world.stale().is_empty(), "missing for 9 minutes and 45 seconds");
        world.goes_on(1, &["10.0.0.2"], &[("10.0.0.1:80", false)]);
        assert_eq!(world.stale(), ["10.0.0.1:80"]);
        // The gateway was reloaded: it asks the new one, and the old one no more.
        world.goes_on(41, &["10.0.0.2"], &[("10.0.0.2:80", true)]);
        assert!(world.stale().is_empty());
    }

    #[test]
    fn a_longer_time_to_live_is_waited_for() {
        let mut world = World::new();
        world
            .answers
            .saw([ip("10.0.0.1")].into_iter(), Some(Duration::from_secs(3600)), world.now);
        world.goes_on(200, &["10.0.0.2"], &[("10.0.0.1:80", false)]);
        assert!(world.stale().is_empty());
        world.goes_on(41, &["10.0.0.2"], &[("10.0.0.1:80", false)]);
        assert_eq!(world.stale(), ["10.0.0.1:80"]);
    }

    #[test]
    fn what_serves_what_is_given_and_what_dns_says_nothing_of_are_not() {
        // Serves still.
        let mut world = World::new();
        world.goes_on(1, &["10.0.0.1"], &[]);
        world.goes_on(60, &["10.0.0.2"], &[("10.0.0.1:80", true)]);
        assert!(world.stale().is_empty());
        // The gateway looked again a minute later than the name changed.
        let mut world = World::new();
        world.goes_on(10, &["10.0.0.1"], &[("10.0.0.1:80", true)]);
        world.goes_on(4, &["10.0.0.2"], &[("10.0.0.1:80", false)]);
        world.goes_on(37, &["10.0.0.2"], &[("10.0.0.2:80", true)]);
        assert!(world.stale().is_empty());
        // Given in turn with others.
        let mut world = World::new();
        for _ in 0..30 {
            world.goes_on(1, &["10.0.0.1"], &[("10.0.0.1:80", false)]);
            world.goes_on(3, &["10.0.0.2"], &[]);
        }
        assert!(world.stale().is_empty());
        // No answer at all for long: nothing is known.
        let mut world = World::new();
        world.goes_on(1, &["10.0.0.1"], &[]);
        world.goes_on(1, &["10.0.0.2"], &[]);
        world.now += Duration::from_secs(3600);
        world.backends.asked(b"10.0.0.1:80", false, world.now);
        assert!(world.stale().is_empty());
        // No address.
        world.goes_on(
            60,
            &["10.0.0.2"],
            &[("shop/s1", false), ("unix:/run/app.sock", false), ("", false)],
        );
        assert!(world.backends.0.len() == 1);
    }

    #[test]
    fn one_that_no_answer_ever_had() {
        // It moved before we looked.
        let mut world = World::new();
        world.goes_on(42, &["10.0.0.2"], &[("10.0.0.1:80", false)]);
        assert_eq!(world.stale(), ["10.0.0.1:80"]);
        // On a port that is not the origin's.
        let mut world = World::new();
        world.goes_on(42, &["10.0.0.2"], &[("10.0.0.1:8080", false)]);
        assert!(world.stale().is_empty());
        // The gateway finds its servers elsewhere: another one serves that no answer ever had either.
        let mut world = World::new();
        world.goes_on(42, &["10.96.0.1"], &[("10.0.0.1:80", false), ("10.0.0.2:80", true)]);
        assert!(world.stale().is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut world = World::new();
        for number in 0..=255u8 {
            let address = format!("10.0.0.{number}");
            world.goes_on(1, &[&address], &[(&format!("{address}:80"), false)]);
        }
        assert_eq!((world.answers.given.len(), world.backends.0.len()), (MOST, MOST));
        assert!(world.answers.was_given(ip("10.0.0.255")) && !world.answers.was_given(ip("10.0.0.1")));
    }
}
