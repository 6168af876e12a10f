//! The server as its callers see it: real connections to port 0.

mod bounds;
mod guarded;
mod pages;
pub(in crate::server) mod pki;

use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::cause::Cause;
use crate::finding::{AddressCounts, Outcome, Purpose, Recognised};
use crate::history::{Bounds, Record};
use crate::metrics::Build;
use crate::verdict::{Diagnosis, Impact, Verdict};

struct Server {
    address: SocketAddr,
    stopping: watch::Sender<bool>,
    reloads: mpsc::Receiver<ReloadRequest>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(upstreams: Vec<UpstreamStatus>) -> Server {
    let build = Build {
        version: "0.1.0".to_owned(),
        ..Build::default()
    };
    start_with(Metrics::new(build), upstreams).await
}

async fn start_with(metrics: Metrics, upstreams: Vec<UpstreamStatus>) -> Server {
    start_guarded(metrics, upstreams, None).await
}

async fn start_guarded(metrics: Metrics, upstreams: Vec<UpstreamStatus>, web: Option<Arc<WebConfig>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stopping, stopping_seen) = watch::channel(false);
    let (reload, reloads) = mpsc::channel(1);
    let mut history = History::new(Bounds::default());
    history.push(Arc::new(record()));
    let state = ServerState {
        metrics,
        history: Arc::new(Mutex::new(history)),
        watched: Arc::new(Fixed(upstreams)),
        incidents: Arc::default(),
        health: Arc::new(|_, _| crate::health::Health::Down),
        shown_config: Arc::new(ArcSwap::from_pointee("interval: 15s\n".to_owned())),
        probe_endpoint: Arc::default(),
        reload,
        stopping: stopping_seen,
        web,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, state, async {
        let _ = stopped.await;
    }));
    Server {
        address,
        stopping,
        reloads,
        stop: Some(stop),
        task,
    }
}

/// What is watched, as a test says.
struct Fixed(Vec<UpstreamStatus>);

impl Watched for Fixed {
    fn upstreams(&self) -> Vec<UpstreamStatus> {
        self.0.clone()
    }

    fn upstream(&self, name: &str) -> Option<UpstreamDetail> {
        let status = self.0.iter().find(|status| *status.upstream == *name)?.clone();
        Some(UpstreamDetail {
            config: config(&status.upstream),
            status,
            hops: Vec::new(),
            traffic: Vec::new(),
        })
    }
}

fn config(name: &str) -> Arc<crate::upstream::Upstream> {
    let text = "upstreams: [{ name: shop, origin: 'http://127.0.0.1:1/' }]";
    let config = crate::config::from_str(text, "t.yml", std::path::Path::new("."), &|_| None).expect("it is valid");
    let mut upstream = (*config.upstreams[0]).clone();
    upstream.name = name.into();
    Arc::new(upstream)
}

fn record() -> Record {
    let evidence = serde_json::json!({
        "at": "1970-01-01T00:00:00Z",
        "hop": "origin",
        "url": "http://127.0.0.1:1/",
        "purpose": "scheduled",
        "cause": "bad_gateway",
        "text": "<script>alert(1)</script>",
    });
    Record {
        at: UNIX_EPOCH,
        upstream: "check<out".into(),
        hop: "origin".into(),
        address: None,
        path: Some("/".into()),
        purpose: Purpose::Scheduled,
        outcome: Outcome::Failure(Cause::BadGateway),
        status: Some(502),
        head_bytes: None,
        body_bytes: None,
        timings: None,
        resolution: None,
        tls: None,
        recognised: Recognised::default(),
        evidence: Some(Arc::new(serde_json::from_value(evidence).expect("it is whole"))),
        trace: None,
    }
}

/// An upstream with one hop; what is said of it as a whole is what that hop shows.
fn upstream(name: &str, state: HopState) -> UpstreamStatus {
    let mut diagnosis = Diagnosis::unknown(UNIX_EPOCH);
    (diagnosis.verdict, diagnosis.impact) = match &state {
        HopState::Pending => (Verdict::Unknown, Impact::None),
        HopState::Healthy => (Verdict::Healthy, Impact::None),
        HopState::Failing(failing) => {
            diagnosis.cause = Some(failing.cause);
            (Verdict::OriginDown, Impact::Users)
        }
    };
    UpstreamStatus {
        upstream: name.into(),
        diagnosis: Arc::new(diagnosis),
        hops: vec![HopStatus {
            hop: "origin".into(),
            user_view: true,
            state,
            addresses: AddressCounts {
                healthy: 1,
                ..AddressCounts::default()
            },
        }],
        probed_bad_gateways: None,
        real_bad_gateways: None,
        rounds: Vec::new(),
    }
}

fn failing(cause: Cause) -> HopState {
    HopState::Failing(Failing {
        cause,
        wholly: true,
        since: UNIX_EPOCH + Duration::from_secs(1_763_641_865),
        evidence: Some("secret <evidence>".into()),
    })
}

impl Server {
    /// Sends bytes, reads to the end of the connection; status and everything.
    async fn raw(&self, request: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer)
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let (status, answer) = self.raw(&request).await;
        (status, String::from_utf8_lossy(&answer).into_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "").await
    }
}

#[tokio::test]
async fn paths_and_methods_answer_as_they_should() {
    let server = start(Vec::new()).await;
    for (method, path, status) in [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/-/healthy", 200),
        ("GET", "/-/ready", 200),
        ("GET", "/config", 200),
        ("GET", "/logs", 200),
        ("GET", "/probe?target=http://h", 404),
        ("GET", "/nothing", 404),
        ("GET", "/-/", 404),
        ("POST", "/", 405),
        ("POST", "/metrics", 405),
        ("DELETE", "/logs", 405),
    ] {
        assert_eq!(server.ask(method, path, "").await.0, status, "{method} {path}");
    }
    let (status, answer) = server.get("/-/reload").await;
    assert_eq!(status, 405);
    assert!(answer.contains("This endpoint requires a POST request."), "{answer}");
    assert!(answer.to_lowercase().contains("allow: post"), "{answer}");
    assert_eq!(
        server.ask("POST", "/-/reload", "Content-Length: 65537\r\n").await.0,
        413
    );
}

#[tokio::test]
async fn metrics_are_sent_in_the_format_asked_for() {
    let server = start(Vec::new()).await;
    let (_, text) = server.get("/metrics").await;
    assert!(
        text.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{text}"
    );
    assert!(text.contains("# TYPE badgateway_probes_total counter\n"));
    let (_, text) = server
        .ask(
            "GET",
            "/metrics",
            "Accept: application/openmetrics-text;version=1.0.0\r\n",
        )
        .await;
    assert!(
        text.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{text}"
    );
    assert!(text.contains("# TYPE badgateway_probes counter\n") && text.contains("\n# EOF\n"));
    let request = "GET /metrics HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n";
    let (_, answer) = server.raw(request).await;
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer[body..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.contains("# TYPE badgateway_probes_total counter\n"));
}

#[tokio::test]
async fn ready_says_when_the_program_stops() {
    let server = start(Vec::new()).await;
    assert_eq!(server.get("/-/ready").await.0, 200);
    server.stopping.send_replace(true);
    assert_eq!(server.get("/-/ready").await.0, 503);
    assert_eq!(server.get("/-/healthy").await.0, 200);
}

#[tokio::test]
async fn a_reload_answers_what_came_of_it() {
    let mut server = start(Vec::new()).await;
    let mut reloads = std::mem::replace(&mut server.reloads, mpsc::channel(1).1);
    tokio::spawn(async move {
        let _ = reloads.recv().await.unwrap().send(Ok(()));
        let _ = reloads
            .recv()
            .await
            .unwrap()
            .send(Err("badgateway.yml:3:1: no such key".to_owned()));
    });
    assert_eq!(
        server
            .ask("POST", "/-/reload", "Sec-Fetch-Site: cross-site\r\n")
            .await
            .0,
        403
    );
    assert_eq!(server.ask("POST", "/-/reload", "").await.0, 200);
    let (status, answer) = server.ask("POST", "/-/reload", "").await;
    assert_eq!(status, 500);
    assert!(
        answer.contains("The old configuration stays: badgateway.yml:3:1: no such key\n"),
        "{answer}"
    );
    assert_eq!(server.ask("POST", "/-/reload", "").await.0, 503, "the daemon is gone");
}

#[tokio::test]
async fn runbooks_are_for_every_caller() {
    let server = start(vec![]).await;
    let (status, list) = server.ask("GET", "/runbooks/", "X-Forwarded-For: 192.0.2.1\r\n").await;
    assert_eq!(status, 200, "{list}");
    assert!(list.contains("href=\"../metrics\""), "{list}");
    for file in crate::shipped::RUNBOOKS {
        assert!(
            list.contains(&format!("<a href=\"{0}\">{0}</a>", file.name)),
            "{}",
            file.name
        );
        let path = format!("/runbooks/{}", file.name);
        let (status, page) = server.ask("GET", &path, "X-Forwarded-For: 192.0.2.1\r\n").await;
        assert_eq!(status, 200, "{path}");
        assert!(page.contains("<h2 id=\""), "{page}");
    }
    for path in ["/runbooks/Other", "/runbooks/..%2Fbadgateway.rules"] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn logs_show_findings_and_escape_them() {
    let server = start(Vec::new()).await;
    let (_, page) = server.get("/logs").await;
    for text in [
        "check&lt;out",
        "bad_gateway",
        "502",
        "&lt;script&gt;alert(1)",
        "1970-01-01 00:00:00 UTC",
    ] {
        assert!(page.contains(text), "{text} is missing:\n{page}");
    }
    assert!(server.get("/logs?q=nothing").await.1.contains("0 of 1 recent probes"));
    assert!(server.get("/config").await.1.contains("interval: 15s"));
}
