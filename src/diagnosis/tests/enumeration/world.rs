//! Inputs as symbols, and the rules of the design written once more over them.

use std::collections::BTreeMap;

use crate::cause::Cause;
use crate::verdict::{Impact, Verdict};

/// The state of one origin address.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) enum A {
    Healthy,
    Skipped,
    Pending,
    NoName,
    Unexpected,
    Refused,
    Tls,
    Closed,
    Late,
    Overloaded,
    Error,
    /// One path of two.
    OnePath,
}

impl A {
    pub(super) const ALL: [A; 12] = [
        A::Healthy,
        A::Skipped,
        A::Pending,
        A::NoName,
        A::Unexpected,
        A::Refused,
        A::Tls,
        A::Closed,
        A::Late,
        A::Overloaded,
        A::Error,
        A::OnePath,
    ];

    pub(super) fn cause(self) -> Option<Cause> {
        match self {
            A::Healthy | A::Skipped => None,
            A::Pending | A::Refused => Some(Cause::ConnectRefused),
            A::NoName => Some(Cause::DnsNxdomain),
            A::Unexpected => Some(Cause::DnsUnexpectedAddress),
            A::Tls => Some(Cause::TlsCertificateExpired),
            A::Closed => Some(Cause::ResponseClosed),
            A::Late => Some(Cause::ResponseTimeout),
            A::Overloaded => Some(Cause::ServiceUnavailable),
            A::Error | A::OnePath => Some(Cause::ServerError),
        }
    }

    pub(super) fn fails(self) -> bool {
        !matches!(self, A::Healthy | A::Skipped | A::Pending)
    }

    pub(super) fn verdict(self) -> Verdict {
        match self {
            A::NoName | A::Unexpected => Verdict::OriginDns,
            A::Refused => Verdict::OriginDown,
            A::Tls => Verdict::OriginTls,
            A::Closed => Verdict::OriginInvalid,
            A::Late | A::Overloaded => Verdict::OriginOverloaded,
            _ => Verdict::OriginError,
        }
    }
}

/// The state of one gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum G {
    Incomplete,
    Pending,
    Healthy,
    Refused,
    Nxdomain,
    Answers502,
    /// One address is refused, the other answers 502.
    Mixed,
    Partly,
    Cached,
    SaysNoBackend,
    SaysUnknown,
    CalmLog,
    Spike,
    SpikeAnd502,
}

impl G {
    pub(super) const ALL: [G; 14] = [
        G::Incomplete,
        G::Pending,
        G::Healthy,
        G::Refused,
        G::Nxdomain,
        G::Answers502,
        G::Mixed,
        G::Partly,
        G::Cached,
        G::SaysNoBackend,
        G::SaysUnknown,
        G::CalmLog,
        G::Spike,
        G::SpikeAnd502,
    ];

    fn judged(self) -> bool {
        !matches!(self, G::Incomplete | G::Pending)
    }

    pub(super) fn fails(self) -> bool {
        self.judged() && !matches!(self, G::Healthy | G::CalmLog | G::Spike)
    }

    pub(super) fn spikes(self) -> bool {
        matches!(self, G::Spike | G::SpikeAnd502)
    }

    pub(super) fn has_log(self) -> bool {
        self.spikes() || self == G::CalmLog
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Past {
    Calm,
    OneRun,
    Flapping,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    /// Outermost first.
    pub(super) gateways: Vec<G>,
    pub(super) origin: Option<Vec<A>>,
    pub(super) ever: bool,
    pub(super) past: Past,
    pub(super) own_network_lost: bool,
}

impl World {
    fn origin_judged(&self) -> Option<&[A]> {
        let judged = |address: &A| !matches!(address, A::Skipped | A::Pending);
        self.origin.as_deref().filter(|addresses| addresses.iter().any(judged))
    }

    /// The rule that must match, and the verdict it must give.
    pub(super) fn expected(&self) -> (u8, Verdict) {
        let judged_gateways: Vec<G> = self
            .gateways
            .iter()
            .copied()
            .filter(|gateway| gateway.judged())
            .collect();
        let origin = self.origin_judged();
        let spikes = self.gateways.iter().any(|gateway| gateway.spikes());
        if self.own_network_lost || judged_gateways.is_empty() && origin.is_none() {
            return (1, Verdict::Unknown);
        }
        if let Some(addresses) = origin {
            let failing: Vec<A> = addresses.iter().copied().filter(|address| address.fails()).collect();
            let wholly = !addresses.contains(&A::Healthy);
            let users_are_well = self
                .gateways
                .first()
                .is_some_and(|gateway| gateway.judged() && !gateway.fails());
            match failing.as_slice() {
                [] => {}
                _ if !wholly => return (5, Verdict::OriginPartial),
                _ if !self.ever && users_are_well && spikes => return (11, Verdict::TrafficFailing),
                _ if !self.ever && users_are_well => return (2, Verdict::OriginUnverified),
                failing if failing.iter().all(|address| *address < A::Refused) => return (3, Verdict::OriginDns),
                failing => {
                    let mut counts: BTreeMap<Verdict, i32> = BTreeMap::new();
                    failing
                        .iter()
                        .for_each(|address| *counts.entry(address.verdict()).or_default() -= 1);
                    let largest = counts.into_iter().min_by_key(|(verdict, count)| (*count, *verdict));
                    return (4, largest.expect("one fails").0);
                }
            }
        }
        let mut inner_judged = origin.is_some();
        for gateway in judged_gateways.iter().rev() {
            match gateway {
                G::Cached => return (6, Verdict::GatewayCachedError),
                G::Refused | G::Nxdomain => return (7, Verdict::GatewayUnreachable),
                G::Partly => return (8, Verdict::GatewayPartial),
                failing if failing.fails() && inner_judged => return (9, Verdict::GatewayFault),
                G::SaysNoBackend => return (10, Verdict::OriginDown),
                failing if failing.fails() => return (10, Verdict::Unlocated),
                _ => inner_judged = true,
            }
        }
        match self.past {
            _ if spikes => (11, Verdict::TrafficFailing),
            Past::Flapping => (12, Verdict::Intermittent),
            Past::Calm | Past::OneRun => (13, Verdict::Healthy),
        }
    }

    pub(super) fn expected_impact(&self, verdict: Verdict) -> Impact {
        let log = self.gateways.iter().find(|gateway| gateway.has_log());
        let outermost_fails = match (self.gateways.first(), self.origin_judged()) {
            (Some(gateway), _) => gateway.fails(),
            (None, Some(addresses)) => {
                !addresses.contains(&A::Healthy) && addresses.iter().any(|address| address.fails())
            }
            (None, None) => false,
        };
        if log.is_some_and(|gateway| gateway.spikes()) {
            return Impact::Users;
        }
        match verdict {
            Verdict::Unknown | Verdict::Healthy => Impact::None,
            _ if outermost_fails => Impact::Users,
            _ => Impact::Redundancy,
        }
    }

    pub(super) fn anything_fails(&self) -> bool {
        self.origin.iter().flatten().any(|address| address.fails())
            || self.gateways.iter().any(|gateway| gateway.fails())
    }
}
