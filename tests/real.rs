//! The real thing: nginx in front of a backend that dies, the daemon watching both hops, Prometheus scraping the daemon,
//! and the cause read from Prometheus; and a real DNS server. Programs that are missing skip a test, in CI they fail it.

mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use badgateway::cause::Cause;
use serde_json::{Value, json};
use support::cases::{Expect, judge};
use support::daemon::{Daemon, Seen, scratch};
use support::metrics::Metrics;
use support::peers::http1::{OK, answers};
use support::peers::serve;
use support::process::Process;
use support::{http, programs};
use tokio::time::Instant;

/// An address for a program that cannot choose its port itself. All of 127.0.0.0/8 is ours, so another test is
/// unlikely to take it before the program does.
fn address(last: u8) -> SocketAddr {
    let ip = Ipv4Addr::new(127, 10, (std::process::id() % 250) as u8, last);
    TcpListener::bind((ip, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port")
}

/// Debian's nginx in front of `backend`.
fn nginx(folder: &Path, backend: SocketAddr) -> (SocketAddr, Process) {
    let listen = address(1);
    let folder = folder.display();
    let config = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr notice; events {{}}
         http {{
             access_log {folder}/access.log;
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
             server {{ listen {listen}; location / {{ proxy_pass http://{backend}; }} }}
         }}"
    );
    let file = format!("{folder}/nginx.conf");
    std::fs::write(&file, config).expect("written");
    let program = programs::find("nginx").expect("have it");
    let process = Process::start(&program, &["-c", &file, "-e", "stderr"]);
    wait_until("nginx accepts", || {
        assert!(!process.ended(), "nginx ended: {}", process.output("", 20));
        std::net::TcpStream::connect(listen).ok()
    });
    (listen, process)
}

/// Asks until there is an answer, which is the only sign some programs give.
fn wait_until<T>(what: &str, answer: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        match answer() {
            Some(found) => return found,
            None => assert!(Instant::now() < deadline, "never: {what}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A Prometheus that scrapes the daemon every second.
fn prometheus(folder: &Path, target: SocketAddr) -> (SocketAddr, Process) {
    let listen = address(2);
    let file = folder.join("prometheus.yml");
    let config = json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s" },
        "scrape_configs": [{ "job_name": "badgateway", "static_configs": [{ "targets": [target.to_string()] }] }],
    });
    std::fs::write(&file, config.to_string()).expect("written");
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        format!("--web.listen-address={listen}"),
    ];
    let process = Process::start_with(
        &programs::find("prometheus").expect("have it"),
        &arguments,
        "TERM",
        None,
    );
    process.wait_for("a ready Prometheus", |line| {
        line.contains("Server is ready").then_some(())
    });
    (listen, process)
}

/// The series an instant query gives: labels and value.
fn query(prometheus: SocketAddr, expression: &str) -> Vec<(Value, f64)> {
    let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
    let answer = http::get(prometheus, &format!("/api/v1/query?query={encoded}"), &[]).expect("an answer");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer["status"], "success", "{expression}: {answer}");
    let series = answer["data"]["result"].as_array().expect("a vector");
    let value = |series: &Value| {
        series["value"][1]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("a number")
    };
    series
        .iter()
        .map(|series| (series["metric"].clone(), value(series)))
        .collect()
}

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
    let arguments = [
        "--keep-in-foreground".to_owned(),
        "--log-facility=-".into(),
        "--no-resolv".into(),
        "--no-hosts".into(),
        "--conf-file=/dev/null".into(),
        "--pid-file=".into(),
        "--user=".to_owned() + &user(),
        "--bind-interfaces".into(),
        format!("--listen-address={}", listen.ip()),
        format!("--port={}", listen.port()),
        "--local=/peer.test/".into(),
        "--cname=alias.peer.test,good.peer.test".into(),
        "--host-record=good.peer.test,127.0.0.1".into(),
        // Local without a record: NXDOMAIN. A record of another type: NODATA.
        "--local=/gone.test/".into(),
        "--txt-record=bare.gone.test,words".into(),
        // Nobody to forward to: REFUSED.
    ];
    let process = Process::start_with(&programs::find("dnsmasq").expect("have it"), &arguments, "TERM", None);
    process.wait_for("the start of dnsmasq", |line| line.contains("started").then_some(()));
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

/// Who runs the test; dnsmasq otherwise gives up rights it needs for its files here.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().expect("id");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
