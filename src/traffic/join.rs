//! A request and an error line, kept until it is known whether they belong together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::waiting::Fit;
use super::{Ending, FailedAttempt, GROUP, Request, Tally, Told, first_name};
use crate::exchange::{Complaint, Effect, Exchange, Join, Outcome, Stamp, Taken};

/// A log line may be written that much later or earlier than the other one of the same request, milliseconds.
const SLACK: i64 = 2_000;
/// Where only the client or the status joins two lines, they must be closer.
const CLOSE: i64 = 1_500;
/// How long a request may have taken whose line does not say it, milliseconds.
const UNKNOWN_DURATION: i64 = 120_000;
/// Zones differ by multiples of this, milliseconds.
const ZONE: i64 = 15 * 60 * 1000;
/// That much of a target is compared and kept.
const COMPARED: usize = 200;
/// That much of a target is shown.
const SHOWN: usize = 1024;

/// What two lines may have in common, from most to least telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Bond {
    Group,
    Exact,
    ClientAndRequest,
    Request,
    Client,
    Status,
}

fn hash(bond: Bond, value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    bond.hash(&mut hasher);
    value.hash(&mut hasher);
    hasher.finish()
}

/// The beginning of a target that every gateway writes as it came: up to what one of them escapes.
fn comparable(target: &[u8]) -> &[u8] {
    let plain = target
        .iter()
        .take(COMPARED)
        .take_while(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'\''))
        .count();
    &target[..plain]
}

/// What of the join a line has, as keys.
fn keys_of_request(join: &Join<'_>) -> Vec<u64> {
    let mut keys = Vec::with_capacity(5);
    let request = comparable(join.request);
    if join.exact != 0 {
        keys.push(hash(Bond::Exact, join.exact));
    }
    if !join.client.is_empty() && !request.is_empty() {
        keys.push(hash(Bond::ClientAndRequest, (join.client, request)));
    }
    if !request.is_empty() {
        keys.push(hash(Bond::Request, request));
    }
    if !join.client.is_empty() {
        keys.push(hash(Bond::Client, join.client));
    }
    if let Some(status) = join.status {
        keys.push(hash(Bond::Status, status));
    }
    keys
}

/// As above, but an error line is found only by the most telling thing it states. The group comes first.
fn keys_of_complaint(join: &Join<'_>) -> Vec<u64> {
    let mut keys = Vec::with_capacity(3);
    let request = comparable(join.request);
    if join.group != 0 {
        keys.push(hash(Bond::Group, join.group));
    }
    if join.exact != 0 {
        keys.push(hash(Bond::Exact, join.exact));
    }
    match (join.client.is_empty(), request.is_empty()) {
        (false, false) => keys.push(hash(Bond::ClientAndRequest, (join.client, request))),
        (true, false) => keys.push(hash(Bond::Request, request)),
        (false, true) => keys.push(hash(Bond::Client, join.client)),
        (true, true) => keys.extend(join.status.map(|status| hash(Bond::Status, status))),
    }
    keys
}

/// Milliseconds between two stamps; where one has no zone, as if both stood in the same quarter of an hour.
fn apart(one: Stamp, other: Stamp) -> i64 {
    let difference = one.millis - other.millis;
    match one.local || other.local {
        false => difference,
        true => {
            let within = difference.rem_euclid(ZONE);
            if within > ZONE / 2 { within - ZONE } else { within }
        }
    }
}

/// Whether both can be one backend: one log may write the name where the other writes the address. Then the ports agree.
fn is_same_place(one: &[u8], other: &[u8]) -> bool {
    let parts = |place: &[u8]| -> Option<(bool, usize)> {
        let at = memchr::memrchr(b':', place)?;
        Some((crate::gateway::log::client_address(place).is_some(), at))
    };
    one.is_empty()
        || other.is_empty()
        || one == other
        || match (parts(one), parts(other)) {
            (Some((mine, at)), Some((its, its_at))) => mine != its && one[at..] == other[its_at..],
            _ => false,
        }
}

/// A request that may wait for an error line.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) keys: Vec<u64>,
    pub(super) since: Duration,
    pub(super) counted: bool,
    exact: u64,
    upstream: usize,
    synthetic: bool,
    time: Option<Stamp>,
    duration: Option<Duration>,
    status: Option<u16>,
    target: Box<[u8]>,
    name: Box<[u8]>,
    retries: u32,
    backend_time: Option<Duration>,
    taken: Taken,
    reused: bool,
    ending: KeptEnding,
    /// The log lists attempts; else they are known from error lines alone.
    listed: bool,
    attempts: Vec<KeptAttempt>,
}

#[derive(Clone, Debug)]
enum KeptEnding {
    Served,
    ClientClosed,
    Failed(Told),
}

#[derive(Clone, Debug)]
struct KeptAttempt {
    backend: Box<[u8]>,
    told: Option<Told>,
    /// An error line was found for it.
    joined: bool,
}

impl Kept {
    pub(super) fn new(exchange: &Exchange<'_>, upstream: usize, synthetic: bool) -> Kept {
        Kept {
            keys: keys_of_request(&exchange.join),
            since: Duration::ZERO,
            counted: false,
            exact: exchange.join.exact,
            upstream,
            synthetic,
            time: exchange.time,
            duration: exchange.duration,
            status: exchange.status,
            target: exchange.target[..exchange.target.len().min(SHOWN)].into(),
            name: first_name(&exchange.names).into(),
            retries: exchange.retries,
            backend_time: exchange.backend_time,
            taken: exchange.taken,
            reused: exchange.reuses(),
            ending: match exchange.outcome {
                Outcome::Served => KeptEnding::Served,
                Outcome::ClientClosed => KeptEnding::ClientClosed,
                Outcome::Failed(reason) => KeptEnding::Failed(reason.into()),
            },
            listed: !exchange.attempts.is_empty(),
            attempts: exchange
                .attempts
                .iter()
                .map(|attempt| KeptAttempt {
                    backend: attempt.backend.into(),
                    told: attempt.reason.map(Told::from),
                    joined: false,
                })
                .collect(),
        }
    }

    /// Something an error line could still say.
    pub(super) fn is_open(&self) -> bool {
        let open = |told: &Told| told.open;
        let ending_open = match &self.ending {
            KeptEnding::Failed(told) => told.open,
            KeptEnding::Served | KeptEnding::ClientClosed => false,
        };
        let attempt_open = |attempt: &KeptAttempt| !attempt.joined && attempt.told.as_ref().is_some_and(open);
        let joined = self.attempts.iter().any(|attempt| attempt.joined);
        (ending_open && !joined) || self.attempts.iter().any(attempt_open)
    }

    /// How well this error line fits this request: well where it states what the request's line does too, the identity or
    /// the backend. Many lines state neither, and those that do must not be left without their own.
    pub(super) fn fit(&self, complaint: &KeptComplaint) -> Option<Fit> {
        let states_backend = || {
            !complaint.backend.is_empty() && self.attempts.iter().any(|attempt| attempt.backend == complaint.backend)
        };
        let is_stated = !complaint.loose || !self.listed || states_backend();
        self.answers(complaint)
            .then_some(if is_stated { Fit::Well } else { Fit::Possibly })
    }

    /// Whether this error line can be about this request:
    ///
    /// 1. Of two identities, both state the same. A first line found gives the request its identity.
    /// 2. Without one, there is something left that it could be about.
    /// 3. Their times fit.
    /// 4. Where only the client or the status joins them, the status is the one that follows from the fault.
    fn answers(&self, complaint: &KeptComplaint) -> bool {
        if complaint.finds_none() || complaint.effect == Effect::ClientClosed && !self.may_be_left() {
            return false;
        }
        match (self.exact, complaint.exact) {
            (0, _) | (_, 0) if !self.has_room_for(complaint) => return false,
            (0, _) | (_, 0) => {}
            (mine, its) if mine != its => return false,
            _ => {}
        }
        let (Some(mine), Some(its)) = (self.time, complaint.time) else {
            return true;
        };
        let took = |unknown: i64| {
            self.duration.map_or(unknown, |duration| {
                i64::try_from(duration.as_millis()).unwrap_or(unknown)
            })
        };
        let apart = apart(its, mine);
        match complaint.loose {
            // A line is written when its request begins or when it ends.
            false => apart.abs() <= took(UNKNOWN_DURATION) + SLACK,
            true => {
                let close = apart.abs() <= CLOSE || (apart - took(0)).abs() <= CLOSE;
                let failed = matches!(&self.ending, KeptEnding::Failed(told) if told.open);
                let same_status = complaint.status.is_none_or(|status| self.status == Some(status));
                close && failed && same_status && self.is_open()
            }
        }
    }

    /// The response was cut after its head, and the line does not say by whom.
    fn may_be_left(&self) -> bool {
        let open = matches!(&self.ending, KeptEnding::Failed(told) if told.open);
        open && self.status.is_some_and(|status| status < 400)
    }

    /// Something no error line was found for yet: a failed attempt at that backend, or the request as a whole.
    fn has_room_for(&self, complaint: &KeptComplaint) -> bool {
        let same_backend = |attempt: &KeptAttempt| is_same_place(&attempt.backend, &complaint.backend);
        match (complaint.effect, self.listed) {
            (Effect::Cut, _) => !self
                .attempts
                .iter()
                .any(|attempt| attempt.joined && same_backend(attempt)),
            (_, true) => {
                let open = |attempt: &KeptAttempt| attempt.told.is_some() && !attempt.joined && same_backend(attempt);
                let none_failed = self.attempts.iter().all(|attempt| attempt.told.is_none());
                self.attempts.iter().any(open) || (none_failed && matches!(self.ending, KeptEnding::Failed(_)))
            }
            (_, false) => {
                let none_joined = self.attempts.is_empty();
                let another = !complaint.backend.is_empty() && !self.attempts.iter().any(same_backend);
                none_joined || (complaint.effect == Effect::Attempt && another)
            }
        }
    }

    /// Takes over why the gateway had no server left to ask.
    pub(super) fn found_none(&mut self, why: &Told) {
        if let KeptEnding::Failed(told) = &self.ending {
            self.ending = KeptEnding::Failed(told.with(why));
        }
    }

    /// Takes over what an error line says.
    pub(super) fn tell(&mut self, complaint: &KeptComplaint) {
        if self.exact == 0 {
            self.exact = complaint.exact;
        }
        match complaint.effect {
            Effect::Cut => return self.cut(complaint),
            Effect::ClientClosed => {
                self.ending = KeptEnding::ClientClosed;
                self.attempts.iter_mut().for_each(|attempt| attempt.told = None);
                return;
            }
            Effect::Attempt | Effect::Refused | Effect::Down | Effect::Up => {}
        }
        let last = self.attempts.len().saturating_sub(1);
        if !self.listed {
            let told = match &self.ending {
                KeptEnding::Failed(told) => told.with(&complaint.told),
                KeptEnding::Served | KeptEnding::ClientClosed => complaint.told.clone(),
            };
            if let KeptEnding::Failed(_) = self.ending {
                self.ending = KeptEnding::Failed(told.clone());
            }
            self.attempts.push(KeptAttempt {
                backend: complaint.backend.clone(),
                told: Some(told),
                joined: true,
            });
            return;
        }
        let same = |attempt: &KeptAttempt| {
            attempt.told.is_some() && !attempt.joined && is_same_place(&attempt.backend, &complaint.backend)
        };
        let Some(number) = self.attempts.iter().position(same) else {
            // The list is complete: this line repeats what is known, or tells of the request as a whole.
            if let KeptEnding::Failed(told) = &self.ending
                && self.attempts.iter().all(|attempt| attempt.told.is_none())
            {
                self.ending = KeptEnding::Failed(told.with(&complaint.told));
            }
            return;
        };
        let attempt = &mut self.attempts[number];
        attempt.joined = true;
        let before = attempt.told.take();
        let told = before
            .as_ref()
            .map_or_else(|| complaint.told.clone(), |told| told.with(&complaint.told));
        attempt.told = Some(told.clone());
        if number == last
            && let KeptEnding::Failed(ending) = &self.ending
            && Some(ending) == before.as_ref()
        {
            self.ending = KeptEnding::Failed(told);
        }
    }

    /// The response was cut: whatever status the client saw first, the request failed.
    fn cut(&mut self, complaint: &KeptComplaint) {
        let told = match &self.ending {
            KeptEnding::Failed(told) => told.with(&complaint.told),
            KeptEnding::Served | KeptEnding::ClientClosed => complaint.told.clone(),
        };
        if !matches!(self.ending, KeptEnding::ClientClosed) {
            self.ending = KeptEnding::Failed(told.clone());
        }
        match self.attempts.last_mut() {
            Some(last) => {
                last.told = Some(told);
                last.joined = true;
            }
            None => self.attempts.push(KeptAttempt {
                backend: complaint.backend.clone(),
                told: Some(told),
                joined: true,
            }),
        }
    }

    /// Counts the request and its failed attempts. A request that failed without a known attempt counts as one.
    pub(super) fn count(&mut self, tally: &mut impl Tally) {
        self.counted = true;
        let backend = self.attempts.last().map_or(&b""[..], |attempt| &attempt.backend);
        let mut request = Request {
            upstream: self.upstream,
            time: self.time,
            status: self.status,
            ending: match &self.ending {
                KeptEnding::Served => Ending::Served,
                KeptEnding::ClientClosed => Ending::ClientClosed,
                KeptEnding::Failed(told) => Ending::Failed(told),
            },
            target: &self.target,
            name: &self.name,
            backend,
            retries: self.retries,
            backend_time: self.backend_time,
            taken: self.taken,
            reused: self.reused,
        };
        if self.synthetic {
            request.ending = Ending::Synthetic;
            return tally.request(&request);
        }
        if !self.listed {
            let tried = self.attempts.len() + usize::from(matches!(self.ending, KeptEnding::Served));
            request.retries = request
                .retries
                .max(u32::try_from(tried.saturating_sub(1)).unwrap_or(u32::MAX));
        }
        tally.request(&request);
        for attempt in &self.attempts {
            if let Some(told) = &attempt.told {
                tally.attempt(&FailedAttempt {
                    upstream: self.upstream,
                    name: &self.name,
                    backend: &attempt.backend,
                    told,
                });
            }
        }
        let last_failed = self.attempts.last().is_some_and(|attempt| attempt.told.is_some());
        if let KeptEnding::Failed(told) = &self.ending
            && !last_failed
        {
            tally.attempt(&FailedAttempt {
                upstream: self.upstream,
                name: &self.name,
                backend,
                told,
            });
        }
    }
}

/// An error line that waits for its request.
#[derive(Clone, Debug)]
pub(super) struct KeptComplaint {
    pub(super) keys: Vec<u64>,
    pub(super) since: Duration,
    pub(super) group: u64,
    exact: u64,
    client: u64,
    status: Option<u16>,
    /// Only the client or the status joins it to a request.
    loose: bool,
    effect: Effect,
    told: Told,
    time: Option<Stamp>,
    upstream: usize,
    name: Box<[u8]>,
    backend: Box<[u8]>,
}

impl KeptComplaint {
    pub(super) fn new(complaint: &Complaint<'_>, upstream: usize) -> KeptComplaint {
        KeptComplaint {
            keys: keys_of_complaint(&complaint.join),
            since: Duration::ZERO,
            group: complaint.join.group,
            exact: complaint.join.exact,
            client: match complaint.join.client {
                b"" => 0,
                client => hash(Bond::Client, client),
            },
            status: complaint.join.status,
            loose: complaint.join.exact == 0 && complaint.join.request.is_empty(),
            effect: complaint.effect,
            told: complaint.reason.into(),
            time: complaint.time,
            upstream,
            name: first_name(&complaint.names).into(),
            backend: complaint.backend.into(),
        }
    }

    /// No request will be found for it: among all that were answered, nothing tells which one was cut.
    pub(super) fn finds_none(&self) -> bool {
        self.loose && self.effect == Effect::Cut
    }

    /// The response was cut: the line of its request is written in the same moment, and nothing is lost where it has been
    /// counted already.
    pub(super) fn is_cut(&self) -> bool {
        self.effect == Effect::Cut
    }

    /// The key that lines about the same fault share.
    pub(super) fn group_key(&self) -> Option<u64> {
        (self.group != 0).then(|| hash(Bond::Group, self.group))
    }

    /// Whether a later line tells of the same fault: of the same group within a moment, and
    ///
    /// 1. it names the client, and this one names none or the same;
    /// 2. not both leave no doubt: then they are two faults.
    pub(super) fn is_of_group(&self, later: &KeptComplaint) -> bool {
        let close = match (self.time, later.time) {
            (Some(mine), Some(its)) => u128::from(apart(mine, its).unsigned_abs()) <= GROUP.as_millis(),
            _ => true,
        };
        let same_client = later.client != 0 && (self.client == 0 || self.client == later.client);
        self.group == later.group && close && same_client && (self.told.open || later.told.open)
    }

    /// Takes over what another line of the same fault knows better.
    pub(super) fn merge(&mut self, other: &KeptComplaint) {
        self.effect = match (self.effect, other.effect) {
            (Effect::Cut, _) | (_, Effect::Cut) => Effect::Cut,
            (Effect::Attempt, _) | (_, Effect::Attempt) => Effect::Attempt,
            (one, _) => one,
        };
        self.told = self.told.with(&other.told);
        self.loose &= other.loose;
        self.exact = self.exact.max(other.exact);
        self.client = self.client.max(other.client);
        self.status = self.status.or(other.status);
        if self.backend.is_empty() {
            self.backend.clone_from(&other.backend);
        }
        if self.name.is_empty() {
            self.name.clone_from(&other.name);
        }
        if self.upstream == super::OTHER {
            self.upstream = other.upstream;
        }
        for key in &other.keys {
            if !self.keys.contains(key) {
                self.keys.push(*key);
            }
        }
        // Once the request is known, the client alone leads to others.
        if !self.loose {
            self.keys.retain(|key| *key != self.client);
        }
    }

    /// Counts a fault whose request was not found: an attempt, and a request that failed where it was cut after its
    /// access line had been counted.
    pub(super) fn count(&self, access_is_read: bool, tally: &mut impl Tally) {
        if self.effect == Effect::ClientClosed {
            return;
        }
        if access_is_read && self.effect == Effect::Cut {
            tally.request(&Request {
                upstream: self.upstream,
                time: self.time,
                status: None,
                ending: Ending::CutAfterAll(&self.told),
                target: b"",
                name: &self.name,
                backend: &self.backend,
                retries: 0,
                backend_time: None,
                taken: Taken::default(),
                reused: false,
            });
        }
        tally.attempt(&FailedAttempt {
            upstream: self.upstream,
            name: &self.name,
            backend: &self.backend,
            told: &self.told,
        });
    }
}
