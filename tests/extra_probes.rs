//! Probes beside the rounds, against real servers whose values are known: the patient one, that of idle connections, and the
//! gateway's health check replayed. Programs that are missing skip a test, in CI they fail it.

mod support;

use std::net::SocketAddr;

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::gateways;
use support::metrics::Metrics;
use support::process::Process;
use support::stack::{address, wait_until};
use support::{http, programs};

/// A server that answers `/after/MS` after so many milliseconds, and everything else at once.
const SLOW: &str = r#"
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith('/after/'):
            time.sleep(int(self.path.split('/')[2]) / 1000)
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"#;

/// Starts a program that listens there, and waits until it does.
fn listening(program: &str, arguments: &[&str], listen: SocketAddr) -> Process {
    let process = Process::start(&programs::find(program).expect("have it"), arguments);
    wait_until(&format!("{program} accepts"), || {
        assert!(!process.ended(), "{program} ended: {}", process.output("", 20));
        std::net::TcpStream::connect(listen).ok()
    });
    process
}

fn slow_server() -> (SocketAddr, Process) {
    let listen = address(21);
    let (ip, port) = (listen.ip().to_string(), listen.port().to_string());
    (listen, listening("python3", &["-c", SLOW, &ip, &port], listen))
}

/// What the API says of an upstream.
fn said(daemon: &Daemon, upstream: &str) -> Value {
    let answer = http::get(daemon.address(), &format!("/api/v1/upstreams/{upstream}"), &[]).expect("an answer");
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn yes_or(yes: bool, missing: impl Into<String>) -> Seen {
    match yes {
        true => Seen::Yes,
        false => Seen::NotYet(missing.into()),
    }
}

fn patient_probes(metrics: &Metrics) -> f64 {
    metrics.sum("extra_probes_total", &[("purpose", "patient")])
}

#[test]
fn patience_tells_an_answer_that_comes_late_from_one_that_never_comes() {
    if !programs::have(&["python3", "nginx"]) {
        return;
    }
    let folder = scratch();
    let (origin, _origin) = slow_server();
    let gateway = gateways::nginx(
        &folder,
        &format!(
            "access_log off; server {{ listen $LISTEN; location / {{ proxy_pass http://{origin}; proxy_read_timeout 2s; }} }}"
        ),
    );
    let upstream = |name: &str, path: &str| {
        json!({
            "name": name,
            "origin": format!("http://{origin}{path}"),
            // What users reach is waited for until the gateway itself gives up.
            "via": [{ "gateway": "edge", "url": format!("http://{}{path}", gateway.listen), "timeout": "4s" }],
        })
    };
    let daemon = Daemon::start(
        &scratch(),
        &json!({
            "defaults": { "interval": "1s", "timeout": "1s", "confirm": { "retries": 0 } },
            "gateways": [{ "name": "edge", "kind": "nginx", "limits": { "first_byte": "2s" } }],
            "upstreams": [
                upstream("quick", "/"),
                upstream("near", "/after/1700"),
                upstream("late", "/after/2500"),
                upstream("never", "/after/60000"),
            ],
        }),
    );
    let evidence = |upstream: &str, expected: &str| {
        wait_until(&format!("{upstream} says {expected:?}"), || {
            said(&daemon, upstream).to_string().contains(expected).then_some(())
        });
    };
    // The warning comes while the gateway still serves it.
    evidence("near", "; answers after 1.7 s, edge waits 2 s");
    let near = daemon.wait_until("near", |metrics| {
        let near = metrics.sum("near_limit_total", &[("hop", "origin"), ("limit", "first_byte")]);
        yes_or(near > 0.0, "no probe near the limit")
    });
    assert_eq!(
        near.sum("probe_success", &[("hop", "edge")]),
        1.0,
        "{}",
        near.show("probe")
    );
    evidence("late", "; answers after 2.5 s, edge gives up at 2 s");
    evidence("never", "; does not answer within 3 s, edge gives up at 2 s");
    for upstream in ["late", "never"] {
        daemon.wait_until(upstream, |metrics| {
            let failing = [("hop", "edge"), ("cause", "gateway_timeout")];
            yes_or(metrics.has("probe_failing", &failing), "the gateway does not give up")
        });
    }
    let quick = daemon.scrape_upstream("quick");
    assert!(quick.sum("rounds_total", &[("hop", "origin")]) >= 2.0);
    assert_eq!(patient_probes(&quick), 0.0, "an upstream that answers is left in peace");
    let late = daemon.scrape_upstream("late");
    assert!((1.0..=2.0).contains(&patient_probes(&late)), "{}", late.show("extra"));
    // No ratio and no histogram holds them: none of these waits longer than a plain probe does.
    assert_eq!(
        late.sum(
            "upstream_latency_seconds_count",
            &[("hop", "origin"), ("phase", "total")]
        ),
        late.sum("probes_total", &[("hop", "origin")])
    );
    assert_eq!(late.sum("responses_total", &[("hop", "origin")]), 0.0);
}
