//! One probe: connect, TLS, one request and its response under one deadline. Returns an `Observation`, never an error.
//!
//! Resolution is its own step, once a round, with its own deadline; see [`dns`]. A probe knows nothing of metrics,
//! configuration files or what is a good answer, so that the one-shot command and the tests use it as it is.

mod check;
pub mod connect;
pub mod dns;
pub mod http;
mod idle;
mod listeners;
pub mod meter;
mod open;
mod redirect;
mod resolve;
pub mod tls;
mod trail;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;

pub use check::Checked;
pub use watch::Watch;

use crate::observation::listening::Listening;
use crate::observation::{Address, Observation, Resolution};
use crate::probe::dns::Resolver;
use crate::probe::http::KeptHeaders;
use crate::probe::listeners::Listeners;
use crate::probe::redirect::Next;
use crate::probe::resolve::literal;
use crate::probe::tls::{Client, PolicyError};
use crate::probe::trail::Trail;
use crate::probe::watch::Unwatched;
use crate::upstream::{Request, Scheme, Target};

/// What all probes share.
#[derive(Debug)]
pub struct Prober {
    resolver: Resolver,
    listeners: Listeners,
    /// Share of probes whose `traceparent` says sampled, 0 to 1.
    trace_sampled: f64,
}

/// A target with everything ready that is the same at each probe.
#[derive(Debug)]
pub struct Prepared {
    /// The target.
    pub target: Arc<Target>,
    tls: Option<Client>,
    headers: HeaderMap,
    kept: KeptHeaders,
    /// The answer where the URL holds the address.
    literal: Option<Arc<Resolution>>,
}

impl Prepared {
    /// Prepares a target. `Err` where its TLS policy cannot be used: a certificate or key that does not fit, no roots.
    pub fn new(target: Arc<Target>) -> Result<Self, PolicyError> {
        let may_speak_tls = target.scheme == Scheme::Https || target.redirects.max > 0;
        let tls = may_speak_tls
            .then(|| Client::new(&target.tls, target.http_version))
            .transpose()?;
        let (headers, literal) = (http::headers_of(&target), literal(&target.host).map(Arc::new));
        Ok(Prepared {
            target,
            tls,
            headers,
            kept: KeptHeaders::default(),
            literal,
        })
    }

    /// Keeps these headers of the answers besides the allow list.
    pub fn keeping(self, kept: KeptHeaders) -> Self {
        Prepared { kept, ..self }
    }
}

impl Prober {
    /// `trace_sampled` is the share of probes whose `traceparent` says sampled, 0 to 1.
    pub fn new(trace_sampled: f64) -> Self {
        Prober {
            resolver: Resolver::new(),
            listeners: Listeners::default(),
            trace_sampled,
        }
    }

    /// Makes one probe of one address and one path.
    pub async fn probe(&self, prepared: &Prepared, request: &Request, address: &Address) -> Observation {
        self.probe_watched(prepared, request, address, &Unwatched).await
    }

    /// As [`Prober::probe`], with another deadline than the target's.
    pub async fn probe_within(
        &self,
        prepared: &Prepared,
        request: &Request,
        address: &Address,
        wait: Duration,
    ) -> Observation {
        let trail = Trail::start(&prepared.target, request, address, self.sampled(), wait);
        self.follow(prepared, trail, &Unwatched).await
    }

    /// As [`Prober::probe`], with somebody who sees each exchange and may refuse where a redirect leads.
    pub async fn probe_watched(
        &self,
        prepared: &Prepared,
        request: &Request,
        address: &Address,
        watch: &dyn Watch,
    ) -> Observation {
        let target = &*prepared.target;
        let trail = Trail::start(target, request, address, self.sampled(), target.timeout);
        self.follow(prepared, trail, watch).await
    }

    async fn follow(&self, prepared: &Prepared, mut trail: Trail<'_>, watch: &dyn Watch) -> Observation {
        let target = &*prepared.target;
        loop {
            let end = trail.step(prepared).await;
            watch.exchanged(&trail.place.address, &trail.timings, &end);
            match self.next_place(target, &mut trail, &end, watch).await {
                Next::Done => return trail.finish(end, &self.listeners),
                Next::Instead(end) => return trail.finish(end, &self.listeners),
                Next::Follow(place) => trail.place = place,
            }
        }
    }

    /// Who listens at an address of this host; `None` where that cannot be known, as of addresses of other hosts.
    /// `refused` says that it just refused a connection: only then it is believed that nobody does.
    pub fn listening(&self, address: &Address, refused: bool) -> Option<Listening> {
        self.listeners.at(address, refused, None)
    }

    fn sampled(&self) -> bool {
        self.trace_sampled > 0.0 && fastrand::f64() < self.trace_sampled
    }
}
