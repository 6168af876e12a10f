//! Probes beside the rounds, against real servers whose values are known: the patient one, that of idle connections, and the
//! gateway's health check replayed. Programs that are missing skip a test, in CI they fail it.

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::gateways;
use support::metrics::Metrics;
use support::process::Process;
use support::stack::{address, wait_until};
use support::{http, programs};

/// A server of Python's own. Which one it is, `$3` says, and `$4` something to it:
/// - `after`: answers `/after/MS` after so many milliseconds, and everything else at once;
/// - `keeps`: keeps connections for `$4` seconds, or, with `1.0`, none at all;
/// - `checked`: answers `/up` with 503 while the file `$4` is there, `/broken` with 500, and everything else with 200.
const PYTHON: &str = r#"
import http.server, os, sys, time
what, more = sys.argv[3:5]
class Handler(http.server.BaseHTTPRequestHandler):
    if what == 'keeps':
        protocol_version = 'HTTP/1.0' if more == '1.0' else 'HTTP/1.1'
        timeout = float(more)
    def do_GET(self):
        status = 200
        if what == 'after' and self.path.startswith('/after/'):
            time.sleep(int(self.path.split('/')[2]) / 1000)
        if what == 'checked':
            sick = self.path == '/up' and os.path.exists(more)
            status = 503 if sick else 500 if self.path == '/broken' else 200
        self.send_response(status)
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

/// An origin of the test: its name and the program.
struct Origin {
    name: &'static str,
    listen: SocketAddr,
    process: Process,
}

fn origin(name: &'static str, program: &str, arguments: impl Fn(&str, &str) -> Vec<String>) -> Origin {
    let listen = address(22);
    let arguments = arguments(&listen.ip().to_string(), &listen.port().to_string());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = listening(program, &arguments, listen);
    Origin { name, listen, process }
}

fn python(name: &'static str, what: &str, more: &str) -> Origin {
    origin(name, "python3", |ip, port| words(&["-c", PYTHON, ip, port, what, more]))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A daemon in a hurry.
fn daemon(confirm: Value, gateways: Value, upstreams: Value) -> Daemon {
    let defaults = json!({ "interval": "1s", "timeout": "1s", "confirm": confirm });
    let config = json!({ "defaults": defaults, "gateways": gateways, "upstreams": upstreams });
    Daemon::start(&scratch(), &config)
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
    let slow = python("slow", "after", "");
    let origin = slow.listen;
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
    let daemon = daemon(
        json!({ "retries": 0 }),
        json!([{ "name": "edge", "kind": "nginx", "limits": { "first_byte": "2s" } }]),
        json!([
            upstream("quick", "/"),
            upstream("near", "/after/1700"),
            upstream("late", "/after/2500"),
            upstream("never", "/after/60000"),
        ]),
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

/// A server whose close always meets the next request: after a second and a half of silence it only closes once one comes.
const RACING: &str = r#"
import socket, sys, threading, time
def serve(client):
    with client:
        while True:
            since, data = time.monotonic(), b''
            while b'\r\n\r\n' not in data:
                more = client.recv(4096)
                if not more or not data and time.monotonic() - since > 1.5:
                    return
                data += more
            client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

const NODE: &str = r#"
const [host, port] = process.argv.slice(1);
require('http').createServer((_, answer) => answer.end('ok')).listen(Number(port), host);
"#;

const WSGI: &str = "def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";

/// Debian's nginx as an origin.
fn nginx_origin(name: &'static str, folder: &Path, kept: &str) -> Origin {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).expect("created");
    origin(name, "nginx", |ip, port| {
        let folder = folder.display();
        let config = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr error; events {{}}
             http {{
                 access_log off; keepalive_timeout {kept};
                 client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
                 uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
                 server {{ listen {ip}:{port}; return 200 ok; }}
             }}"
        );
        let file = format!("{folder}/nginx.conf");
        std::fs::write(&file, config).expect("written");
        words(&["-c", &file, "-e", "stderr"])
    })
}

/// Debian's httpd as an origin.
fn apache_origin(folder: &Path) -> Origin {
    let folder = folder.join("apache");
    std::fs::create_dir(&folder).expect("created");
    std::fs::write(folder.join("page"), "ok").expect("written");
    origin("apache", "apache2", |ip, port| {
        let folder = folder.display();
        let modules = ["mpm_event", "authz_core"]
            .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
            .concat();
        let config = format!(
            "ServerRoot {folder}\nServerName localhost\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\n\
             Listen {ip}:{port}\n{modules}User nobody\nGroup nogroup\nErrorLog {folder}/error.log\n\
             DocumentRoot {folder}\nKeepAliveTimeout 3\nServerLimit 1\nStartServers 1\n"
        );
        let file = format!("{folder}/httpd.conf");
        std::fs::write(&file, config).expect("written");
        words(&["-DFOREGROUND", "-f", &file])
    })
}

#[test]
fn idle_connections_are_measured_where_a_gateway_reuses_them() {
    if !programs::have(&["python3", "nginx", "apache2", "node", "gunicorn"]) {
        return;
    }
    let folder = scratch();
    let wsgi = folder.join("wsgi.py");
    std::fs::write(&wsgi, WSGI).expect("written");
    let racing = origin("racing", "python3", |ip, port| words(&["-c", RACING, ip, port]));
    // The gateway that reuses: it says so in its own configuration, and nowhere else.
    let gateway = gateways::nginx(
        &folder,
        &format!(
            "access_log off;
             upstream app {{ server {}; keepalive 4; keepalive_timeout 8s; }}
             server {{ listen $LISTEN; location / {{
                 proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";
             }} }}",
            racing.listen
        ),
    );
    let (apache, node) = (
        apache_origin(&folder),
        origin("node", "node", |ip, port| words(&["-e", NODE, ip, port])),
    );
    let gunicorn = origin("gunicorn", "gunicorn", |ip, port| {
        let folder = folder.to_str().expect("plain");
        words(&[
            "--chdir",
            folder,
            "-k",
            "gthread",
            "--threads",
            "2",
            "-b",
            &format!("{ip}:{port}"),
            "wsgi:app",
        ])
    });
    let (old, lasting) = (python("old", "keeps", "1.0"), nginx_origin("lasting", &folder, "75s"));
    // Their documented values, give or take what a busy machine does to a clock; Node adds a second of its own since 2025.
    let measured = [
        (python("python", "keeps", "2"), 1.5..3.0),
        (nginx_origin("nginx", &folder, "4s"), 3.5..5.0),
        (apache, 2.5..4.0),
        (node, 4.5..7.0),
        (gunicorn, 1.5..4.0),
        (racing, 0.4..2.0),
    ];
    let of = |origin: &Origin, gateway: &str| {
        let path = if origin.name == "apache" { "page" } else { "" };
        json!({
            "name": origin.name,
            "origin": format!("http://{}/{path}", origin.listen),
            "via": [{ "gateway": gateway, "url": format!("http://{}/", origin.listen), "expect": { "status": ["200-499"] } }],
        })
    };
    let mut upstreams: Vec<Value> = measured.iter().map(|(origin, _)| of(origin, "written")).collect();
    upstreams.last_mut().expect("some")["via"][0]["gateway"] = json!("read");
    upstreams.extend([of(&old, "written"), of(&lasting, "written")]);
    let mut alone = of(&lasting, "default");
    alone["name"] = json!("default");
    upstreams.push(alone);
    let daemon = daemon(
        json!({}),
        json!([
            { "name": "written", "kind": "nginx", "limits": { "idle": "8s" } },
            { "name": "read", "kind": "nginx", "config_file": folder.join("nginx.conf") },
            { "name": "default", "kind": "nginx" },
        ]),
        upstreams.into(),
    );
    for (origin, expected) in &measured {
        let found = daemon.wait_until(origin.name, |metrics| {
            let known = metrics.has("keepalive_idle_seconds", &[("address", &origin.listen.to_string())]);
            yes_or(known, format!("not measured; {}", origin.process.output("", 5)))
        });
        let found = found.sum("keepalive_idle_seconds", &[]);
        assert!(
            expected.contains(&found),
            "{}: {found} s, not within {expected:?}",
            origin.name
        );
    }
    let lasting = daemon.wait_until("lasting", |metrics| {
        yes_or(metrics.has("keepalive_idle_lower_bound_seconds", &[]), "no lower bound")
    });
    assert_eq!(lasting.sum("keepalive_idle_lower_bound_seconds", &[]), 8.0);
    assert!(!lasting.has("keepalive_idle_seconds", &[]));
    // What is not kept cannot be reused too late, and where nothing says that connections are reused none is left idle.
    let old = daemon.scrape_upstream("old");
    assert!(
        old.sum("extra_probes_total", &[("purpose", "keepalive")]) >= 2.0,
        "{}",
        old.show("extra")
    );
    let default = daemon.scrape_upstream("default");
    for metrics in [&old, &default] {
        assert!(!metrics.has("keepalive_idle_seconds", &[]));
        assert!(!metrics.has("keepalive_idle_lower_bound_seconds", &[]));
    }
    assert!(
        !default.has("extra_probes_total", &[("purpose", "keepalive")]),
        "{}",
        default.show("extra")
    );
    assert!(
        said(&daemon, "racing")
            .to_string()
            .contains("idle connections of read to ")
    );
    // And the gateway really answers 502, to a request after a silence that it bears and the origin does not.
    assert_eq!(gateway.ask("/"), Some(200));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let answer = http::ask(gateway.listen, "POST", "/", &[("Content-Length", "0")], b"").expect("an answer");
    assert_eq!(answer.status, 502, "{}", answer.text());
}

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
    let server = |name| python(name, "checked", sick.to_str().expect("plain"));
    let (checked, connected) = (server("checked"), server("connected"));
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
    let daemon = daemon(
        json!({}),
        json!([{ "name": "edge", "kind": "haproxy", "config_file": file }]),
        json!([
            {
                "name": "checked", "origin": format!("http://{}/", checked.listen),
                "via": [{ "gateway": "edge", "url": format!("http://{}/", fronts[0]) }],
            },
            {
                "name": "connected", "origin": format!("http://{}/broken", connected.listen),
                "via": [{ "gateway": "edge", "url": format!("http://{}/broken", fronts[1]) }],
            },
        ]),
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
