//! The real thing: nginx in front of a backend that dies, the daemon watching both hops, Prometheus scraping the daemon,
//! and the cause read from Prometheus; and a real DNS server. Programs that are missing skip a test, in CI they fail it.

mod support;

use std::net::UdpSocket;
use std::process::{Command, Stdio};

use badgateway::cause::Cause;
use serde_json::{Value, json};
use support::cases::{Expect, judge};
use support::daemon::{Daemon, Seen, scratch};
use support::metrics::Metrics;
use support::peers::http1::{OK, answers};
use support::peers::serve;
use support::stack::{address, dnsmasq, nginx, prometheus, query, wait_until};
use support::{http, programs};

#[test]
fn nginx_in_front_of_a_killed_backend_seen_by_prometheus() {
    if !programs::have(&["nginx", "prometheus"]) {
        return;
    }
    let folder = scratch();
    // The backend is an nginx as well: a process that can be killed, unlike a thread.
    let (front_folder, back_folder) = (folder.join("front"), folder.join("back"));
    for folder in [&front_folder, &back_folder] {
        std::fs::create_dir(folder).expect("created");
    }
    let (backend, backend_process) = nginx(&back_folder, serve(answers(OK)));
    let (front, _front_process) = nginx(&front_folder, backend);
    let daemon = Daemon::start(
        &folder,
        &json!({
            "defaults": { "interval": "1s", "timeout": "1s", "confirm": { "delay": "200ms" } },
            "gateways": [{ "name": "edge", "kind": "nginx" }],
            "upstreams": [{
                "name": "shop",
                "origin": format!("http://{backend}/"),
                "via": [{ "gateway": "edge", "url": format!("http://{front}/") }],
            }],
        }),
    );
    let (prometheus, _prometheus_process) = prometheus(&folder, daemon.address());

    wait_until("Prometheus sees both hops healthy", || {
        let healthy = query(prometheus, r#"badgateway_probe_success{upstream="shop"} == 1"#);
        let rounds = query(prometheus, r#"min(badgateway_rounds_total{upstream="shop"}) >= 3"#);
        (healthy.len() == 2 && rounds.len() == 1).then_some(())
    });
    assert_eq!(query(prometheus, "badgateway_probe_failing"), vec![]);
    let failures = query(prometheus, "sum(badgateway_probe_failures_total)");
    assert_eq!(failures[0].1, 0.0, "{failures:?}");

    drop(backend_process);

    let cause = |hop: &str| {
        wait_until(&format!("Prometheus names the cause at {hop}"), || {
            let series = query(
                prometheus,
                &format!(r#"badgateway_probe_failing{{upstream="shop",hop="{hop}"}}"#),
            );
            series
                .first()
                .map(|(labels, _)| labels["cause"].as_str().unwrap_or_default().to_owned())
        })
    };
    assert_eq!(cause("origin"), "connect_refused");
    assert_eq!(cause("edge"), "bad_gateway");
    // Only counters that stood at zero before the first failure can grow by it.
    wait_until("the counters grow in Prometheus", || {
        let grown = query(
            prometheus,
            r#"sum by (hop, cause) (increase(badgateway_probe_failures_total{upstream="shop"}[1m])) > 0"#,
        );
        let mut causes: Vec<String> = grown.iter().map(|(labels, _)| format!("{}", labels["cause"])).collect();
        causes.sort();
        (causes == [r#""bad_gateway""#, r#""connect_refused""#]).then_some(())
    });
    for counter in [
        r#"badgateway_connect_refused_total{hop="origin"}"#,
        r#"badgateway_bad_gateway_total{hop="edge"}"#,
        r#"badgateway_responses_total{hop="edge",code="502"}"#,
        r#"badgateway_rounds_failed_total{hop="edge",user_view="true"}"#,
        r#"badgateway_rounds_failed_total{hop="origin",user_view="false"}"#,
    ] {
        wait_until(counter, || {
            query(prometheus, &format!("increase({counter}[1m]) > 0")).pop()
        });
    }
    // What the scrape itself says of the page.
    assert_eq!(query(prometheus, r#"up{job="badgateway"}"#)[0].1, 1.0);
    assert!(!daemon.process().ended(), "the daemon stays up");
}

#[test]
fn promtool_has_nothing_to_say_of_the_page() {
    if !programs::have(&["promtool"]) {
        return;
    }
    let (refusing, _socket) = support::peers::tcp::refusing();
    let upstream = json!({
        "origin": [format!("http://{}/", serve(answers(OK))), format!("http://{refusing}/")],
        "via": [{ "gateway": "edge", "url": format!("http://{}/", serve(answers(OK))) }],
        "labels": { "team": "payments" },
        "name": "shop",
    });
    let config = json!({
        "defaults": { "interval": "1s" },
        "gateways": [{ "name": "edge", "kind": "nginx" }],
        "upstreams": [upstream],
    });
    let daemon = Daemon::start(&scratch(), &config);
    daemon.wait_until("shop", |metrics: &Metrics| {
        match metrics.sum("rounds_total", &[]) >= 4.0 {
            true => Seen::Yes,
            false => Seen::NotYet("four rounds".into()),
        }
    });
    let page = http::get(daemon.address(), "/metrics", &[("Accept", "text/plain;version=0.0.4")]).expect("a page");
    let content_type = page.header("content-type").unwrap_or_default();
    assert!(
        content_type.starts_with("text/plain") && content_type.contains("version=0.0.4"),
        "{content_type}"
    );
    let mut promtool = Command::new(programs::find("promtool").expect("have it"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    std::io::Write::write_all(&mut promtool.stdin.take().expect("piped"), &page.body).expect("written");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn dnsmasq_answers() {
    if !programs::have(&["dnsmasq"]) {
        return;
    }
    let listen = address(3);
    // A port that is free for TCP may be taken for UDP; here nobody else uses this address.
    drop(UdpSocket::bind(listen).expect("free"));
    let records = [
        "--local=/peer.test/",
        "--cname=alias.peer.test,good.peer.test",
        "--host-record=good.peer.test,127.0.0.1",
        // Local without a record: NXDOMAIN. A record of another type: NODATA.
        "--local=/gone.test/",
        "--txt-record=bare.gone.test,words",
        // Nobody to forward to: REFUSED.
    ];
    let _dnsmasq = dnsmasq(listen, &records);
    let port = serve(answers(OK)).port();
    let upstream = |name: &str| {
        let url = format!("http://{name}:{port}/");
        json!({ "name": name, "origin": { "url": url, "resolvers": [listen.to_string()] } })
    };
    let expected = [
        ("good.peer.test", Expect::Healthy),
        ("alias.peer.test", Expect::Healthy),
        ("nothing.gone.test", Expect::Fails(Cause::DnsNxdomain)),
        ("bare.gone.test", Expect::Fails(Cause::DnsNodata)),
        ("elsewhere.test", Expect::Fails(Cause::DnsRefused)),
    ];
    let upstreams: Vec<Value> = expected.iter().map(|(name, _)| upstream(name)).collect();
    let config = json!({ "defaults": { "interval": "1s", "timeout": "1s" }, "upstreams": upstreams });
    let daemon = Daemon::start(&scratch(), &config);
    for (name, expect) in expected {
        daemon.wait_until(name, |metrics| judge(expect, metrics));
    }
}
