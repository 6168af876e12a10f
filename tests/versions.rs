//! Who answers, as the answers show it: on the page of metrics, in the API, and as evidence where versions tell failing
//! addresses from those that are well.

mod support;

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen};
use support::http;
use support::peers::http1::{answer, answers};
use support::peers::serve;

fn api(daemon: &Daemon, upstream: &str) -> Value {
    let answer = http::get(daemon.address(), &format!("/api/v1/upstreams/{upstream}"), &[]).expect("an answer");
    serde_json::from_str(&answer.text()).expect("JSON")
}

fn yes(holds: bool, what: &str) -> Seen {
    match holds {
        true => Seen::Yes,
        false => Seen::NotYet(what.to_owned()),
    }
}

#[test]
fn another_version_at_the_failing_address_is_evidence() {
    let old = serve(answers(answer(
        "200 OK",
        "X-Version: 41\nServer: gunicorn/20.1.0",
        "ok",
    )));
    let new = serve(answers(answer("500 Internal Server Error", "X-Version: 42", "no")));
    let origin = json!([format!("http://{old}/"), format!("http://{new}/")]);
    let daemon = Daemon::watching("shop", json!({ "origin": origin, "version_header": "X-Version" }));
    let metrics = daemon.wait_until("shop", |metrics| {
        let partial = metrics.sum("verdict", &[("verdict", "origin_partial")]) == 1.0;
        yes(partial, "the verdict")
    });
    for (address, version) in [(old, "41"), (new, "42")] {
        let labels = [("address", &*address.to_string()), ("version", version)];
        assert_eq!(metrics.sum("origin_version_info", &labels), 1.0, "{version}");
    }
    assert_eq!(metrics.all("origin_version_info", &[]).count(), 2);
    let said = api(&daemon, "shop");
    let evidence = said["evidence"].as_str().unwrap_or_default();
    assert!(evidence.ends_with("; failing: 42; well: 41"), "{evidence}");
    assert_eq!(said["hops"][0]["versions"][old.to_string()], "41");
}

#[test]
fn a_gateway_is_its_own_product_and_an_origin_what_server_says() {
    let through = |server: &str| serve(answers(answer("200 OK", &format!("Server: {server}"), "ok")));
    let config = json!({
        "defaults": { "interval": "1s" },
        "gateways": [{ "name": "edge", "kind": "nginx" }, { "name": "inner", "kind": "haproxy" }],
        "upstreams": [{
            "name": "shop",
            "origin": format!("http://{}/", through("gunicorn/20.1.0")),
            "via": [
                { "gateway": "edge", "url": format!("http://{}/", through("nginx/1.22.1")) },
                { "gateway": "inner", "url": format!("http://{}/", through("gunicorn/20.1.0")) },
            ],
        }],
    });
    let daemon = Daemon::start(&support::daemon::scratch(), &config);
    let metrics = daemon.wait_until("shop", |metrics| {
        let rounds = metrics.all("rounds_total", &[]).all(|round| round.value >= 1.0);
        yes(rounds, "a round of each hop")
    });
    let gateways: Vec<_> = metrics.all("gateway_version_info", &[]).collect();
    assert_eq!(gateways.len(), 1, "HAProxy passes on what the origin says of itself");
    for (label, value) in [("hop", "edge"), ("product", "nginx"), ("version", "1.22.1")] {
        assert_eq!(gateways[0].labels[label], value);
    }
    assert!(metrics.has("origin_version_info", &[("version", "gunicorn/20.1.0")]));
}
