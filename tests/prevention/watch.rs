//! How a row is watched: a daemon beside the gateways of one test, and one Prometheus for all tests with the rules as they
//! are shipped. Only how long a condition must last is left out, so that an alert fires as soon as its condition holds.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::daemon::{Daemon, Seen, scratch};
use crate::support::gateways::Gateway;
use crate::support::http;
use crate::support::process::Process;
use crate::support::stack::{prometheus_of, query, wait_until};

/// Scrapes and evaluations.
const EVERY: &str = "500ms";

/// A format of nginx's log that tells all that is looked for.
pub const LOG: &str = concat!(
    r#"$remote_addr [$time_local] "$request" $status "$http_user_agent" ua="$upstream_addr" us="$upstream_status" "#,
    r#"uc="$upstream_connect_time" uh="$upstream_header_time" ub="$upstream_bytes_received" "#,
    r#"ul="$upstream_response_length" rt=$request_time c=$connection"#
);

/// The Prometheus of all tests, and the directory where each names the daemon that is to be scraped.
struct Rules {
    prometheus: std::net::SocketAddr,
    targets: PathBuf,
    _process: Process,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let folder = scratch();
    let targets = folder.join("targets");
    std::fs::create_dir(&targets).expect("created");
    let config = json!({
        "global": { "scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY },
        "rule_files": [rules(&folder)],
        "scrape_configs": [{ "job_name": "badgateway", "file_sd_configs": [{ "files": [targets.join("*.json")] }] }],
    });
    let (prometheus, process) = prometheus_of(&folder, &config, Some(&folder));
    Rules {
        prometheus,
        targets,
        _process: process,
    }
});

/// The shipped rules without the time a condition must last, and without the time an alert goes on after it. Thresholds,
/// windows and labels are as they are shipped.
fn rules(folder: &Path) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/badgateway.rules.yml");
    let text = std::fs::read_to_string(shipped).expect("readable");
    let quick = text
        .lines()
        .filter_map(|line| match line.trim_start().split_once(": ") {
            Some(("for" | "keep_firing_for", _)) => None,
            Some(("interval", _)) => Some(format!("    interval: {EVERY}\n")),
            _ => Some(format!("{line}\n")),
        });
    let file = folder.join("badgateway.rules.yml");
    std::fs::write(&file, quick.collect::<String>()).expect("written");
    file
}

/// The daemon of one test, seen through Prometheus. Upstreams have names of their own among all tests.
pub struct Watch {
    pub daemon: Daemon,
    target: PathBuf,
}

impl Watch {
    /// Starts the daemon with rounds every second. `scratch` goes with it.
    pub fn start(scratch: &Path, gateways: Value, upstreams: Value) -> Watch {
        let config = json!({
            "defaults": { "interval": "1s", "timeout": "3s", "confirm": { "delay": "100ms" }, "max_rate": "100/s" },
            "gateways": gateways,
            "upstreams": upstreams,
        });
        Watch::of(Daemon::start(scratch, &config))
    }

    /// Has Prometheus scrape this daemon.
    pub fn of(daemon: Daemon) -> Watch {
        let target = RULES.targets.join(format!("{}.json", daemon.address()));
        let named = json!([{ "targets": [daemon.address().to_string()] }]);
        std::fs::write(&target, named.to_string()).expect("written");
        Watch { daemon, target }
    }

    /// Waits until the condition of the alert holds for the upstream. All the while a client is served, and so is every
    /// probe through a gateway. Returns the labels.
    pub fn warns(&self, alert: &str, upstream: &str, ask: impl Fn() -> Option<u16>) -> Value {
        let labels = self.until(&format!("{alert} holds for {upstream}"), || {
            let status = ask();
            assert_eq!(
                status,
                Some(200),
                "a client is not served before {alert} holds: {}",
                self.said(upstream)
            );
            self.holds(alert, upstream)
        });
        let failed = format!("sum(badgateway_probe_failures_total{{upstream={upstream:?}, hop!=\"origin\"}}) > 0");
        assert_eq!(
            query(RULES.prometheus, &failed),
            vec![],
            "the gateway failed before {alert} held: {}",
            self.said(upstream)
        );
        labels
    }

    /// The labels of the alert while its condition holds for the upstream.
    pub fn holds(&self, alert: &str, upstream: &str) -> Option<Value> {
        let holds = format!("ALERTS{{alertname={alert:?}, upstream={upstream:?}, alertstate=\"firing\"}}");
        query(RULES.prometheus, &holds).pop().map(|(labels, _)| labels)
    }

    /// Waits until the signal is there, an expression of PromQL that gives series, and the rules have been looked at since.
    pub fn knows(&self, signal: &str) {
        self.sees(signal);
        rules_run();
    }

    fn sees(&self, signal: &str) {
        self.until(&format!("Prometheus has {signal}"), || {
            (!query(RULES.prometheus, signal).is_empty()).then_some(())
        });
    }

    /// Holds that no alert above `info` has been true of the upstream at any time, once the signal is there.
    pub fn stays_silent(&self, upstream: &str, signal: &str) {
        self.stay_silent([upstream], |_| signal.to_owned());
    }

    /// The same of several upstreams, once the signal of each is there.
    pub fn stay_silent<'a>(&self, upstreams: impl IntoIterator<Item = &'a str>, signal: impl Fn(&str) -> String) {
        let upstreams: Vec<&str> = upstreams.into_iter().collect();
        upstreams.iter().for_each(|upstream| self.sees(&signal(upstream)));
        rules_run();
        for upstream in upstreams {
            assert_eq!(self.above_info(upstream), vec![], "{}", self.said(upstream));
        }
    }

    /// Whether the condition of the alert has held for the upstream at any time.
    pub fn has_held(&self, alert: &str, upstream: &str) -> bool {
        let ever =
            format!("max_over_time(ALERTS{{alertname={alert:?}, upstream={upstream:?}, alertstate=\"firing\"}}[1h])");
        !query(RULES.prometheus, &ever).is_empty()
    }

    /// The alerts above `info` that have held for the upstream at any time.
    fn above_info(&self, upstream: &str) -> Vec<(Value, f64)> {
        let ever =
            format!("max_over_time(ALERTS{{alertstate=\"firing\", severity!=\"info\", upstream={upstream:?}}}[1h])");
        query(RULES.prometheus, &ever)
    }

    /// Waits for an answer; panics with what the daemon says when there is none.
    fn until<T>(&self, what: &str, answer: impl Fn() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = answer() {
                return found;
            }
            let series = || self.daemon.scrape().show("");
            assert!(
                Instant::now() < deadline && !self.daemon.process().ended(),
                "never: {what}\n{}\n{}",
                series(),
                self.daemon.process().output("", 20)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the daemon says of the upstream, for a message.
    fn said(&self, upstream: &str) -> String {
        self.daemon.scrape_upstream(upstream).show("")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It goes with the directory otherwise.
        let _ = std::fs::remove_file(&self.target);
    }
}

/// Waits until every rule has been looked at from now on.
fn rules_run() {
    // One look may be under way.
    let enough = evaluations() + 2.0;
    wait_until("the rules are looked at", || (evaluations() >= enough).then_some(()));
}

/// How often the group of rules that was looked at least has been, by Prometheus's own page.
fn evaluations() -> f64 {
    let page = http::get(RULES.prometheus, "/metrics", &[]).expect("an answer").text();
    let lines = page
        .lines()
        .filter(|line| line.starts_with("prometheus_rule_group_iterations_total{"));
    let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok());
    counts.reduce(f64::min).unwrap_or(0.0)
}

/// Waits until a client gets one of these errors of the gateway's own from it; which.
pub fn fails(errors: &[u16], ask: impl Fn() -> Option<u16>) -> u16 {
    wait_until("the gateway fails", || ask().filter(|status| errors.contains(status)))
}

/// A directory of that name for a program within that of the daemon, which removes it.
pub fn folder(scratch: &Path, name: &str) -> PathBuf {
    let inner = scratch.join(name);
    std::fs::create_dir(&inner).expect("created");
    inner
}

/// An upstream of that name at that path of the origin and of the gateway.
pub fn upstream(name: &str, origin: std::net::SocketAddr, gateway: (&str, &Gateway), path: &str) -> Value {
    let (named, gateway) = (gateway.0, gateway.1.listen);
    json!({
        "name": name,
        "origin": format!("http://{origin}{path}"),
        "via": [{ "gateway": named, "url": format!("http://{gateway}{path}") }],
    })
}

/// What the API says of an upstream.
pub fn said(daemon: &Daemon, upstream: &str) -> Value {
    let answer = http::get(daemon.address(), &format!("/api/v1/upstreams/{upstream}"), &[]).expect("an answer");
    serde_json::from_slice(&answer.body).expect("JSON")
}

pub fn yes_or(yes: bool, missing: impl Into<String>) -> Seen {
    match yes {
        true => Seen::Yes,
        false => Seen::NotYet(missing.into()),
    }
}
