//! Thousands of random histories of faults, driven through confirmation and diagnosis. The oracle is the injected fault:
//! it knows what was broken and not how that is judged.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use crate::cause::Cause;
use crate::confirmation::{Attempt, Place, Status};
use crate::diagnosis::{HopFacts, UpstreamFacts, diagnose};
use crate::finding::Outcome;
use crate::observation::Address;
use crate::upstream::Confirm;
use crate::verdict::{Diagnosis, Impact, Verdict};

const HISTORIES: u64 = 3000;
/// Rounds until a fault that is there in every round must be told.
const SETTLED: u64 = 1;
/// Rounds until a recovery must be told.
const RECOVERED: u64 = 4;
/// Rounds until flapping is forgotten.
const FORGOTTEN: u64 = 42;
/// Lost packets are rare: at least so many rounds between two.
const BETWEEN_LOSSES: u64 = 20;

/// What a broken server may show, and what one must say of an origin that is broken this way.
const WAYS: &[(Cause, Verdict)] = &[
    (Cause::ConnectRefused, Verdict::OriginDown),
    (Cause::ConnectTimeout, Verdict::OriginDown),
    (Cause::TlsCertificateExpired, Verdict::OriginTls),
    (Cause::ResponseClosed, Verdict::OriginInvalid),
    (Cause::ResponseTruncated, Verdict::OriginInvalid),
    (Cause::ResponseTimeout, Verdict::OriginOverloaded),
    (Cause::ServiceUnavailable, Verdict::OriginOverloaded),
    (Cause::ServerError, Verdict::OriginError),
    (Cause::ContentMismatch, Verdict::OriginError),
];

/// What is broken.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Every server of the origin. `felt` is false where gateways still answer, from a cache.
    Origin { way: usize, felt: bool },
    /// The first of several servers; gateways use the others.
    Server { way: usize },
    /// The origin's name.
    Name { felt: bool },
    /// This gateway answers errors of its own.
    Gateway { number: usize },
    /// This gateway cannot be reached.
    Unreachable { number: usize },
    /// One address of two of this gateway.
    Address { number: usize },
    /// One first attempt in so many rounds, at this hop.
    Flapping { hop: usize, every: u64 },
}

/// Who stands where: gateways outermost first, then the origin.
#[derive(Debug)]
struct World {
    gateways: usize,
    servers: usize,
}

struct Hop {
    status: Status,
    facts: HopFacts,
}

impl World {
    fn random(rng: &mut Rng) -> World {
        World {
            gateways: rng.usize(0..3),
            servers: rng.usize(1..4),
        }
    }

    fn random_fault(&self, rng: &mut Rng) -> Fault {
        loop {
            let (way, felt, number) = (rng.usize(..WAYS.len()), rng.bool(), rng.usize(0..2));
            match rng.u8(0..7) {
                0 => return Fault::Origin { way, felt },
                1 if self.servers > 1 => return Fault::Server { way },
                2 => return Fault::Name { felt },
                3 if number < self.gateways => return Fault::Gateway { number },
                4 if number < self.gateways => return Fault::Unreachable { number },
                5 if number < self.gateways => return Fault::Address { number },
                6 => {
                    return Fault::Flapping {
                        hop: rng.usize(0..=self.gateways),
                        every: rng.u64(2..9),
                    };
                }
                _ => {}
            }
        }
    }

    fn is_origin(&self, hop: usize) -> bool {
        hop == self.gateways
    }

    fn addresses(&self, hop: usize) -> usize {
        if self.is_origin(hop) { self.servers } else { 2 }
    }

    /// What a request to this address meets; a flapping one is well again at once.
    fn meets(&self, fault: Option<Fault>, hop: usize, address: usize, round: u64, first: bool) -> Outcome {
        let origin = self.is_origin(hop);
        let cause = match fault {
            Some(Fault::Origin { way, .. }) if origin => Some(WAYS[way].0),
            Some(Fault::Name { .. }) if origin => Some(Cause::DnsNxdomain),
            Some(Fault::Origin { felt, .. } | Fault::Name { felt }) if felt => Some(Cause::BadGateway),
            Some(Fault::Server { way }) if origin && address == 0 => Some(WAYS[way].0),
            Some(Fault::Gateway { number }) if hop <= number => Some(Cause::BadGateway),
            Some(Fault::Unreachable { number }) if hop == number => Some(Cause::ConnectTimeout),
            Some(Fault::Unreachable { number }) if hop < number => Some(Cause::BadGateway),
            Some(Fault::Address { number }) if hop == number && address == 0 => Some(Cause::ResponseClosed),
            Some(Fault::Flapping { hop: flapping, every }) if hop == flapping && address == 0 && first => {
                round.is_multiple_of(every).then_some(Cause::ResponseReset)
            }
            _ => None,
        };
        cause.map_or(Outcome::Success, Outcome::Failure)
    }

    /// What one must say of this fault.
    fn expected(&self, fault: Fault) -> (Verdict, Impact) {
        let users_feel = |felt| match felt || self.gateways == 0 {
            true => Impact::Users,
            false => Impact::Redundancy,
        };
        match fault {
            Fault::Origin { way, felt } => (WAYS[way].1, users_feel(felt)),
            Fault::Name { felt } => (Verdict::OriginDns, users_feel(felt)),
            Fault::Server { .. } => (Verdict::OriginPartial, Impact::Redundancy),
            Fault::Gateway { .. } => (Verdict::GatewayFault, Impact::Users),
            Fault::Unreachable { .. } => (Verdict::GatewayUnreachable, Impact::Users),
            Fault::Address { number } => (Verdict::GatewayPartial, users_feel(number == 0)),
            Fault::Flapping { .. } => (Verdict::Intermittent, Impact::Redundancy),
        }
    }

    /// One round of a hop with the retries of what failed. `lost` is the address whose first packet is lost.
    fn round(&self, hop: usize, state: &mut Hop, fault: Option<Fault>, round: u64, lost: Option<usize>) {
        let nameless = self.is_origin(hop) && matches!(fault, Some(Fault::Name { .. }));
        let attempt = |number: Option<usize>, outcome| Attempt {
            place: Place {
                target: 0,
                address: number.map(|number| Address::Tcp(([192, 0, 2, number as u8], 80).into())),
                path: if number.is_some() { "/".into() } else { "".into() },
            },
            outcome,
            recheck_from: None,
        };
        let mut attempts = vec![attempt(
            None,
            if nameless {
                self.meets(fault, hop, 0, round, true)
            } else {
                Outcome::Success
            },
        )];
        if !nameless {
            attempts.extend((0..self.addresses(hop)).map(|number| match lost == Some(number) {
                true => attempt(Some(number), Outcome::Failure(Cause::ConnectTimeout)),
                false => attempt(Some(number), self.meets(fault, hop, number, round, true)),
            }));
        }
        let present: BTreeSet<_> = attempts
            .iter()
            .filter_map(|attempt| attempt.place.address.clone())
            .collect();
        let plan = state.status.round(&attempts, &present, true, &Confirm::default());
        let number_of = |place: &Place| match &place.address {
            Some(Address::Tcp(address)) => match address.ip() {
                std::net::IpAddr::V4(ip) => Some(usize::from(ip.octets()[3])),
                std::net::IpAddr::V6(_) => None,
            },
            _ => None,
        };
        let retries: Vec<_> = plan
            .retry
            .iter()
            .map(|place| {
                let number = number_of(place);
                attempt(number, self.meets(fault, hop, number.unwrap_or(0), round, false))
            })
            .collect();
        state.status.confirm(&retries, &plan.follow);
        state.facts.complete = true;
        state
            .facts
            .rounds
            .push(attempts.iter().any(|attempt| attempt.outcome != Outcome::Success));
        state
            .facts
            .believe(&state.status, &BTreeMap::new(), |_| "shop.internal".into());
    }
}

/// Plays one history: well, broken, well again, twice.
fn play(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let world = World::random(&mut rng);
    let mut hops: Vec<Hop> = (0..=world.gateways)
        .map(|hop| Hop {
            status: Status::default(),
            facts: HopFacts::unknown(format!("hop-{hop}").into(), world.is_origin(hop)),
        })
        .collect();
    let mut said = Diagnosis::unknown(std::time::UNIX_EPOCH);
    let (mut round, mut last_loss) = (0, 0);
    for _ in 0..2 {
        let fault = world.random_fault(&mut rng);
        let flaps = matches!(fault, Fault::Flapping { .. });
        let begins = round + rng.u64(FORGOTTEN..FORGOTTEN + 10);
        let ends = begins + if flaps { rng.u64(30..60) } else { rng.u64(3..20) };
        let well_again = ends + if flaps { FORGOTTEN } else { RECOVERED };
        for now in round..well_again + 5 {
            let broken = (begins..ends).contains(&now).then_some(fault);
            let quiet = (now < begins || now >= well_again) && now >= last_loss + BETWEEN_LOSSES;
            let loses = (quiet && !flaps && rng.u8(0..10) == 0).then(|| rng.usize(0..=world.gateways));
            last_loss = if loses.is_some() { now } else { last_loss };
            let mut order: Vec<usize> = (0..=world.gateways).collect();
            rng.shuffle(&mut order);
            for hop in order {
                let lost = (loses == Some(hop)).then(|| rng.usize(0..world.addresses(hop)));
                world.round(hop, &mut hops[hop], broken, now, lost);
                let facts = UpstreamFacts {
                    hops: hops.iter().map(|hop| hop.facts.clone()).collect(),
                    self_check_lost: false,
                };
                said = diagnose(&facts, &said, std::time::UNIX_EPOCH);
                let context =
                    || format!("seed {seed}, round {now} of {begins}..{ends}, {world:?}, {fault:?}: {said:?}");
                let shown = (said.verdict, said.impact);
                if now < begins || now >= well_again {
                    assert_eq!(shown, (Verdict::Healthy, Impact::None), "{}", context());
                }
                let Fault::Flapping { every, .. } = fault else {
                    // On the way back nobody else is accused.
                    if (ends..well_again).contains(&now) {
                        let allowed = [world.expected(fault).0, Verdict::Healthy];
                        assert!(allowed.contains(&said.verdict), "{}", context());
                    }
                    if (begins + SETTLED..ends).contains(&now) {
                        assert_eq!(shown, world.expected(fault), "{}", context());
                    }
                    continue;
                };
                // Four failures are a tenth of forty rounds, however long it was well before.
                let told = begins + 4 * every + 1;
                if (told..ends).contains(&now) {
                    assert_eq!(shown, world.expected(fault), "{}", context());
                }
            }
        }
        round = well_again + 5;
    }
}

#[test]
fn what_is_broken_is_what_is_said() {
    (0..HISTORIES).for_each(play);
}
