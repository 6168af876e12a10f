//! Every query against a real Prometheus that scrapes a pair of daemons while faults run: it parses, gives data where there
//! is something to show, and shows the fault where it should.

use std::any::Any;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::support::daemon::{Daemon, scratch};
use super::support::nginx_lines::{Lines, Request};
use super::support::peers::http1::{self, Ending, OK, answers};
use super::support::peers::tls::Tls;
use super::support::peers::{Behaviour, read_head, say, serve, tcp};
use super::support::pki::{Flaw, NAME, Pki};
use super::support::stack::{prometheus_with, query};
use super::support::{dns, http, programs};
use super::{OF_RULES, Target, dashboards, list, promql, rules, targets, text};

/// Where a fault must show: dashboard, panel, upstream chosen, labels of the series, its least value.
type Shows = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    f64,
);

const SHOWS: &[Shows] = &[
    ("overview", "Broken for users", "", &[], 2.0),
    ("overview", "Redundancy lost", "", &[], 1.0),
    (
        "overview",
        "What is broken now",
        "",
        &[
            ("upstream", "shop"),
            ("verdict", "gateway_fault"),
            ("impact", "users"),
            ("team", "payments"),
        ],
        1.0,
    ),
    (
        "overview",
        "What is broken now",
        "",
        &[
            ("upstream", "half"),
            ("verdict", "origin_partial"),
            ("impact", "redundancy"),
        ],
        1.0,
    ),
    ("overview", "Verdicts over time", "", &[("upstream", "gone")], 15.0),
    (
        "overview",
        "Incidents and their length",
        "",
        &[("upstream", "shop")],
        1.0,
    ),
    ("upstream", "Verdict", "gone", &[("verdict", "origin_dns")], 1.0),
    ("upstream", "Impact", "half", &[("impact", "redundancy")], 1.0),
    ("exporter", "Self checks", "", &[], 1.0),
    (
        "prevention",
        "Near a limit",
        "",
        &[("upstream", "large"), ("limit", "response_header")],
        1.0,
    ),
    (
        "prevention",
        "Versions of gateways",
        "",
        &[("hop", "edge"), ("product", "nginx"), ("version", "1.22.1")],
        1.0,
    ),
    ("resources", "Memory where it is probed", "", &[], 0.6),
    ("overview", "Upstreams with a failure", "", &[], 5.0),
    ("overview", "502 share at the users' hop", "", &[], 0.01),
    ("overview", "Upstreams watched", "", &[], 8.0),
    (
        "overview",
        "What fails now, and why",
        "",
        &[("upstream", "half"), ("cause", "connect_refused")],
        1.0,
    ),
    (
        "overview",
        "What fails now, and why",
        "",
        &[("upstream", "gone"), ("cause", "dns_nxdomain")],
        1.0,
    ),
    (
        "overview",
        "What fails now, and why",
        "",
        &[("upstream", "shop"), ("hop", "edge"), ("cause", "bad_gateway")],
        1.0,
    ),
    (
        "overview",
        "Share of 502s",
        "",
        &[("upstream", "shop"), ("hop", "edge")],
        1.0,
    ),
    ("overview", "Causes", "", &[("cause", "connect_refused")], 1.0),
    ("overview", "Causes", "", &[("cause", "dns_nxdomain")], 1.0),
    ("overview", "Causes", "", &[("cause", "response_closed")], 1.0),
    ("overview", "Causes", "", &[("cause", "bad_gateway")], 1.0),
    (
        "overview",
        "Worst addresses",
        "",
        &[("upstream", "half"), ("hop", "origin")],
        0.5,
    ),
    ("overview", "Rounds failed, by instance", "", &[], 0.1),
    (
        "overview",
        "Failures that a retry did not repeat",
        "",
        &[("upstream", "flaky")],
        1.0,
    ),
    (
        "overview",
        "Addresses left",
        "",
        &[("upstream", "half"), ("hop", "origin")],
        0.5,
    ),
    (
        "overview",
        "Certificates that end first",
        "",
        &[("upstream", "shop")],
        86400.0,
    ),
    (
        "overview",
        "Near a gateway's limit",
        "",
        &[("upstream", "large"), ("limit", "response_header")],
        1.0,
    ),
    (
        "overview",
        "Timeouts side by side",
        "",
        &[("upstream", "shop"), ("gateway", "edge"), ("limit", "first_byte")],
        2.0,
    ),
    ("upstream", "502 share", "shop", &[], 1.0),
    ("upstream", "Failing addresses", "half", &[], 1.0),
    ("upstream", "Hops over time", "half", &[("hop", "origin")], 1.0),
    ("upstream", "Hops over time", "shop", &[("hop", "edge")], 3.0),
    ("upstream", "Hops over time", "shop", &[("hop", "origin")], 0.0),
    ("upstream", "Hops over time", "gone", &[("hop", "origin")], 2.0),
    (
        "upstream",
        "What fails now, and why",
        "half",
        &[("cause", "connect_refused")],
        1.0,
    ),
    (
        "upstream",
        "Failures by cause",
        "gone",
        &[("hop", "origin"), ("cause", "dns_nxdomain")],
        1.0,
    ),
    ("upstream", "Hops side by side", "shop", &[("hop", "edge")], 1.0),
    ("upstream", "Hops side by side", "shop", &[("hop", "origin")], 0.0),
    (
        "upstream",
        "Responses by status",
        "shop",
        &[("hop", "edge"), ("code", "502")],
        1.0,
    ),
    ("upstream", "Connections refused", "half", &[("hop", "origin")], 1.0),
    (
        "upstream",
        "Invalid responses by reason",
        "cut",
        &[("reason", "closed")],
        1.0,
    ),
    ("upstream", "Failed rounds", "shop", &[("hop", "edge")], 1.0),
    ("upstream", "Transient failures", "flaky", &[("hop", "origin")], 1.0),
    (
        "upstream",
        "Probes beside the schedule",
        "flaky",
        &[("purpose", "confirm")],
        1.0,
    ),
    (
        "upstream",
        "Time by phase",
        "shop",
        &[("hop", "origin"), ("phase", "tls")],
        0.0,
    ),
    ("upstream", "Every address", "half", &[("hop", "origin")], 1.0),
    ("upstream", "Certificates", "shop", &[("hop", "origin")], 86400.0),
    (
        "upstream",
        "Certificates that nobody checks",
        "unchecked",
        &[("hop", "origin")],
        1.0,
    ),
    (
        "upstream",
        "Failed resolutions by reason",
        "gone",
        &[("reason", "nxdomain")],
        1.0,
    ),
    (
        "upstream",
        "Time to live of the name",
        "shop",
        &[("hop", "origin")],
        1.0,
    ),
    (
        "upstream",
        "Limits of the gateways",
        "shop",
        &[("gateway", "edge"), ("limit", "first_byte")],
        2.0,
    ),
    (
        "upstream",
        "Near a limit",
        "large",
        &[("hop", "origin"), ("limit", "response_header")],
        1.0,
    ),
    (
        "upstream",
        "Response head against the gateway's buffer",
        "large",
        &[("hop", "origin")],
        800.0,
    ),
    ("exporter", "Instances up", "", &[], 1.0),
    ("exporter", "Last reload", "", &[], 1.0),
    ("exporter", "Upstreams watched", "", &[], 8.0),
    (
        "exporter",
        "Aborted probes by reason",
        "",
        &[("reason", "rate_limit")],
        1.0,
    ),
    (
        "overview",
        "Share of 502s",
        "",
        &[("upstream", "logged"), ("gateway", "front")],
        0.2,
    ),
    ("upstream", "502 share", "logged", &[], 0.2),
    (
        "gateway",
        "502s of real requests",
        "",
        &[("upstream", "logged"), ("gateway", "front")],
        0.2,
    ),
    (
        "gateway",
        "Failed requests by cause",
        "",
        &[("cause", "connect_refused")],
        1.0,
    ),
    (
        "gateway",
        "What failed, and how often",
        "",
        &[("cause", "connect_refused"), ("upstream", "logged")],
        4.0,
    ),
    (
        "gateway",
        "Failed attempts by backend and cause",
        "",
        &[("backend", "127.0.0.1:8081"), ("cause", "connect_refused")],
        1.0,
    ),
    ("gateway", "Retries per request", "", &[("upstream", "logged")], 0.2),
    ("gateway", "Responses by code", "", &[("code", "502")], 0.1),
    ("gateway", "Client closed", "", &[("upstream", "logged")], 1.0),
    ("gateway", "Set apart", "", &[("upstream", "logged")], 1.0),
    ("gateway", "Backend time", "", &[], 0.005),
    (
        "gateway",
        "Logs over time",
        "",
        &[("gateway", "front"), ("log", "access")],
        1.0,
    ),
    (
        "gateway",
        "Lines not understood",
        "",
        &[("gateway", "front"), ("log", "access")],
        0.02,
    ),
    (
        "prevention",
        "Idle connections, origin against gateway",
        "",
        &[("upstream", "closing")],
        0.2,
    ),
    (
        "prevention",
        "The gateway's health check, replayed",
        "",
        &[("upstream", "lasting")],
        3.0,
    ),
];

const UPSTREAMS: &[&str] = &[
    "shop",
    "half",
    "gone",
    "unchecked",
    "cut",
    "large",
    "flaky",
    "busy",
    "logged",
];

/// What node_exporter says of a host, as far as the dashboards ask, in its names and labels.
const NODE: &str = r#"# TYPE node_uname_info gauge
node_uname_info{nodename="shop1",release="6.1.0"} 1
node_cpu_seconds_total{cpu="0",mode="idle"} 362812.37
node_cpu_seconds_total{cpu="0",mode="user"} 1204.13
node_memory_MemAvailable_bytes 3.1e+09
node_memory_MemTotal_bytes 8.3e+09
node_disk_io_time_seconds_total{device="vda"} 481.2
node_filesystem_avail_bytes{device="/dev/vda1",fstype="ext4",mountpoint="/"} 4.6e+10
node_filesystem_size_bytes{device="/dev/vda1",fstype="ext4",mountpoint="/"} 2.7e+11
node_network_receive_bytes_total{device="eth0"} 9.1e+08
node_network_transmit_bytes_total{device="eth0"} 8.2e+07
node_netstat_TcpExt_ListenDrops 55
node_pressure_cpu_waiting_seconds_total 211.4
node_pressure_io_stalled_seconds_total 17.9
node_pressure_memory_stalled_seconds_total 0.2
"#;

/// Fails every other time, with an answer that caches may keep.
fn flaky() -> Behaviour {
    let kept = "HTTP/1.1 500 Internal Server Error\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\n\r\n";
    let (good, bad, count) = (answers(OK), answers(kept), AtomicU32::new(0));
    Box::new(move |wire| match count.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => good(wire),
        _ => bad(wire),
    })
}

/// Well at first, and then no more.
fn dies() -> Behaviour {
    let (good, bad, count) = (
        answers(OK),
        http1::status("500 Internal Server Error"),
        AtomicU32::new(0),
    );
    Box::new(move |wire| match count.fetch_add(1, Ordering::Relaxed) {
        ..20 => good(wire),
        _ => bad(wire),
    })
}

/// Answers on one connection for as long as it is asked, or once and no longer than this.
fn keeps(time: Option<Duration>) -> Behaviour {
    Box::new(move |wire| {
        while !read_head(wire).is_empty() {
            say(wire, OK);
            if let Some(time) = time {
                std::thread::sleep(time);
                return wire.finish();
            }
        }
    })
}

/// One upstream for each kind of fault, and what must live as long as the test.
fn faults(scratch: &Path) -> (Value, Box<dyn Any>) {
    let pki = Pki::new(scratch);
    let many = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    let resolver = dns::serve(move |question| match &question.name[..] {
        NAME => vec![question.addresses(&many[..1]).bytes()],
        "many.test" => vec![question.addresses(&many).bytes()],
        _ => vec![question.answer().code(dns::NXDOMAIN).bytes()],
    });
    let other = dns::serve(|question| vec![question.answer().code(dns::NXDOMAIN).bytes()]);
    let (resolver, both) = (
        json!([resolver.to_string()]),
        json!([resolver.to_string(), other.to_string()]),
    );
    let url = |address: SocketAddr| format!("http://{address}/");
    let shown = http1::answer("200 OK", "Server: nginx/1.22.1", "ok");
    let (good, bad) = (serve(answers(shown)), serve(http1::status("502 Bad Gateway")));
    let (refusing, socket) = tcp::refusing();
    let verified = Tls::new(pki.server(Flaw::None)).serve(answers(OK)).port();
    let [selfsigned, another] = [(); 2].map(|()| Tls::new(pki.server(Flaw::SelfSigned)).serve(answers(OK)));
    let through = |address: SocketAddr| json!([{ "gateway": "edge", "url": url(address) }]);
    let upstreams = json!([
        {
            "name": "shop",
            "origin": { "url": format!("https://{NAME}:{verified}/"), "resolvers": both, "tls": { "ca_file": pki.ca_file(), "verify": true } },
            "via": through(bad),
            "labels": { "team": "payments" },
        },
        { "name": "half", "origin": [url(good), url(refusing)], "via": through(good), "labels": { "team": "search" } },
        { "name": "gone", "origin": { "url": format!("http://gone.test:{}/", good.port()), "resolvers": resolver }, "via": through(bad) },
        { "name": "unchecked", "origin": format!("https://{selfsigned}/"), "via": through(good) },
        { "name": "lost", "origin": [url(good), url(serve(dies()))], "via": through(good) },
        { "name": "mixed", "origin": [format!("https://{selfsigned}/"), format!("https://{another}/")], "via": through(good) },
        { "name": "cut", "origin": url(serve(http1::leaves(Ending::Finish))), "via": through(bad) },
        { "name": "large", "origin": url(serve(answers(http1::large_head(4, 900)))), "via": through(good) },
        { "name": "flaky", "origin": url(serve(flaky())) },
        { "name": "logged", "origin": { "url": format!("http://{NAME}:{}/", good.port()), "resolvers": resolver }, "via": [{ "gateway": "front", "url": url(good) }] },
        { "name": "stale", "origin": url(good), "via": through(serve(answers(http1::answer("200 OK", "", "old")))), "content": { "stable": ["/app.js"] } },
        { "name": "closing", "origin": url(serve(keeps(Some(Duration::from_millis(300))))), "via": through(good) },
        { "name": "lasting", "origin": url(serve(keeps(None))), "via": through(good), "health_check": { "path": "/", "interval": "1s" } },
        { "name": "busy", "origin": { "url": format!("http://many.test:{}/", good.port()), "resolvers": resolver }, "max_rate": "2/s", "confirm": { "retries": 0 } },
    ]);
    let limits =
        json!({ "first_byte": "2s", "total": "5s", "idle": "1s", "response_header": "1KiB", "response_body": "1MiB" });
    let configuration = scratch.join("nginx.conf");
    std::fs::write(&configuration, "events {}\nhttp { server { listen 80; } }\n").expect("written");
    let config = json!({
        "defaults": { "interval": "1s", "timeout": "1s", "confirm": { "delay": "100ms" } },
        "gateways": [
            { "name": "edge", "kind": "nginx", "limits": limits },
            { "name": "front", "kind": "nginx", "config_file": configuration, "access_log": scratch.join("access.log"), "error_log": scratch.join("error.log") },
        ],
        "upstreams": upstreams,
        "self_check": [url(good), url(good).replace("127.0.0.1", "localhost")],
    });
    (config, Box::new(socket))
}

/// What the gateway `front` writes in some moments: requests that go well and ill, and a line that nobody understands.
fn log(scratch: &Path, moment: usize) {
    let mut lines = Lines::default();
    for number in 0..20 {
        let request = match number {
            0..4 => Request::Failed {
                status: 502,
                line: "connect() failed (111: Connection refused) while connecting to upstream",
            },
            4..9 => Request::Retried,
            9 => Request::Left,
            10 => Request::HealthCheck,
            11 => Request::Slow,
            _ => Request::Served,
        };
        lines.add(request, 20 * moment + number);
    }
    lines.foreign(moment);
    for (file, text) in [("error.log", &lines.error), ("access.log", &lines.access)] {
        let file = File::options().create(true).append(true).open(scratch.join(file));
        file.expect("a log").write_all(text.as_bytes()).expect("written");
    }
}

/// The query as Grafana would send it with everything chosen and this upstream.
fn fill(expression: &str, upstream: &str) -> String {
    expression
        .replace("$__rate_interval", "15s")
        .replace("$__range", "1m")
        .replace("$node_job", "node")
        .replace("$node", ".+")
        .replace("$job", "badgateway")
        .replace("$instance", ".+")
        .replace("$hop", ".+")
        .replace("$gateway", ".+")
        .replace("$upstream", if upstream.is_empty() { ".+" } else { upstream })
}

/// The `data` of an answer of the API, or what it has against the question.
fn ask(prometheus: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
    let encoded = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    let answer = http::get(prometheus, &format!("/api/v1/{path}?{encoded}"), &[]).expect("an answer");
    let mut answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    match answer["status"] == "success" {
        true => Ok(answer["data"].take()),
        false => Err(text(&answer["error"]).to_owned()),
    }
}

/// The clock of Prometheus, seconds since the epoch.
fn clock(prometheus: SocketAddr) -> f64 {
    query(prometheus, "vector(time())")[0].1
}

/// The series of a query over the last minute with the last number of each; those without any number left out.
fn run(prometheus: SocketAddr, target: &Target<'_>, upstream: &str) -> Result<Vec<(Value, f64)>, String> {
    let filled = fill(target.expression, upstream);
    let now = clock(prometheus);
    let (start, end) = ((now - 60.0).to_string(), now.to_string());
    let data = match target.instant {
        true => ask(prometheus, "query", &[("query", &filled)]),
        false => ask(
            prometheus,
            "query_range",
            &[("query", &filled), ("start", &start), ("end", &end), ("step", "5")],
        ),
    };
    let data = data.map_err(|error| format!("{error}: {filled}"))?;
    let number = |pair: &Value| text(&pair[1]).parse::<f64>().ok().filter(|value| value.is_finite());
    let last = |series: &Value| {
        let values = list(&series["values"]).chain(series.get("value"));
        values
            .filter_map(number)
            .last()
            .map(|value| (series["metric"].clone(), value))
    };
    Ok(list(&data["result"]).filter_map(last).collect())
}

/// Panels that are only parsed: what they show takes longer to come than a test.
const SLOW: &[(&str, &str)] = &[
    ("overview", "Error budget left"),   // up to 5 minutes
    ("overview", "Alerts firing"),       // what the alerts wait before they fire
    ("prevention", "Retries that grow"), // an earlier hour
];

/// True where a query waits for rules that are not there.
fn is_later(expression: &str) -> bool {
    let query = promql::read(expression);
    let of_rules = |name: &str| OF_RULES.iter().any(|(of, _)| *of == name);
    !rules().exists() && query.selectors.iter().any(|selector| of_rules(selector.metric))
}

/// What is still missing; nothing in the end.
fn missing(prometheus: SocketAddr) -> Vec<String> {
    let mut missing = Vec::new();
    let mut shown = vec![false; SHOWS.len()];
    for dashboard in dashboards() {
        let upstreams: &[&str] = if dashboard.name == "upstream" { UPSTREAMS } else { &[""] };
        for panel in dashboard.panels() {
            let title = text(&panel["title"]);
            for (number, target) in targets(panel).enumerate() {
                let slow = SLOW.contains(&(dashboard.name.as_str(), title));
                let mut any = slow || is_later(target.expression);
                for upstream in upstreams {
                    let series = run(prometheus, &target, upstream);
                    let series = series.unwrap_or_else(|error| panic!("{}: {title}: {error}", dashboard.name));
                    any |= !series.is_empty();
                    for (index, (of, panel, chosen, labels, least)) in SHOWS.iter().enumerate() {
                        let here = *of == dashboard.name && *panel == title && chosen == upstream;
                        let fits = |(found, value): &(Value, f64)| {
                            value >= least && labels.iter().all(|(name, wanted)| found[name] == *wanted)
                        };
                        shown[index] |= here && series.iter().any(fits);
                    }
                }
                if !any {
                    missing.push(format!("{}: {title}: query {number} gives nothing", dashboard.name));
                }
            }
        }
    }
    let unseen = SHOWS.iter().zip(shown).filter(|(_, shown)| !shown);
    missing.extend(unseen.map(|(shows, _)| format!("does not show: {shows:?}")));
    missing
}

#[test]
fn every_query_gives_data_while_faults_run() {
    if !programs::have(&["prometheus"]) {
        return;
    }
    let folder = scratch();
    let (config, _alive) = faults(&folder);
    // A pair: whatever holds for one instance alone does not survive it.
    let daemons = [(); 2].map(|()| Daemon::start(&scratch(), &config));
    let node = serve(http1::answers(http1::answer(
        "200 OK",
        "Content-Type: text/plain; version=0.0.4",
        NODE,
    )));
    let addresses = daemons.each_ref().map(Daemon::address);
    let job = |name: &str, targets: &[SocketAddr]| {
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        json!({ "job_name": name, "static_configs": [{ "targets": targets }] })
    };
    let mut more = json!({ "scrape_configs": [job("badgateway", &addresses), job("node", &[node])] });
    if rules().exists() {
        more["rule_files"] = json!([rules()]);
    }
    let (prometheus, _process) = prometheus_with(&folder, &addresses, more);
    let deadline = Instant::now() + Duration::from_secs(90);
    for moment in 0.. {
        log(&folder, moment);
        let missing = missing(prometheus);
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{}", missing.join("\n"));
        std::thread::sleep(Duration::from_secs(2));
    }
    for dashboard in dashboards() {
        for variable in dashboard.variables().filter(|variable| variable["type"] == "query") {
            let query = text(&variable["query"]);
            let inside = query.trim_start_matches("label_values(").trim_end_matches(')');
            let (selector, label) = inside.rsplit_once(", ").expect("two arguments");
            let series = ask(prometheus, "series", &[("match[]", &fill(selector, "shop"))]);
            let series = series.unwrap_or_else(|error| panic!("{query}: {error}"));
            assert!(
                list(&series).any(|labels| labels.get(label).is_some()),
                "{query}: no value"
            );
        }
        for annotation in list(&dashboard.json["annotations"]["list"]) {
            let target = Target {
                expression: text(&annotation["expr"]),
                instant: false,
                legend: "",
            };
            run(prometheus, &target, "shop").unwrap_or_else(|error| panic!("{}: {error}", annotation["name"]));
        }
    }
    for daemon in &daemons {
        assert!(!daemon.process().ended(), "the daemon stays up");
    }
}
