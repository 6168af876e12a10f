//! HAProxy before nginx before the service: the fault at each of them in turn.

use serde_json::json;

use super::*;
use crate::support::daemon::scratch;
use crate::support::peers::tcp;
use crate::support::programs;

#[test]
fn of_two_gateways_in_a_row_the_one_that_fails_is_named() {
    if !programs::have(&["nginx", "haproxy"]) {
        return;
    }
    let scratch = scratch();
    let mut server = backend(&scratch, "server");
    let at = server.listen;
    let mut inner = nginx_before(&scratch, &[at]);
    let mut outer = haproxy_before(&scratch, &[inner.listen]);
    let gateways = json!([{ "name": "inner", "kind": "nginx" }, { "name": "outer", "kind": "haproxy" }]);
    let shop = upstream("shop", &[at], &[("outer", outer.listen), ("inner", inner.listen)]);
    let daemon = Daemon::start(&scratch, &config(gateways, json!([shop])));
    settled(&daemon, "shop");
    let (refusing, _socket) = tcp::refusing();
    let wrong = refusing.to_string();

    // A wrong port in what it is configured by: HAProxy says 503 where it reaches nobody, and its page tells what that is.
    let (outside, inside) = ([outer.listen], [inner.listen]);
    let well = [at];
    let misled = gateway_fault("outer", "disguised_bad_gateway", &outside, &well);
    breaks(&daemon, &[("shop", &misled)], || {
        outer.reconfigure(&inside[0].to_string(), &wrong)
    });
    mended(&daemon, "shop", "gateway_fault", || {
        outer.reconfigure(&wrong, &inside[0].to_string())
    });

    let misled = gateway_fault("inner", "bad_gateway", &inside, &well);
    breaks(&daemon, &[("shop", &misled)], || {
        inner.reconfigure(&at.to_string(), &wrong)
    });
    mended(&daemon, "shop", "gateway_fault", || {
        inner.reconfigure(&wrong, &at.to_string())
    });

    // Killed.
    let gone = Fault {
        verdict: "gateway_unreachable",
        hop: "outer",
        cause: "connect_refused",
        addresses: &outside,
        sentence: "The gateway outer cannot be reached: connect_refused".to_owned(),
        ..misled.clone()
    };
    breaks(&daemon, &[("shop", &gone)], || outer.kill());
    mended(&daemon, "shop", "gateway_unreachable", || outer.start_again());

    let gone = Fault {
        hop: "inner",
        addresses: &inside,
        sentence: "The gateway inner cannot be reached: connect_refused".to_owned(),
        ..gone.clone()
    };
    breaks(&daemon, &[("shop", &gone)], || inner.kill());
    mended(&daemon, "shop", "gateway_unreachable", || inner.start_again());

    let down = Fault {
        verdict: "origin_down",
        hop: "origin",
        addresses: &[at],
        sentence: "The origin accepts no connections: connect_refused".to_owned(),
        well: &[],
        ..gone.clone()
    };
    breaks(&daemon, &[("shop", &down)], || server.kill());
    mended(&daemon, "shop", "origin_down", || server.start_again());
}
