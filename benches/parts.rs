//! The parts of a probe that compute: reading a head, decoding a body, judging.
//!
//! `cargo bench --bench parts`

use std::time::SystemTime;

use badgateway::classify::classify;
use badgateway::fingerprint::recognise;
use badgateway::observation::{Address, End, Head, Observation, Response, Timings, TraceId};
use badgateway::probe::http::body::Chunked;
use badgateway::probe::http::{KeptHeaders, head};
use badgateway::schedule::stable_hash;
use badgateway::upstream::{Expectation, Scheme};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// As nginx answers.
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n\
Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";

#[divan::bench]
fn read_head() {
    head::parse(black_box(HEAD), false, &KeptHeaders::default(), SystemTime::UNIX_EPOCH).expect("it is valid");
}

#[divan::bench(args = [1_000, 100_000])]
fn decode_chunks(bencher: Bencher, bytes: usize) {
    let body = format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes));
    bencher.bench(|| {
        let mut decoder = Chunked::new();
        decoder
            .feed(black_box(body.as_bytes()), |part| {
                black_box(part);
            })
            .expect("it is valid");
        decoder.done()
    });
}

/// A healthy answer, one of 4 KiB that looks like an error page until it is read, and an error of an application, which
/// every kind of gateway is asked about.
#[divan::bench(args = ["ok", "looks like a page", "error"])]
fn judge(bencher: Bencher, answer: &str) {
    let (status, body) = match answer {
        "ok" => (200, "ok".to_owned()),
        "error" => (500, "<html><body><p>It failed.</p>".repeat(140)),
        _ => (200, format!("<html>{}502</html>", "<p>all is well</p>".repeat(220))),
    };
    let (head, _) = head::parse(HEAD, false, &KeptHeaders::default(), SystemTime::UNIX_EPOCH).expect("it is valid");
    let seen = Observation {
        trace: TraceId(1),
        at: SystemTime::UNIX_EPOCH,
        address: Address::Tcp(([192, 0, 2, 1], 80).into()),
        scheme: Scheme::Http,
        timings: Timings::default(),
        tls: None,
        redirected: Vec::new(),
        listening: None,
        end: End::Response(Box::new(Response {
            head: Head { status, ..head },
            body_bytes: body.len() as u64,
            body_complete: true,
            body: body.into(),
        })),
    };
    let expect = Expectation::default();
    bencher.bench(|| {
        let recognised = recognise(black_box(&seen), &["nginx"]);
        classify(black_box(&seen), &recognised, black_box(&expect))
    });
}

#[divan::bench]
fn place_in_schedule() -> u64 {
    stable_hash(black_box(&["shop-checkout", "origin"]))
}
