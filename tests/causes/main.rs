//! Every cause a probe can end with, produced on the wire and named on `/metrics`: one test per case, named after its
//! cause, each also asserting that no other cause has grown.

#[path = "../support/mod.rs"]
mod support;

mod connect;
mod content;
mod disguised;
mod dns;
mod http1;
mod http2;
mod status;
mod tls;

use std::collections::BTreeSet;

use badgateway::cause::Cause;
use support::cases::{Case, Expect, judge};
use support::daemon::Seen;

fn cases() -> impl Iterator<Item = &'static Case> {
    [
        dns::CASES,
        connect::CASES,
        tls::CASES,
        http1::CASES,
        http2::CASES,
        status::CASES,
        disguised::CASES,
        content::CASES,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn every_cause_of_probes_has_a_peer_a_help_text_and_a_readme_row() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap_or_default();
    let produced: BTreeSet<Cause> = cases().filter_map(|case| case.expect.cause()).collect();
    let mut missing = Vec::new();
    for cause in Cause::ALL {
        if !cause.logs_only() && !produced.contains(cause) {
            missing.push(format!("{cause}: no peer"));
        }
        if cause.meaning().is_empty() || cause.look_at().is_empty() {
            missing.push(format!("{cause}: no help text"));
        }
        if !readme.lines().any(|line| line.starts_with(&format!("| `{cause}` |"))) {
            missing.push(format!("{cause}: no row in README.md"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_test_is_named_after_its_cause() {
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(names.insert(case.name), "{} stands twice", case.name);
        let cause = case
            .expect
            .cause()
            .unwrap_or_else(|| panic!("{} belongs to the healthy ones", case.name));
        assert!(case.name.starts_with(cause.label()), "{} ends with {cause}", case.name);
    }
}

/// The test of the tests: what is expected wrongly is not taken for right.
#[test]
fn a_wrong_expectation_is_noticed() {
    let metrics = connect::GROUP
        .check("connect_refused")
        .expect("needs nothing of the system");
    let wrong = [
        Expect::Healthy,
        Expect::Fails(Cause::ConnectTimeout),
        Expect::Fails(Cause::TlsClosed),
        Expect::Answers(Cause::BadGateway, 502),
    ];
    for expect in wrong {
        assert!(
            matches!(judge(expect, &metrics), Seen::Never(_)),
            "{expect:?} passes for connect_refused"
        );
    }
    let metrics = status::GROUP.check("bad_gateway").expect("needs nothing of the system");
    assert!(matches!(
        judge(Expect::Answers(Cause::BadGateway, 503), &metrics),
        Seen::Never(_)
    ));
}
