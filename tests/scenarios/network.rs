//! Networks that break: between a gateway and the service while ours is open, and our own.

use std::net::IpAddr;

use serde_json::json;

use super::*;
use crate::support::daemon::scratch;
use crate::support::netns::{self, HERE, THERE};
use crate::support::programs;

/// A file server at that address, in the namespace of the test or behind `before`.
fn server(scratch: &Path, name: &str, listen: SocketAddr, before: &[&str]) -> Gateway {
    let site = "access_log off; server { listen $LISTEN; location / { return 200 ok; } }";
    nginx_at(&folder(scratch, name), listen, before, site)
}

fn at(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse::<IpAddr>().expect("an address"), port)
}

/// The service is here, the gateways are at the other end of the cable; what they send to the service is lost, or refused
/// by a filter on the way.
#[test]
fn the_way_from_the_gateway_to_the_service_is_blocked_and_ours_is_open() {
    if !programs::have(&["nginx", "haproxy"]) {
        return;
    }
    let test = "network::the_way_from_the_gateway_to_the_service_is_blocked_and_ours_is_open";
    netns::inside(test, "", "", || {
        let scratch = scratch();
        let other_end = netns::at_the_other_end();
        let other_end = other_end.each_ref().map(String::as_str);
        let service = at(HERE, 8080);
        let _server = server(&scratch, "server", service, &[]);
        let site = format!(
            "access_log $ACCESS; proxy_connect_timeout 1s;
             server {{ listen $LISTEN; location / {{ proxy_pass http://{service}; }} }}"
        );
        let nginx = nginx_at(&folder(&scratch, "nginx"), at(THERE, 80), &other_end, &site);
        let site = format!("default_backend shop\nbackend shop\nserver one {service}\n");
        let of_haproxy = folder(&scratch, "haproxy");
        let haproxy = haproxy_at(&of_haproxy, at(THERE, 81), &other_end, "", "retries 0", &site);
        let gateways = json!([
            { "name": "nginx", "kind": "nginx", "access_log": nginx.access, "error_log": nginx.error },
            { "name": "haproxy", "kind": "haproxy" },
        ]);
        let upstreams = json!([
            upstream("nginx", &[service], &[("nginx", nginx.listen)]),
            upstream("haproxy", &[service], &[("haproxy", haproxy.listen)]),
        ]);
        let mut config = config(gateways, upstreams);
        config["defaults"]["timeout"] = json!("5s");
        let daemon = Daemon::start(&scratch, &config);
        for name in ["nginx", "haproxy"] {
            settled(&daemon, name);
        }

        let (of_nginx, of_haproxy, well) = ([nginx.listen], [haproxy.listen], [service]);
        let haproxy_says = gateway_fault("haproxy", "disguised_bad_gateway", &of_haproxy, &well);
        for (rule, said_by_nginx, status, logged) in [
            ("drop", "gateway_timeout", 504, "connect_timeout"),
            ("reject with tcp reset", "bad_gateway", 502, "connect_refused"),
            (
                "reject with icmp type admin-prohibited",
                "bad_gateway",
                502,
                "connect_unreachable",
            ),
        ] {
            let nginx_says = gateway_fault("nginx", said_by_nginx, &of_nginx, &well);
            breaks(&daemon, &[("nginx", &nginx_says), ("haproxy", &haproxy_says)], || {
                netns::there(&format!(
                    "nft 'add table ip f; add chain ip f out {{ type filter hook output priority 0; }}; \
                     add rule ip f out ip daddr {HERE} tcp dport 8080 {rule}'"
                ));
            });
            // The probe gets a page only; the log of the gateway knows what it met.
            nginx.ask_times(1, "/cart", status);
            until(&daemon, "nginx", |state| {
                let causes = state["traffic"][0]["causes"].as_array().cloned().unwrap_or_default();
                match causes.iter().any(|one| one["cause"] == logged) {
                    true => Ok(()),
                    false => Err(format!("not {logged}: {causes:?}")),
                }
            });
            netns::there("nft delete table ip f");
            for name in ["nginx", "haproxy"] {
                mended(&daemon, name, "gateway_fault", || ());
            }
        }
    });
}

/// Everything that is watched is at the other end of the cable, and the cable is out.
#[test]
fn our_own_network_is_gone_and_nobody_is_accused() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let test = "network::our_own_network_is_gone_and_nobody_is_accused";
    netns::inside(test, "", "", || {
        let scratch = scratch();
        let other_end = netns::at_the_other_end();
        let other_end = other_end.each_ref().map(String::as_str);
        let service = at(THERE, 8080);
        let far = |name, port| server(&scratch, name, at(THERE, port), &other_end);
        let _servers = [
            far("server", 8080),
            far("edge", 80),
            far("status", 8081),
            far("other", 8082),
        ];
        let mut config = config(
            json!([{ "name": "edge", "kind": "nginx" }]),
            json!([upstream("shop", &[service], &[("edge", at(THERE, 80))])]),
        );
        config["self_check"] = json!([
            format!("http://{}/", at(THERE, 8081)),
            format!("http://{}/", at(THERE, 8082))
        ]);
        let daemon = Daemon::start(&scratch, &config);
        settled(&daemon, "shop");
        let loss = "nft 'add table ip f; add chain ip f in { type filter hook input priority 0; policy drop; }'";
        let lose = |way: &str, breaks: &dyn Fn(), mends: &dyn Fn()| {
            breaks();
            let lost = until(&daemon, "shop", |state| match state["verdict"] == "unknown" {
                true => Ok(()),
                false => Err(way.to_owned()),
            });
            assert_eq!(lost["impact"], "none");
            let sentence = lost["sentence"].as_str().expect("a sentence");
            assert!(
                sentence.starts_with("Nothing can be said: every self check fails"),
                "{sentence}"
            );
            assert_eq!(daemon.scrape().sum("self_connectivity", &[]), 0.0);
            // What is seen meanwhile is not believed, though there is enough of it to confirm anything.
            let failed = || daemon.scrape_upstream("shop").sum("probe_failures_total", &[]);
            let before = failed();
            until(&daemon, "shop", |state| {
                let mut hops = state["hops"].as_array().expect("hops").iter();
                stay_in(&daemon, "shop", &[service]);
                let no_way = |hop: &Value| hop["probes"][0]["outcome"].to_string().contains("no route");
                match hops.all(no_way) || failed() >= before + 6.0 {
                    true => Ok(()),
                    false => Err("there is a way, and no three more rounds of both have failed".to_owned()),
                }
            });
            mends();
            let back = settled(&daemon, "shop");
            assert_eq!(back["incidents"], json!([]), "{way}");
        };
        let set_link = |state: &str| netns::here(&format!("ip link set cable {state}"));
        lose("no link", &|| set_link("down"), &|| set_link("up"));
        lose("every packet is lost", &|| netns::there(loss), &|| {
            netns::there("nft delete table ip f")
        });
        let metrics = daemon.scrape_upstream("shop");
        for verdict in metrics.all("verdict", &[]) {
            assert!(
                ["unknown", "healthy"].contains(&verdict.labels["verdict"].as_str()),
                "{verdict:?}"
            );
        }
        let failed = metrics.sum("rounds_failed_total", &[("user_view", "true")]);
        assert!(failed <= 2.0, "the loss is in nobody's budget: {failed} rounds failed");
    });
}
