//! One look at an upstream: everything that is asked, in order, and what the parts are judged to say.
//!
//! Hops are asked one after the other, outermost first, at the upstream's `max_rate`; what is asked of one is bounded by
//! its deadlines. Nothing is asked twice but what a cache may have answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Semaphore;

use super::limits::{self, Reached};
use super::names::{self, NameLook};
use super::past_cache::{self, PastCache};
use crate::clock;
use crate::config::Config;
use crate::gateway::commands::{self, Known, Step};
use crate::observation::Address;
use crate::probe::Prober;
use crate::probe::tls::PolicyError;
use crate::survey::{self, HopReport, Survey};
use crate::upstream::{Gateway, Upstream};
use crate::verdict::Diagnosis;

/// What one look showed.
#[derive(Debug)]
pub struct Look {
    /// What was looked at.
    pub upstream: Arc<Upstream>,
    /// When it began.
    pub at: SystemTime,
    /// Outermost first.
    pub hops: Vec<HopLook>,
    /// What follows from all hops.
    pub diagnosis: Diagnosis,
    /// What to paste next.
    pub steps: Vec<Step>,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing failed.
    Healthy,
    /// Something did.
    Fault,
    /// A hop could not be asked: no route for its addresses, no descriptor, no port.
    Nothing,
}

/// What was seen of one hop.
#[derive(Debug)]
pub struct HopLook {
    /// Its probes.
    pub report: HopReport,
    /// Its names, each once.
    pub names: Vec<NameLook>,
    /// What was asked past caches; `None` where no gateway is in the way.
    pub past_cache: Option<PastCache>,
    /// The gateway that asks this hop, where there is one.
    pub asked_by: Option<Arc<Gateway>>,
    /// What its limits make of what was seen; the nearest first.
    pub limits: Vec<Reached>,
}

impl Look {
    /// What was found:
    ///
    /// 1. A fault where anything failed.
    /// 2. Nothing where our own side prevented every probe of some hop.
    /// 3. Else all is well.
    pub fn found(&self) -> Found {
        match () {
            () if self.hops.iter().any(|hop| !hop.report.causes().is_empty()) => Found::Fault,
            () if self.hops.iter().any(|hop| !hop.report.is_judged()) => Found::Nothing,
            () => Found::Healthy,
        }
    }
}

/// Looks.
///
/// # Errors
/// A TLS policy that cannot be used.
pub async fn at(config: &Config, upstream: &Arc<Upstream>, authoritative: bool) -> Result<Look, PolicyError> {
    let prober = Prober::new(config.trace_sampled);
    let slots = Semaphore::new(config.max_concurrent_probes);
    let survey = Survey::new(&prober, &slots, upstream.max_rate);
    let at = clock::now();
    let reports = survey.upstream(upstream).await?;
    let diagnosis = survey::diagnosis(&reports);
    let steps = steps(upstream, &diagnosis, &reports);
    let mut hops = Vec::new();
    let mut asked_by = None;
    for report in reports {
        let past_cache = match !report.hop.is_origin() || shows_cache(&report) || asked_by.is_none() {
            true => Some(past_cache::ask(&survey, upstream, &report).await?),
            false => None,
        };
        let gateway = report.hop.gateway.clone();
        hops.push(HopLook {
            names: names::look(&prober, &report, authoritative).await,
            past_cache,
            limits: limits::reached(&report),
            asked_by,
            report,
        });
        asked_by = gateway;
    }
    Ok(Look {
        upstream: upstream.clone(),
        at,
        hops,
        diagnosis,
        steps,
    })
}

fn shows_cache(report: &HopReport) -> bool {
    report.probes().any(|probe| probe.recognised.cached_by.is_some())
}

/// What to paste, with the addresses as they were resolved.
fn steps(upstream: &Upstream, diagnosis: &Diagnosis, reports: &[HopReport]) -> Vec<Step> {
    let first = |report: &HopReport| report.probes().next().map(|probe| probe.address.clone());
    let addresses: BTreeMap<&str, Address> = reports
        .iter()
        .filter_map(|report| Some((&*report.hop.name, first(report)?)))
        .collect();
    let failing = reports
        .iter()
        .find(|report| diagnosis.hop.as_ref() == Some(&report.hop.name));
    let known = Known {
        address_of: Some(&|hop| addresses.get(hop).cloned()),
        writer: failing.and_then(|report| report.probes().find_map(|probe| probe.recognised.writer)),
    };
    commands::steps(upstream, diagnosis, known)
}
