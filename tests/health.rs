//! Gateways that ask: `/health/{upstream}`, and the agent checks of a real HAProxy. Both fail open.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::peers::http1::{self, OK, answers};
use support::peers::{serve, tcp};
use support::process::Process;
use support::stack::{address, wait_until};
use support::{http, programs};
use tokio::time::Instant;

/// A server that is well until its switch says otherwise.
struct Backend {
    address: SocketAddr,
    bad: Arc<AtomicBool>,
}

impl Backend {
    fn start() -> Backend {
        let bad = Arc::new(AtomicBool::new(false));
        let switch = bad.clone();
        let (well, ill) = (answers(OK), http1::status("500 Broken"));
        let address = serve(move |wire| match switch.load(Ordering::SeqCst) {
            true => ill(wire),
            false => well(wire),
        });
        Backend { address, bad }
    }

    fn breaks(&self, bad: bool) {
        self.bad.store(bad, Ordering::SeqCst);
    }
}

/// A configuration with one upstream `shop` of these servers.
fn config(backends: &[&Backend], more: Value) -> Value {
    let origin: Vec<_> = backends
        .iter()
        .map(|backend| format!("http://{}/", backend.address))
        .collect();
    let mut config = json!({
        "defaults": { "interval": "1s", "confirm": { "delay": "50ms", "recover_after": 1 }, "max_rate": "100/s" },
        "upstreams": [{ "name": "shop", "origin": origin }],
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    config
}

/// Waits until so many addresses are healthy and so many fail.
fn settle(daemon: &Daemon, healthy: usize, failing: usize) {
    daemon.wait_until("shop", |metrics| {
        let count = |state: &str| metrics.sum("addresses", &[("state", state)]) as usize;
        match (count("healthy"), count("failing")) {
            found if found == (healthy, failing) => Seen::Yes,
            found => Seen::NotYet(format!("healthy and failing: {found:?}")),
        }
    });
}

fn health(daemon: &Daemon, path: &str) -> (u16, String) {
    let answer = http::get(daemon.address(), &format!("/health/{path}"), &[]).expect("an answer");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    (answer.status, answer.text())
}

/// The status for each server, and for the upstream as a whole.
fn statuses(daemon: &Daemon, backends: &[&Backend]) -> (Vec<u16>, u16) {
    let of = |backend: &&Backend| health(daemon, &format!("shop?address={}", backend.address)).0;
    (backends.iter().map(of).collect(), health(daemon, "shop").0)
}

#[test]
fn servers_are_taken_out_while_half_are_left_and_come_back() {
    let backends = [Backend::start(), Backend::start(), Backend::start()];
    let all: Vec<_> = backends.iter().collect();
    let daemon = Daemon::start(&scratch(), &config(&all, json!({})));
    settle(&daemon, 3, 0);
    assert_eq!(statuses(&daemon, &all), (vec![200, 200, 200], 200));
    backends[0].breaks(true);
    settle(&daemon, 2, 1);
    assert_eq!(statuses(&daemon, &all), (vec![503, 200, 200], 200));
    backends[1].breaks(true);
    settle(&daemon, 1, 2);
    assert_eq!(statuses(&daemon, &all), (vec![200, 200, 200], 200), "more than half");
    backends[2].breaks(true);
    settle(&daemon, 0, 3);
    assert_eq!(
        statuses(&daemon, &all),
        (vec![200, 200, 200], 503),
        "the origin fails wholly"
    );
    backends.iter().for_each(|backend| backend.breaks(false));
    settle(&daemon, 3, 0);
    assert_eq!(statuses(&daemon, &all), (vec![200, 200, 200], 200));
}

#[test]
fn all_may_be_taken_out_where_that_is_asked_for() {
    let backends = [Backend::start(), Backend::start()];
    let all: Vec<_> = backends.iter().collect();
    let daemon = Daemon::start(
        &scratch(),
        &config(&all, json!({ "health_endpoint": { "allow_all": true } })),
    );
    settle(&daemon, 2, 0);
    backends.iter().for_each(|backend| backend.breaks(true));
    settle(&daemon, 0, 2);
    assert_eq!(statuses(&daemon, &all), (vec![503, 503], 503));
}

#[test]
fn what_is_alone_unknown_or_was_never_reached_is_up() {
    let lone = Backend::start();
    let daemon = Daemon::start(&scratch(), &config(&[&lone], json!({})));
    settle(&daemon, 1, 0);
    lone.breaks(true);
    settle(&daemon, 0, 1);
    let (status, text) = health(&daemon, &format!("shop?address={}", lone.address));
    assert_eq!(
        (status, text.as_str()),
        (200, "up: it fails, and it is the only address\n")
    );
    assert_eq!(health(&daemon, "shop").0, 503);
    assert_eq!(
        health(&daemon, "shop?address=10.9.9.9:1"),
        (200, "up: the upstream has no such address\n".into())
    );
    assert_eq!(
        health(&daemon, "other"),
        (200, "up: no upstream has this name\n".into())
    );
    let asked = http::ask(daemon.address(), "OPTIONS", "/health/shop", &[], b"").expect("an answer");
    assert_eq!(asked.status, 503, "HAProxy asks with OPTIONS by default");

    let (refusing, _socket) = tcp::refusing();
    let never = Daemon::watching("shop", json!({ "origin": format!("http://{refusing}/") }));
    settle(&never, 0, 1);
    assert_eq!(health(&never, "shop"), (200, "up: never reached from here\n".into()));
}

/// HAProxy with these servers, each with an agent check besides its own, which only connects.
struct HaProxy {
    socket: PathBuf,
    _process: Process,
}

impl HaProxy {
    /// The lines of the servers are the one of the README, with these addresses and faster.
    fn start(folder: &Path, agent: SocketAddr, backends: &[&Backend]) -> HaProxy {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("readable");
        let documented = readme
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("server a 10.0.0.7:8443 check"));
        let documented = documented.expect("the README shows it");
        let socket = folder.join("admin.sock");
        let servers: String = (0..)
            .zip(backends)
            .map(|(index, backend)| {
                let at = backend.address;
                let line = documented.replace("server a", &format!("server s{index}"));
                let line = line
                    .replace("10.0.0.7:8443", &at.to_string())
                    .replace("\"checkout", "\"shop");
                let line = line.replace("127.0.0.1 agent-port", &format!("{} agent-port", agent.ip()));
                let line = line.replace("10503", &agent.port().to_string());
                line.replace("inter 2s", "inter 200ms") + "\n"
            })
            .collect();
        let config = format!(
            "global\nstats socket {} level admin\ndefaults\nmode http\ntimeout connect 1s\ntimeout client 1s\ntimeout server 1s\n\
             frontend edge\nbind {}\ndefault_backend shop\nbackend shop\n{servers}",
            socket.display(),
            address(9)
        );
        let file = folder.join("haproxy.cfg");
        std::fs::write(&file, config).expect("written");
        let program = programs::find("haproxy").expect("have it");
        HaProxy {
            socket,
            _process: Process::start(&program, &["-db", "-f", file.to_str().expect("plain")]),
        }
    }

    /// What it answers to a command at its socket.
    fn says(&self, command: &str) -> Option<String> {
        let mut stream = std::os::unix::net::UnixStream::connect(&self.socket).ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The status of each server, as `show stat` has it.
    fn statuses(&self) -> Option<Vec<String>> {
        let answer = self.says("show stat")?;
        let rows = answer.lines().filter(|row| row.starts_with("shop,s"));
        Some(
            rows.filter_map(|row| row.split(',').nth(17).map(ToOwned::to_owned))
                .collect(),
        )
    }

    fn becomes(&self, expected: &[&str]) {
        let last = std::cell::RefCell::new(None);
        wait_until(&format!("{expected:?}"), || {
            let found = self.statuses();
            let same = found.as_deref().is_some_and(|found| found == expected);
            *last.borrow_mut() = found;
            same.then_some(())
        });
    }
}

#[test]
fn haproxy_takes_a_server_out_by_agent_check_and_back() {
    if !programs::have(&["haproxy"]) {
        return;
    }
    let backends = [Backend::start(), Backend::start(), Backend::start()];
    let all: Vec<_> = backends.iter().collect();
    let agent = address(8);
    let folder = scratch();
    let daemon = Daemon::start(
        &scratch(),
        &config(&all, json!({ "agent_check": { "listen": agent.to_string() } })),
    );
    let haproxy = HaProxy::start(&folder, agent, &all);
    haproxy.becomes(&["UP", "UP", "UP"]);
    backends[1].breaks(true);
    haproxy.becomes(&["UP", "DOWN (agent)", "UP"]);
    backends[1].breaks(false);
    haproxy.becomes(&["UP", "UP", "UP"]);
    backends[2].breaks(true);
    haproxy.becomes(&["UP", "UP", "DOWN (agent)"]);
    // HAProxy would keep it out for ever if the agent just went away.
    daemon.process().signal("TERM");
    haproxy.becomes(&["UP", "UP", "UP"]);
    wait_until("it ends", || daemon.process().ended().then_some(()));
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn after_a_crash_haproxy_is_told_by_hand() {
    if !programs::have(&["haproxy"]) {
        return;
    }
    let backends = [Backend::start(), Backend::start()];
    let all: Vec<_> = backends.iter().collect();
    let agent = address(5);
    let folder = scratch();
    let daemon = Daemon::start(
        &scratch(),
        &config(&all, json!({ "agent_check": { "listen": agent.to_string() } })),
    );
    let haproxy = HaProxy::start(&folder, agent, &all);
    haproxy.becomes(&["UP", "UP"]);
    backends[0].breaks(true);
    haproxy.becomes(&["DOWN (agent)", "UP"]);
    drop(daemon);
    haproxy.becomes(&["DOWN (agent)", "UP"]);
    assert_eq!(haproxy.says("set server shop/s0 agent up").as_deref(), Some("\n"));
    haproxy.becomes(&["UP", "UP"]);
    std::fs::remove_dir_all(folder).expect("removed");
}

fn agent_says(agent: SocketAddr, sent: &[u8]) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = wait_until("it accepts", || TcpStream::connect(agent).ok());
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("settable");
    stream.write_all(sent).expect("taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer and its end");
    (answer, begun.elapsed())
}

#[test]
fn whoever_sends_no_line_or_nonsense_hears_up_and_holds_nobody_up() {
    let backends = [Backend::start(), Backend::start()];
    let all: Vec<_> = backends.iter().collect();
    let agent = address(6);
    let daemon = Daemon::start(
        &scratch(),
        &config(&all, json!({ "agent_check": { "listen": agent.to_string() } })),
    );
    settle(&daemon, 2, 0);
    backends[0].breaks(true);
    settle(&daemon, 1, 1);
    let bad = backends[0].address;
    assert!(
        agent_says(agent, format!("shop {bad}\n").as_bytes())
            .0
            .starts_with("down # ")
    );
    assert!(
        agent_says(agent, format!("shop {bad}").as_bytes())
            .0
            .starts_with("down # "),
        "without a newline"
    );
    for sent in [
        "",
        "\n",
        "shop\n",
        "other\n",
        "shop 10.9.9.9:1\n",
        "GET /health/shop HTTP/1.1\r\n\r\n",
    ] {
        let (answer, took) = agent_says(agent, sent.as_bytes());
        assert_eq!(answer, "up\n", "{sent:?}");
        assert!(took < Duration::from_secs(10), "{sent:?}: {took:?}");
    }
    assert_eq!(agent_says(agent, &[b'x'; 4096]).0, "up\n");
    // More silent ones than are served at once: each is given up in time for the next.
    let silent: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(agent).expect("it accepts"))
        .collect();
    let (answer, took) = agent_says(agent, format!("shop {bad}\n").as_bytes());
    assert!(answer.starts_with("down # "), "{answer}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    drop(silent);
}
