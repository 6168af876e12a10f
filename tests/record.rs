//! Records the series that the tests of the alert rules run on: two real daemons watch peers that are well, fail for a
//! moment, fail for long, and are well again.
//!
//! `cargo test --test record` writes `alerts/tests/recorded_*.yml` anew, in some five minutes; `cargo test` alone leaves it
//! out. A second of the recording stands for 15 s of the tests: rounds and scrapes come once a second, and
//! times since the beginning are stretched alike.

mod support;

#[path = "record/peers.rs"]
mod peers;
#[path = "record/scenarios.rs"]
mod scenarios;
#[path = "record/series.rs"]
mod series;

use std::time::Duration;

use serde_json::json;
use support::daemon::{Daemon, scratch};
use support::http;
use tokio::time::Instant;

use scenarios::{Scenario, Stage};
use series::Recording;

/// Scrapes of a recording, and from which to which the fault lasts. One before it, a blip begins and ends.
const SCRAPES: usize = 250;
const BLIP: std::ops::Range<usize> = 12..13;
const FAULT: std::ops::Range<usize> = 30..140;
/// When one daemon starts anew and the other loads its configuration again.
const RESTART: usize = 200;
const RELOAD: usize = 215;

fn config(scenarios: &[Scenario], repaired: bool) -> serde_json::Value {
    let upstreams: Vec<_> = scenarios.iter().map(|scenario| scenario.upstream(repaired)).collect();
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

#[test]
fn record() {
    let folder = scratch();
    let stage = Stage::new(&folder);
    let scenarios = scenarios::all(&stage);
    let folders = ["a", "b"].map(|name| folder.join(name));
    let start = |folder: &std::path::PathBuf, repaired| {
        std::fs::create_dir_all(folder).expect("created");
        Daemon::start(folder, &config(&scenarios, repaired))
    };
    let mut daemons = folders.each_ref().map(|folder| start(folder, false));
    let mut recordings = ["a:10502", "b:10502"].map(Recording::new);
    let begin = Instant::now();
    for scrape in 0..SCRAPES {
        for scenario in &scenarios {
            scenario.switch(BLIP.contains(&scrape), FAULT.contains(&scrape));
        }
        match scrape {
            RESTART => {
                recordings[1].missed();
                daemons[1] = start(&folder.join("again"), true);
                recordings[0].scraped(&daemons[0].page());
                continue;
            }
            RELOAD => {
                let text = config(&scenarios, true).to_string();
                std::fs::write(folders[0].join("badgateway.yml"), text).expect("written");
                let answer = http::ask(daemons[0].address(), "POST", "/-/reload", &[], b"").expect("an answer");
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            _ => {}
        }
        for (recording, daemon) in recordings.iter_mut().zip(&daemons) {
            recording.scraped(&daemon.page());
        }
        let next = begin + Duration::from_secs(scrape as u64 + 1);
        // A scrape has its time; nothing is waited for.
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    for scenario in &scenarios {
        series::write(scenario, &recordings);
    }
}
