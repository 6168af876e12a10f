//! The verdict on an upstream: where the fault lies and whether users feel it. Pure; time is an argument.
//!
//! [`UpstreamFacts`] hold confirmed results, [`diagnose`] judges them by the ordered rules of the design, section 4.
//! Nothing here waits, retries or counts: what is believed of an address is the business of [`crate::confirmation`].

mod facts;
mod rounds;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::SystemTime;

pub use facts::{FailingAddress, HopFacts, LogEvidence, Ranked, UpstreamFacts};
pub use rounds::Rounds;

use crate::cause::{Cause, Phase};
use crate::verdict::{Basis, Diagnosis, Impact, Scope, Share, Verdict};

/// Judges an upstream. `before` is what was last said of it:
///
/// 1. A verdict that stays keeps its beginning.
/// 2. A hop that only waits for its recovery to be confirmed is not accused anew, nor one that was last looked at before
///    the hop accused so far was well again: hops recover one after the other, and the last of them was not to blame. What
///    was said before stays until then.
pub fn diagnose(facts: &UpstreamFacts, before: &Diagnosis, now: SystemTime) -> Diagnosis {
    let judged = judge(facts);
    let accuses_anew = judged.verdict.is_fault() && before.verdict.is_fault() && judged.verdict != before.verdict;
    let may_be_well = |hop: &HopFacts| hop.recovering || is_old_news(facts, before, hop);
    if accuses_anew && judged.hop.is_some_and(may_be_well) {
        return Diagnosis {
            impact: impact(facts, before.verdict),
            ..before.clone()
        };
    }
    let since = match judged.verdict == before.verdict {
        true => before.since,
        false => now,
    };
    let log = judged.hop.and_then(|hop| hop.log.as_ref());
    let traffic = log.filter(|_| judged.verdict == Verdict::TrafficFailing);
    let backend = log.and_then(|log| log.backend.clone());
    let scope = match traffic {
        Some(log) => Scope {
            paths: log.path.iter().cloned().collect(),
            backend,
            ..Scope::default()
        },
        None => Scope {
            backend: backend.filter(|_| judged.basis == Basis::Log),
            ..judged.hop.map(scope_of).unwrap_or_default()
        },
    };
    Diagnosis {
        verdict: judged.verdict,
        impact: impact(facts, judged.verdict),
        rule: judged.rule,
        basis: judged.basis,
        since,
        hop: judged.hop.map(|hop| hop.name.clone()),
        cause: judged.cause,
        scope,
        share: judged.share,
        queue_is_full: judged.hop.is_some_and(|hop| hop.queue_is_full),
        evidence: judged.hop.and_then(|hop| hop.evidence.clone()),
    }
}

/// True where this hop has not been looked at since the one accused before is well again.
fn is_old_news(facts: &UpstreamFacts, before: &Diagnosis, hop: &HopFacts) -> bool {
    let accused = facts.hops.iter().find(|known| Some(&known.name) == before.hop.as_ref());
    let well_since = accused
        .filter(|known| !known.fails())
        .and_then(|known| known.well_since);
    well_since.is_some_and(|since| hop.last_failed.is_some_and(|failed| failed < since))
}

/// What a rule gives.
struct Judged<'a> {
    rule: u8,
    verdict: Verdict,
    basis: Basis,
    hop: Option<&'a HopFacts>,
    cause: Option<Cause>,
    share: Option<Share>,
}

/// The first rule that matches:
///
///  1. `unknown`: every self check fails, or no hop has been judged yet.
///  2. `origin_unverified`: the origin wholly fails and has never succeeded, and the outermost hop succeeds; where a log
///     exceeds `spike`, rule 11 instead.
///  3. `origin_dns`: the names of the origin do not resolve, or only to unexpected addresses.
///  4. The origin wholly fails: by the group most of its addresses fall in, of equal ones the earlier. Connections that
///     time out because an accept queue is full, as this host's kernel says, are overload.
///  5. `origin_partial`: the origin partly fails.
///
///     Then for each gateway, innermost first:
///  6. `gateway_cached_error`: it fails with an answer from a cache.
///  7. `gateway_unreachable`: it wholly fails in DNS, connect or TLS.
///  8. `gateway_partial`: some of its addresses fail.
///  9. `gateway_fault`: it fails in any other way and the next hop inward is healthy.
/// 10. It fails in any other way and no inner hop has been judged: what its error page or log states, else `unlocated`.
///
///     Then:
/// 11. `traffic_failing`: failed requests in a gateway's log exceed `spike`.
/// 12. `intermittent`: first attempts of a hop fail now and then.
/// 13. `healthy`.
///
/// A hop without a complete round, or of which no result is confirmed yet, is left out.
fn judge(facts: &UpstreamFacts) -> Judged<'_> {
    let judged = || facts.hops.iter().filter(|hop| hop.is_judged());
    let origin = judged().find(|hop| hop.is_origin);
    let failing_origin = origin.filter(|hop| hop.fails());
    let outermost_succeeds = facts.hops.first().is_some_and(|hop| hop.is_judged() && !hop.fails());
    let spike = facts.hops.iter().rev().find(|hop| hop.exceeds_spike());

    // Rule 1.
    if facts.self_check_lost {
        return Judged {
            basis: Basis::SelfCheck,
            ..Judged::without_hop(1, Verdict::Unknown)
        };
    }
    if judged().next().is_none() {
        return Judged::without_hop(1, Verdict::Unknown);
    }

    if let Some(origin) = failing_origin {
        let wholly = origin.fails_wholly();
        let unverified = wholly && !origin.ever_succeeded && outermost_succeeds;
        let no_usable_name = wholly && origin.failing.iter().all(gives_no_address);
        return match spike {
            Some(hop) if unverified => Judged::traffic(11, hop),
            _ if unverified => Judged::at(2, Verdict::OriginUnverified, origin),
            _ if no_usable_name => Judged::at(3, Verdict::OriginDns, origin),
            _ if wholly => by_group(4, origin),
            _ => Judged::at(5, Verdict::OriginPartial, origin),
        };
    }

    // Rules 6 to 10. What lies further in than the first failing gateway is healthy or not judged.
    if let Some(gateway) = judged().rev().find(|hop| hop.fails()) {
        let inner = judged().rev().take_while(|hop| hop.name != gateway.name);
        let from_cache = gateway.failing.iter().any(|address| address.from_cache);
        let unreachable = gateway.failing.iter().all(|address| is_unreachable(address.cause));
        let inner_is_healthy = inner.count() > 0;
        return match gateway.states() {
            _ if from_cache => Judged::at(6, Verdict::GatewayCachedError, gateway),
            _ if gateway.fails_wholly() && unreachable => Judged::at(7, Verdict::GatewayUnreachable, gateway),
            _ if gateway.fails_partly() => Judged::at(8, Verdict::GatewayPartial, gateway),
            _ if inner_is_healthy => Judged::at(9, Verdict::GatewayFault, gateway),
            Some(cause) => Judged {
                basis: Basis::Log,
                cause: Some(cause),
                ..Judged::at(10, group(cause), gateway)
            },
            None => Judged::at(10, Verdict::Unlocated, gateway),
        };
    }

    // Rule 11.
    if let Some(hop) = spike {
        return Judged::traffic(11, hop);
    }
    // Rule 12, at the hop that fails most often; of equal ones the innermost.
    let flapping = judged().filter_map(|hop| hop.rounds.flapping().map(|share| (share, hop)));
    if let Some((share, hop)) = flapping.max_by_key(|(share, _)| share.failed) {
        return Judged {
            share: Some(share),
            hop: Some(hop),
            ..Judged::without_hop(12, Verdict::Intermittent)
        };
    }
    // Rule 13.
    Judged::without_hop(13, Verdict::Healthy)
}

impl<'a> Judged<'a> {
    fn without_hop(rule: u8, verdict: Verdict) -> Self {
        Judged {
            rule,
            verdict,
            basis: Basis::Probes,
            hop: None,
            cause: None,
            share: None,
        }
    }

    /// With the cause most addresses of the hop have.
    fn at(rule: u8, verdict: Verdict, hop: &'a HopFacts) -> Self {
        Judged {
            hop: Some(hop),
            cause: most(hop.failing.iter().map(|address| address.cause)),
            ..Judged::without_hop(rule, verdict)
        }
    }

    fn traffic(rule: u8, hop: &'a HopFacts) -> Self {
        let log = hop.log.as_ref();
        Judged {
            basis: Basis::Log,
            hop: Some(hop),
            cause: log.and_then(|log| log.cause),
            share: log.map(|log| Share {
                failed: log.failed,
                of: log.requests,
            }),
            ..Judged::without_hop(rule, Verdict::TrafficFailing)
        }
    }
}

/// Whether users feel it:
///
/// 1. `users`: the log of the outermost gateway that has one exceeds `spike`.
/// 2. `none`: the verdict is `unknown` or `healthy`.
/// 3. `users`: the outermost hop fails; a gateway wholly or partly, an origin without a gateway wholly.
/// 4. `redundancy`: anything else.
fn impact(facts: &UpstreamFacts, verdict: Verdict) -> Impact {
    let logged = facts.hops.iter().find(|hop| hop.log.is_some());
    let users_requests_fail = logged.is_some_and(HopFacts::exceeds_spike);
    let nothing_known = matches!(verdict, Verdict::Unknown | Verdict::Healthy);
    let outermost = facts.hops.first().filter(|hop| hop.is_judged());
    let users_hop_fails = outermost.is_some_and(|hop| match hop.is_origin {
        true => hop.fails_wholly(),
        false => hop.fails(),
    });
    match () {
        () if users_requests_fail => Impact::Users,
        () if nothing_known => Impact::None,
        () if users_hop_fails => Impact::Users,
        () => Impact::Redundancy,
    }
}

/// Rule 4: the group most addresses fall in, and of that group the cause most addresses have.
fn by_group(rule: u8, origin: &HopFacts) -> Judged<'_> {
    let causes = || origin.failing.iter().map(|address| address.cause);
    // Whose queue of connections is full is not down: it does not keep up.
    let group = |cause| match cause {
        Cause::ConnectTimeout if origin.queue_is_full => Verdict::OriginOverloaded,
        cause => group(cause),
    };
    let verdict = most(causes().map(group)).expect("the caller saw that it fails");
    Judged {
        cause: most(causes().filter(|cause| group(*cause) == verdict)),
        ..Judged::at(rule, verdict, origin)
    }
}

/// The verdict on an origin that fails with this cause; for a cause read from a log, what the log proves.
fn group(cause: Cause) -> Verdict {
    match cause {
        Cause::ResponseClosed
        | Cause::ResponseReset
        | Cause::ResponseMalformed
        | Cause::ResponseHeaderTooLarge
        | Cause::ResponseTruncated
        | Cause::ResponseFailed => Verdict::OriginInvalid,
        Cause::ResponseTimeout
        | Cause::ResponseBodyTimeout
        | Cause::ServiceUnavailable
        | Cause::GatewayTimeout
        | Cause::UpstreamOverloaded => Verdict::OriginOverloaded,
        Cause::DnsFailed => Verdict::OriginDns,
        Cause::ConnectFailed | Cause::NoLiveUpstream => Verdict::OriginDown,
        Cause::TlsFailed => Verdict::OriginTls,
        Cause::GatewayConfig | Cause::GatewayInternal => Verdict::GatewayFault,
        Cause::Unknown => Verdict::Unlocated,
        other => match other.phase() {
            Phase::Dns => Verdict::OriginDns,
            Phase::Connect => Verdict::OriginDown,
            Phase::Tls => Verdict::OriginTls,
            Phase::Http | Phase::Status | Phase::Content | Phase::Log => Verdict::OriginError,
        },
    }
}

fn gives_no_address(address: &FailingAddress) -> bool {
    address.is_name || address.cause == Cause::DnsUnexpectedAddress
}

fn is_unreachable(cause: Cause) -> bool {
    matches!(cause.phase(), Phase::Dns | Phase::Connect | Phase::Tls)
}

/// The most frequent; of equally frequent ones the least.
fn most<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    let (value, _) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    Some(value)
}

fn scope_of(hop: &HopFacts) -> Scope {
    let mut paths: Vec<_> = hop
        .failing
        .iter()
        .flat_map(|address| address.paths.iter().cloned())
        .collect();
    paths.sort();
    paths.dedup();
    Scope {
        addresses: hop.failing.iter().map(|address| address.address.clone()).collect(),
        of: hop.healthy + hop.failing.len(),
        paths,
        backend: None,
    }
}
