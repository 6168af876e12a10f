//! What a gateway's limits make of the times and sizes seen at the hop behind it. Pure.

use std::sync::Arc;

use crate::finding::limits::{PROBED, Use, used};
use crate::observation::Address;
use crate::survey::HopReport;

/// One limit, with the probe that came nearest to it.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The limit and what was seen.
    pub used: Use,
    /// Where that was.
    pub address: Address,
    /// What was asked there.
    pub path: Arc<str>,
}

/// For each limit the probe that came nearest to it; the nearest limit first.
pub fn reached(report: &HopReport) -> Vec<Reached> {
    let nearest = |kind| {
        let uses = report.probes().filter_map(|probe| {
            used(&report.hop.limits, kind, &probe.seen, probe.outcome.cause()).map(|used| Reached {
                used,
                address: probe.address.clone(),
                path: probe.path.clone(),
            })
        });
        uses.max_by(|one, other| one.used.share().total_cmp(&other.used.share()))
    };
    let mut reached: Vec<_> = PROBED.into_iter().filter_map(nearest).collect();
    reached.sort_by(|one, other| other.used.share().total_cmp(&one.used.share()));
    reached
}
