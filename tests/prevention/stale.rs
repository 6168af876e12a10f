//! A5: nginx that looked a name up once, and a server that moved.
//!
//! What a gateway still asks is judged after ten minutes, so the daemon's clock is set forward here; nobody else's is.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::resolver::Resolver;
use crate::support::clock::{self, Clock};
use crate::support::daemon::{Daemon, scratch};
use crate::support::gateways::{nginx_at, nginx_of};
use crate::support::programs;
use crate::support::stack::{address, wait_until};
use crate::watch::{LOG, Watch, fails, folder};

const ALERT: &str = "BadGatewayStaleBackendAddress";

#[test]
fn a_server_moves_and_the_gateway_asks_the_old_address() {
    if !programs::have(&["nginx", "dnsmasq", "prometheus"]) || !clock::can_be_set() {
        return;
    }
    let scratch = scratch();
    let first = address(41);
    let server = |last| {
        let at = SocketAddr::new(address(last).ip(), first.port());
        let site = "access_log off; server { listen $LISTEN; location / { return 200 ok; } }";
        (
            at,
            nginx_at(&folder(&scratch, &format!("server-{last}")), at, &[], site),
        )
    };
    let [
        (old, mut old_server),
        (other, mut other_server),
        (new, _new),
        (last, _last),
    ] = [41, 42, 43, 44].map(server);
    let names = ["stale-kept", "stale-default"];
    let given = |servers: [SocketAddr; 2]| names.map(|name| servers.map(|at| (name, at))).concat();
    let resolver = Resolver::start(&scratch, 45, 1, &given([old, other]));
    let nginx = |name: &str, keeps: &str| {
        let site = format!(
            "log_format ours '{LOG}'; access_log $ACCESS ours; resolver {} ipv6=off {keeps};
             server {{ listen $LISTEN; location / {{ set $shop {name}.peer.test; proxy_pass http://$shop:{}; }} }}",
            resolver.listen,
            first.port()
        );
        nginx_of(&folder(&scratch, name), &site)
    };
    let (kept, well) = (nginx("stale-kept", "valid=1h"), nginx("stale-default", ""));
    let all = [("stale-kept", &kept), ("stale-default", &well)];
    let gateways = all.map(|(name, gateway)| {
        let access = json!({ "path": gateway.access, "format": LOG });
        json!({ "name": name, "kind": "nginx", "access_log": access })
    });
    let upstreams = all.map(|(name, gateway)| -> Value {
        json!({
            "name": name,
            "origin": {
                "url": format!("http://{name}.peer.test:{}/", first.port()),
                "resolvers": [resolver.listen.to_string()],
                "family": "ipv4",
            },
            "via": [{ "gateway": name, "url": format!("http://{}/", gateway.listen) }],
        })
    });
    let config = json!({
        "defaults": { "interval": "1s", "timeout": "1s" },
        "gateways": gateways,
        "upstreams": upstreams,
    });
    let clock = Clock::new(&scratch);
    let command = clock.command();
    let before = command.each_ref().map(String::as_str);
    let watch = Watch::of(Daemon::start_by(&before, &scratch, &config));
    for (_, gateway) in all {
        gateway.ask_times(4, "/", 200);
    }
    watch.stay_silent(names, |name| {
        format!("badgateway_addresses{{upstream={name:?}, hop=\"origin\", state=\"healthy\"}} == 2")
    });

    resolver.says(&given([new, other]));
    watch.knows("badgateway_dns_changes_total{upstream=\"stale-default\", hop=\"origin\"} > 0");
    // One that looks again has done so before the old server goes.
    let asked = |name: &str| std::fs::read_to_string(scratch.join(name).join("access.log")).expect("readable");
    wait_until("nginx asks the new one", || {
        well.ask_times(2, "/", 200);
        asked("stale-default").contains(&new.to_string()).then_some(())
    });
    old_server.kill();
    // The other one answers in its place.
    wait_until("nginx asks the old one in vain", || {
        kept.ask_times(2, "/", 200);
        asked("stale-kept").contains("us=\"502, 200\"").then_some(())
    });
    let retried = "badgateway_gateway_retries_total{upstream=\"stale-kept\"} > 0";
    watch.knows(retried);
    assert!(!watch.has_held(ALERT, "stale-kept"), "it may look again before long");
    let requests = "badgateway_gateway_requests_total{upstream=\"stale-default\"} >= 6";
    watch.stays_silent("stale-default", requests);
    // A probe that is under way now seems to take ten minutes: from here on only this alert is judged, by what users get.
    clock.set_forward(605);
    let labels = wait_until("the old address is told", || {
        assert_eq!(kept.ask("/"), Some(200));
        watch.holds(ALERT, "stale-kept")
    });
    assert_eq!(labels["gateway"], "stale-kept", "{labels}");

    well.ask_times(4, "/", 200);
    resolver.says(&given([new, last]));
    wait_until("nginx asks the last one", || {
        well.ask_times(2, "/", 200);
        asked("stale-default").contains(&last.to_string()).then_some(())
    });
    other_server.kill();
    assert_eq!(fails(&[502], || kept.ask("/")), 502);
    watch.knows("badgateway_gateway_requests_total{upstream=\"stale-default\"} >= 12");
    assert!(!watch.has_held(ALERT, "stale-default"), "it asks where the name leads");
}
