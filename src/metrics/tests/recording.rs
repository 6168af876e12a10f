//! What a finding, a round and a reload change, and what they leave alone.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::cause::Cause;
use crate::finding::{AddressCounts, Confirmed, Outcome, Purpose, RoundSummary, Seen};
use crate::metrics::Metrics;
use crate::observation::*;
use crate::upstream::Limits;

fn checkout(metrics: &Metrics) -> Arc<crate::metrics::HopMetrics> {
    metrics.hop("checkout", "origin").unwrap()
}

/// The series whose value differs, as `name{labels} before -> after`.
fn changed(metrics: &Metrics, act: impl FnOnce()) -> Vec<String> {
    let before = samples(metrics);
    act();
    samples(metrics)
        .into_iter()
        .filter(|(series, value)| before.get(series) != Some(value))
        .map(|(series, value)| {
            let series = series
                .replace("{upstream=\"checkout\",hop=\"origin\"", "{")
                .replace("{,", "{")
                .replace("{}", "");
            format!("{series} {value}")
        })
        .filter(|line| !line.starts_with("upstream_latency_seconds_bucket"))
        .collect()
}

#[test]
fn a_success_counts_in_every_metric_of_probes() {
    let upstream = plain();
    let metrics = configured(std::slice::from_ref(&upstream));
    let hop = checkout(&metrics);
    let lines = changed(&metrics, || {
        hop.record(&probed(&upstream, Outcome::Success, observation(200)))
    });
    assert_eq!(
        lines,
        [
            "bad_gateway_ratio 0.0",
            "probes_total 1",
            "response_body_bytes 11",
            "response_header_bytes 120",
            "responses_total{code=\"200\"} 1",
            "upstream_latency_seconds_count{phase=\"first_byte\"} 1",
            "upstream_latency_seconds_count{phase=\"total\"} 1",
            "upstream_latency_seconds_sum{phase=\"first_byte\"} 0.03",
            "upstream_latency_seconds_sum{phase=\"total\"} 0.033",
            "upstream_phase_seconds_total{phase=\"body\"} 0.001",
            "upstream_phase_seconds_total{phase=\"connect\"} 0.002",
            "upstream_phase_seconds_total{phase=\"first_byte\"} 0.03",
            "upstream_phases_total{phase=\"body\"} 1",
            "upstream_phases_total{phase=\"connect\"} 1",
            "upstream_phases_total{phase=\"first_byte\"} 1",
        ]
    );
}

#[test]
fn a_refused_connection_has_a_total_and_no_other_phase() {
    let upstream = plain();
    let metrics = configured(std::slice::from_ref(&upstream));
    let refused = Observation {
        timings: Timings {
            total: Duration::from_millis(1),
            ..Timings::default()
        },
        end: End::Connect(ConnectFault::Refused),
        ..observation(0)
    };
    let outcome = Outcome::Failure(Cause::ConnectRefused);
    let lines = changed(&metrics, || {
        checkout(&metrics).record(&probed(&upstream, outcome, refused))
    });
    assert_eq!(
        lines,
        [
            "bad_gateway_ratio 0.0",
            "connect_refused_total 1",
            "probe_failures_total{cause=\"connect_refused\"} 1",
            "probes_total 1",
            "upstream_latency_seconds_count{phase=\"total\"} 1",
            "upstream_latency_seconds_sum{phase=\"total\"} 0.001",
        ]
    );
}

#[test]
fn a_failed_resolution_is_one_probe_without_latency() {
    let upstream = upstream("checkout", vec![hop("origin", target("http://shop.internal/"))], 1);
    let metrics = configured(std::slice::from_ref(&upstream));
    let resolution = Resolution {
        name: "shop.internal".to_owned(),
        source: AnswerSource::Resolver("10.0.0.53:53".parse().unwrap()),
        cname_chain: Vec::new(),
        ttl: None,
        elapsed: Duration::from_millis(4),
        result: Err(DnsFault::NxDomain),
        half: None,
    };
    let mut failed = finding(
        &upstream,
        Outcome::Failure(Cause::DnsNxdomain),
        Seen::Resolution(resolution.clone().into()),
    );
    (failed.address, failed.path) = (None, None);
    let lines = changed(&metrics, || {
        checkout(&metrics).resolved(&resolution);
        checkout(&metrics).record(&failed);
    });
    assert_eq!(
        lines,
        [
            "bad_gateway_ratio 0.0",
            "dns_failures_total{reason=\"nxdomain\"} 1",
            "probe_failures_total{cause=\"dns_nxdomain\"} 1",
            "probes_total 1",
        ]
    );
    let answered = Resolution {
        result: Ok(Vec::new()),
        ..resolution.clone()
    };
    let literal = Resolution {
        source: AnswerSource::Literal,
        ..answered.clone()
    };
    checkout(&metrics).resolved(&answered);
    checkout(&metrics).resolved(&literal);
    assert_eq!(value(&metrics, "upstream_phases_total", ",phase=\"dns\""), "1");
    assert_eq!(
        value(&metrics, "upstream_phase_seconds_total", ",phase=\"dns\""),
        "0.004"
    );
}

#[test]
fn extra_aborted_and_skipped_probes_bend_no_ratio() {
    let upstream = plain();
    let metrics = configured(std::slice::from_ref(&upstream));
    let hop = checkout(&metrics);
    let mut confirm = probed(&upstream, Outcome::Failure(Cause::BadGateway), observation(502));
    confirm.purpose = Purpose::Confirm;
    let mut aborted = finding(&upstream, Outcome::Aborted(OwnLimit::RateLimit), Seen::Nothing);
    let lines = changed(&metrics, || {
        hop.record(&confirm);
        hop.record(&aborted);
        hop.record(&finding(&upstream, Outcome::Skipped, Seen::Nothing));
        aborted.purpose = Purpose::Recheck;
        hop.record(&aborted);
    });
    assert_eq!(
        lines,
        [
            "extra_probes_total{purpose=\"confirm\"} 1",
            "probes_aborted_total{reason=\"rate_limit\"} 1"
        ]
    );
}

#[test]
fn a_502_counts_as_one_also_where_it_is_allowed_or_disguised() {
    let upstream = plain();
    let metrics = configured(std::slice::from_ref(&upstream));
    let hop = checkout(&metrics);
    hop.record(&probed(&upstream, Outcome::Success, observation(502)));
    hop.record(&probed(
        &upstream,
        Outcome::Failure(Cause::BadGateway),
        observation(502),
    ));
    hop.record(&probed(
        &upstream,
        Outcome::Failure(Cause::DisguisedBadGateway),
        observation(520),
    ));
    hop.record(&probed(&upstream, Outcome::Success, observation(200)));
    assert_eq!(value(&metrics, "bad_gateway_total", ""), "3");
    assert_eq!(value(&metrics, "bad_gateway_ratio", ""), "0.75");
    assert_eq!(value(&metrics, "responses_total", ",code=\"502\""), "2");
    assert_eq!(value(&metrics, "responses_total", ",code=\"520\""), "1");
}

#[test]
fn the_seventeenth_status_is_other_and_counted_as_dropped() {
    let upstream = plain();
    let metrics = configured(std::slice::from_ref(&upstream));
    for status in 300..316 {
        checkout(&metrics).record(&probed(&upstream, Outcome::Success, observation(status)));
    }
    assert_eq!(value(&metrics, "responses_total", ",code=\"313\""), "1");
    assert_eq!(value(&metrics, "responses_total", ",code=\"314\""), "-");
    assert_eq!(value(&metrics, "responses_total", ",code=\"other\""), "2");
    assert_eq!(samples(&metrics)["series_dropped_total"], "2");
}

#[test]
fn rounds_and_results_drive_the_gauges() {
    let upstream = plain();
    let metrics = configured(std::slice::from_ref(&upstream));
    let hop = checkout(&metrics);
    assert_eq!(samples(&metrics)["upstreams_pending"], "1");
    let round = RoundSummary {
        at: at(5),
        failed_wholly: true,
        clean: false,
        judged: true,
        addresses: AddressCounts {
            failing: 1,
            ..AddressCounts::default()
        },
        dns_addresses: 0,
        dns_ttl: None,
        dns_changed: false,
    };
    let lines = changed(&metrics, || {
        hop.round(&round);
        hop.confirmed(Some(&address()), "/", Confirmed::Failing(Cause::ConnectRefused));
    });
    assert_eq!(
        lines,
        [
            "addresses{state=\"failing\"} 1",
            "addresses{state=\"healthy\"} 0",
            "addresses{state=\"skipped\"} 0",
            "addresses{state=\"unprobed\"} 0",
            "last_round_timestamp_seconds 1800000005.0",
            "probe_failing{address=\"10.0.0.7:8080\",path=\"/\",cause=\"connect_refused\"} 1",
            "probe_success{address=\"10.0.0.7:8080\",path=\"/\"} 0",
            "rounds_failed_total{user_view=\"true\"} 1",
            "rounds_total{user_view=\"true\"} 1",
            "upstreams_pending 0",
        ]
    );
    let unjudged = RoundSummary {
        judged: false,
        at: at(9),
        ..round
    };
    // What our own side prevented says nothing of the upstream, and was not late.
    assert_eq!(
        changed(&metrics, || hop.round(&unjudged)),
        ["last_round_timestamp_seconds 1800000009.0"]
    );
    hop.confirmed(Some(&address()), "/", Confirmed::Healthy);
    let labels = ",address=\"10.0.0.7:8080\",path=\"/\"";
    assert_eq!(value(&metrics, "probe_success", labels), "1");
    assert!(
        !samples(&metrics)
            .keys()
            .any(|series| series.starts_with("probe_failing"))
    );
    hop.forget(Some(&address()), "/");
    assert_eq!(value(&metrics, "probe_success", labels), "-");
}

#[test]
fn eighty_percent_of_a_limit_is_near_it() {
    let mut limited = hop("origin", target("http://10.0.0.7:8080/"));
    limited.limits = Limits {
        connect: Some(Duration::from_secs(1)),
        first_byte: Some(Duration::from_secs(10)),
        response_header: Some(150),
        ..Limits::default()
    };
    let upstream = upstream("checkout", vec![limited], 1);
    let metrics = configured(std::slice::from_ref(&upstream));
    let near = |limit: &str| value(&metrics, "near_limit_total", &format!(",limit=\"{limit}\""));
    let cases = [(799, 9000, 119, ["0", "1", "0"]), (800, 7999, 120, ["1", "0", "1"])];
    for (connect, first_byte, bytes, expected) in cases {
        metrics.configure(&[]);
        metrics.configure(std::slice::from_ref(&upstream));
        let mut seen = observation(200);
        seen.timings.connect = Some(Duration::from_millis(connect));
        seen.timings.first_byte = Some(Duration::from_millis(first_byte));
        let End::Response(response) = &mut seen.end else {
            unreachable!()
        };
        response.head.bytes = bytes;
        checkout(&metrics).record(&probed(&upstream, Outcome::Success, seen));
        assert_eq!([near("connect"), near("first_byte"), near("response_header")], expected);
    }
    assert_eq!(near("total"), "-", "no such limit");
    let mut timed_out = observation(0);
    timed_out.timings = Timings {
        connect: Some(Duration::from_millis(100)),
        total: Duration::from_millis(8100),
        ..Timings::default()
    };
    let fault = HttpFault::HeadTimeout;
    timed_out.end = End::Http(HttpFailure {
        fault,
        head: None,
        start: bytes::Bytes::new(),
        body_bytes: 0,
    });
    let outcome = Outcome::Failure(Cause::ResponseTimeout);
    checkout(&metrics).record(&probed(&upstream, outcome, timed_out.clone()));
    assert_eq!(near("first_byte"), "1");
    timed_out.timings.total = Duration::from_millis(8099);
    checkout(&metrics).record(&probed(&upstream, outcome, timed_out));
    assert_eq!(near("first_byte"), "1");
}

#[test]
fn the_certificate_of_an_address_that_is_not_that_of_the_others_is_told() {
    let one = upstream("checkout", vec![hop("origin", target("https://shop.example.com/"))], 1);
    let metrics = configured(std::slice::from_ref(&one));
    let serves_with = |problem: Option<CertificateProblem>, last: u8, serial: &str, not_after: i64| {
        let certificate = CertificateFacts {
            subject: String::new(),
            issuer: "CN=CA".to_owned(),
            names: Vec::new(),
            not_before: 0,
            not_after,
            serial: serial.to_owned(),
        };
        let facts = TlsFacts {
            chain: Arc::new(ChainFacts {
                certificates: vec![certificate],
            }),
            problem,
            ..TlsFacts::default()
        };
        let seen = Observation {
            tls: Some(Arc::new(facts)),
            address: Address::Tcp(([10, 0, 0, last], 443).into()),
            ..observation(200)
        };
        checkout(&metrics).record(&probed(&one, Outcome::Success, seen));
    };
    let serves = |last, serial, not_after| serves_with(None, last, serial, not_after);
    let differs = |last: u8| {
        let place = format!(",address=\"10.0.0.{last}:443\",problem=\"differs\"");
        value(&metrics, "tls_certificate_problem", &place)
    };
    serves(1, "01", 1_900_000_000);
    serves(2, "01", 1_900_000_000);
    assert_eq!([differs(1), differs(2)], ["-", "-"]);
    // One is renewed, then the other.
    serves(2, "02", 1_910_000_000);
    assert_eq!([differs(1), differs(2)], ["1", "-"]);
    serves(1, "02", 1_910_000_000);
    assert_eq!([differs(1), differs(2)], ["-", "-"]);
    // One that was left behind goes.
    serves(3, "01", 1_900_000_000);
    assert_eq!(differs(3), "1");
    let gone = Address::Tcp(([10, 0, 0, 3], 443).into());
    checkout(&metrics).forget(Some(&gone), "/");
    assert_eq!([differs(1), differs(2), differs(3)], ["-", "-", "-"]);
    // What both have is no news, what one alone has is more.
    let problem = Some(CertificateProblem::Untrusted);
    serves_with(problem, 1, "01", 1_900_000_000);
    assert_eq!([differs(1), differs(2)], ["-", "-"], "untrusted says more");
    serves_with(problem, 2, "02", 1_910_000_000);
    assert_eq!([differs(1), differs(2)], ["1", "-"]);
}

#[test]
fn certificates_are_those_of_the_address() {
    let upstream = upstream("checkout", vec![hop("origin", target("https://10.0.0.7:8080/"))], 1);
    let metrics = configured(std::slice::from_ref(&upstream));
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
    let seen = Observation {
        tls: Some(Arc::new(facts)),
        ..observation(200)
    };
    checkout(&metrics).record(&probed(&upstream, Outcome::Success, seen.clone()));
    let place = ",address=\"10.0.0.7:8080\"";
    assert_eq!(
        value(&metrics, "tls_certificate_expiry_timestamp_seconds", place),
        "1900000000.0"
    );
    assert_eq!(value(&metrics, "tls_certificate_lifetime_seconds", ""), "1900000000");
    assert_eq!(
        value(
            &metrics,
            "tls_certificate_problem",
            &format!("{place},problem=\"untrusted\"")
        ),
        "1"
    );
    let session = ",version=\"TLSv1.3\",cipher=\"TLS13_AES_256_GCM_SHA384\"";
    assert_eq!(value(&metrics, "tls_info", session), "1");
    let refused = Observation {
        end: End::Tls(TlsFault::Certificate(CertificateProblem::Untrusted)),
        ..seen
    };
    let outcome = Outcome::Failure(Cause::TlsCertificateUntrusted);
    checkout(&metrics).record(&probed(&upstream, outcome, refused));
    assert_eq!(
        value(
            &metrics,
            "tls_certificate_problem",
            &format!("{place},problem=\"untrusted\"")
        ),
        "-"
    );
}

#[test]
fn a_reload_keeps_counters_and_removes_what_went() {
    let one = plain();
    let other = upstream("other", vec![hop("origin", target("http://10.0.0.8/"))], 1);
    let metrics = configured(&[Arc::clone(&other), Arc::clone(&one)]);
    let handle = checkout(&metrics);
    handle.record(&probed(&one, Outcome::Success, observation(200)));
    handle.confirmed(Some(&address()), "/", Confirmed::Healthy);
    metrics.configure(std::slice::from_ref(&one));
    assert!(metrics.hop("other", "origin").is_none());
    assert!(!samples(&metrics).keys().any(|series| series.contains("\"other\"")));
    assert_eq!(
        value(&metrics, "probe_success", ",address=\"10.0.0.7:8080\",path=\"/\""),
        "1"
    );

    let moved = upstream(
        "checkout",
        vec![largest(), hop("origin", target("https://10.0.0.9/"))],
        2,
    );
    metrics.configure(std::slice::from_ref(&moved));
    handle.record(&probed(&moved, Outcome::Success, observation(200)));
    assert_eq!(
        value(&metrics, "probes_total", ""),
        "2",
        "counters go on, and the old handle is good"
    );
    assert_eq!(
        value(&metrics, "probe_success", ",address=\"10.0.0.7:8080\",path=\"/\""),
        "-"
    );
    assert_eq!(
        value(&metrics, "probe_failures_total", ",cause=\"tls_timeout\""),
        "0",
        "it can reach TLS now"
    );
    assert!(metrics.hop("checkout", "edge").is_some());
}

#[test]
fn addresses_are_bounded() {
    let upstream = plain();
    let metrics = configured(std::slice::from_ref(&upstream));
    let hop = checkout(&metrics);
    hop.confirmed(Some(&address()), "/", Confirmed::Healthy);
    hop.confirmed(
        Some(&Address::Tcp("10.0.0.8:80".parse().unwrap())),
        "/",
        Confirmed::Healthy,
    );
    assert_eq!(
        samples(&metrics)
            .keys()
            .filter(|series| series.starts_with("probe_success"))
            .count(),
        1
    );
    assert_eq!(samples(&metrics)["series_dropped_total"], "1");
}
