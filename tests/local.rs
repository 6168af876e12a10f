//! Origins on this host: what its kernel says of them is on the page before a connection fails, and beside the cause once
//! one does.

mod support;

use serde_json::{Value, json};
use socket2::Socket;
use support::daemon::{Daemon, Seen, scratch};
use support::metrics::Metrics;
use support::peers::http1::{OK, answers};
use support::peers::{serve, tcp};
use support::stack::nginx;
use support::{http, programs};

/// `Yes` once all hold; the first that does not is what is missing.
fn all(wanted: &[(&str, bool)]) -> Seen {
    match wanted.iter().find(|(_, holds)| !holds) {
        None => Seen::Yes,
        Some((what, _)) => Seen::NotYet((*what).to_owned()),
    }
}

/// What the alert `BadGatewayAcceptQueueFilling` asks for.
fn is_filling(metrics: &Metrics) -> bool {
    let length = metrics.sum("accept_queue_length", &[]);
    length > 0.0 && length >= 0.8 * metrics.sum("accept_queue_limit", &[])
}

/// False, with a word, where this kernel does not tell of its listeners.
fn the_kernel_tells(metrics: &Metrics) -> bool {
    let tells = metrics.has("origin_listening", &[]);
    if !tells {
        assert!(
            std::env::var_os("CI").is_none(),
            "the kernel does not tell of its listeners"
        );
        eprintln!("skipped: the kernel does not tell of its listeners (sock_diag)");
    }
    tells
}

fn one_round(metrics: &Metrics) -> Seen {
    all(&[("a round", metrics.has("last_round_timestamp_seconds", &[]))])
}

fn connect(listener: &Socket) -> Socket {
    let address = listener.local_addr().expect("bound");
    let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.connect(&address).expect("there is room in the queue");
    socket
}

/// Why a hop fails, as the API says.
fn evidence(daemon: &Daemon, upstream: &str) -> Value {
    let answer = http::get(daemon.address(), &format!("/api/v1/upstreams/{upstream}"), &[]).expect("an answer");
    serde_json::from_str(&answer.text()).expect("JSON")
}

#[test]
fn a_queue_that_fills_is_seen_before_connections_time_out() {
    let (address, listener) = tcp::refusing();
    listener.listen(100).expect("listens");
    // Not accepted: from here on only the queue takes connections.
    let mut waiting: Vec<Socket> = (0..80).map(|_| connect(&listener)).collect();
    let origin = json!({ "url": format!("http://{address}/"), "timeout": "200ms" });
    let daemon = Daemon::watching(
        "busy",
        json!({ "origin": origin, "confirm": { "retries": 1, "delay": "50ms" } }),
    );
    let first = daemon.wait_until("busy", one_round);
    if !the_kernel_tells(&first) {
        return;
    }
    assert_eq!(first.sum("accept_queue_limit", &[]), 100.0);
    assert!(is_filling(&first), "{}", first.show("accept_queue"));
    assert_eq!(first.sum("probe_failures_total", &[("cause", "connect_timeout")]), 0.0);

    let risk = &evidence(&daemon, "busy")["risks"][0];
    assert_eq!(risk["what"], format!("accept queue of {address}"), "{risk}");
    while listener_takes(&listener, &mut waiting) {}
    daemon.wait_until("busy", |metrics| {
        let timeouts = metrics.sum("probe_failures_total", &[("cause", "connect_timeout")]);
        all(&[("connections time out", timeouts > 0.0)])
    });
    // Two rounds may pass until what is believed is confirmed anew.
    let full = daemon.wait_until("busy", |metrics| {
        let timeout = metrics.has("probe_failing", &[("cause", "connect_timeout")]);
        let overloaded = metrics.sum("verdict", &[("verdict", "origin_overloaded")]) == 1.0;
        all(&[("confirmed", timeout), ("overloaded", overloaded)])
    });
    assert_eq!(full.sum("accept_queue_length", &[]), 101.0, "one more than the limit");
    let said = evidence(&daemon, "busy");
    let sentence = said["sentence"].as_str().unwrap_or_default();
    assert!(
        sentence.starts_with("The origin is overloaded: connect_timeout"),
        "{said}"
    );
    let texts: Vec<_> = said["failures"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| &one["text"])
        .collect();
    assert!(
        texts
            .iter()
            .any(|text| *text == "no answer to the connection attempt; accept queue 101 of 100"),
        "{texts:?}"
    );
}

/// One connection more, unless the queue is full.
fn listener_takes(listener: &Socket, waiting: &mut Vec<Socket>) -> bool {
    let address = listener.local_addr().expect("bound");
    let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let took = socket
        .connect_timeout(&address, std::time::Duration::from_millis(200))
        .is_ok();
    waiting.push(socket);
    took
}

#[test]
fn a_healthy_nginx_listens_and_its_queue_is_empty() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let folder = scratch();
    let (address, _process) = nginx(&folder, serve(answers(OK)));
    let daemon = Daemon::watching("well", json!({ "origin": format!("http://{address}/") }));
    let metrics = daemon.wait_until("well", |metrics| {
        assert!(!is_filling(metrics), "{}", metrics.show("accept_queue"));
        all(&[("four rounds", metrics.sum("rounds_total", &[]) >= 4.0)])
    });
    if the_kernel_tells(&metrics) {
        assert_eq!(metrics.sum("origin_listening", &[]), 1.0);
        assert_eq!(metrics.sum("accept_queue_length", &[]), 0.0);
        // What nginx asks for, unless the system allows less.
        assert!(
            metrics.sum("accept_queue_limit", &[]) > 1.0,
            "{}",
            metrics.show("accept_queue")
        );
    }
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn a_port_that_nothing_listens_on_is_named() {
    let (address, _socket) = tcp::refusing();
    let daemon = Daemon::watching("down", json!({ "origin": format!("http://{address}/") }));
    let metrics = daemon.wait_until("down", |metrics| {
        all(&[(
            "confirmed",
            metrics.has("probe_failing", &[("cause", "connect_refused")]),
        )])
    });
    if !the_kernel_tells(&metrics) {
        return;
    }
    assert_eq!(metrics.sum("origin_listening", &[]), 0.0);
    assert!(!metrics.has("accept_queue_length", &[]), "no queue, no length");
    let said = evidence(&daemon, "down");
    assert_eq!(said["verdict"], "origin_down");
    assert_eq!(
        said["evidence"],
        format!("connection refused; nothing listens on {} on this host", address.port())
    );
}

#[test]
fn of_another_host_nothing_is_said() {
    // Reserved for documentation (RFC 5737): it is nobody's, least of all this host's.
    let daemon = Daemon::watching(
        "far",
        json!({ "origin": { "url": "http://192.0.2.1/", "timeout": "200ms" } }),
    );
    let metrics = daemon.wait_until("far", |metrics| {
        let ran = metrics.sum("rounds_total", &[]) >= 2.0 || metrics.sum("addresses", &[("state", "skipped")]) > 0.0;
        all(&[("rounds", ran)])
    });
    for name in ["origin_listening", "accept_queue_length", "accept_queue_limit"] {
        assert!(!metrics.has(name, &[]), "{}", metrics.show(name));
    }
}
