//! What the daemon says of an upstream as a whole while peers break: verdict and impact, as `/metrics` shows them.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::metrics::Metrics;
use support::peers::http1::{self, OK, answers};
use support::peers::{Behaviour, Wire, serve, tcp};
use support::{dns, http};

const BAD: &str = "502 Bad Gateway";

/// `Yes` once this verdict and this impact hold, and no other.
fn says(verdict: &'static str, impact: &'static str) -> impl Fn(&Metrics) -> Seen {
    move |metrics| {
        let holds = |name: &str, label: &str, value: &str| {
            metrics.sum(name, &[]) == 1.0 && metrics.sum(name, &[(label, value)]) == 1.0
        };
        match holds("verdict", "verdict", verdict) && holds("upstream_impact", "impact", impact) {
            true => Seen::Yes,
            false => Seen::NotYet(format!("{verdict}, {impact}")),
        }
    }
}

/// A server that is well until the switch says otherwise.
fn switched(bad: &Arc<AtomicBool>) -> String {
    let bad = bad.clone();
    let (well, ill) = (answers(OK), http1::status(BAD));
    url(Box::new(move |wire: &mut dyn Wire| match bad.load(Ordering::SeqCst) {
        true => ill(wire),
        false => well(wire),
    }))
}

fn url(behaviour: Behaviour) -> String {
    format!("http://{}/", serve(behaviour))
}

fn good() -> String {
    url(answers(OK))
}

fn bad() -> String {
    url(http1::status(BAD))
}

/// A daemon that watches one upstream `shop` behind these gateways, outermost first.
fn watch(origin: Value, gateways: &[(&str, String)]) -> Daemon {
    let mut upstream = json!({ "name": "shop", "labels": { "team": "payments" } });
    if !origin.is_null() {
        upstream["origin"] = origin;
    }
    let via = gateways
        .iter()
        .map(|(name, url)| json!({ "gateway": name, "url": url }));
    upstream["via"] = via.collect();
    let gateways = gateways
        .iter()
        .map(|(name, _)| json!({ "name": name, "kind": "nginx" }));
    let config = json!({
        "defaults": { "interval": "1s", "confirm": { "delay": "100ms" } },
        "gateways": gateways.collect::<Vec<_>>(),
        "upstreams": [upstream],
    });
    Daemon::start(&scratch(), &config)
}

#[test]
fn an_origin_that_goes_down_and_comes_back_is_one_incident() {
    let broken = Arc::new(AtomicBool::new(false));
    let (origin, edge) = (switched(&broken), switched(&broken));
    let daemon = watch(json!(origin), &[("edge", edge)]);
    let healthy = daemon.wait_until("shop", says("healthy", "none"));
    assert_eq!(healthy.sum("incidents_total", &[]), 0.0);
    assert_eq!(healthy.sum("incident_seconds_total", &[]), 0.0);
    assert!(healthy.has("verdict", &[("verdict", "unknown"), ("team", "payments")]));
    assert_eq!(healthy.all("upstream_impact", &[("team", "payments")]).count(), 3);

    broken.store(true, Ordering::SeqCst);
    let down = daemon.wait_until("shop", says("origin_error", "users"));
    assert_eq!(down.sum("incidents_total", &[]), 1.0);
    let page = http::get(daemon.address(), "/", &[]).expect("a page").text();
    assert!(
        page.contains("users feel it") && page.contains("The origin answers with an error"),
        "{page}"
    );

    broken.store(false, Ordering::SeqCst);
    let well = daemon.wait_until("shop", says("healthy", "none"));
    assert_eq!(well.sum("incidents_total", &[]), 1.0, "both hops broke in one incident");
    assert!(
        well.sum("incident_seconds_total", &[]) > 0.5,
        "{}",
        well.show("incident")
    );
    assert!(
        well.has("verdict", &[("verdict", "origin_error")]),
        "what held once stays at 0"
    );
    let lines = daemon.process().output("\"verdict\"", 20);
    for part in ["origin_error", "users", "The origin answers with an error", "healthy"] {
        assert!(lines.contains(part), "{part} is missing:\n{lines}");
    }
}

#[test]
fn an_origin_without_gateway_is_what_users_reach() {
    let (refusing, _socket) = tcp::refusing();
    let daemon = watch(json!(format!("http://{refusing}/")), &[]);
    let metrics = daemon.wait_until("shop", says("origin_down", "users"));
    assert!(!metrics.has("verdict", &[("verdict", "healthy")]), "it never was");
}

#[test]
fn one_server_of_three_is_a_loss_of_redundancy() {
    let (refusing, _socket) = tcp::refusing();
    let origin = json!([good(), format!("http://{refusing}/"), good()]);
    watch(origin, &[("edge", good())]).wait_until("shop", says("origin_partial", "redundancy"));
}

#[test]
fn a_broken_gateway_before_a_healthy_origin_is_to_blame() {
    let daemon = watch(json!(good()), &[("edge", bad())]);
    daemon.wait_until("shop", says("gateway_fault", "users"));
}

#[test]
fn the_innermost_broken_gateway_is_to_blame() {
    let (refusing, _socket) = tcp::refusing();
    let edge = format!("http://{refusing}/");
    let daemon = watch(json!(good()), &[("cdn", bad()), ("edge", edge)]);
    daemon.wait_until("shop", says("gateway_unreachable", "users"));
}

#[test]
fn gateway_and_origin_both_bad_is_the_origins_fault() {
    let daemon = watch(json!(bad()), &[("edge", bad())]);
    daemon.wait_until("shop", says("origin_error", "users"));
}

#[test]
fn an_origin_never_reached_behind_a_healthy_gateway_is_not_accused() {
    let (refusing, _socket) = tcp::refusing();
    let daemon = watch(json!(format!("http://{refusing}/")), &[("edge", good())]);
    let metrics = daemon.wait_until("shop", says("origin_unverified", "redundancy"));
    assert_eq!(metrics.sum("incidents_total", &[]), 0.0);
}

#[test]
fn a_gateway_alone_cannot_be_located() {
    watch(Value::Null, &[("edge", bad())]).wait_until("shop", says("unlocated", "users"));
}

#[test]
fn a_name_that_is_gone_is_the_verdict_though_its_server_lives() {
    let gone = Arc::new(AtomicBool::new(false));
    let switch = gone.clone();
    let resolver = dns::serve(move |question| match switch.load(Ordering::SeqCst) {
        true => vec![question.answer().code(dns::NXDOMAIN).bytes()],
        false => vec![question.addresses(&["127.0.0.1"]).bytes()],
    });
    let port = serve(answers(OK)).port();
    let origin = json!({ "url": format!("http://service.peer.test:{port}/"), "resolvers": [resolver.to_string()] });
    let daemon = watch(origin, &[("edge", good())]);
    daemon.wait_until("shop", says("healthy", "none"));
    gone.store(true, Ordering::SeqCst);
    daemon.wait_until("shop", says("origin_dns", "redundancy"));
    gone.store(false, Ordering::SeqCst);
    daemon.wait_until("shop", says("healthy", "none"));
}

#[test]
fn failures_that_a_retry_does_not_repeat_add_up_to_intermittent() {
    let connections = AtomicUsize::new(0);
    let (well, ill) = (answers(OK), http1::status(BAD));
    let origin = url(Box::new(move |wire| {
        match connections.fetch_add(1, Ordering::SeqCst) % 4 {
            3 => ill(wire),
            _ => well(wire),
        }
    }));
    let daemon = watch(json!(origin), &[]);
    let metrics = daemon.wait_until("shop", says("intermittent", "redundancy"));
    assert!(
        !metrics.has("verdict", &[("verdict", "origin_error")]),
        "{}",
        metrics.show("verdict")
    );
    // The third may still wait for its retry.
    assert!(metrics.sum("transient_failures_total", &[]) >= 2.0);
}

#[test]
fn while_every_self_check_fails_nothing_is_said() {
    let (refusing, _socket) = tcp::refusing();
    let (deaf, broken) = (format!("http://{refusing}/"), bad());
    let start = |checks: Value| {
        Daemon::start(
            &scratch(),
            &json!({
                "defaults": { "interval": "1s" },
                "upstreams": [{ "name": "shop", "origin": format!("http://{refusing}/") }],
                "self_check": checks,
            }),
        )
    };
    let lost = start(json!([deaf, broken]));
    lost.wait_until("", |metrics| match metrics.all("self_connectivity", &[]).next() {
        Some(sample) if sample.value == 0.0 => Seen::Yes,
        other => Seen::NotYet(format!("lost, not {other:?}")),
    });
    lost.wait_until("shop", |metrics| match metrics.sum("probes_total", &[]) >= 3.0 {
        true => says("unknown", "none")(metrics),
        false => Seen::NotYet("three probes".to_owned()),
    });
    let kept = start(json!([deaf, url(http1::status("404 Not Found"))]));
    kept.wait_until("shop", says("origin_down", "users"));
    assert_eq!(kept.scrape().sum("self_connectivity", &[]), 1.0);
}

#[test]
fn a_reload_in_mid_incident_begins_no_second_one() {
    let scratch = scratch();
    let (refusing, _socket) = tcp::refusing();
    let config = |interval: &str| {
        let (broken, edge) = (format!("http://{refusing}/"), format!("http://{refusing}/"));
        json!({
            "gateways": [{ "name": "edge", "kind": "nginx" }],
            "upstreams": [{
                "name": "shop", "interval": interval, "origin": broken, "via": [{ "gateway": "edge", "url": edge }],
            }],
        })
    };
    let daemon = Daemon::start(&scratch, &config("1s"));
    let down = daemon.wait_until("shop", says("origin_down", "users"));
    assert_eq!(down.sum("incidents_total", &[]), 1.0);
    std::fs::write(scratch.join("badgateway.yml"), config("2s").to_string()).expect("written");
    let answer = http::ask(daemon.address(), "POST", "/-/reload", &[], b"").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let down = daemon.wait_until("shop", says("origin_down", "users"));
    assert_eq!(down.sum("incidents_total", &[]), 1.0, "{}", down.show("incident"));
}

#[test]
fn diagnose_sums_up_with_verdict_and_impact() {
    let arguments = |more: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_badgateway"))
            .args(["diagnose", &good(), "--via", &bad()])
            .args(more)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = arguments(&[]);
    let summary = text.split_once("\n\ngateway_fault: ").map(|(_, summary)| summary);
    let mut lines = summary.unwrap_or_default().lines();
    let sentence = lines.next().unwrap_or_default();
    assert!(
        sentence.starts_with("The gateway ") && sentence.contains("although what is behind it is well"),
        "{text}"
    );
    assert_eq!(lines.next(), Some("  impact: users feel it"), "{text}");
    let json: Value = serde_json::from_str(&arguments(&["--json"])).expect("JSON");
    assert_eq!(json["verdict"]["verdict"], "gateway_fault");
    assert_eq!(json["verdict"]["impact"], "users");
}
