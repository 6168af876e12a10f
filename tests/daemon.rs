//! The daemon as its operator meets it: start, reload, bad input, its own limits, stop.

mod support;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::metrics::Metrics;
use support::peers::http1::{self, OK, answers};
use support::peers::{self, serve};
use support::{dns, http};

const BADGATEWAY: &str = env!("CARGO_BIN_EXE_badgateway");

fn yes_if(holds: bool, missing: &str) -> Seen {
    if holds {
        Seen::Yes
    } else {
        Seen::NotYet(missing.to_owned())
    }
}

fn write(file: &Path, config: &Value) {
    std::fs::write(file, config.to_string()).expect("written");
}

/// Two upstreams on servers that are well.
fn two() -> Value {
    let origin = || format!("http://{}/", serve(answers(OK)));
    json!({
        "defaults": { "interval": "1s" },
        "upstreams": [{ "name": "stays", "origin": origin() }, { "name": "goes", "origin": origin() }],
    })
}

fn started(config: &Value) -> (Daemon, PathBuf) {
    let scratch = scratch();
    let daemon = Daemon::start(&scratch, config);
    (daemon, scratch.join("badgateway.yml"))
}

fn probes(metrics: &Metrics) -> f64 {
    metrics.sum("probes_total", &[])
}

#[test]
fn a_reload_keeps_what_did_not_change_and_removes_what_went() {
    let mut config = two();
    let (daemon, file) = started(&config);
    let before = daemon.wait_until("stays", |metrics| yes_if(probes(metrics) >= 2.0, "two probes"));
    daemon.wait_until("goes", |metrics| yes_if(probes(metrics) >= 1.0, "a probe"));

    config["upstreams"][1] = json!({ "name": "comes", "origin": format!("http://{}/", serve(answers(OK))) });
    write(&file, &config);
    let answer = http::ask(daemon.address(), "POST", "/-/reload", &[], b"").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());

    let after = daemon.scrape_upstream("stays");
    assert!(
        probes(&after) >= probes(&before),
        "the counters of an unchanged upstream go on"
    );
    assert!(
        !daemon.page().contains("upstream=\"goes\""),
        "series of a removed upstream go"
    );
    daemon.wait_until("comes", |metrics| yes_if(probes(metrics) >= 1.0, "a probe"));
}

#[test]
fn a_hangup_reloads_and_a_bad_file_changes_nothing() {
    let mut config = two();
    let (daemon, file) = started(&config);
    daemon.wait_until("goes", |metrics| yes_if(probes(metrics) >= 1.0, "a probe"));

    config["upstreams"][1]["intervall"] = json!("1s");
    write(&file, &config);
    let answer = http::ask(daemon.address(), "POST", "/-/reload", &[], b"").expect("an answer");
    assert_eq!(answer.status, 500);
    assert!(
        answer.text().contains("interval"),
        "names the nearest key: {}",
        answer.text()
    );
    assert_eq!(daemon.scrape().sum("config_last_reload_successful", &[]), 0.0);
    let before = probes(&daemon.scrape_upstream("goes"));
    daemon.wait_until("goes", |metrics| {
        yes_if(probes(metrics) > before, "one more probe by the old configuration")
    });

    config["upstreams"].as_array_mut().expect("a list").pop();
    write(&file, &config);
    daemon.process().signal("HUP");
    daemon.wait_until("", |metrics| {
        let reloaded = metrics.sum("config_last_reload_successful", &[]) == 1.0;
        yes_if(
            reloaded && !metrics.has("probes_total", &[("upstream", "goes")]),
            "the good file taken over",
        )
    });
}

#[test]
fn a_reload_needs_a_post() {
    let (daemon, _file) = started(&two());
    let answer = http::get(daemon.address(), "/-/reload", &[]).expect("an answer");
    assert_eq!(answer.status, 405);
}

#[test]
fn secrets_are_shown_nowhere() {
    let origin = json!({
        "url": format!("http://{}/?key=s3cret-query", serve(http1::status("500 Internal Server Error"))),
        "auth": { "basic": { "username": "probe", "password": "s3cret-password" } },
        "headers": { "X-Api-Key": "s3cret-key" },
    });
    let daemon = Daemon::watching("safe", json!({ "origin": origin }));
    daemon.wait_until("safe", |metrics| {
        yes_if(metrics.has("probe_failing", &[]), "a failing series")
    });
    for path in ["/", "/logs", "/config", "/metrics"] {
        let page = http::get(daemon.address(), path, &[]).expect("an answer").text();
        assert!(!page.contains("s3cret"), "{path}:\n{page}");
    }
    let log = daemon.process().output("", 200);
    assert!(!log.contains("s3cret"), "{log}");
}

/// With few descriptors left the daemon says so and blames nobody.
#[test]
fn a_lack_of_descriptors_is_nobodys_failure() {
    let silent = serve(|wire| peers::drain(wire));
    let upstreams: Vec<_> = (0..60)
        .map(|index| json!({ "name": format!("u{index}"), "origin": format!("http://{silent}/") }))
        .collect();
    let config = json!({
        "defaults": { "interval": "2s", "timeout": "1s", "confirm": { "retries": 0 } },
        "upstreams": upstreams,
    });
    let scratch = scratch();
    let daemon = Daemon::start_limited(&scratch, &config, 40);
    daemon.wait_until("", |metrics| {
        let aborted = metrics.sum("probes_aborted_total", &[("reason", "file_limit")]);
        let failed = metrics.sum("probe_failures_total", &[]);
        if failed != metrics.sum("probe_failures_total", &[("cause", "response_timeout")]) {
            return Seen::Never("another cause than the silence of the peer".into());
        }
        yes_if(aborted > 0.0 && failed > 0.0, "probes aborted for want of descriptors")
    });
}

/// A name with more addresses than the rate has room for: what does not fit the interval is our own doing.
#[test]
fn more_than_max_rate_allows_is_aborted() {
    let port = peers::serve_on(Ipv4Addr::UNSPECIFIED.into(), |mut stream| answers(OK)(&mut stream)).port();
    let addresses = [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.3",
        "127.0.0.4",
        "127.0.0.5",
        "127.0.0.6",
    ];
    let resolver = dns::serve(move |question| vec![question.addresses(&addresses).bytes()]);
    let origin = json!({ "url": format!("http://many.peer.test:{port}/"), "resolvers": [resolver.to_string()] });
    let daemon = Daemon::watching("busy", json!({ "origin": origin, "max_rate": "2/s" }));
    let metrics = daemon.wait_until("busy", |metrics| {
        let aborted = metrics.sum("probes_aborted_total", &[("reason", "rate_limit")]);
        yes_if(
            aborted > 0.0 && probes(metrics) > 0.0,
            "some probes made and some aborted",
        )
    });
    assert_eq!(metrics.sum("probe_failures_total", &[]), 0.0, "and nobody is blamed");
}

#[test]
fn what_is_wrong_at_the_start_is_one_clear_line_and_exit_1() {
    let scratch = scratch();
    let file = scratch.join("bad.yml");
    std::fs::write(
        &file,
        "upstreams:\n  - name: a\n    origin: http://127.0.0.1\n    expect: { status: [2xx5] }\n",
    )
    .expect("written");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let good = scratch.join("good.yml");
    write(&good, &two());
    let cases: [(&[&str], &str); 3] = [
        (
            &["run", "--config.file", file.to_str().expect("plain")],
            "\"2xx5\" is not a status range",
        ),
        (
            &["run", "--config.file", "/nonexistent/badgateway.yml"],
            "/nonexistent/badgateway.yml",
        ),
        (
            &[
                "run",
                "--config.file",
                good.to_str().expect("plain"),
                "--web.listen-address",
                &address,
            ],
            "is in use by another program",
        ),
    ];
    for (arguments, expected) in cases {
        let output = Command::new(BADGATEWAY).args(arguments).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    std::fs::remove_dir_all(scratch).expect("removed");
}

#[test]
fn it_stops_in_good_order() {
    let (daemon, _file) = started(&two());
    daemon.process().signal("TERM");
    daemon
        .process()
        .wait_for("the last line", |line| line.contains("\"stopped\"").then_some(()));
}
