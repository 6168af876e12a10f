//! What gateways' logs tell: real daemons beside two gateways follow the logs these write, and a central one probes the same
//! upstreams and reads none.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::peers::{Broken, Door};
use super::series::{self, Check, Recording, STEP, firing, prolong};
use super::support::daemon::{Daemon, scratch};
use super::support::metrics::Sample;
use super::support::nginx_lines::{Lines, Request};
use super::support::peers::http1::{OK, answers};
use super::support::peers::serve;
use super::{BLIP, FAULT, SCRAPES, STRETCH};

/// When one of those that read logs starts anew, in the midst of the fault and after it.
const RESTARTS: [usize; 2] = [90, 200];
/// Samples that continue a recording as its last ones went.
const TAIL: usize = 2 * 240;
/// Requests a second at each gateway.
const REQUESTS: usize = 25;

/// What fails for users raises these besides its cause.
const USERS: &[&str] = &[
    "BadGatewayUpstreamDown",
    "BadGatewaySpike",
    "BadGatewayFastBurn",
    "BadGatewaySlowBurn",
];

/// What is wrong with the logs themselves.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// The first gateway's log is not there.
    OneMissing,
    /// Neither is.
    Missing,
    /// Nobody asks anything.
    Quiet,
    /// The lines are in a format that nobody told us.
    Foreign,
}

/// One upstream, the gateway in front of it, and what goes wrong.
struct Scenario {
    name: &'static str,
    /// The label sets of what fires in the end of the fault.
    alerts: Vec<String>,
    felt: bool,
    /// The log itself tells of the failures, and so a budget burns on.
    burns: bool,
    upstream: Value,
    /// Objects in a folder instead of a log that grows.
    delayed: bool,
    /// What the requests of a second are, by number, while all is well and while it is not.
    usual: fn(usize) -> Request,
    fault: fn(usize) -> Request,
    trouble: Trouble,
    doors: Vec<Door>,
}

impl Scenario {
    fn firing(mut self, alerts: &[&str]) -> Scenario {
        let name = self.name;
        let alert = |alert: &&str| format!("alertname=\"{alert}\", upstream=\"{name}\", team=\"payments\"");
        self.alerts.extend(alerts.iter().map(alert));
        self
    }

    /// What users feel.
    fn felt(mut self) -> Scenario {
        (self.felt, self.burns) = (true, true);
        self.firing(USERS)
    }

    /// The log that is judged in the end did not see it.
    fn mended(mut self) -> Scenario {
        self.burns = false;
        self
    }

    /// An alert that names the gateway.
    fn at_gateway(mut self, alert: &str) -> Scenario {
        let name = self.name;
        self.alerts.push(format!(
            "alertname=\"{alert}\", gateway=\"{name}\", upstream=\"{name}\", team=\"payments\""
        ));
        self
    }

    fn not_read(mut self, trouble: Trouble) -> Scenario {
        let name = self.name;
        self.trouble = trouble;
        self.alerts.push(format!(
            "alertname=\"BadGatewayLogNotRead\", gateway=\"{name}\", log=\"access\""
        ));
        self
    }

    fn is_missing(&self, gateway: usize) -> bool {
        match self.trouble {
            Trouble::Missing => true,
            Trouble::OneMissing => gateway == 0,
            _ => false,
        }
    }
}

/// A healthy origin behind a gateway that is well for our probes.
fn scenario(name: &'static str, good: std::net::SocketAddr, fault: fn(usize) -> Request) -> Scenario {
    let good = format!("http://{good}/");
    Scenario {
        name,
        alerts: Vec::new(),
        felt: false,
        burns: false,
        upstream: json!({ "origin": good, "via": [{ "gateway": name, "url": good }] }),
        delayed: false,
        usual: |number| if number == 0 { Request::Retried } else { Request::Served },
        fault,
        trouble: Trouble::None,
        doors: Vec::new(),
    }
}

/// Three of ten fail, each with this line in the error log.
macro_rules! three_of_ten {
    ($status:literal, $line:literal) => {
        |number| match number % 10 {
            0..3 => Request::Failed {
                status: $status,
                line: $line,
            },
            _ => Request::Served,
        }
    };
}

const REFUSED: &str = "connect() failed (111: Connection refused) while connecting to upstream";

fn all() -> Vec<Scenario> {
    let good = serve(answers(OK));
    let broken = |how| Door::new(good, how);
    let closed: fn(usize) -> Request = three_of_ten!(
        502,
        "upstream prematurely closed connection while reading response header from upstream"
    );
    let mut all = vec![
        scenario("log_spike", good, closed).felt(),
        scenario(
            "log_blocked",
            good,
            three_of_ten!(504, "upstream timed out (110: Connection timed out) while connecting to upstream"),
        )
        .felt()
        .at_gateway("BadGatewayBlockedByOrigin"),
        scenario(
            "log_breaker",
            good,
            three_of_ten!(
                502,
                "connect() to unix:/run/app.sock failed (11: Resource temporarily unavailable) while connecting to upstream"
            ),
        )
        .felt()
        .firing(&["BadGatewayUpstreamOverloaded"]),
        scenario(
            "log_no_ports",
            good,
            three_of_ten!(
                502,
                "connect() to 127.0.0.1:8080 failed (99: Cannot assign requested address) while connecting to upstream"
            ),
        )
        .felt()
        .at_gateway("BadGatewayOverloaded"),
        Scenario {
            // A retry to six requests is none yet.
            usual: |number| if number % 6 == 1 { Request::Retried } else { Request::Served },
            ..scenario("log_retries", good, |number| match number % 2 {
                0 => Request::Retried,
                _ => Request::Served,
            })
        }
        .at_gateway("BadGatewayRetryStorm"),
        // One in twenty-five is more than one in a hundred, which may fail.
        scenario("log_slow", good, |number| match number {
            0 => Request::Slow,
            _ => Request::Served,
        })
        .at_gateway("BadGatewayLatencyNearTimeout"),
        scenario("log_large_heads", good, |number| match number {
            0 => Request::LargeHead,
            _ => Request::Served,
        })
        .at_gateway("BadGatewayResponseHeaderNearBuffer"),
        scenario("log_missing", good, |_| Request::Served).not_read(Trouble::Missing),
        scenario("log_half_read", good, closed).felt().not_read(Trouble::OneMissing),
        scenario("log_foreign", good, |_| Request::Served).not_read(Trouble::Foreign),
    ];
    all.push(Scenario {
        // What an objective allows is nobody's alert.
        upstream: json!({ "objective": "90%", "origin": format!("http://{good}/"),
                          "via": [{ "gateway": "log_allowed", "url": format!("http://{good}/") }] }),
        usual: |number| match number {
            0 => Request::Failed {
                status: 502,
                line: REFUSED,
            },
            _ => Request::Served,
        },
        ..scenario("log_allowed", good, |number| match number {
            0 => Request::Failed {
                status: 502,
                line: REFUSED,
            },
            _ => Request::Served,
        })
    });
    all.push(Scenario {
        trouble: Trouble::Quiet,
        ..scenario("log_quiet", good, |_| Request::Served)
    });
    all.push(Scenario {
        // What comes late pages nobody.
        delayed: true,
        ..scenario("log_delayed", good, closed)
    });
    let door = broken(Broken::Refuses);
    all.push(
        // The origin refuses us as it refuses the gateway: nobody is turned away.
        Scenario {
            upstream: json!({ "origin": format!("http://{}/", door.address),
                              "via": [{ "gateway": "log_refused", "url": format!("http://{good}/") }] }),
            doors: vec![door],
            ..scenario(
                "log_refused",
                good,
                three_of_ten!(
                    502,
                    "connect() failed (111: Connection refused) while connecting to upstream"
                ),
            )
        }
        .felt()
        .firing(&["BadGatewayUpstreamConnectRefused"]),
    );
    let door = broken(Broken::Refuses);
    all.push(
        // The log is gone together with what wrote it: then rounds say it.
        Scenario {
            upstream: json!({ "origin": format!("http://{good}/"),
                              "via": [{ "gateway": "log_gone_down", "url": format!("http://{}/", door.address) }] }),
            doors: vec![door],
            ..scenario("log_gone_down", good, |_| Request::Served)
        }
        .felt()
        .mended()
        .firing(&["BadGatewayUnreachable"])
        .not_read(Trouble::Missing),
    );
    let cached = "HTTP/1.1 502 Bad Gateway\r\nAge: 30\r\nX-Cache: HIT\r\nContent-Length: 5\r\n\r\nerror";
    let door = broken(Broken::LeadsTo(serve(answers(cached))));
    all.push(
        Scenario {
            upstream: json!({ "origin": format!("http://{good}/"),
                              "via": [{ "gateway": "log_cached", "url": format!("http://{}/", door.address) }] }),
            doors: vec![door],
            ..scenario("log_cached", good, |number| match number % 10 {
                0..3 => Request::Origins(502),
                _ => Request::Served,
            })
        }
        .felt()
        .firing(&["BadGatewayCached"]),
    );
    all
}

/// The folder a gateway writes into.
fn logs_of(folder: &Path, gateway: usize, scenario: &Scenario) -> PathBuf {
    folder.join("logs").join(gateway.to_string()).join(scenario.name)
}

/// The configuration of the daemon beside a gateway, or of the central one, which reads no logs.
fn config(scenarios: &[Scenario], folder: &Path, beside: Option<usize>) -> Value {
    let gateway = |scenario: &Scenario| {
        let mut gateway = json!({ "name": scenario.name, "kind": "nginx" });
        let Some(number) = beside else { return gateway };
        let logs = logs_of(folder, number, scenario);
        gateway["access_log"] = match scenario.delayed {
            true => json!({ "drop": logs.join("*.gz") }),
            false => json!({ "path": logs.join("access.log") }),
        };
        gateway["error_log"] = json!(logs.join("error.log"));
        gateway
    };
    let upstream = |scenario: &Scenario| {
        let mut upstream = scenario.upstream.clone();
        upstream["name"] = json!(scenario.name);
        upstream
    };
    let mut config = json!({
        "defaults": { "interval": "1s", "timeout": "800ms", "confirm": { "delay": "100ms" }, "max_rate": "100/s",
                      "labels": { "team": "payments", "tier": "gold" }, "objective": "99%" },
        "gateways": scenarios.iter().map(gateway).collect::<Vec<_>>(),
        "upstreams": scenarios.iter().map(upstream).collect::<Vec<_>>(),
        "external_url": "https://badgateway.example.com/",
    });
    if let Some(number) = beside {
        config["storage"] = json!({ "path": folder.join(format!("state{number}")) });
    }
    config
}

/// What a gateway writes in a second.
fn write(scenario: &Scenario, folder: &Path, gateway: usize, second: usize, ill: bool) {
    let logs = logs_of(folder, gateway, scenario);
    let access = logs.join("access.log");
    if ill && scenario.is_missing(gateway) {
        // It may be gone already.
        let _ = fs::remove_file(access);
        return;
    }
    let mut lines = Lines::default();
    let of = if ill { scenario.fault } else { scenario.usual };
    let count = if ill && scenario.trouble == Trouble::Quiet {
        0
    } else {
        REQUESTS
    };
    for number in 0..count {
        match ill && scenario.trouble == Trouble::Foreign {
            true => lines.foreign(number),
            false => lines.add(of(number), second * REQUESTS + number),
        }
    }
    append(&logs.join("error.log"), lines.error.as_bytes());
    if !scenario.delayed {
        return append(&access, lines.access.as_bytes());
    }
    let object = logs.join(format!("{second}.part"));
    let mut packed = GzEncoder::new(File::create(&object).expect("created"), Compression::fast());
    packed.write_all(lines.access.as_bytes()).expect("written");
    packed.finish().expect("written");
    fs::rename(&object, object.with_extension("gz")).expect("renamed");
}

fn append(file: &Path, bytes: &[u8]) {
    let mut file = File::options().create(true).append(true).open(file).expect("a log");
    file.write_all(bytes).expect("written");
}

/// Records all scenarios.
pub fn record() {
    let folder = scratch();
    let scenarios = all();
    for scenario in &scenarios {
        for gateway in 0..2 {
            let logs = logs_of(&folder, gateway, scenario);
            fs::create_dir_all(&logs).expect("created");
            append(&logs.join("error.log"), b"");
            append(&logs.join("access.log"), b"");
        }
    }
    let start = |which: usize| {
        let own = folder.join(format!("daemon{which}"));
        fs::create_dir_all(&own).expect("created");
        Daemon::start(
            &own,
            &config(&scenarios, &folder, Some(which).filter(|which| *which < 2)),
        )
    };
    let mut daemons: Vec<Daemon> = (0..3).map(start).collect();
    let mut recordings = ["a:10502", "b:10502", "central:10502"].map(|instance| Recording::new(instance, STRETCH));
    let begin = Instant::now();
    for second in 0..SCRAPES {
        let ill = BLIP.contains(&second) || FAULT.contains(&second);
        for scenario in &scenarios {
            scenario.doors.iter().for_each(|door| door.set(ill));
            (0..2).for_each(|gateway| write(scenario, &folder, gateway, second, ill));
        }
        for (recording, daemon) in recordings.iter_mut().zip(&daemons) {
            recording.scraped(&daemon.page());
        }
        if RESTARTS.contains(&second) {
            drop(daemons.remove(1));
            daemons.insert(1, start(1));
        }
        let next = begin + Duration::from_secs(second as u64 + 1);
        // A scrape has its time; nothing is waited for.
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    for scenario in &scenarios {
        save(scenario, &recordings);
    }
}

/// The series of an upstream and of its gateway, but for those that tell how the program itself goes on.
fn wanted(sample: &Sample, name: &str) -> bool {
    let of_program = ["last_round", "round_interval"];
    let of = |label: &str| sample.labels.get(label).map(String::as_str);
    match of("upstream").or(of("gateway")) {
        Some(of) => of == name && !of_program.iter().any(|part| sample.name.contains(part)),
        None => sample.name == "badgateway_build_info",
    }
}

/// Writes the tests of a scenario: silence before the fault, its alerts at its end, silence in the end.
fn save(scenario: &Scenario, recordings: &[Recording]) {
    let name = scenario.name;
    let mut series: Vec<series::Series> = recordings
        .iter()
        .flat_map(|recording| recording.series(|sample| wanted(sample, name)))
        .collect();
    series.iter_mut().for_each(|series| prolong(series, TAIL));
    let minutes = |scrape: usize| scrape * STEP / 60;
    let budget = format!("alertname=\"BadGatewaySlowBurn\", upstream=\"{name}\", team=\"payments\"");
    let expected = [
        (minutes(FAULT.start) - 1, Vec::new()),
        (minutes(FAULT.end) - 1, scenario.alerts.clone()),
        (
            minutes(SCRAPES + TAIL) - 1,
            Vec::from_iter(scenario.burns.then_some(budget)),
        ),
    ];
    let mut checks: Vec<Check> = expected
        .into_iter()
        .map(|(minute, gives)| Check {
            expression: firing("alertname, gateway, log, upstream, team"),
            minute,
            gives,
        })
        .collect();
    if !scenario.felt {
        // At no time at all.
        checks.push(Check {
            expression: "max_over_time(ALERTS{severity=\"critical\"}[3h])".to_owned(),
            minute: minutes(SCRAPES + TAIL) - 1,
            gives: Vec::new(),
        });
    }
    let file = series::File {
        name,
        note: "Recorded from two daemons beside gateways and a central one by tests/record.rs; a second there is 15 s here.",
        evaluation: "1m",
    };
    file.write(&series, &checks);
}
