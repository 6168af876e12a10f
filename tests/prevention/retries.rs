//! A14: a gateway that asks again and again, and thereby hides that a server is gone.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::daemon::scratch;
use crate::support::gateways::nginx_of;
use crate::support::programs;
use crate::watch::{LOG, Watch, fails, folder};

const ALERT: &str = "BadGatewayRetryStorm";

#[test]
fn every_second_request_is_asked_twice() {
    if !programs::have(&["nginx", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let server = |name: &str| {
        let site = "access_log off; server { listen $LISTEN; location / { return 200 ok; } }";
        nginx_of(&folder(&scratch, name), site)
    };
    let [mut one, mut two, three, four] = ["one", "two", "three", "four"].map(server);
    let nginx = |name: &str, servers: [SocketAddr; 2], marks: &str| {
        let [one, two] = servers;
        let site = format!(
            "log_format ours '{LOG}'; access_log $ACCESS ours;
             upstream shop {{ server {one} {marks}; server {two} {marks}; }}
             server {{ listen $LISTEN; location / {{ proxy_pass http://shop; }} }}"
        );
        nginx_of(&folder(&scratch, name), &site)
    };
    let (both, lasting) = ([one.listen, two.listen], [three.listen, four.listen]);
    // Never taken out, a dead server is asked for every second request; by default it is left alone for ten seconds.
    let storm = nginx("retries-storm", both, "max_fails=0");
    let marked = nginx("retries-marked", both, "");
    let well = nginx("retries-default", lasting, "");
    let all = [
        ("retries-storm", &storm, both),
        ("retries-marked", &marked, both),
        ("retries-default", &well, lasting),
    ];
    let gateways = all.map(|(name, gateway, _)| {
        let access = json!({ "path": gateway.access, "format": LOG });
        json!({ "name": name, "kind": "nginx", "access_log": access, "error_log": gateway.error })
    });
    let upstreams = all.map(|(name, gateway, servers)| {
        json!({
            "name": name,
            "origin": servers.map(|at| format!("http://{at}/")),
            "via": [{ "gateway": name, "url": format!("http://{}/", gateway.listen) }],
        })
    });
    let watch = Watch::start(&scratch, json!(gateways), json!(upstreams));
    let asked = |name: &str| format!("badgateway_gateway_requests_total{{upstream={name:?}}} >= 30");
    for (_, gateway, _) in all {
        gateway.ask_times(30, "/", 200);
    }
    watch.stay_silent(all.map(|(name, ..)| name), asked);

    one.kill();
    marked.ask_times(60, "/", 200);
    let labels = watch.warns(ALERT, "retries-storm", || storm.ask("/"));
    assert_eq!(labels["gateway"], "retries-storm", "{labels}");
    let retried = "badgateway_gateway_retries_total{upstream=\"retries-marked\"} > 0";
    watch.knows(retried);
    assert!(
        !watch.has_held(ALERT, "retries-marked"),
        "a dead server that is left alone is no storm"
    );

    two.kill();
    assert_eq!(fails(&[502], || storm.ask("/")), 502);
    watch.stays_silent("retries-default", &asked("retries-default"));
}
