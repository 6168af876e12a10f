//! A16: caches that will keep an error, and one that keeps content the origin has replaced.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::daemon::scratch;
use crate::support::gateways::{Gateway, nginx_of};
use crate::support::http;
use crate::support::metrics::Metrics;
use crate::support::peers::http1::{OK, answer, answers};
use crate::support::peers::{Behaviour, read_head, say, serve};
use crate::support::programs;
use crate::watch::{Watch, fails, folder, upstream, yes_or};

/// Does one thing, and by the switch the other.
fn switched(one: Behaviour, other: Behaviour) -> (SocketAddr, Arc<AtomicBool>) {
    let switch = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&switch);
    let address = serve(move |wire| match seen.load(Ordering::SeqCst) {
        true => other(wire),
        false => one(wire),
    });
    (address, switch)
}

/// nginx with a cache and these lines.
fn nginx(folder: &Path, lines: &str) -> Gateway {
    let cache = folder.join("cache");
    nginx_of(
        folder,
        &format!(
            "proxy_cache_path {} keys_zone=kept:1m; access_log off; {lines}",
            cache.display()
        ),
    )
}

fn cached(metrics: &Metrics, hop: &str) -> f64 {
    metrics.sum("cached_errors_total", &[("hop", hop)])
}

/// The last server of two gives errors that any cache may keep. The first one answers until it is gone for a moment: what
/// is kept from then on goes to users although the service is well.
#[test]
fn an_error_may_be_kept() {
    if !programs::have(&["nginx", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    // Gone for the gateway alone, so that it is well for us all the while.
    let leaves: Behaviour = Box::new(|wire| {
        let head = String::from_utf8_lossy(&read_head(wire)).into_owned();
        if !head.contains("X-Through") {
            say(wire, OK);
        }
        wire.finish();
    });
    let (first, is_gone) = switched(answers(OK), leaves);
    let error = |headers: &str| serve(answers(answer("502 Bad Gateway", headers, "words")));
    let (kept, passing) = (error("Cache-Control: public, max-age=60"), error(""));
    let edge = |name: &str, last: SocketAddr, keeps: &str| {
        let site = format!(
            "upstream shop {{ server {first} max_fails=0; server {last} backup; }}
             server {{ listen $LISTEN; location / {{
                 proxy_pass http://shop; proxy_set_header X-Through {name}; proxy_cache kept; {keeps}
                 add_header X-Cache-Status $upstream_cache_status always;
             }} }}"
        );
        nginx(&folder(&scratch, name), &site)
    };
    let well = serve(answers(answer("200 OK", "Cache-Control: public, max-age=60", "ok")));
    let plain = format!("server {{ listen $LISTEN; location / {{ proxy_pass http://{well}; proxy_cache kept; }} }}");
    let plain = nginx(&folder(&scratch, "cached-default"), &plain);
    let all = [
        ("cached-kept", edge("cached-kept", kept, ""), vec![first, kept]),
        (
            "cached-told",
            edge("cached-told", passing, "proxy_cache_valid 502 1m;"),
            vec![first, passing],
        ),
        (
            "cached-passing",
            edge("cached-passing", passing, ""),
            vec![first, passing],
        ),
        ("cached-default", plain, vec![well]),
    ];
    let gateways = all
        .each_ref()
        .map(|(name, ..)| json!({ "name": name, "kind": "nginx" }));
    let upstreams = all.each_ref().map(|(name, gateway, servers)| {
        let url = |at: &SocketAddr| format!("http://{at}/");
        json!({
            "name": name,
            "origin": servers.iter().map(url).collect::<Vec<_>>(),
            "via": [{ "gateway": name, "url": url(&gateway.listen) }],
        })
    });
    let watch = Watch::start(&scratch, json!(gateways), json!(upstreams));
    let [(_, edge, _), (_, told, _), (_, passing, _), _] = &all;
    watch.warns("BadGatewayCached", "cached-kept", || edge.ask("/"));
    for gateway in [told, passing] {
        assert_eq!(gateway.ask("/"), Some(200));
    }
    is_gone.store(true, Ordering::SeqCst);
    assert_eq!(fails(&[502], || edge.ask("/")), 502);
    for gateway in [told, passing] {
        assert_eq!(fails(&[502], || gateway.ask("/")), 502);
    }

    // What is counted where: at the origin every such error, at the gateway what its cache gives again.
    is_gone.store(false, Ordering::SeqCst);
    let seen = watch.daemon.wait_until("cached-kept", |metrics| {
        yes_or(cached(metrics, "cached-kept") >= 2.0, metrics.show("cached"))
    });
    let answer = http::get(edge.listen, "/", &[]).expect("an answer");
    assert_eq!((answer.status, answer.header("X-Cache-Status")), (502, Some("HIT")));
    let made = seen.sum("responses_total", &[("hop", "origin"), ("code", "502")]);
    assert_eq!(cached(&seen, "origin"), made, "every error of the origin");
    // A gateway that is told to keep what nothing else lets it keep shows that with its first hit, and not before.
    let seen = watch.daemon.wait_until("cached-told", |metrics| {
        yes_or(cached(metrics, "cached-told") >= 2.0, metrics.show("cached"))
    });
    assert!(
        !seen.has("cached_errors_total", &[("hop", "origin")]),
        "{}",
        seen.show("cached")
    );
    assert_eq!(passing.ask("/"), Some(200), "nobody keeps that one");
    let seen = watch.daemon.scrape_upstream("cached-passing");
    assert!(!seen.has("cached_errors_total", &[]), "{}", seen.show("cached"));
    assert!(!watch.has_held("BadGatewayCached", "cached-passing"));
    let rounds = "badgateway_rounds_total{upstream=\"cached-default\", hop=\"cached-default\"} > 3";
    watch.stays_silent("cached-default", rounds);
}

#[test]
fn a_gateway_keeps_what_the_origin_has_replaced() {
    if !programs::have(&["nginx", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let release = |body| answers(answer("200 OK", "Content-Type: text/javascript", body));
    let (origin, released) = switched(release("release(1)"), release("release(2)"));
    let edge = |name: &str, keeps: &str| {
        let site = format!("server {{ listen $LISTEN; location / {{ {keeps} proxy_pass http://{origin}; }} }}");
        nginx(&folder(&scratch, name), &site)
    };
    let all = [
        (
            "content-kept",
            edge("content-kept", "proxy_cache kept; proxy_cache_valid 200 10m;"),
        ),
        ("content-default", edge("content-default", "")),
    ];
    let [(_, kept), (_, passing)] = &all;
    let asked = |gateway: &Gateway| http::get(gateway.listen, "/app.js", &[]).expect("an answer").text();
    assert_eq!(asked(kept), "release(1)");
    released.store(true, Ordering::SeqCst);
    let gateways = all.each_ref().map(|(name, _)| json!({ "name": name, "kind": "nginx" }));
    let upstreams = all.each_ref().map(|(name, gateway)| {
        let mut upstream = upstream(name, origin, (name, gateway), "/");
        upstream["content"] = json!({ "stable": ["/app.js"] });
        upstream
    });
    let watch = Watch::start(&scratch, json!(gateways), json!(upstreams));
    let labels = watch.warns("BadGatewayContentDiffers", "content-kept", || kept.ask("/"));
    assert_eq!(labels["hop"], "content-kept", "{labels}");
    assert_eq!([asked(kept), asked(passing)], ["release(1)", "release(2)"]);
    let seen = watch.daemon.scrape();
    assert!(
        !seen.has("content_differs", &[("hop", "origin")]),
        "it is the measure itself"
    );
    assert_eq!(seen.sum("probe_failures_total", &[]), 0.0, "nothing else shows it");
    let compared = "badgateway_content_differs{upstream=\"content-default\"} == 0";
    watch.stays_silent("content-default", compared);
}
