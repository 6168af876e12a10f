//! Gateways that ask whether an upstream, or one address of it, is well: the rules of [`crate::health`] on what the
//! engine believes now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::{Engine, UpstreamRun};
use crate::health::{Answers, Health, Origin, Why, decide};

/// Answers them. Clones share everything.
#[derive(Clone, Debug)]
pub struct Asking {
    engine: Arc<Engine>,
    allow_all: Arc<AtomicBool>,
}

impl Asking {
    /// Answers by what this engine believes.
    pub fn new(engine: Arc<Engine>) -> Asking {
        Asking {
            engine,
            allow_all: Arc::default(),
        }
    }

    /// Takes over whether all addresses may be called bad at once.
    pub fn allow_all(&self, allow_all: bool) {
        self.allow_all.store(allow_all, Ordering::Relaxed);
    }

    /// The same for whoever asks on behalf of gateways.
    pub fn answers(&self) -> Answers {
        let asking = self.clone();
        Arc::new(move |upstream, address| asking.answer(upstream, address))
    }

    /// How the upstream of that name is, or one address of it. What is not known here is up: a name that was changed
    /// must not empty a gateway.
    pub fn answer(&self, upstream: &str, address: Option<&str>) -> Health {
        let upstreams = self.engine.upstreams();
        match upstreams.iter().find(|run| *run.upstream.name == *upstream) {
            Some(run) => decide(&self.origin(run), address, self.allow_all.load(Ordering::Relaxed)),
            None => Health::Up(Why::NoSuchUpstream),
        }
    }

    fn origin(&self, run: &UpstreamRun) -> Origin {
        let hop = run.hops.iter().find(|hop| hop.hop.is_origin());
        Origin {
            places: hop.map(|hop| hop.health()).unwrap_or_default(),
            interval: run.upstream.interval,
            reached: run.standing.origin_was_reached(),
            own_network_lost: self.engine.own_network().is_lost(),
        }
    }
}
