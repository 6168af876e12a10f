//! What the daemon says of an upstream as a whole: verdict, impact, incidents.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;

use super::catalogue::{self, Family};
use super::collect::{Number, sample};
use super::labels::{Labels, Value};
use super::{Tables, UpstreamTable};
use crate::verdict::{Impact, Verdict};

/// The metrics of one upstream. Stays valid over a reload as long as an upstream of that name exists.
#[derive(Debug)]
pub struct UpstreamMetrics {
    said: Mutex<Said>,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    verdict: Verdict,
    impact: Impact,
    /// One bit for each verdict that held since start.
    seen: u32,
    incidents: u64,
    incident_time: Duration,
}

impl UpstreamMetrics {
    pub(super) fn new() -> UpstreamMetrics {
        UpstreamMetrics {
            said: Mutex::new(Said {
                verdict: Verdict::Unknown,
                impact: Impact::None,
                seen: 1 << Verdict::Unknown.index(),
                incidents: 0,
                incident_time: Duration::ZERO,
            }),
        }
    }

    /// What is said of the upstream from now on.
    pub fn judged(&self, verdict: Verdict, impact: Impact) {
        let mut said = self.said();
        (said.verdict, said.impact) = (verdict, impact);
        said.seen |= 1 << verdict.index();
    }

    /// An incident began.
    pub fn incident_began(&self) {
        self.said().incidents += 1;
    }

    /// An incident went on for this long.
    pub fn incident_lasted(&self, time: Duration) {
        self.said().incident_time += time;
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writers of these families, in the order of the catalogue.
pub(super) const VERDICT_FAMILIES: &[fn(&Tables, &mut DescriptorEncoder) -> fmt::Result] = &[
    |tables, encoder| {
        states(tables, encoder, &catalogue::VERDICT, |said| {
            let seen = Verdict::ALL
                .iter()
                .filter(move |verdict| said.seen >> verdict.index() & 1 == 1);
            seen.map(|verdict| (verdict.label(), *verdict == said.verdict))
                .collect()
        })
    },
    |tables, encoder| {
        states(tables, encoder, &catalogue::UPSTREAM_IMPACT, |said| {
            Impact::ALL
                .iter()
                .map(|impact| (impact.label(), *impact == said.impact))
                .collect()
        })
    },
    |tables, encoder| {
        counter(tables, encoder, &catalogue::INCIDENTS, |said| {
            Number::Int(said.incidents)
        })
    },
    |tables, encoder| {
        counter(tables, encoder, &catalogue::INCIDENT_SECONDS, |said| {
            Number::Float(said.incident_time.as_secs_f64())
        })
    },
];

/// A gauge with configured labels and one series for each state, 1 for the present one.
fn states(
    tables: &Tables,
    encoder: &mut DescriptorEncoder,
    family: &Family,
    of: fn(Said) -> Vec<(&'static str, bool)>,
) -> fmt::Result {
    let mut metric = family.describe(encoder)?;
    for upstream in &tables.upstreams {
        for (label, present) in of(copied(upstream)) {
            let labels = Labels {
                ready: &upstream.info_labels,
                further: &[(family.labels[1], Value::Text(label))],
            };
            sample(
                &mut metric.encode_family(&labels)?,
                family,
                Number::Int(u64::from(present)),
            )?;
        }
    }
    Ok(())
}

fn counter(
    tables: &Tables,
    encoder: &mut DescriptorEncoder,
    family: &Family,
    value: fn(Said) -> Number,
) -> fmt::Result {
    let mut metric = family.describe(encoder)?;
    for upstream in &tables.upstreams {
        let labels = [("upstream", Value::Text(&upstream.config.name))];
        sample(&mut metric.encode_family(&labels)?, family, value(copied(upstream)))?;
    }
    Ok(())
}

/// Copied, so that no lock is held while a page is written.
fn copied(upstream: &Arc<UpstreamTable>) -> Said {
    *upstream.verdict.said()
}
