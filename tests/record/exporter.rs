//! What the program itself may suffer from: of each pair the first daemon stays well, and the second does not.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::peers::{Broken, Door};
use super::series::{Check, File, Recording, STEP, Series, firing, prolong};
use super::support::daemon::{Daemon, scratch};
use super::support::peers::http1::{OK, answers, status};
use super::support::peers::{Behaviour, read_head, say, serve, serve_on};
use super::support::{dns, http};
use super::{BLIP, FAULT, SCRAPES, STRETCH};

/// Samples that continue a recording as its last ones went.
const TAIL: usize = 2 * 240;

/// What befalls the second daemon.
enum Trouble {
    /// It is told to load this, which it takes or refuses.
    Loads { text: String, taken: bool },
    /// What it asks changes.
    Peers(Box<dyn Fn(bool) + Send + Sync>),
    /// It does not run; or neither does.
    Gone { both: bool },
    /// It is held up for two seconds of three, as where others take the CPU.
    HeldUp,
}

/// A pair and its trouble.
struct Case {
    name: &'static str,
    /// The label sets of what fires in the end.
    alerts: Vec<String>,
    /// Merged into the second daemon's configuration from the start.
    own: Value,
    trouble: Trouble,
}

fn case(name: &'static str, alert: &str, labels: &str, trouble: Trouble) -> Case {
    Case {
        name,
        alerts: vec![format!(
            "alertname=\"{alert}\", job=\"badgateway\", instance=\"b:10502\"{labels}"
        )],
        own: json!({}),
        trouble,
    }
}

/// A configuration with one upstream, and what is said otherwise.
fn config(origin: &str, changes: &Value) -> Value {
    let mut config = json!({
        "defaults": { "interval": "1s", "timeout": "800ms", "confirm": { "delay": "100ms" } },
        "upstreams": [{ "name": "shop", "origin": origin, "labels": { "team": "payments" } }],
        "external_url": "https://badgateway.example.com/",
    });
    for (key, value) in changes.as_object().expect("a map") {
        config[key] = value.clone();
    }
    config
}

/// Answers well, each time with another status.
fn many_codes() -> Behaviour {
    let next = AtomicU16::new(0);
    Box::new(move |wire| {
        read_head(wire);
        let code = 230 + next.fetch_add(1, Ordering::Relaxed) % 40;
        say(
            wire,
            format!("HTTP/1.1 {code} Fine\r\nContent-Length: 2\r\n\r\nok").as_bytes(),
        );
        wire.finish();
    })
}

fn switch(doors: impl IntoIterator<Item = Door>) -> Box<dyn Fn(bool) + Send + Sync> {
    let doors: Vec<Door> = doors.into_iter().collect();
    Box::new(move |broken| doors.iter().for_each(|door| door.set(broken)))
}

/// A name that comes to have more addresses than can be probed at the allowed rate.
fn growing_name() -> Case {
    let well = answers(OK);
    let well = serve_on(Ipv4Addr::UNSPECIFIED.into(), move |mut stream| well(&mut stream));
    let grown = Arc::new(AtomicBool::new(false));
    let seen = grown.clone();
    let resolver = dns::serve(move |question| {
        let count = if seen.load(Ordering::SeqCst) { 16 } else { 2 };
        let addresses: Vec<String> = (1..=count).map(|last| format!("127.0.0.{last}")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        vec![question.addresses(&addresses).bytes()]
    });
    let url = format!("http://service.peer.test:{}/", well.port());
    let own = json!({ "upstreams": [{
        "name": "shop", "origin": { "url": url, "resolvers": [resolver.to_string()], "family": "ipv4" },
        "max_rate": "4/s", "labels": { "team": "payments" },
    }] });
    let trouble = Trouble::Peers(Box::new(move |grows| grown.store(grows, Ordering::SeqCst)));
    Case {
        own,
        ..case("aborted", "BadGatewayProbesAborted", ", reason=\"rate_limit\"", trouble)
    }
}

fn cases(origin: &str) -> Vec<Case> {
    let good: std::net::SocketAddr = serve(answers(OK));
    let loads = |changes: &Value| Trouble::Loads {
        text: config(origin, changes).to_string(),
        taken: true,
    };
    let codes = Door::new(good, Broken::LeadsTo(serve(many_codes())));
    let checks = [(), ()].map(|()| Door::new(good, Broken::Refuses));
    let list = br#"HTTP/1.1 200 OK
Content-Type: application/json
Connection: close

[]"#;
    let list = serve(answers(String::from_utf8_lossy(list).replace('\n', "\r\n")));
    let source = Door::new(list, Broken::LeadsTo(serve(status("500 Internal Server Error"))));
    vec![
        case(
            "reload_failed",
            "BadGatewayConfigReloadFailed",
            "",
            Trouble::Loads {
                text: "upstreams: [{ nam: shop }]".to_owned(),
                taken: false,
            },
        ),
        Case {
            // What begins too late does not fit its interval any more.
            alerts: [
                "BadGatewayRoundsLate\"",
                "BadGatewayProbesAborted\", reason=\"rate_limit\"",
            ]
            .map(|alert| format!("alertname=\"{alert}, job=\"badgateway\", instance=\"b:10502\""))
            .into(),
            ..case("late", "", "", Trouble::HeldUp)
        },
        Case {
            // Rounds become rare, and are not late for that.
            alerts: Vec::new(),
            ..case(
                "rare_rounds",
                "",
                "",
                loads(&json!({ "defaults": { "interval": "100s" } })),
            )
        },
        growing_name(),
        Case {
            own: json!({ "upstreams": [{
                "name": "shop", "origin": format!("http://{}/", codes.address), "labels": { "team": "payments" },
            }] }),
            ..case(
                "series_dropped",
                "BadGatewaySeriesDropped",
                "",
                Trouble::Peers(switch([codes])),
            )
        },
        Case {
            own: json!({ "self_check": checks.each_ref().map(|door| format!("http://{}/", door.address)) }),
            ..case(
                "cut_off",
                "BadGatewaySelfConnectivityLost",
                "",
                Trouble::Peers(switch(checks)),
            )
        },
        Case {
            own: json!({ "discovery": [{ "http": {
                "url": format!("http://{}/", source.address), "refresh": "1s",
            } }] }),
            ..case(
                "discovery",
                "BadGatewayDiscoveryFailing",
                "",
                Trouble::Peers(switch([source])),
            )
        },
        case(
            "one_absent",
            "BadGatewayExporterAbsent",
            "",
            Trouble::Gone { both: false },
        ),
        Case {
            alerts: [
                "",
                ", job=\"badgateway\", instance=\"a:10502\"",
                ", job=\"badgateway\", instance=\"b:10502\"",
            ]
            .map(|labels| format!("alertname=\"BadGatewayExporterAbsent\"{labels}"))
            .into(),
            ..case("all_absent", "", "", Trouble::Gone { both: true })
        },
    ]
}

/// The two daemons of a case; `None` while one does not run.
struct Pair<'a> {
    case: &'a Case,
    configs: [Value; 2],
    folders: [PathBuf; 2],
    daemons: [Option<Daemon>; 2],
    recordings: [Recording; 2],
}

impl<'a> Pair<'a> {
    fn start(case: &'a Case, folder: &Path, origin: &str) -> Pair<'a> {
        let mut pair = Pair {
            case,
            configs: [config(origin, &json!({})), config(origin, &case.own)],
            folders: ["a", "b"].map(|name| folder.join(case.name).join(name)),
            daemons: [None, None],
            recordings: ["a:10502", "b:10502"].map(|instance| Recording::new(instance, STRETCH)),
        };
        (0..2).for_each(|which| pair.run(which));
        pair
    }

    fn run(&mut self, which: usize) {
        std::fs::create_dir_all(&self.folders[which]).expect("created");
        self.daemons[which] = Some(Daemon::start(&self.folders[which], &self.configs[which]));
    }

    fn load(&self, text: &str, taken: bool) {
        std::fs::write(self.folders[1].join("badgateway.yml"), text).expect("written");
        let address = self.daemons[1].as_ref().expect("runs").address();
        let answer = http::ask(address, "POST", "/-/reload", &[], b"").expect("an answer");
        assert_eq!(answer.status == 200, taken, "{}", answer.text());
    }

    fn hold(&self, signal: Signal) {
        let pid = self.daemons[1].as_ref().expect("runs").process().pid();
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }

    /// The trouble begins, or ends.
    fn turn(&mut self, begins: bool) {
        match &self.case.trouble {
            Trouble::Loads { text, taken } if begins => self.load(text, *taken),
            Trouble::Loads { .. } => self.load(&self.configs[1].to_string(), true),
            Trouble::Peers(set) => set(begins),
            Trouble::HeldUp if begins => {}
            Trouble::HeldUp => self.hold(Signal::CONT),
            Trouble::Gone { both } => {
                for which in if *both { 0..2 } else { 1..2 } {
                    match begins {
                        true => self.daemons[which] = None,
                        false => self.run(which),
                    }
                }
            }
        }
    }

    fn scrape(&mut self, number: usize) {
        let held = matches!(self.case.trouble, Trouble::HeldUp) && FAULT.contains(&number);
        if held && number % 3 == 2 {
            self.hold(Signal::CONT);
        }
        for (which, (recording, daemon)) in self.recordings.iter_mut().zip(&self.daemons).enumerate() {
            match daemon {
                Some(daemon) if which == 0 || !held || number % 3 != 1 => recording.scraped(&daemon.page()),
                _ => recording.missed(),
            }
        }
        if held && number.is_multiple_of(3) {
            self.hold(Signal::STOP);
        }
    }

    fn record(mut self) {
        let begin = Instant::now();
        for number in 0..SCRAPES {
            // A blip of what is gone would be a restart, which others have.
            let blips = matches!(self.case.trouble, Trouble::Peers(_));
            if [FAULT.start, FAULT.end].contains(&number) || blips && [BLIP.start, BLIP.end].contains(&number) {
                self.turn(number == FAULT.start || number == BLIP.start);
            }
            self.scrape(number);
            let next = begin + Duration::from_secs(number as u64 + 1);
            // A scrape has its time; nothing is waited for.
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        self.write();
    }

    /// Silence before the trouble, its alerts at its end, silence in the end.
    fn write(&self) {
        let mut series: Vec<Series> = self
            .recordings
            .iter()
            .flat_map(|recording| recording.series(|_| true))
            .collect();
        series.iter_mut().for_each(|series| prolong(series, TAIL));
        let minutes = |scrape: usize| scrape * STEP / 60;
        let checks = [
            (minutes(FAULT.start) - 1, Vec::new()),
            (minutes(FAULT.end) - 1, self.case.alerts.clone()),
            (minutes(SCRAPES + TAIL) - 1, Vec::new()),
        ];
        let checks = checks.map(|(minute, gives)| Check {
            expression: firing("alertname, job, instance, reason, upstream"),
            minute,
            gives,
        });
        let file = File {
            name: self.case.name,
            note: "Recorded from two daemons by tests/record.rs; a second there is 15 s here.",
            evaluation: "1m",
        };
        file.write(&series, &checks);
    }
}

/// Records all cases side by side.
pub fn record() {
    let folder = scratch();
    let origin = format!("http://{}/", serve(answers(OK)));
    let cases = cases(&origin);
    std::thread::scope(|scope| {
        for case in &cases {
            let (folder, origin) = (&folder, &origin);
            scope.spawn(move || Pair::start(case, folder, origin).record());
        }
    });
}
