//! Backends that moved, by a clock that the tests move.

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

    /// Rounds, and in each one user who leaves before the gateway has an answer from that backend.
    fn goes_on_without_an_answer(&mut self, rounds: u32, gives: &[&str], backend: &str) {
        for _ in 0..rounds {
            self.goes_on(1, gives, &[]);
            self.backends.left_waiting(backend.as_bytes(), self.now);
        }
    }

    fn to_be_asked(&self) -> Vec<SocketAddr> {
        self.backends.to_be_asked(&self.answers, &[80], GONE_AFTER, self.now)
    }

    /// Asks what is to be asked; how many that were.
    fn asks(&mut self, answers: bool) -> usize {
        let places = self.to_be_asked();
        for place in &places {
            assert!(self.answers.begin_to_ask(*place, GONE_AFTER, self.now));
            self.answers.asked(place, answers);
        }
        places.len()
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

/// Moved ten minutes ago, known to our probes from before, and no user has waited for an answer since.
fn moved_without_a_word() -> World {
    let mut world = World::new();
    world.goes_on(10, &["10.0.0.1"], &[("10.0.0.1:80", true)]);
    world.answers.reached(ip("10.0.0.1"));
    world.goes_on_without_an_answer(41, &["10.0.0.2"], "10.0.0.1:80");
    world
}

#[test]
fn one_that_does_not_answer_us_is_stale_without_a_failure_in_the_log() {
    let mut world = moved_without_a_word();
    assert!(world.stale().is_empty(), "nothing says that it fails");
    assert_eq!(world.asks(false), 1);
    assert!(world.stale().is_empty(), "once is none");
    world.goes_on_without_an_answer(3, &["10.0.0.2"], "10.0.0.1:80");
    assert!(world.to_be_asked().is_empty(), "45 seconds later");
    world.goes_on_without_an_answer(1, &["10.0.0.2"], "10.0.0.1:80");
    assert_eq!(world.asks(false), 1);
    assert_eq!(world.stale(), ["10.0.0.1:80"]);
    // It answers again, or the name gives it again.
    let mut back = World {
        answers: world.answers.clone(),
        backends: world.backends.clone(),
        ..world
    };
    world.answers.asked(&"10.0.0.1:80".parse().unwrap(), true);
    assert!(world.stale().is_empty());
    back.goes_on(1, &["10.0.0.1", "10.0.0.2"], &[]);
    assert!(back.stale().is_empty() && back.to_be_asked().is_empty());
}

#[test]
fn what_answers_the_gateway_is_not_stale_because_it_does_not_answer_us() {
    let mut world = moved_without_a_word();
    for _ in 0..3 {
        world.asks(false);
        world.goes_on(4, &["10.0.0.2"], &[("10.0.0.1:80", true)]);
        assert!(world.stale().is_empty(), "a filter lets the gateway pass and not us");
    }
    // It is asked no more once the gateway has left it.
    world.goes_on(41, &["10.0.0.2"], &[("10.0.0.2:80", true)]);
    assert!(world.to_be_asked().is_empty() && world.stale().is_empty());
}

#[test]
fn a_log_makes_us_ask_only_where_our_own_probes_have_been() {
    let hostile = [
        "10.0.0.9:80",
        "169.254.169.254:80",
        "127.0.0.1:80",
        "[::1]:80",
        "10.0.0.1:22",
        "10.0.0.2:80",
    ];
    let mut world = World::new();
    world.goes_on(10, &["10.0.0.1"], &[]);
    for backend in hostile {
        world.goes_on_without_an_answer(45, &["10.0.0.2"], backend);
    }
    assert!(world.to_be_asked().is_empty());
    for backend in hostile {
        assert!(
            !world
                .answers
                .begin_to_ask(backend.parse().unwrap(), GONE_AFTER, world.now)
        );
    }
    // Given by the name, and never reached by a probe: as an address that `expect.addresses` leaves out.
    world.goes_on_without_an_answer(1, &["10.0.0.2"], "10.0.0.1:80");
    assert!(world.to_be_asked().is_empty());
    world.answers.reached(ip("10.0.0.1"));
    world.answers.reached(ip("10.0.0.9"));
    assert_eq!(world.to_be_asked(), ["10.0.0.1:80".parse().unwrap()]);
    // Nothing is asked of what fails in the log anyway.
    world.goes_on(1, &["10.0.0.2"], &[("10.0.0.1:80", false)]);
    assert!(world.to_be_asked().is_empty());
    assert_eq!(world.stale(), ["10.0.0.1:80"]);
}
