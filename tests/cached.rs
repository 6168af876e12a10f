//! Errors in caches: nginx that keeps them, and an origin that lets any cache keep them. Counted where they are seen, and
//! nothing without them.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use support::daemon::{Daemon, Seen, scratch};
use support::gateways::{self, Gateway};
use support::metrics::Metrics;
use support::peers::http1::{OK, answers, status};
use support::peers::{Behaviour, serve};
use support::programs;

/// Answers well, and by the switch with this.
fn switched(bad: Behaviour) -> (std::net::SocketAddr, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    let seen = broken.clone();
    let good = answers(OK);
    let address = serve(
        move |wire: &mut dyn support::peers::Wire| match seen.load(Ordering::SeqCst) {
            true => bad(wire),
            false => good(wire),
        },
    );
    (address, broken)
}

/// nginx with these directives in front of that origin, both watched.
fn watch(directives: &str, origin: std::net::SocketAddr) -> (Gateway, Daemon) {
    let scratch = scratch();
    let inner = scratch.join("gateway");
    std::fs::create_dir(&inner).expect("created");
    let cache = inner.join("cache");
    let edge = gateways::nginx(
        &inner,
        &format!(
            "proxy_cache_path {} keys_zone=kept:1m;
             access_log off;
             server {{ listen $LISTEN; location / {{ {directives} proxy_pass http://{origin}; }} }}",
            cache.display()
        ),
    );
    let daemon = Daemon::start(
        &scratch,
        &json!({
            "defaults": { "interval": "1s", "timeout": "900ms", "confirm": { "delay": "100ms" } },
            "gateways": [{ "name": "edge", "kind": "nginx" }],
            "upstreams": [{
                "name": "shop",
                "origin": format!("http://{origin}/"),
                "via": [{ "gateway": "edge", "url": format!("http://{}/", edge.listen) }],
            }],
        }),
    );
    (edge, daemon)
}

fn errors(metrics: &Metrics, hop: &str) -> f64 {
    metrics.sum("responses_total", &[("hop", hop)]) - metrics.sum("responses_total", &[("hop", hop), ("code", "200")])
}

fn cached(metrics: &Metrics, hop: &str) -> f64 {
    metrics.sum("cached_errors_total", &[("hop", hop)])
}

const KEEPS_ERRORS: &str = "proxy_cache kept; proxy_cache_valid 200 1s; proxy_cache_valid 502 5s;
    add_header X-Cache-Status $upstream_cache_status always;";

#[test]
fn an_error_that_nginx_keeps_is_counted_while_the_origin_is_well_again() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let (origin, broken) = switched(Box::new(status("502 Bad Gateway")));
    let (_edge, daemon) = watch(KEEPS_ERRORS, origin);
    daemon.wait_until("shop", |metrics| {
        match metrics.sum("rounds_total", &[("hop", "edge")]) {
            2.0.. => Seen::Yes,
            rounds => Seen::NotYet(format!("{rounds} rounds")),
        }
    });
    broken.store(true, Ordering::SeqCst);
    daemon.wait_until("shop", |metrics| match errors(metrics, "edge") {
        1.0.. => Seen::Yes,
        _ => Seen::NotYet("the first error at the gateway".into()),
    });
    broken.store(false, Ordering::SeqCst);
    let seen = daemon.wait_until("shop", |metrics| match cached(metrics, "edge") {
        2.0.. => Seen::Yes,
        found => Seen::NotYet(format!("{found} errors from the cache")),
    });
    // The first error was the origin's own; what it gives says nothing of keeping it.
    assert!(
        cached(&seen, "edge") < errors(&seen, "edge"),
        "{}",
        seen.show("responses")
    );
    assert!(
        !seen.has("cached_errors_total", &[("hop", "origin")]),
        "{}",
        seen.show("cached")
    );
}

#[test]
fn an_error_that_any_cache_may_keep_is_counted_where_it_is_made() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let kept =
        answers("HTTP/1.1 503 Service Unavailable\r\nCache-Control: public, max-age=60\r\nContent-Length: 0\r\n\r\n");
    let (origin, broken) = switched(Box::new(kept));
    // Nothing is kept here, and the headers pass on.
    let (_edge, daemon) = watch("", origin);
    broken.store(true, Ordering::SeqCst);
    let seen = daemon.wait_until("shop", |metrics| {
        match cached(metrics, "origin").min(cached(metrics, "edge")) {
            2.0.. => Seen::Yes,
            found => Seen::NotYet(format!("{found} errors that may be kept")),
        }
    });
    for hop in ["origin", "edge"] {
        assert_eq!(cached(&seen, hop), errors(&seen, hop), "{hop}: every error");
    }
}

#[test]
fn errors_that_nobody_keeps_are_not_counted() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let (origin, broken) = switched(Box::new(status("502 Bad Gateway")));
    let (_edge, daemon) = watch("", origin);
    broken.store(true, Ordering::SeqCst);
    let seen = daemon.wait_until("shop", |metrics| match errors(metrics, "edge") {
        3.0.. => Seen::Yes,
        found => Seen::NotYet(format!("{found} errors")),
    });
    assert!(!seen.has("cached_errors_total", &[]), "{}", seen.show("cached"));
}
