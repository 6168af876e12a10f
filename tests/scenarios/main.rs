//! Faults as they happen, end to end: real gateways before real backends, watched by the daemon. Of each fault the
//! verdict, its scope, the sentence and the impact are right within two rounds, and all is well again after it is mended.
//!
//! A part of the traffic that fails behind a healthy `/healthz` is in `tests/gateway_logs/nginx.rs` and `tests/paging.rs`.

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod chain;
mod gateways;
mod incidents;
mod network;
mod origins;
mod privacy;
mod stale;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen};
use support::gateways::{Gateway, haproxy_at, nginx, nginx_at};
use support::http;
use support::metrics::Metrics;
use support::stack::{address, wait_until};

/// What must be said of an upstream while something is wrong.
#[derive(Clone)]
struct Fault<'a> {
    verdict: &'a str,
    impact: &'a str,
    hop: &'a str,
    cause: &'a str,
    /// What of that hop fails.
    addresses: &'a [SocketAddr],
    /// The sentence begins with this, and the rest is the cause with what it means.
    sentence: String,
    /// The backends that are well all the while.
    well: &'a [SocketAddr],
}

/// What must be said of a gateway that fails before a service that is well.
fn gateway_fault<'a>(hop: &'a str, cause: &'a str, addresses: &'a [SocketAddr], well: &'a [SocketAddr]) -> Fault<'a> {
    Fault {
        verdict: "gateway_fault",
        impact: "users",
        hop,
        cause,
        addresses,
        sentence: format!("The gateway {hop} fails although what is behind it is well: {cause}"),
        well,
    }
}

/// A directory of that name for a program within that of the daemon, which removes it.
fn folder(scratch: &Path, name: &str) -> PathBuf {
    let inner = scratch.join(name);
    std::fs::create_dir(&inner).expect("created");
    inner
}

/// A real server of a service: one that can be killed.
fn backend(scratch: &Path, name: &str) -> Gateway {
    let site = "access_log off; server { listen $LISTEN; location / { return 200 ok; } }";
    nginx(&folder(scratch, name), site)
}

/// nginx before these servers: it tries the next when one does not answer, as it does by default, and forgets that at once.
fn nginx_before(scratch: &Path, backends: &[SocketAddr]) -> Gateway {
    let servers: String = backends.iter().map(|at| format!("server {at} max_fails=0;")).collect();
    let site = format!(
        "access_log $ACCESS; upstream shop {{ {servers} }} server {{ listen $LISTEN; location / {{ proxy_pass http://shop; }} }}"
    );
    nginx_at(&folder(scratch, "nginx"), address(2), &[], &site)
}

/// HAProxy before these servers: it tries another when one refuses.
fn haproxy_before(scratch: &Path, backends: &[SocketAddr]) -> Gateway {
    let servers: String = (1..)
        .zip(backends)
        .map(|(number, at)| format!("server s{number} {at}\n"))
        .collect();
    let site = format!("default_backend shop\nbackend shop\n{servers}");
    // With nobody else to ask it would wait for a second before it asked the same one again.
    let defaults = format!("retries {}\noption redispatch 1", backends.len() - 1);
    haproxy_at(&folder(scratch, "haproxy"), address(3), &[], "", &defaults, &site)
}

/// An upstream of that name with these servers behind these gateways, the outermost first.
fn upstream(name: &str, backends: &[SocketAddr], via: &[(&str, SocketAddr)]) -> Value {
    let url = |at: &SocketAddr| format!("http://{at}/");
    let via: Vec<Value> = via
        .iter()
        .map(|(gateway, at)| json!({ "gateway": gateway, "url": url(at) }))
        .collect();
    json!({ "name": name, "origin": backends.iter().map(url).collect::<Vec<_>>(), "via": via })
}

/// A configuration with rounds every second.
fn config(gateways: Value, upstreams: Value) -> Value {
    json!({
        "defaults": { "interval": "1s", "timeout": "1s", "confirm": { "delay": "100ms" }, "max_rate": "100/s" },
        "gateways": gateways,
        "upstreams": upstreams,
    })
}

/// What a path below `/api/v1` gives.
fn api(daemon: &Daemon, path: &str) -> Value {
    let answer = http::get(daemon.address(), &format!("/api/v1/{path}"), &[]).expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn state(daemon: &Daemon, upstream: &str) -> Value {
    api(daemon, &format!("upstreams/{upstream}"))
}

/// Asks for the state of the upstream until `holds` has nothing to object; what it objects to is in the message.
fn until(daemon: &Daemon, upstream: &str, holds: impl Fn(&Value) -> Result<(), String>) -> Value {
    let objection = RefCell::new(String::new());
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("what is expected is said", || {
            let state = state(daemon, upstream);
            let held = holds(&state);
            *objection.borrow_mut() = format!("{held:?}: {}", summary(&state));
            held.is_ok().then_some(state)
        })
    }));
    found.unwrap_or_else(|_| {
        let log = daemon.process().output("", 20);
        panic!("{upstream}: {}\nlog:\n{log}", objection.borrow());
    })
}

fn summary(state: &Value) -> Value {
    json!({
        "verdict": state["verdict"], "impact": state["impact"], "hop": state["hop"], "cause": state["cause"],
        "addresses": state["addresses"], "sentence": state["sentence"], "evidence": state["evidence"],
    })
}

/// Waits until the upstream is well: every hop healthy, no incident open.
fn settled(daemon: &Daemon, upstream: &str) -> Value {
    until(daemon, upstream, |state| {
        let pending = state["hops"]
            .as_array()
            .expect("hops")
            .iter()
            .any(|hop| hop["state"] != "healthy");
        let open = state["incidents"]
            .as_array()
            .expect("incidents")
            .iter()
            .any(|one| one["end"].is_null());
        match state["verdict"] == "healthy" && state["impact"] == "none" && !pending && !open {
            true => Ok(()),
            false => Err("it is not well".to_owned()),
        }
    })
}

/// Does what breaks these upstreams, and holds that what must be said of each is said once its second round has failed. What
/// is said then.
fn breaks(daemon: &Daemon, faults: &[(&str, &Fault<'_>)], how: impl FnOnce()) -> Vec<Value> {
    let before: Vec<Metrics> = faults
        .iter()
        .map(|(upstream, _)| daemon.scrape_upstream(upstream))
        .collect();
    how();
    let said: Vec<Value> = faults
        .iter()
        .zip(&before)
        .map(|((upstream, fault), before)| {
            let state = says(daemon, upstream, fault);
            let rounds = failed_rounds(&state, before, &daemon.scrape_upstream(upstream));
            let in_time = rounds.iter().all(|rounds| *rounds <= 2.0);
            assert!(in_time, "{upstream}: failed rounds of each hop: {rounds:?}");
            state
        })
        .collect();
    // Fewer than three failed rounds in a row would count as flapping later.
    for (((upstream, _), before), state) in faults.iter().zip(&before).zip(&said) {
        daemon.wait_until(upstream, |metrics| {
            let mut rounds = failed_rounds(state, before, metrics).into_iter();
            match rounds.all(|rounds| rounds == 0.0 || rounds >= 3.0) {
                true => Seen::Yes,
                false => Seen::NotYet("three failed rounds".to_owned()),
            }
        });
    }
    said
}

/// Waits until what must be said of the upstream is said.
fn says(daemon: &Daemon, upstream: &str, fault: &Fault<'_>) -> Value {
    let mut addresses: Vec<String> = fault.addresses.iter().map(ToString::to_string).collect();
    addresses.sort();
    let state = until(daemon, upstream, |state| {
        stay_in(daemon, upstream, fault.well);
        let found = ["verdict", "impact", "hop", "cause"].map(|key| state[key].as_str().unwrap_or_default());
        let expected = [fault.verdict, fault.impact, fault.hop, fault.cause];
        let scope = state["addresses"].as_array().expect("a list");
        let mut scope: Vec<&str> = scope.iter().filter_map(Value::as_str).collect();
        scope.sort_unstable();
        match found == expected && scope == addresses {
            true => Ok(()),
            false => Err(format!("not {expected:?} at {addresses:?}")),
        }
    });
    let sentence = state["sentence"].as_str().expect("a sentence");
    let why = format!("{} (", fault.cause);
    assert!(
        sentence.starts_with(&fault.sentence) && sentence.contains(&why),
        "{:?} … {why:?}, not {sentence:?}",
        fault.sentence
    );
    state
}

/// How many rounds of each hop have failed since: failed first attempts for each place that fails now.
fn failed_rounds(state: &Value, before: &Metrics, after: &Metrics) -> Vec<f64> {
    let rounds = |hop: &Value| {
        let labels = [("hop", hop["hop"].as_str().expect("a name"))];
        let failures = |metrics: &Metrics| metrics.sum("probe_failures_total", &labels);
        let places = hop["addresses"]["failing"].as_f64().expect("a number");
        (failures(after) - failures(before)) / places.max(1.0)
    };
    state["hops"].as_array().expect("hops").iter().map(rounds).collect()
}

/// A gateway that asks for a backend that is well, or for the service while one is, is never told to take it out.
fn stay_in(daemon: &Daemon, upstream: &str, well: &[SocketAddr]) {
    let addresses = well.iter().map(|at| format!("{upstream}?address={at}"));
    for asked in addresses.chain(well.first().map(|_| upstream.to_owned())) {
        let answer = http::get(daemon.address(), &format!("/health/{asked}"), &[]).expect("an answer");
        assert_eq!(answer.status, 200, "{asked}: {}", answer.text());
    }
}

/// Mends what was broken and waits until the upstream is well. All that was said meanwhile is one incident, which has
/// ended. Its verdict was this one and no other from the second round on, until it ended.
fn mended(daemon: &Daemon, upstream: &str, verdict: &str, how: impl FnOnce()) -> Value {
    how();
    let state = settled(daemon, upstream);
    let incident = &state["incidents"][0];
    let steps = incident["steps"].as_array().expect("steps");
    assert_eq!(incident["end"]["how"], "recovered", "{steps:#?}");
    assert_eq!(incident["verdict"], verdict, "{steps:#?}");
    let time = |value: &Value| humantime::parse_rfc3339(value.as_str().expect("a time")).expect("a time");
    for step in steps.iter().filter(|step| step["verdict"] != verdict) {
        let into = time(&step["at"])
            .duration_since(time(&incident["began"]))
            .unwrap_or_default();
        assert!(into < 2 * ROUND, "something else was said: {steps:#?}");
    }
    state
}

/// From one round to the next.
const ROUND: Duration = Duration::from_secs(1);
