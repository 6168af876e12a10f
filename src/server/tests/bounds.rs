//! What bounds the server: scrapers, connections, hostile requests, and the end of the program.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::server::{connection, scrape};

/// A server whose page is too large for any socket buffer.
async fn start_large() -> Server {
    let metrics = Metrics::new(Build::default());
    let upstreams: Vec<_> = (0..2000).map(large_upstream).collect();
    metrics.configure(&upstreams);
    start_with(metrics, Vec::new()).await
}

fn large_upstream(number: usize) -> Arc<crate::upstream::Upstream> {
    use crate::upstream::*;
    let hop = Hop {
        name: ORIGIN.into(),
        gateway: None,
        user_view: true,
        limits: Limits::default(),
        kept_idle: None,
        health_check: None,
        targets: Vec::new(),
    };
    Arc::new(Upstream {
        name: format!("upstream-{number:05}").into(),
        labels: [("padding".to_owned(), "x".repeat(10_000))].into(),
        hops: vec![Arc::new(hop)],
        interval: DEFAULT_INTERVAL,
        confirm: Confirm::default(),
        max_rate: DEFAULT_MAX_RATE,
        objective: None,
        spike: Spike::default(),
        evidence: EvidencePolicy::Safe,
        version_header: None,
        fingerprint: 1,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrapers_that_read_nothing_are_bounded_and_free_their_place() {
    let server = start_large().await;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut silent = Vec::new();
    for _ in 0..scrape::MAX_SCRAPES {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // Its first bytes are there: the scrape has begun.
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        silent.push(stream);
    }
    assert_eq!(server.get("/metrics").await.0, 503);
    assert_eq!(server.get("/-/healthy").await.0, 200, "nothing else waits for them");
    drop(silent);
    while server.get("/metrics").await.0 == 503 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_not_taken_in_time_ends_in_the_middle() {
    let server = start_large().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Prometheus-Scrape-Timeout-Seconds: 0.05\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    // Another scrape passes whole while this one waits; by then its time is over.
    let (_, other) = server.get("/metrics").await;
    assert!(other.ends_with("0\r\n\r\n") && other.contains("upstream-01999"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        !answer.ends_with(b"0\r\n\r\n"),
        "a half page must not look like a whole one"
    );
}

#[tokio::test]
async fn stopping_ends_idle_connections_at_once() {
    let mut server = start(Vec::new()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(2), &mut server.task)
        .await
        .expect("it ends in time")
        .unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn hostile_requests_are_answered_and_forgotten() {
    let server = start(Vec::new()).await;
    let huge = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    for request in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", &huge] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(server.get("/-/healthy").await.0, 200);
}

#[tokio::test]
async fn a_connection_beyond_the_cap_waits_its_turn() {
    let server = start(Vec::new()).await;
    let mut open = Vec::new();
    for _ in 0..connection::MAX_CONNECTIONS {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        open.push(stream);
    }
    let answered = AtomicBool::new(false);
    let waiting = async {
        let (status, _) = server.get("/-/healthy").await;
        answered.store(true, Ordering::Relaxed);
        status
    };
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!answered.load(Ordering::Relaxed));
        open.pop();
    };
    let (status, ()) = tokio::join!(waiting, release);
    assert_eq!(status, 200);
}
