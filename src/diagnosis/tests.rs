//! The rules against every small input, and against simulated faults whose oracle does not know the rules.

mod enumeration;
mod simulation;

use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn diagnosed(facts: &UpstreamFacts) -> Diagnosis {
    diagnose(facts, &Diagnosis::unknown(UNIX_EPOCH), UNIX_EPOCH)
}

fn failing(address: &str, cause: Cause) -> FailingAddress {
    FailingAddress {
        address: address.into(),
        is_name: false,
        cause,
        paths: vec!["/".into()],
        from_cache: false,
    }
}

fn origin(healthy: usize, causes: &[Cause]) -> HopFacts {
    HopFacts {
        complete: true,
        healthy,
        ever_succeeded: true,
        failing: causes.iter().map(|cause| failing("192.0.2.1:80", *cause)).collect(),
        ..HopFacts::unknown("origin".into(), true)
    }
}

fn upstream(hops: Vec<HopFacts>) -> UpstreamFacts {
    UpstreamFacts {
        hops,
        self_check_lost: false,
    }
}

#[test]
fn the_largest_group_counts_and_of_equal_ones_the_earlier() {
    use Cause::*;
    let of = |causes: &[Cause]| {
        let said = diagnosed(&upstream(vec![origin(0, causes)]));
        (said.verdict, said.cause)
    };
    assert_eq!(
        of(&[ServerError, ConnectRefused]),
        (Verdict::OriginDown, Some(ConnectRefused))
    );
    assert_eq!(
        of(&[ConnectRefused, ServerError, ContentMismatch]),
        (Verdict::OriginError, Some(ServerError))
    );
    assert_eq!(
        of(&[ResponseTimeout, ServiceUnavailable, ServiceUnavailable, ConnectRefused]),
        (Verdict::OriginOverloaded, Some(ServiceUnavailable))
    );
}

#[test]
fn every_cause_has_its_group() {
    use Verdict::*;
    let groups: Vec<_> = Cause::ALL.iter().map(|cause| (cause.label(), group(*cause))).collect();
    let of = |prefix: &str, verdict| {
        for (label, found) in groups.iter().filter(|(label, _)| label.starts_with(prefix)) {
            assert_eq!(*found, verdict, "{label}");
        }
    };
    of("dns_", OriginDns);
    of("connect_", OriginDown);
    of("tls_", OriginTls);
    for (labels, verdict) in [
        (
            "response_closed response_reset response_malformed response_header_too_large response_truncated",
            OriginInvalid,
        ),
        ("response_failed", OriginInvalid),
        (
            "response_timeout response_body_timeout service_unavailable gateway_timeout",
            OriginOverloaded,
        ),
        ("upstream_overloaded", OriginOverloaded),
        (
            "bad_gateway disguised_bad_gateway server_error unexpected_status content_mismatch",
            OriginError,
        ),
        ("no_live_upstream", OriginDown),
        ("gateway_config gateway_internal", GatewayFault),
        ("unknown", Unlocated),
    ] {
        for label in labels.split(' ') {
            assert!(groups.contains(&(label, verdict)), "{label}");
        }
    }
}

#[test]
fn a_timeout_at_a_full_queue_is_overload() {
    let mut hop = origin(0, &[Cause::ConnectTimeout]);
    assert_eq!(diagnosed(&upstream(vec![hop.clone()])).verdict, Verdict::OriginDown);
    hop.queue_is_full = true;
    let said = diagnosed(&upstream(vec![hop]));
    assert_eq!(
        (said.verdict, said.cause),
        (Verdict::OriginOverloaded, Some(Cause::ConnectTimeout))
    );
    assert!(said.sentence().starts_with("The origin is overloaded"));
}

#[test]
fn a_verdict_that_stays_keeps_its_beginning() {
    let later = UNIX_EPOCH + std::time::Duration::from_secs(60);
    let down = upstream(vec![origin(0, &[Cause::ConnectRefused])]);
    let first = diagnosed(&down);
    assert_eq!(diagnose(&down, &first, later), first);
    let healthy = diagnose(&upstream(vec![origin(1, &[])]), &first, later);
    assert_eq!((healthy.verdict, healthy.since), (Verdict::Healthy, later));
}

#[test]
fn the_scope_names_addresses_and_paths() {
    let mut hop = origin(2, &[Cause::ServerError, Cause::ConnectRefused]);
    hop.failing[1].paths = vec!["/api".into(), "/".into()];
    let said = diagnosed(&upstream(vec![hop]));
    assert_eq!(said.scope.extent(), "2 of 4 addresses");
    assert_eq!(said.scope.paths, ["/".into(), "/api".into()]);
}

#[test]
fn a_log_names_cause_path_and_backend() {
    let mut edge = HopFacts {
        complete: true,
        healthy: 1,
        ..HopFacts::unknown("edge".into(), false)
    };
    edge.log = Some(Box::new(LogEvidence {
        exceeds_spike: true,
        failed: 30,
        requests: 100,
        cause: Some(Cause::ConnectRefused),
        path: Some("/api/cart".into()),
        backend: Some("10.0.0.7:8080".into()),
        ranked: Ranked::default(),
    }));
    let said = diagnosed(&upstream(vec![edge, origin(1, &[])]));
    assert_eq!((said.verdict, said.impact), (Verdict::TrafficFailing, Impact::Users));
    assert_eq!(said.scope.backend.as_deref(), Some("10.0.0.7:8080"));
    let sentence = said.sentence();
    assert!(sentence.contains("(30 of 100): connect_refused"), "{sentence}");
    assert!(
        sentence.ends_with(", most of them for /api/cart at 10.0.0.7:8080."),
        "{sentence}"
    );
}

#[test]
fn a_log_says_what_fails_behind_a_gateway_where_nothing_else_looks() {
    use Cause::*;
    let edge = |page, logged| HopFacts {
        name: "edge".into(),
        is_origin: false,
        stated: page,
        log: Some(Box::new(LogEvidence {
            exceeds_spike: false,
            failed: 1,
            requests: 100,
            cause: logged,
            path: None,
            backend: Some("10.0.0.7:8080".into()),
            ranked: Ranked::default(),
        })),
        ..origin(0, &[Cause::BadGateway])
    };
    let say = |page, logged| diagnosed(&upstream(vec![edge(page, logged)]));
    for (page, logged, verdict, cause) in [
        (None, Some(ConnectRefused), Verdict::OriginDown, ConnectRefused),
        (None, Some(ConnectFailed), Verdict::OriginDown, ConnectFailed),
        (None, Some(ResponseTimeout), Verdict::OriginOverloaded, ResponseTimeout),
        (None, Some(GatewayConfig), Verdict::GatewayFault, GatewayConfig),
        // The page speaks of what was asked, the log of all that is asked.
        (Some(TlsClosed), Some(ConnectRefused), Verdict::OriginTls, TlsClosed),
        (Some(Unknown), Some(ConnectRefused), Verdict::OriginDown, ConnectRefused),
        // A status says no place.
        (None, Some(BadGateway), Verdict::Unlocated, BadGateway),
        (None, Some(DisguisedBadGateway), Verdict::Unlocated, BadGateway),
        (None, Some(Unknown), Verdict::Unlocated, BadGateway),
        (None, None, Verdict::Unlocated, BadGateway),
    ] {
        let said = say(page, logged);
        assert_eq!(
            (said.rule, said.verdict, said.cause),
            (10, verdict, Some(cause)),
            "{page:?} {logged:?}"
        );
        let from_log = verdict != Verdict::Unlocated;
        assert_eq!(said.basis == Basis::Log, from_log, "{page:?} {logged:?}");
    }
    let sentence = say(None, Some(ConnectRefused)).sentence();
    assert!(
        sentence.contains(" at 10.0.0.7:8080, as read from the gateway's log"),
        "{sentence}"
    );
}

#[test]
fn a_hop_on_its_way_back_is_not_accused() {
    let mut edge = HopFacts {
        is_origin: false,
        ..origin(0, &[Cause::BadGateway])
    };
    edge.name = "edge".into();
    let down = diagnosed(&upstream(vec![edge.clone(), origin(0, &[Cause::ConnectRefused])]));
    assert_eq!(down.verdict, Verdict::OriginDown);
    let say = |edge: &HopFacts| diagnose(&upstream(vec![edge.clone(), origin(1, &[])]), &down, UNIX_EPOCH);
    assert_eq!(say(&edge).verdict, Verdict::GatewayFault);
    edge.recovering = true;
    assert_eq!(
        (say(&edge).verdict, say(&edge).impact),
        (Verdict::OriginDown, Impact::Users)
    );
}

#[test]
fn a_hop_is_not_accused_by_what_was_seen_before_the_one_behind_it_was_well_again() {
    let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
    let edge = |last_failed| HopFacts {
        name: "edge".into(),
        is_origin: false,
        last_failed,
        ..origin(0, &[Cause::BadGateway])
    };
    let down = diagnosed(&upstream(vec![edge(at(8)), origin(0, &[Cause::ConnectRefused])]));
    let well = HopFacts {
        well_since: at(10),
        ..origin(1, &[])
    };
    let say = |failed| diagnose(&upstream(vec![edge(at(failed)), well.clone()]), &down, UNIX_EPOCH).verdict;
    assert_eq!(say(9), Verdict::OriginDown);
    assert_eq!(say(10), Verdict::GatewayFault);
    let before_any_fault = diagnosed(&upstream(vec![origin(1, &[])]));
    let fresh = diagnose(
        &upstream(vec![edge(at(9)), well.clone()]),
        &before_any_fault,
        UNIX_EPOCH,
    );
    assert_eq!(fresh.verdict, Verdict::GatewayFault, "nothing was accused before");
}
