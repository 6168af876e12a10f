//! Every input up to three origin addresses, two gateways and the kinds of history, against the rules written once
//! more over the symbols the inputs are made of.

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::confirmation::{Attempt, Place, Status};
use crate::finding::Outcome;
use crate::observation::Address;
use crate::upstream::Confirm;

use world::{A, G, Past, World};

/// What confirmation makes of such addresses.
fn origin_facts(addresses: &[A]) -> HopFacts {
    let rules = Confirm {
        delay: Duration::ZERO,
        ..Confirm::default()
    };
    let (mut attempts, mut present) = (Vec::new(), BTreeSet::new());
    for (target, state) in addresses.iter().enumerate() {
        let address = Address::Tcp(([192, 0, 2, target as u8], 80).into());
        let attempt = |path: &str, outcome| Attempt {
            place: Place {
                target,
                address: (*state != A::NoName).then(|| address.clone()),
                path: path.into(),
            },
            outcome,
            recheck_from: None,
        };
        let failure = state.cause().map(Outcome::Failure);
        match state {
            A::Skipped => attempts.push(attempt("/", Outcome::Skipped)),
            A::NoName | A::Unexpected => attempts.extend(failure.map(|outcome| attempt("", outcome))),
            _ => attempts.push(attempt("/", failure.unwrap_or(Outcome::Success))),
        }
        attempts.extend((*state == A::OnePath).then(|| attempt("/other", Outcome::Success)));
        present.insert(address);
    }
    let mut status = Status::default();
    status.round(&attempts, &present, true, &rules);
    let confirmed = |attempt: &Attempt| addresses[attempt.place.target].fails() && attempt.outcome != Outcome::Success;
    attempts.retain(confirmed);
    status.confirm(&attempts, &[]);
    let mut facts = HopFacts::unknown("origin".into(), true);
    facts.complete = true;
    facts.believe(&status, &std::collections::BTreeMap::new(), |_| "shop.internal".into());
    facts
}

fn gateway_facts(number: usize, state: G) -> HopFacts {
    let name = if number == 0 { "cdn" } else { "edge" };
    let mut facts = HopFacts::unknown(name.into(), false);
    facts.complete = state != G::Incomplete;
    let refused = || failing("198.51.100.1:80", Cause::ConnectRefused);
    let answers_502 = || failing("198.51.100.2:80", Cause::BadGateway);
    let (healthy, fails) = match state {
        G::Incomplete | G::Pending => (0, vec![]),
        G::Healthy | G::CalmLog | G::Spike => (1, vec![]),
        G::Refused => (0, vec![refused()]),
        G::Nxdomain => (0, vec![failing("edge.example", Cause::DnsNxdomain)]),
        G::Answers502 | G::SaysNoBackend | G::SaysUnknown | G::SpikeAnd502 => (0, vec![answers_502()]),
        G::Mixed => (0, vec![refused(), answers_502()]),
        G::Partly => (1, vec![refused()]),
        G::Cached => (
            1,
            vec![FailingAddress {
                from_cache: true,
                ..answers_502()
            }],
        ),
    };
    (facts.healthy, facts.failing) = (healthy, fails);
    facts.stated = match state {
        G::SaysNoBackend => Some(Cause::NoLiveUpstream),
        G::SaysUnknown => Some(Cause::Unknown),
        _ => None,
    };
    facts.log = state.has_log().then(|| {
        Box::new(LogEvidence {
            exceeds_spike: state.spikes(),
            failed: 30,
            requests: 100,
            cause: None,
            path: None,
            backend: None,
            ranked: Ranked::default(),
        })
    });
    facts
}

fn rounds(past: Past) -> Rounds {
    let mut rounds = Rounds::default();
    for number in 0..40 {
        rounds.push(match past {
            Past::Calm => false,
            Past::OneRun => (10..20).contains(&number),
            Past::Flapping => number % 8 == 0,
        });
    }
    rounds
}

/// Every origin of up to three addresses, their order aside, and none.
fn origins() -> Vec<Option<Vec<A>>> {
    let mut origins = vec![None];
    for one in A::ALL {
        origins.push(Some(vec![one]));
        for two in A::ALL.into_iter().filter(|two| *two >= one) {
            origins.push(Some(vec![one, two]));
            let thirds = A::ALL.into_iter().filter(|three| *three >= two);
            origins.extend(thirds.map(|three| Some(vec![one, two, three])));
        }
    }
    origins
}

fn gateways() -> Vec<Vec<G>> {
    let ones = G::ALL.into_iter().map(|one| vec![one]);
    let twos = G::ALL.into_iter().flat_map(|one| G::ALL.map(|two| vec![one, two]));
    std::iter::once(vec![]).chain(ones).chain(twos).collect()
}

#[test]
fn every_input_has_the_rule_and_the_impact_of_the_design() {
    let (mut rules, mut verdicts, mut impacts, mut inputs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), 0_u64);
    let gateways: Vec<_> = gateways()
        .into_iter()
        .map(|states| {
            let facts: Vec<_> = states
                .iter()
                .enumerate()
                .map(|(number, state)| gateway_facts(number, *state))
                .collect();
            (states, facts)
        })
        .collect();
    for origin in origins() {
        let origin_hop = origin.as_ref().map(|addresses| origin_facts(addresses));
        let once_healthy = origin_hop.as_ref().is_some_and(|hop| hop.ever_succeeded);
        for (states, gateway_hops) in &gateways {
            let mut facts = upstream(gateway_hops.iter().chain(&origin_hop).cloned().collect());
            let Some(innermost) = facts.hops.len().checked_sub(1) else {
                continue;
            };
            for (ever, past, own_network_lost) in [
                (true, Past::Calm, false),
                (false, Past::Calm, false),
                (true, Past::OneRun, false),
                (true, Past::Flapping, false),
                (true, Past::Flapping, true),
            ] {
                let world = World {
                    gateways: states.clone(),
                    origin: origin.clone(),
                    ever: ever || once_healthy,
                    past,
                    own_network_lost,
                };
                facts.self_check_lost = own_network_lost;
                facts.hops[innermost].ever_succeeded = world.ever;
                facts.hops[innermost].rounds = rounds(past);
                // A past speaks only of a hop that is judged now.
                let past_counts = facts.hops[innermost].is_judged();
                let world = World {
                    past: if past_counts { past } else { Past::Calm },
                    ..world
                };
                let said = diagnosed(&facts);
                let (rule, verdict) = world.expected();
                assert_eq!((said.rule, said.verdict), (rule, verdict), "{world:?}");
                assert_eq!(said.impact, world.expected_impact(verdict), "{world:?}");
                if world.anything_fails() && !own_network_lost {
                    assert!(
                        !matches!(
                            said.verdict,
                            Verdict::Healthy | Verdict::Intermittent | Verdict::Unknown
                        ),
                        "{world:?}"
                    );
                    assert_ne!(said.impact, Impact::None, "{world:?}");
                    assert!(said.hop.is_some(), "{world:?}");
                }
                rules.insert(said.rule);
                verdicts.insert(said.verdict);
                impacts.insert(said.impact);
                inputs += 1;
            }
        }
    }
    assert_eq!(rules, (1..=13).collect());
    assert_eq!(verdicts, Verdict::ALL.iter().copied().collect());
    assert_eq!(impacts, Impact::ALL.into());
    assert!(inputs > 400_000, "{inputs}");
}
