//! One look at a hop, for the one-shot commands: the same probes and the same judgement as in the daemon, once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesOrdered;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::cause::Cause;
use crate::classify::{classify, classify_resolution, unexpected};
use crate::clock;
use crate::diagnosis::{FailingAddress, HopFacts, UpstreamFacts, diagnose};
use crate::evidence;
use crate::finding::{Outcome, Recognised};
use crate::fingerprint::recognise;
use crate::observation::listening::Queue;
use crate::observation::{Address, Observation, Resolution};
use crate::pace::Pace;
use crate::probe::tls::PolicyError;
use crate::probe::{Prepared, Prober};
use crate::upstream::{Hop, Host, Request, Target, Upstream};
use crate::verdict::Diagnosis;

/// A request of one look waits for its turn as long as it takes.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// What one look at a hop showed.
#[derive(Debug)]
pub struct HopReport {
    /// The hop.
    pub hop: Arc<Hop>,
    /// One for each of its targets.
    pub targets: Vec<TargetReport>,
}

/// What one look at a target showed.
#[derive(Debug)]
pub struct TargetReport {
    /// The target.
    pub target: Arc<Target>,
    /// Its resolution and how that is judged.
    pub resolution: (Arc<Resolution>, Outcome),
    /// One for each address and path.
    pub probes: Vec<ProbeReport>,
    /// Addresses its name must not have.
    pub unexpected: Vec<Address>,
    /// Addresses left out, over `max_addresses`.
    pub unprobed: usize,
}

/// One probe.
#[derive(Debug)]
pub struct ProbeReport {
    /// Where.
    pub address: Address,
    /// The label `path`.
    pub path: Arc<str>,
    /// What it saw.
    pub seen: Observation,
    /// What the answer says of the layers it came through.
    pub recognised: Recognised,
    /// The facts in one line, without what was sent with the request.
    pub evidence: String,
    /// Kept headers of the answer, likewise.
    pub headers: Vec<(String, String)>,
    /// How that is judged.
    pub outcome: Outcome,
}

impl HopReport {
    /// The causes found, the earliest phase first.
    pub fn causes(&self) -> Vec<Cause> {
        let names = self.targets.iter().filter_map(|target| target.resolution.1.cause());
        let addresses = self.targets.iter().filter(|target| !target.unexpected.is_empty());
        let probes = self.probes().filter_map(|probe| probe.outcome.cause());
        let causes: BTreeSet<_> = names
            .chain(addresses.map(|_| Cause::DnsUnexpectedAddress))
            .chain(probes)
            .collect();
        causes.into_iter().collect()
    }

    /// What a diagnosis needs: one look is believed as it is.
    fn facts(&self) -> HopFacts {
        let mut facts = HopFacts::unknown(self.hop.name.clone(), self.hop.is_origin());
        facts.complete = self.is_judged();
        for target in &self.targets {
            target.add_to(&mut facts);
        }
        facts.ever_succeeded = facts.healthy > 0;
        let failed = self.probes().filter(|probe| probe.outcome.cause().is_some());
        let mut queues = self.probes().filter_map(|probe| probe.seen.listening.as_ref()?.queue());
        facts.queue_is_full = queues.any(Queue::is_full);
        facts.state(failed.filter_map(|probe| probe.recognised.stated));
        facts
    }

    /// False where our own side prevented every probe: then nothing is known of the hop.
    pub fn is_judged(&self) -> bool {
        let judged = |probe: &ProbeReport| matches!(probe.outcome, Outcome::Success | Outcome::Failure(_));
        !self.causes().is_empty() || self.probes().any(judged)
    }

    /// Its probes, in the order of targets and addresses.
    pub fn probes(&self) -> impl Iterator<Item = &ProbeReport> {
        self.targets.iter().flat_map(|target| &target.probes)
    }

    /// Requests made.
    pub fn requests(&self) -> usize {
        self.targets.iter().map(|target| target.probes.len()).sum()
    }
}

impl TargetReport {
    fn add_to(&self, facts: &mut HopFacts) {
        let failing = |address: Arc<str>, cause| FailingAddress {
            address,
            is_name: false,
            cause,
            paths: Vec::new(),
            from_cache: false,
        };
        facts
            .failing
            .extend(self.resolution.1.cause().map(|cause| FailingAddress {
                is_name: true,
                ..failing(self.target.host.to_string().into(), cause)
            }));
        let unexpected = self.unexpected.iter();
        facts
            .failing
            .extend(unexpected.map(|address| failing(address.to_string().into(), Cause::DnsUnexpectedAddress)));
        let mut probed: BTreeMap<&Address, Vec<&ProbeReport>> = BTreeMap::new();
        for probe in &self.probes {
            probed.entry(&probe.address).or_default().push(probe);
        }
        for (address, probes) in probed {
            let failed: Vec<_> = probes.iter().filter(|probe| probe.outcome.cause().is_some()).collect();
            match failed.iter().filter_map(|probe| probe.outcome.cause()).min() {
                Some(cause) => facts.failing.push(FailingAddress {
                    from_cache: failed.iter().any(|probe| probe.recognised.cached_by.is_some()),
                    paths: failed.iter().map(|probe| probe.path.clone()).collect(),
                    ..failing(address.to_string().into(), cause)
                }),
                None => facts.healthy += usize::from(probes.iter().any(|probe| probe.outcome == Outcome::Success)),
            }
        }
    }
}

/// What one look at every hop says of the upstream as a whole, by the rules of the daemon.
pub fn diagnosis(reports: &[HopReport]) -> Diagnosis {
    let facts = UpstreamFacts {
        hops: reports.iter().map(HopReport::facts).collect(),
        self_check_lost: false,
    };
    let now = clock::now();
    diagnose(&facts, &Diagnosis::unknown(now), now)
}

/// Looks at every hop of an upstream, at its pace, every address of each.
///
/// # Errors
/// A TLS policy that cannot be used.
pub async fn upstream(prober: &Prober, slots: &Semaphore, upstream: &Upstream) -> Result<Vec<HopReport>, PolicyError> {
    Survey::new(prober, slots, upstream.max_rate).upstream(upstream).await
}

/// Asks at the pace of one upstream.
#[derive(Debug)]
pub struct Survey<'a> {
    prober: &'a Prober,
    slots: &'a Semaphore,
    pace: Mutex<Pace>,
}

impl<'a> Survey<'a> {
    /// `max_rate` is in requests a second.
    pub fn new(prober: &'a Prober, slots: &'a Semaphore, max_rate: f64) -> Survey<'a> {
        Survey {
            prober,
            slots,
            pace: Mutex::new(Pace::new(max_rate)),
        }
    }

    /// Looks at every hop, every address of each.
    ///
    /// # Errors
    /// A TLS policy that cannot be used.
    pub async fn upstream(&self, upstream: &Upstream) -> Result<Vec<HopReport>, PolicyError> {
        let mut reports = Vec::new();
        for hop in &upstream.hops {
            let targets: Vec<_> = hop
                .targets
                .iter()
                .cloned()
                .map(Prepared::new)
                .collect::<Result<_, _>>()?;
            let kinds = upstream.kinds_from(&hop.name);
            let looks = targets.iter().map(|prepared| self.target(prepared, &kinds));
            reports.push(HopReport {
                hop: hop.clone(),
                targets: join_all(looks).await,
            });
        }
        Ok(reports)
    }

    async fn target(&self, prepared: &Prepared, kinds: &[&'static str]) -> TargetReport {
        let target = &prepared.target;
        let resolution = self.prober.resolve(prepared).await;
        let ips: BTreeSet<_> = resolution.result.iter().flatten().copied().collect();
        let at = |ip: &std::net::IpAddr| Address::Tcp(SocketAddr::new(*ip, target.port));
        let (outside, inside): (Vec<_>, Vec<_>) = ips.iter().partition(|ip| unexpected(**ip, &target.expect));
        let mut addresses: Vec<_> = match &target.host {
            Host::Unix(path) => vec![Address::Unix(Arc::new(path.clone()))],
            Host::Name(_) | Host::Ip(_) => inside.into_iter().map(at).collect(),
        };
        let unprobed = addresses.len().saturating_sub(target.max_addresses);
        addresses.truncate(target.max_addresses);
        let asked = addresses
            .iter()
            .flat_map(|address| target.requests.iter().map(move |request| (address, request)));
        let probes: FuturesOrdered<_> = asked
            .map(|(address, request)| self.ask(prepared, request, address, kinds))
            .collect();
        let probes = probes.collect().await;
        let outcome = classify_resolution(&resolution);
        TargetReport {
            target: target.clone(),
            resolution: (resolution, outcome),
            probes,
            unexpected: outside.into_iter().map(at).collect(),
            unprobed,
        }
    }

    /// Makes one request when its turn comes. `kinds` are those of the gateways on the way, outermost first.
    pub async fn ask(
        &self,
        prepared: &Prepared,
        request: &Request,
        address: &Address,
        kinds: &[&'static str],
    ) -> ProbeReport {
        let slot = {
            let now = Instant::now();
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.reserve(now, now + PATIENCE).unwrap_or(now)
        };
        sleep_until(slot).await;
        let _permit = self.slots.acquire().await.expect("the slots are never closed");
        let seen = self.prober.probe(prepared, request, address).await;
        let recognised = recognise(&seen, kinds);
        let outcome = classify(&seen, &recognised, &prepared.target.expect);
        ProbeReport {
            evidence: evidence::of_probe_of(&prepared.target, request, &seen, &recognised),
            headers: evidence::headers_of(&prepared.target, request, &seen),
            recognised,
            address: address.clone(),
            path: request.label.clone(),
            seen,
            outcome,
        }
    }
}
