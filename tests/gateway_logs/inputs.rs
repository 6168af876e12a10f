//! Logs that are not there yet, may not be read, or were being read when the daemon was restarted.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::support::gateways::{self, Backends};
use crate::support::http;
use crate::support::programs;
use crate::support::stack::{address, wait_until};

fn config(access: &Path, storage: Option<&Path>) -> Value {
    let mut config = json!({
        "gateways": [{ "name": "edge", "kind": "nginx", "access_log": access,
            "routes": [{ "path_prefix": "/", "upstream": "shop" }] }],
        "upstreams": [{ "name": "shop", "origin": "http://127.0.0.1:9/", "interval": "1h" }],
    });
    if let Some(storage) = storage {
        config["storage"] = json!({ "path": storage });
    }
    config
}

fn line(status: u16) -> String {
    format!("10.0.0.1 - - [20/Nov/2026:12:00:00 +0000] \"GET / HTTP/1.1\" {status} 5 \"-\" \"agent\"\n")
}

fn up(metrics: &Metrics, value: f64) -> Seen {
    let found: Vec<_> = metrics
        .all("gateway_log_up", &[("log", "access")])
        .map(|log| log.value)
        .collect();
    match found == [value] {
        true => Seen::Yes,
        false => Seen::NotYet(format!("up {value}, not {found:?}")),
    }
}

fn counted(metrics: &Metrics, requests: f64) -> Seen {
    match metrics.sum("gateway_requests_total", &[("upstream", "shop")]) {
        found if found == requests => Seen::Yes,
        found => Seen::NotYet(format!("{requests} requests, not {found}")),
    }
}

#[test]
fn a_log_that_does_not_exist_yet_is_waited_for_and_read_from_its_first_line() {
    let (scratch, inner) = folder();
    let access = inner.join("later/access.log");
    let daemon = Daemon::start(&scratch, &config(&access, None));
    daemon.wait_until("", |metrics| up(metrics, 0.0));
    fs::create_dir(inner.join("later")).expect("created");
    fs::write(&access, line(200) + &line(502)).expect("written");
    daemon.wait_until("", |metrics| up(metrics, 1.0));
    let metrics = daemon.wait_until("", |metrics| counted(metrics, 2.0));
    assert_eq!(metrics.sum("gateway_responses_total", &[("code", "502")]), 1.0);
    assert_eq!(
        metrics.sum("gateway_requests_failed_total", &[("cause", "bad_gateway")]),
        1.0
    );
}

#[test]
fn a_log_that_may_not_be_read_is_a_metric_and_one_line_and_tried_again() {
    let (scratch, inner) = folder();
    let access = inner.join("access.log");
    // A directory in its place cannot be read by anybody, root included.
    fs::create_dir(&access).expect("created");
    let daemon = Daemon::start(&scratch, &config(&access, None));
    daemon.wait_until("", |metrics| up(metrics, 0.0));
    let path = access.display().to_string();
    daemon.process().wait_for("what is wrong with the log", |line| {
        (line.contains(&path) && line.contains("WARN")).then_some(())
    });
    fs::remove_dir(&access).expect("removed");
    fs::write(&access, line(200)).expect("written");
    fs::set_permissions(&access, fs::Permissions::from_mode(0o644)).expect("set");
    daemon.wait_until("", |metrics| up(metrics, 1.0));
    daemon.wait_until("", |metrics| counted(metrics, 1.0));
    let said = daemon.process().output("no regular file", 10);
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_line_of_100_mb_or_binary_is_skipped_counted_and_shown_once() {
    let (scratch, inner) = folder();
    let access = inner.join("access.log");
    let mut config = config(&access, None);
    config["gateways"][0]["access_log"] = json!({ "path": access, "from": "start" });
    let mut file = fs::File::create(&access).expect("created");
    let mut write = |bytes: &[u8]| file.write_all(bytes).expect("written");
    write(line(200).as_bytes());
    write(b"jane@example.com \0\x01\x02 secret-of-a-client\n");
    let daemon = Daemon::start(&scratch, &config);
    // Each piece of it is read while its end is still to come.
    let megabyte = "GET /secret-of-a-client ".repeat(45_000).into_bytes();
    (0..100).for_each(|_| write(&megabyte));
    daemon.wait_until("", |metrics| {
        match metrics.sum("gateway_log_lines_total", &[("log", "access"), ("result", "unparsed")]) {
            2.0 => Seen::Yes,
            found => Seen::NotYet(format!("2 lines skipped, not {found}")),
        }
    });
    write(b"\n");
    write(line(502).as_bytes());
    daemon.wait_until("", |metrics| counted(metrics, 2.0));
    let metrics = daemon.scrape();
    assert_eq!(metrics.sum("gateway_log_lines_total", &[("result", "unparsed")]), 2.0);

    let page = http::get(daemon.address(), "/logs", &[]).expect("a page").text();
    let path = access.display().to_string();
    let first = line(200).len();
    let of_binary = format!("<td>{path}</td><td>{first}</td><td>39</td><td>holds NULs</td>");
    let long = format!(
        "<td>{path}</td><td>{}</td><td>no end yet</td><td>longer than 64 KiB</td>",
        first + 40
    );
    for row in [&of_binary, &long] {
        assert_eq!(page.matches(row.as_str()).count(), 1, "{row} once:\n{page}");
    }
    assert!(!page.contains("secret-of-a-client"), "{page}");
}

#[test]
fn both_logs_by_http_are_one_series_and_each_is_read() {
    let (scratch, inner) = folder();
    let (access, error) = (address(6), address(6));
    let mut config = config(&inner, None);
    config["gateways"][0]["access_log"] = json!({ "http": access.to_string() });
    config["gateways"][0]["error_log"] = json!({ "http": error.to_string() });
    let daemon = Daemon::start(&scratch, &config);
    let of_http = |metrics: &Metrics, name: &'static str| -> Vec<f64> {
        let logs = metrics.all(name, &[("gateway", "edge")]);
        logs.map(|log| {
            assert_eq!(log.labels["log"], "http");
            log.value
        })
        .collect()
    };
    daemon.wait_until("", |metrics| match of_http(metrics, "gateway_log_up") {
        up if up == [1.0] => Seen::Yes,
        up => Seen::NotYet(format!("one series, 1, not {up:?}")),
    });
    let refused = "2026/11/20 12:00:00 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to \
                   upstream, client: 10.0.0.1, server: , request: \"GET / HTTP/1.1\", upstream: \
                   \"http://127.0.0.1:9/\", host: \"shop\"\n";
    for (listen, line) in [(error, refused.to_owned()), (access, line(502))] {
        let answer = http::ask(listen, "POST", "/", &[], line.as_bytes()).expect("an answer");
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }
    let metrics = daemon.wait_until("", |metrics| {
        match metrics.sum("gateway_requests_failed_total", &[("cause", "connect_refused")]) {
            1.0 => Seen::Yes,
            found => Seen::NotYet(format!("one connect_refused, not {found}")),
        }
    });
    assert_eq!(metrics.sum("gateway_log_lines_total", &[("result", "parsed")]), 2.0);
    assert_eq!(of_http(&metrics, "gateway_log_lines_total"), [2.0, 0.0]);
    assert_eq!(of_http(&metrics, "gateway_log_last_line_timestamp_seconds").len(), 1);
}

/// Writes lines until it is told to stop, and says how many it wrote.
struct Writer {
    stop: Arc<AtomicBool>,
    writing: std::thread::JoinHandle<u64>,
}

impl Writer {
    /// Some fifty thousand lines a second: always more than what was read a moment ago.
    fn start(access: &Path) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let mut file = fs::File::create(access).expect("created");
        let told = Arc::clone(&stop);
        let writing = std::thread::spawn(move || {
            let lines = line(200).repeat(500);
            let mut written = 0;
            while !told.load(Ordering::Relaxed) {
                file.write_all(lines.as_bytes()).expect("written");
                written += 500;
                std::thread::sleep(Duration::from_millis(10));
            }
            written
        });
        Writer { stop, writing }
    }

    fn end(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.writing.join().expect("it wrote") as f64
    }
}

/// Daemons that read one file, one after the other.
struct Readers {
    scratch: PathBuf,
    config: Value,
}

impl Readers {
    fn of(access: &Path, scratch: &Path) -> Readers {
        let mut config = config(access, Some(&scratch.join("storage")));
        config["gateways"][0]["access_log"] = json!({ "path": access, "from": "start" });
        Readers {
            scratch: scratch.to_owned(),
            config,
        }
    }

    /// Every daemon removes its own folder.
    fn start(&self, name: &str) -> Daemon {
        let own = self.scratch.join(name);
        fs::create_dir(&own).expect("created");
        Daemon::start(&own, &self.config)
    }

    /// Lines before the saved position.
    fn saved(&self) -> f64 {
        let file = self.scratch.join("storage/positions/edge%2faccess.json");
        let Ok(text) = fs::read_to_string(file) else {
            return 0.0;
        };
        let saved: Value = serde_json::from_str(&text).expect("JSON");
        let offset = saved["log"]["files"][0]["offset"].as_u64().expect("an offset");
        assert_eq!(offset % line(200).len() as u64, 0, "whole lines: {saved:#}");
        (offset / line(200).len() as u64) as f64
    }
}

fn requests(metrics: &Metrics) -> f64 {
    metrics.sum("gateway_requests_total", &[("upstream", "shop")])
}

#[test]
fn stopped_in_the_middle_of_a_growing_file_it_reads_on_at_the_next_line() {
    let (scratch, inner) = folder();
    let access = inner.join("access.log");
    let writer = Writer::start(&access);
    let readers = Readers::of(&access, &scratch);
    let mut before = 0.0;
    for name in ["first", "second", "third"] {
        let daemon = readers.start(name);
        daemon.wait_until("", |metrics| match requests(metrics) {
            found if found > 20_000.0 => Seen::Yes,
            found => Seen::NotYet(format!("{found} requests")),
        });
        daemon.process().signal("TERM");
        before += daemon.process().wait_for("how many lines it read", |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["msg"] == "its logs are read no more").then(|| line["lines"].as_f64())?
        });
        assert_eq!(readers.saved(), before, "what was read is what was saved");
    }
    let last = readers.start("last");
    last.wait_until("", |metrics| match requests(metrics) {
        found if found > 20_000.0 => Seen::Yes,
        found => Seen::NotYet(format!("{found} requests")),
    });
    let written = writer.end();
    last.wait_until("", |metrics| counted(metrics, written - before));
}

#[test]
fn killed_in_the_middle_of_a_growing_file_it_reads_again_what_was_not_saved() {
    let (scratch, inner) = folder();
    let access = inner.join("access.log");
    let writer = Writer::start(&access);
    let readers = Readers::of(&access, &scratch);
    let first = readers.start("first");
    let counted_and_saved = || {
        let saved = readers.saved();
        let found = requests(&first.scrape());
        assert!(saved <= found, "{saved} lines saved, {found} counted");
        (found, saved)
    };
    let (found, _) = wait_until("positions saved once and more lines counted since", || {
        let (found, saved) = counted_and_saved();
        (saved > 0.0 && found > saved + 20_000.0).then_some((found, saved))
    });
    first.process().signal("KILL");
    wait_until("it is gone", || first.process().ended().then_some(()));
    let saved = readers.saved();
    assert!(saved > 0.0, "it had saved a position");
    let second = readers.start("second");
    second.wait_until("", |metrics| match requests(metrics) {
        again if again > found - saved => Seen::Yes,
        again => Seen::NotYet(format!("{again} requests")),
    });
    let written = writer.end();
    // From the saved position on, each once.
    second.wait_until("", |metrics| counted(metrics, written - saved));
}

#[test]
fn a_restart_in_the_middle_of_traffic_neither_repeats_nor_loses_a_line() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let (scratch, inner) = folder();
    let backends = Backends::start();
    let edge = gateways::nginx_site(
        &inner,
        &backends,
        r#"$remote_addr - - [$time_local] "$request" $status 5 "-" "-""#,
    );
    let config = config(&edge.access, Some(&scratch.join("storage")));
    // Every daemon removes its own folder.
    let own = |name: &str| {
        let own = scratch.join(name);
        fs::create_dir(&own).expect("created");
        own
    };
    let first = Daemon::start(&own("first"), &config);
    first.wait_until("", |metrics| up(metrics, 1.0));
    let third = |number: usize| {
        if number.is_multiple_of(3) {
            ("/refused", 502)
        } else {
            ("/good", 200)
        }
    };
    let ask = |number| {
        let (path, status) = third(number);
        edge.ask_times(1, path, status);
    };
    (0..200).for_each(ask);
    first.wait_until("", |metrics| counted(metrics, 200.0));
    first.process().signal("TERM");
    first
        .process()
        .wait_for("the last line", |line| line.contains("\"stopped\"").then_some(()));
    // The log is rotated while nobody looks, and written to before, after, and while the next one starts.
    (200..300).for_each(ask);
    fs::rename(&edge.access, edge.access.with_extension("log.1")).expect("renamed");
    edge.process().signal("USR1");
    wait_until("nginx writes to the new file", || edge.access.exists().then_some(()));
    (300..400).for_each(ask);
    let second = std::thread::scope(|scope| {
        let user = scope.spawn(|| (400..600).for_each(ask));
        let second = Daemon::start(&own("second"), &config);
        user.join().expect("every answer as expected");
        second
    });
    let metrics = second.wait_until("", |metrics| counted(metrics, 400.0));
    let of_code = |code| metrics.sum("gateway_responses_total", &[("code", code)]);
    let expected = (200..600).filter(|number| third(*number).1 == 502).count() as f64;
    assert_eq!((of_code("502"), of_code("200")), (expected, 400.0 - expected));
    // Nothing more comes: a line asked for now is the only new one.
    ask(600);
    second.wait_until("", |metrics| counted(metrics, 401.0));
}
