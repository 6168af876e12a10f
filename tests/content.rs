//! Content of a path named stable: nginx that keeps what the origin has replaced is told from one that passes on what is.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use support::daemon::{Daemon, Seen, scratch};
use support::gateways;
use support::metrics::Metrics;
use support::peers::http1::{answer, answers};
use support::peers::{Wire, serve};
use support::programs;

fn differs(metrics: &Metrics, hop: &str) -> Option<f64> {
    let named = [("upstream", "shop"), ("hop", hop)];
    metrics
        .has("content_differs", &named)
        .then(|| metrics.sum("content_differs", &named))
}

#[test]
fn a_gateway_that_keeps_what_the_origin_has_replaced_is_told() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let released = Arc::new(AtomicBool::new(false));
    let origin = serve({
        let released = Arc::clone(&released);
        let (old, new) = (
            answers(answer("200 OK", "Content-Type: text/javascript", "release(1)")),
            answers(answer("200 OK", "Content-Type: text/javascript", "release(2)")),
        );
        move |wire: &mut dyn Wire| match released.load(Ordering::SeqCst) {
            true => new(wire),
            false => old(wire),
        }
    });
    let folder = scratch();
    let cache = folder.join("cache");
    let edge = gateways::nginx(
        &folder,
        &format!(
            "proxy_cache_path {} keys_zone=kept:1m;
             access_log off;
             server {{ listen $LISTEN;
                 location /kept {{ proxy_cache kept; proxy_cache_valid 200 10m; proxy_pass http://{origin}/; }}
                 location /fresh {{ proxy_pass http://{origin}/; }} }}",
            cache.display()
        ),
    );
    let through = |gateway: &str| json!([{ "gateway": gateway, "url": format!("http://{}/{gateway}", edge.listen) }]);
    let upstream = |name: &str, gateway: &str| {
        json!({
            "name": name,
            "origin": format!("http://{origin}/"),
            "via": through(gateway),
            "content": { "stable": ["/app.js"] },
        })
    };
    let config = json!({
        "defaults": { "interval": "1s" },
        "gateways": [{ "name": "kept", "kind": "nginx" }, { "name": "fresh", "kind": "nginx" }],
        "upstreams": [upstream("shop", "kept"), upstream("plain", "fresh")],
    });
    let daemon = Daemon::start(&scratch(), &config);
    // The first look finds both alike, and so the cache is full.
    daemon.wait_until("shop", |metrics| match differs(metrics, "kept") {
        Some(0.0) => Seen::Yes,
        other => Seen::NotYet(format!("content_differs is {other:?}")),
    });
    released.store(true, Ordering::SeqCst);
    drop(daemon);

    // As after a restart: what is believed now is what is seen now.
    let daemon = Daemon::start(&scratch(), &config);
    let seen = daemon.wait_until("", |metrics| match differs(metrics, "kept") {
        Some(1.0) => Seen::Yes,
        Some(_) => Seen::Never("the old content is not seen".into()),
        None => Seen::NotYet("three looks".into()),
    });
    let fresh = [("upstream", "plain"), ("hop", "fresh")];
    assert!(seen.has("content_differs", &fresh), "{}", seen.show("content"));
    assert_eq!(seen.sum("content_differs", &fresh), 0.0);
    assert!(
        !seen.has("content_differs", &[("hop", "origin")]),
        "it is the measure itself"
    );
    assert_eq!(seen.sum("probe_failures_total", &[]), 0.0, "nothing else shows it");
    drop((daemon, edge));
    std::fs::remove_dir_all(folder).expect("removed");
}
