//! Access and error lines brought together, in every order in which they come.

use proptest::prelude::*;

use super::*;
use crate::cause::Cause;
use crate::exchange::{Attempt, Join, Reason};

/// What was counted, in words.
#[derive(Debug, Default)]
struct Counted {
    requests: Vec<String>,
    attempts: Vec<String>,
}

impl Tally for Counted {
    fn request(&mut self, request: &Request<'_>) {
        let ending = match &request.ending {
            Ending::Served => "served".to_owned(),
            Ending::ClientClosed => "client closed".to_owned(),
            Ending::Synthetic => "synthetic".to_owned(),
            Ending::Failed(told) => told.cause.to_string(),
            Ending::CutAfterAll(told) => format!("cut after all: {}", told.cause),
        };
        let status = request.status.map_or("-".to_owned(), |status| status.to_string());
        self.requests.push(format!("{status} {ending} +{}", request.retries));
    }

    fn attempt(&mut self, attempt: &FailedAttempt<'_>) {
        let backend = String::from_utf8_lossy(attempt.backend);
        self.attempts.push(format!("{backend} {}", attempt.told.cause));
    }
}

const BOTH: Sources = Sources {
    access: true,
    errors: true,
};

fn traffic(sources: Sources) -> Traffic {
    Traffic::new(Routes::default(), sources, Patience::LIVE)
}

fn at(seconds: i64) -> Option<Stamp> {
    Some(Stamp {
        millis: seconds * 1000,
        local: false,
    })
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn join(exact: u64, client: &'static str, request: &'static str) -> Join<'static> {
    Join {
        exact,
        group: 0,
        client: client.as_bytes(),
        request: request.as_bytes(),
        status: None,
    }
}

/// A 502 of which the line says no more.
fn bare_502(join: Join<'static>) -> Exchange<'static> {
    Exchange {
        time: at(100),
        status: Some(502),
        outcome: Outcome::Failed(Reason::open(Cause::BadGateway)),
        join,
        ..Exchange::default()
    }
}

fn refused(backend: &'static str, join: Join<'static>) -> Complaint<'static> {
    Complaint {
        time: at(100),
        effect: Effect::Attempt,
        reason: Reason::exact(Cause::ConnectRefused),
        backend: backend.as_bytes(),
        host: b"",
        names: [b""; 3],
        join,
    }
}

#[test]
fn in_either_order_they_are_one_failure() {
    let join = join(0, "10.0.0.9", "/a");
    for error_first in [true, false] {
        let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
        let exchange = bare_502(join);
        let complaint = refused("10.0.0.1:80", join);
        if error_first {
            traffic.complaint(&complaint, secs(0), &mut counted);
            traffic.exchange(&exchange, secs(0), &mut counted);
        } else {
            traffic.exchange(&exchange, secs(0), &mut counted);
            traffic.complaint(&complaint, secs(1), &mut counted);
        }
        traffic.expire(secs(600), &mut counted);
        traffic.finish(&mut counted);
        assert_eq!(
            counted.requests,
            ["502 connect_refused +0"],
            "error first: {error_first}"
        );
        assert_eq!(counted.attempts, ["10.0.0.1:80 connect_refused"]);
    }
}

#[test]
fn one_error_line_belongs_to_one_of_two_equal_requests() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    for connection in [7, 8] {
        let mut join = join(connection, "10.0.0.9", "/a");
        traffic.complaint(&refused("10.0.0.1:80", join), secs(0), &mut counted);
        join.exact = 0;
        traffic.exchange(&bare_502(join), secs(0), &mut counted);
    }
    traffic.finish(&mut counted);
    assert_eq!(counted.requests, ["502 connect_refused +0"; 2]);
    assert_eq!(counted.attempts.len(), 2);
}

#[test]
fn without_its_error_line_a_request_says_what_it_can() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    traffic.exchange(&bare_502(join(0, "10.0.0.9", "/a")), secs(0), &mut counted);
    traffic.expire(secs(1), &mut counted);
    assert!(counted.requests.is_empty());
    traffic.expire(secs(2), &mut counted);
    assert_eq!(counted.requests, ["502 bad_gateway +0"]);
    // Its error line comes too late: it is not counted beside it.
    traffic.complaint(
        &refused("10.0.0.1:80", join(0, "10.0.0.9", "/a")),
        secs(3),
        &mut counted,
    );
    traffic.finish(&mut counted);
    assert_eq!((counted.requests.len(), counted.attempts.len()), (1, 1));
}

#[test]
fn a_retry_that_saved_the_request_is_an_attempt() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    let join = join(0, "10.0.0.9", "/a");
    traffic.complaint(&refused("10.0.0.1:80", join), secs(0), &mut counted);
    let served = Exchange {
        time: at(100),
        status: Some(200),
        join,
        ..Exchange::default()
    };
    traffic.exchange(&served, secs(0), &mut counted);
    assert_eq!(counted.requests, ["200 served +1"]);
    assert_eq!(counted.attempts, ["10.0.0.1:80 connect_refused"]);
}

#[test]
fn listed_attempts_take_their_reasons_from_the_error_log() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    let join = join(0, "10.0.0.9", "/a");
    let open = Reason::one_of(Cause::BadGateway, &[Cause::ConnectRefused, Cause::TlsClosed]);
    let attempt = |backend: &'static str, reason| Attempt {
        backend: backend.as_bytes(),
        reason,
        reused: None,
    };
    let exchange = Exchange {
        attempts: [attempt("10.0.0.1:80", Some(open)), attempt("10.0.0.2:80", None)]
            .into_iter()
            .collect(),
        retries: 1,
        status: Some(200),
        outcome: Outcome::Served,
        ..bare_502(join)
    };
    traffic.complaint(&refused("10.0.0.1:80", join), secs(0), &mut counted);
    traffic.exchange(&exchange, secs(0), &mut counted);
    traffic.finish(&mut counted);
    assert_eq!(counted.requests, ["200 served +1"]);
    assert_eq!(counted.attempts, ["10.0.0.1:80 connect_refused"]);
}

#[test]
fn a_cut_response_fails_whenever_it_is_told() {
    let join = join(0, "10.0.0.9", "/a");
    let served = Exchange {
        time: at(100),
        status: Some(200),
        join,
        ..Exchange::default()
    };
    let cut = Complaint {
        effect: Effect::Cut,
        reason: Reason::exact(Cause::ResponseTruncated),
        ..refused("10.0.0.1:80", join)
    };
    let (mut before, mut counted) = (traffic(BOTH), Counted::default());
    before.complaint(&cut, secs(0), &mut counted);
    before.exchange(&served, secs(0), &mut counted);
    assert_eq!(counted.requests, ["200 response_truncated +0"]);
    let (mut after, mut counted) = (traffic(BOTH), Counted::default());
    after.exchange(&served, secs(0), &mut counted);
    after.complaint(&cut, secs(1), &mut counted);
    after.expire(secs(300), &mut counted);
    assert_eq!(
        counted.requests,
        ["200 served +0", "- cut after all: response_truncated +0"]
    );
    assert_eq!(counted.attempts, ["10.0.0.1:80 response_truncated"]);
}

#[test]
fn an_error_line_says_how_a_response_was_cut() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    let join = join(7, "10.0.0.9", "/a");
    const BROKEN: &[Cause] = &[Cause::ResponseTruncated, Cause::ResponseMalformed];
    let exchange = Exchange {
        status: Some(200),
        outcome: Outcome::Failed(Reason::one_of(Cause::ResponseFailed, BROKEN)),
        ..bare_502(join)
    };
    let cut = Complaint {
        effect: Effect::Cut,
        reason: Reason::exact(Cause::ResponseTruncated),
        ..refused("10.0.0.1:80", join)
    };
    traffic.complaint(&cut, secs(0), &mut counted);
    traffic.exchange(&exchange, secs(0), &mut counted);
    traffic.finish(&mut counted);
    assert_eq!(counted.requests, ["200 response_truncated +0"]);
    assert_eq!(counted.attempts, ["10.0.0.1:80 response_truncated"]);
}

#[test]
fn a_cut_that_names_no_request_is_counted_soon_and_taken_by_none() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    let client = join(0, "10.0.0.9", "");
    let cut = Complaint {
        effect: Effect::Cut,
        reason: Reason::exact(Cause::ResponseTruncated),
        ..refused("", client)
    };
    traffic.complaint(&cut, secs(0), &mut counted);
    traffic.complaint(&refused("10.0.0.1:80", client), secs(0), &mut counted);
    traffic.exchange(&bare_502(join(0, "10.0.0.9", "/a")), secs(0), &mut counted);
    traffic.expire(secs(1), &mut counted);
    assert_eq!(
        counted.requests,
        ["502 connect_refused +0", "- cut after all: response_truncated +0"]
    );
    assert_eq!(counted.attempts, ["10.0.0.1:80 connect_refused", " response_truncated"]);
}

#[test]
fn several_lines_of_one_fault_are_one_attempt() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    let thread = |client| Join {
        group: 5,
        ..join(0, client, "")
    };
    for _ in 0..2 {
        traffic.complaint(&refused("10.0.0.1:80", thread("")), secs(0), &mut counted);
        let second = Complaint {
            reason: Reason::open(Cause::ConnectFailed),
            ..refused("", thread("10.0.0.9"))
        };
        traffic.complaint(&second, secs(0), &mut counted);
    }
    assert_eq!(traffic.waiting_complaints(), 2);
    for _ in 0..2 {
        traffic.exchange(&bare_502(join(0, "10.0.0.9", "/a")), secs(0), &mut counted);
    }
    traffic.finish(&mut counted);
    assert_eq!(counted.requests, ["502 connect_refused +0"; 2]);
    assert_eq!(counted.attempts, ["10.0.0.1:80 connect_refused"; 2]);
}

/// Two lines of one fault as httpd writes them, of which only the second names the client.
fn two_lines(group: u64, client: &'static str, status: u16) -> [Complaint<'static>; 2] {
    let join = |client| Join {
        group,
        status: Some(status),
        ..join(0, client, "")
    };
    let second = Complaint {
        reason: Reason::open(Cause::ConnectFailed),
        ..refused("", join(client))
    };
    [refused("10.0.0.1:80", join("")), second]
}

#[test]
fn a_request_between_two_lines_of_its_fault_is_found() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    let [first, second] = two_lines(5, "10.0.0.9", 502);
    traffic.complaint(&first, secs(0), &mut counted);
    traffic.exchange(&bare_502(join(0, "10.0.0.9", "/a")), secs(0), &mut counted);
    traffic.complaint(&second, secs(0), &mut counted);
    traffic.expire(secs(300), &mut counted);
    assert_eq!(counted.requests, ["502 connect_refused +0"]);
    assert_eq!(counted.attempts, ["10.0.0.1:80 connect_refused"]);
}

#[test]
fn a_later_line_of_a_fault_is_nobody_elses() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    let named = |client: &'static str| Complaint {
        join: Join {
            group: 5,
            ..join(0, client, "")
        },
        ..refused("10.0.0.1:80", Join::default())
    };
    let [_, second] = two_lines(5, "10.0.0.9", 502);
    traffic.complaint(&named("10.0.0.9"), secs(0), &mut counted);
    traffic.exchange(&bare_502(join(0, "10.0.0.9", "/a")), secs(0), &mut counted);
    traffic.exchange(&bare_502(join(0, "10.0.0.9", "/b")), secs(0), &mut counted);
    traffic.complaint(&second, secs(0), &mut counted);
    traffic.expire(secs(300), &mut counted);
    assert_eq!(counted.requests, ["502 connect_refused +0", "502 bad_gateway +0"]);
    assert_eq!(counted.attempts, ["10.0.0.1:80 connect_refused", " bad_gateway"]);
    assert!(traffic.told.is_empty());
}

#[test]
fn a_fault_that_leads_to_another_status_is_not_told_of_this_request() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    for complaint in two_lines(5, "10.0.0.9", 503) {
        traffic.complaint(&complaint, secs(0), &mut counted);
    }
    traffic.exchange(&bare_502(join(0, "10.0.0.9", "/a")), secs(0), &mut counted);
    let other = Exchange {
        status: Some(503),
        ..bare_502(join(0, "10.0.0.9", "/b"))
    };
    traffic.exchange(&other, secs(0), &mut counted);
    traffic.finish(&mut counted);
    assert_eq!(counted.requests, ["503 connect_refused +0", "502 bad_gateway +0"]);
}

/// Traefik's lines state the status, and the backend only where no connection came about.
#[test]
fn a_line_that_states_the_backend_goes_before_one_that_states_none() {
    let status = Join {
        status: Some(502),
        ..Join::default()
    };
    let lines = [
        Complaint {
            reason: Reason::exact(Cause::ResponseClosed),
            ..refused("", status)
        },
        refused("10.0.0.1:80", status),
    ];
    let request = |backend: &'static str| {
        let mut exchange = bare_502(status);
        exchange.tried_once(backend.as_bytes());
        exchange
    };
    let requests = [request("10.0.0.1:80"), request("10.0.0.2:80")];
    for [first, second] in [[0, 1], [1, 0]] {
        for [one, other] in [[0, 1], [1, 0]] {
            let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
            for line in [&lines[first], &lines[second]] {
                traffic.complaint(line, secs(0), &mut counted);
            }
            for request in [&requests[one], &requests[other]] {
                traffic.exchange(request, secs(0), &mut counted);
            }
            traffic.finish(&mut counted);
            counted.attempts.sort();
            let expected = ["10.0.0.1:80 connect_refused", "10.0.0.2:80 response_closed"];
            assert_eq!(counted.attempts, expected, "lines from {first}, requests from {one}");
        }
    }
}

#[test]
fn probes_are_set_apart_with_their_error_lines() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    traffic.ignore(&["Pingdom".to_owned()], &["192.0.2.0/24".parse().expect("a network")]);
    for (agent, client) in [
        ("badgateway/1.0", "10.0.0.9"),
        ("Pingdom.com", "10.0.0.9"),
        ("", "192.0.2.7:1234"),
    ] {
        let join = join(0, client, "/a");
        traffic.complaint(&refused("10.0.0.1:80", join), secs(0), &mut counted);
        let exchange = Exchange {
            agent: agent.as_bytes(),
            client: client.as_bytes(),
            ..bare_502(join)
        };
        traffic.exchange(&exchange, secs(0), &mut counted);
    }
    traffic.finish(&mut counted);
    assert_eq!(counted.requests, ["502 synthetic +0"; 3]);
    assert!(counted.attempts.is_empty());
}

#[test]
fn an_error_log_alone_tells_of_attempts() {
    let (mut traffic, mut counted) = (
        traffic(Sources {
            access: false,
            errors: true,
        }),
        Counted::default(),
    );
    traffic.complaint(
        &refused("10.0.0.1:80", join(7, "10.0.0.9", "/a")),
        secs(0),
        &mut counted,
    );
    assert!(counted.requests.is_empty());
    assert_eq!(counted.attempts, ["10.0.0.1:80 connect_refused"]);
}

/// A TCP session of HAProxy states nothing that a request does too.
#[test]
fn a_fault_that_no_request_can_be_found_for_is_counted_at_once() {
    for access in [true, false] {
        let (mut traffic, mut counted) = (traffic(Sources { access, errors: true }), Counted::default());
        traffic.complaint(&refused("app/s1", Join::default()), secs(0), &mut counted);
        assert_eq!(counted.attempts, ["app/s1 connect_refused"]);
        traffic.finish(&mut counted);
        assert_eq!((counted.requests.len(), counted.attempts.len()), (0, 1));
    }
}

/// Caddy says that a response was cut, and not which.
#[test]
fn a_cut_that_states_nothing_is_a_request_that_failed() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    let cut = Complaint {
        effect: Effect::Cut,
        reason: Reason::exact(Cause::ResponseTruncated),
        ..refused("", Join::default())
    };
    traffic.complaint(&cut, secs(0), &mut counted);
    assert!(counted.requests.is_empty());
    traffic.expire(secs(1), &mut counted);
    assert_eq!(counted.requests, ["- cut after all: response_truncated +0"]);
    assert_eq!(counted.attempts, [" response_truncated"]);
}

#[test]
fn times_without_a_zone_are_compared_within_their_quarter() {
    let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
    let join = join(0, "10.0.0.9", "/a");
    let complaint = Complaint {
        time: Some(Stamp {
            millis: 100_000 + 2 * 3_600_000,
            local: true,
        }),
        ..refused("10.0.0.1:80", join)
    };
    traffic.complaint(&complaint, secs(0), &mut counted);
    let mut later = bare_502(join);
    later.time = at(100 + 400);
    traffic.exchange(&later, secs(0), &mut counted);
    traffic.exchange(&bare_502(join), secs(0), &mut counted);
    traffic.expire(secs(2), &mut counted);
    assert_eq!(counted.requests, ["502 connect_refused +0", "502 bad_gateway +0"]);
}

proptest! {
    /// However lines come, each request is counted once, and no failure twice.
    #[test]
    fn nothing_is_lost_and_nothing_counted_twice(
        lines in proptest::collection::vec((any::<bool>(), 0usize..4, 0u64..5), 0..200)
    ) {
        const TARGETS: [&str; 4] = ["/a", "/b", "/c", ""];
        let (mut traffic, mut counted) = (traffic(BOTH), Counted::default());
        let (mut requests, mut complaints, mut now) = (0, 0, 0);
        for (is_request, target, pause) in lines {
            now += pause;
            let join = join(0, "10.0.0.9", TARGETS[target]);
            match is_request {
                true => {
                    requests += 1;
                    traffic.exchange(&bare_502(join), secs(now), &mut counted);
                }
                false => {
                    complaints += 1;
                    traffic.complaint(&refused("10.0.0.1:80", join), secs(now), &mut counted);
                }
            }
            traffic.expire(secs(now), &mut counted);
        }
        traffic.finish(&mut counted);
        prop_assert_eq!(counted.requests.len(), requests);
        prop_assert!(counted.attempts.len() >= requests.max(complaints.min(requests)));
        prop_assert!(counted.attempts.len() <= requests + complaints);
    }
}
