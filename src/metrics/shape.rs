//! What a hop can reach: which causes, phases and limits get a series at zero, and which get none.

use std::sync::Arc;

use crate::cause::{Cause, Phase};
use crate::finding::Purpose;
use crate::upstream::{Hop, Host, LimitKind};

/// What a hop can reach, from its configuration.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The configuration this was derived from.
    pub(super) hop: Arc<Hop>,
    /// One bit for each cause that has a series at zero, by [`Cause::index`].
    causes: u64,
    /// Some name is resolved once a round.
    pub(super) resolves: bool,
    /// Some target is reached over TLS.
    pub(super) tls: bool,
    /// Addresses that may have series at once.
    pub(super) max_addresses: usize,
}

impl Shape {
    pub(super) fn of(hop: &Arc<Hop>) -> Shape {
        let causes = Cause::of_probes().filter(|cause| reaches(hop, *cause));
        Shape {
            hop: Arc::clone(hop),
            causes: causes.fold(0, |bits, cause| bits | 1 << cause.index()),
            resolves: hop.resolves(),
            tls: hop.uses_tls(),
            max_addresses: hop
                .targets
                .iter()
                .map(|target| addresses_of(&target.host, target.max_addresses))
                .sum(),
        }
    }

    /// True where a cause stands at zero from the start.
    pub(super) fn reaches(&self, cause: Cause) -> bool {
        self.causes & (1 << cause.index()) != 0
    }

    /// True where such probes beside the schedule can be made.
    pub(super) fn makes(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Scheduled => false,
            Purpose::Confirm | Purpose::Recheck => true,
            Purpose::StaleAddress => self.resolves,
            // It shows from the first one on: most hops never need one.
            Purpose::Patient => false,
            Purpose::Keepalive => self.hop.is_origin() && self.hop.kept_idle.is_some(),
            Purpose::HealthCheck => self.hop.health_check.is_some(),
            Purpose::Content => self.hop.targets.iter().any(|target| !target.stable.is_empty()),
        }
    }

    /// True where the gateway in front has such a limit and a probe can come near it.
    pub(super) fn limited(&self, kind: LimitKind) -> bool {
        let limits = &self.hop.limits;
        match kind {
            LimitKind::Tls => self.tls && limits.tls.is_some(),
            kind if kind.is_size() => limits.size(kind).is_some(),
            kind => limits.time(kind).is_some(),
        }
    }
}

/// Twice the bound: after a change of the name the new addresses may come before the old ones are forgotten.
fn addresses_of(host: &Host, max_addresses: usize) -> usize {
    match host {
        Host::Name(_) => 2 * max_addresses + 1,
        Host::Ip(_) | Host::Unix(_) => 1,
    }
}

/// A redirect may lead to a name, or to TLS, that the hop's own URL has not.
fn reaches(hop: &Hop, cause: Cause) -> bool {
    let redirected = || hop.targets.iter().any(|target| target.redirects.max > 0);
    match (cause, cause.phase()) {
        (Cause::DnsUnexpectedAddress, _) => {
            hop.resolves() && hop.targets.iter().any(|target| !target.expect.addresses.is_empty())
        }
        (Cause::ContentMismatch, _) => hop.targets.iter().any(|target| target.expect.body.is_some()),
        (_, Phase::Dns) => hop.resolves() || redirected(),
        (_, Phase::Tls) => hop.uses_tls() || redirected(),
        (_, Phase::Connect | Phase::Http | Phase::Status | Phase::Content) => true,
        (_, Phase::Log) => false,
    }
}

const _: () = assert!(Cause::ALL.len() <= 64, "the causes of a hop are the bits of one u64");
