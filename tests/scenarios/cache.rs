//! A gateway that keeps an error it got once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;
use crate::support::daemon::scratch;
use crate::support::peers::http1::{OK, answer};
use crate::support::peers::{read_head, say, serve};
use crate::support::programs;

#[test]
fn one_502_is_kept_by_the_cache_of_a_gateway() {
    if !programs::have(&["nginx"]) {
        return;
    }
    // Once told so, the server fails one request that came through the gateway, and is well again.
    let fails = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&fails);
    let server = serve(move |wire| {
        let head = String::from_utf8_lossy(&read_head(wire)).into_owned();
        match head.contains("X-Through: edge") && now.swap(false, Ordering::SeqCst) {
            true => say(wire, &answer("502 Bad Gateway", "", "once")),
            false => say(wire, OK),
        }
        wire.finish();
    });
    let scratch = scratch();
    let inner = folder(&scratch, "nginx");
    let cache = inner.join("cache");
    // Errors alone are kept, so that one is all it takes.
    let site = format!(
        "proxy_cache_path {} keys_zone=pages:1m;
         access_log off;
         server {{
             listen $LISTEN;
             location / {{
                 proxy_pass http://{server}; proxy_set_header X-Through edge;
                 proxy_cache pages; proxy_cache_valid 502 10m;
                 add_header X-Cache-Status $upstream_cache_status always;
             }}
         }}",
        cache.display()
    );
    let nginx = nginx(&inner, &site);
    let gateways = json!([{ "name": "edge", "kind": "nginx" }]);
    let shop = upstream("shop", &[server], &[("edge", nginx.listen)]);
    let daemon = Daemon::start(&scratch, &config(gateways, json!([shop])));
    settled(&daemon, "shop");
    let fault = Fault {
        verdict: "gateway_cached_error",
        impact: "users",
        hop: "edge",
        cause: "bad_gateway",
        addresses: &[nginx.listen],
        sentence: "edge serves an error from its cache: bad_gateway".to_owned(),
        well: &[server],
    };
    let said = breaks(&daemon, &[("shop", &fault)], || fails.store(true, Ordering::SeqCst));
    let shown = said[0]["next_steps"].to_string();
    assert!(shown.contains("purge the cached error"), "{shown}");
    mended(&daemon, "shop", "gateway_cached_error", || {
        std::fs::remove_dir_all(&cache).expect("removed");
        std::fs::create_dir(&cache).expect("created");
    });
}
