//! Connections left idle: one address of an origin at a time, beside the rounds, only where the gateway in front is known to
//! reuse its connections.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::{HopRun, Shared, State, Work};
use crate::finding::{KeptIdle, Purpose};
use crate::observation::{Address, Idled};
use crate::upstream::HttpVersion;

/// An address whose connection is to be left idle.
pub(super) struct ToIdle {
    work: Work,
    silence: Duration,
}

impl HopRun {
    /// The log of that gateway shows that it reuses connections to this hop, unless another one stands between them.
    pub fn is_reused_by(&self, gateway: &str) {
        if self.gateway_in_front().is_some_and(|front| *front.name == *gateway) {
            self.reused.store(true, Ordering::Relaxed);
        }
    }

    /// How long the gateway in front keeps an idle connection to this hop, where it is known to reuse them: by its
    /// configuration, or by its log.
    pub(super) fn kept_idle(&self) -> Option<Duration> {
        let by_log = || {
            let limits = self.gateway_in_front()?.limits;
            limits.idle.filter(|_| self.reused.load(Ordering::Relaxed))
        };
        self.hop.kept_idle.or_else(by_log)
    }

    /// The address to measure after this round, if it is time for one: not one that fails, and none while another is
    /// measured.
    pub(super) fn to_be_left_idle(&self, state: &mut State, work: &[Work], now: Instant) -> Option<ToIdle> {
        let limit = self.kept_idle().filter(|_| self.hop.is_origin())?;
        let first_path =
            |work: &&Work| work.request == 0 && self.targets[work.target].target.http_version == HttpVersion::Http1;
        let addresses: Vec<&Work> = work.iter().filter(first_path).collect();
        let stays = |place: &(usize, Address)| {
            addresses
                .iter()
                .any(|work| work.target == place.0 && work.address == place.1)
        };
        // A name that does not resolve for the moment takes nothing away.
        if !addresses.is_empty() {
            state.idle.retain(|place, _| stays(place));
        }
        if self.turns.idle.available_permits() == 0 {
            return None;
        }
        let interval = self.upstream.interval;
        addresses.into_iter().find_map(|work| {
            if state.fails(work.target, &work.address) {
                return None;
            }
            let idle = state.idle.entry((work.target, work.address.clone())).or_default();
            let silence = idle.next(limit, interval, now)?;
            Some(ToIdle {
                work: work.clone(),
                silence,
            })
        })
    }

    /// Leaves it idle; what that shows counts once a second measurement agrees.
    pub(super) async fn leave_idle(&self, shared: &Shared, ToIdle { work, silence }: ToIdle) {
        let (Ok(_turn), Ok(_permit)) = (self.turns.idle.try_acquire(), shared.idle.try_acquire()) else {
            return;
        };
        if !self.turns.wait(Instant::now() + self.upstream.interval).await {
            return;
        }
        let prepared = &self.targets[work.target];
        let request = &prepared.target.requests[work.request];
        let seen = shared.prober.idle(prepared, request, &work.address, silence).await;
        if self.retired.load(Ordering::Relaxed) {
            return;
        }
        let requests = match seen {
            Some(Idled::Dropped(_)) => 3,
            Some(Idled::Served(_)) => 2,
            Some(Idled::Closed(_) | Idled::NotKept) | None => 1,
        };
        self.metrics.extra(Purpose::Keepalive, requests);
        let (before, after) = {
            let mut state = self.state();
            let now = Instant::now();
            let Some(idle) = state.idle.get_mut(&(work.target, work.address.clone())) else {
                return;
            };
            let before = idle.known();
            match seen {
                Some(seen) => idle.take(seen, now),
                None => idle.rest(now),
            }
            (before, idle.known())
        };
        self.metrics.kept_idle(&work.address, after);
        if before != after {
            let kept = after.map(in_words).unwrap_or_default();
            info!(upstream = %self.upstream.name, address = %work.address, kept, "idle connections measured");
        }
    }
}

fn in_words(kept: KeptIdle) -> String {
    match kept {
        KeptIdle::For(time) => format!("{:.1} s", time.as_secs_f64()),
        KeptIdle::AtLeast(time) => format!("at least {:.1} s", time.as_secs_f64()),
        KeptIdle::Never => "not kept".to_owned(),
    }
}
