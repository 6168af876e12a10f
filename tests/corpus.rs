//! Real logs of real gateways, with the truth about each: what can be known is known, and nothing is guessed.
//!
//! `corpus/README.md` says what the recordings are.

#[path = "support/corpus.rs"]
mod corpus;

use std::collections::BTreeMap;

use badgateway::cause::Cause;

use corpus::{Cell, Seen, Source, read};

/// Every recording, from each of its logs alone and from all together.
#[test]
fn what_each_recording_says() {
    let mut wrong = Vec::new();
    let mut vague: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    // CORPUS=nginx looks at one gateway alone.
    let only = std::env::var("CORPUS").unwrap_or_default();
    let cells = corpus::cells().into_iter();
    for cell in cells.filter(|cell| cell.gateway.starts_with(&only) && cell.is_read()) {
        for source in Source::ALL {
            let Some(seen) = read(&cell, source) else { continue };
            let verdict = judge(&cell, source, &seen);
            wrong.extend(verdict.wrong);
            if let Some(text) = verdict.vague {
                vague
                    .entry((cell.gateway.clone(), source.name()))
                    .or_default()
                    .push(text);
            }
        }
    }
    for ((gateway, source), cells) in &vague {
        println!("{gateway}, {source}: less said than could be: {}", cells.join("; "));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// All recordings of a gateway in one log, their lines mixed, their labels and ports changed: what is said of each is the
/// same as alone. Nothing but what the lines say can tell them apart.
#[test]
fn recordings_mixed_and_renamed_say_the_same() {
    let mut gateways: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
    for cell in corpus::cells().into_iter().filter(Cell::is_read) {
        gateways.entry(cell.gateway.clone()).or_default().push(cell);
    }
    let mut wrong = Vec::new();
    for (gateway, cells) in gateways {
        for source in [Source::Access, Source::Recommended, Source::Error, Source::All] {
            let mut alone: BTreeMap<Cause, u64> = BTreeMap::new();
            let (mut access, mut errors) = (Vec::new(), Vec::new());
            for cell in &cells {
                if let Some(seen) = read(cell, source) {
                    seen.attempts
                        .iter()
                        .for_each(|(cause, count)| *alone.entry(*cause).or_default() += count);
                }
                let (of_access, of_errors) = cell.logs(source);
                access.extend(of_access.into_iter().map(corpus::renamed));
                errors.extend(of_errors.into_iter().map(corpus::renamed));
            }
            let mixed = corpus::seen(&corpus::analysed(
                cells[0].kind,
                &[&corpus::mixed(&access)],
                &[&corpus::mixed(&errors)],
            ));
            if mixed.attempts != alone {
                wrong.push(format!(
                    "{gateway} {}: mixed {:?}, alone {alone:?}",
                    source.name(),
                    mixed.attempts
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Judged {
    wrong: Vec<String>,
    vague: Option<String>,
}

fn judge(cell: &Cell, source: Source, seen: &Seen) -> Judged {
    let candidates = cell.candidates(source);
    let determinable = cell.determinable(source);
    let mut wrong = Vec::new();
    let name = format!("{} {} {}", cell.gateway, cell.fault, source.name());
    if seen.unparsed > 0 {
        wrong.push(format!(
            "{name}: {} lines not understood: {}",
            seen.unparsed, seen.sample
        ));
    }
    let allowed = |cause: Cause| {
        let label = cause.label();
        candidates.contains(label)
            || determinable == label
            // A second reading of what the origin did that is right too.
            || cell.truth["accept_also"].as_array().is_some_and(|also| also.iter().any(|one| one == label))
            || family(cause).is_some_and(|family| candidates.iter().any(|candidate| candidate.starts_with(family)))
            // Where the lines allow several, one of those named is one of those that look the same.
            || seen.candidates.get(&cause).is_some_and(|named| named.iter().any(|one| candidates.contains(one.label())))
            // The gateway's own words for it, and what stands behind them.
            || matches!(cause, Cause::NoLiveUpstream | Cause::UpstreamOverloaded | Cause::GatewayConfig | Cause::GatewayInternal)
                && cell.true_cause.is_some()
            || cause == Cause::Unknown && !candidates.contains("healthy")
    };
    for (cause, count) in &seen.attempts {
        if !allowed(*cause) {
            wrong.push(format!("{name}: {count} x {cause}, and the lines allow {candidates:?}"));
        }
    }
    if source.has_requests() && seen.requests != cell.requests_logged(source) {
        wrong.push(format!(
            "{name}: {} requests, logged are {}",
            seen.requests,
            cell.requests_logged(source)
        ));
    }
    if source.has_requests() && seen.failed > seen.requests {
        wrong.push(format!("{name}: {} of {} requests failed", seen.failed, seen.requests));
    }
    let failed = seen.attempts.values().sum::<u64>();
    let mut vague = None;
    match determinable {
        "healthy" if failed > 0 => wrong.push(format!("{name}: healthy, yet {:?}", seen.attempts)),
        "healthy" => {}
        "client_abort" if failed > 0 || (source.has_requests() && seen.client_closed == 0) => {
            wrong.push(format!("{name}: clients left, yet {:?}", seen.attempts));
        }
        "client_abort" => {}
        text if text.starts_with("undeterminable") => {}
        text => {
            // A cause of the phase, or the phase where only a status was to be had, is no less.
            let said = |cause: &Cause| {
                let of_family = |family: &str| {
                    cause.label().starts_with(family) || self::family(*cause).is_some_and(|own| family.starts_with(own))
                };
                cause.label() == text
                    || text.strip_suffix('*').is_some_and(of_family)
                    || family(*cause).is_some()
                        && matches!(
                            text,
                            "bad_gateway" | "service_unavailable" | "gateway_timeout" | "server_error"
                        )
                    || matches!(cause, Cause::NoLiveUpstream | Cause::UpstreamOverloaded)
            };
            let right: u64 = seen
                .attempts
                .iter()
                .filter(|(cause, _)| said(cause))
                .map(|(_, count)| count)
                .sum();
            if failed == 0 {
                vague = Some(format!("{}: nothing, where {text}", cell.fault));
            } else if right < failed {
                vague = Some(format!("{}: {:?}, where {text}", cell.fault, seen.attempts));
            }
        }
    }
    Judged { wrong, vague }
}

/// The beginning of the labels a cause stands for, where it is a phase alone.
fn family(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::DnsFailed => Some("dns_"),
        Cause::ConnectFailed => Some("connect_"),
        Cause::TlsFailed => Some("tls_"),
        Cause::ResponseFailed => Some("response_"),
        _ => None,
    }
}
