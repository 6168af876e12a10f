//! Findings: made of what a probe saw, counted, and kept.

use std::sync::{Arc, PoisonError};

use super::lines::log_finding;
use super::{HopRun, Shared, Work};
use crate::classify::classify;
use crate::clock;
use crate::confirmation::Place;
use crate::evidence::{self, Evidence};
use crate::finding::{Finding, Outcome, Purpose, Recognised, Seen};
use crate::fingerprint::recognise;
use crate::history::Record;
use crate::observation::{Address, Observation};
use crate::upstream::{Host, Request};

impl HopRun {
    /// The finding a probe makes.
    pub(super) fn judge(
        &self,
        work: &Work,
        request: &Request,
        purpose: Purpose,
        seen: Observation,
    ) -> (Place, Finding) {
        let recognised = recognise(&seen, &self.kinds);
        let outcome = classify(&seen, &recognised, &self.targets[work.target].target.expect);
        let (address, seen) = (Some(work.address.clone()), Seen::Probe(Box::new(seen)));
        let (place, finding) = self.finding(work.target, address, Some(request), purpose, outcome, seen);
        (place, Finding { recognised, ..finding })
    }

    /// A finding of now, or of when its probe began, and the place it is of.
    pub(super) fn finding(
        &self,
        target: usize,
        address: Option<Address>,
        request: Option<&Request>,
        purpose: Purpose,
        outcome: Outcome,
        seen: Seen,
    ) -> (Place, Finding) {
        let path = request.map(|request| request.label.clone());
        let place = Place {
            target,
            address: address.clone(),
            path: path.clone().unwrap_or_else(|| "".into()),
        };
        let finding = Finding {
            upstream: self.upstream.clone(),
            hop: self.hop.clone(),
            at: match &seen {
                Seen::Probe(observation) => observation.at,
                Seen::Resolution(_) | Seen::Nothing => clock::now(),
            },
            purpose,
            address,
            path,
            outcome,
            recognised: Recognised::default(),
            seen,
        };
        (place, finding)
    }

    /// Counts a finding and keeps it: for the process, for the trail of this hop, and for an incident.
    pub(super) fn record(&self, shared: &Shared, target: usize, request: Option<&Request>, finding: &Finding) {
        self.metrics.record(finding);
        if tracing::enabled!(tracing::Level::DEBUG) {
            log_finding(
                finding,
                &evidence::of_finding(finding, &self.targets[target].target, request),
            );
        }
        let resolution = self.state().resolutions.get(target).cloned();
        let target = &self.targets[target].target;
        let resolution = resolution.filter(|_| matches!(target.host, Host::Name(_)));
        let evidence = Evidence::new(finding, target, request, resolution.as_deref()).map(Arc::new);
        if let Some(evidence) = &evidence {
            self.standing.failed(finding.purpose, evidence);
        }
        let record = Arc::new(Record::new(finding, resolution, evidence));
        if finding.purpose != Purpose::StaleAddress {
            self.state().looked(finding.at, finding.outcome);
        }
        if finding.purpose == Purpose::Scheduled {
            self.state().round.push(Arc::clone(&record));
        }
        shared
            .history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record);
    }

    /// The facts of a finding of this place.
    pub(super) fn in_words(&self, place: &Place, finding: &Finding) -> String {
        let target = &self.targets[place.target].target;
        let request = target.requests.iter().find(|request| request.label == place.path);
        evidence::of_finding(finding, target, request)
    }
}
