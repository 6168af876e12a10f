//! What pages and the API show: the present state of the engine, as plain data.

use std::sync::Arc;

use crate::clock;
use crate::engine::{Engine, UpstreamRun};
use crate::metrics::Metrics;
use crate::round::HopRun;
use crate::server::{Failing, HopDetail, HopState, HopStatus, TrafficStatus, UpstreamDetail, UpstreamStatus, Watched};

/// The engine and its metrics, as the server asks them.
pub(super) struct Shown {
    pub(super) engine: Arc<Engine>,
    pub(super) metrics: Metrics,
}

impl Watched for Shown {
    fn upstreams(&self) -> Vec<UpstreamStatus> {
        self.engine.upstreams().iter().map(|run| self.status(run)).collect()
    }

    fn upstream(&self, name: &str) -> Option<UpstreamDetail> {
        let upstreams = self.engine.upstreams();
        let run = upstreams.iter().find(|run| *run.upstream.name == *name)?;
        Some(UpstreamDetail {
            status: self.status(run),
            config: Arc::clone(&run.upstream),
            hops: run
                .hops
                .iter()
                .map(|hop| HopDetail {
                    hop: Arc::clone(&hop.hop),
                    trail: hop.trail(),
                    ahead: hop.ahead(),
                })
                .collect(),
            traffic: self.traffic(run),
        })
    }
}

impl Shown {
    fn status(&self, run: &UpstreamRun) -> UpstreamStatus {
        let user_view = &run.hops[0];
        let now = clock::since_epoch(clock::now()).as_secs();
        let name = &run.upstream.name;
        let logged = self.metrics.traffic_of(name, now);
        let real = logged.iter().find(|(_, traffic)| traffic.user_view);
        UpstreamStatus {
            upstream: name.clone(),
            diagnosis: run.standing.diagnosis(),
            hops: run.hops.iter().map(hop_status).collect(),
            probed_bad_gateways: user_view.bad_gateway_ratio(now),
            real_bad_gateways: real.and_then(|(_, traffic)| traffic.bad_gateway_ratio),
            rounds: user_view.rounds(),
        }
    }

    fn traffic(&self, run: &UpstreamRun) -> Vec<TrafficStatus> {
        let now = clock::since_epoch(clock::now()).as_secs();
        let logged = self.metrics.traffic_of(&run.upstream.name, now);
        let recent = run.standing.logs();
        let recent_of = |gateway: &Arc<str>| recent.iter().find(|(name, _)| name == gateway);
        logged
            .into_iter()
            .map(|(gateway, total)| TrafficStatus {
                recent: recent_of(&gateway).map(|(_, evidence)| evidence.clone()),
                gateway,
                total,
            })
            .collect()
    }
}

fn hop_status(hop: &Arc<HopRun>) -> HopStatus {
    HopStatus {
        hop: hop.hop.name.clone(),
        user_view: hop.hop.user_view,
        state: match hop.failing() {
            Some(failing) => HopState::Failing(Failing {
                cause: failing.cause,
                wholly: failing.wholly,
                since: failing.since,
                evidence: Some(failing.evidence),
            }),
            None if hop.has_completed_a_round() => HopState::Healthy,
            None => HopState::Pending,
        },
        addresses: hop.addresses(),
    }
}
