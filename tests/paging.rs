//! From the first bad response to the page: real nginx, the daemon as a pair, Prometheus with the shipped rules,
//! Alertmanager with the shipped routing, and a receiver in the place of the person who is woken.

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Daemon, scratch};
use support::peers::http1::{OK, answers};
use support::peers::serve;
use support::process::Process;
use support::stack::{address, alertmanager, nginx, prometheus_with, query, receiver, wait_until};
use support::{http, programs};
use tokio::time::Instant;

/// Two daemons that watch the same upstream, Prometheus and Alertmanager, and what the receiver was sent.
struct Stack {
    prometheus: SocketAddr,
    notifications: Receiver<(String, Value)>,
    daemons: Vec<Daemon>,
    _processes: Vec<Process>,
}

impl Stack {
    fn start(folder: &Path, upstream: &Value) -> Stack {
        let daemons: Vec<_> = [11, 12]
            .map(|last| daemon(&folder.join(last.to_string()), upstream, address(last)))
            .into();
        let (webhook, notifications) = receiver();
        let (alertmanager, alertmanager_process) = alertmanager(folder, webhook);
        let rules = rules(folder);
        let more = json!({
            "rule_files": [rules],
            "alerting": { "alertmanagers": [{ "static_configs": [{ "targets": [alertmanager.to_string()] }] }] },
        });
        let targets: Vec<_> = daemons.iter().map(Daemon::address).collect();
        let (prometheus, prometheus_process) = prometheus_with(folder, &targets, more);
        Stack {
            prometheus,
            notifications,
            daemons,
            _processes: vec![alertmanager_process, prometheus_process],
        }
    }

    /// Ends a daemon, starts it anew at its address, and waits until Prometheus has seen both and rounds since.
    fn restart(&mut self, which: usize, folder: &Path, upstream: &Value) {
        let listen = self.daemons[which].address();
        // Its folder goes with it.
        drop(self.daemons.remove(which));
        self.daemons
            .insert(which, daemon(&folder.join((11 + which).to_string()), upstream, listen));
        let rounds = format!("badgateway_rounds_total{{instance=\"{listen}\"}}");
        wait_until("rounds after the restart are scraped", || {
            let seen = query(self.prometheus, &format!("{rounds} > 3 and resets({rounds}[1m]) > 0"));
            (!seen.is_empty()).then_some(())
        });
    }

    fn firing(&self) -> Vec<(Value, f64)> {
        query(
            self.prometheus,
            r#"ALERTS{alertstate="firing",severity=~"critical|warning"}"#,
        )
    }

    /// What has fired at any time since.
    fn has_fired(&self, since: Instant) -> Vec<(Value, f64)> {
        let seconds = since.elapsed().as_secs();
        query(
            self.prometheus,
            &format!(r#"max_over_time(ALERTS{{alertstate="firing"}}[{seconds}s])"#),
        )
    }

    /// Waits until every rule was looked at so many more times.
    fn let_rules_run(&self, times: f64) {
        let now = wait_until("rules run", || iterations(self.prometheus));
        let enough = || iterations(self.prometheus).filter(|value| *value >= now + times);
        wait_until("rules run on", enough);
    }

    /// The next notification sent to that path.
    fn notified(&self, path: &str) -> Value {
        loop {
            let (sent_to, notification) = self
                .notifications
                .recv_timeout(Duration::from_secs(120))
                .expect("a notification in time");
            if sent_to == path {
                return notification;
            }
        }
    }
}

/// How often the rule group that ran least has run, by Prometheus's own page.
fn iterations(prometheus: SocketAddr) -> Option<f64> {
    let page = http::get(prometheus, "/metrics", &[]).ok()?.text();
    let lines = page
        .lines()
        .filter(|line| line.starts_with("prometheus_rule_group_iterations_total{"));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .reduce(f64::min)
}

/// The shipped rules, with seconds for the minutes they wait before they fire and before they let go, and for the
/// minutes and hours they look back.
fn rules(folder: &Path) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/badgateway.rules.yml");
    let text = std::fs::read_to_string(shipped).expect("readable");
    let quick: Vec<_> = text
        .lines()
        .map(|line| match line.trim_start().split_once(": ") {
            Some(("for", _)) => "        for: 3s",
            Some(("keep_firing_for", _)) => "        keep_firing_for: 3s",
            Some(("interval", _)) => "    interval: 1s",
            _ => line,
        })
        .collect();
    let mut quick = quick.join("\n");
    for (window, shorter) in [
        ("5m", "15s"),
        ("30m", "20s"),
        ("1h", "25s"),
        ("2h", "30s"),
        ("6h", "30s"),
    ] {
        quick = quick.replace(&format!("[{window}]"), &format!("[{shorter}]"));
    }
    let file = folder.join("badgateway.rules.yml");
    std::fs::write(&file, quick).expect("written");
    file
}

fn daemon(folder: &Path, upstream: &Value, listen: SocketAddr) -> Daemon {
    std::fs::create_dir(folder).expect("created");
    let config = json!({
        "defaults": { "interval": "1s", "timeout": "1s", "confirm": { "delay": "200ms" } },
        "gateways": [{ "name": "edge", "kind": "nginx" }],
        "upstreams": [upstream],
        "external_url": format!("http://{listen}/"),
    });
    Daemon::start_at(folder, &config, listen)
}

fn folders(names: &[&str]) -> (PathBuf, Vec<PathBuf>) {
    let folder = scratch();
    let inner = names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
    inner
        .iter()
        .for_each(|folder| std::fs::create_dir(folder).expect("created"));
    (folder, inner)
}

#[test]
fn a_dead_backend_is_one_page_that_says_where_and_what_and_is_taken_back() {
    if !programs::have(&["nginx", "prometheus", "prometheus-alertmanager"]) {
        return;
    }
    let (folder, inner) = folders(&["front", "back"]);
    let good = serve(answers(OK));
    let (backend, backend_process) = nginx(&inner[1], good);
    let (front, _front_process) = nginx(&inner[0], backend);
    let upstream = json!({
        "name": "shop",
        "origin": format!("http://{backend}/"),
        "via": [{ "gateway": "edge", "url": format!("http://{front}/") }],
        "labels": { "team": "web" },
    });
    let mut stack = Stack::start(&folder, &upstream);

    // Health, a reload, a restart and a while of rules: silence.
    wait_until("both daemons are scraped", || {
        let rounds = query(
            stack.prometheus,
            "count(badgateway_rounds_total{hop=\"edge\"} > 3) == 2",
        );
        (!rounds.is_empty()).then_some(())
    });
    // Before the first scrape nobody was there, which counts here after 3 s instead of 5 minutes.
    wait_until("no alert fires", || stack.firing().is_empty().then_some(()));
    let since = Instant::now();
    let reload = http::ask(stack.daemons[0].address(), "POST", "/-/reload", &[], b"").expect("an answer");
    assert_eq!(reload.status, 200);
    stack.restart(1, &folder, &upstream);
    stack.let_rules_run(20.0);
    assert_eq!(stack.has_fired(since), vec![]);
    assert!(stack.notifications.try_recv().is_err(), "nobody was told anything");

    drop(backend_process);
    let page = stack.notified("/page");
    assert_eq!(page["status"], "firing", "{page:#}");
    assert_eq!(
        page["groupLabels"],
        json!({ "upstream": "shop" }),
        "one page is one group: {page:#}"
    );
    let alert = &page["alerts"][0];
    for label in ["instance", "cause", "verdict", "address"] {
        assert!(alert["labels"][label].is_null(), "a page carries no {label}: {alert:#}");
    }
    assert_eq!(
        (&alert["labels"]["team"], &alert["labels"]["severity"]),
        (&json!("web"), &json!("critical"))
    );
    let text = format!(
        "{} {}",
        alert["annotations"]["summary"], alert["annotations"]["description"]
    );
    for word in ["shop", "connect_refused", "origin"] {
        assert!(text.contains(word), "the page says {word:?}: {text}");
    }
    let link = alert["annotations"]["runbook_url"].as_str().expect("a link");
    let link = url::Url::parse(link).expect("a whole URL");
    let at = link.socket_addrs(|| None).expect("an address")[0];
    assert_eq!(
        http::get(at, link.path(), &[]).expect("an answer").status,
        200,
        "{link}"
    );

    // Everything said while it lasts belongs to that one group.
    let (_backend_process, restored) = again(&inner[1], backend, good);
    assert_eq!(restored, backend);
    let mut resolved = stack.notified("/page");
    while resolved["status"] == "firing" {
        assert_eq!(
            resolved["groupKey"], page["groupKey"],
            "an update of the same page: {resolved:#}"
        );
        resolved = stack.notified("/page");
    }
    assert_eq!(resolved["groupKey"], page["groupKey"], "{resolved:#}");
}

/// The same nginx at the same address again.
fn again(folder: &Path, listen: SocketAddr, backend: SocketAddr) -> (Process, SocketAddr) {
    let file = folder.join("nginx.conf");
    let config = std::fs::read_to_string(&file).expect("readable");
    assert!(config.contains(&listen.to_string()) && config.contains(&backend.to_string()));
    let program = programs::find("nginx").expect("have it");
    let process = Process::start(&program, &["-c", file.to_str().expect("plain"), "-e", "stderr"]);
    wait_until("nginx accepts again", || std::net::TcpStream::connect(listen).ok());
    (process, listen)
}

#[test]
fn one_backend_of_three_is_a_ticket_and_no_page() {
    if !programs::have(&["prometheus", "prometheus-alertmanager"]) {
        return;
    }
    let (refusing, _socket) = support::peers::tcp::refusing();
    let good = || format!("http://{}/", serve(answers(OK)));
    let (folder, _) = folders(&[]);
    let stack = Stack::start(
        &folder,
        &json!({
            "name": "shop",
            "origin": [good(), good(), format!("http://{refusing}/")],
            "via": [{ "gateway": "edge", "url": good() }],
            "labels": { "team": "web" },
        }),
    );
    let ticket = stack.notified("/tickets");
    let names: Vec<_> = ticket["alerts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|alert| &alert["labels"])
        .collect();
    assert!(names.iter().all(|labels| labels["severity"] == "warning"), "{ticket:#}");
    assert!(names.iter().all(|labels| labels["upstream"] == "shop"), "{ticket:#}");
    stack.let_rules_run(10.0);
    assert!(
        stack
            .firing()
            .iter()
            .all(|(labels, _)| labels["severity"] != "critical"),
        "{:?}",
        stack.firing()
    );
}
