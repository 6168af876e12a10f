//! What will break next, as the API and the page list it: what is near is there with its figure, its limit and where that
//! is known from, the nearest first; a healthy upstream with the gateway's own defaults has an empty list.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::http;
use support::peers::http1::{self, OK, answer, answers};
use support::peers::serve;
use support::peers::tls::Tls;
use support::pki::{Flaw, NAME, Pki};

fn get(daemon: &Daemon, path: &str) -> String {
    let answer = http::get(daemon.address(), path, &[]).expect("an answer");
    assert_eq!(answer.status, 200, "{path}");
    answer.text()
}

fn risks(daemon: &Daemon, upstream: &str) -> Vec<Value> {
    let text = get(daemon, &format!("/api/v1/upstreams/{upstream}"));
    let json: Value = serde_json::from_str(&text).expect("JSON");
    json["risks"].as_array().expect("a list").clone()
}

fn through(name: &str, origin: Value) -> Value {
    let gateway = format!("http://{}/", serve(answers(OK)));
    json!({ "name": name, "origin": origin, "via": [{ "gateway": "edge", "url": gateway }] })
}

#[test]
fn what_is_near_is_listed_the_nearest_first() {
    let broken = Arc::new(AtomicBool::new(false));
    let switch = broken.clone();
    let (good, bad) = (answers(OK), http1::status("500 Internal Server Error"));
    let second = serve(move |wire| match switch.load(Ordering::SeqCst) {
        true => bad(wire),
        false => good(wire),
    });
    let head = format!("X-Padding: {}", "x".repeat(3400));
    let first = serve(answers(answer("200 OK", &head, "ok")));
    let origin = json!([format!("http://{first}/"), format!("http://{second}/")]);
    let well = json!(format!("http://{}/", serve(answers(OK))));
    let config = json!({
        "defaults": { "interval": "1s", "confirm": { "delay": "50ms" } },
        "gateways": [{ "name": "edge", "kind": "nginx" }],
        "upstreams": [through("shop", origin), through("well", well)],
    });
    let daemon = Daemon::start(&scratch(), &config);
    let healthy = |wanted: f64| {
        daemon.wait_until("shop", move |metrics| {
            let labels = [("hop", "origin"), ("state", "healthy")];
            match metrics.sum("addresses", &labels) == wanted {
                true => Seen::Yes,
                false => Seen::NotYet(format!("{wanted} healthy addresses")),
            }
        })
    };
    healthy(2.0);
    let found = risks(&daemon, "shop");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["what"], "response header of edge at origin");
    assert_eq!(found[0]["from"], "default of nginx");
    assert_eq!(found[0]["runbook"], "BadGatewayResponseHeaderNearBuffer");
    let nearness = found[0]["nearness"].as_f64().expect("a share");
    assert!((0.8..0.95).contains(&nearness), "{nearness}");

    broken.store(true, Ordering::SeqCst);
    healthy(1.0);
    let found = risks(&daemon, "shop");
    let whats: Vec<_> = found.iter().filter_map(|risk| risk["what"].as_str()).collect();
    assert_eq!(
        whats,
        [
            "one healthy address left of origin",
            "response header of edge at origin"
        ]
    );
    assert_eq!(found[0]["limit"], "2 within a day");
    let page = get(&daemon, "/upstreams/shop");
    for text in [
        "What will break next",
        "one healthy address left of origin",
        "default of nginx",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }

    assert_eq!(risks(&daemon, "well"), Vec::<Value>::new());
    assert!(get(&daemon, "/upstreams/well").contains("Nothing that is measured is near its limit."));
}

#[test]
fn different_certificates_at_the_addresses_of_one_upstream_are_told() {
    let scratch = scratch();
    let pki = Pki::new(&scratch);
    let serve = || Tls::new(pki.server(Flaw::None)).serve(answers(OK));
    let same = Tls::new(pki.server(Flaw::None)).serve(answers(OK));
    let origin = |addresses: &[std::net::SocketAddr]| {
        let urls = addresses
            .iter()
            .map(|address| json!({ "url": format!("https://{address}/"), "tls": { "verify": false } }));
        urls.collect::<Value>()
    };
    let config = json!({
        "defaults": { "interval": "1s" },
        "upstreams": [
            { "name": "mixed", "origin": origin(&[serve(), serve()]) },
            { "name": "alone", "origin": origin(&[same]) },
        ],
    });
    let daemon = Daemon::start(&scratch, &config);
    daemon.wait_until("", |metrics| {
        match metrics.all("rounds_total", &[]).all(|round| round.value >= 1.0) {
            true => Seen::Yes,
            false => Seen::NotYet("a round of each".to_owned()),
        }
    });
    let found = |upstream: &str| {
        let risks = risks(&daemon, upstream);
        let what = |risk: &Value| risk["what"].as_str().unwrap_or_default().to_owned();
        risks
            .iter()
            .map(what)
            .filter(|what| what.contains("different"))
            .collect::<Vec<_>>()
    };
    assert_eq!(found("mixed"), ["different certificates at the addresses of origin"]);
    assert_eq!(found("alone"), Vec::<String>::new());
}

#[test]
fn a_chain_that_ends_early_names_the_certificate_that_is_missing() {
    let scratch = scratch();
    let pki = Pki::new(&scratch);
    let address = Tls::new(pki.server(Flaw::MissingIntermediate)).serve(answers(OK));
    let origin = json!({
        "url": format!("https://{address}/"),
        "server_name": NAME,
        "tls": { "ca_file": pki.ca_file(), "verify": true },
    });
    let daemon = Daemon::watching("cut", json!({ "origin": origin }));
    daemon.wait_until("cut", |metrics| {
        match metrics.has("probe_failing", &[("cause", "tls_certificate_untrusted")]) {
            true => Seen::Yes,
            false => Seen::NotYet("the cause".to_owned()),
        }
    });
    let text = get(&daemon, "/api/v1/upstreams/cut");
    assert!(
        text.contains("Test Intermediate was neither sent nor is trusted here: an intermediate is missing, or ca_file"),
        "{text}"
    );
}
