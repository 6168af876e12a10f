//! Gateways that are configured wrongly, before a service that is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;
use crate::support::daemon::scratch;
use crate::support::peers::http1::{OK, answers};
use crate::support::peers::{serve, tcp};
use crate::support::programs;

#[test]
fn a_wrong_port_in_the_configuration_of_a_gateway() {
    if !programs::have(&["nginx", "haproxy"]) {
        return;
    }
    let scratch = scratch();
    let server = backend(&scratch, "server");
    let at = server.listen;
    let mut nginx = nginx_before(&scratch, &[at]);
    let mut haproxy = haproxy_before(&scratch, &[at]);
    let gateways = json!([
        { "name": "nginx", "kind": "nginx", "access_log": nginx.access, "error_log": nginx.error },
        { "name": "haproxy", "kind": "haproxy" },
    ]);
    let upstreams = json!([
        upstream("nginx", &[at], &[("nginx", nginx.listen)]),
        upstream("haproxy", &[at], &[("haproxy", haproxy.listen)]),
    ]);
    let daemon = Daemon::start(&scratch, &config(gateways, upstreams));
    let (refusing, _socket) = tcp::refusing();
    let (right, wrong) = (at.to_string(), refusing.to_string());
    for (name, gateway, cause) in [
        ("nginx", &mut nginx, "bad_gateway"),
        // HAProxy says 503 where it reaches nobody; its page tells what that is.
        ("haproxy", &mut haproxy, "disguised_bad_gateway"),
    ] {
        settled(&daemon, name);
        let (addresses, server) = ([gateway.listen], [at]);
        let fault = gateway_fault(name, cause, &addresses, &server);
        breaks(&daemon, &[(name, &fault)], || gateway.reconfigure(&right, &wrong));
        if name == "nginx" {
            // Its log knows whom it asked and why that failed.
            gateway.ask_times(3, "/cart", 502);
            until(&daemon, name, |state| {
                let log = &state["traffic"][0];
                let expected =
                    json!([[{ "cause": "connect_refused", "failed": 3 }], [{ "backend": wrong, "failed": 3 }]]);
                match json!([log["causes"], log["backends"]]) {
                    found if found == expected => Ok(()),
                    found => Err(found.to_string()),
                }
            });
        }
        mended(&daemon, name, "gateway_fault", || gateway.reconfigure(&wrong, &right));
    }
}

#[test]
fn a_gateway_waits_less_long_than_the_service_takes() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let slow = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&slow);
    let well_behaved = answers(OK);
    let server = serve(move |wire| {
        if now.load(Ordering::SeqCst) {
            // The fault itself; nothing waits for it.
            std::thread::sleep(Duration::from_millis(1500));
        }
        well_behaved(wire);
    });
    let scratch = scratch();
    // It gives up after a second, which is what `proxy_read_timeout` says in its configuration.
    let nginx = nginx_before(&scratch, &[server]);
    let gateways = json!([{ "name": "edge", "kind": "nginx", "config_file": nginx.config_file() }]);
    let mut config = config(
        gateways,
        json!([upstream("shop", &[server], &[("edge", nginx.listen)])]),
    );
    config["defaults"]["timeout"] = json!("5s");
    let daemon = Daemon::start(&scratch, &config);
    settled(&daemon, "shop");
    let near = |metrics: &Metrics| metrics.sum("near_limit_total", &[("hop", "origin"), ("limit", "first_byte")]);
    assert_eq!(near(&daemon.scrape_upstream("shop")), 0.0);
    let (addresses, well) = ([nginx.listen], [server]);
    let fault = gateway_fault("edge", "gateway_timeout", &addresses, &well);
    let said = breaks(&daemon, &[("shop", &fault)], || slow.store(true, Ordering::SeqCst));
    // What tells that it is the service that takes too long for this gateway.
    let metrics = daemon.scrape_upstream("shop");
    assert_eq!(metrics.sum("gateway_limit_seconds", &[("limit", "first_byte")]), 1.0);
    assert!(near(&metrics) >= 1.0, "{}", metrics.show("limit"));
    let page = http::get(daemon.address(), "/upstreams/shop", &[])
        .expect("a page")
        .text();
    let limits = page.split("id=\"limits\"").nth(1).expect("limits are shown");
    let nearest = limits
        .split("<tbody>")
        .nth(1)
        .and_then(|rows| rows.split("</tr>").next());
    let nearest = nearest.expect("a first row");
    for part in ["first byte", "edge of origin", "1.00 s", ">1.5", "beyond it"] {
        assert!(nearest.contains(part), "{part} is missing: {nearest}");
    }
    let first_step = said[0]["next_steps"][0].as_str().expect("a step");
    assert!(
        first_step.contains("response times against that gateway's timeout"),
        "{first_step}"
    );
    mended(&daemon, "shop", "gateway_fault", || slow.store(false, Ordering::SeqCst));
}
