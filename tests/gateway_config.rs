//! Configurations that real gateways accept: what `init` makes of them, and how the daemon follows them.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::metrics::Metrics;
use support::peers::http1::{OK, answers};
use support::peers::serve;
use support::programs;

const NGINX: &str = include_str!("gateway_config/nginx.conf");
const SHOP: &str = include_str!("gateway_config/shop.conf");
const HAPROXY: &str = include_str!("gateway_config/haproxy.cfg");

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn badgateway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_badgateway"))
        .args(arguments)
        .output()
        .expect("it starts")
}

/// The nginx configuration with its one site, in a directory.
fn write_nginx(folder: &Path) -> String {
    let place = folder.to_str().expect("plain");
    std::fs::create_dir_all(folder.join("sites")).expect("created");
    std::fs::write(folder.join("sites/shop.conf"), SHOP).expect("written");
    let file = folder.join("nginx.conf");
    std::fs::write(&file, NGINX.replace("SCRATCH", place)).expect("written");
    file.to_str().expect("plain").to_owned()
}

/// Runs `init`, then `check` on what it wrote, and gives that.
fn init(from: &str, folder: &Path) -> String {
    let out = folder.join("badgateway.yml");
    let out = out.to_str().expect("plain");
    let output = badgateway(&["init", "--from", from, "--out", out]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let yaml = std::fs::read_to_string(out).expect("written");
    let output = badgateway(&["check", out]);
    assert_eq!(output.status.code(), Some(0), "{}\n{yaml}", said(&output));
    yaml
}

fn holds(yaml: &str, parts: &[&str]) {
    for part in parts {
        assert!(yaml.contains(part), "no {part:?} in\n{yaml}");
    }
}

#[test]
fn what_nginx_accepts_becomes_a_configuration() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let folder = scratch();
    let from = write_nginx(&folder);
    let nginx = programs::find("nginx").expect("have it");
    let accepted = Command::new(nginx)
        .args(["-t", "-c", &from])
        .output()
        .expect("it starts");
    assert!(accepted.status.success(), "{}", said(&accepted));
    let yaml = init(&from, &folder);
    holds(
        &yaml,
        &[
            "connect: 5s   # proxy_connect_timeout\n",
            "first_byte: 45s   # proxy_read_timeout, the strictest; elsewhere 90s\n",
            "response_header: 4KiB   # proxy_buffer_size, the strictest; elsewhere 8KiB\n",
            "/access.log\n      format: \"$remote_addr [$time_local]",
            "ua=\\\"$upstream_addr\\\" ${upstream_response_time}s\"\n",
            "/error.log\n",
            "- { url: http://127.0.0.11:8080/, host: ",
            "- { gateway: nginx, url: http://127.0.0.1:8081/, host: shop.example.com }",
            "paths: [/, /slow]",
        ],
    );
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn what_haproxy_accepts_becomes_a_configuration() {
    if !programs::have(&["haproxy"]) {
        return;
    }
    let folder = scratch();
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, HAPROXY).expect("written");
    let from = file.to_str().expect("plain");
    let haproxy = programs::find("haproxy").expect("have it");
    let accepted = Command::new(haproxy)
        .args(["-c", "-f", from])
        .output()
        .expect("it starts");
    assert!(accepted.status.success(), "{}", said(&accepted));
    let yaml = init(from, &folder);
    holds(
        &yaml,
        &[
            "connect: 4s   # timeout connect\n",
            "first_byte: 20s   # timeout server, the strictest; elsewhere 2m\n",
            "response_header: 31KiB",
            "syslog: 127.0.0.1:15514",
            "- { names: [shop], upstream: shop }",
            "- { url: http://127.0.0.11:8080/, host: shop.example.com }\n",
            "- { gateway: haproxy, url: http://127.0.0.1:8082/, host: shop.example.com }\n    paths: [/cart]",
            "health_check: { path: /healthz, interval: 3s, timeout: 3s, unhealthy_after: 2, healthy_after: 2 }",
            "conditions are not evaluated",
        ],
    );
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn what_is_no_configuration_is_refused_with_its_place() {
    let folder = scratch();
    for (text, expected) in [
        ("frontend f\n  bind \":80\n", ":2:8: the quote is not closed"),
        ("scrape_configs: []\n", "there is nothing to watch"),
        ("scrape_configs: [\n", ":2:1: "),
        ("http {\n", ":2:1: the block is not closed"),
    ] {
        let file = folder.join("file");
        std::fs::write(&file, text).expect("written");
        let output = badgateway(&["init", "--from", file.to_str().expect("plain")]);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(said(&output).contains(expected), "{text}: {}", said(&output));
    }
    std::fs::remove_dir_all(folder).expect("removed");
}

/// The limits that the daemon shows of the gateway: first byte and head.
fn limits(metrics: &Metrics) -> (f64, f64) {
    let of = |name, limit| metrics.sum(name, &[("gateway", "edge"), ("upstream", "shop"), ("limit", limit)]);
    (
        of("gateway_limit_seconds", "first_byte"),
        of("gateway_limit_bytes", "response_header"),
    )
}

fn wait_for_limits(daemon: &Daemon, expected: (f64, f64)) -> Metrics {
    daemon.wait_until("", |metrics| match limits(metrics) {
        found if found == expected => Seen::Yes,
        found => Seen::NotYet(format!("{found:?} instead of {expected:?}")),
    })
}

fn configuration(file: &str, limits: Value) -> Value {
    let origin = serve(answers(OK));
    json!({
        "gateways": [{ "name": "edge", "kind": "nginx", "config_file": file, "limits": limits }],
        "upstreams": [{
            "name": "shop",
            "origin": format!("http://{origin}/"),
            "via": [{ "gateway": "edge", "url": format!("http://{origin}/") }],
        }],
    })
}

#[test]
fn the_daemon_follows_the_configuration_of_its_gateway() {
    let folder = scratch();
    let file = write_nginx(&folder);
    let changed = |metrics: &Metrics| metrics.sum("gateway_config_changed_timestamp_seconds", &[("gateway", "edge")]);
    let daemon = Daemon::start(&folder, &configuration(&file, json!({})));
    let first = wait_for_limits(&daemon, (45.0, 4096.0));
    let written = std::fs::metadata(folder.join("sites/shop.conf"))
        .expect("there")
        .modified()
        .expect("known");
    let main = std::fs::metadata(&file).expect("there").modified().expect("known");
    let newest = written
        .max(main)
        .duration_since(std::time::UNIX_EPOCH)
        .expect("later")
        .as_secs_f64();
    assert!(
        (changed(&first) - newest).abs() < 0.01,
        "{} instead of {newest}",
        changed(&first)
    );

    // An include changes, and one comes: both are seen without being told.
    std::fs::write(folder.join("sites/shop.conf"), SHOP.replace("45s", "7s")).expect("written");
    let second = wait_for_limits(&daemon, (7.0, 4096.0));
    assert!(changed(&second) > changed(&first));
    let more = "server { location / { proxy_pass http://shop; proxy_read_timeout 3s; proxy_buffer_size 2k; } }";
    std::fs::write(folder.join("sites/more.conf"), more).expect("written");
    wait_for_limits(&daemon, (3.0, 2048.0));

    // A broken one is told once and changes nothing, also where a reload is asked for.
    std::fs::write(folder.join("sites/more.conf"), "server {\n").expect("written");
    daemon.wait_until("", |metrics| {
        let told = daemon.process().output("the block is not closed", 9);
        match told.contains("sites/more.conf:2:1") {
            true if limits(metrics) == (3.0, 2048.0) => Seen::Yes,
            true => Seen::Never(format!("the limits are {:?}", limits(metrics))),
            false => Seen::NotYet("no warning".into()),
        }
    });
    daemon.process().signal("HUP");
    daemon.wait_until("", |metrics| {
        let reloads = daemon.process().output("configuration reloaded", 9).lines().count();
        match reloads >= 4 && limits(metrics) == (3.0, 2048.0) {
            true => Seen::Yes,
            false => Seen::NotYet(format!("{reloads} reloads, {:?}", limits(metrics))),
        }
    });
    std::fs::remove_file(folder.join("sites/more.conf")).expect("removed");
    wait_for_limits(&daemon, (7.0, 4096.0));
}

#[test]
fn what_the_entry_says_stands_above_the_file() {
    let folder = scratch();
    let file = write_nginx(&folder);
    let daemon = Daemon::start(&folder, &configuration(&file, json!({ "first_byte": "20s" })));
    wait_for_limits(&daemon, (20.0, 4096.0));
}

#[test]
fn check_tells_what_cannot_be_read() {
    let folder = scratch();
    let out = folder.join("badgateway.yml");
    let file = folder.join("broken.conf");
    std::fs::write(&file, "http {\n  server {\n").expect("written");
    for (kind, name, expected) in [
        ("nginx", "broken.conf", "broken.conf:3:1: the block is not closed"),
        ("nginx", "gone.conf", "gone.conf: cannot be read: "),
        ("haproxy", "broken.conf", "broken.conf:1: \"http\" stands in no section"),
        ("envoy", "broken.conf", "the configuration of kind envoy is not read"),
    ] {
        let text = format!(
            "gateways: [{{ name: edge, kind: {kind}, config_file: {name} }}]\n\
             upstreams: [{{ name: shop, origin: \"http://shop/\" }}]\n"
        );
        std::fs::write(&out, text).expect("written");
        let output = badgateway(&["check", out.to_str().expect("plain")]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let place = "1:";
        assert!(
            said(&output).contains(expected) && said(&output).contains(&format!("note: {place}")),
            "{kind} {name}: {}",
            said(&output)
        );
    }
    std::fs::remove_dir_all(folder).expect("removed");
}
