//! Whole pages: exact text of both formats, the budget, zero series, and the linter of Prometheus.

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::cause::Cause;
use crate::finding::{AddressCounts, Confirmed, KeptIdle, Outcome, Purpose, RoundSummary, Seen};
use crate::metrics::state::EXTRA_PURPOSES;
use crate::metrics::{FAMILIES, Format, Kind, Metrics};
use crate::observation::listening::{Listening, Queue};
use crate::observation::version::Version;
use crate::observation::*;
use crate::upstream::{BodyRule, Upstream};
use crate::verdict::{Impact, Verdict};

/// Every metric of every hop has something to show.
fn busy(upstreams: &[Arc<Upstream>]) -> Metrics {
    let metrics = configured(upstreams);
    for upstream in upstreams {
        for hop in &upstream.hops {
            fill(&metrics, upstream, &hop.name);
        }
        let handle = metrics.upstream(&upstream.name).unwrap();
        Verdict::ALL
            .iter()
            .for_each(|verdict| handle.judged(*verdict, Impact::Users));
    }
    metrics
}

fn fill(metrics: &Metrics, upstream: &Arc<Upstream>, name: &str) {
    let hop = metrics.hop(&upstream.name, name).unwrap();
    let certificate = CertificateFacts {
        subject: String::new(),
        issuer: String::new(),
        names: Vec::new(),
        not_before: 0,
        not_after: 1_900_000_000,
        serial: String::new(),
    };
    let facts = TlsFacts {
        version: Some("TLSv1.3"),
        cipher: Some("TLS13_AES_256_GCM_SHA384"),
        chain: Arc::new(ChainFacts {
            certificates: vec![certificate],
        }),
        problem: Some(CertificateProblem::Untrusted),
        ..TlsFacts::default()
    };
    for status in 200..220 {
        let mut seen = observation(status);
        if upstream.hop(name).unwrap().uses_tls() {
            seen.tls = Some(Arc::new(facts.clone()));
        }
        hop.record(&probed(upstream, Outcome::Success, seen));
    }
    let mut kept = probed(upstream, Outcome::Failure(Cause::ServerError), observation(500));
    kept.recognised.cached_by = Some("age");
    hop.record(&kept);
    if upstream.hop(name).unwrap().resolves() {
        hop.resolvers_disagree(Some(true));
    }
    let resolves = upstream.hop(name).unwrap().resolves();
    // No path is named stable here; one that is costs its purpose and its gauge.
    let made = |purpose: &Purpose| *purpose != Purpose::Content && (resolves || *purpose != Purpose::StaleAddress);
    for purpose in EXTRA_PURPOSES.into_iter().filter(made) {
        let mut extra = finding(upstream, Outcome::Success, Seen::Nothing);
        extra.purpose = purpose;
        hop.record(&extra);
    }
    hop.round(&RoundSummary {
        at: at(0),
        failed_wholly: false,
        clean: true,
        judged: true,
        addresses: AddressCounts {
            healthy: 1,
            ..AddressCounts::default()
        },
        dns_addresses: 1,
        dns_ttl: Some(Duration::from_secs(30)),
        dns_changed: true,
    });
    hop.confirmed(Some(&address()), "/", Confirmed::Failing(Cause::BadGateway));
    let queue = Queue { length: 1, limit: 128 };
    let shown = Version {
        product: "nginx".into(),
        version: "1.22.1".into(),
    };
    hop.version(&address(), shown);
    hop.listening(&address(), Some(Listening::Yes(queue)));
    hop.kept_idle(&address(), Some(KeptIdle::For(Duration::from_secs(5))));
    hop.checked(&address(), true, true);
}

/// Series of a page by what they belong to: upstream, hop, address.
fn series(metrics: &Metrics) -> (usize, usize, usize) {
    let samples = samples(metrics);
    let count = |wanted: fn(&str) -> bool| samples.keys().filter(|series| wanted(series)).count();
    (
        count(|series| {
            let narrower = ["hop=", "gateway=", "address="];
            series.contains("upstream=") && !narrower.iter().any(|label| series.contains(label))
        }),
        count(|series| series.contains("hop=") && !series.contains("address=")),
        count(|series| series.contains("address=")),
    )
}

#[test]
fn series_stay_within_the_budget() {
    let (of_upstream, of_hop, of_address) = series(&busy(&[upstream("checkout", vec![largest()], 1)]));
    println!("largest hop: {of_hop} series, address: {of_address}, upstream: {of_upstream}");
    assert!(
        of_hop <= 135 && of_address <= 6 && of_upstream <= 30,
        "{of_hop} {of_address} {of_upstream}"
    );
    let origin = hop("origin", target("https://127.0.0.1:8443/"));
    let mut target = target("http://10.0.0.7:8080/");
    target.expect.body = Some(BodyRule::Contains("ok".to_owned()));
    let mut literal = hop("edge", target);
    literal.limits = all_limits();
    literal.gateway = largest().gateway;
    let (_, of_hop, of_address) = series(&busy(&[upstream("checkout", vec![literal], 1)]));
    println!("plain hop on an address: {of_hop} series, address: {of_address}");
    assert!(of_hop <= 100 && of_address <= 6);
    let (_, _, of_address) = series(&busy(&[upstream("checkout", vec![origin], 1)]));
    println!("address of an origin on this host: {of_address}");
    assert!(of_address <= 10);
}

#[test]
fn a_further_path_costs_two_series() {
    let upstream = upstream("checkout", vec![largest()], 1);
    let metrics = busy(std::slice::from_ref(&upstream));
    let (_, _, before) = series(&metrics);
    let hop = metrics.hop("checkout", "edge").unwrap();
    hop.confirmed(Some(&address()), "/cart", Confirmed::Failing(Cause::BadGateway));
    assert_eq!(series(&metrics).2, before + 2);
}

#[test]
fn a_hop_begins_with_every_cause_it_can_reach() {
    let metrics = configured(&[
        plain(),
        upstream("named", vec![hop("origin", target("https://shop.internal/"))], 1),
        upstream("largest", vec![largest()], 1),
    ]);
    let samples = samples(&metrics);
    let causes = |upstream: &str, hop: &str| -> Vec<&str> {
        let series = |cause: &Cause| {
            samples.contains_key(&format!(
                "probe_failures_total{{upstream=\"{upstream}\",hop=\"{hop}\",cause=\"{cause}\"}}"
            ))
        };
        Cause::ALL
            .iter()
            .filter(|cause| series(cause))
            .map(|cause| cause.label())
            .collect()
    };
    let all: Vec<&str> = Cause::of_probes().map(Cause::label).collect();
    assert_eq!(causes("largest", "edge"), all);
    let mut expected = all.clone();
    expected.retain(|cause| !["dns_unexpected_address", "content_mismatch"].contains(cause));
    assert_eq!(causes("named", "origin"), expected);
    expected.retain(|cause| !cause.starts_with("dns_") && !cause.starts_with("tls_"));
    assert_eq!(causes("checkout", "origin"), expected);
    assert_eq!(value(&metrics, "responses_total", ",code=\"200\""), "0");
    assert_eq!(value(&metrics, "responses_total", ",code=\"502\""), "0");
    assert_eq!(value(&metrics, "invalid_responses_total", ",reason=\"closed\""), "0");
    assert_eq!(value(&metrics, "upstream_phases_total", ",phase=\"tls\""), "-");
    assert_eq!(value(&metrics, "upstream_phases_total", ",phase=\"dns\""), "-");
    assert_eq!(value(&metrics, "extra_probes_total", ",purpose=\"stale_address\""), "-");
    assert_eq!(value(&metrics, "bad_gateway_ratio", ""), "-");
    assert_eq!(value(&metrics, "probes_aborted_total", ",reason=\"cancelled\""), "0");
}

/// The lines of some families, in order.
fn excerpt(page: &str, families: &[&str]) -> String {
    let wanted = |line: &&str| {
        let name = line
            .trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ")
            .trim_start_matches("# UNIT ");
        families.iter().any(|family| name.starts_with(family))
    };
    page.lines().filter(wanted).map(|line| format!("{line}\n")).collect()
}

fn small() -> Metrics {
    let mut upstream = (*upstream("checkout", vec![hop("origin", target("http://10.0.0.7:8080/"))], 1)).clone();
    upstream.labels = [
        ("note".to_owned(), "a\"b\\c\nd".to_owned()),
        ("team".to_owned(), "payments".to_owned()),
    ]
    .into();
    upstream.objective = Some(0.999);
    let upstream = Arc::new(upstream);
    let metrics = configured(std::slice::from_ref(&upstream));
    let hop = metrics.hop("checkout", "origin").unwrap();
    hop.record(&probed(
        &upstream,
        Outcome::Failure(Cause::BadGateway),
        observation(502),
    ));
    hop.confirmed(Some(&address()), "/", Confirmed::Failing(Cause::BadGateway));
    metrics
}

const SHOWN: &[&str] = &[
    "badgateway_upstream_info",
    "badgateway_upstream ",
    "badgateway_objective",
    "badgateway_probes ",
    "badgateway_probes_total",
    "badgateway_upstream_phase_seconds",
    "badgateway_probe_failing",
    "badgateway_upstream_latency",
];

#[test]
fn rules_learn_how_often_rounds_come() {
    assert_eq!(
        samples(&small())["round_interval_seconds{upstream=\"checkout\"}"],
        "15.0"
    );
}

#[test]
fn openmetrics_text_is_exact() {
    let page = page(&small(), Format::OpenMetrics);
    assert!(page.ends_with("\n# EOF\n"));
    assert_eq!(
        excerpt(&page, SHOWN),
        r##"# HELP badgateway_upstream The labels configured for an upstream.
# TYPE badgateway_upstream info
badgateway_upstream_info{note="a\"b\\c\nd",team="payments",upstream="checkout"} 1
# HELP badgateway_objective_ratio Share of good requests that is promised, 0 to 1.
# TYPE badgateway_objective_ratio gauge
badgateway_objective_ratio{upstream="checkout"} 0.999
# HELP badgateway_probes Probes; first attempts of scheduled rounds only.
# TYPE badgateway_probes counter
badgateway_probes_total{upstream="checkout",hop="origin"} 1
# HELP badgateway_upstream_phase_seconds Time spent in finished phases, in seconds.
# TYPE badgateway_upstream_phase_seconds counter
# UNIT badgateway_upstream_phase_seconds seconds
badgateway_upstream_phase_seconds_total{upstream="checkout",hop="origin",phase="connect"} 0.002
badgateway_upstream_phase_seconds_total{upstream="checkout",hop="origin",phase="first_byte"} 0.03
badgateway_upstream_phase_seconds_total{upstream="checkout",hop="origin",phase="body"} 0.001
# HELP badgateway_probe_failing Always 1: what is confirmed failing now and why; exists only while it fails.
# TYPE badgateway_probe_failing gauge
badgateway_probe_failing{note="a\"b\\c\nd",team="payments",upstream="checkout",hop="origin",address="10.0.0.7:8080",path="/",cause="bad_gateway"} 1
# HELP badgateway_upstream_latency_seconds Time to the first byte of the response after the request, and from connecting to the end, in seconds.
# TYPE badgateway_upstream_latency_seconds histogram
# UNIT badgateway_upstream_latency_seconds seconds
badgateway_upstream_latency_seconds_bucket{le="0.025",upstream="checkout",hop="origin",phase="first_byte"} 0
badgateway_upstream_latency_seconds_bucket{le="0.1",upstream="checkout",hop="origin",phase="first_byte"} 1 # {trace_id="00000000000000000000000000000abc"} 0.03 1800000000.000
badgateway_upstream_latency_seconds_bucket{le="0.5",upstream="checkout",hop="origin",phase="first_byte"} 1
badgateway_upstream_latency_seconds_bucket{le="1.0",upstream="checkout",hop="origin",phase="first_byte"} 1
badgateway_upstream_latency_seconds_bucket{le="5.0",upstream="checkout",hop="origin",phase="first_byte"} 1
badgateway_upstream_latency_seconds_bucket{le="10.0",upstream="checkout",hop="origin",phase="first_byte"} 1
badgateway_upstream_latency_seconds_bucket{le="30.0",upstream="checkout",hop="origin",phase="first_byte"} 1
badgateway_upstream_latency_seconds_bucket{le="60.0",upstream="checkout",hop="origin",phase="first_byte"} 1
badgateway_upstream_latency_seconds_bucket{le="+Inf",upstream="checkout",hop="origin",phase="first_byte"} 1
badgateway_upstream_latency_seconds_sum{upstream="checkout",hop="origin",phase="first_byte"} 0.03
badgateway_upstream_latency_seconds_count{upstream="checkout",hop="origin",phase="first_byte"} 1
badgateway_upstream_latency_seconds_bucket{le="0.025",upstream="checkout",hop="origin",phase="total"} 0
badgateway_upstream_latency_seconds_bucket{le="0.1",upstream="checkout",hop="origin",phase="total"} 1 # {trace_id="00000000000000000000000000000abc"} 0.033 1800000000.000
badgateway_upstream_latency_seconds_bucket{le="0.5",upstream="checkout",hop="origin",phase="total"} 1
badgateway_upstream_latency_seconds_bucket{le="1.0",upstream="checkout",hop="origin",phase="total"} 1
badgateway_upstream_latency_seconds_bucket{le="5.0",upstream="checkout",hop="origin",phase="total"} 1
badgateway_upstream_latency_seconds_bucket{le="10.0",upstream="checkout",hop="origin",phase="total"} 1
badgateway_upstream_latency_seconds_bucket{le="30.0",upstream="checkout",hop="origin",phase="total"} 1
badgateway_upstream_latency_seconds_bucket{le="60.0",upstream="checkout",hop="origin",phase="total"} 1
badgateway_upstream_latency_seconds_bucket{le="+Inf",upstream="checkout",hop="origin",phase="total"} 1
badgateway_upstream_latency_seconds_sum{upstream="checkout",hop="origin",phase="total"} 0.033
badgateway_upstream_latency_seconds_count{upstream="checkout",hop="origin",phase="total"} 1
"##
    );
}

#[test]
fn the_old_text_is_exact() {
    let page = page(&small(), Format::Prometheus);
    assert_eq!(
        excerpt(&page, &SHOWN[..6]),
        r##"# HELP badgateway_upstream_info The labels configured for an upstream.
# TYPE badgateway_upstream_info gauge
badgateway_upstream_info{note="a\"b\\c\nd",team="payments",upstream="checkout"} 1
# HELP badgateway_objective_ratio Share of good requests that is promised, 0 to 1.
# TYPE badgateway_objective_ratio gauge
badgateway_objective_ratio{upstream="checkout"} 0.999
# HELP badgateway_probes_total Probes; first attempts of scheduled rounds only.
# TYPE badgateway_probes_total counter
badgateway_probes_total{upstream="checkout",hop="origin"} 1
# HELP badgateway_upstream_phase_seconds_total Time spent in finished phases, in seconds.
# TYPE badgateway_upstream_phase_seconds_total counter
badgateway_upstream_phase_seconds_total{upstream="checkout",hop="origin",phase="connect"} 0.002
badgateway_upstream_phase_seconds_total{upstream="checkout",hop="origin",phase="first_byte"} 0.03
badgateway_upstream_phase_seconds_total{upstream="checkout",hop="origin",phase="body"} 0.001
"##
    );
    assert!(!page.contains("# UNIT") && !page.contains("# EOF") && !page.contains("trace_id"));
}

#[test]
fn openmetrics_is_well_formed() {
    let page = page(
        &busy(&[plain(), upstream("largest", vec![largest()], 1)]),
        Format::OpenMetrics,
    );
    let (mut series, mut metadata, mut family) = (HashSet::new(), HashSet::new(), "");
    for line in page.lines().take_while(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# ") {
            let words: Vec<&str> = rest.splitn(3, ' ').collect();
            assert!(metadata.insert((words[0], words[1])), "twice: {line}");
            family = words[1];
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(name.starts_with(family), "{line} stands under {family}");
        let sample = line.split(" # ").next().unwrap();
        let (labels, value) = sample.rsplit_once(' ').unwrap();
        assert!(series.insert(labels.to_owned()), "twice: {line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(page.matches("# EOF").count(), 1);
    // What `/proc` does not tell is left out, an unlimited address space for one.
    let shown: Vec<_> = FAMILIES
        .iter()
        .filter(|family| page.contains(&format!(" {} ", family.base())))
        .collect();
    assert!(
        FAMILIES
            .iter()
            .all(|family| family.name.starts_with("process_") || page.contains(family.base()))
    );
    for family in &shown {
        assert!(
            page.contains(&format!("# HELP {} {}\n", family.base(), family.help)),
            "{}",
            family.name
        );
        assert!(
            page.contains(&format!("# TYPE {} {}\n", family.base(), family.kind.as_str())),
            "{}",
            family.name
        );
    }
    assert_eq!(metadata.iter().filter(|(word, _)| *word == "TYPE").count(), shown.len());
    assert!(FAMILIES.iter().any(|family| family.kind == Kind::Histogram));
}

#[test]
fn no_lock_is_held_while_a_chunk_is_taken() {
    let upstreams: Vec<_> = (0..50)
        .map(|number| {
            upstream(
                &format!("upstream-{number}"),
                vec![hop("origin", target("http://10.0.0.7:8080/"))],
                1,
            )
        })
        .collect();
    let metrics = configured(&upstreams);
    let handles: Vec<_> = upstreams
        .iter()
        .map(|one| metrics.hop(&one.name, "origin").unwrap())
        .collect();
    let mut chunks = 0;
    let mut sink = |_: &str| {
        chunks += 1;
        // Would wait for ever if the scrape held anything that a probe needs.
        for (handle, upstream) in handles.iter().zip(&upstreams) {
            handle.record(&probed(upstream, Outcome::Success, observation(200)));
        }
        metrics.configure(&upstreams);
        Ok(())
    };
    metrics.encode(Format::OpenMetrics, at(10), &mut sink).unwrap();
    assert!(chunks > 5);
}

#[test]
fn promtool_has_nothing_to_say() {
    let page = page(
        &busy(&[plain(), upstream("largest", vec![largest()], 1)]),
        Format::Prometheus,
    );
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: promtool cannot be started: {error}");
            return;
        }
        Err(error) => panic!("promtool cannot be started: {error}"),
    };
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}
