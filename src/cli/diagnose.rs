//! `badgateway diagnose`: one look at every hop and address, phase by phase, as a person wants to read it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::cause::Cause;
use crate::cli::style::Style;
use crate::cli::{DiagnoseArgs, block_on, fail};
use crate::clock;
use crate::config::{self, Config};
use crate::evidence;
use crate::finding::Recognised;
use crate::observation::{Resolution, TlsFacts};
use crate::probe::Prober;
use crate::survey::{self, HopReport, ProbeReport, TargetReport};
use crate::upstream::{Host, Upstream};
use crate::verdict::{Diagnosis, Verdict};

/// Nothing failed.
const HEALTHY: u8 = 0;
/// A fault was found.
const FAULT: u8 = 1;
/// No look was possible.
const COULD_NOT_RUN: u8 = 2;

/// Looks once; the exit code says what was found.
pub fn run(args: &DiagnoseArgs) -> ExitCode {
    let (config, name) = match load(args) {
        Ok(loaded) => loaded,
        Err(message) => return fail(message, COULD_NOT_RUN),
    };
    let Some(upstream) = config.upstreams.iter().find(|upstream| *upstream.name == *name) else {
        let known: Vec<_> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
        return fail(
            format_args!("no upstream is called {name:?}; there are {}", known.join(", ")),
            COULD_NOT_RUN,
        );
    };
    let prober = Prober::new(config.trace_sampled);
    let slots = Semaphore::new(config.max_concurrent_probes);
    let reports = match block_on(survey::upstream(&prober, &slots, upstream)) {
        Ok(reports) => reports,
        Err(error) => return fail(format_args!("tls: {}", error.0), COULD_NOT_RUN),
    };
    let healthy = reports.iter().all(|report| report.causes().is_empty());
    let diagnosis = survey::diagnosis(&reports);
    match args.json {
        true => println!("{:#}", as_json(upstream, &reports, healthy, &diagnosis)),
        false => print(upstream, &reports, &diagnosis),
    }
    ExitCode::from(if healthy { HEALTHY } else { FAULT })
}

fn load(args: &DiagnoseArgs) -> Result<(Config, String), String> {
    match (&args.url, &args.upstream) {
        (Some(url), _) => {
            let config =
                config::from_urls(std::slice::from_ref(url), &args.via).map_err(|problems| problems.to_string())?;
            let name = config.upstreams[0].name.to_string();
            Ok((config, name))
        }
        (None, Some(name)) => {
            let config = config::load(&args.config_file).map_err(|problems| problems.to_string())?;
            Ok((config, name.clone()))
        }
        (None, None) => Err("write a URL or --upstream NAME".into()),
    }
}

fn print(upstream: &Upstream, reports: &[HopReport], diagnosis: &Diagnosis) {
    let style = Style::for_stdout();
    for report in reports {
        let heading = match &report.hop.gateway {
            Some(gateway) => format!("{} through {} ({})", upstream.name, gateway.name, gateway.kind),
            None => format!("{} at its origin", upstream.name),
        };
        println!("{}", style.strong(&heading));
        report.targets.iter().for_each(|target| print_target(target, style));
        println!();
    }
    for report in reports {
        for cause in report.causes() {
            println!(
                "{} at hop {}: {}",
                style.bad(cause.label()),
                style.strong(&report.hop.name),
                cause.meaning()
            );
            println!("  look at: {}", cause.look_at());
        }
    }
    let (verdict, sentence) = (diagnosis.verdict, diagnosis.sentence());
    match verdict {
        Verdict::Healthy => println!("{} {sentence}", style.good("healthy:")),
        verdict => println!("{} {sentence}", style.bad(&format!("{verdict}:"))),
    }
    for step in verdict.next_steps() {
        println!("  next: {step}");
    }
}

fn print_target(report: &TargetReport, style: Style) {
    let url = report.target.url(&report.target.requests[0]);
    println!("  {url}");
    let (resolution, outcome) = &report.resolution;
    if matches!(report.target.host, Host::Name(_)) {
        let evidence = evidence::of_resolution(resolution);
        match outcome.cause() {
            Some(cause) => line(
                style,
                "dns",
                Some(resolution.elapsed),
                &format!("{} {evidence}", style.bad(cause.label())),
            ),
            None => line(
                style,
                "dns",
                Some(resolution.elapsed),
                &format!("{evidence}{}", ttl(resolution)),
            ),
        }
    }
    for address in &report.unexpected {
        println!(
            "    {address}  {}",
            style.bad("dns_unexpected_address: not in expect.addresses, not asked")
        );
    }
    for probe in &report.probes {
        print_probe(probe, style);
    }
    if report.unprobed > 0 {
        println!(
            "    {}",
            style.faint(&format!("{} more addresses, over max_addresses", report.unprobed))
        );
    }
}

fn ttl(resolution: &Resolution) -> String {
    resolution
        .ttl
        .map(|ttl| format!(", for {} s", ttl.as_secs()))
        .unwrap_or_default()
}

fn print_probe(probe: &ProbeReport, style: Style) {
    let verdict = match probe.outcome.cause() {
        None => style.good(&probe.outcome.to_string()),
        Some(cause) => style.bad(cause.label()),
    };
    println!(
        "    {}  {}  {verdict}",
        style.strong(&probe.address.to_string()),
        probe.path
    );
    let timings = &probe.seen.timings;
    let phase = |name: &str, took: Option<Duration>, text: &str| {
        if took.is_some() {
            line(style, name, took, text);
        }
    };
    phase("connect", timings.connect, "");
    let tls = probe.seen.tls.as_deref().map(describe_tls).unwrap_or_default();
    phase("tls", timings.tls, &tls);
    phase("first byte", timings.first_byte, "");
    phase("body", timings.body, "");
    line(
        style,
        "total",
        Some(timings.total),
        &evidence::of_probe(&probe.seen, &probe.recognised),
    );
}

fn line(style: Style, name: &str, took: Option<Duration>, text: &str) {
    let took = took.map(milliseconds).unwrap_or_default();
    println!("      {} {took:>11}  {text}", style.faint(&format!("{name:<10}")));
}

fn milliseconds(took: Duration) -> String {
    match took.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}

fn describe_tls(facts: &TlsFacts) -> String {
    let mut parts: Vec<String> = [facts.version, facts.cipher]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect();
    if let Some(expiry) = facts.chain.earliest_expiry() {
        let now = clock::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let days = (expiry - i64::try_from(now.as_secs()).unwrap_or_default()) / 86_400;
        parts.push(format!("certificate ends in {days} days"));
    }
    if let Some(problem) = facts.problem {
        parts.push(format!("certificate {}", problem.label()));
    }
    parts.join(", ")
}

/// The stable form: names are those of the metrics, times are seconds.
fn as_json(upstream: &Upstream, reports: &[HopReport], healthy: bool, diagnosis: &Diagnosis) -> Value {
    json!({
        "upstream": &*upstream.name,
        "healthy": healthy,
        "verdict": verdict_json(diagnosis),
        "hops": reports.iter().map(hop_json).collect::<Vec<_>>(),
    })
}

fn verdict_json(diagnosis: &Diagnosis) -> Value {
    let texts = |texts: &[Arc<str>]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "verdict": diagnosis.verdict.label(),
        "impact": diagnosis.impact.label(),
        "hop": diagnosis.hop.as_deref(),
        "cause": diagnosis.cause,
        "addresses": texts(&diagnosis.scope.addresses),
        "paths": texts(&diagnosis.scope.paths),
        "sentence": diagnosis.sentence(),
        "next_steps": diagnosis.next_steps(),
    })
}

fn hop_json(report: &HopReport) -> Value {
    let causes = report.causes();
    json!({
        "hop": &*report.hop.name,
        "kind": report.hop.gateway.as_ref().map(|gateway| gateway.kind),
        "healthy": causes.is_empty(),
        "causes": causes.iter().map(|cause| cause_json(*cause)).collect::<Vec<_>>(),
        "targets": report.targets.iter().map(target_json).collect::<Vec<_>>(),
    })
}

fn cause_json(cause: Cause) -> Value {
    json!({
        "cause": cause.label(),
        "phase": cause.phase().label(),
        "meaning": cause.meaning(),
        "look_at": cause.look_at(),
    })
}

fn target_json(report: &TargetReport) -> Value {
    let (resolution, outcome) = &report.resolution;
    json!({
        "url": report.target.url(&report.target.requests[0]),
        "dns": {
            "name": resolution.name,
            "addresses": resolution.result.as_ref().ok(),
            "cause": outcome.cause(),
            "resolver": resolution.source.to_string(),
            "cnames": resolution.cname_chain,
            "ttl_seconds": resolution.ttl.map(|ttl| ttl.as_secs()),
            "seconds": resolution.elapsed.as_secs_f64(),
        },
        "unexpected_addresses": report.unexpected,
        "unprobed_addresses": report.unprobed,
        "probes": report.probes.iter().map(probe_json).collect::<Vec<_>>(),
    })
}

fn probe_json(probe: &ProbeReport) -> Value {
    let seen = &probe.seen;
    let seconds = |took: Option<Duration>| took.map(|took| took.as_secs_f64());
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
        "tls": seen.tls.as_deref().map(tls_json),
        "redirected": seen.redirected,
        "headers": seen.head().map(|head| head.headers.iter().map(|(name, value)| [name, value]).collect::<Vec<_>>()),
        "page": page_json(&probe.recognised),
        "evidence": evidence::of_probe(seen, &probe.recognised),
        "trace_id": seen.trace.to_string(),
    })
}

/// Who wrote the answer and what it says of the hop behind; null where nothing tells.
fn page_json(recognised: &Recognised) -> Value {
    json!({
        "written_by": recognised.writer,
        "behind": recognised.behind,
        "states": recognised.stated,
        "candidates": recognised.candidates,
        "cached_by": recognised.cached_by,
    })
}

fn tls_json(facts: &TlsFacts) -> Value {
    json!({
        "version": facts.version,
        "cipher": facts.cipher,
        "problem": facts.problem.map(|problem| problem.label()),
        "client_certificate_requested": facts.client_certificate_requested,
        "certificates": facts.chain.certificates,
    })
}
