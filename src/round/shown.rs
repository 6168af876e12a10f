//! What others may ask of a hop between its rounds.

use tokio::time::Instant;

use super::{HopFailing, HopRun};
use crate::finding::AddressCounts;
use crate::health;
use crate::history::{RoundPoint, Trail};
use crate::stale::Answers;

impl HopRun {
    /// True once a whole round is done.
    pub fn has_completed_a_round(&self) -> bool {
        self.state().first_round_done
    }

    /// Addresses by state.
    pub fn addresses(&self) -> AddressCounts {
        self.state().count_addresses()
    }

    /// What is confirmed failing, if anything is.
    pub fn failing(&self) -> Option<HopFailing> {
        self.state().failing()
    }

    /// Its last rounds, the oldest first.
    pub fn rounds(&self) -> Vec<RoundPoint> {
        self.state().trail.rounds().collect()
    }

    /// 502s per probe over the last five minutes; `now` in seconds since the epoch, `None` without probes.
    pub fn bad_gateway_ratio(&self, now: u64) -> Option<f64> {
        self.metrics.bad_gateway_ratio(now)
    }

    /// What it did of late.
    pub fn trail(&self) -> Trail {
        self.state().trail.clone()
    }

    /// What is believed of every address, for gateways that ask.
    pub fn health(&self) -> Vec<health::Place> {
        self.state().health(Instant::now())
    }

    /// What its names gave of late; `None` where its URLs hold addresses alone.
    pub fn answers(&self) -> Option<Answers> {
        self.hop.resolves().then(|| self.state().answers.clone())
    }
}
