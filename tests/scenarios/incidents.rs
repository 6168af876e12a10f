//! Incidents are kept through crashes, torn lines and a full disk; what changed stands beside them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;
use crate::support::daemon::{files, scratch};
use crate::support::peers::http1::{answer, answers};
use crate::support::peers::serve;
use crate::support::{mounts, programs};

/// The incidents as the API lists them, the latest first.
fn listed(daemon: &Daemon) -> Vec<Value> {
    api(daemon, "incidents")["incidents"]
        .as_array()
        .expect("a list")
        .clone()
}

/// What `badgateway incidents` prints of this directory.
fn printed(storage: &Path, form: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_badgateway"))
        .args(["incidents", form, "--storage"])
        .arg(storage)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The incidents in the file of this directory, the latest first.
fn in_file(storage: &Path) -> Vec<Value> {
    let found: Value = serde_json::from_str(&printed(storage, "--json")).expect("JSON");
    found["incidents"].as_array().expect("a list").clone()
}

/// A service that can be killed, behind nginx.
struct Shop {
    server: Gateway,
    edge: Gateway,
}

impl Shop {
    fn start(files: &Path) -> Shop {
        let server = backend(files, "server");
        let edge = nginx_before(files, &[server.listen]);
        Shop { server, edge }
    }

    /// What watches it, with incidents kept in that directory.
    fn config(&self, storage: &Path) -> Value {
        let shop = upstream("shop", &[self.server.listen], &[("edge", self.edge.listen)]);
        let mut config = config(json!([{ "name": "edge", "kind": "nginx" }]), json!([shop]));
        config["storage"] = json!({ "path": storage });
        config
    }
}

/// Waits until users feel that the service is down.
fn is_down(daemon: &Daemon) {
    until(daemon, "shop", |state| match [&state["verdict"], &state["impact"]] {
        [verdict, impact] if verdict == "origin_down" && impact == "users" => Ok(()),
        _ => Err("not origin_down, users".to_owned()),
    });
}

#[test]
fn an_incident_goes_on_after_a_crash_that_tore_its_last_line_and_ends_once() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let files = files();
    let mut shop = Shop::start(files.path());
    let storage = folder(files.path(), "storage");
    let config = shop.config(&storage);
    let daemon = Daemon::start(&scratch(), &config);
    settled(&daemon, "shop");
    shop.server.kill();
    is_down(&daemon);
    shop.server.start_again();
    settled(&daemon, "shop");
    shop.server.kill();
    is_down(&daemon);
    let lines = || fs::read_to_string(storage.join("incidents.jsonl")).expect("readable");
    let of_second = |text: &str| text.lines().filter(|line| line.contains("\"id\":1,")).count();
    wait_until("its beginning and what it became are in the file", || {
        (of_second(&lines()) >= 2).then_some(())
    });

    // Killed, and in mid-line.
    drop(daemon);
    let file = OpenOptions::new()
        .write(true)
        .open(storage.join("incidents.jsonl"))
        .expect("opened");
    let bytes = file.metadata().expect("known").len();
    file.set_len(bytes - 7).expect("cut");
    let left = in_file(&storage);
    assert_eq!(
        [&left[0]["end"]["how"], &left[1]["end"]["how"]],
        [&Value::Null, &json!("recovered")],
        "{left:#?}"
    );

    let daemon = Daemon::start(&scratch(), &config);
    let log = daemon.process().output("are damaged", 2);
    assert!(
        log.contains("\"lines\":1") || log.contains("lines=1"),
        "one line is left out: {log}"
    );
    is_down(&daemon);
    let open = listed(&daemon);
    assert_eq!(open.len(), 2, "the same incident goes on: {open:#?}");
    assert_eq!([&open[0]["id"], &open[0]["began"]], [&left[0]["id"], &left[0]["began"]]);
    assert_eq!([&open[0]["end"], &open[1]], [&Value::Null, &left[1]]);

    shop.server.start_again();
    settled(&daemon, "shop");
    let ended = listed(&daemon);
    assert_eq!(ended.len(), 2, "{ended:#?}");
    assert_eq!(
        [&ended[0]["id"], &ended[0]["end"]["how"]],
        [&left[0]["id"], &json!("recovered")]
    );
    wait_until("its end is in the file", || (in_file(&storage) == ended).then_some(()));

    // Killed once more, with nothing open: nothing begins or ends by that.
    drop(daemon);
    let daemon = Daemon::start(&scratch(), &config);
    settled(&daemon, "shop");
    assert_eq!(listed(&daemon), ended);
    let review = printed(&storage, "--markdown");
    assert!(review.contains("origin_down"), "{review}");
}

#[test]
fn a_full_disk_costs_nothing_but_time() {
    if !programs::have(&["nginx"]) || !mounts::may() {
        return;
    }
    let files = files();
    let mut shop = Shop::start(files.path());
    let storage = folder(files.path(), "storage");
    let disk = mounts::with_disk(&storage, "64k");
    let before = disk.each_ref().map(String::as_str);
    let daemon = Daemon::start_by(&before, &scratch(), &shop.config(&storage));
    settled(&daemon, "shop");
    let storage = PathBuf::from(format!(
        "{}{}",
        mounts::root_of(daemon.process().pid()),
        storage.display()
    ));

    let filler = storage.join("filler");
    let mut file = fs::File::create(&filler).expect("created");
    while file.write_all(&[0; 4096]).is_ok() {}
    shop.server.kill();
    is_down(&daemon);
    let said = |words: &str| wait_until(words, || (!daemon.process().output(words, 1).is_empty()).then_some(()));
    said("incidents cannot be written");
    // All goes on meanwhile.
    shop.server.start_again();
    settled(&daemon, "shop");
    let known = listed(&daemon);
    assert_eq!(
        [&json!(known.len()), &known[0]["end"]["how"]],
        [&json!(1), &json!("recovered")]
    );
    assert_ne!(in_file(&storage), known, "there was no room for its end");
    assert_eq!(
        daemon.process().output("cannot be written", 9).lines().count(),
        1,
        "it is said once"
    );

    drop(file);
    fs::remove_file(&filler).expect("removed");
    said("incidents are written again");
    assert_eq!(in_file(&storage), known);
}

#[test]
fn a_deploy_and_a_new_version_stand_beside_the_incident() {
    let bad = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&bad);
    let version = |status: &str, version: &str| answers(answer(status, &format!("X-App-Version: {version}"), "shop"));
    let (old, new) = (
        version("200 OK", "1.4.1"),
        version("500 Internal Server Error", "1.4.2"),
    );
    let server = serve(move |wire| match now.load(Ordering::SeqCst) {
        true => new(wire),
        false => old(wire),
    });
    if !programs::have(&["nginx"]) {
        return;
    }
    let files = files();
    let edge = nginx_before(files.path(), &[server]);
    let storage = folder(files.path(), "storage");
    let mut shop = upstream("shop", &[server], &[("edge", edge.listen)]);
    shop["version_header"] = json!("X-App-Version");
    let mut config = config(json!([{ "name": "edge", "kind": "nginx" }]), json!([shop]));
    config["storage"] = json!({ "path": storage });
    let daemon = Daemon::start(&scratch(), &config);
    settled(&daemon, "shop");

    let at = humantime::format_rfc3339_seconds(badgateway::clock::now() - Duration::from_secs(40)).to_string();
    let event = json!({ "text": "shop 1.4.2", "upstream": "shop", "at": at, "link": "https://ci.example/7" });
    let body = event.to_string();
    let answer = http::ask(daemon.address(), "POST", "/api/v1/events", &[], body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let fault = Fault {
        verdict: "origin_error",
        impact: "users",
        hop: "origin",
        cause: "server_error",
        addresses: &[server],
        sentence: "The origin answers with an error: server_error".to_owned(),
        well: &[],
    };
    breaks(&daemon, &[("shop", &fault)], || bad.store(true, Ordering::SeqCst));
    let changes = listed(&daemon)[0]["changes"].clone();
    let told: Vec<[&Value; 2]> = changes
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| [&change["kind"], &change["text"]])
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["deploy", "shop 1.4.2"],
            ["version", "version 1.4.2 answers after 1.4.1"]
        ]),
        "seen at both hops it is one change"
    );
    mended(&daemon, "shop", "origin_error", || bad.store(false, Ordering::SeqCst));
    // Some second after the 40 has passed until the incident began.
    let is_before = |text: &str| (40..50).any(|seconds| text.contains(&format!("{seconds} s before")));
    let page = http::get(daemon.address(), "/upstreams/shop", &[])
        .expect("a page")
        .text();
    wait_until("the end is in the file", || {
        in_file(&storage).first().filter(|one| !one["end"].is_null()).map(drop)
    });
    for text in [page, printed(&storage, "--markdown")] {
        assert!(
            is_before(&text) && text.contains("shop 1.4.2") && text.contains("version 1.4.2"),
            "{text}"
        );
    }
}
