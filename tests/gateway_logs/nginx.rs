//! nginx in front of a backend of which a part is dead, probed where it is well: what users get is what counts.

use badgateway::gateway;
use badgateway::gateway::log::Layout;

use super::*;
use crate::support::gateways::{self, Backends, Gateway};
use crate::support::http;
use crate::support::peers::http1;
use crate::support::peers::serve;
use crate::support::programs;

/// What the reference of nginx's logs shows as JSON.
const JSON: &str = concat!(
    r#"{"t":"$time_iso8601","s":"$status","u":"$upstream_addr","us":"$upstream_status","#,
    r#""uct":"$upstream_connect_time","uht":"$upstream_header_time","urt":"$upstream_response_time","#,
    r#""ub":"$upstream_bytes_received","c":"$connection","http_user_agent":"$http_user_agent","r":"$request"}"#
);

/// The format that is recommended for nginx.
pub fn recommended() -> &'static str {
    let logs = gateway::kind("nginx").and_then(|kind| kind.logs).expect("nginx logs");
    logs.formats
        .iter()
        .find_map(|format| match format.layout {
            Layout::Pattern(text) if format.name == "badgateway" => Some(text),
            _ => None,
        })
        .expect("a recommended format")
}

/// One of three requests to `/api` is sent to a dead server and not repeated; `/spare` is repeated elsewhere; `/own` gets
/// the backend's own 502.
fn site(backends: &Backends, own: std::net::SocketAddr, format: Option<&str>) -> String {
    let Backends { good, refused, .. } = backends;
    let (escape, name) = match format {
        Some(JSON) => ("escape=json", "ours"),
        Some(_) => ("escape=default", "ours"),
        None => ("", "combined"),
    };
    let format = format.map_or(String::new(), |format| format!("log_format ours {escape} '{format}';"));
    let locations: Vec<String> = backends
        .by_path()
        .into_iter()
        .chain([("own", own), ("healthz", *good)])
        .map(|(path, backend)| format!("location /{path} {{ proxy_pass http://{backend}; }}"))
        .collect();
    format!(
        "{format} access_log $ACCESS {name};
         upstream api {{ server {good} weight=7 max_fails=0; server {refused} weight=3 max_fails=0; }}
         upstream spare {{ server {refused} max_fails=0; server {good} backup; }}
         server {{
             listen $LISTEN;
             location /api {{ proxy_pass http://api; proxy_next_upstream off; }}
             location /spare {{ proxy_pass http://spare; }}
             {}
         }}",
        locations.join("\n")
    )
}

struct Watched {
    backends: Backends,
    own: std::net::SocketAddr,
    edge: Gateway,
    daemon: Daemon,
}

/// The daemon probes what is well, `/healthz`, directly and through nginx.
fn watch(format: Option<&str>) -> Watched {
    let (scratch, inner) = folder();
    let backends = Backends::start();
    let own = serve(http1::status("502 Bad Gateway"));
    let edge = gateways::nginx(&inner, &site(&backends, own, format));
    let mut access = json!({ "path": edge.access });
    if let Some(format) = format {
        access["format"] = json!(format);
    }
    let daemon = Daemon::start(
        &scratch,
        &json!({
            "defaults": { "interval": "1s", "timeout": "1s", "spike": { "window": "20s" } },
            "gateways": [{ "name": "edge", "kind": "nginx", "access_log": access, "error_log": edge.error }],
            "upstreams": [{
                "name": "shop",
                "origin": format!("http://{}/", backends.good),
                "via": [{ "gateway": "edge", "url": format!("http://{}/", edge.listen) }],
                "paths": ["/healthz"],
            }],
        }),
    );
    Watched {
        backends,
        own,
        edge,
        daemon,
    }
}

fn says(metrics: &Metrics, verdict: &str, impact: &str) -> bool {
    metrics.sum("verdict", &[("verdict", verdict)]) == 1.0
        && metrics.sum("upstream_impact", &[("impact", impact)]) == 1.0
}

/// Thirty of a hundred requests fail while every probe succeeds; then none.
fn a_part_of_the_traffic_fails(format: Option<&str>, closed: &str) {
    if !programs::have(&["nginx"]) {
        return;
    }
    let Watched {
        backends,
        own,
        edge,
        daemon,
    } = watch(format);
    daemon.wait_until("shop", |metrics| match says(metrics, "healthy", "none") {
        true => Seen::Yes,
        false => Seen::NotYet("healthy".into()),
    });
    let statuses: Vec<_> = (0..100)
        .map(|number| edge.ask(&format!("/api/{}", 1000 + number)))
        .collect();
    let failed = statuses.iter().filter(|status| **status == Some(502)).count();
    assert_eq!(failed, 30, "nginx deals seven to three: {statuses:?}");

    let failing = daemon.wait_until("shop", |metrics| match says(metrics, "traffic_failing", "users") {
        true => Seen::Yes,
        false => Seen::NotYet("traffic_failing, users".into()),
    });
    assert_eq!(failing.sum("probe_failing", &[]), 0.0, "{}", failing.show("probe"));
    let page = http::get(daemon.address(), "/", &[]).expect("a page").text();
    let shared = format!("most of them for /api/* at {}", backends.refused);
    for part in ["connect_refused", "users feel it", &shared] {
        assert!(page.contains(part), "{part} is missing:\n{page}");
    }

    edge.ask_times(6, "/spare", 200);
    edge.ask_times(5, "/closed", 502);
    edge.ask_times(4, "/cut", 200);
    edge.ask_times(3, "/own", 502);
    edge.ask_times(2, "/timeout", 504);
    let failures = |metrics: &Metrics| {
        let attempts: Vec<_> = metrics
            .all("gateway_attempts_failed_total", &[])
            .filter(|sample| sample.value > 0.0)
            .map(|sample| {
                let label = |name: &str| sample.labels[name].clone();
                format!("{} {} {}", label("backend"), label("cause"), sample.value)
            })
            .collect();
        std::collections::BTreeSet::from_iter(attempts)
    };
    let backend_of_own = match format {
        Some(_) => own.to_string(),
        // The line of a request that got the backend's own 502 names none.
        None => "unknown".to_owned(),
    };
    let expected = std::collections::BTreeSet::from([
        format!("{} connect_refused 36", backends.refused),
        format!("{} {closed} 5", backends.closed),
        format!("{} response_truncated 4", backends.cut),
        format!("{backend_of_own} bad_gateway 3"),
        format!("{} response_timeout 2", backends.timeout),
    ]);
    let exact: &[Exact<'_>] = &[
        ("gateway_requests_total", "upstream", &[("shop", 120.0)]),
        (
            "gateway_responses_total",
            "code",
            &[("200", 80.0), ("502", 38.0), ("504", 2.0)],
        ),
        (
            "gateway_requests_failed_total",
            "cause",
            &[
                ("connect_refused", 30.0),
                (closed, 5.0),
                ("response_truncated", 4.0),
                ("bad_gateway", 3.0),
                ("response_timeout", 2.0),
            ],
        ),
        ("gateway_retries_total", "upstream", &[("shop", 6.0)]),
        ("gateway_client_closed_total", "upstream", &[]),
        ("gateway_user_view", "upstream", &[("shop", 1.0)]),
        ("gateway_log_up", "log", &[("access", 1.0), ("error", 1.0)]),
    ];
    let counted = daemon.wait_until("", |metrics| {
        let probes = metrics.sum("probes_total", &[("hop", "edge")]);
        let synthetic = metrics.sum("gateway_synthetic_requests_total", &[]);
        match differs(metrics, exact) {
            Some(difference) => Seen::NotYet(difference),
            None if failures(metrics) != expected => Seen::NotYet(format!("{:?}, not {expected:?}", failures(metrics))),
            None if probes != synthetic => Seen::NotYet(format!("{synthetic} probes logged, {probes} made")),
            None => Seen::Yes,
        }
    });
    let lines = |result| counted.sum("gateway_log_lines_total", &[("result", result)]);
    assert_eq!(lines("unparsed"), 0.0, "{}", counted.show("gateway_log"));

    // Twenty seconds without a failure, and users are well again.
    let well = daemon.wait_until("shop", |metrics| {
        edge.ask_times(2, "/good", 200);
        match says(metrics, "healthy", "none") {
            true => Seen::Yes,
            false => Seen::NotYet("healthy again".into()),
        }
    });
    assert_eq!(well.sum("incidents_total", &[]), 1.0);
}

#[test]
fn a_part_of_the_traffic_fails_as_combined_and_the_error_log_tell_it() {
    a_part_of_the_traffic_fails(None, "response_failed");
}

#[test]
fn a_part_of_the_traffic_fails_as_the_recommended_format_tells_it() {
    a_part_of_the_traffic_fails(Some(recommended()), "response_closed");
}

#[test]
fn a_part_of_the_traffic_fails_as_json_tells_it() {
    a_part_of_the_traffic_fails(Some(JSON), "response_closed");
}

/// Only what users reach is probed: the log says what fails behind it.
#[test]
fn a_gateway_alone_fails_and_its_log_says_why() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let (scratch, inner) = folder();
    let backends = Backends::start();
    let edge = gateways::nginx_site(&inner, &backends, recommended());
    let daemon = Daemon::start(
        &scratch,
        &json!({
            "defaults": { "interval": "1s", "timeout": "1s", "confirm": { "delay": "100ms" } },
            "gateways": [{
                "name": "edge",
                "kind": "nginx",
                "access_log": { "path": edge.access, "format": recommended() },
                "error_log": edge.error,
            }],
            "upstreams": [{
                "name": "shop",
                "via": [{ "gateway": "edge", "url": format!("http://{}/refused", edge.listen) }],
            }],
        }),
    );
    // No user has asked yet, and our own probes are nobody's traffic.
    let wait = |verdict: &str| {
        daemon.wait_until("shop", |metrics| match says(metrics, verdict, "users") {
            true => Seen::Yes,
            false => Seen::NotYet(format!("{verdict}, users")),
        })
    };
    wait("unlocated");
    edge.ask_times(3, "/refused", 502);
    wait("origin_down");
    let page = http::get(daemon.address(), "/", &[]).expect("a page").text();
    let why = format!("at {}, as read from the gateway's log", backends.refused);
    for part in ["The origin accepts no connections: connect_refused", &why] {
        assert!(page.contains(part), "{part} is missing:\n{page}");
    }
}
