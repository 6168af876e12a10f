//! Two real daemons watch peers that are well, fail for a moment, fail for long, and are well again.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::scenarios::{self, Scenario, Stage, When};
use super::series::{self, Check, File, Recording, STEP, firing, prolong};
use super::support::daemon::{Daemon, scratch};
use super::support::http;
use super::support::metrics::Sample;
use super::{BLIP, FAULT, SCRAPES, STRETCH};

/// When one daemon starts anew and the other loads its configuration again.
const RESTART: usize = 200;
const RELOAD: usize = 215;

/// Samples that continue a recording as its last ones went: in one of them long enough for a budget to recover.
fn tail(scenario: &Scenario) -> usize {
    if scenario.name == "refused" { 9 * 240 } else { 2 * 240 }
}

fn config(scenarios: &[Scenario], when: When) -> serde_json::Value {
    let upstreams: Vec<_> = scenarios.iter().map(|scenario| scenario.upstream(when)).collect();
    json!({
        "defaults": { "interval": "1s", "timeout": "800ms", "confirm": { "delay": "100ms" }, "max_rate": "100/s",
                      "labels": { "team": "payments", "tier": "gold" }, "objective": "99.99%" },
        "gateways": [
            { "name": "edge", "kind": "nginx", "limits": { "first_byte": "500ms", "response_header": "8KiB" } },
            { "name": "roomy", "kind": "nginx", "limits": { "first_byte": "500ms", "response_header": "32KiB" } },
        ],
        "upstreams": upstreams,
        "external_url": "https://badgateway.example.com/",
    })
}

fn start(folder: &Path, config: &serde_json::Value) -> Daemon {
    std::fs::create_dir_all(folder).expect("created");
    Daemon::start(folder, config)
}

fn reload(daemon: &Daemon, folder: &Path, config: &serde_json::Value) {
    std::fs::write(folder.join("badgateway.yml"), config.to_string()).expect("written");
    let answer = http::ask(daemon.address(), "POST", "/-/reload", &[], b"").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Records all scenarios.
pub fn record() {
    let folder = scratch();
    let stage = Stage::new(&folder);
    let scenarios = scenarios::all(&stage);
    let folders = ["a", "b"].map(|name| folder.join(name));
    let config = |when| config(&scenarios, when);
    let mut daemons: Vec<Daemon> = folders
        .iter()
        .map(|folder| start(folder, &config(When::Before)))
        .collect();
    let mut recordings = ["a:10502", "b:10502"].map(|instance| Recording::new(instance, STRETCH));
    let begin = Instant::now();
    for scrape in 0..SCRAPES {
        for scenario in &scenarios {
            scenario.switch(BLIP.contains(&scrape), FAULT.contains(&scrape));
        }
        if scrape == FAULT.start {
            for (daemon, folder) in daemons.iter().zip(&folders) {
                reload(daemon, folder, &config(When::During));
            }
        }
        if scrape == RELOAD {
            reload(&daemons[0], &folders[0], &config(When::After));
        }
        for (recording, daemon) in recordings.iter_mut().zip(&daemons) {
            recording.scraped(&daemon.page());
        }
        if scrape == RESTART {
            daemons.truncate(1);
            daemons.push(start(&folders[1], &config(When::After)));
        }
        let next = begin + Duration::from_secs(scrape as u64 + 1);
        // A scrape has its time; nothing is waited for.
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    for scenario in &scenarios {
        write(scenario, &recordings);
    }
}

/// The series of an upstream, but for those that tell how the program itself goes on, and which program this is.
fn wanted(sample: &Sample, upstream: &str) -> bool {
    let of_program = ["last_round", "round_interval"];
    match sample.labels.get("upstream") {
        Some(of) => of == upstream && !of_program.iter().any(|part| sample.name.contains(part)),
        None => sample.name == "badgateway_build_info",
    }
}

/// Writes the tests of a scenario: silence before the fault, its alerts at its end, silence in the end.
fn write(scenario: &Scenario, recordings: &[Recording]) {
    let name = scenario.name;
    let mut series: Vec<series::Series> = recordings
        .iter()
        .flat_map(|recording| recording.series(|sample| wanted(sample, name)))
        .collect();
    series.iter_mut().for_each(|series| prolong(series, tail(scenario)));
    let minutes = |scrape: usize| scrape * STEP / 60;
    let budget: &[&str] = if scenario.burns && name != "refused" {
        &["BadGatewaySlowBurn"]
    } else {
        &[]
    };
    let expected = [
        (minutes(FAULT.start) - 1, &[][..]),
        (minutes(FAULT.end) - 1, &scenario.alerts),
        (minutes(SCRAPES + tail(scenario)) - 1, budget),
    ];
    let checks = expected.map(|(minute, alerts)| Check {
        expression: firing("alertname, upstream, team"),
        minute,
        gives: alerts
            .iter()
            .map(|alert| format!("alertname=\"{alert}\", upstream=\"{name}\", team=\"payments\""))
            .collect(),
    });
    let file = File {
        name,
        note: "Recorded from two daemons by tests/record.rs; a second there is 15 s here.",
        evaluation: "1m",
    };
    file.write(&series, &checks);
}
