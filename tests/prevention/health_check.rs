//! A9: the gateway's own health check, wrong or too strict, beside its replay.

use std::io::{Read, Write};
use std::path::Path;

use serde_json::json;

use crate::origins::{listening, origin, words};
use crate::support::daemon::{Daemon, scratch};
use crate::support::programs;
use crate::support::stack::{address, wait_until};
use crate::watch::{said, yes_or};

/// A server that answers `/up` with 503 while the file `$3` is there, `/broken` with 500, and everything else with 200.
const CHECKED: &str = r#"
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sick = self.path == '/up' and os.path.exists(sys.argv[3])
        self.send_response(503 if sick else 500 if self.path == '/broken' else 200)
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"#;

/// What HAProxy's own check says of a server: its status, and how often it went down.
fn haproxy_says(socket: &Path, backend: &str) -> Option<(String, u32)> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    stream.write_all(b"show stat\n").ok()?;
    let mut table = String::new();
    stream.read_to_string(&mut table).ok()?;
    let mut rows = table
        .trim_start_matches("# ")
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let names = rows.next()?;
    let column = |name: &str| names.iter().position(|known| *known == name);
    let row = rows.find(|row| row[0] == backend && row[1] == "one")?;
    // While it changes its mind: `UP 1/3`.
    let status = row[column("status")?].split(' ').next()?.to_owned();
    Some((status, row[column("chkdown")?].parse().ok()?))
}

#[test]
fn the_health_check_of_haproxy_and_its_replay_see_the_same() {
    if !programs::have(&["python3", "haproxy"]) {
        return;
    }
    let folder = scratch();
    let (sick, socket, file) = (folder.join("sick"), folder.join("stats"), folder.join("haproxy.cfg"));
    let server = || {
        origin("python3", |ip, port| {
            words(&["-c", CHECKED, ip, port, sick.to_str().expect("plain")])
        })
    };
    let (checked, connected) = (server(), server());
    let fronts = [address(23), address(24)];
    let config = format!(
        "global\nstats socket {}\ndefaults\nmode http\ntimeout connect 1s\ntimeout client 5s\ntimeout server 2s\n\
         frontend one\nbind {}\ndefault_backend checked\nfrontend two\nbind {}\ndefault_backend connected\n\
         backend checked\noption httpchk GET /up\nserver one {} check inter 500ms fall 3 rise 2\n\
         backend connected\nserver one {} check inter 500ms\n",
        socket.display(),
        fronts[0],
        fronts[1],
        checked.listen,
        connected.listen
    );
    std::fs::write(&file, config).expect("written");
    let _haproxy = listening("haproxy", &["-db", "-f", file.to_str().expect("plain")], fronts[0]);
    let daemon = Daemon::start(
        &scratch(),
        &json!({
            "defaults": { "interval": "1s", "timeout": "1s" },
            "gateways": [{ "name": "edge", "kind": "haproxy", "config_file": file }],
            "upstreams": [
                {
                    "name": "checked", "origin": format!("http://{}/", checked.listen),
                    "via": [{ "gateway": "edge", "url": format!("http://{}/", fronts[0]) }],
                },
                {
                    "name": "connected", "origin": format!("http://{}/broken", connected.listen),
                    "via": [{ "gateway": "edge", "url": format!("http://{}/broken", fronts[1]) }],
                },
            ],
        }),
    );
    let both_say = |healthy: bool, downs: u32, transitions: f64| {
        let status = if healthy { "UP" } else { "DOWN" };
        wait_until(&format!("HAProxy says {status}"), || {
            (haproxy_says(&socket, "checked")? == (status.to_owned(), downs)).then_some(())
        });
        let expected = f64::from(u8::from(healthy));
        let metrics = daemon.wait_until("checked", |metrics| {
            let says = metrics
                .all("health_check_healthy", &[])
                .any(|sample| sample.value == expected);
            yes_or(says, format!("the replay does not say {status}"))
        });
        assert_eq!(metrics.sum("health_check_transitions_total", &[]), transitions);
        metrics
    };
    both_say(true, 0, 0.0);
    // Twice, each way.
    for time in [1, 2] {
        std::fs::write(&sick, "").expect("written");
        let metrics = both_say(false, time, f64::from(time) * 2.0 - 1.0);
        // It would take out, and does, what serves users.
        let serves = |hop| metrics.sum("probe_success", &[("hop", hop)]);
        assert_eq!(serves("origin"), 1.0);
        daemon.wait_until("checked", |metrics| {
            yes_or(
                metrics.has("probe_failing", &[("hop", "edge"), ("cause", "disguised_bad_gateway")]),
                "HAProxy serves on",
            )
        });
        assert!(
            said(&daemon, "checked")
                .to_string()
                .contains("health check of edge takes out ")
        );
        std::fs::remove_file(&sick).expect("removed");
        both_say(true, time, f64::from(time) * 2.0);
    }
    // A connection is all the other one wants: it leaves in what does not serve.
    let connected = daemon.wait_until("connected", |metrics| {
        let says = metrics.sum("health_check_healthy", &[]) == 1.0;
        yes_or(
            says && metrics.has("probe_failing", &[("hop", "origin")]),
            metrics.show("health"),
        )
    });
    assert_eq!(haproxy_says(&socket, "connected").expect("an answer").0, "UP");
    assert!(
        said(&daemon, "connected")
            .to_string()
            .contains("health check of edge leaves in ")
    );
    assert_eq!(connected.sum("health_check_transitions_total", &[]), 0.0);
    assert!(connected.sum("extra_probes_total", &[("hop", "origin"), ("purpose", "health_check")]) > 2.0);
}
