//! A10: a gateway that waits hardly longer than the server works, as probes see it and as the log of real requests tells; and
//! the probe that waits longer than the gateway.

use serde_json::{Value, json};

use crate::origins;
use crate::support::daemon::{Daemon, scratch};
use crate::support::gateways::{haproxy_at, nginx, nginx_of};
use crate::support::metrics::Metrics;
use crate::support::programs;
use crate::support::stack::{address, wait_until};
use crate::watch::{LOG, Watch, fails, folder, said, upstream, yes_or};

/// What a client asks for takes so long.
const SLOW: &str = "/after/2500";

#[test]
fn an_answer_that_takes_nearly_as_long_as_the_gateway_waits() {
    if !programs::have(&["nginx", "haproxy", "python3", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let server = origins::slow();
    let origin = server.listen;
    let nginx = |name: &str, more: &str| {
        let site = format!(
            "log_format ours '{LOG}'; access_log $ACCESS ours;
             server {{ listen $LISTEN; location / {{ proxy_pass http://{origin}; {more} }} }}"
        );
        nginx_of(&folder(&scratch, name), &site)
    };
    let haproxy = |name: &str, waits: &str| {
        let site = format!("default_backend shop\nbackend shop\nserver one {origin}\n");
        let defaults = format!("timeout server {waits}");
        haproxy_at(&folder(&scratch, name), address(3), &[], "", &defaults, &site)
    };
    // Of each what probes ask for: in one case what is slow is asked for by users alone, and the log tells of it.
    let mut rows = [
        (
            "time-nginx",
            "nginx",
            nginx("time-nginx", "proxy_read_timeout 3s;"),
            SLOW,
        ),
        ("time-log", "nginx", nginx("time-log", "proxy_read_timeout 3s;"), "/"),
        ("time-haproxy", "haproxy", haproxy("time-haproxy", "3s"), SLOW),
    ];
    // Debian's haproxy.cfg waits 50 s; HAProxy itself has no default.
    let well = [
        ("time-nginx-default", "nginx", nginx("time-nginx-default", ""), SLOW),
        (
            "time-haproxy-default",
            "haproxy",
            haproxy("time-haproxy-default", "50s"),
            SLOW,
        ),
    ];
    let all = || rows.iter().chain(&well);
    let gateways: Vec<Value> = all()
        .map(|(name, kind, gateway, asked)| {
            let mut known = json!({ "name": name, "kind": kind, "config_file": gateway.config_file() });
            if *asked != SLOW {
                known["access_log"] = json!(gateway.access);
            }
            known
        })
        .collect();
    let upstreams: Vec<Value> = all()
        .map(|(name, _, gateway, asked)| {
            let mut upstream = upstream(name, origin, (name, gateway), asked);
            upstream["timeout"] = json!("5s");
            upstream
        })
        .collect();
    let watch = Watch::start(&scratch, json!(gateways), json!(upstreams));
    std::thread::scope(|side_by_side| {
        for (name, _, gateway, asked) in &mut rows {
            side_by_side.spawn(|| {
                let labels = watch.warns("BadGatewayLatencyNearTimeout", name, || gateway.ask(SLOW));
                assert_eq!(labels["limit"], "first_byte", "{labels}");
                assert_eq!(labels["gateway"].is_null(), *asked == SLOW, "{labels}");
                gateway.reconfigure("3s", "2s");
                assert_eq!(fails(&[504], || gateway.ask(SLOW)), 504);
            });
        }
    });
    watch.stay_silent(well.each_ref().map(|(name, ..)| *name), |name| {
        format!("badgateway_rounds_total{{upstream={name:?}, hop={name:?}}} > 3")
    });
}

fn patient_probes(metrics: &Metrics) -> f64 {
    metrics.sum("extra_probes_total", &[("purpose", "patient")])
}

#[test]
fn patience_tells_an_answer_that_comes_late_from_one_that_never_comes() {
    if !programs::have(&["python3", "nginx"]) {
        return;
    }
    let folder = scratch();
    let server = origins::slow();
    let origin = server.listen;
    let gateway = nginx(
        &folder,
        &format!(
            "access_log off; server {{ listen $LISTEN; location / {{ proxy_pass http://{origin}; proxy_read_timeout 2s; }} }}"
        ),
    );
    let upstream = |name: &str, path: &str| {
        json!({
            "name": name,
            "origin": format!("http://{origin}{path}"),
            // What users reach is waited for until the gateway itself gives up.
            "via": [{ "gateway": "edge", "url": format!("http://{}{path}", gateway.listen), "timeout": "4s" }],
        })
    };
    let daemon = Daemon::start(
        &scratch(),
        &json!({
            "defaults": { "interval": "1s", "timeout": "1s", "confirm": { "retries": 0 } },
            "gateways": [{ "name": "edge", "kind": "nginx", "limits": { "first_byte": "2s" } }],
            "upstreams": [
                upstream("quick", "/"),
                upstream("near", "/after/1700"),
                upstream("late", "/after/2500"),
                upstream("never", "/after/60000"),
            ],
        }),
    );
    let evidence = |upstream: &str, expected: &str| {
        wait_until(&format!("{upstream} says {expected:?}"), || {
            said(&daemon, upstream).to_string().contains(expected).then_some(())
        });
    };
    // The warning comes while the gateway still serves it.
    evidence("near", "; answers after 1.7 s, edge waits 2 s");
    let near = daemon.wait_until("near", |metrics| {
        let near = metrics.sum("near_limit_total", &[("hop", "origin"), ("limit", "first_byte")]);
        yes_or(near > 0.0, "no probe near the limit")
    });
    assert_eq!(
        near.sum("probe_success", &[("hop", "edge")]),
        1.0,
        "{}",
        near.show("probe")
    );
    evidence("late", "; answers after 2.5 s, edge gives up at 2 s");
    evidence("never", "; does not answer within 3 s, edge gives up at 2 s");
    for upstream in ["late", "never"] {
        daemon.wait_until(upstream, |metrics| {
            let failing = [("hop", "edge"), ("cause", "gateway_timeout")];
            yes_or(metrics.has("probe_failing", &failing), "the gateway does not give up")
        });
    }
    let quick = daemon.scrape_upstream("quick");
    assert!(quick.sum("rounds_total", &[("hop", "origin")]) >= 2.0);
    assert_eq!(patient_probes(&quick), 0.0, "an upstream that answers is left in peace");
    let late = daemon.scrape_upstream("late");
    assert!((1.0..=2.0).contains(&patient_probes(&late)), "{}", late.show("extra"));
    // No ratio and no histogram holds them: none of these waits longer than a plain probe does.
    assert_eq!(
        late.sum(
            "upstream_latency_seconds_count",
            &[("hop", "origin"), ("phase", "total")]
        ),
        late.sum("probes_total", &[("hop", "origin")])
    );
    assert_eq!(late.sum("responses_total", &[("hop", "origin")]), 0.0);
}
