//! What a gateway is told that asks whether an origin, or one address of it, is well. Pure.
//!
//! It fails open: whoever asks takes a server out on our word, so only what is confirmed, fresh and not too much is bad.
//!
//! 1. While every self check fails, the origin was never reached since it is configured, or nothing is known of it: up.
//! 2. An address is bad while it is confirmed failing and its last failed probe is younger than three intervals.
//! 3. Of an origin as a whole: down while all its addresses are bad; a name that does not resolve is one bad address in
//!    place of those it had.
//! 4. Of an address: up where it is not known, is not bad, or is the only one.
//! 5. Where more than half of the addresses are bad, every one of them is up, unless `allow_all` is set: what looks that
//!    bad from here may be well from there, and a gateway without servers is worse off than one with half of them.
//! 6. Else down.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::observation::Address;

/// Failed probes older than so many intervals are no reason any more.
pub const FRESH_INTERVALS: u32 = 3;

/// Says how the upstream of a name is, or one address of it.
pub type Answers = Arc<dyn Fn(&str, Option<&str>) -> Health + Send + Sync>;

/// What is believed of an origin.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its addresses, and names that do not resolve.
    pub places: Vec<Place>,
    /// Time between two of its rounds.
    pub interval: Duration,
    /// It was reached once since it is configured.
    pub reached: bool,
    /// Every self check fails.
    pub own_network_lost: bool,
}

/// What is believed of one address, or of a name that does not resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `None` for a name that does not resolve.
    pub address: Option<Address>,
    /// How long ago its last failed probe was; `None` unless it is confirmed failing.
    pub failed_ago: Option<Duration>,
    /// The name that gave this address does not resolve now.
    pub name_lost: bool,
}

/// What a gateway is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Use it; why that is said.
    Up(Why),
    /// Confirmed failing now.
    Down,
}

/// Why something is said to be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is well, or was when it was last looked at.
    Well,
    /// Nothing is known of it yet.
    NothingKnown,
    /// No upstream has this name.
    NoSuchUpstream,
    /// The upstream has no such address.
    NoSuchAddress,
    /// It was never reached from here.
    NeverReached,
    /// This host's own network does not work.
    OwnNetwork,
    /// It fails, and it is the only one.
    LoneAddress,
    /// It fails, as more than half of them do.
    TooMany,
    /// No upstream was named, or not in time.
    NothingAsked,
    /// The program is stopping and will not be there to say that it is well again.
    Stopping,
}

impl Why {
    /// For the people who read the answer.
    pub fn text(self) -> &'static str {
        match self {
            Why::Well => "well",
            Why::NothingKnown => "nothing is known yet",
            Why::NoSuchUpstream => "no upstream has this name",
            Why::NoSuchAddress => "the upstream has no such address",
            Why::NeverReached => "never reached from here",
            Why::OwnNetwork => "no self check is answered: the fault is ours",
            Why::LoneAddress => "it fails, and it is the only address",
            Why::TooMany => "it fails, as more than half of the addresses do",
            Why::NothingAsked => "no upstream was named",
            Why::Stopping => "badgateway is stopping",
        }
    }
}

impl Health {
    /// What the answer says.
    pub fn is_up(self) -> bool {
        matches!(self, Health::Up(_))
    }
}

/// Says how an origin is, or one address of it, by the rules above.
pub fn decide(origin: &Origin, address: Option<&str>, allow_all: bool) -> Health {
    match () {
        () if origin.own_network_lost => return Health::Up(Why::OwnNetwork),
        () if origin.places.is_empty() => return Health::Up(Why::NothingKnown),
        () if !origin.reached => return Health::Up(Why::NeverReached),
        () => {}
    }
    match address {
        Some(address) => of_address(origin, address, allow_all),
        None => {
            let mut counted = origin.places.iter().filter(|place| !place.name_lost).peekable();
            match counted.peek().is_some() && counted.all(|place| origin.is_bad(place)) {
                true => Health::Down,
                false => Health::Up(Why::Well),
            }
        }
    }
}

fn of_address(origin: &Origin, asked: &str, allow_all: bool) -> Health {
    let known = || origin.places.iter().filter(|place| place.address.is_some());
    let meant = || known().filter(|place| place.address.as_ref().is_some_and(|address| is_meant(address, asked)));
    let (all, bad) = (known().count(), known().filter(|place| origin.is_bad(place)).count());
    match () {
        () if meant().next().is_none() => Health::Up(Why::NoSuchAddress),
        () if !meant().all(|place| origin.is_bad(place)) => Health::Up(Why::Well),
        () if all == 1 => Health::Up(Why::LoneAddress),
        () if bad * 2 > all && !allow_all => Health::Up(Why::TooMany),
        () => Health::Down,
    }
}

/// `ip:port`, an address alone (every port of it), or `unix:PATH`.
fn is_meant(address: &Address, asked: &str) -> bool {
    match address {
        Address::Unix(_) => address.to_string() == asked,
        Address::Tcp(known) => match (
            asked.parse::<SocketAddr>(),
            asked.trim_matches(['[', ']']).parse::<IpAddr>(),
        ) {
            (Ok(asked), _) => (asked.ip().to_canonical(), asked.port()) == (known.ip().to_canonical(), known.port()),
            (_, Ok(asked)) => asked.to_canonical() == known.ip().to_canonical(),
            _ => false,
        },
    }
}

impl Origin {
    fn is_bad(&self, place: &Place) -> bool {
        place
            .failed_ago
            .is_some_and(|ago| ago < self.interval * FRESH_INTERVALS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn address(last: u8) -> Address {
        Address::Tcp(([10, 0, 0, last], 80).into())
    }

    /// One place for each letter: `w`ell, `f`ailing, `o`ld failure, `n`ame that does not resolve, `s`tale address of
    /// such a name, which is well, `t`he same and failing.
    fn origin(places: &str) -> Origin {
        let place = |(last, letter)| Place {
            address: (letter != 'n').then(|| address(last)),
            failed_ago: match letter {
                'f' | 'n' | 't' => Some(Duration::from_secs(29)),
                'o' => Some(Duration::from_secs(30)),
                _ => None,
            },
            name_lost: matches!(letter, 's' | 't'),
        };
        Origin {
            places: (1..).zip(places.chars()).map(place).collect(),
            interval: INTERVAL,
            reached: true,
            own_network_lost: false,
        }
    }

    #[test]
    fn of_the_origin_as_a_whole() {
        for (places, up) in [
            ("", true),
            ("w", true),
            ("f", false),
            ("o", true),
            ("ff", false),
            ("fw", true),
            ("fo", true),
            ("n", false),
            ("nss", false),
            ("ntt", false),
            ("nw", true),
            ("nsw", true),
            ("nf", false),
        ] {
            assert_eq!(decide(&origin(places), None, false).is_up(), up, "{places}");
            assert_eq!(decide(&origin(places), None, true).is_up(), up, "{places}");
        }
    }

    #[test]
    fn of_the_first_address() {
        use Health::{Down, Up};
        for (places, guarded, allow_all) in [
            ("w", Up(Why::Well), Up(Why::Well)),
            ("f", Up(Why::LoneAddress), Up(Why::LoneAddress)),
            ("fn", Up(Why::LoneAddress), Up(Why::LoneAddress)),
            ("fw", Down, Down),
            ("ff", Up(Why::TooMany), Down),
            ("fww", Down, Down),
            ("ffw", Up(Why::TooMany), Down),
            ("ffww", Down, Down),
            ("fffw", Up(Why::TooMany), Down),
            ("fow", Down, Down),
            ("ow", Up(Why::Well), Up(Why::Well)),
            ("wf", Up(Why::Well), Up(Why::Well)),
            ("tsn", Down, Down),
            ("ssn", Up(Why::Well), Up(Why::Well)),
        ] {
            let asked = |allow| decide(&origin(places), Some("10.0.0.1:80"), allow);
            assert_eq!((asked(false), asked(true)), (guarded, allow_all), "{places}");
        }
    }

    #[test]
    fn addresses_are_known_however_they_are_written() {
        let origin = origin("fww");
        for (asked, health) in [
            ("10.0.0.1:80", Health::Down),
            ("10.0.0.1", Health::Down),
            ("[::ffff:10.0.0.1]:80", Health::Down),
            ("::ffff:10.0.0.1", Health::Down),
            ("10.0.0.1:81", Health::Up(Why::NoSuchAddress)),
            ("10.0.0.2:80", Health::Up(Why::Well)),
            ("10.0.0.9", Health::Up(Why::NoSuchAddress)),
            ("", Health::Up(Why::NoSuchAddress)),
            ("shop", Health::Up(Why::NoSuchAddress)),
            ("unix:/run/app.sock", Health::Up(Why::NoSuchAddress)),
        ] {
            assert_eq!(decide(&origin, Some(asked), false), health, "{asked}");
        }
    }

    #[test]
    fn what_may_be_our_own_fault_takes_nothing_out() {
        let failing = origin("fww");
        let lost = Origin {
            own_network_lost: true,
            ..failing.clone()
        };
        let foreign = Origin {
            reached: false,
            ..failing
        };
        for asked in [None, Some("10.0.0.1:80")] {
            assert_eq!(decide(&lost, asked, true), Health::Up(Why::OwnNetwork));
            assert_eq!(decide(&foreign, asked, true), Health::Up(Why::NeverReached));
            assert_eq!(decide(&origin(""), asked, true), Health::Up(Why::NothingKnown));
        }
    }

    proptest! {
        #[test]
        fn the_rules_hold_whatever_fails(places in "[wfonst]{0,12}", allow_all: bool) {
            let origin = origin(&places);
            let known: Vec<_> = origin.places.iter().filter_map(|place| place.address.clone()).collect();
            let is_down = |address: &Address| !decide(&origin, Some(&address.to_string()), allow_all).is_up();
            let down: Vec<_> = known.iter().filter(|address| is_down(address)).collect();
            prop_assert!(allow_all || down.len() * 2 <= known.len());
            prop_assert!(known.len() > 1 || down.is_empty());
            for place in &origin.places {
                let fresh = place.failed_ago.is_some_and(|ago| ago < INTERVAL * 3);
                prop_assert!(fresh || !place.address.as_ref().is_some_and(is_down), "{place:?}");
            }
            if places.contains(['w', 'o']) {
                prop_assert!(decide(&origin, None, allow_all).is_up());
            }
        }

        #[test]
        fn no_text_makes_it_panic(places in "[wf]{0,3}", asked: String) {
            let _ = decide(&origin(&places), Some(&asked), false);
        }
    }
}
