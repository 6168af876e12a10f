//! What is shipped to run it: each file is held against the program that will read it.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::daemon::scratch;
use support::process::Process;
use support::programs;

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file)
}

/// Runs a checker; panics with what it says unless it is content.
fn content(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn systemd_takes_the_unit() {
    if !programs::have(&["systemd-analyze"]) {
        return;
    }
    // The unit names the place it is installed to; here the binary lies elsewhere.
    let scratch = scratch();
    let unit = std::fs::read_to_string(shipped("systemd/badgateway.service")).expect("readable");
    let unit = unit.replace("/usr/local/bin/badgateway", env!("CARGO_BIN_EXE_badgateway"));
    let file = scratch.join("badgateway.service");
    std::fs::write(&file, unit).expect("written");
    let said = content("systemd-analyze", &["verify", "--man=no", text(&file)]);
    assert!(!said.contains("badgateway.service"), "{said}");
    std::fs::remove_dir_all(scratch).expect("removed");
}

#[test]
fn the_service_manager_is_told_when_it_is_ready() {
    let scratch = scratch();
    let socket = scratch.join("notify");
    let listener = std::os::unix::net::UnixDatagram::bind(&socket).expect("a socket");
    listener
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .expect("settable");
    let notify = format!("NOTIFY_SOCKET={}", text(&socket));
    let arguments = [
        notify.as_str(),
        env!("CARGO_BIN_EXE_badgateway"),
        "run",
        "http://127.0.0.1:9/",
        "--web.listen-address",
        "127.0.0.1:0",
    ];
    let daemon = Process::start_with(Path::new("env"), &arguments, "TERM", None);
    let mut message = [0; 256];
    let length = listener.recv(&mut message).expect("a message in time");
    assert_eq!(&message[..length], b"READY=1\n");
    daemon.signal("TERM");
    let length = listener.recv(&mut message).expect("a message in time");
    assert_eq!(&message[..length], b"STOPPING=1\n");
    drop(daemon);
    std::fs::remove_dir_all(scratch).expect("removed");
}

#[test]
fn prometheus_takes_its_configuration() {
    if !programs::have(&["promtool"]) {
        return;
    }
    content(
        "promtool",
        &["check", "config", "--syntax-only", text(&shipped("prometheus.yml"))],
    );
}

#[test]
fn alertmanager_takes_its_configuration_and_routes_by_severity_and_team() {
    if !programs::have(&["amtool"]) {
        return;
    }
    let config = shipped("alertmanager.yml");
    content("amtool", &["check-config", text(&config)]);
    let routes = [
        (
            "page",
            [
                "alertname=BadGatewayUpstreamDown",
                "severity=critical",
                "upstream=checkout",
                "team=web",
            ],
        ),
        (
            "page-payments",
            [
                "alertname=BadGatewaySpike",
                "severity=critical",
                "upstream=checkout",
                "team=payments",
            ],
        ),
        (
            "tickets",
            [
                "alertname=BadGatewaySlowBurn",
                "severity=warning",
                "upstream=checkout",
                "team=payments",
            ],
        ),
        (
            "silent",
            [
                "alertname=BadGatewayUpstreamIntermittent",
                "severity=info",
                "upstream=checkout",
                "team=web",
            ],
        ),
        (
            "tickets",
            ["alertname=SomethingElse", "severity=critical", "upstream=", "team=web"],
        ),
    ];
    for (receiver, labels) in routes {
        let mut arguments = vec!["config", "routes", "test", "--config.file", text(&config)];
        arguments.push("--verify.receivers");
        arguments.push(receiver);
        arguments.extend(labels);
        content("amtool", &arguments);
    }
}
