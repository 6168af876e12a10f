//! Batches over real connections.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::LocalSet;

use super::*;
use crate::tail::Envelope;
use crate::tail::tests::Taken;

/// Unpacked bytes, few enough to test.
const MOST: usize = 1024 * 1024;

/// What the listener answers to each request, sent on a connection of its own, and what lines came.
async fn answers(requests: Vec<Vec<u8>>) -> (Vec<String>, Vec<String>) {
    let taken = Taken::default();
    let status = Arc::new(Status::default());
    let shared = Rc::new(Shared {
        sink: Mutex::new(Sink::new(Box::new(taken.clone()), Arc::clone(&status), Envelope::Plain)),
        status,
        budget: Arc::new(Semaphore::new(MAX_BODY_BYTES)),
        max_unpacked_bytes: MOST,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let peer = std::thread::spawn(move || requests.iter().map(|request| ask(address, request)).collect());
    let token = stop.clone();
    let asked = async move {
        let answers = tokio::task::spawn_blocking(|| peer.join().unwrap()).await.unwrap();
        token.cancel();
        answers
    };
    let (answers, ()) = LocalSet::new()
        .run_until(async { tokio::join!(asked, serve(&listener, &shared, &stop)) })
        .await;
    (answers, taken.take())
}

/// The end of a request whose connection breaks.
const CUT: &[u8] = b"cut";

/// The status of the answer; empty where there is none.
fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    // An answer may come before all is sent.
    let _ = stream.write_all(request);
    if request.ends_with(CUT) {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer)
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn batches_are_taken_or_refused() {
    let gzipped = "content-encoding: gzip\r\n";
    let half = gzip(b"{\"never\":1}\n");
    let mut broken = post("", b"{\"never\":1}\n{\"never\":2}\ncut, and more");
    broken.truncate(broken.len() - 10);
    let requests = vec![
        post("", b"{\"a\":1}\n{\"b\":2}\n"),
        post(gzipped, &gzip(b"[{\"message\":\"plain\"}]")),
        post(gzipped, &[gzip(b"{\"c\":3}\n"), gzip(b"{\"d\":4}\n")].concat()),
        b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"e\":5}\r\n0\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(),
        post("content-encoding: zstd\r\n", b"x"),
        post(gzipped, b"no gzip"),
        post(gzipped, &half[..half.len() - 12]),
        post("", b"{\"f\":6} {"),
        b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999\r\n\r\n".to_vec(),
        broken,
        post("", b""),
    ];
    let (answers, lines) = answers(requests).await;
    assert_eq!(
        answers[..10],
        ["204", "204", "204", "204", "405", "415", "400", "400", "400", "413"]
    );
    assert_eq!(answers[11], "204");
    assert_ne!(answers[10], "204");
    let expected = [
        "{\"a\":1}",
        "{\"b\":2}",
        "plain",
        "{\"c\":3}",
        "{\"d\":4}",
        "{\"e\":5}",
        "{\"f\":6}",
    ];
    let lines: Vec<_> = lines.into_iter().filter(|line| !line.contains("never")).collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_bomb_is_stopped() {
    let bomb = gzip(&vec![b'x'; 3 * MOST]);
    assert!(bomb.len() < 10_000);
    let (answers, lines) = answers(vec![post("content-encoding: gzip\r\n", &bomb)]).await;
    assert_eq!(answers, ["413"]);
    assert_eq!(lines.len(), 1, "{:?}", lines.first());
}
