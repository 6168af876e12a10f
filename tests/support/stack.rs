//! Real programs around the daemon: nginx in front of something, Prometheus scraping, Alertmanager paging a receiver.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::peers::{self, Wire};
use super::process::Process;
use super::{http, programs};

/// An address for a program that cannot choose its port itself. All of 127.0.0.0/8 is ours, so another test is
/// unlikely to take it before the program does.
pub fn address(last: u8) -> SocketAddr {
    let ip = Ipv4Addr::new(127, 10, (std::process::id() % 250) as u8, last);
    TcpListener::bind((ip, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port")
}

/// Debian's nginx in front of `backend`.
pub fn nginx(folder: &Path, backend: SocketAddr) -> (SocketAddr, Process) {
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
pub fn wait_until<T>(what: &str, answer: impl Fn() -> Option<T>) -> T {
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
pub fn prometheus(folder: &Path, target: SocketAddr) -> (SocketAddr, Process) {
    prometheus_with(folder, &[target], json!({}))
}

/// A Prometheus that scrapes these daemons every second, with more of its configuration.
pub fn prometheus_with(folder: &Path, targets: &[SocketAddr], more: Value) -> (SocketAddr, Process) {
    let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
    let mut config = json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
        "scrape_configs": [{ "job_name": "badgateway", "static_configs": [{ "targets": targets }] }],
    });
    for (key, value) in more.as_object().expect("a map") {
        config[key] = value.clone();
    }
    prometheus_of(folder, &config, None)
}

/// A Prometheus with that configuration. The directory `scratch` goes with it.
pub fn prometheus_of(folder: &Path, config: &Value, scratch: Option<&Path>) -> (SocketAddr, Process) {
    let listen = address(2);
    let file = folder.join("prometheus.yml");
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
        scratch,
    );
    process.wait_for("a ready Prometheus", |line| {
        line.contains("Server is ready").then_some(())
    });
    (listen, process)
}

/// The series an instant query gives: labels and value.
pub fn query(prometheus: SocketAddr, expression: &str) -> Vec<(Value, f64)> {
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

/// A webhook receiver and what it was sent: the path and the notification.
pub fn receiver() -> (SocketAddr, Receiver<(String, Value)>) {
    let (sender, notifications) = channel();
    let address = peers::serve(move |wire| receive(wire, &sender));
    (address, notifications)
}

fn receive(wire: &mut dyn Wire, to: &Sender<(String, Value)>) {
    let head = String::from_utf8_lossy(&peers::read_head(wire)).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .trim()
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if wire.read_exact(&mut body).is_ok() {
        // The test may have seen enough.
        let _ = to.send((path, serde_json::from_slice(&body).unwrap_or(Value::Null)));
    }
    peers::say(
        wire,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

/// An Alertmanager with the shipped configuration, its waits shortened, sending to that receiver.
pub fn alertmanager(folder: &Path, receiver: SocketAddr) -> (SocketAddr, Process) {
    let listen = address(3);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/alertmanager.yml");
    let config = std::fs::read_to_string(shipped)
        .expect("readable")
        .replace("127.0.0.1:9095", &receiver.to_string())
        .replace("group_wait: 10s", "group_wait: 1s")
        .replace("group_interval: 1m", "group_interval: 2s");
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, config).expect("written");
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.path={}", folder.join("alertmanager").display()),
        format!("--web.listen-address={listen}"),
        "--cluster.listen-address=".to_owned(),
    ];
    let program = programs::find("prometheus-alertmanager").expect("have it");
    let process = Process::start_with(&program, &arguments, "TERM", None);
    wait_until("Alertmanager is ready", || {
        assert!(!process.ended(), "Alertmanager ended: {}", process.output("", 20));
        http::get(listen, "/-/ready", &[])
            .ok()
            .filter(|answer| answer.status == 200)
    });
    (listen, process)
}

/// A dnsmasq that listens there and knows these records and nobody to ask.
pub fn dnsmasq(listen: SocketAddr, records: &[&str]) -> Process {
    let own = [
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
    ];
    let arguments: Vec<String> = own
        .into_iter()
        .chain(records.iter().map(|record| (*record).to_owned()))
        .collect();
    let process = Process::start_with(&programs::find("dnsmasq").expect("have it"), &arguments, "TERM", None);
    process.wait_for("the start of dnsmasq", |line| line.contains("started").then_some(()));
    process
}

/// Who runs the test; dnsmasq otherwise gives up rights it needs for its files here.
fn user() -> String {
    let output = std::process::Command::new("id").arg("-un").output().expect("id");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
