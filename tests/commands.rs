//! The one-shot commands: what they print, and the exit code that scripts rely on.

mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::daemon::scratch;
use support::peers::http1::{self, OK, answers};
use support::peers::{serve, tcp};

fn badgateway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_badgateway"))
        .args(arguments)
        .output()
        .expect("it starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn diagnose_says_what_is_wrong_where_and_exits_with_1() {
    let (refusing, _socket) = tcp::refusing();
    let gateway = serve(http1::status("502 Bad Gateway"));
    let output = badgateway(&[
        "diagnose",
        &format!("http://{refusing}/"),
        "--via",
        &format!("http://{gateway}/=edge"),
    ]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["connect_refused at hop origin", "bad_gateway at hop edge", "look at:"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colours where there is no terminal");
}

#[test]
fn diagnose_exits_with_0_when_all_is_well_and_2_when_it_cannot_look() {
    let output = badgateway(&["diagnose", &format!("http://{}/", serve(answers(OK)))]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for arguments in [
        &["diagnose", "ftp://example.com"][..],
        &["diagnose", "--upstream", "x", "--config.file", "/none"],
    ] {
        let output = badgateway(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
}

#[test]
fn diagnose_speaks_json() {
    let output = badgateway(&[
        "diagnose",
        "--json",
        &format!("http://{}/", serve(http1::status("503 Busy"))),
    ]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["healthy"], false);
    let probe = &report["hops"][0]["targets"][0]["probes"][0];
    assert_eq!(
        (&probe["cause"], &probe["status"]),
        (&"service_unavailable".into(), &503.into())
    );
    assert!(
        probe["seconds"]["connect"]
            .as_f64()
            .is_some_and(|seconds| seconds < 1.0),
        "{probe}"
    );
    assert!(probe["seconds"]["tls"].is_null(), "no phase that did not run");
}

#[test]
fn check_probes_everything_once() {
    let scratch = scratch();
    let file = scratch.join("badgateway.yml");
    let good = serve(answers(OK));
    let (refusing, _socket) = tcp::refusing();
    let text = format!(
        "upstreams:\n  - {{ name: good, origin: \"http://{good}/\" }}\n  - {{ name: bad, origin: \"http://{refusing}/\" }}\n"
    );
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("plain");
    assert_eq!(badgateway(&["check", file]).status.code(), Some(0));
    let output = badgateway(&["check", file, "--probe"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["connect_refused", "requests a second", " series"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    std::fs::remove_dir_all(scratch).expect("removed");
}

#[test]
fn init_writes_what_loads() {
    let scratch = scratch();
    let (from, out) = (scratch.join("nginx.conf"), scratch.join("badgateway.yml"));
    std::fs::write(
        &from,
        "http { upstream app { server 10.0.0.1:8080; } server { listen 80; server_name shop.example.com;\n\
         location / { proxy_pass http://app; proxy_read_timeout 30s; } } }",
    )
    .expect("written");
    let (from, out) = (from.to_str().expect("plain"), out.to_str().expect("plain"));
    let output = badgateway(&["init", "--from", from, "--out", out]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(badgateway(&["check", out]).status.code(), Some(0));
    let again = badgateway(&["init", "--from", from, "--out", out]);
    assert_eq!(again.status.code(), Some(1), "a file that exists is not overwritten");
    std::fs::remove_dir_all(scratch).expect("removed");
}

#[test]
fn the_version_says_what_was_built() {
    let text = said(&badgateway(&["--version"]));
    assert!(
        text.starts_with("badgateway ") && text.contains("revision") && text.contains("rustc"),
        "{text}"
    );
}
