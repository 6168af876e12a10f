//! Each gateway followed while its backends fail and its logs are rotated under it: renamed and reopened in the middle of
//! traffic, then copied and truncated. Every request is counted once, and the same files read as a whole say the same.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::support::gateways::{self, Backends, Gateway};
use crate::support::programs;
use crate::support::stack::address;

/// A path of the site: how often it is asked in a round, what the client gets, and what the logs say of it.
struct Asked {
    path: &'static str,
    times: usize,
    status: u16,
    /// The cause of the request's failure and of its attempt.
    cause: Option<&'static str>,
}

const fn path(path: &'static str, times: usize, status: u16, cause: Option<&'static str>) -> Asked {
    Asked {
        path,
        times,
        status,
        cause,
    }
}

/// What a gateway makes of the site.
struct Site {
    kind: &'static str,
    format: Option<&'static str>,
    paths: [Asked; 5],
    /// What the log calls a backend where that is not its address.
    backend: fn(&str, SocketAddr) -> String,
    /// So many ask at a time.
    users: usize,
    /// The logs that it reopens at the signal USR1.
    reopens: &'static [&'static str],
}

fn by_address(_: &str, backend: SocketAddr) -> String {
    backend.to_string()
}

/// Users who ask every path of the site, again and again; each says when it has finished a round.
struct Users {
    rounds: Receiver<()>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Users {
    fn start(site: &'static Site, listen: SocketAddr, rounds: usize) -> Users {
        let (done, finished) = channel();
        let user = |_| {
            let done = done.clone();
            std::thread::spawn(move || {
                for _ in 0..rounds {
                    ask_round(site, listen);
                    let _ = done.send(());
                }
            })
        };
        Users {
            threads: (0..site.users).map(user).collect(),
            rounds: finished,
        }
    }

    /// Waits for one more round of somebody.
    fn a_round(&self) {
        self.rounds.recv().expect("they still ask");
    }

    fn end(self) {
        for thread in self.threads {
            thread.join().expect("every answer was as expected");
        }
    }
}

fn ask_round(site: &Site, listen: SocketAddr) {
    site.paths.iter().for_each(|of| ask_path(site, of, listen));
}

fn ask_path(site: &Site, of: &Asked, listen: SocketAddr) {
    let agent = [("User-Agent", "Mozilla/5.0 (X11; Linux) Gecko")];
    for number in 0..of.times {
        let answer = crate::support::http::get(listen, &format!("/{}/{number}", of.path), &agent);
        let found = answer.as_ref().ok().map(|answer| answer.status);
        assert_eq!(found, Some(of.status), "{} /{}: {answer:?}", site.kind, of.path);
    }
}

/// What is counted after so many rounds.
struct Counts {
    requests: f64,
    codes: BTreeMap<String, f64>,
    causes: BTreeMap<String, f64>,
    attempts: BTreeMap<(String, String), f64>,
}

fn counts(site: &Site, backends: &Backends, rounds: usize) -> Counts {
    let mut counts = Counts {
        requests: 0.0,
        codes: BTreeMap::new(),
        causes: BTreeMap::new(),
        attempts: BTreeMap::new(),
    };
    for (of, (name, backend)) in site.paths.iter().zip(backends.by_path()) {
        assert_eq!(of.path, name, "in the order of the backends");
        let times = (of.times * rounds) as f64;
        counts.requests += times;
        *counts.codes.entry(of.status.to_string()).or_default() += times;
        if let Some(cause) = of.cause {
            *counts.causes.entry(cause.to_owned()).or_default() += times;
            let key = ((site.backend)(name, backend), cause.to_owned());
            *counts.attempts.entry(key).or_default() += times;
        }
    }
    counts
}

impl Counts {
    /// What the page says otherwise.
    fn differ_from(&self, metrics: &Metrics) -> Option<String> {
        let by = |name: &'static str, label: &str| -> BTreeMap<String, f64> {
            let mut found = BTreeMap::new();
            for sample in metrics.all(name, &[]).filter(|sample| sample.value != 0.0) {
                *found.entry(sample.labels[label].clone()).or_default() += sample.value;
            }
            found
        };
        let attempts: BTreeMap<(String, String), f64> = metrics
            .all("gateway_attempts_failed_total", &[])
            .filter(|sample| sample.value != 0.0)
            .map(|sample| {
                let label = |name: &str| sample.labels[name].clone();
                ((label("backend"), label("cause")), sample.value)
            })
            .collect();
        let requests = metrics.sum("gateway_requests_total", &[]);
        let (codes, causes) = (
            by("gateway_responses_total", "code"),
            by("gateway_requests_failed_total", "cause"),
        );
        let differ = |what: &str, found: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
            Some(format!("{what}: {found:?}, not {wanted:?}"))
        };
        match () {
            () if requests != self.requests => differ("requests", &requests, &self.requests),
            () if codes != self.codes => differ("codes", &codes, &self.codes),
            () if causes != self.causes => differ("causes", &causes, &self.causes),
            () if attempts != self.attempts => differ("attempts", &attempts, &self.attempts),
            () => None,
        }
    }
}

fn wait_for(daemon: &Daemon, counts: &Counts) -> Metrics {
    daemon.wait_until("", |metrics| match counts.differ_from(metrics) {
        Some(difference) => Seen::NotYet(difference),
        None => Seen::Yes,
    })
}

fn unparsed(metrics: &Metrics) -> f64 {
    metrics.sum("gateway_log_lines_total", &[("result", "unparsed")])
}

/// The daemon, following these logs of a gateway that it does not probe.
fn follow(scratch: &Path, gateway: &Value) -> Daemon {
    let mut gateway = gateway.clone();
    gateway["name"] = json!("edge");
    gateway["routes"] = json!([{ "path_prefix": "/", "upstream": "shop" }]);
    let config = json!({
        "gateways": [gateway],
        "upstreams": [{ "name": "shop", "origin": "http://127.0.0.1:9/", "interval": "1h" }],
    });
    let daemon = Daemon::start(scratch, &config);
    daemon.wait_until("", |metrics| {
        let logs: Vec<_> = metrics.all("gateway_log_up", &[]).collect();
        match !logs.is_empty() && logs.iter().all(|log| log.value == 1.0) {
            true => Seen::Yes,
            false => Seen::NotYet("all logs read".into()),
        }
    });
    daemon
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}.{suffix}", file.display()))
}

fn empty(file: &PathBuf) {
    let file = OpenOptions::new().write(true).open(file);
    file.and_then(|file| file.set_len(0)).expect("truncated");
}

/// Follows the files of a gateway through both kinds of rotation.
fn followed_through_rotation(site: &'static Site, start: impl Fn(&Path, &Backends) -> Gateway) {
    let (scratch, inner) = folder();
    let backends = Backends::start();
    let gateway = start(&inner, &backends);
    let logs = [("access", &gateway.access), ("error", &gateway.error)];
    let files = logs.map(|(_, file)| file);
    // What it says of its own start is nobody's traffic.
    files.into_iter().for_each(empty);
    let mut access = json!({ "path": gateway.access });
    if let Some(format) = site.format {
        access["format"] = json!(format);
    }
    let daemon = follow(
        &scratch,
        &json!({ "kind": site.kind, "access_log": access, "error_log": gateway.error }),
    );

    // Renamed and reopened while users ask.
    let mut rounds = 4 * site.users;
    let users = Users::start(site, gateway.listen, 4);
    for _ in 0..site.users {
        users.a_round();
    }
    for (name, file) in &logs {
        if site.reopens.contains(name) {
            fs::rename(file, beside(file, "1")).expect("renamed");
        }
    }
    if !site.reopens.is_empty() {
        gateway.process().signal("USR1");
    }
    users.end();
    wait_for(&daemon, &counts(site, &backends, rounds));

    // Copied and truncated between two waves: what is written in between is lost to everybody.
    for file in files {
        fs::copy(file, beside(file, "copied")).expect("copied");
        empty(file);
    }
    Users::start(site, gateway.listen, 2).end();
    rounds += 2 * site.users;
    let metrics = wait_for(&daemon, &counts(site, &backends, rounds));
    assert_eq!(
        unparsed(&metrics),
        0.0,
        "{}",
        daemon.process().output("not understood", 3)
    );
    for (log, _) in logs {
        let times = 1.0 + f64::from(site.reopens.contains(&log));
        let rotations = metrics.sum("gateway_log_rotations_total", &[("log", log)]);
        assert_eq!(rotations, times, "{log}");
        assert_eq!(metrics.sum("gateway_log_unread_bytes", &[("log", log)]), 0.0, "{log}");
    }

    let whole = files.iter().flat_map(|file| {
        let old = ["1", "copied"].map(|suffix| beside(file, suffix));
        old.into_iter().filter(|old| old.exists()).chain([(*file).clone()])
    });
    let mut whole: Vec<_> = whole.collect();
    // As a pattern of the shell names them: the newest is first.
    whole.sort();
    as_a_whole(site, &counts(site, &backends, rounds), &whole);
}

/// `badgateway logs` guesses the kind of these files and counts the same.
fn as_a_whole(site: &Site, counts: &Counts, files: &[PathBuf]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_badgateway"));
    command.args(["logs", "--json"]);
    if let Some(format) = site.format {
        command.args(["--format", format]);
    }
    let output = command.args(files).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["kind"], site.kind);
    assert_eq!(report["requests"], json!(counts.requests as u64), "{report:#}");
    let number = |value: &Value| value.as_f64().expect("a number");
    let map = |value: &Value| -> BTreeMap<String, f64> {
        let entries = value.as_object().expect("a map").iter();
        entries.map(|(key, value)| (key.clone(), number(value))).collect()
    };
    assert_eq!(map(&report["responses"]), counts.codes, "{report:#}");
    assert_eq!(map(&report["requests_failed"]), counts.causes, "{report:#}");
    let mut attempts = BTreeMap::new();
    for failure in report["failures"].as_array().expect("a list") {
        let text = |key: &str| failure[key].as_str().unwrap_or("unknown").to_owned();
        let backend = failure["backend"]
            .as_str()
            .map_or_else(|| text("upstream"), str::to_owned);
        *attempts.entry((backend, text("cause"))).or_insert(0.0) += number(&failure["count"]);
    }
    assert_eq!(attempts, counts.attempts, "{report:#}");
    assert_eq!(report["lines"]["unparsed"], 0, "{report:#}");
}

const NGINX_FORMAT: &str = r#"$remote_addr [$time_local] "$request" $status "$http_user_agent" ua="$upstream_addr" us="$upstream_status" uc="$upstream_connect_time" uh="$upstream_header_time" ub="$upstream_bytes_received" rt=$request_time c=$connection"#;

#[test]
fn nginx() {
    static SITE: Site = Site {
        kind: "nginx",
        format: Some(NGINX_FORMAT),
        paths: [
            path("good", 9, 200, None),
            path("refused", 3, 502, Some("connect_refused")),
            path("closed", 2, 502, Some("response_closed")),
            path("timeout", 1, 504, Some("response_timeout")),
            path("cut", 2, 200, Some("response_truncated")),
        ],
        backend: by_address,
        users: 3,
        reopens: &["access", "error"],
    };
    if programs::have(&["nginx"]) {
        followed_through_rotation(&SITE, |folder, backends| {
            gateways::nginx_site(folder, backends, NGINX_FORMAT)
        });
    }
}

/// `combined`, and how long a request took: without that, its line says only when it began, and an error line only when
/// it failed.
const APACHE_FORMAT: &str = r#"%h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i" us=%D"#;

#[test]
fn apache() {
    static SITE: Site = Site {
        kind: "apache",
        format: Some(APACHE_FORMAT),
        paths: [
            path("good", 9, 200, None),
            path("refused", 3, 503, Some("connect_refused")),
            path("closed", 2, 502, Some("response_closed")),
            path("timeout", 1, 502, Some("response_timeout")),
            path("cut", 2, 200, Some("response_truncated")),
        ],
        backend: |path, backend| match path {
            // The line of a cut response names nobody.
            "cut" => "unknown".to_owned(),
            _ => backend.to_string(),
        },
        users: 3,
        reopens: &["access", "error"],
    };
    if programs::have(&["apache2"]) {
        followed_through_rotation(&SITE, |folder, backends| {
            gateways::apache(folder, backends, APACHE_FORMAT)
        });
    }
}

#[test]
fn caddy() {
    static SITE: Site = Site {
        kind: "caddy",
        format: None,
        paths: [
            path("good", 9, 200, None),
            path("refused", 3, 502, Some("connect_refused")),
            // Closed in the handshake or after the request: nobody can tell.
            path("closed", 2, 502, Some("bad_gateway")),
            path("timeout", 1, 504, Some("response_timeout")),
            path("cut", 2, 200, Some("response_truncated")),
        ],
        backend: |path, backend| match path {
            // Only a failed connect names it.
            "cut" | "closed" | "timeout" => "unknown".to_owned(),
            _ => backend.to_string(),
        },
        users: 3,
        reopens: &[],
    };
    if programs::have(&["caddy"]) {
        followed_through_rotation(&SITE, gateways::caddy);
    }
}

#[test]
fn traefik() {
    static SITE: Site = Site {
        kind: "traefik",
        format: None,
        paths: [
            path("good", 9, 200, None),
            path("refused", 3, 502, Some("connect_refused")),
            // As Caddy: closed in the handshake or after the request.
            path("closed", 2, 502, Some("bad_gateway")),
            path("timeout", 1, 504, Some("response_timeout")),
            path("cut", 2, 200, Some("response_truncated")),
        ],
        backend: by_address,
        users: 3,
        reopens: &["access"],
    };
    if programs::have(&["traefik"]) {
        followed_through_rotation(&SITE, gateways::traefik);
    }
}

const ENVOY_FORMAT: &str = r#"[%START_TIME%] %DOWNSTREAM_REMOTE_ADDRESS% "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %DURATION% %UPSTREAM_REQUEST_ATTEMPT_COUNT% "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER%"#;

/// Envoy reopens its logs at the same signal.
#[test]
fn envoy() {
    static SITE: Site = Site {
        kind: "envoy",
        format: Some(ENVOY_FORMAT),
        paths: [
            path("good", 9, 200, None),
            path("refused", 3, 503, Some("connect_refused")),
            path("closed", 2, 503, Some("response_failed")),
            path("timeout", 1, 504, Some("response_timeout")),
            path("cut", 2, 200, Some("response_failed")),
        ],
        backend: by_address,
        users: 3,
        reopens: &["access"],
    };
    if programs::have(&["envoy"]) {
        followed_through_rotation(&SITE, |folder, backends| {
            gateways::envoy(folder, backends, ENVOY_FORMAT)
        });
    }
}

const HAPROXY_FORMAT: &str = r#"%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r srv=%si:%sp bc_err=%[bc_err] bc_err_str=%{+Q}[bc_err_str] ssl_bc_err_str=%{+Q}[ssl_bc_err_str]"#;

static HAPROXY: Site = Site {
    kind: "haproxy",
    format: Some(HAPROXY_FORMAT),
    paths: [
        path("good", 9, 200, None),
        path("refused", 3, 503, Some("connect_failed")),
        // SH: closed, reset, or a client certificate that was asked for late.
        path("closed", 2, 502, Some("bad_gateway")),
        path("timeout", 1, 504, Some("response_timeout")),
        path("cut", 2, 200, Some("response_truncated")),
    ],
    backend: by_address,
    users: 1,
    reopens: &[],
};

/// HAProxy writes no file: it sends every line, to the daemon in one way or the other, and to a file of ours.
fn followed_by_syslog(scratch: &Path, inner: &Path, sent_to: &str, listen: &str) {
    let backends = Backends::start();
    let syslog = json!({ "listen": listen, "format": HAPROXY_FORMAT });
    let daemon = follow(scratch, &json!({ "kind": "haproxy", "syslog": syslog }));
    let (collector, lines) = collector();
    let edge = gateways::haproxy(inner, &backends, &[sent_to, &collector.to_string()], HAPROXY_FORMAT);
    let mut asked = 0;
    for of in HAPROXY.paths.iter().cycle().take(4 * HAPROXY.paths.len()) {
        ask_path(&HAPROXY, of, edge.listen);
        asked += of.times;
        // A unix socket takes ten messages (`net.unix.max_dgram_qlen`), and HAProxy drops what would have to wait.
        daemon.wait_until("", |metrics| match metrics.sum("gateway_requests_total", &[]) {
            found if found >= asked as f64 => Seen::Yes,
            found => Seen::NotYet(format!("{asked} requests, not {found}")),
        });
    }
    let counts = counts(&HAPROXY, &backends, 4);
    let metrics = wait_for(&daemon, &counts);
    assert_eq!(
        unparsed(&metrics),
        0.0,
        "{}",
        daemon.process().output("not understood", 3)
    );
    let file = scratch.join("haproxy.log");
    let written: String = lines.iter().take(counts.requests as usize).collect();
    fs::write(&file, written).expect("written");
    as_a_whole(&HAPROXY, &counts, &[file]);
}

/// Writes messages down as a syslog server does: without their priority, one per line.
fn collector() -> (SocketAddr, Receiver<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let listen = socket.local_addr().expect("bound");
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(length) = socket.recv(&mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..length]);
            let line = message.split_once('>').map_or(&*message, |(_, line)| line);
            if !line.contains("bc_err_str") {
                continue;
            }
            if sender.send(format!("{}\n", line.trim_end())).is_err() {
                return;
            }
        }
    });
    (listen, lines)
}

#[test]
fn haproxy_by_udp() {
    if programs::have(&["haproxy"]) {
        let (scratch, inner) = folder();
        let listen = address(4).to_string();
        followed_by_syslog(&scratch, &inner, &listen, &listen);
    }
}

#[test]
fn haproxy_by_a_unix_socket() {
    if programs::have(&["haproxy"]) {
        let (scratch, inner) = folder();
        let socket = tempfile::Builder::new().prefix("bg").tempdir().expect("a short path");
        let socket = socket.path().join("log.sock").display().to_string();
        std::fs::create_dir_all(Path::new(&socket).parent().expect("a directory")).expect("created");
        followed_by_syslog(&scratch, &inner, &socket, &format!("unix:{socket}"));
    }
}
