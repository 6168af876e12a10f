//! Resolvers of one name that say different things: seen after three rounds, beside the rounds, and gone when they agree.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use support::daemon::{Daemon, Seen};
use support::dns::{self, NXDOMAIN};
use support::metrics::Metrics;
use support::peers::http1::{OK, answers};
use support::peers::serve;

/// What the second resolver says.
const SAME: usize = 0;
const NONE: usize = 1;
const OTHER: usize = 2;
const SILENT: usize = 3;

/// The resolver that is right, and one that says what its switch tells it to.
fn resolvers() -> ([SocketAddr; 2], Arc<AtomicUsize>) {
    let switch = Arc::new(AtomicUsize::new(SAME));
    let seen = switch.clone();
    let right = dns::serve(|question| vec![question.addresses(&["127.0.0.1"]).bytes()]);
    let second = dns::serve(move |question| match seen.load(Ordering::SeqCst) {
        SAME => vec![question.addresses(&["127.0.0.1"]).bytes()],
        NONE => vec![question.answer().code(NXDOMAIN).bytes()],
        OTHER => vec![question.addresses(&["127.0.0.9"]).bytes()],
        _ => Vec::new(),
    });
    ([right, second], switch)
}

fn watch(resolvers: &[SocketAddr], expect: &[&str]) -> Daemon {
    let port = serve(answers(OK)).port();
    let resolvers: Vec<String> = resolvers.iter().map(ToString::to_string).collect();
    Daemon::watching(
        "shop",
        json!({
            "origin": { "url": format!("http://shop.peer.test:{port}/"), "resolvers": resolvers, "family": "ipv4" },
            "expect": { "addresses": expect },
            "timeout": "900ms",
        }),
    )
}

/// Waits until the gauge has that value; no round may have failed meanwhile.
fn says(daemon: &Daemon, disagree: f64) -> Metrics {
    daemon.wait_until("shop", |metrics| {
        let found = metrics
            .all("dns_resolvers_disagree", &[])
            .next()
            .map(|sample| sample.value);
        match (metrics.sum("probe_failures_total", &[]), found == Some(disagree)) {
            (0.0, true) => Seen::Yes,
            (0.0, false) => Seen::NotYet(format!("{found:?}, not {disagree}")),
            _ => Seen::Never("a round failed".into()),
        }
    })
}

#[test]
fn one_that_lost_the_name_or_went_silent_is_seen_until_it_answers() {
    let (resolvers, switch) = resolvers();
    let daemon = watch(&resolvers, &["127.0.0.0/8"]);
    for wrong in [NONE, SILENT] {
        says(&daemon, 0.0);
        switch.store(wrong, Ordering::SeqCst);
        let seen = says(&daemon, 1.0);
        assert_eq!(
            seen.sum("verdict", &[("verdict", "healthy")]),
            1.0,
            "{}",
            seen.show("verdict")
        );
        switch.store(SAME, Ordering::SeqCst);
    }
    let log = daemon.process().output("its resolvers disagree", 10);
    assert!(
        log.contains(&format!("{} gives no address (NXDOMAIN)", resolvers[1])),
        "{log}"
    );
    says(&daemon, 0.0);
}

#[test]
fn one_with_another_address_is_seen_where_that_is_not_expected() {
    let (resolvers, switch) = resolvers();
    switch.store(OTHER, Ordering::SeqCst);
    // Three daemons side by side: what is not expected, what is, and where nothing is known of what is expected.
    let not_expected = watch(&resolvers, &["127.0.0.1/32"]);
    let expected = watch(&resolvers, &["127.0.0.0/8"]);
    let unknown = watch(&resolvers, &[]);
    says(&not_expected, 1.0);
    for quiet in [&expected, &unknown] {
        let seen = quiet.wait_until("shop", |metrics| match metrics.sum("rounds_total", &[]) {
            // Compared in the first round and in the eleventh.
            12.0.. => Seen::Yes,
            rounds => Seen::NotYet(format!("{rounds} rounds")),
        });
        assert!(seen.has("dns_resolvers_disagree", &[]));
        assert_eq!(seen.sum("dns_resolvers_disagree", &[]), 0.0);
    }
}

#[test]
fn a_single_resolver_has_nobody_to_disagree_with() {
    let ([right, _], _) = resolvers();
    let daemon = watch(&[right], &["127.0.0.0/8"]);
    let seen = daemon.wait_until("shop", |metrics| match metrics.sum("rounds_total", &[]) {
        3.0.. => Seen::Yes,
        rounds => Seen::NotYet(format!("{rounds} rounds")),
    });
    assert!(!seen.has("dns_resolvers_disagree", &[]), "{}", seen.show("dns"));
}
