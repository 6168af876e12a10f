//! What one hop has counted, and the rules by which a finding or a round changes it. No label, no lock, no clock.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::shape::Shape;
use super::values::{Codes, Exemplar, Histogram, Largest, Ratio, SLOW, Total};
use crate::cause::Cause;
use crate::clock;
use crate::finding::limits::{PROBED, used};
use crate::finding::{AddressCounts, Confirmed, Finding, KeptIdle, Outcome, Purpose, RoundSummary};
use crate::observation::listening::Listening;
use crate::observation::version::Version;
use crate::observation::{
    Address, AnswerSource, CertificateFacts, CertificateProblem, End, Observation, OwnLimit, Resolution, TlsFault,
};

/// The extra purposes with a series, in the order of their table.
pub(super) const EXTRA_PURPOSES: [Purpose; 7] = [
    Purpose::Confirm,
    Purpose::Recheck,
    Purpose::StaleAddress,
    Purpose::Patient,
    Purpose::Keepalive,
    Purpose::HealthCheck,
    Purpose::Content,
];

/// Everything one hop has counted. A failed resolution, a refused connection and an invalid response are rows of
/// `failures`; the first-byte phase is the first histogram: what two families share is kept once.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) shape: Shape,
    pub(super) probes: u64,
    pub(super) failures: [u64; Cause::ALL.len()],
    pub(super) bad_gateways: u64,
    pub(super) ratio: Ratio,
    pub(super) codes: Codes,
    pub(super) first_byte: Histogram,
    pub(super) total: Histogram,
    pub(super) dns: Total,
    pub(super) connect: Total,
    pub(super) tls: Total,
    pub(super) body: Total,
    pub(super) extra: [u64; EXTRA_PURPOSES.len()],
    pub(super) transient: u64,
    pub(super) aborted: [u64; OwnLimit::ALL.len()],
    pub(super) near: [u64; PROBED.len()],
    pub(super) check_transitions: u64,
    pub(super) header_bytes: Largest,
    pub(super) body_bytes: Largest,
    pub(super) tls_session: Option<(&'static str, &'static str)>,
    pub(super) rounds: u64,
    pub(super) rounds_failed: u64,
    /// Seconds since the epoch.
    pub(super) last_round: Option<f64>,
    pub(super) addresses: Option<AddressCounts>,
    pub(super) dns_addresses: Option<usize>,
    pub(super) dns_ttl: Option<Duration>,
    pub(super) dns_changes: u64,
    pub(super) cached_errors: u64,
    pub(super) resolvers_disagree: Option<bool>,
    pub(super) content_differs: Option<bool>,
    /// Sorted by address.
    pub(super) places: Vec<Place>,
}

/// What is known of one address.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `None` stands for a name that gives no address.
    pub(super) address: Option<Address>,
    /// The label value.
    pub(super) text: Arc<str>,
    /// The last confirmed result of each path.
    pub(super) paths: Vec<(Arc<str>, Confirmed)>,
    pub(super) certificate: Option<Validity>,
    pub(super) certificate_problem: Option<CertificateProblem>,
    /// Another address of the hop serves another certificate, which ends no sooner.
    pub(super) certificate_differs: bool,
    /// Who listens there, of an address on this host.
    pub(super) listening: Option<Box<Listening>>,
    /// Who answers there, where it shows itself.
    pub(super) version: Option<Version>,
    pub(super) kept_idle: Option<KeptIdle>,
    /// Of the gateway's health check, replayed.
    pub(super) checked_healthy: Option<bool>,
}

/// How long the certificate is valid that ends first in a chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    /// Seconds since the epoch.
    pub(super) expiry: i64,
    pub(super) lifetime_seconds: u64,
    /// The server's own certificate: its end, seconds since the epoch, and a number for which one it is.
    pub(super) leaf: (i64, u64),
}

impl State {
    pub(super) fn new(shape: Shape) -> State {
        State {
            shape,
            probes: 0,
            failures: [0; Cause::ALL.len()],
            bad_gateways: 0,
            ratio: Ratio::default(),
            codes: Codes::default(),
            first_byte: Histogram::default(),
            total: Histogram::default(),
            dns: Total::default(),
            connect: Total::default(),
            tls: Total::default(),
            body: Total::default(),
            extra: [0; EXTRA_PURPOSES.len()],
            transient: 0,
            aborted: [0; OwnLimit::ALL.len()],
            near: [0; PROBED.len()],
            check_transitions: 0,
            header_bytes: Largest::default(),
            body_bytes: Largest::default(),
            tls_session: None,
            rounds: 0,
            rounds_failed: 0,
            last_round: None,
            addresses: None,
            dns_addresses: None,
            dns_ttl: None,
            dns_changes: 0,
            cached_errors: 0,
            resolvers_disagree: None,
            content_differs: None,
            places: Vec::new(),
        }
    }

    /// Takes a changed configuration over: counters go on, what was known of single addresses and answers is forgotten,
    /// because it may speak of other servers now.
    pub(super) fn reshape(&mut self, shape: Shape) {
        self.shape = shape;
        self.places = Vec::new();
        self.addresses = None;
        self.dns_addresses = None;
        self.dns_ttl = None;
        self.resolvers_disagree = None;
        self.content_differs = None;
        self.tls_session = None;
    }

    /// Counts a finding; returns how many values of it found no series of their own.
    pub(super) fn record(&mut self, finding: &Finding) -> u64 {
        if finding.purpose != Purpose::Scheduled {
            self.record_extra(finding);
            return 0;
        }
        match finding.outcome {
            Outcome::Skipped => return 0,
            Outcome::Aborted(limit) => {
                self.aborted[OwnLimit::ALL.iter().position(|known| *known == limit).unwrap_or(0)] += 1;
                return 0;
            }
            Outcome::Failure(cause) => self.failures[cause.index()] += 1,
            Outcome::Success => {}
        }
        self.probes += 1;
        let at = clock::since_epoch(finding.at).as_secs();
        let cause = finding.outcome.cause();
        let status = finding
            .observation()
            .and_then(|seen| seen.head())
            .map(|head| head.status);
        let bad_gateway = status == Some(502) || cause == Some(Cause::DisguisedBadGateway);
        self.bad_gateways += u64::from(bad_gateway);
        self.ratio.count(at, bad_gateway);
        let is_error = bad_gateway || status.is_some_and(|status| status >= 500);
        self.cached_errors += u64::from(is_error && finding.recognised.is_cached());
        let mut dropped = status.is_some_and(|status| !self.codes.count(status)) as u64;
        if let Some(seen) = finding.observation() {
            self.record_times(seen, cause.is_some());
            self.record_sizes(seen, at);
            self.record_near(seen, cause);
            dropped += u64::from(!self.record_tls(seen));
        }
        dropped
    }

    /// An extra probe that was not prevented.
    fn record_extra(&mut self, finding: &Finding) {
        let made = matches!(finding.outcome, Outcome::Success | Outcome::Failure(_));
        if made {
            self.extra(finding.purpose, 1);
        }
        // No other probe waits as long as the gateway in front does.
        if let (Purpose::Patient, Some(seen)) = (finding.purpose, finding.observation()) {
            self.record_near(seen, finding.outcome.cause());
        }
    }

    /// Requests beside the schedule.
    pub(super) fn extra(&mut self, purpose: Purpose, requests: u64) {
        if let Some(at) = EXTRA_PURPOSES.iter().position(|known| *known == purpose) {
            self.extra[at] += requests;
        }
    }

    /// Keeps how long idle connections to an address last, where that has series.
    pub(super) fn kept_idle(&mut self, address: &Address, kept: Option<KeptIdle>) {
        if let Some(place) = self.known(address) {
            place.kept_idle = kept;
        }
    }

    /// Keeps what the replayed health check says of an address; `turned` when that is the opposite of what it said before.
    pub(super) fn checked(&mut self, address: &Address, healthy: bool, turned: bool) {
        self.check_transitions += u64::from(turned);
        if let Some(place) = self.known(address) {
            place.checked_healthy = Some(healthy);
        }
    }

    /// An address that has series. One that has none yet, or no more, is given none.
    fn known(&mut self, address: &Address) -> Option<&mut Place> {
        self.places
            .iter_mut()
            .find(|place| place.address.as_ref() == Some(address))
    }

    fn record_times(&mut self, seen: &Observation, failed: bool) {
        let times = &seen.timings;
        self.connect.add(times.connect);
        self.tls.add(times.tls);
        self.body.add(times.body);
        let exemplar = |value: Duration| {
            (failed || value >= SLOW).then(|| {
                Box::new(Exemplar {
                    trace: seen.trace,
                    value,
                    at: clock::seconds(seen.at),
                })
            })
        };
        for (histogram, value) in [
            (&mut self.first_byte, times.first_byte),
            (&mut self.total, Some(times.total)),
        ] {
            if let Some(value) = value {
                histogram.observe(value);
                histogram.exemplar = exemplar(value).or(histogram.exemplar.take());
            }
        }
    }

    fn record_sizes(&mut self, seen: &Observation, at: u64) {
        if let Some(head) = seen.head() {
            self.header_bytes.see(at, head.bytes);
        }
        if let Some(bytes) = body_bytes(seen) {
            self.body_bytes.see(at, bytes);
        }
    }

    fn record_near(&mut self, seen: &Observation, cause: Option<Cause>) {
        for (count, kind) in self.near.iter_mut().zip(PROBED) {
            *count += u64::from(used(&self.shape.hop.limits, kind, seen, cause).is_some_and(|used| used.is_near()));
        }
    }

    /// Keeps what the handshake showed; false where there was no place for another address.
    fn record_tls(&mut self, seen: &Observation) -> bool {
        let Some(facts) = &seen.tls else { return true };
        if let (Some(version), Some(cipher)) = (facts.version, facts.cipher) {
            self.tls_session = Some((version, cipher));
        }
        let Some(certificate) = facts.chain.first_to_end() else {
            return true;
        };
        let refused = matches!(seen.end, End::Tls(TlsFault::Certificate(_)));
        let Some(place) = self.place(Some(&seen.address)) else {
            return false;
        };
        let leaf = facts.chain.certificates.first().map(identity).unwrap_or_default();
        let problem = facts.problem.filter(|_| !refused);
        let changes = std::mem::replace(&mut place.certificate_problem, problem) != problem;
        let before = place.certificate.replace(Validity {
            expiry: certificate.not_after,
            lifetime_seconds: certificate.lifetime_seconds(),
            leaf,
        });
        if changes || before.is_none_or(|before| before.leaf != leaf) {
            self.compare_certificates();
        }
        true
    }

    /// Marks the addresses that serve another certificate than the one that ends last, unless it has a problem that one does
    /// not have: that says more.
    fn compare_certificates(&mut self) {
        if !self.shape.hop.serves_one_certificate() {
            return;
        }
        let leaf = |place: &Place| Some((place.certificate?.leaf, place.certificate_problem));
        let newest = self.places.iter().filter_map(leaf).max();
        let Some((newest, its_problem)) = newest else { return };
        for place in &mut self.places {
            let other = leaf(place).filter(|(leaf, _)| *leaf != newest);
            place.certificate_differs = other.is_some_and(|(_, problem)| problem.is_none() || problem == its_problem);
        }
    }

    /// The finished DNS phase of a round, where a name was really asked for.
    pub(super) fn resolved(&mut self, resolution: &Resolution) {
        let asked = matches!(resolution.source, AnswerSource::HostsFile | AnswerSource::Resolver(_));
        self.dns
            .add((asked && resolution.result.is_ok()).then_some(resolution.elapsed));
    }

    pub(super) fn round(&mut self, round: &RoundSummary) {
        self.addresses = Some(round.addresses);
        self.dns_addresses = Some(round.dns_addresses);
        self.dns_ttl = round.dns_ttl;
        self.dns_changes += u64::from(round.dns_changed);
        // Also one that our own side prevented: it was not late.
        self.last_round = Some(clock::seconds(round.at));
        if round.judged {
            self.rounds += 1;
            self.rounds_failed += u64::from(round.failed_wholly);
        }
    }

    /// Keeps a confirmed result; false where there was no place for another address.
    pub(super) fn confirmed(&mut self, address: Option<&Address>, path: &str, confirmed: Confirmed) -> bool {
        // The configuration holds the path already.
        let requests = self.shape.hop.targets.iter().flat_map(|target| &target.requests);
        let label = requests
            .map(|request| &request.label)
            .find(|label| ***label == *path)
            .cloned();
        let Some(place) = self.place(address) else { return false };
        match place.paths.iter_mut().find(|(known, _)| **known == *path) {
            Some((_, result)) => *result = confirmed,
            None => {
                place.paths.reserve_exact(1);
                place.paths.push((label.unwrap_or_else(|| path.into()), confirmed));
            }
        }
        true
    }

    /// Keeps who listens at an address; false where there was no place for another address.
    pub(super) fn listening(&mut self, address: &Address, listening: Option<Listening>) -> bool {
        if let (None, Err(_)) = (&listening, self.find(Some(address))) {
            return true;
        }
        let Some(place) = self.place(Some(address)) else {
            return false;
        };
        place.listening = listening.map(Box::new);
        true
    }

    /// Keeps who answered at an address; false where there was no place for another address.
    pub(super) fn version(&mut self, address: &Address, version: Version) -> bool {
        match self.place(Some(address)) {
            Some(place) => {
                place.version = Some(version);
                true
            }
            None => false,
        }
    }

    /// Forgets one path of an address, and with its last path the address.
    pub(super) fn forget(&mut self, address: Option<&Address>, path: &str) {
        for place in self.places.iter_mut().filter(|place| place.address.as_ref() == address) {
            place.paths.retain(|(known, _)| **known != *path);
        }
        self.places
            .retain(|place| place.address.as_ref() != address || !place.paths.is_empty());
        self.compare_certificates();
    }

    fn find(&self, address: Option<&Address>) -> Result<usize, usize> {
        self.places
            .binary_search_by(|place| place.address.as_ref().cmp(&address))
    }

    fn place(&mut self, address: Option<&Address>) -> Option<&mut Place> {
        let at = match self.find(address) {
            Ok(at) => at,
            Err(_) if self.places.len() >= self.shape.max_addresses => return None,
            Err(at) => {
                self.places.reserve_exact(1);
                self.places.insert(at, Place::new(address));
                at
            }
        };
        self.places.get_mut(at)
    }
}

impl Place {
    fn new(address: Option<&Address>) -> Place {
        Place {
            address: address.cloned(),
            text: address.map(ToString::to_string).unwrap_or_default().into(),
            paths: Vec::new(),
            certificate: None,
            certificate_problem: None,
            certificate_differs: false,
            listening: None,
            version: None,
            kept_idle: None,
            checked_healthy: None,
        }
    }
}

/// Body bytes read, where a head came.
fn body_bytes(seen: &Observation) -> Option<u64> {
    match &seen.end {
        End::Response(response) => Some(response.body_bytes),
        End::Http(failure) => failure.head.as_ref().map(|_| failure.body_bytes),
        _ => None,
    }
}

/// Its end, and a number that another certificate does not have.
fn identity(certificate: &CertificateFacts) -> (i64, u64) {
    let mut hasher = DefaultHasher::new();
    (&certificate.serial, &certificate.issuer).hash(&mut hasher);
    (certificate.not_after, hasher.finish())
}
