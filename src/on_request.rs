//! One probe because somebody asked for it at `/probe`: a module's target, one address, one request, one judgement.
//!
//! The time the asker gives holds for everything, resolution included. Nothing is sent to an address that the guard does
//! not allow, first or after a redirect; so a module's credentials reach allowed places only.

mod guard;
#[cfg(test)]
mod tests;
mod witness;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::classify::{classify, classify_resolution, unexpected};
use crate::config::operation::ProbeEndpoint as Settings;
use crate::config::{Config, ModuleError, Modules};
use crate::evidence;
use crate::finding::Outcome;
use crate::fingerprint::recognise;
use crate::metrics::Metrics;
use crate::observation::{Address, Observation, Resolution};
use crate::probe::{Prepared, Prober};
use crate::server::{Asked, ProbeEndpoint, Probed, Refusal};
use crate::upstream::{Host, Target};

use guard::Guard;
use witness::Witness;

/// Given back of the time Prometheus waits, so that the answer still reaches it; blackbox_exporter's default.
const TIMEOUT_OFFSET: f64 = 0.5;
/// How long somebody waits who does not say; blackbox_exporter's.
const DEFAULT_WAIT: f64 = 120.0;
/// Nobody is waited for longer.
const MAX_WAIT: f64 = 3600.0;

/// What `/probe` needs of a configuration; `None` where it is off.
pub fn endpoint(config: &Config, metrics: &Metrics) -> Option<ProbeEndpoint> {
    let settings = config.probe_endpoint.as_ref().filter(|settings| settings.enabled)?;
    let asking = Arc::new(OnRequest::new(settings, config, metrics.clone()));
    Some(ProbeEndpoint {
        slots: Arc::new(Semaphore::new(settings.concurrency)),
        ask: Arc::new(move |asked| {
            let asking = asking.clone();
            Box::pin(async move { asking.probe(asked).await })
        }),
    })
}

/// Probes what it is asked to, within what is allowed.
struct OnRequest {
    modules: Modules,
    guard: Guard,
    prober: Prober,
    metrics: Metrics,
}

impl OnRequest {
    fn new(settings: &Settings, config: &Config, metrics: Metrics) -> Self {
        OnRequest {
            modules: config.modules.clone(),
            guard: Guard::new(&settings.allow),
            prober: Prober::new(config.trace_sampled),
            metrics,
        }
    }

    async fn probe(&self, asked: Asked) -> Result<Probed, Refusal> {
        let made = self
            .modules
            .target(asked.module.as_deref(), &asked.target, asked.hostname.as_deref())
            .map_err(|error| refusal(error, &asked))?;
        let (mut target, timeout) = (made.target, timeout(made.timeout, asked.wait));
        target.timeout = timeout;
        let host = crate::config::bare_host(&target.host);
        if !self.guard.may_allow(&host) {
            return Err(Refusal::NotAllowed(host));
        }
        let _in_flight = self.metrics.in_flight();
        let witness = Witness::begin(&self.guard);
        let started = Instant::now();
        witness.say(format!(
            "probing {} for at most {timeout:?}",
            target.url(&target.requests[0])
        ));
        let resolution = self.prober.resolve_host(&target).await;
        if let Host::Name(_) = target.host {
            witness.looked_up(&resolution);
        }
        let (seen, outcome) = self.addresses(&target, &host, &resolution, &witness, started).await?;
        witness.say(format!("judged: {outcome}"));
        let (phases, log) = witness.end();
        Ok(Probed {
            log,
            module: made.shown,
            elapsed: started.elapsed(),
            timeout,
            phases,
            lookup: resolution.elapsed,
            body_rule_failed: outcome == Outcome::Failure(Cause::ContentMismatch),
            seen,
            outcome,
        })
    }

    /// The first allowed address; a second one, of the other family, only where this host has no route to the first, so
    /// that nothing was sent to it.
    async fn addresses(
        &self,
        target: &Target,
        host: &str,
        resolution: &Resolution,
        witness: &Witness<'_>,
        started: Instant,
    ) -> Result<(Option<Observation>, Outcome), Refusal> {
        let Ok(known) = &resolution.result else {
            return Ok((None, classify_resolution(resolution)));
        };
        let mut allowed = known.iter().copied().filter(|ip| self.guard.allows(host, *ip));
        let Some(first) = allowed.next() else {
            return Err(Refusal::NotAllowed(host.to_owned()));
        };
        let other = allowed.find(|ip: &IpAddr| ip.is_ipv4() != first.is_ipv4());
        let (mut seen, mut outcome) = (None, Outcome::Skipped);
        for ip in [Some(first), other].into_iter().flatten() {
            if unexpected(ip, &target.expect) {
                witness.say(format!("{ip} is outside expect.addresses"));
                return Ok((None, Outcome::Failure(Cause::DnsUnexpectedAddress)));
            }
            let target = Arc::new(Target {
                timeout: target.timeout.saturating_sub(started.elapsed()),
                ..target.clone()
            });
            let address = Address::Tcp(SocketAddr::new(ip, target.port));
            let prepared = Prepared::new(target).map_err(|error| Refusal::Broken(format!("tls: {}", error.0)))?;
            let target = &prepared.target;
            let observation = self
                .prober
                .probe_watched(&prepared, &target.requests[0], &address, witness)
                .await;
            let recognised = recognise(&observation, &[]);
            outcome = classify(&observation, &recognised, &target.expect);
            let request = &target.requests[0];
            witness.say(evidence::of_probe_of(target, request, &observation, &recognised));
            seen = Some(observation);
            if outcome != Outcome::Skipped {
                break;
            }
        }
        Ok((seen, outcome))
    }
}

fn refusal(error: ModuleError, asked: &Asked) -> Refusal {
    match error {
        ModuleError::UnknownModule => Refusal::UnknownModule,
        ModuleError::HostConflict(host) => Refusal::Unusable(format!(
            "host header defined both in module configuration ({host}) and with URL-parameter 'hostname' ({})",
            asked.hostname.as_deref().unwrap_or_default()
        )),
        ModuleError::Unusable(message) => Refusal::Unusable(message),
    }
}

/// The module's timeout where it is shorter than what the asker waits, less a little for the way back; else that.
fn timeout(module: Option<Duration>, wait: Option<f64>) -> Duration {
    let most = wait.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT) - TIMEOUT_OFFSET;
    let module = module.filter(|timeout| !timeout.is_zero());
    match module {
        Some(timeout) if most < 0.0 || timeout.as_secs_f64() < most => timeout,
        _ => Duration::try_from_secs_f64(most).unwrap_or_default(),
    }
}
