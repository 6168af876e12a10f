//! The pages in a real browser: Debian's chromium, driven by playwright-core, held against axe.
//!
//! A peer plays an origin that writes script into a header and into its page. What the browser has to say is a list of
//! complaints; there must be none. `BADGATEWAY_PICTURES=DIR` keeps pictures of what it saw.

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use support::daemon::{Daemon, Seen, scratch};
use support::peers::{read_head, serve};
use support::programs;

/// What an attacker who has the origin would like to run in the browser of whoever is woken.
const INJECTED: &str = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

fn page(status: &str, server: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nServer: {server}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[test]
fn the_page_shows_the_fault_and_nothing_else_happens() {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/node_modules");
    if !programs::have(&["chromium", "node"]) {
        return;
    }
    if !tools.join("playwright-core").is_dir() || !tools.join("axe-core").is_dir() {
        programs::skip("playwright-core and axe-core are not installed (make tools)");
        return;
    }
    let failing = Arc::new(AtomicBool::new(false));
    let origin = serve({
        let failing = Arc::clone(&failing);
        move |wire| {
            read_head(wire);
            let answer = match failing.load(Ordering::Relaxed) {
                true => page("502 Bad Gateway", INJECTED, INJECTED),
                false => page("200 OK", "quiet", "hello"),
            };
            let _ = wire.write_all(answer.as_bytes());
            wire.finish();
        }
    });
    let well = serve(|wire| {
        read_head(wire);
        let _ = wire.write_all(page("200 OK", "quiet", "hello").as_bytes());
        wire.finish();
    });
    let gateway = serve(move |wire| {
        read_head(wire);
        let _ = wire.write_all(page("502 Bad Gateway", "edge", "<h1>502 Bad Gateway</h1>").as_bytes());
        wire.finish();
    });
    let scratch = scratch();
    let mut upstreams = vec![
        json!({ "name": "shop", "origin": format!("http://{origin}/"), "via": [{ "gateway": "edge", "url": format!("http://{gateway}/shop") }] }),
    ];
    upstreams.extend((0..150).map(|number| {
        json!({ "name": format!("healthy-{number:03}"), "origin": format!("http://{well}/"), "interval": "10s" })
    }));
    let daemon = Daemon::start(
        &scratch,
        &json!({
            "defaults": { "interval": "1s" },
            "gateways": [{ "name": "edge", "kind": "nginx" }],
            "storage": { "path": scratch.join("storage") },
            "upstreams": upstreams,
        }),
    );
    failing.store(true, Ordering::Relaxed);
    daemon.wait_until("shop", |metrics| {
        let named = [("upstream", "shop"), ("impact", "users")];
        match metrics.sum("upstream_impact", &named) {
            1.0 => Seen::Yes,
            other => Seen::NotYet(format!("impact users is {other}")),
        }
    });

    let pictures = std::env::var("BADGATEWAY_PICTURES").unwrap_or_default();
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/look.js"))
        .args([
            format!("http://{}", daemon.address()),
            daemon.process().pid().to_string(),
            pictures,
        ])
        .env("NODE_PATH", &tools)
        .env("CHROMIUM", programs::find("chromium").expect("it was found before"))
        .output()
        .expect("node starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    let complaints: Vec<&str> = said.lines().filter(|line| line.starts_with("complaint: ")).collect();
    assert!(complaints.is_empty(), "{}\n{errors}", complaints.join("\n"));
    assert!(
        said.lines().any(|line| line == "looked at everything"),
        "{said}\n{errors}"
    );
}
