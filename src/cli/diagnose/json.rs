//! The look for machines. The names are those of the metrics, times are seconds, sizes bytes; what is unknown or did not
//! happen is null. The README says what each field means, a golden file pins the shape: fields may be added, none is
//! renamed or removed.

use std::time::Duration;

use serde_json::{Value, json};

use super::limits::Reached;
use super::look::{Found, HopLook, Look};
use super::names::NameLook;
use super::past_cache::PastCache;
use crate::cause::Cause;
use crate::finding::Recognised;
use crate::finding::limits::Amount;
use crate::observation::{Resolution, TlsFacts};
use crate::probe::dns::authority::{ServerAnswer, Zone};
use crate::survey::{ProbeReport, TargetReport};
use crate::upstream::Gateway;

/// The whole look.
pub fn of(look: &Look) -> Value {
    json!({
        "upstream": &*look.upstream.name,
        "time": humantime::format_rfc3339_millis(look.at).to_string(),
        "healthy": look.found() == Found::Healthy,
        "verdict": verdict(look),
        "hops": list(&look.hops, hop),
    })
}

fn list<T>(items: &[T], one: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(one).collect()
}

fn seconds(took: Option<Duration>) -> Option<f64> {
    took.map(|took| took.as_secs_f64())
}

fn verdict(look: &Look) -> Value {
    let diagnosis = &look.diagnosis;
    let texts = |texts: &[std::sync::Arc<str>]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "verdict": diagnosis.verdict.label(),
        "impact": diagnosis.impact.label(),
        "hop": diagnosis.hop.as_deref(),
        "cause": diagnosis.cause,
        "addresses": texts(&diagnosis.scope.addresses),
        "paths": texts(&diagnosis.scope.paths),
        "sentence": diagnosis.sentence(),
        "next_steps": diagnosis.next_steps(),
        "commands": list(&look.steps, |step| json!({
            "shows": step.shows,
            "line": step.line,
            "kind": step.kind,
        })),
    })
}

fn hop(look: &HopLook) -> Value {
    let report = &look.report;
    let causes = report.causes();
    json!({
        "hop": &*report.hop.name,
        "kind": report.hop.gateway.as_ref().map(|gateway| gateway.kind),
        "user_view": report.hop.user_view,
        "healthy": causes.is_empty() && report.is_judged(),
        "causes": list(&causes, |found| cause(*found)),
        "names": list(&look.names, name),
        "targets": list(&report.targets, target),
        "past_cache": look.past_cache.as_ref().map(past_cache),
        "limits_of": look.asked_by.as_ref().map(|gateway| &*gateway.name),
        "limits": list(&look.limits, |reached| limit(reached, look.asked_by.as_deref())),
    })
}

fn cause(cause: Cause) -> Value {
    json!({
        "cause": cause.label(),
        "phase": cause.phase().label(),
        "meaning": cause.meaning(),
        "look_at": cause.look_at(),
    })
}

fn name(look: &NameLook) -> Value {
    json!({
        "name": look.name,
        "hosts_file": look.hosts_file,
        "resolvers": list(&look.resolvers, |seen| json!({
            "resolver": seen.source.to_string(),
            "addresses": seen.result.as_ref().ok(),
            "fault": seen.result.as_ref().err().map(ToString::to_string),
            "cnames": seen.cname_chain,
            "ttl_seconds": seen.ttl.map(|ttl| ttl.as_secs()),
            "seconds": seen.elapsed.as_secs_f64(),
        })),
        "zones": look.zones.as_deref().map(|zones| list(zones, zone)),
        "differences": look.differences(),
    })
}

fn zone(zone: &Zone) -> Value {
    json!({
        "name": zone.name,
        "zone": zone.apex.as_ref().ok(),
        "fault": zone.apex.as_ref().err().map(ToString::to_string),
        "servers": list(&zone.servers, server),
    })
}

fn server(said: &ServerAnswer) -> Value {
    json!({
        "server": said.server,
        "address": said.address,
        "authoritative": said.authoritative,
        "alias": said.alias,
        "delegates": said.delegation.as_ref().map(|(zone, _)| zone),
        "addresses": said.result.as_ref().ok(),
        "fault": said.result.as_ref().err().map(ToString::to_string),
        "ttl_seconds": said.ttl.map(|ttl| ttl.as_secs()),
        "seconds": said.elapsed.as_secs_f64(),
    })
}

fn target(report: &TargetReport) -> Value {
    json!({
        "url": report.target.url(&report.target.requests[0]),
        "dns": dns(report),
        "unexpected_addresses": report.unexpected,
        "unprobed_addresses": report.unprobed,
        "probes": list(&report.probes, probe),
    })
}

fn dns(report: &TargetReport) -> Value {
    let (resolution, outcome): (&Resolution, _) = (&report.resolution.0, &report.resolution.1);
    json!({
        "name": resolution.name,
        "addresses": resolution.result.as_ref().ok(),
        "cause": outcome.cause(),
        "resolver": resolution.source.to_string(),
        "cnames": resolution.cname_chain,
        "ttl_seconds": resolution.ttl.map(|ttl| ttl.as_secs()),
        "seconds": resolution.elapsed.as_secs_f64(),
    })
}

fn probe(probe: &ProbeReport) -> Value {
    let seen = &probe.seen;
    json!({
        "address": probe.address,
        "path": &*probe.path,
        "outcome": probe.outcome.to_string(),
        "cause": probe.outcome.cause(),
        "status": seen.head().map(|head| head.status),
        "seconds": {
            "connect": seconds(seen.timings.connect),
            "tls": seconds(seen.timings.tls),
            "first_byte": seconds(seen.timings.first_byte),
            "body": seconds(seen.timings.body),
            "total": seen.timings.total.as_secs_f64(),
        },
        "tls": seen.tls.as_deref().map(tls),
        "redirected": seen.redirected,
        "headers": seen.head().map(|_| probe.headers.iter().map(|(name, value)| [name, value]).collect::<Vec<_>>()),
        "page": page(&probe.recognised),
        "evidence": probe.evidence,
        "trace_id": seen.trace.to_string(),
    })
}

/// Who wrote the answer and what it says of the hop behind.
fn page(recognised: &Recognised) -> Value {
    json!({
        "written_by": recognised.writer,
        "behind": recognised.behind,
        "states": recognised.stated,
        "candidates": recognised.candidates,
        "cached_by": recognised.cached_by,
    })
}

fn tls(facts: &TlsFacts) -> Value {
    json!({
        "version": facts.version,
        "cipher": facts.cipher,
        "problem": facts.problem.map(|problem| problem.label()),
        "client_certificate_requested": facts.client_certificate_requested,
        "certificates": facts.chain.certificates,
    })
}

fn past_cache(seen: &PastCache) -> Value {
    json!({
        "address": seen.of.as_ref().map(|(address, _)| address),
        "path": seen.of.as_ref().map(|(_, path)| &**path),
        "requests": list(&seen.requests, |(how, probe)| json!({
            "how": how.label(),
            "outcome": probe.outcome.to_string(),
            "cause": probe.outcome.cause(),
            "status": probe.seen.head().map(|head| head.status),
            "cached_by": probe.recognised.cached_by,
            "seconds": probe.seen.timings.total.as_secs_f64(),
            "trace_id": probe.seen.trace.to_string(),
        })),
        "says": seen.says.label(),
        "sentence": seen.says.sentence(),
    })
}

fn limit(reached: &Reached, gateway: Option<&Gateway>) -> Value {
    let used = &reached.used;
    let amount = |amount| match amount {
        Amount::Time(time) => json!(time.as_secs_f64()),
        Amount::Size(bytes) => json!(bytes),
    };
    json!({
        "limit": used.kind.label(),
        "unit": if used.kind.is_size() { "bytes" } else { "seconds" },
        "value": amount(used.limit),
        "from": gateway.map(|gateway| gateway.source_of(used.kind)),
        "seen": amount(used.seen),
        "at_least": used.at_least,
        "share": used.share(),
        "near": used.is_near(),
        "beyond": used.is_beyond(),
        "address": reached.address,
        "path": &*reached.path,
    })
}
