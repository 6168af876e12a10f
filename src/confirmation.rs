//! First attempts, retries and clean rounds: what is believed of each address and path of a hop. No I/O.
//!
//! One lost packet changes nothing: a failed first attempt is believed once a retry fails too, a recovery once enough
//! whole rounds were clean (design, section 4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cause::Cause;
use crate::finding::{Confirmed, Outcome};
use crate::observation::Address;
use crate::upstream::Confirm;

/// Failed addresses retried in one round; what they give stands for the others.
pub const MAX_RETRIED: usize = 3;
/// Rechecks end this long after a hop began to fail; the rounds go on.
pub const RECHECK_FOR: Duration = Duration::from_secs(60);

/// What one state is kept of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which target of the hop.
    pub target: usize,
    /// The address; `None` stands for the target's name, which gave none.
    pub address: Option<Address>,
    /// The label `path`; empty where no request is made.
    pub path: Arc<str>,
}

/// One first attempt, retry or recheck, as far as this file needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Of what.
    pub place: Place,
    /// How it was judged.
    pub outcome: Outcome,
    /// When a further request may be sent between two rounds; `None` for never.
    pub recheck_from: Option<Instant>,
}

/// A believed result that is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of what.
    pub place: Place,
    /// What was believed before; `None` for nothing yet.
    pub from: Option<Confirmed>,
    /// What is believed now.
    pub to: Confirmed,
}

/// What follows from the first attempts of a round.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Results believed at once.
    pub changes: Vec<Change>,
    /// Failures to be retried.
    pub retry: Vec<Place>,
    /// Failures that wait for what the retried ones give.
    pub follow: Vec<(Place, Cause)>,
    /// Places that are no more.
    pub gone: Vec<Place>,
}

/// What follows from retries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// Results believed now.
    pub changes: Vec<Change>,
    /// Failures the retries did not repeat.
    pub transient: usize,
}

/// What is believed of the places of one hop.
#[derive(Debug, Default)]
pub struct Status {
    places: BTreeMap<Place, Entry>,
    failing_since: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    believed: Option<Confirmed>,
    clean_rounds: u32,
    recheck_from: Option<Instant>,
}

impl Status {
    /// Takes in the first attempts of one round. `present` are the addresses the names gave this time; places of
    /// others are forgotten. Of each target with a name there is one attempt for the name itself. `whole` is false where our own side kept part of the round from being made.
    pub fn round(&mut self, attempts: &[Attempt], present: &BTreeSet<Address>, whole: bool, rules: &Confirm) -> Plan {
        let mut plan = Plan {
            gone: self.forget_others(attempts, present),
            ..Plan::default()
        };
        for attempt in attempts {
            let of_name = attempt.place.address.is_none();
            if of_name && attempt.outcome == Outcome::Success && !self.places.contains_key(&attempt.place) {
                continue;
            }
            let entry = self.places.entry(attempt.place.clone()).or_insert(Entry {
                believed: None,
                clean_rounds: 0,
                recheck_from: None,
            });
            entry.recheck_from = attempt.recheck_from;
            match (attempt.outcome, entry.believed) {
                (Outcome::Aborted(_) | Outcome::Skipped, _) => {}
                (Outcome::Success, Some(Confirmed::Failing(_))) => {
                    entry.clean_rounds += u32::from(whole);
                    if entry.clean_rounds >= rules.recover_after {
                        plan.changes.push(entry.believe(&attempt.place, Confirmed::Healthy));
                        plan.gone.extend(of_name.then(|| attempt.place.clone()));
                    }
                }
                (Outcome::Success, None) => plan.changes.push(entry.believe(&attempt.place, Confirmed::Healthy)),
                (Outcome::Success, Some(Confirmed::Healthy)) => {}
                (Outcome::Failure(cause), Some(Confirmed::Failing(known))) if known == cause => entry.clean_rounds = 0,
                (Outcome::Failure(cause), _) if rules.retries == 0 => {
                    plan.changes
                        .push(entry.believe(&attempt.place, Confirmed::Failing(cause)));
                }
                (Outcome::Failure(cause), _) => {
                    entry.clean_rounds = 0;
                    plan.retry_or_follow(attempt.place.clone(), cause);
                }
            }
        }
        // A name is kept only while it fails: otherwise its addresses speak.
        self.places
            .retain(|place, entry| place.address.is_some() || entry.believed != Some(Confirmed::Healthy));
        plan
    }

    /// Takes in the last retry of each retried place. `follow` are the failures that were not retried.
    pub fn confirm(&mut self, retries: &[Attempt], follow: &[(Place, Cause)]) -> Confirmation {
        let mut confirmation = Confirmation::default();
        let mut believe = |status: &mut Status, place: &Place, cause| {
            if let Some(entry) = status.places.get_mut(place) {
                entry.clean_rounds = 0;
                if entry.believed != Some(Confirmed::Failing(cause)) {
                    confirmation
                        .changes
                        .push(entry.believe(place, Confirmed::Failing(cause)));
                }
            }
        };
        let mut repeated = false;
        let mut transient = 0;
        for retry in retries {
            match retry.outcome {
                Outcome::Failure(cause) => {
                    repeated = true;
                    believe(self, &retry.place, cause);
                    if let Some(entry) = self.places.get_mut(&retry.place) {
                        entry.recheck_from = retry.recheck_from;
                    }
                }
                Outcome::Success => transient += 1,
                Outcome::Aborted(_) | Outcome::Skipped => {}
            }
        }
        for (place, cause) in follow {
            match repeated {
                true => believe(self, place, *cause),
                false if transient > 0 => transient += 1,
                false => {}
            }
        }
        confirmation.transient = transient;
        confirmation
    }

    /// Notes since when the hop fails, after changes were applied; true when it just began to.
    pub fn note_failing(&mut self, now: Instant) -> bool {
        match (self.is_failing(), self.failing_since) {
            (true, None) => {
                self.failing_since = Some(now);
                true
            }
            (false, Some(_)) => {
                self.failing_since = None;
                false
            }
            _ => false,
        }
    }

    /// The place to look at between two rounds, if any: one that fails and whose answer does not ask for patience.
    /// `Err` says when to look again.
    pub fn recheck(&self, now: Instant) -> Result<Place, Recheck> {
        let Some(since) = self.failing_since.filter(|since| now - *since < RECHECK_FOR) else {
            return Err(Recheck::Over);
        };
        let failing = self
            .places
            .iter()
            .filter(|(_, entry)| matches!(entry.believed, Some(Confirmed::Failing(_))));
        let allowed = failing.filter_map(|(place, entry)| entry.recheck_from.map(|from| (from, place)));
        match allowed.min_by_key(|(from, _)| *from) {
            Some((from, place)) if from <= now => Ok(place.clone()),
            Some((from, _)) => Err(Recheck::NotBefore(from.min(since + RECHECK_FOR))),
            None => Err(Recheck::NotBefore(since + RECHECK_FOR)),
        }
    }

    /// Takes in a recheck: only what it says of patience; results are believed after rounds.
    pub fn rechecked(&mut self, attempt: &Attempt) {
        if let Some(entry) = self.places.get_mut(&attempt.place) {
            entry.recheck_from = attempt.recheck_from;
        }
    }

    /// True while this place is confirmed failing.
    pub fn is_believed_failing(&self, place: &Place) -> bool {
        let entry = self.places.get(place);
        entry.is_some_and(|entry| matches!(entry.believed, Some(Confirmed::Failing(_))))
    }

    /// True while some place is confirmed failing.
    pub fn is_failing(&self) -> bool {
        self.places
            .values()
            .any(|entry| matches!(entry.believed, Some(Confirmed::Failing(_))))
    }

    /// True while every place that is believed failing has succeeded since and waits for its next clean round.
    pub fn is_recovering(&self) -> bool {
        let believed_failing = |entry: &&Entry| matches!(entry.believed, Some(Confirmed::Failing(_)));
        let mut failing = self.places.values().filter(believed_failing).peekable();
        failing.peek().is_some() && failing.all(|entry| entry.clean_rounds > 0)
    }

    /// What is believed of each place of which anything is.
    pub fn believed(&self) -> impl Iterator<Item = (&Place, Confirmed)> {
        self.places
            .iter()
            .filter_map(|(place, entry)| entry.believed.map(|believed| (place, believed)))
    }

    /// Forgets addresses the names no longer give.
    fn forget_others(&mut self, attempts: &[Attempt], present: &BTreeSet<Address>) -> Vec<Place> {
        let stays = |place: &Place| match &place.address {
            Some(address) => present.contains(address),
            None => attempts.iter().any(|attempt| attempt.place == *place),
        };
        // A name that fails for the moment says nothing of the addresses it had.
        let fails = |attempt: &Attempt| attempt.place.address.is_none() && attempt.outcome != Outcome::Success;
        let names_fail = attempts.iter().any(fails);
        let gone: Vec<_> = self
            .places
            .keys()
            .filter(|place| !(stays(place) || names_fail && place.address.is_some()))
            .cloned()
            .collect();
        self.places.retain(|place, _| !gone.contains(place));
        gone
    }
}

/// Why there is nothing to recheck now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// Nothing fails, or it has for longer than a minute.
    Over,
    /// Not before this moment.
    NotBefore(Instant),
}

impl Entry {
    fn believe(&mut self, place: &Place, to: Confirmed) -> Change {
        self.clean_rounds = 0;
        Change {
            place: place.clone(),
            from: self.believed.replace(to),
            to,
        }
    }
}

impl Plan {
    /// One place of each of the first failed addresses is retried.
    fn retry_or_follow(&mut self, place: Place, cause: Cause) {
        let known = self
            .retry
            .iter()
            .any(|other| other.target == place.target && other.address == place.address);
        match self.retry.len() < MAX_RETRIED && !known {
            true => self.retry.push(place),
            false => self.follow.push((place, cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Confirm = Confirm {
        retries: 1,
        delay: Duration::from_millis(500),
        recheck: Duration::from_secs(2),
        recover_after: 2,
    };
    const REFUSED: Outcome = Outcome::Failure(Cause::ConnectRefused);
    const CLOSED: Outcome = Outcome::Failure(Cause::ResponseClosed);

    fn address(last: u8) -> Address {
        Address::Tcp(([192, 0, 2, last], 80).into())
    }

    fn attempt(last: u8, outcome: Outcome) -> Attempt {
        let place = Place {
            target: 0,
            address: Some(address(last)),
            path: "/".into(),
        };
        Attempt {
            place,
            outcome,
            recheck_from: Some(Instant::now()),
        }
    }

    fn round(status: &mut Status, outcomes: &[Outcome]) -> Plan {
        let attempts: Vec<_> = (1..)
            .zip(outcomes)
            .map(|(last, outcome)| attempt(last, *outcome))
            .collect();
        let present = attempts
            .iter()
            .filter_map(|attempt| attempt.place.address.clone())
            .collect();
        status.round(&attempts, &present, true, &RULES)
    }

    fn believed(status: &Status) -> Vec<Option<Cause>> {
        status
            .believed()
            .map(|(_, believed)| match believed {
                Confirmed::Healthy => None,
                Confirmed::Failing(cause) => Some(cause),
            })
            .collect()
    }

    #[tokio::test]
    async fn one_lost_packet_changes_nothing() {
        let mut status = Status::default();
        round(&mut status, &[Outcome::Success]);
        let plan = round(&mut status, &[REFUSED]);
        assert_eq!((plan.changes.len(), plan.retry.len()), (0, 1));
        let confirmation = status.confirm(&[attempt(1, Outcome::Success)], &plan.follow);
        assert_eq!((confirmation.changes.len(), confirmation.transient), (0, 1));
        assert_eq!(believed(&status), [None]);
    }

    #[tokio::test]
    async fn a_repeated_failure_is_believed_and_two_clean_rounds_end_it() {
        let mut status = Status::default();
        round(&mut status, &[Outcome::Success]);
        round(&mut status, &[REFUSED]);
        let confirmation = status.confirm(&[attempt(1, REFUSED)], &[]);
        assert_eq!(confirmation.changes[0].to, Confirmed::Failing(Cause::ConnectRefused));
        assert_eq!(confirmation.changes[0].from, Some(Confirmed::Healthy));
        assert_eq!(
            round(&mut status, &[REFUSED]),
            Plan::default(),
            "what is known needs no retry"
        );
        assert_eq!(round(&mut status, &[Outcome::Success]).changes, []);
        round(&mut status, &[REFUSED]);
        assert_eq!(
            round(&mut status, &[Outcome::Success]).changes,
            [],
            "clean rounds count in a row"
        );
        assert_eq!(
            round(&mut status, &[Outcome::Success]).changes[0].to,
            Confirmed::Healthy
        );
    }

    #[tokio::test]
    async fn another_cause_is_confirmed_before_it_replaces_the_first() {
        let mut status = Status::default();
        round(&mut status, &[REFUSED]);
        status.confirm(&[attempt(1, REFUSED)], &[]);
        assert_eq!(round(&mut status, &[CLOSED]).retry.len(), 1);
        status.confirm(&[attempt(1, CLOSED)], &[]);
        assert_eq!(believed(&status), [Some(Cause::ResponseClosed)]);
    }

    #[tokio::test]
    async fn three_retries_stand_for_all_addresses() {
        let mut status = Status::default();
        let plan = round(&mut status, &[REFUSED; 5]);
        assert_eq!((plan.retry.len(), plan.follow.len()), (3, 2));
        let retries = [attempt(1, Outcome::Success), attempt(2, CLOSED), attempt(3, REFUSED)];
        let confirmation = status.confirm(&retries, &plan.follow);
        assert_eq!((confirmation.changes.len(), confirmation.transient), (4, 1));
        let mut status = Status::default();
        let plan = round(&mut status, &[REFUSED; 5]);
        let retries: Vec<_> = (1..=3).map(|last| attempt(last, Outcome::Success)).collect();
        assert_eq!(status.confirm(&retries, &plan.follow).transient, 5);
    }

    #[tokio::test]
    async fn what_our_own_side_prevents_says_nothing() {
        let mut status = Status::default();
        round(&mut status, &[Outcome::Success, Outcome::Success]);
        let plan = round(
            &mut status,
            &[
                Outcome::Skipped,
                Outcome::Aborted(crate::observation::OwnLimit::FileLimit),
            ],
        );
        assert_eq!(plan, Plan::default());
        assert_eq!(believed(&status), [None, None]);
        status.confirm(&[attempt(1, Outcome::Skipped)], &[]);
        assert_eq!(believed(&status), [None, None]);
    }

    #[tokio::test]
    async fn addresses_the_name_no_longer_gives_are_forgotten() {
        let mut status = Status::default();
        round(&mut status, &[Outcome::Success, Outcome::Success]);
        let plan = round(&mut status, &[Outcome::Success]);
        assert_eq!(plan.gone.len(), 1);
        assert_eq!(plan.gone[0].address, Some(address(2)));
        // While the name fails, its former addresses stay.
        let name = Place {
            target: 0,
            address: None,
            path: "".into(),
        };
        let failed = Attempt {
            place: name,
            outcome: Outcome::Failure(Cause::DnsServfail),
            recheck_from: None,
        };
        assert_eq!(
            status
                .round(std::slice::from_ref(&failed), &BTreeSet::new(), true, &RULES)
                .gone,
            []
        );
        status.confirm(std::slice::from_ref(&failed), &[]);
        assert_eq!(believed(&status), [Some(Cause::DnsServfail), None]);
        // Once it gives them again it recovers as an address does, and is then nothing of its own.
        let again = [
            Attempt {
                outcome: Outcome::Success,
                ..failed
            },
            attempt(1, Outcome::Success),
        ];
        let present = [address(1)].into();
        assert_eq!(status.round(&again, &present, true, &RULES).changes, []);
        let plan = status.round(&again, &present, true, &RULES);
        assert_eq!((plan.changes.len(), plan.gone.len()), (1, 1));
        assert_eq!(believed(&status), [None]);
    }

    #[tokio::test(start_paused = true)]
    async fn rechecks_end_after_a_minute_and_respect_patience() {
        let now = Instant::now();
        let mut status = Status::default();
        assert_eq!(status.recheck(now), Err(Recheck::Over));
        round(&mut status, &[REFUSED, CLOSED]);
        let mut late = attempt(1, REFUSED);
        late.recheck_from = Some(now + Duration::from_secs(30));
        let never = Attempt {
            recheck_from: None,
            ..attempt(2, CLOSED)
        };
        status.confirm(&[late, never], &[]);
        assert!(status.note_failing(now));
        assert!(!status.note_failing(now));
        assert_eq!(
            status.recheck(now),
            Err(Recheck::NotBefore(now + Duration::from_secs(30)))
        );
        let place = status
            .recheck(now + Duration::from_secs(31))
            .expect("it may be asked again");
        assert_eq!(place.address, Some(address(1)));
        assert_eq!(status.recheck(now + RECHECK_FOR), Err(Recheck::Over));
    }

    #[tokio::test]
    async fn without_retries_the_first_attempt_is_believed() {
        let mut status = Status::default();
        let rules = Confirm { retries: 0, ..RULES };
        let failed = attempt(1, REFUSED);
        let present = [address(1)].into();
        let plan = status.round(&[failed], &present, true, &rules);
        assert_eq!(plan.changes[0].to, Confirmed::Failing(Cause::ConnectRefused));
    }
}
