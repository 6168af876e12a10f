//! What will break next: every measured distance to a failure, the nearest first, each with the figure, the limit, where
//! the limit is known from, and what to change.
//!
//! A signal is one function; [`SIGNALS`] lists them all.

mod signs;

use std::time::{Duration, SystemTime};

use maud::{Markup, html};
use serde::Serialize;

use super::limits::{amount, in_words, seen};
use crate::clock;
use crate::finding::limits::Amount;
use crate::moment;
use crate::observation::{Address, CertificateFacts};
use crate::server::html::{Column, percent, table};
use crate::server::view::{Ahead, HopDetail, HopStatus, UpstreamDetail};
use crate::upstream::LimitKind;

/// From here on something is worth a line.
const LISTED: f64 = 0.5;
/// From here on it is near: the share at which alerts fire.
const NEAR: f64 = 0.8;
/// A certificate is near its end with a third of its lifetime left, and with this much at most.
const CERTIFICATE_NEAR: Duration = Duration::from_secs(14 * 86_400);
/// A change of address should not take longer than this to arrive.
const LONG_TTL: Duration = Duration::from_secs(3600);

/// Something that will break, and how near it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::server) struct Risk {
    /// What will break.
    pub(in crate::server) what: String,
    /// How near it is: 0.8 where its alert fires, 1 where it breaks.
    pub(in crate::server) nearness: f64,
    /// What was seen.
    pub(in crate::server) figure: String,
    /// What it may be.
    pub(in crate::server) limit: String,
    /// Where the limit is known from.
    pub(in crate::server) from: String,
    /// What to change.
    pub(in crate::server) change: &'static str,
    /// The runbook that says how.
    pub(in crate::server) runbook: &'static str,
}

/// One kind of risk: what it finds in what is known of an upstream at this moment.
type Signal = fn(&UpstreamDetail, SystemTime) -> Vec<Risk>;

/// All of them.
const SIGNALS: &[Signal] = &[
    limits,
    beside_rounds,
    accept_queues,
    certificates,
    unlike_certificates,
    redundancy,
    names,
    signs::answers,
    signs::stale_backends,
    signs::retries,
];

/// What is worth a line, the nearest first.
pub(in crate::server) fn risks(detail: &UpstreamDetail, now: SystemTime) -> Vec<Risk> {
    let found = SIGNALS.iter().flat_map(|signal| signal(detail, now));
    let mut risks: Vec<Risk> = found.filter(|risk| risk.nearness >= LISTED).collect();
    risks.sort_by(|one, other| other.nearness.total_cmp(&one.nearness));
    risks
}

const HEADINGS: [Column; 6] = [
    Column::Text("What"),
    Column::Text("How near"),
    Column::Figure("Seen"),
    Column::Figure("Limit"),
    Column::Text("Known from"),
    Column::Text("What to change"),
];

/// The list.
pub(super) fn render(detail: &UpstreamDetail, now: SystemTime) -> Markup {
    let risks = risks(detail, now);
    html! {
        h2 { "What will break next" }
        @if risks.is_empty() { p.good { "Nothing that is measured is near its limit." } }
        @else {
            (table("What will break next", HEADINGS, html! { @for risk in &risks { (row(risk)) } }))
        }
    }
}

fn row(risk: &Risk) -> Markup {
    html! {
        tr {
            th scope="row" { (risk.what) }
            td {
                @if risk.nearness >= 1.0 { strong.bad { "✕ reached" } }
                @else if risk.nearness >= NEAR { strong.warn { "▲ " (percent(risk.nearness)) } }
                @else { (percent(risk.nearness)) }
            }
            td.n { (risk.figure) }
            td.n { (risk.limit) }
            td.dim { (risk.from) }
            td { (risk.change) " · " a href={ "../runbooks/" (risk.runbook) } { "runbook" } }
        }
    }
}

/// Times and sizes against what the gateway in front tolerates.
fn limits(detail: &UpstreamDetail, _: SystemTime) -> Vec<Risk> {
    let pairs = detail.hops.iter().zip(detail.hops.iter().skip(1));
    let used = pairs.flat_map(|(front, behind)| behind.trail.nearest().map(move |used| (front, behind, used)));
    let risk = |(front, behind, used): (&HopDetail, &HopDetail, crate::finding::limits::Use)| {
        let (change, runbook) = match used.kind {
            LimitKind::ResponseHeader => (
                "send fewer or shorter headers, or give the gateway a larger buffer",
                "BadGatewayResponseHeaderNearBuffer",
            ),
            LimitKind::ResponseBody => (
                "send less at once, or raise the gateway's limit",
                "BadGatewayResponseHeaderNearBuffer",
            ),
            _ => (
                "make the request faster, or let the gateway wait longer",
                "BadGatewayLatencyNearTimeout",
            ),
        };
        let least = if used.at_least { "at least " } else { "" };
        let gateway = front.hop.gateway.as_ref();
        Risk {
            what: format!("{} of {} at {}", in_words(used.kind), front.hop.name, behind.hop.name),
            nearness: used.share(),
            figure: format!("{least}{}", seen(used.seen)),
            limit: amount(used.limit),
            from: gateway.map(|gateway| gateway.source_of(used.kind)).unwrap_or_default(),
            change,
            runbook,
        }
    };
    used.map(risk).collect()
}

/// What probes of the origin beside the rounds found: idle connections that end too soon, and health checks that are wrong.
fn beside_rounds(detail: &UpstreamDetail, _: SystemTime) -> Vec<Risk> {
    let pairs = detail.hops.iter().zip(detail.hops.iter().skip(1));
    let found = pairs.flat_map(|(front, behind)| behind.ahead.iter().map(move |ahead| (front, ahead)));
    let risk = |(front, ahead): (&HopDetail, &Ahead)| -> Option<Risk> {
        let (gateway, name) = (front.hop.gateway.as_ref(), &front.hop.name);
        let check = |address: &Address, does: &str, check: &str, requests: &str| Risk {
            what: format!("health check of {name} {does} {address}"),
            nearness: 1.0,
            figure: format!("it {check}"),
            limit: format!("requests {requests}"),
            from: "its replay".to_owned(),
            change: "let the check ask for what users need, and for nothing else",
            runbook: "BadGatewayHealthCheckMismatch",
        };
        Some(match ahead {
            Ahead::EndsIdle { address, kept, limit } => Risk {
                what: format!("idle connections of {name} to {address}"),
                nearness: 1.0,
                figure: amount(Amount::Time(*kept)),
                limit: amount(Amount::Time(*limit)),
                from: gateway
                    .map(|gateway| gateway.source_of(LimitKind::Idle))
                    .unwrap_or_default(),
                change: "let the origin keep idle connections longer than the gateway does",
                runbook: "BadGatewayKeepAliveTooShort",
            },
            Ahead::TakenOut(address) => check(address, "takes out", "fails", "succeed"),
            Ahead::LeftIn(address) => check(address, "leaves in", "passes", "fail"),
            Ahead::ResolversDisagree(_) | Ahead::ContentDiffers(_) | Ahead::CachedError(_) => return None,
        })
    };
    found.filter_map(risk).collect()
}

/// Connections that wait to be accepted, at origins on this host.
fn accept_queues(detail: &UpstreamDetail, _: SystemTime) -> Vec<Risk> {
    let listening = detail.hops.iter().flat_map(|hop| hop.trail.listening());
    let queues = listening.filter_map(|(address, seen)| Some((address, seen.queue()?)));
    let risk = |(address, queue): (&Address, crate::observation::listening::Queue)| Risk {
        what: format!("accept queue of {address}"),
        nearness: queue.share(),
        figure: format!("{} waiting", queue.length),
        limit: queue.limit.to_string(),
        from: "the kernel of this host".to_owned(),
        change: "more workers, or a longer queue where only bursts fill it",
        runbook: "BadGatewayAcceptQueueFilling",
    };
    queues.map(risk).collect()
}

/// The certificate of each address that ends first in its chain.
fn certificates(detail: &UpstreamDetail, now: SystemTime) -> Vec<Risk> {
    let now = clock::since_epoch(now).as_secs() as i64;
    let risk = |(hop, address, ends): (&HopDetail, &Address, &CertificateFacts)| {
        let near = (ends.lifetime_seconds() / 3).min(CERTIFICATE_NEAR.as_secs()).max(1);
        let left = ends.not_after.saturating_sub(now);
        Risk {
            what: format!("certificate at {address} of {}", hop.hop.name),
            nearness: certificate_nearness(left, near),
            figure: match u64::try_from(left) {
                Ok(left) => format!("{} left", moment::rough(Duration::from_secs(left))),
                Err(_) => "expired".to_owned(),
            },
            limit: moment::rough(Duration::from_secs(near)).to_string(),
            from: "a third of its lifetime, 14 days at most".to_owned(),
            change: "renew it, and see that every address serves the new one",
            runbook: "BadGatewayCertificateExpiresSoon",
        }
    };
    served(detail).map(risk).collect()
}

/// 0.8 where the time left is the one to act at, 1 where nothing is left, less the more there is.
fn certificate_nearness(left: i64, near: u64) -> f64 {
    let (left, near) = (left as f64, near as f64);
    match left {
        left if left <= 0.0 => 1.0,
        left if left <= near => 1.0 - (1.0 - NEAR) * left / near,
        left => NEAR * near / left,
    }
}

/// Addresses of one hop whose certificates are not the same: one of them was forgotten.
fn unlike_certificates(detail: &UpstreamDetail, _: SystemTime) -> Vec<Risk> {
    let of_hop = |hop: &HopDetail| {
        let mut leaves: Vec<(String, &CertificateFacts)> = Vec::new();
        for record in hop.trail.latest() {
            let leaf = record.tls.as_ref().and_then(|tls| tls.chain.certificates.first());
            let (Some(address), Some(leaf)) = (&record.address, leaf) else {
                continue;
            };
            let is_known = |(_, known): &(String, &CertificateFacts)| {
                (&known.serial, &known.issuer, known.not_after) == (&leaf.serial, &leaf.issuer, leaf.not_after)
            };
            if !leaves.iter().any(is_known) {
                leaves.push((address.to_string(), leaf));
            }
        }
        leaves.sort_by_key(|(_, leaf)| leaf.not_after);
        let (oldest, newest) = (leaves.first()?, leaves.last()?);
        let ends = |leaf: &CertificateFacts| {
            let text = moment::rfc3339_millis(leaf.not_after.saturating_mul(1000)).to_string();
            text.split('T').next().unwrap_or_default().to_owned()
        };
        (leaves.len() > 1).then(|| Risk {
            what: format!("different certificates at the addresses of {}", hop.hop.name),
            nearness: LISTED,
            figure: format!("{} ends {}", oldest.0, ends(oldest.1)),
            limit: format!("{} ends {}", newest.0, ends(newest.1)),
            from: format!("{} different ones are served", leaves.len()),
            change: "serve the same certificate everywhere, unless a rollout is under way",
            runbook: "BadGatewayCertificateProblem",
        })
    };
    let compared = detail.hops.iter().filter(|hop| hop.hop.serves_one_certificate());
    compared.filter_map(of_hop).collect()
}

/// The certificates that were served last, the first to end of each chain.
fn served(detail: &UpstreamDetail) -> impl Iterator<Item = (&HopDetail, &Address, &CertificateFacts)> {
    detail.hops.iter().flat_map(|hop| {
        let mut known: Vec<&Address> = Vec::new();
        hop.trail.latest().iter().filter_map(move |record| {
            let address = record.address.as_ref()?;
            let ends = record.tls.as_ref()?.chain.first_to_end()?;
            let new = !known.contains(&address);
            known.push(address);
            new.then_some((hop, address, ends))
        })
    })
}

/// One address left where there were more within a day.
fn redundancy(detail: &UpstreamDetail, now: SystemTime) -> Vec<Risk> {
    let hops = detail.status.hops.iter().zip(&detail.hops);
    let lost = hops.filter_map(|(status, hop): (&HopStatus, &HopDetail)| {
        let before = hop.trail.were_healthy(now)?;
        (status.addresses.healthy == 1).then(|| Risk {
            what: format!("one healthy address left of {}", status.hop),
            nearness: 0.95,
            figure: "1 healthy".to_owned(),
            limit: format!("{before} within a day"),
            from: "its own addresses".to_owned(),
            change: "bring the others back: the next failure is an outage",
            runbook: "BadGatewayRedundancyLost",
        })
    });
    lost.collect()
}

/// Names whose change of address takes long to arrive. It breaks nothing by itself.
fn names(detail: &UpstreamDetail, _: SystemTime) -> Vec<Risk> {
    let of_hop = |hop: &HopDetail| {
        let resolutions = hop
            .trail
            .latest()
            .iter()
            .filter_map(|record| record.resolution.as_ref());
        let ttl = resolutions.filter_map(|resolution| resolution.ttl).min()?;
        (ttl > LONG_TTL).then(|| Risk {
            what: format!("a change of the addresses of {} arrives late", hop.hop.name),
            nearness: LISTED,
            figure: moment::rough(ttl).to_string(),
            limit: moment::rough(LONG_TTL).to_string(),
            from: "the answer of its resolver".to_owned(),
            change: "lower the TTL of the record before it has to change",
            runbook: "BadGatewayUpstreamDNSTTLTooLong",
        })
    };
    detail.hops.iter().filter_map(of_hop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_nears_its_end_as_the_alert_has_it() {
        let day = 86_400;
        assert!(certificate_nearness(60 * day, 14 * 86_400) < LISTED);
        assert!((certificate_nearness(14 * day, 14 * 86_400) - NEAR).abs() < 1e-9);
        assert!(certificate_nearness(day, 14 * 86_400) > 0.98);
        assert_eq!(certificate_nearness(-day, 14 * 86_400), 1.0);
    }
}
