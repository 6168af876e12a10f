//! What error pages of gateways make of findings and verdicts: who wrote them, what they state, and whether they were cached.

mod support;

use serde_json::{Value, json};
use support::daemon::{Daemon, Seen, scratch};
use support::http;
use support::metrics::Metrics;
use support::peers::http1::{OK, answer, answers, recorded};
use support::peers::serve;

/// An upstream behind one gateway of that kind, which gives this answer. `origin` is asked directly where it is there.
fn behind(name: &str, gateway: &str, page: Vec<u8>, origin: Option<&[u8]>) -> Value {
    let url = |bytes: Vec<u8>| format!("http://{}/", serve(answers(bytes)));
    let mut upstream = json!({ "name": name, "via": [{ "gateway": gateway, "url": url(page) }] });
    if let Some(bytes) = origin {
        upstream["origin"] = url(bytes.to_vec()).into();
    }
    upstream
}

/// A daemon that watches these upstreams; gateways have the name of their kind.
fn watch(kinds: &[&str], upstreams: Vec<Value>) -> Daemon {
    let gateways: Vec<_> = kinds.iter().map(|kind| json!({ "name": kind, "kind": kind })).collect();
    let config = json!({
        "defaults": { "interval": "1s", "confirm": { "delay": "100ms" } },
        "gateways": gateways,
        "upstreams": upstreams,
    });
    Daemon::start(&scratch(), &config)
}

/// `Yes` once this verdict holds, and this cause of the gateway hop.
fn says(verdict: &'static str, cause: &'static str) -> impl Fn(&Metrics) -> Seen {
    move |metrics| {
        let verdicts = metrics.sum("verdict", &[("verdict", verdict)]);
        let failing = metrics.sum("probe_failing", &[("cause", cause)]);
        match (verdicts, failing) {
            (1.0, 1.0) => Seen::Yes,
            _ => Seen::NotYet(format!("{verdict}, {cause}:\n{}", metrics.show("verdict"))),
        }
    }
}

const PROXY_ERROR: &str = "500 Proxy Error";
const CLOUDFLARE: &str = "Server: cloudflare\nCF-RAY: 8a1b2c3d4e5f6789-FRA";

fn nginx_page(footer: &str) -> String {
    format!(
        "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n\
         <hr><center>{footer}</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// Rule 10: nothing behind the gateway is probed, but its page says what it met there.
#[test]
fn a_page_that_states_its_cause_locates_the_fault() {
    let reason = |text: &str| {
        let body = format!(
            "<h1>Proxy Error</h1>\nThe proxy server could not handle the request<p>Reason: <strong>{text}</strong>"
        );
        answer(PROXY_ERROR, "Server: Apache", &body)
    };
    let overflow = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
    let inside = nginx_page("cloudflare");
    let cases = [
        (
            "refused",
            "squid",
            recorded("squid-503-1.http"),
            "origin_down",
            "disguised_bad_gateway",
        ),
        (
            "resolver",
            "apache",
            reason("DNS lookup failure for: x.internal"),
            "origin_dns",
            "disguised_bad_gateway",
        ),
        (
            "handshake",
            "apache",
            recorded("apache-500-7.http"),
            "origin_tls",
            "disguised_bad_gateway",
        ),
        (
            "dropped",
            "envoy",
            recorded("envoy-503-3.http"),
            "origin_invalid",
            "disguised_bad_gateway",
        ),
        (
            "full",
            "envoy",
            answer("503 Service Unavailable", "server: envoy", overflow),
            "origin_overloaded",
            "service_unavailable",
        ),
        (
            "gone",
            "traefik",
            recorded("traefik-503-2.http"),
            "origin_down",
            "disguised_bad_gateway",
        ),
        (
            "inside",
            "cloudflare",
            answer("502 Bad Gateway", CLOUDFLARE, &inside),
            "gateway_fault",
            "bad_gateway",
        ),
        // A page that leaves it open, and one that is the application's own.
        (
            "open",
            "haproxy",
            recorded("haproxy-503-1.http"),
            "unlocated",
            "disguised_bad_gateway",
        ),
        (
            "own",
            "nginx",
            recorded("nginx-500-1.http"),
            "unlocated",
            "server_error",
        ),
    ];
    let kinds = ["squid", "apache", "envoy", "traefik", "cloudflare", "haproxy", "nginx"];
    let upstreams = cases
        .iter()
        .map(|(name, kind, page, _, _)| behind(name, kind, page.clone(), None));
    let daemon = watch(&kinds, upstreams.collect());
    for (name, _, _, verdict, cause) in cases {
        let metrics = daemon.wait_until(name, says(verdict, cause));
        let bad = matches!(cause, "bad_gateway" | "disguised_bad_gateway");
        assert_eq!(metrics.sum("bad_gateway_total", &[]) > 0.0, bad, "{name}");
    }
}

/// What a product writes as a gateway and as a server alike counts where it is configured on the way, and nowhere else.
#[test]
fn pages_of_the_configured_gateway_are_known() {
    let lighttpd = || recorded("lighttpd-500-1.http");
    let httpd = || recorded("apache-503-1.http");
    let traefik = || answer("500 Internal Server Error", "", "Internal Server Error");
    let known = [("lighttpd", lighttpd()), ("apache", httpd()), ("traefik", traefik())];
    let foreign = [
        ("server_error", lighttpd()),
        ("service_unavailable", httpd()),
        ("server_error", traefik()),
    ];
    let mut upstreams = Vec::new();
    for (kind, page) in &known {
        upstreams.push(behind(kind, kind, page.clone(), Some(OK)));
    }
    for (number, (_, page)) in foreign.iter().enumerate() {
        upstreams.push(behind(&format!("foreign{number}"), "nginx", page.clone(), Some(OK)));
    }
    let daemon = watch(&["lighttpd", "apache", "traefik", "nginx"], upstreams);
    for (kind, _) in known {
        daemon.wait_until(kind, says("gateway_fault", "disguised_bad_gateway"));
    }
    for (number, (cause, _)) in foreign.into_iter().enumerate() {
        daemon.wait_until(&format!("foreign{number}"), says("gateway_fault", cause));
    }
}

/// Rule 6, and what looks like it.
#[test]
fn an_error_from_a_cache_is_told_from_a_fresh_one() {
    let page = nginx_page("nginx/1.25.3");
    let error = |headers: &str| answer("502 Bad Gateway", headers, &page);
    let cached = [
        "Age: 12",
        "X-Cache: HIT",
        "CF-Cache-Status: STALE",
        "X-Varnish: 32770 32769",
        "Cache-Status: edge; hit; ttl=5",
    ];
    let fresh = [
        "Age: 0",
        "X-Cache: Error from cloudfront",
        "CF-Cache-Status: MISS",
        "X-Varnish: 32770",
        "X-Cache-Lookup: HIT from a",
    ];
    let named = |name: &str, headers: &[&str]| -> Vec<Value> {
        let numbered = headers.iter().enumerate();
        numbered
            .map(|(number, headers)| behind(&format!("{name}{number}"), "nginx", error(headers), Some(OK)))
            .collect()
    };
    let mut upstreams = named("cached", &cached);
    upstreams.extend(named("fresh", &fresh));
    let daemon = watch(&["nginx"], upstreams);
    for number in 0..cached.len() {
        daemon.wait_until(&format!("cached{number}"), says("gateway_cached_error", "bad_gateway"));
    }
    for number in 0..fresh.len() {
        daemon.wait_until(&format!("fresh{number}"), says("gateway_fault", "bad_gateway"));
    }
}

/// The body names the writer, the headers name the last layer.
#[test]
fn evidence_names_the_layers() {
    let page = answer(
        "502 Bad Gateway",
        &format!("{CLOUDFLARE}\nAge: 7"),
        &nginx_page("nginx/1.18.0"),
    );
    let daemon = watch(&["cloudflare"], vec![behind("shop", "cloudflare", page, Some(OK))]);
    daemon.wait_until("shop", says("gateway_cached_error", "bad_gateway"));
    let evidence = "written by nginx behind cloudflare, from a cache (age)";
    for path in ["/logs", "/"] {
        let text = http::get(daemon.address(), path, &[]).expect("a page").text();
        assert!(text.contains(evidence), "{path}: {text}");
    }
}

/// A probe must not hurt what is ill: what asks for patience does so whatever the page makes of it.
#[test]
fn a_disguised_503_is_not_asked_again_between_rounds() {
    let upstreams = vec![
        behind("patient", "varnish", recorded("varnish-503-1.http"), None),
        behind("eager", "apache", recorded("apache-500-7.http"), None),
    ];
    let daemon = watch(&["varnish", "apache"], upstreams);
    let rechecks = |metrics: &Metrics| metrics.sum("extra_probes_total", &[("purpose", "recheck")]);
    daemon.wait_until("eager", |metrics| match rechecks(metrics) >= 2.0 {
        true => Seen::Yes,
        false => Seen::NotYet("two rechecks".to_owned()),
    });
    daemon.wait_until("patient", |metrics| match metrics.sum("rounds_total", &[]) >= 3.0 {
        true if rechecks(metrics) > 0.0 => Seen::Never("it was asked again".to_owned()),
        true => says("unlocated", "disguised_bad_gateway")(metrics),
        false => Seen::NotYet("three rounds".to_owned()),
    });
}

#[test]
fn diagnose_says_what_the_page_states() {
    let page = serve(answers(recorded("squid-503-1.http")));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_badgateway"))
        .args(["diagnose", "--upstream", "shop", "--json", "--config.file"])
        .arg({
            let file = scratch().join("badgateway.yml");
            let config = json!({
                "gateways": [{ "name": "edge", "kind": "squid" }],
                "upstreams": [{ "name": "shop", "via": [{ "gateway": "edge", "url": format!("http://{page}/") }] }],
            });
            std::fs::write(&file, config.to_string()).expect("written");
            file
        })
        .output()
        .expect("it runs");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let probe = &json["hops"][0]["targets"][0]["probes"][0];
    assert_eq!(probe["cause"], "disguised_bad_gateway", "{json:#}");
    assert_eq!(probe["page"]["written_by"], "squid");
    assert_eq!(probe["page"]["states"], "connect_refused");
    assert_eq!(probe["page"]["cached_by"], Value::Null);
    assert_eq!(json["verdict"]["verdict"], "origin_down");
    assert_eq!(json["verdict"]["cause"], "connect_refused");
}
