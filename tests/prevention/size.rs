//! A12: the head of an answer that hardly fits into the gateway's buffer, as probes see it and as the log of real requests
//! tells.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::daemon::scratch;
use crate::support::gateways::{haproxy_at, nginx_of};
use crate::support::peers::http1::answer;
use crate::support::peers::{read_head, say, serve};
use crate::support::programs;
use crate::support::stack::address;
use crate::watch::{LOG, Watch, fails, folder, upstream};

const ALERT: &str = "BadGatewayResponseHeaderNearBuffer";

/// A server whose session cookie makes every head so long; `/cart/BYTES` says itself how long.
fn server(bytes: &Arc<AtomicUsize>) -> SocketAddr {
    let bytes = Arc::clone(bytes);
    serve(move |wire| {
        let head = String::from_utf8_lossy(&read_head(wire)).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let own = path.strip_prefix("/cart/").and_then(|bytes| bytes.parse().ok());
        let bytes = own.unwrap_or_else(|| bytes.load(Ordering::SeqCst));
        let cookie = |length| format!("Connection: close\nSet-Cookie: session={}", "x".repeat(length));
        // The empty line belongs to the head; the body does not.
        let rest = answer("200 OK", &cookie(0), "ok").len() - 2;
        say(wire, &answer("200 OK", &cookie(bytes.saturating_sub(rest)), "ok"));
        wire.finish();
    })
}

#[test]
fn a_head_that_hardly_fits_into_the_buffer() {
    if !programs::have(&["nginx", "haproxy", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let sizes = [600, 600, 6_500].map(|bytes| Arc::new(AtomicUsize::new(bytes)));
    let [growing, small, large] = sizes.each_ref().map(server);
    let nginx = |name: &str, server: SocketAddr, more: &str| {
        let site = format!(
            "log_format ours '{LOG}'; access_log $ACCESS ours;
             server {{ listen $LISTEN; location / {{ proxy_pass http://{server}; {more} }} }}"
        );
        nginx_of(&folder(&scratch, name), &site)
    };
    let haproxy = |name: &str, global: &str| {
        let site = format!("default_backend shop\nbackend shop\nserver one {large}\n");
        haproxy_at(&folder(&scratch, name), address(3), &[], global, "", &site)
    };
    let (by_probe, by_log) = (nginx("size-nginx", growing, ""), nginx("size-log", small, ""));
    // Of what it reads into 8 KiB, it keeps one for what it adds itself.
    let mut lowered = haproxy("size-haproxy", "tune.bufsize 8192");
    let (plain_nginx, plain_haproxy) = (
        nginx("size-nginx-default", small, ""),
        haproxy("size-haproxy-default", ""),
    );
    // What a gateway adds itself goes to users, and through no buffer.
    let policy = format!("add_header Content-Security-Policy {};", "x".repeat(3_600));
    let adding = nginx("size-added", small, &policy);
    let all = [
        ("size-nginx", "nginx", &by_probe, growing),
        ("size-log", "nginx", &by_log, small),
        ("size-haproxy", "haproxy", &lowered, large),
        ("size-nginx-default", "nginx", &plain_nginx, small),
        ("size-haproxy-default", "haproxy", &plain_haproxy, large),
        ("size-added", "nginx", &adding, small),
    ];
    let gateways = all.map(|(name, kind, gateway, _)| {
        let mut known = json!({ "name": name, "kind": kind, "config_file": gateway.config_file() });
        if kind == "nginx" && name != "size-nginx" {
            known["access_log"] = json!(gateway.access);
        }
        known
    });
    let upstreams = all.map(|(name, _, gateway, server)| upstream(name, server, (name, gateway), "/"));
    let watch = Watch::start(&scratch, json!(gateways), json!(upstreams));

    watch.knows("badgateway_response_header_bytes{upstream=\"size-nginx\", hop=\"origin\"} == 600");
    watch.stays_silent(
        "size-nginx",
        "badgateway_gateway_limit_bytes{upstream=\"size-nginx\"} == 4096",
    );
    sizes[0].store(3_600, Ordering::SeqCst);
    let labels = watch.warns(ALERT, "size-nginx", || by_probe.ask("/"));
    assert_eq!(labels["hop"], "origin", "{labels}");
    sizes[0].store(4_200, Ordering::SeqCst);
    assert_eq!(fails(&[502], || by_probe.ask("/")), 502);

    let labels = watch.warns(ALERT, "size-haproxy", || lowered.ask("/"));
    assert_eq!(labels["hop"], "origin", "{labels}");
    lowered.reconfigure("bufsize 8192", "bufsize 4096");
    assert_eq!(fails(&[502], || lowered.ask("/")), 502);

    // A session carries more than a probe does: no probe comes near.
    let labels = watch.warns(ALERT, "size-log", || by_log.ask("/cart/3600"));
    assert_eq!(labels["gateway"], "size-log", "{labels}");
    assert_eq!(fails(&[502], || by_log.ask("/cart/4200")), 502);

    plain_nginx.ask_times(20, "/cart/600", 200);
    let requests = "badgateway_gateway_requests_total{upstream=\"size-nginx-default\"} >= 20";
    watch.stays_silent("size-nginx-default", requests);
    let limit = "badgateway_gateway_limit_bytes{upstream=\"size-haproxy-default\"} == 15 * 1024";
    watch.stays_silent("size-haproxy-default", limit);
    let added = "badgateway_response_header_bytes{upstream=\"size-added\", hop=\"size-added\"} > 4096";
    watch.stays_silent("size-added", added);
}
