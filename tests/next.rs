//! What will break next, as the API and the page list it: what is near is there with its figure, its limit and where that
//! is known from, the nearest first; a healthy upstream with the gateway's own defaults has an empty list.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::peers::http1::{self, OK, answer, answers};
use support::peers::serve;
use support::peers::tls::Tls;
use support::pki::{Flaw, NAME, Pki};
use support::stack::wait_until;
use support::{dns, http};

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
    let series = |upstream: &str| {
        let metrics = daemon.scrape_upstream(upstream);
        metrics.sum("tls_certificate_problem", &[("problem", "differs")])
    };
    assert_eq!(
        (series("mixed"), series("alone")),
        (1.0, 0.0),
        "the one that does not end last"
    );
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

/// A line of nginx for a request that took two tries, or one.
fn logged(number: u32, tries: usize) -> String {
    let [both, statuses] = [["127.0.0.1:81, 127.0.0.1:80", "502, 200"], ["127.0.0.1:80", "200"]][2 - tries];
    format!(
        r#"192.0.2.7 - - [20/Nov/2026:10:57:01 +0000] "GET / HTTP/1.1" 200 157 "-" "-" ua="{both}" us="{statuses}" ut="0.010" uc="0.001" uh="0.009" ub="200" ul="100" rt=0.010 id={number:032x} done="OK" host="again" up="again""#
    ) + "\n"
}

#[test]
fn what_goes_wrong_beside_the_limits_is_listed() {
    let folder = scratch();
    let well = serve(answers(OK));
    let ok = format!("http://{well}/");
    let kept = serve(answers(answer(
        "500 Internal Server Error",
        "Cache-Control: max-age=60",
        "sorry",
    )));
    let other = serve(answers(answer("200 OK", "Content-Type: text/javascript", "release(1)")));
    let resolvers = [Some("127.0.0.1"), None].map(|address| {
        let says = move |question: &dns::Question| match address {
            Some(address) => vec![question.addresses(&[address]).bytes()],
            None => vec![question.answer().code(dns::NXDOMAIN).bytes()],
        };
        dns::serve(says).to_string()
    });
    let named = json!({
        "url": format!("http://shop.peer.test:{}/", well.port()), "resolvers": resolvers, "family": "ipv4",
    });
    let log = folder.join("access.log");
    std::fs::write(&log, "").expect("written");
    let via = |gateway: &str, to: std::net::SocketAddr| json!([{ "gateway": gateway, "url": format!("http://{to}/") }]);
    let config = json!({
        "defaults": { "interval": "1s", "timeout": "900ms", "confirm": { "delay": "50ms" } },
        "gateways": [
            { "name": "edge", "kind": "nginx" },
            { "name": "retrying", "kind": "nginx", "access_log": log },
        ],
        "upstreams": [
            { "name": "kept", "origin": ok, "via": via("edge", kept) },
            { "name": "names", "origin": named },
            { "name": "content", "origin": ok, "via": via("edge", other), "content": { "stable": ["/app.js"] } },
            { "name": "again", "origin": ok, "via": via("retrying", well) },
        ],
    });
    let daemon = Daemon::start(&folder, &config);
    daemon.wait_until("", |metrics| match metrics.sum("gateway_log_up", &[]) == 1.0 {
        true => Seen::Yes,
        false => Seen::NotYet("the log is read".to_owned()),
    });
    let lines: String = (0..40)
        .map(|number| logged(number, 1 + usize::from(number < 10)))
        .collect();
    std::fs::write(&log, lines).expect("written");
    let listed = |upstream: &str, wanted: [&str; 4]| {
        let [what, figure, limit, runbook] = wanted;
        let found = wait_until(what, || {
            risks(&daemon, upstream).into_iter().find(|risk| risk["what"] == what)
        });
        assert_eq!(
            [&found["figure"], &found["limit"], &found["runbook"]],
            [figure, limit, runbook]
        );
    };
    listed(
        "kept",
        [
            "errors of edge stay in a cache",
            "a 500 from a cache, or with leave to keep it",
            "no error kept",
            "BadGatewayCached",
        ],
    );
    let says = format!("{} gives no address (NXDOMAIN), {} does", resolvers[1], resolvers[0]);
    listed(
        "names",
        [
            "the resolvers of origin disagree",
            &says,
            "the same of each",
            "BadGatewayUpstreamDNSDisagreement",
        ],
    );
    listed(
        "again",
        [
            "retries of retrying",
            "0.25 per request",
            "0.2 per request",
            "BadGatewayRetryStorm",
        ],
    );
    listed(
        "content",
        [
            "edge serves other content than the origin",
            "/app.js differs",
            "the origin's",
            "BadGatewayContentDiffers",
        ],
    );
    for (upstream, other) in [
        ("kept", "retries"),
        ("again", "cache"),
        ("content", "resolvers"),
        ("names", "content"),
    ] {
        let found = Value::from(risks(&daemon, upstream)).to_string();
        assert!(!found.contains(other), "{upstream}: {found}");
    }
}
