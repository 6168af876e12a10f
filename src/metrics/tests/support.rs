//! Upstreams and findings for the tests of this module.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::finding::{Finding, Outcome, Purpose, Seen};
use crate::metrics::{Build, Format, Metrics};
use crate::observation::{Address, End, Head, Observation, Response, Timings, TraceId};
use crate::upstream::*;

pub(super) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

pub(super) fn address() -> Address {
    Address::Tcp("10.0.0.7:8080".parse().unwrap())
}

pub(super) fn target(url: &str) -> Target {
    let url = url::Url::parse(url).unwrap();
    let host = url.host_str().unwrap().to_owned();
    Target {
        scheme: if url.scheme() == "https" {
            Scheme::Https
        } else {
            Scheme::Http
        },
        host: host.parse::<IpAddr>().map_or(Host::Name(host.clone()), Host::Ip),
        port: url.port_or_known_default().unwrap(),
        stable: Vec::new(),
        requests: vec![Request {
            label: url.path().into(),
            path: url.path().to_owned(),
        }],
        host_header: host.parse().unwrap(),
        server_name: host,
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
    }
}

pub(super) fn hop(name: &str, target: Target) -> Hop {
    Hop {
        name: name.into(),
        gateway: None,
        user_view: true,
        limits: Limits::default(),
        kept_idle: None,
        health_check: None,
        targets: vec![Arc::new(target)],
    }
}

pub(super) fn upstream(name: &str, hops: Vec<Hop>, fingerprint: u64) -> Arc<Upstream> {
    Arc::new(Upstream {
        name: name.into(),
        labels: BTreeMap::new(),
        hops: hops.into_iter().map(Arc::new).collect(),
        interval: DEFAULT_INTERVAL,
        confirm: Confirm::default(),
        max_rate: DEFAULT_MAX_RATE,
        objective: None,
        spike: Spike::default(),
        evidence: EvidencePolicy::Safe,
        version_header: None,
        fingerprint,
    })
}

/// One plain-HTTP upstream on an address: `checkout`, hop `origin`.
pub(super) fn plain() -> Arc<Upstream> {
    upstream("checkout", vec![hop("origin", target("http://10.0.0.7:8080/"))], 1)
}

pub(super) fn all_limits() -> Limits {
    let time = Some(Duration::from_secs(10));
    Limits {
        connect: time,
        tls: time,
        send: time,
        first_byte: time,
        between_reads: time,
        total: time,
        idle: time,
        response_header: Some(8192),
        response_body: Some(1_000_000),
    }
}

/// The hop with everything a hop can have.
pub(super) fn largest() -> Hop {
    let mut target = target("https://shop.internal:8443/");
    target.expect.addresses = vec!["10.0.0.0/8".parse().unwrap()];
    target.expect.body = Some(BodyRule::Contains("ok".to_owned()));
    let mut hop = hop("edge", target);
    hop.limits = all_limits();
    hop.gateway = Some(Arc::new(Gateway {
        sources: Vec::new(),
        name: "edge".into(),
        kind: "nginx",
        limits: all_limits(),
    }));
    hop
}

/// A probe that got this status after 2 + 30 + 1 ms.
pub(super) fn observation(status: u16) -> Observation {
    let millis = |millis| Some(Duration::from_millis(millis));
    let head = Head {
        status,
        bytes: 120,
        ..Head::default()
    };
    Observation {
        trace: TraceId(0xabc),
        at: at(0),
        address: address(),
        scheme: Scheme::Http,
        timings: Timings {
            connect: millis(2),
            tls: None,
            first_byte: millis(30),
            body: millis(1),
            total: Duration::from_millis(33),
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
    }
}

pub(super) fn finding(upstream: &Arc<Upstream>, outcome: Outcome, seen: Seen) -> Finding {
    Finding {
        upstream: Arc::clone(upstream),
        hop: Arc::clone(&upstream.hops[0]),
        at: at(0),
        purpose: Purpose::Scheduled,
        address: Some(address()),
        path: Some("/".into()),
        outcome,
        recognised: crate::finding::Recognised::default(),
        seen,
    }
}

pub(super) fn probed(upstream: &Arc<Upstream>, outcome: Outcome, observation: Observation) -> Finding {
    finding(upstream, outcome, Seen::Probe(Box::new(observation)))
}

pub(super) fn configured(upstreams: &[Arc<Upstream>]) -> Metrics {
    let metrics = Metrics::new(Build {
        version: "0.1.0".to_owned(),
        revision: "abc".to_owned(),
        rules_version: "1".to_owned(),
        external_url: String::new(),
    });
    metrics.configure(upstreams);
    metrics.config_reloaded(true, at(0));
    metrics.self_connectivity(Some(true));
    metrics
}

pub(super) fn page(metrics: &Metrics, format: Format) -> String {
    let mut out = String::new();
    let mut sink = |chunk: &str| {
        out.push_str(chunk);
        Ok(())
    };
    metrics.encode(format, at(10), &mut sink).unwrap();
    out
}

/// The samples of a page, without those of the process.
pub(super) fn samples(metrics: &Metrics) -> BTreeMap<String, String> {
    let page = page(metrics, Format::Prometheus);
    let lines = page
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("process_"));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.trim_start_matches("badgateway_").to_owned(), value.to_owned())
        })
        .collect()
}

/// The value of one series of hop `origin` of `checkout`, `-` where it does not exist.
pub(super) fn value(metrics: &Metrics, name: &str, further: &str) -> String {
    let series = format!("{name}{{upstream=\"checkout\",hop=\"origin\"{further}}}");
    samples(metrics).remove(&series).unwrap_or_else(|| "-".to_owned())
}
