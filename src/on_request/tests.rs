//! `/probe` as Prometheus sees it: a real server, real peers on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::history::{Bounds, History};
use crate::metrics::Build;
use crate::server::{self, ServerState};

/// A peer that gives every connection the same answer and remembers what it was asked.
struct Peer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn peer(answer: impl Into<String>) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (answer, seen) = (answer.into(), asked.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            seen.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request[..length]).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Peer { address, asked }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const RULES: &str = "probe_endpoint: { enabled: true, allow: [127.0.0.0/8, 169.254.0.0/16], concurrency: 1 }";

/// No upstream is watched.
struct Nothing;

impl server::Watched for Nothing {
    fn upstreams(&self) -> Vec<server::UpstreamStatus> {
        Vec::new()
    }

    fn upstream(&self, _name: &str) -> Option<server::UpstreamDetail> {
        None
    }
}

async fn start(config: &str) -> SocketAddr {
    let text = format!("{config}\nupstreams: [{{ name: a, origin: http://a }}]");
    let config = crate::config::from_str(&text, "t.yml", std::path::Path::new("/"), &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let metrics = Metrics::new(Build::default());
    let endpoint = endpoint(&config, &metrics).map(Arc::new);
    let state = ServerState {
        metrics,
        history: Arc::new(Mutex::new(History::new(Bounds::default()))),
        watched: Arc::new(Nothing),
        incidents: Arc::default(),
        health: Arc::new(|_, _| crate::health::Health::Down),
        shown_config: Arc::new(ArcSwap::default()),
        probe_endpoint: Arc::new(endpoint.into()),
        reload: mpsc::channel(1).0,
        stopping: watch::channel(false).1,
        web: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve(listener, state, std::future::pending()));
    address
}

async fn get(server: SocketAddr, query: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!("GET /probe?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer[9..12].parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

fn has(page: &str, line: &str) {
    assert!(page.lines().any(|found| found == line), "{line} is missing:\n{page}");
}

fn lacks(page: &str, text: &str) {
    assert!(!page.contains(text), "{text} is there:\n{page}");
}

#[tokio::test]
async fn a_good_answer_has_the_metrics_people_know() {
    let (server, peer) = (start(RULES).await, peer(OK).await);
    let timeout = "X-Prometheus-Scrape-Timeout-Seconds: 9.5\r\n";
    let (status, page) = get(server, &format!("target=http://{}/up?key=1", peer.address), timeout).await;
    assert_eq!(status, 200, "{page}");
    for line in [
        "probe_success 1",
        "probe_http_status_code 200",
        "probe_http_version 1.1",
        "probe_http_content_length 5",
        "probe_http_uncompressed_body_length 5",
        "probe_http_redirects 0",
        "probe_http_ssl 0",
        "probe_ip_protocol 4",
        "probe_ip_addr_hash 3668918509",
        "probe_timeout_seconds 9",
        "probe_dns_lookup_time_seconds 0",
        "probe_failed_due_to_regex 0",
    ] {
        has(&page, line);
    }
    for phase in ["connect", "processing", "transfer"] {
        assert!(
            page.contains(&format!("probe_http_duration_seconds{{phase=\"{phase}\"}} 0.0")),
            "{page}"
        );
    }
    lacks(&page, "phase=\"tls\"");
    lacks(&page, "phase=\"resolve\"");
    lacks(&page, "probe_failure_info");
    assert_eq!(peer.asked.lock().unwrap().len(), 1, "one request");
    assert!(peer.asked.lock().unwrap()[0].starts_with("GET /up?key=1 HTTP/1.1\r\n"));
    let open = "Accept: application/openmetrics-text;version=1.0.0\r\n";
    let (_, page) = get(server, &format!("target={}", peer.address), open).await;
    assert!(page.ends_with("# EOF\n"), "{page}");
}

#[tokio::test]
async fn a_failure_is_named() {
    let server = start(&format!(
        "{RULES}\nmodules: {{ ok: {{ expect: {{ body: {{ contains: fine }} }} }}, short: {{ timeout: 200ms }} }}"
    ))
    .await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bad = peer("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
    for (query, cause, phase) in [
        (format!("target={}", closed), "connect_refused", "connect"),
        (format!("target={}", bad.address), "bad_gateway", "status"),
        (
            format!("target={}&module=ok", peer(OK).await.address),
            "content_mismatch",
            "content",
        ),
        (format!("target={}", peer("").await.address), "response_closed", "http"),
        (
            format!("target={}&module=short", silent.local_addr().unwrap()),
            "response_timeout",
            "http",
        ),
    ] {
        let (status, page) = get(server, &query, "").await;
        assert_eq!(status, 200, "{page}");
        has(&page, "probe_success 0");
        has(
            &page,
            &format!("probe_failure_info{{cause=\"{cause}\",phase=\"{phase}\"}} 1"),
        );
        assert_eq!(
            page.contains("\nprobe_failed_due_to_regex 1\n"),
            cause == "content_mismatch"
        );
    }
    assert_eq!(bad.asked.lock().unwrap().len(), 1, "nothing is retried");
    let (_, page) = get(server, &format!("target={}", closed), "").await;
    has(&page, "probe_http_status_code 0");
    lacks(&page, "probe_http_duration_seconds{");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let server = start(&format!("{RULES}\nmodules: {{ api: {{ host: shop.example }} }}")).await;
    for (query, headers, status, message) in [
        ("", "", 400, "Target parameter is missing"),
        ("target=127.0.0.1&module=x%22y", "", 400, "Unknown module \"x\\\"y\""),
        ("target=ftp://127.0.0.1", "", 400, "scheme that cannot be probed"),
        (
            "target=http://unix:/run/docker.sock:/",
            "",
            400,
            "never probed on request",
        ),
        ("target=127.0.0.1&module=api&hostname=b", "", 400, "'hostname' (b)"),
        ("target=169.254.169.254", "", 403, "169.254.169.254 is not allowed"),
        ("target=http://[::ffff:169.254.169.254]/", "", 403, "is not allowed"),
        ("target=http://10.0.0.1/", "", 403, "10.0.0.1 is not allowed"),
        ("target=http://2852039166/", "", 403, "169.254.169.254 is not allowed"),
        (
            "target=127.0.0.1",
            "X-Prometheus-Scrape-Timeout-Seconds: x\r\n",
            500,
            "Failed to parse timeout",
        ),
        (
            "target=127.0.0.1",
            "Sec-Fetch-Site: cross-site\r\n",
            403,
            "another site",
        ),
        (
            "target=127.0.0.1&debug=true",
            "X-Forwarded-For: 10.0.0.1\r\n",
            403,
            "this host only",
        ),
    ] {
        let (found, body) = get(server, query, headers).await;
        assert!(found == status && body.contains(message), "{query}: {found} {body}");
    }
    let off = start("probe_endpoint: { enabled: false }").await;
    assert_eq!(get(off, "target=127.0.0.1", "").await.0, 404);
}

#[tokio::test]
async fn names_are_allowed_by_rule_and_never_open_loopback() {
    let server = start("probe_endpoint: { enabled: true, allow: [\"*.localhost\"] }").await;
    let (status, body) = get(server, "target=http://app.localhost/", "").await;
    assert_eq!(status, 403, "{body}");
    let (status, body) = get(server, "target=http://example.invalid/", "").await;
    assert_eq!(status, 403, "{body}");
    let server = start("probe_endpoint: { enabled: true, allow: [127.0.0.1] }").await;
    let peer = peer(OK).await;
    let (_, page) = get(
        server,
        &format!("target=http://app.localhost:{}/", peer.address.port()),
        "",
    )
    .await;
    has(&page, "probe_success 1");
    assert!(page.contains("phase=\"resolve\""), "{page}");
}

#[tokio::test]
async fn a_redirect_is_held_against_the_same_list() {
    let server = start(&format!(
        "{RULES}\nmodules: {{ r: {{ redirects: {{ max: 2, hosts: [\"*.localhost\", localhost] }}, auth: {{ bearer: hunter }} }} }}"
    ))
    .await;
    let to = |place: String| format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n");
    let end = peer(OK).await;
    let port = end.address.port();
    let good = peer(to(format!("http://app.localhost:{port}/end?token=hunter"))).await;
    let (_, page) = get(server, &format!("target={}&module=r", good.address), "").await;
    has(&page, "probe_success 1");
    has(&page, "probe_http_redirects 1");
    assert!(
        page.contains("phase=\"resolve\""),
        "the redirect was looked up:\n{page}"
    );
    assert!(
        !end.asked.lock().unwrap()[0].contains("hunter\r\n"),
        "credentials stay with their host"
    );

    let narrow = start("probe_endpoint: { enabled: true, allow: [127.0.0.2] }\nmodules: { r: { redirects: { max: 2, hosts: [\"*.localhost\"] } } }").await;
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let from = listener.local_addr().unwrap();
    let answer = to(format!("http://app.localhost:{port}/"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let before = end.asked.lock().unwrap().len();
    let (status, page) = get(narrow, &format!("target={from}&module=r"), "").await;
    assert_eq!(status, 200);
    has(&page, "probe_success 0");
    has(
        &page,
        "probe_failure_info{cause=\"unexpected_status\",phase=\"status\"} 1",
    );
    let (_, debug) = get(narrow, &format!("target={from}&module=r&debug=true"), "").await;
    assert!(
        debug.contains("app.localhost at 127.0.0.1, which is not allowed"),
        "{debug}"
    );
    assert_eq!(
        end.asked.lock().unwrap().len(),
        before,
        "the forbidden place was never asked"
    );
}

#[tokio::test]
async fn the_debug_page_hides_secrets() {
    let server = start(&format!(
        "{RULES}\nmodules:\n  api:\n    auth: {{ basic: {{ username: u, password: hunter-pw }} }}\n    \
         headers: {{ X-Api-Key: hunter-key }}\n    body: hunter-body\n    method: POST\n    timeout: 3s\n"
    ))
    .await;
    let peer = peer(OK).await;
    let query = format!(
        "target=http://u:hunter-url@{}/x?k=hunter-query&module=api&debug=true",
        peer.address
    );
    let (status, page) = get(
        server,
        &query
            .replace('&', "%26")
            .replace("%26module", "&module")
            .replace("%26debug", "&debug"),
        "",
    )
    .await;
    assert_eq!(status, 200, "{page}");
    for text in [
        "Logs for the probe:\n",
        "answers with status 200",
        "\n\n\n\nMetrics that would have been returned:\n# HELP probe_dns",
        "probe_success 1\n",
        "\n\n\nModule configuration:\n",
        "password: <secret>",
        "timeout: 3s",
    ] {
        assert!(page.contains(text), "{text:?} is missing:\n{page}");
    }
    lacks(&page, "hunter");
    assert!(
        peer.asked.lock().unwrap()[0].contains("hunter-body"),
        "secrets are sent, not shown"
    );
}

#[tokio::test]
async fn more_than_allowed_at_once_is_told_at_once() {
    let server = start(RULES).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("target={}", silent.local_addr().unwrap());
    let first = {
        let target = target.clone();
        tokio::spawn(async move { get(server, &target, "").await })
    };
    let (held, _) = silent.accept().await.unwrap();
    let (status, body) = get(server, &target, "").await;
    assert!(
        status == 503 && body.contains("probe_endpoint.concurrency"),
        "{status} {body}"
    );
    drop(held);
    assert_eq!(first.await.unwrap().0, 200);
    // A caller who leaves gives the place back.
    let target_2 = target.clone();
    let leaving = tokio::spawn(async move { get(server, &target_2, "").await });
    let (mut held, _) = silent.accept().await.unwrap();
    leaving.abort();
    let _ = leaving.await;
    let mut rest = Vec::new();
    held.read_to_end(&mut rest).await.unwrap();
    drop(silent);
    assert_eq!(get(server, &target, "").await.0, 200);
}

#[tokio::test]
async fn tls_is_shown_also_where_it_does_not_verify() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(OK.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let server = start(&format!(
        "{RULES}\nmodules:\n  own: {{ tls: {{ ca_file: {0}, ca_only: true }} }}\n  name: {{ server_name: shop.example, tls: {{ ca_file: {0}, ca_only: true }} }}\n",
        ca.display()
    ))
    .await;
    let (_, page) = get(server, &format!("target=https://127.0.0.1:{port}&module=own"), "").await;
    has(&page, "probe_success 1");
    has(&page, "probe_http_ssl 1");
    has(&page, "probe_tls_version_info{version=\"TLS 1.3\"} 1");
    assert!(page.contains("probe_tls_cipher_info{cipher=\"TLS_"), "{page}");
    assert!(
        page.contains("phase=\"tls\"") && page.contains("\nprobe_ssl_earliest_cert_expiry "),
        "{page}"
    );
    let (_, page) = get(server, &format!("target=https://127.0.0.1:{port}&module=name"), "").await;
    has(
        &page,
        "probe_failure_info{cause=\"tls_certificate_name_mismatch\",phase=\"tls\"} 1",
    );
    has(&page, "probe_http_ssl 0");
    assert!(page.contains("\nprobe_ssl_earliest_cert_expiry "), "{page}");
}

#[test]
fn the_timeout_is_that_of_blackbox_exporter() {
    let of = |module: f64, wait| timeout((module > 0.0).then(|| Duration::from_secs_f64(module)), wait).as_secs_f64();
    for (module, wait, expected) in [
        (0.0, Some(15.0), 14.5),
        (5.0, Some(15.0), 5.0),
        (20.0, Some(15.0), 14.5),
        (10.0, None, 10.0),
        (10.0, Some(10.0), 9.5),
        (0.0, None, 119.5),
        (3.0, Some(0.3), 3.0),
        (0.0, Some(0.3), 0.0),
        (0.0, Some(1e300), 3599.5),
        (0.0, Some(f64::NEG_INFINITY), 0.0),
    ] {
        assert_eq!(of(module, wait), expected, "{module} {wait:?}");
    }
}

#[tokio::test]
async fn promtool_has_nothing_to_say() {
    let (server, peer) = (start(RULES).await, peer("HTTP/1.1 502 Bad Gateway\r\n\r\n").await);
    let (_, page) = get(server, &format!("target={}", peer.address), "").await;
    let mut command = std::process::Command::new("promtool");
    command.args(["check", "metrics"]).stdin(std::process::Stdio::piped());
    let command = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    // Where Prometheus's tool is not installed there is nothing to ask.
    let Ok(mut tool) = command.spawn() else { return };
    std::io::Write::write_all(&mut tool.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    assert!(
        said.status.success() && said.stderr.is_empty() && said.stdout.is_empty(),
        "{}{}\n{page}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}
