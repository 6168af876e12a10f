//! Whether the resolvers of a name agree: what each of them said, held against the others. Pure.
//!
//! 1. One that gives no answer, where another does, disagrees.
//! 2. Two whose addresses have nothing in common disagree where those of one lie outside `expect.addresses`. Without
//!    expected addresses nothing is said: names with an answer for each place and moment are as they should be.
//! 3. Three rounds in a row make it true, for a change is not everywhere at once; one in which they agree ends it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::observation::{DnsFault, Resolution};
use crate::upstream::Expectation;

/// Rounds in a row in which they must differ before it is believed.
const BELIEVED_AFTER: u32 = 3;
/// They are compared in one of so many rounds, and in the next ones where they then differ.
const EVERY: u32 = 10;

/// What was found of one name from round to round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agreement {
    rounds: u32,
    differed: u32,
}

impl Agreement {
    /// A round; true where the resolvers are to be compared in it.
    pub fn is_due(&mut self) -> bool {
        let is_turn = self.rounds.is_multiple_of(EVERY);
        self.rounds = self.rounds.wrapping_add(1);
        is_turn || (1..BELIEVED_AFTER).contains(&self.differed)
    }

    /// Takes in what a comparison found; true where it is now believed that they disagree.
    pub fn compared(&mut self, differ: bool) -> bool {
        self.differed = match differ {
            true => self.differed.saturating_add(1),
            false => 0,
        };
        self.differed >= BELIEVED_AFTER
    }
}

/// What the first two resolvers that disagree say, in a sentence; `None` where all agree.
pub fn difference(answers: &[Resolution], expect: &Expectation) -> Option<String> {
    let mut pairs = answers
        .iter()
        .enumerate()
        .flat_map(|(at, one)| answers[at + 1..].iter().map(move |other| (one, other)));
    pairs.find_map(|(one, other)| between(one, other, expect))
}

fn between(one: &Resolution, other: &Resolution, expect: &Expectation) -> Option<String> {
    match (&one.result, &other.result) {
        // What our own side prevented says nothing of a resolver.
        (Err(DnsFault::Own(_)), _) | (_, Err(DnsFault::Own(_))) | (Err(_), Err(_)) => None,
        (Ok(_), Err(fault)) => Some(format!(
            "{} gives no address ({fault}), {} does",
            other.source, one.source
        )),
        (Err(fault), Ok(_)) => Some(format!(
            "{} gives no address ({fault}), {} does",
            one.source, other.source
        )),
        (Ok(mine), Ok(its)) => {
            let sets = [mine, its].map(|addresses| addresses.iter().copied().collect::<BTreeSet<IpAddr>>());
            let is_outside = |set: &BTreeSet<IpAddr>| set.iter().all(|address| !expect.allows_address(*address));
            let differ = sets[0].is_disjoint(&sets[1]) && sets.iter().any(is_outside);
            let shown = sets.each_ref().map(|set| {
                let addresses: Vec<String> = set.iter().map(ToString::to_string).collect();
                addresses.join(", ")
            });
            differ.then(|| format!("{} gives {}, {} gives {}", one.source, shown[0], other.source, shown[1]))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observation::{AnswerSource, OwnLimit};

    fn says(number: u8, result: Result<&[&str], DnsFault>) -> Resolution {
        Resolution {
            name: "shop.internal".to_owned(),
            source: AnswerSource::Resolver(([10, 0, 0, number], 53).into()),
            cname_chain: Vec::new(),
            ttl: None,
            elapsed: Duration::ZERO,
            result: result.map(|addresses| addresses.iter().map(|text| text.parse().unwrap()).collect()),
            half: None,
        }
    }

    fn expecting(networks: &[&str]) -> Expectation {
        Expectation {
            addresses: networks.iter().map(|network| network.parse().unwrap()).collect(),
            ..Expectation::default()
        }
    }

    #[test]
    fn one_without_an_answer_disagrees() {
        for fault in [
            DnsFault::NxDomain,
            DnsFault::NoData,
            DnsFault::ServFail(2),
            DnsFault::Refused,
            DnsFault::Timeout,
            DnsFault::Malformed("cut"),
        ] {
            let answers = [says(1, Ok(&["10.1.0.1"])), says(2, Err(fault.clone()))];
            let said = difference(&answers, &expecting(&[])).expect("they disagree");
            assert_eq!(
                said,
                format!("10.0.0.2:53 gives no address ({fault}), 10.0.0.1:53 does")
            );
            assert!(difference(&[answers[1].clone(), says(3, Err(DnsFault::Timeout))], &expecting(&[])).is_none());
        }
        let own = DnsFault::Own(OwnLimit::FileLimit);
        assert!(difference(&[says(1, Ok(&["10.1.0.1"])), says(2, Err(own))], &expecting(&[])).is_none());
    }

    #[test]
    fn other_addresses_are_a_matter_of_what_is_expected() {
        let expected = expecting(&["10.1.0.0/16"]);
        let rows: [(&[&str], &[&str], bool); 5] = [
            (&["10.1.0.1"], &["10.9.0.1"], true),
            // One in common.
            (&["10.1.0.1"], &["10.9.0.1", "10.1.0.1"], false),
            // Each its own, and all of them good.
            (&["10.1.0.1"], &["10.1.0.2"], false),
            (&["10.9.0.1"], &["10.8.0.1"], true),
            (&["10.9.0.1"], &["10.9.0.1"], false),
        ];
        for (one, other, differ) in rows {
            let answers = [says(1, Ok(one)), says(2, Ok(other))];
            assert_eq!(difference(&answers, &expected).is_some(), differ, "{one:?} {other:?}");
            assert!(difference(&answers, &expecting(&[])).is_none(), "nothing is expected");
        }
    }

    #[test]
    fn three_rounds_make_it_true_and_one_ends_it() {
        let mut agreement = Agreement::default();
        let mut believed = |differ: bool, rounds: u32| -> Vec<Option<bool>> {
            (0..rounds)
                .map(|_| agreement.is_due().then(|| agreement.compared(differ)))
                .collect()
        };
        // One round in ten while they agree.
        let calm = believed(false, 10);
        assert_eq!(calm.iter().flatten().count(), 1);
        // Then in each, until it is believed.
        assert_eq!(believed(true, 4), [Some(false), Some(false), Some(true), None]);
        assert_eq!(believed(false, 7), [None, None, None, None, None, None, Some(false)]);
    }
}
