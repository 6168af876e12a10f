//! nginx whose limits an origin comes near to: the log shows it before the first request fails, and a default setup shows
//! nothing.

use super::nginx::recommended;
use super::*;
use crate::support::gateways::{self, Gateway};
use crate::support::peers::http1::{OK, answers, large_head};
use crate::support::peers::{Behaviour, read_head, say, serve};
use crate::support::programs;

/// Requests of each kind.
const TIMES: usize = 4;

/// Answers after that many milliseconds.
fn late(millis: u64) -> Behaviour {
    Box::new(move |wire| {
        read_head(wire);
        // The misbehaviour itself; nothing waits for it.
        std::thread::sleep(std::time::Duration::from_millis(millis));
        say(wire, OK);
        wire.finish();
    })
}

/// Answers with a head of about that many bytes.
fn with_head(bytes: usize) -> Behaviour {
    Box::new(answers(large_head(1, bytes)))
}

/// nginx with these directives in front of that origin, and the daemon that reads its log and takes its limits from its
/// configuration.
fn watch(directives: &str, origin: Behaviour) -> (Gateway, Daemon) {
    let (scratch, inner) = folder();
    let origin = serve(origin);
    let format = recommended();
    let edge = gateways::nginx_of(
        &inner,
        &format!(
            "log_format ours '{format}'; access_log $ACCESS ours;
             server {{ listen $LISTEN; location / {{ {directives} proxy_pass http://{origin}; }} }}"
        ),
    );
    let daemon = Daemon::start(
        &scratch,
        &json!({
            "gateways": [{
                "name": "edge",
                "kind": "nginx",
                "access_log": edge.access,
                "error_log": edge.error,
                "config_file": inner.join("nginx.conf"),
            }],
            "upstreams": [{
                "name": "shop",
                "origin": { "url": format!("http://{origin}/"), "timeout": "10s" },
                "interval": "1h",
                "via": [{ "gateway": "edge", "url": format!("http://{}/", edge.listen), "timeout": "10s" }],
            }],
        }),
    );
    (edge, daemon)
}

/// Waits until so many requests were counted, and gives the near ones of a limit; `None` where nothing tells of it.
fn near(daemon: &Daemon, requests: usize, limit: &str) -> Option<f64> {
    let counted = daemon.wait_until("shop", |metrics| {
        let found = metrics.sum("gateway_requests_total", &[]);
        match found == requests as f64 {
            true => Seen::Yes,
            false => Seen::NotYet(format!("{found} requests, not {requests}")),
        }
    });
    let labels = [("limit", limit)];
    let found = counted.all("gateway_near_limit_total", &labels).next();
    found.map(|sample| sample.value)
}

#[test]
fn a_wait_near_the_timeout_shows_before_the_first_504() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let (edge, daemon) = watch("proxy_read_timeout 2s;", late(1700));
    edge.ask_times(TIMES, "/", 200);
    assert_eq!(near(&daemon, TIMES, "first_byte"), Some(TIMES as f64));
    assert_eq!(near(&daemon, TIMES, "response_header"), Some(0.0));

    // A little slower, and it is what the warning said.
    let (edge, daemon) = watch("proxy_read_timeout 1s;", late(1700));
    edge.ask_times(1, "/", 504);
    assert_eq!(near(&daemon, 1, "first_byte"), Some(1.0));
}

#[test]
fn a_head_near_the_buffer_shows_before_the_first_502() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let buffer = "proxy_buffer_size 2k; proxy_buffers 4 2k; proxy_busy_buffers_size 4k;";
    let (edge, daemon) = watch(buffer, with_head(1700));
    edge.ask_times(TIMES, "/", 200);
    assert_eq!(near(&daemon, TIMES, "response_header"), Some(TIMES as f64));
    assert_eq!(near(&daemon, TIMES, "first_byte"), Some(0.0));

    let (edge, daemon) = watch(buffer, with_head(2100));
    edge.ask_times(1, "/", 502);
    assert_eq!(near(&daemon, 1, "response_header"), Some(1.0));
}

#[test]
fn a_default_setup_is_near_nothing() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let (edge, daemon) = watch("", with_head(300));
    edge.ask_times(TIMES, "/", 200);
    for limit in ["connect", "first_byte", "response_header"] {
        assert_eq!(near(&daemon, TIMES, limit), Some(0.0), "{limit}");
    }
    assert_eq!(near(&daemon, TIMES, "total"), None, "nginx bounds no whole exchange");
}
