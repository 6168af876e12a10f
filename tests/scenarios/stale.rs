//! Gateways that resolved the name of the service when they started, and go on with that address after it has moved.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;
use crate::support::daemon::{Seen, scratch};
use crate::support::{dns, mounts, programs};

#[test]
fn the_name_of_the_service_moves_and_gateways_keep_the_old_address() {
    if !programs::have(&["nginx", "haproxy"]) || !mounts::may() {
        return;
    }
    let scratch = scratch();
    let mut old = backend(&scratch, "old");
    let at = |last| SocketAddr::new(address(last).ip(), old.listen.port());
    let site = "access_log off; server { listen $LISTEN; location / { return 200 ok; } }";
    let new = nginx_at(&folder(&scratch, "new"), at(5), &[], site);

    // One resolver for all: what the gateways ask by way of the system, the daemon asks itself.
    let moved = Arc::new(AtomicBool::new(false));
    let resolver = SocketAddr::new(address(4).ip(), 53);
    let (now, before, after) = (Arc::clone(&moved), ip(old.listen), ip(new.listen));
    dns::serve_at(resolver, move |question| match now.load(Ordering::SeqCst) {
        true => vec![question.addresses(&[&after]).bytes()],
        false => vec![question.addresses(&[&before]).bytes()],
    });
    let file = scratch.join("resolv.conf");
    std::fs::write(&file, format!("nameserver {}\n", resolver.ip())).expect("written");
    let before = mounts::with_file(&file, "/etc/resolv.conf");
    let before = before.each_ref().map(String::as_str);

    let service = format!("shop.peer.test:{}", old.listen.port());
    let site =
        format!("access_log $ACCESS; server {{ listen $LISTEN; location / {{ proxy_pass http://{service}; }} }}");
    let mut nginx = nginx_at(&folder(&scratch, "nginx"), address(2), &before, &site);
    let site = format!("default_backend shop\nbackend shop\nserver one {service}\n");
    let mut haproxy = haproxy_at(
        &folder(&scratch, "haproxy"),
        address(3),
        &before,
        "",
        "retries 0",
        &site,
    );

    let behind = |name: &str, gateway: &Gateway| {
        let mut upstream = upstream(name, &[], &[(name, gateway.listen)]);
        upstream["origin"] = json!({ "url": format!("http://{service}/"), "resolvers": [resolver.to_string()] });
        upstream
    };
    let gateways = json!([
        { "name": "nginx", "kind": "nginx", "access_log": nginx.access, "error_log": nginx.error },
        { "name": "haproxy", "kind": "haproxy" },
    ]);
    let upstreams = json!([behind("nginx", &nginx), behind("haproxy", &haproxy)]);
    let daemon = Daemon::start(&scratch, &config(gateways, upstreams));
    for name in ["nginx", "haproxy"] {
        settled(&daemon, name);
    }

    moved.store(true, Ordering::SeqCst);
    daemon.wait_until("", |metrics| {
        match metrics.sum("dns_changes_total", &[("hop", "origin")]) {
            2.0 => Seen::Yes,
            _ => Seen::NotYet("the move is seen".to_owned()),
        }
    });
    let (of_nginx, of_haproxy, well) = ([nginx.listen], [haproxy.listen], [new.listen]);
    let of_nginx = gateway_fault("nginx", "bad_gateway", &of_nginx, &well);
    let of_haproxy = gateway_fault("haproxy", "disguised_bad_gateway", &of_haproxy, &well);
    breaks(&daemon, &[("nginx", &of_nginx), ("haproxy", &of_haproxy)], || {
        old.kill()
    });
    // The log of nginx names the address that it still asks, which is none of the service any more.
    nginx.ask_times(3, "/cart", 502);
    until(&daemon, "nginx", |state| {
        let log = &state["traffic"][0];
        let backend = old.listen.to_string();
        let expected = json!([[{ "cause": "connect_refused", "failed": 3 }], [{ "backend": backend, "failed": 3 }]]);
        match json!([log["causes"], log["backends"]]) {
            found if found == expected => Ok(()),
            found => Err(found.to_string()),
        }
    });
    nginx.reload();
    haproxy.reload();
    for name in ["nginx", "haproxy"] {
        mended(&daemon, name, "gateway_fault", || ());
    }
}

fn ip(at: SocketAddr) -> String {
    let ip: IpAddr = at.ip();
    ip.to_string()
}
