//! From the first bad response to the page: real nginx, the daemon as a pair, Prometheus with the shipped rules,
//! Alertmanager with the shipped routing, and a receiver in the place of the person who is woken.

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Daemon, scratch};
use support::gateways::{self, Backends, Gateway};
use support::metrics::Metrics;
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
        Stack::with_gateway(folder, &no_logs(), upstream)
    }

    fn with_gateway(folder: &Path, gateway: &Value, upstream: &Value) -> Stack {
        let daemons: Vec<_> = [11, 12]
            .map(|last| daemon(&folder.join(last.to_string()), gateway, upstream, address(last)))
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
        let gateway = no_logs();
        // Its folder goes with it.
        drop(self.daemons.remove(which));
        self.daemons.insert(
            which,
            daemon(&folder.join((11 + which).to_string()), &gateway, upstream, listen),
        );
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

/// A gateway of which no log is read.
fn no_logs() -> Value {
    json!({ "name": "edge", "kind": "nginx" })
}

fn daemon(folder: &Path, gateway: &Value, upstream: &Value, listen: SocketAddr) -> Daemon {
    std::fs::create_dir(folder).expect("created");
    let config = json!({
        "defaults": { "interval": "1s", "timeout": "1s", "confirm": { "delay": "200ms" } },
        "gateways": [gateway],
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

/// Users who ask until they are told to stop.
struct Users {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    asking: Option<std::thread::JoinHandle<()>>,
}

impl Users {
    /// Some twenty requests a second, each a path of its own below `/api`.
    fn ask(listen: SocketAddr) -> Users {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let told = std::sync::Arc::clone(&stop);
        let asking = std::thread::spawn(move || {
            let agent = [("User-Agent", "Mozilla/5.0 (X11; Linux) Gecko")];
            for number in 1000.. {
                if told.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let answer = http::get(listen, &format!("/api/{number}"), &agent);
                assert!(answer.is_ok(), "nginx answers: {answer:?}");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Users {
            stop,
            asking: Some(asking),
        }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let ended = self.asking.take().map(std::thread::JoinHandle::join);
        if !std::thread::panicking() {
            ended.expect("they asked").expect("every request was answered");
        }
    }
}

/// nginx sends three of ten requests for `/api` to a dead server and repeats none; `/healthz` is well.
fn partly_dead(folder: &Path, backends: &Backends) -> Gateway {
    let Backends { good, refused, .. } = backends;
    let site = format!(
        "access_log $ACCESS combined;
         upstream api {{ server {good} weight=7 max_fails=0; server {refused} weight=3 max_fails=0; }}
         server {{
             listen $LISTEN;
             location /api {{ proxy_pass http://api; proxy_next_upstream off; }}
             location /healthz {{ proxy_pass http://{good}; }}
         }}"
    );
    gateways::nginx(folder, &site)
}

#[test]
fn a_part_of_the_traffic_fails_behind_a_healthy_health_check_and_that_is_one_page() {
    if !programs::have(&["nginx", "prometheus", "prometheus-alertmanager"]) {
        return;
    }
    let (folder, inner) = folders(&["front"]);
    let backends = Backends::start();
    let edge = partly_dead(&inner[0], &backends);
    let stack = Stack::with_gateway(
        &folder,
        &json!({ "name": "edge", "kind": "nginx", "access_log": edge.access, "error_log": edge.error }),
        &json!({
            "name": "shop",
            "origin": format!("http://{}/", backends.good),
            "via": [{ "gateway": "edge", "url": format!("http://{}/", edge.listen) }],
            "paths": ["/healthz"],
            "labels": { "team": "web" },
            "spike": { "window": "15s" },
        }),
    );
    let says = |metrics: &Metrics, verdict: &str, impact: &str| {
        metrics.sum("verdict", &[("verdict", verdict)]) == 1.0
            && metrics.sum("upstream_impact", &[("impact", impact)]) == 1.0
    };
    let both_say = |verdict: &str, impact: &str| {
        wait_until("both daemons say so", || {
            let say = |daemon: &Daemon| says(&daemon.scrape_upstream("shop"), verdict, impact);
            stack.daemons.iter().all(say).then_some(())
        });
    };
    both_say("healthy", "none");
    wait_until("both daemons are scraped", || {
        let rounds = query(
            stack.prometheus,
            "count(badgateway_rounds_total{hop=\"edge\"} > 3) == 2",
        );
        (!rounds.is_empty()).then_some(())
    });
    wait_until("no alert fires", || stack.firing().is_empty().then_some(()));
    assert!(stack.notifications.try_recv().is_err(), "nobody was told anything");

    let users = Users::ask(edge.listen);
    both_say("traffic_failing", "users");
    let page = stack.notified("/page");
    assert_eq!(page["status"], "firing", "{page:#}");
    assert_eq!(page["groupLabels"], json!({ "upstream": "shop" }), "{page:#}");
    let texts: Vec<String> = page["alerts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|alert| {
            let text = &alert["annotations"];
            assert_eq!(alert["labels"]["team"], "web", "{alert:#}");
            format!("{} {}", text["summary"], text["description"])
        })
        .collect();
    let backend = backends.refused.to_string();
    for text in &texts {
        for word in ["shop", "traffic_failing", "connect_refused", &backend] {
            assert!(text.contains(word), "the page says {word:?}: {text}");
        }
    }
    // No probe has failed in all that time.
    for daemon in &stack.daemons {
        let metrics = daemon.scrape_upstream("shop");
        assert_eq!(
            metrics.sum("probe_failures_total", &[]),
            0.0,
            "{}",
            metrics.show("probe")
        );
    }
    // While it lasts, nobody is told of anything else; updates are of the same group.
    stack.let_rules_run(10.0);
    drop(users);
    let mut told = Vec::new();
    while told.last().is_none_or(|last: &Value| last["status"] == "firing") {
        told.push(stack.notified("/page"));
    }
    for update in &told {
        assert_eq!(
            update["groupKey"], page["groupKey"],
            "an update of the same page: {update:#}"
        );
    }
    both_say("healthy", "none");
    wait_until("nothing fires", || stack.firing().is_empty().then_some(()));
    stack.let_rules_run(10.0);
    let more: Vec<_> = stack
        .notifications
        .try_iter()
        .filter(|(path, _)| path == "/page")
        .collect();
    assert!(
        more.iter().all(|(_, more)| more["status"] == "resolved"),
        "one page: {more:#?}"
    );
}
