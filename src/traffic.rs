//! Real requests as the logs of one gateway tell them: each counted once, however many lines speak of it. Pure; time
//! is an argument.
//!
//! An access line says how a request ended, an error line why an attempt failed. [`Traffic`] brings the two together:
//!
//! 1. An error line waits for the access line of its request; most gateways write it first.
//! 2. A failed request whose line leaves the cause open waits a moment for its error line.
//! 3. What neither finds is counted with what it says itself, and once.
//! 4. A line that says why a server was taken out is kept for requests that find none left.
//!
//! Memory is bounded; what exceeds the bound is counted at once.

mod join;
mod outages;
mod reason;
mod routes;
#[cfg(test)]
mod tests;
mod waiting;
mod window;

use std::time::Duration;

pub use reason::Told;
pub use routes::{OTHER, Route, Routes, Served};
pub use window::{Recent, Window, shape_of};

use crate::exchange::{Complaint, Effect, Exchange, Outcome, Stamp, Taken};
use join::{Kept, KeptComplaint};
use outages::Outages;
use waiting::Waiting;

/// User agents of health checkers whose vendors state them; their requests are nobody's traffic.
///
/// Sources: Elastic Load Balancing "health checks for target groups"; Route 53 "HealthChecks"; Kubernetes
/// `pkg/probe/http`; Google Cloud "health checks overview"; Azure Front Door "health probes"; Envoy "health checking".
const HEALTH_CHECKERS: &[&[u8]] = &[
    b"badgateway/",
    b"ELB-HealthChecker/",
    b"Amazon-Route53-Health-Check-Service",
    b"Amazon Route 53 Health Check Service",
    b"kube-probe/",
    b"GoogleHC/",
    b"Edge Health Probe",
    b"Envoy/HC",
    b"Blackbox Exporter/",
];

/// How long things wait for each other, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A failed request for its error line.
    pub request: Duration,
    /// An error line for its access line: longer than the slowest request.
    pub complaint: Duration,
    /// Of each kind, that many wait at most.
    pub most: usize,
}

impl Patience {
    /// For logs read while they are written.
    pub const LIVE: Patience = Patience {
        request: Duration::from_secs(2),
        complaint: Duration::from_secs(150),
        most: 4096,
    };
    /// For logs read as a whole, error lines first.
    pub const OFFLINE: Patience = Patience {
        request: Duration::ZERO,
        complaint: Duration::MAX,
        most: 100_000,
    };
}

/// Which logs of a gateway are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Lines of requests.
    pub access: bool,
    /// Lines of faults.
    pub errors: bool,
}

/// A request, counted once.
#[derive(Clone, Debug)]
pub struct Request<'r> {
    /// Index into the upstreams of [`Routes`], or [`OTHER`].
    pub upstream: usize,
    /// When the log says it was.
    pub time: Option<Stamp>,
    /// What the client got.
    pub status: Option<u16>,
    /// How it ended.
    pub ending: Ending<'r>,
    /// The target asked for, as logged.
    pub target: &'r [u8],
    /// What the gateway calls the backend: upstream block, backend, cluster, service; empty where it does not say.
    pub name: &'r [u8],
    /// The backend that gave the answer, or failed last; empty where the log does not say.
    pub backend: &'r [u8],
    /// Attempts after the first.
    pub retries: u32,
    /// How long the backends took.
    pub backend_time: Option<Duration>,
    /// What one attempt took of what the gateway bounds.
    pub taken: Taken,
    /// The log shows that an attempt went over a connection used before.
    pub reused: bool,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending<'r> {
    /// With an answer.
    Served,
    /// The client left.
    ClientClosed,
    /// With a failure.
    Failed(&'r Told),
    /// It was a probe or a health check.
    Synthetic,
    /// It was counted as served before its error line came: its response was cut.
    CutAfterAll(&'r Told),
}

/// An attempt that failed, counted once, also where a retry saved the request.
#[derive(Clone, Debug)]
pub struct FailedAttempt<'r> {
    /// Index into the upstreams of [`Routes`], or [`OTHER`].
    pub upstream: usize,
    /// What the gateway calls the backend; empty where it does not say.
    pub name: &'r [u8],
    /// The backend as logged; empty where the log does not say.
    pub backend: &'r [u8],
    /// Why.
    pub told: &'r Told,
}

/// Who counts.
pub trait Tally {
    /// A request.
    fn request(&mut self, request: &Request<'_>);
    /// A failed attempt.
    fn attempt(&mut self, attempt: &FailedAttempt<'_>);
}

/// The traffic of one gateway.
#[derive(Debug)]
pub struct Traffic {
    routes: Routes,
    patience: Patience,
    sources: Sources,
    ignored_agents: Vec<Box<[u8]>>,
    /// Whether one of them begins with that byte: most agents are told apart by it.
    ignored_initials: [bool; 256],
    ignored_clients: Vec<ipnet::IpNet>,
    requests: Waiting<Kept>,
    complaints: Waiting<KeptComplaint>,
    /// Faults that requests were told of a moment ago.
    told: Waiting<KeptComplaint>,
    outages: Outages,
}

impl Traffic {
    /// Nothing read yet.
    pub fn new(routes: Routes, sources: Sources, patience: Patience) -> Traffic {
        let mut traffic = Traffic {
            routes,
            patience,
            sources,
            ignored_agents: Vec::new(),
            ignored_initials: [false; 256],
            ignored_clients: Vec::new(),
            requests: Waiting::default(),
            complaints: Waiting::default(),
            told: Waiting::default(),
            outages: Outages::default(),
        };
        HEALTH_CHECKERS.iter().for_each(|agent| traffic.ignore_agent(agent));
        traffic
    }

    /// Sets more requests apart: agents by their beginning, clients by network.
    pub fn ignore(&mut self, agents: &[String], clients: &[ipnet::IpNet]) {
        agents.iter().for_each(|agent| self.ignore_agent(agent.as_bytes()));
        self.ignored_clients.extend(clients);
    }

    fn ignore_agent(&mut self, agent: &[u8]) {
        // An agent that is not known is nobody's.
        if let Some(initial) = agent.first() {
            self.ignored_initials[usize::from(*initial)] = true;
            self.ignored_agents.push(agent.into());
        }
    }

    /// Takes other routes over; what waits keeps the upstream it was found to belong to.
    pub fn set_routes(&mut self, routes: Routes) {
        self.routes = routes;
    }

    /// A line of a request. `now` is a clock that only moves forward.
    pub fn exchange(&mut self, exchange: &Exchange<'_>, now: Duration, tally: &mut impl Tally) {
        let synthetic = self.is_synthetic(exchange);
        let nothing_open = match exchange.outcome {
            Outcome::Failed(reason) => reason.settled,
            Outcome::Served | Outcome::ClientClosed => true,
        };
        let nothing_failed = exchange.attempts.iter().all(|attempt| attempt.reason.is_none());
        if nothing_open && nothing_failed && self.complaints.is_empty() && !synthetic {
            let served = !matches!(exchange.outcome, Outcome::Failed(_));
            if served {
                return tally.request(&self.plain(exchange));
            }
        }
        let mut kept = Kept::new(exchange, self.upstream_of(exchange), synthetic);
        if let Some(why) = self.outages.why(exchange) {
            kept.found_none(&why);
        }
        self.complain_about(&mut kept, now);
        let wait = self.sources.errors && kept.is_open() && !self.patience.request.is_zero();
        if !wait {
            return kept.count(tally);
        }
        let keys = kept.keys.clone();
        if let Some(mut oldest) = self.requests.push(keys, kept, now, self.patience.most) {
            oldest.count(tally);
        }
    }

    /// A line of a fault.
    pub fn complaint(&mut self, complaint: &Complaint<'_>, now: Duration, tally: &mut impl Tally) {
        match complaint.effect {
            // Where the request is known, its line may leave open who cut the response.
            Effect::ClientClosed if complaint.join.exact == 0 => return,
            Effect::Down | Effect::Up => return self.outages.note(complaint),
            Effect::ClientClosed | Effect::Attempt | Effect::Refused | Effect::Cut => {}
        }
        let upstream = self.routes.upstream_of(
            complaint.host,
            complaint.join.request,
            &complaint.names,
            complaint.backend,
        );
        let mut kept = KeptComplaint::new(complaint, upstream);
        if kept.keys.is_empty() && !kept.is_cut() {
            // It states nothing that a request could be found by. A cut response is counted after its request.
            return kept.count(self.sources.access, tally);
        }
        if !self.sources.access {
            // Lines of one group tell of one fault: the first waits for the others a moment.
            if kept.group == 0 {
                return kept.count(false, tally);
            }
        }
        kept.since = now;
        if self.is_told(&kept) {
            return;
        }
        self.merge_with_group(&mut kept);
        if let Some(number) = self.requests.find(&kept.keys, |request| request.fit(&kept)) {
            if let Some(request) = self.requests.get_mut(number)
                && !request.counted
            {
                request.tell(&kept);
                if !request.is_open() {
                    request.count(tally);
                }
            }
            return self.note_told(kept);
        }
        let (keys, now) = (kept.keys.clone(), kept.since);
        if let Some(oldest) = self.complaints.push(keys, kept, now, self.patience.most) {
            oldest.count(self.sources.access, tally);
        }
    }

    /// Counts what has waited long enough.
    pub fn expire(&mut self, now: Duration, tally: &mut impl Tally) {
        let patience = self.patience;
        // A counted request is kept as long again, so that a late error line is not counted beside it.
        for request in self.requests.iter_mut() {
            if !request.counted && now.saturating_sub(request.since) >= patience.request {
                request.count(tally);
            }
        }
        let forget = patience.request.saturating_mul(10);
        while self.requests.pop_older(now, forget).is_some() {}
        let wait = match self.sources.access {
            true => patience.complaint,
            false => GROUP,
        };
        while self.told.pop_older(now, TOLD).is_some() {}
        while let Some(complaint) = self.complaints.pop_older(now, wait) {
            complaint.count(self.sources.access, tally);
        }
        while let Some(complaint) = self.complaints.take_older(now, GROUP, KeptComplaint::finds_none) {
            complaint.count(self.sources.access, tally);
        }
        while let Some(complaint) = self.complaints.take_older(now, patience.request, KeptComplaint::is_cut) {
            complaint.count(self.sources.access, tally);
        }
    }

    /// Counts everything that still waits.
    pub fn finish(&mut self, tally: &mut impl Tally) {
        while let Some(mut request) = self.requests.pop() {
            if !request.counted {
                request.count(tally);
            }
        }
        while let Some(complaint) = self.complaints.pop() {
            complaint.count(self.sources.access, tally);
        }
    }

    /// How many error lines wait.
    pub fn waiting_complaints(&self) -> usize {
        self.complaints.len()
    }

    fn plain<'r>(&mut self, exchange: &'r Exchange<'_>) -> Request<'r> {
        Request {
            upstream: self.upstream_of(exchange),
            time: exchange.time,
            status: exchange.status,
            ending: match exchange.outcome {
                Outcome::ClientClosed => Ending::ClientClosed,
                Outcome::Served | Outcome::Failed(_) => Ending::Served,
            },
            target: exchange.target,
            name: first_name(&exchange.names),
            backend: exchange.attempts.last().map_or(b"", |attempt| attempt.backend),
            retries: exchange.retries,
            backend_time: exchange.backend_time,
            taken: exchange.taken,
            reused: exchange.reuses(),
        }
    }

    fn upstream_of(&mut self, exchange: &Exchange<'_>) -> usize {
        let backend = exchange.attempts.last().map_or(&b""[..], |attempt| attempt.backend);
        self.routes
            .upstream_of(exchange.host, exchange.target, &exchange.names, backend)
    }

    fn is_synthetic(&self, exchange: &Exchange<'_>) -> bool {
        let agent = exchange.agent;
        let by_agent = agent.first().is_some_and(|initial| {
            self.ignored_initials[usize::from(*initial)]
                && self.ignored_agents.iter().any(|ignored| agent.starts_with(ignored))
        });
        by_agent || (!self.ignored_clients.is_empty() && self.is_ignored_client(exchange.client))
    }

    fn is_ignored_client(&self, client: &[u8]) -> bool {
        let address = crate::gateway::log::client_address(client);
        address.is_some_and(|address| self.ignored_clients.iter().any(|network| network.contains(&address)))
    }

    /// Gives a request the error lines that wait for it.
    fn complain_about(&mut self, kept: &mut Kept, now: Duration) {
        kept.since = now;
        while let Some(number) = self.complaints.find(&kept.keys, |complaint| kept.fit(complaint)) {
            let Some(mut complaint) = self.complaints.take(number) else {
                return;
            };
            kept.tell(&complaint);
            complaint.since = now;
            self.note_told(complaint);
        }
    }

    /// A request was told of this fault: later lines of its group are nobody else's.
    fn note_told(&mut self, complaint: KeptComplaint) {
        if let Some(key) = complaint.group_key() {
            let since = complaint.since;
            self.told.push(vec![key], complaint, since, self.patience.most);
        }
    }

    /// A request was told of the same fault before. Lines that come last say less: it knows all there is.
    fn is_told(&self, kept: &KeptComplaint) -> bool {
        let of_group = |told: &KeptComplaint| told.is_of_group(kept);
        kept.group_key()
            .is_some_and(|key| self.told.find_last(key, of_group).is_some())
    }

    /// Brings an error line of the same fault that waits already together with this one: what either knows better.
    fn merge_with_group(&mut self, kept: &mut KeptComplaint) {
        let of_group = |other: &KeptComplaint| other.is_of_group(kept);
        let waiting = kept
            .group_key()
            .and_then(|key| self.complaints.find_last(key, of_group));
        if let Some(mut first) = waiting.and_then(|number| self.complaints.take(number)) {
            first.merge(kept);
            *kept = first;
        }
    }
}

/// The first name the gateway gives the backend.
fn first_name<'l>(names: &[&'l [u8]; 3]) -> &'l [u8] {
    names.iter().find(|name| !name.is_empty()).copied().unwrap_or_default()
}

/// Lines of one group come together.
const GROUP: Duration = Duration::from_secs(1);
/// How long the last lines of a group are waited for where they say nothing new: a reader may be late.
const TOLD: Duration = Duration::from_secs(10);
