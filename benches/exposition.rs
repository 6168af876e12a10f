//! How long a page of 100,000 series takes, how large it is, and what the tables cost in memory.
//!
//! `cargo bench --bench exposition`. The first lines are CPU time of the encoding thread, by the kernel's account; the
//! table below them is wall time, which other work on the machine makes longer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use badgateway::finding::{AddressCounts, Confirmed, Finding, Outcome, Purpose, Recognised, RoundSummary, Seen};
use badgateway::metrics::{Build, Format, Metrics};
use badgateway::observation::{Address, End, Head, Observation, Response, Timings, TraceId};
use badgateway::upstream::*;
use bytes::Bytes;
use divan::{Bencher, counter::ItemsCount};

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

const SERIES: usize = 100_000;

fn main() {
    let (metrics, upstreams) = filled();
    let page = page(&metrics, Format::OpenMetrics);
    let series = series(&page);
    println!(
        "{series} series of {upstreams} upstreams, {} bytes, {} bytes a series, {} bytes with gzip",
        page.len(),
        page.len() / series,
        gzip(&metrics)
    );
    for format in [Format::OpenMetrics, Format::Prometheus] {
        println!(
            "{format:?}: {:.1} ms of CPU a page",
            cpu_millis(50, || encode_once(&metrics, format))
        );
    }
    println!(
        "OpenMetrics with gzip: {:.1} ms of CPU a page",
        cpu_millis(50, || gzip(&metrics))
    );
    divan::main();
}

/// CPU time of this thread for one run of `work`, milliseconds, as the mean of some.
fn cpu_millis<T>(runs: u32, work: impl Fn() -> T) -> f64 {
    let before = cpu_nanos();
    for _ in 0..runs {
        divan::black_box(work());
    }
    (cpu_nanos() - before) / f64::from(runs) / 1e6
}

/// CPU time of this thread so far, nanoseconds (proc_pid_schedstat(5)); 0 where the kernel does not tell.
fn cpu_nanos() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .unwrap_or(0.0)
}

fn encode_once(metrics: &Metrics, format: Format) -> usize {
    let mut bytes = 0;
    let mut sink = |chunk: &str| {
        bytes += chunk.len();
        Ok(())
    };
    metrics
        .encode(format, now(), &mut sink)
        .expect("the sink takes everything");
    bytes
}

#[divan::bench(args = [Format::OpenMetrics, Format::Prometheus], sample_count = 50)]
fn encode(bencher: Bencher, format: Format) {
    let (metrics, _) = filled();
    let series = series(&page(&metrics, format));
    bencher
        .counter(ItemsCount::new(series))
        .bench(|| encode_once(&metrics, format));
}

#[divan::bench(sample_count = 20)]
fn encode_with_gzip(bencher: Bencher) {
    let (metrics, _) = filled();
    bencher.counter(ItemsCount::new(SERIES)).bench(|| gzip(&metrics));
}

/// The allocations shown are the tables of that many plain hops with one address each.
#[divan::bench(args = [1000], sample_count = 10)]
fn tables(bencher: Bencher, hops: usize) {
    let upstreams: Vec<_> = (0..hops).map(upstream).collect();
    bencher.bench(|| fill(&upstreams));
}

#[divan::bench]
fn record(bencher: Bencher) {
    let upstreams = [upstream(0)];
    let metrics = fill(&upstreams);
    let hop = metrics.hop(&upstreams[0].name, "origin").expect("it is configured");
    let finding = finding(&upstreams[0], Outcome::Success);
    bencher.bench(|| hop.record(&finding));
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn page(metrics: &Metrics, format: Format) -> String {
    let mut page = String::new();
    metrics
        .encode(format, now(), &mut |chunk| page.write_str(chunk))
        .expect("a string takes everything");
    page
}

fn series(page: &str) -> usize {
    page.lines().filter(|line| !line.starts_with('#')).count()
}

fn gzip(metrics: &Metrics) -> usize {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut sink = |chunk: &str| encoder.write_all(chunk.as_bytes()).map_err(|_| std::fmt::Error);
    metrics
        .encode(Format::OpenMetrics, now(), &mut sink)
        .expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything").len()
}

/// As many upstreams as give 100,000 series.
fn filled() -> (Metrics, usize) {
    let sample: Vec<_> = (0..100).map(upstream).collect();
    let each = series(&page(&fill(&sample), Format::OpenMetrics)) as f64 / sample.len() as f64;
    let upstreams: Vec<_> = (0..(SERIES as f64 / each) as usize).map(upstream).collect();
    (fill(&upstreams), upstreams.len())
}

fn fill(upstreams: &[Arc<Upstream>]) -> Metrics {
    let metrics = Metrics::new(Build::default());
    metrics.configure(upstreams);
    for upstream in upstreams {
        let hop = metrics.hop(&upstream.name, "origin").expect("it is configured");
        hop.record(&finding(upstream, Outcome::Success));
        hop.confirmed(Some(&address()), "/healthz", Confirmed::Healthy);
        hop.round(&RoundSummary {
            at: now(),
            failed_wholly: false,
            clean: true,
            judged: true,
            addresses: AddressCounts {
                healthy: 1,
                ..AddressCounts::default()
            },
            dns_addresses: 0,
            dns_ttl: None,
            dns_changed: false,
        });
    }
    metrics
}

fn address() -> Address {
    Address::Tcp("10.20.30.40:8080".parse().expect("it is an address"))
}

fn finding(upstream: &Arc<Upstream>, outcome: Outcome) -> Finding {
    let millis = |millis| Some(Duration::from_micros(millis * 1013_u64));
    let head = Head {
        status: 200,
        bytes: 120,
        ..Head::default()
    };
    let observation = Observation {
        trace: TraceId(0xabc),
        at: now(),
        address: address(),
        scheme: Scheme::Http,
        timings: Timings {
            connect: millis(2),
            tls: None,
            first_byte: millis(30),
            body: millis(1),
            total: Duration::from_micros(33_429),
        },
        tls: None,
        redirected: Vec::new(),
        listening: None,
        end: End::Response(Box::new(Response {
            head,
            body_bytes: 11,
            body_complete: true,
            body: Bytes::new(),
        })),
    };
    Finding {
        upstream: Arc::clone(upstream),
        hop: Arc::clone(&upstream.hops[0]),
        at: now(),
        purpose: Purpose::Scheduled,
        address: Some(address()),
        path: Some("/healthz".into()),
        outcome,
        recognised: Recognised::default(),
        seen: Seen::Probe(Box::new(observation)),
    }
}

/// One hop, one literal address, plain HTTP.
fn upstream(number: usize) -> Arc<Upstream> {
    let target = Target {
        scheme: Scheme::Http,
        host: Host::Ip(IpAddr::from([10, 20, 30, 40])),
        port: 8080,
        stable: Vec::new(),
        requests: vec![Request {
            label: "/healthz".into(),
            path: "/healthz".to_owned(),
        }],
        host_header: http::HeaderValue::from_static("10.20.30.40"),
        server_name: "10.20.30.40".to_owned(),
        method: http::Method::GET,
        headers: Vec::new(),
        body: None,
        http_version: HttpVersion::Http1,
        family: Family::Any,
        source_address: None,
        redirects: Redirects::default(),
        max_head: DEFAULT_MAX_HEAD,
        max_body: DEFAULT_MAX_BODY,
        resolvers: Vec::new(),
        addresses: AddressChoice::All,
        max_addresses: DEFAULT_MAX_ADDRESSES,
        timeout: DEFAULT_TIMEOUT,
        expect: Expectation::default(),
        auth: None,
        tls: TlsPolicy::default(),
    };
    let hop = Hop {
        name: ORIGIN.into(),
        gateway: None,
        user_view: true,
        limits: Limits::default(),
        kept_idle: None,
        health_check: None,
        targets: vec![Arc::new(target)],
    };
    Arc::new(Upstream {
        name: format!("upstream-{number:05}").into(),
        labels: BTreeMap::new(),
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
