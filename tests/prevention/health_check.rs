//! A9: the gateway's own health check, wrong or too hasty, beside its replay.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::origins::{Origin, listening, origin, words};
use crate::support::daemon::scratch;
use crate::support::http;
use crate::support::programs;
use crate::support::stack::{address, wait_until};
use crate::watch::{Watch, fails, said, yes_or};

/// A server that answers 200, but for two files. While `$3` is there, `/up` is 503, and so is `/turns` in every other half second;
/// while `$4` is there, it answers nothing at all.
const CHECKED: &str = r#"
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists(sys.argv[4]):
            self.close_connection = True
            return
        is_sick = self.path == '/up' or self.path == '/turns' and int(time.time() * 2) % 2
        self.send_response(503 if is_sick and os.path.exists(sys.argv[3]) else 200)
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"#;

/// A server, and the files that tell it how to be.
struct Server {
    origin: Origin,
    sick: PathBuf,
    silent: PathBuf,
}

impl Server {
    fn start(folder: &Path, name: &str) -> Server {
        let [sick, silent] = ["sick", "silent"].map(|mood| folder.join(format!("{name}-{mood}")));
        let origin = origin("python3", |ip, port| {
            let files = [&sick, &silent].map(|file| file.to_str().expect("plain"));
            words(&["-c", CHECKED, ip, port, files[0], files[1]])
        });
        Server { origin, sick, silent }
    }

    fn listen(&self) -> SocketAddr {
        self.origin.listen
    }
}

fn be(mood: &Path) {
    std::fs::write(mood, "").expect("written");
}

/// What HAProxy's own check says of the first server of a backend: its status, and how often it went down.
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

/// HAProxy with a frontend for each backend: where that listens, its name, how it checks, and its servers.
fn haproxy(
    file: &Path,
    socket: &Path,
    backends: &[(SocketAddr, &str, &str, &str, &[Server])],
) -> crate::support::process::Process {
    let mut config = format!(
        "global\nstats socket {}\ndefaults\nmode http\nretries 1\noption redispatch 1\ntimeout connect 1s\n\
         timeout client 5s\ntimeout server 2s\nretry-on conn-failure empty-response\n",
        socket.display()
    );
    for (listen, name, lines, check, servers) in backends {
        config += &format!("frontend {name}\nbind {listen}\ndefault_backend {name}\nbackend {name}\n{lines}\n");
        for (number, server) in ["one", "two"].iter().zip(*servers) {
            config += &format!("server {number} {} check {check}\n", server.listen());
        }
    }
    std::fs::write(file, config).expect("written");
    listening("haproxy", &["-db", "-f", file.to_str().expect("plain")], backends[0].0)
}

#[test]
fn the_check_takes_out_what_serves_and_leaves_in_what_does_not() {
    if !programs::have(&["python3", "haproxy", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let (socket, file) = (scratch.join("stats"), scratch.join("haproxy.cfg"));
    let pair = |name: &str| [1, 2].map(|number| Server::start(&scratch, &format!("{name}-{number}")));
    let [strict, blind, hasty, well] = ["strict", "blind", "hasty", "default"].map(pair);
    let fronts = [51, 52, 53, 54].map(address);
    let backends: [(SocketAddr, &str, &str, &str, &[Server]); 4] = [
        (
            fronts[0],
            "check-strict",
            "option httpchk GET /up",
            "inter 500ms fall 3 rise 2",
            &strict,
        ),
        // A connection is all it wants.
        (fronts[1], "check-blind", "", "inter 500ms", &blind),
        (
            fronts[2],
            "check-hasty",
            "option httpchk GET /turns\ntimeout check 2s",
            "inter 200ms fall 1 rise 1",
            &hasty,
        ),
        (fronts[3], "check-default", "option httpchk GET /up", "", &well),
    ];
    let _haproxy = haproxy(&file, &socket, &backends);
    let upstreams = backends.map(|(listen, name, _, _, servers)| -> Value {
        let url = |at: SocketAddr| format!("http://{at}/");
        json!({
            "name": name,
            "origin": servers.iter().map(|server| url(server.listen())).collect::<Vec<_>>(),
            "via": [{ "gateway": "edge", "url": url(listen) }],
        })
    });
    let gateways = json!([{ "name": "edge", "kind": "haproxy", "config_file": file }]);
    let watch = Watch::start(&scratch, gateways, json!(upstreams));
    let ask = |front: usize| http::get(fronts[front], "/", &[]).ok().map(|answer| answer.status);

    let replayed = "badgateway_health_check_healthy{upstream=\"check-default\"} == 1";
    watch.stays_silent("check-default", replayed);
    let takes_out = || {
        let first = strict[0].listen().to_string();
        let both_say = |healthy: bool, downs: u32, transitions: f64| {
            let status = if healthy { "UP" } else { "DOWN" };
            wait_until(&format!("HAProxy says {status}"), || {
                (haproxy_says(&socket, "check-strict")? == (status.to_owned(), downs)).then_some(())
            });
            let expected = f64::from(u8::from(healthy));
            let metrics = watch.daemon.wait_until("check-strict", |metrics| {
                let says = metrics
                    .all("health_check_healthy", &[("address", &first)])
                    .any(|sample| sample.value == expected);
                yes_or(says, format!("the replay does not say {status}"))
            });
            assert_eq!(metrics.sum("health_check_transitions_total", &[]), transitions);
        };
        both_say(true, 0, 0.0);
        // Twice, each way. It would take out, and does, what serves users.
        for time in [1, 2] {
            be(&strict[0].sick);
            both_say(false, time, f64::from(time) * 2.0 - 1.0);
            let labels = watch.warns("BadGatewayHealthCheckMismatch", "check-strict", || ask(0));
            assert_eq!(labels["address"], first, "{labels}");
            let said = said(&watch.daemon, "check-strict").to_string();
            assert!(said.contains("health check of edge takes out "), "{said}");
            std::fs::remove_file(&strict[0].sick).expect("removed");
            both_say(true, time, f64::from(time) * 2.0);
        }
        strict.iter().for_each(|server| be(&server.sick));
        // Both serve, and HAProxy has nobody left: that is its 503.
        assert_eq!(fails(&[503], || ask(0)), 503);
    };
    let leaves_in = || {
        be(&blind[0].silent);
        let labels = watch.warns("BadGatewayHealthCheckMismatch", "check-blind", || ask(1));
        assert_eq!(labels["address"], blind[0].listen().to_string(), "{labels}");
        assert_eq!(haproxy_says(&socket, "check-blind").expect("an answer").0, "UP");
        let text = said(&watch.daemon, "check-blind").to_string();
        assert!(text.contains("health check of edge leaves in "), "{text}");
        be(&blind[1].silent);
        assert_eq!(fails(&[502], || ask(1)), 502);
        let seen = watch.daemon.scrape_upstream("check-blind");
        assert_eq!(seen.sum("health_check_transitions_total", &[]), 0.0);
        let checks = seen.sum("extra_probes_total", &[("hop", "origin"), ("purpose", "health_check")]);
        assert!(checks > 2.0, "{checks}");
    };
    let changes_its_mind = || {
        be(&hasty[0].sick);
        watch.warns("BadGatewayHealthCheckFlapping", "check-hasty", || ask(2));
        be(&hasty[1].silent);
        assert_eq!(fails(&[503], || ask(2)), 503);
    };
    std::thread::scope(|side_by_side| {
        side_by_side.spawn(takes_out);
        side_by_side.spawn(leaves_in);
        side_by_side.spawn(changes_its_mind);
    });
    watch.stays_silent("check-default", replayed);
}
