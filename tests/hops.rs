//! What a hop as a whole says: one bad address among good ones, a name that stops resolving while its server is well,
//! a fault that comes and goes, and a gateway in front of a broken origin.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use support::cases::{Expect, judge};
use support::daemon::{Daemon, Seen};
use support::metrics::Metrics;
use support::peers::http1::{self, OK, answers};
use support::peers::{Behaviour, serve, tcp};
use support::{dns, peers};

/// `Yes` once all hold; the first that does not is what is missing.
fn all(wanted: &[(&str, bool)]) -> Seen {
    match wanted.iter().find(|(_, holds)| !holds) {
        None => Seen::Yes,
        Some((what, _)) => Seen::NotYet((*what).to_owned()),
    }
}

/// A server that is well unless the switch says otherwise.
fn switched(broken: &Arc<AtomicBool>) -> Behaviour {
    let broken = broken.clone();
    let (good, bad) = (answers(OK), http1::status("502 Bad Gateway"));
    Box::new(move |wire: &mut dyn peers::Wire| {
        if broken.load(Ordering::SeqCst) {
            bad(wire)
        } else {
            good(wire)
        }
    })
}

#[test]
fn one_bad_address_of_two_fails_partly() {
    let (refusing, _socket) = tcp::refusing();
    let origin = json!([format!("http://{}/", serve(answers(OK))), format!("http://{refusing}/")]);
    let daemon = Daemon::watching("half", json!({ "origin": origin }));
    let metrics = daemon.wait_until("half", |metrics| {
        let of = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, labels);
        let failures = of("probe_failures_total", &[("cause", "connect_refused")]);
        all(&[
            ("three rounds", of("rounds_total", &[]) >= 3.0),
            ("half of the probes failed", failures * 2.0 == of("probes_total", &[])),
            ("no other cause", of("probe_failures_total", &[]) == failures),
            ("counted as refused", of("connect_refused_total", &[]) == failures),
            ("one address failing", of("addresses", &[("state", "failing")]) == 1.0),
            ("one address healthy", of("addresses", &[("state", "healthy")]) == 1.0),
            (
                "one series that says why",
                of("probe_failing", &[("cause", "connect_refused")]) == 1.0,
            ),
        ])
    });
    assert_eq!(
        metrics.sum("rounds_failed_total", &[]),
        0.0,
        "a round fails only wholly"
    );
    let address = refusing.to_string();
    assert!(
        metrics.has("probe_failing", &[("address", &address)]),
        "{}",
        metrics.show("probe_failing")
    );
}

#[test]
fn a_name_that_stops_resolving_leaves_its_addresses_probed() {
    let gone = Arc::new(AtomicBool::new(false));
    let switch = gone.clone();
    let resolver = dns::serve(move |question| match switch.load(Ordering::SeqCst) {
        true => vec![question.answer().code(dns::NXDOMAIN).bytes()],
        false => vec![question.addresses(&["127.0.0.1"]).bytes()],
    });
    let url = format!("http://service.peer.test:{}/", serve(answers(OK)).port());
    let origin = json!({ "url": url, "resolvers": [resolver.to_string()] });
    let daemon = Daemon::watching("gone", json!({ "origin": origin }));
    daemon.wait_until("gone", |metrics| judge(Expect::Healthy, metrics));

    gone.store(true, Ordering::SeqCst);
    daemon.wait_until("gone", |metrics| {
        let of = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, labels);
        let failures = of("probe_failures_total", &[("cause", "dns_nxdomain")]);
        all(&[
            ("two failures", failures >= 2.0),
            ("no other cause", of("probe_failures_total", &[]) == failures),
            (
                "counted as failed resolutions",
                of("dns_failures_total", &[("reason", "nxdomain")]) == failures,
            ),
            ("counted as failed rounds", of("rounds_failed_total", &[]) == failures),
            (
                "the known address probed as an extra",
                of("extra_probes_total", &[("purpose", "stale_address")]) >= 2.0,
            ),
            // Extras bend no counter: the first round of each kind is one probe.
            ("one probe a round", of("probes_total", &[]) == of("rounds_total", &[])),
            (
                "a series that says why",
                of("probe_failing", &[("cause", "dns_nxdomain")]) == 1.0,
            ),
        ])
    });

    gone.store(false, Ordering::SeqCst);
    daemon.wait_until("gone", |metrics| {
        all(&[("no failing series", !metrics.has("probe_failing", &[]))])
    });
}

#[test]
fn a_fault_that_comes_and_goes() {
    let broken = Arc::new(AtomicBool::new(false));
    let origin = format!("http://{}/", serve(switched(&broken)));
    let daemon = Daemon::watching("mend", json!({ "origin": origin }));
    daemon.wait_until("mend", |metrics| judge(Expect::Healthy, metrics));

    broken.store(true, Ordering::SeqCst);
    let failing = daemon.wait_until("mend", |metrics| {
        all(&[
            (
                "a series that says why",
                metrics.sum("probe_failing", &[("cause", "bad_gateway")]) == 1.0,
            ),
            ("no success", metrics.sum("probe_success", &[]) == 0.0),
        ])
    });
    assert!(
        failing.sum("extra_probes_total", &[("purpose", "confirm")]) >= 1.0,
        "{}",
        failing.show("extra")
    );

    broken.store(false, Ordering::SeqCst);
    daemon.wait_until("mend", |metrics: &Metrics| {
        all(&[
            ("no failing series", !metrics.has("probe_failing", &[])),
            ("success", metrics.sum("probe_success", &[]) == 1.0),
            (
                "the address healthy",
                metrics.sum("addresses", &[("state", "healthy")]) == 1.0,
            ),
        ])
    });
}

#[test]
fn each_hop_has_its_own_cause() {
    let (refusing, _socket) = tcp::refusing();
    let front = serve(http1::status("502 Bad Gateway"));
    let config = json!({
        "defaults": { "interval": "1s" },
        "gateways": [{ "name": "edge", "kind": "nginx" }],
        "upstreams": [{
            "name": "shop",
            "origin": format!("http://{refusing}/"),
            "via": [{ "gateway": "edge", "url": format!("http://{front}/") }],
        }],
    });
    let daemon = Daemon::start(&support::daemon::scratch(), &config);
    let metrics = daemon.wait_until("shop", |metrics| {
        let failing = |hop: &str, cause: &str| metrics.sum("probe_failing", &[("hop", hop), ("cause", cause)]) == 1.0;
        let rounds = |hop: &str| metrics.sum("rounds_failed_total", &[("hop", hop)]) >= 2.0;
        all(&[
            (
                "the origin is refused",
                failing("origin", "connect_refused") && rounds("origin"),
            ),
            ("the gateway says 502", failing("edge", "bad_gateway") && rounds("edge")),
        ])
    });
    assert_eq!(
        metrics.sum("rounds_total", &[("hop", "origin"), ("user_view", "true")]),
        0.0
    );
    assert_eq!(
        metrics.sum("rounds_total", &[("hop", "edge"), ("user_view", "false")]),
        0.0
    );
    assert_eq!(metrics.sum("bad_gateway_total", &[("hop", "origin")]), 0.0);
    assert_eq!(metrics.sum("connect_refused_total", &[("hop", "edge")]), 0.0);
}
