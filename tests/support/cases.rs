//! Cases: a peer, how it is probed, and what the daemon must say of it; many of them watched by one daemon.

use std::any::Any;
use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use badgateway::cause::{Cause, Phase};
use serde_json::{Value, json};

use super::daemon::{Daemon, Seen, scratch};
use super::metrics::{Metrics, Sample};
use super::pki::Pki;

/// One misbehaviour, or one odd but legal behaviour.
pub struct Case {
    /// The name of the test and of the upstream; of a failure it begins with the label of the cause.
    pub name: &'static str,
    /// What every probe must end with.
    pub expect: Expect,
    /// Starts the peer and says how to probe it. `None` where the system lacks what the peer needs.
    pub start: fn(&Stage) -> Option<Setup>,
}

/// What every probe of a case must end with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expect {
    /// Success, and no alarm of any kind.
    Healthy,
    /// This cause and no other.
    Fails(Cause),
    /// This cause and no other, the answer having this status.
    Answers(Cause, u16),
}

impl Expect {
    /// The cause, if any.
    pub fn cause(self) -> Option<Cause> {
        match self {
            Expect::Healthy => None,
            Expect::Fails(cause) | Expect::Answers(cause, _) => Some(cause),
        }
    }
}

/// How a peer is probed: the upstream as it stands in the configuration, and what must live as long as the test.
pub struct Setup {
    upstream: Value,
    alive: Vec<Box<dyn Any + Send>>,
}

impl Setup {
    /// An upstream, without its name.
    pub fn new(upstream: Value) -> Setup {
        Setup {
            upstream,
            alive: Vec::new(),
        }
    }

    /// An upstream with that origin: a URL or a map.
    pub fn origin(origin: impl Into<Value>) -> Setup {
        Setup::new(json!({ "origin": origin.into() }))
    }

    /// Another key of the upstream.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Setup {
        self.upstream[key] = value.into();
        self
    }

    /// A peer that waits: do not wait long for it.
    pub fn stalls(self) -> Setup {
        self.with("timeout", "1s")
    }

    /// Keeps a peer alive.
    pub fn keep(mut self, peer: impl Any + Send) -> Setup {
        self.alive.push(Box::new(peer));
        self
    }
}

/// What the cases of one daemon share.
pub struct Stage {
    /// A directory for files.
    pub scratch: PathBuf,
    pki: OnceCell<Pki>,
}

impl Stage {
    /// A stage with a directory of its own.
    pub fn new() -> Stage {
        Stage {
            scratch: scratch(),
            pki: OnceCell::new(),
        }
    }

    /// The certificates, made when first asked for.
    pub fn pki(&self) -> &Pki {
        self.pki.get_or_init(|| Pki::new(&self.scratch))
    }
}

/// Cases that one daemon watches. It starts with the first test that asks.
pub struct Group {
    cases: &'static [Case],
    running: OnceLock<Running>,
}

struct Running {
    daemon: Daemon,
    skipped: Vec<&'static str>,
    _alive: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Group {
    /// A group that has not started yet.
    pub const fn of(cases: &'static [Case]) -> Group {
        Group {
            cases,
            running: OnceLock::new(),
        }
    }

    /// Waits until the daemon has said of this case what it must, and panics when it says anything else. Gives what it
    /// said; nothing where the case is skipped.
    pub fn check(&self, name: &str) -> Option<Metrics> {
        let case = self
            .cases
            .iter()
            .find(|case| case.name == name)
            .expect("a case of this group");
        let running = self.running.get_or_init(|| start(self.cases));
        if running.skipped.contains(&case.name) {
            println!("skipped: this system lacks what the peer needs");
            return None;
        }
        let judged = |metrics: &Metrics| judge(case.expect, metrics);
        Some(running.daemon.wait_until(case.name, judged))
    }
}

fn start(cases: &'static [Case]) -> Running {
    let stage = Stage::new();
    let mut upstreams = Vec::new();
    let mut alive = Vec::new();
    let mut skipped = Vec::new();
    for case in cases {
        match (case.start)(&stage) {
            Some(setup) => {
                let mut upstream = setup.upstream;
                upstream["name"] = json!(case.name);
                upstreams.push(upstream);
                alive.extend(setup.alive);
            }
            None => skipped.push(case.name),
        }
    }
    // Short enough to see several rounds, long enough not to take a busy machine for a slow peer.
    let defaults = json!({ "interval": "2s", "timeout": "2s", "confirm": { "delay": "100ms" } });
    let gateways = json!([{ "name": "front", "kind": "nginx" }]);
    let config = json!({ "defaults": defaults, "gateways": gateways, "upstreams": upstreams });
    Running {
        daemon: Daemon::start(&stage.scratch, &config),
        skipped,
        _alive: Mutex::new(alive),
    }
}

/// What a scrape says of an expectation. Counters are compared with each other, so a scrape in mid-round is `NotYet`.
pub fn judge(expect: Expect, metrics: &Metrics) -> Seen {
    if let Some(wrong) = impossible(expect, metrics) {
        return Seen::Never(format!("{expect:?} but {wrong}"));
    }
    match missing(expect, metrics) {
        Some(missing) => Seen::NotYet(format!("{expect:?}: {missing}")),
        None => Seen::Yes,
    }
}

/// What no further round can put right.
fn impossible(expect: Expect, metrics: &Metrics) -> Option<String> {
    let cause = expect.cause();
    let other = metrics
        .all("probe_failures_total", &[])
        .find(|sample| sample.value > 0.0 && sample.labels.get("cause").map(String::as_str) != cause.map(Cause::label));
    if let Some(other) = other {
        return Some(format!("{:?} grew", other.labels));
    }
    let zero = |name: &str, labels: &[(&str, &str)]| {
        (metrics.sum(name, labels) > 0.0).then(|| format!("{name}{labels:?} grew:\n{}", metrics.show(name)))
    };
    let none = |name: &str, label: &str, allowed: Option<&str>| {
        metrics
            .all(name, &[])
            .find(|sample| sample.value > 0.0 && sample.labels.get(label).map(String::as_str) != allowed)
            .map(|sample| format!("{name}{:?} grew", sample.labels))
    };
    let mut wrongs = vec![
        zero("probes_aborted_total", &[]),
        none("dns_failures_total", "reason", cause.and_then(Cause::dns_reason)),
        none(
            "invalid_responses_total",
            "reason",
            cause.and_then(Cause::invalid_reason),
        ),
    ];
    if expect == Expect::Healthy {
        let alarm = |sample: &&Sample| !matches!(sample.labels["verdict"].as_str(), "unknown" | "healthy");
        let said = metrics.all("verdict", &[]).find(alarm);
        wrongs.push(said.map(|sample| format!("the verdict was {:?}", sample.labels)));
    }
    if cause != Some(Cause::ConnectRefused) {
        wrongs.push(zero("connect_refused_total", &[]));
    }
    if !matches!(cause, Some(Cause::BadGateway | Cause::DisguisedBadGateway)) {
        wrongs.push(zero("bad_gateway_total", &[]));
    }
    for phase in phases_never_finished(cause) {
        wrongs.push(zero("upstream_phases_total", &[("phase", phase)]));
        wrongs.push(zero("upstream_phase_seconds_total", &[("phase", phase)]));
    }
    if let Expect::Answers(_, status) = expect {
        wrongs.push(none("responses_total", "code", Some(&status.to_string())));
    }
    if cause.is_some_and(|cause| cause.phase() < Phase::Http) {
        wrongs.push(zero("responses_total", &[]));
    }
    wrongs.into_iter().flatten().next()
}

/// Phases that no probe with this cause can have finished.
fn phases_never_finished(cause: Option<Cause>) -> &'static [&'static str] {
    match cause.map(Cause::phase) {
        Some(Phase::Dns | Phase::Connect) => &["connect", "tls", "first_byte", "body"],
        Some(Phase::Tls) => &["first_byte", "body"],
        Some(Phase::Http) => &["body"],
        _ => &[],
    }
}

/// What another round may still bring. Gateway hops are not looked at: they stand in front of few cases, and are well.
fn missing(expect: Expect, metrics: &Metrics) -> Option<String> {
    let of_origin = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, &[labels, &[("hop", "origin")]].concat());
    let (probes, rounds) = (of_origin("probes_total", &[]), of_origin("rounds_total", &[]));
    let mut wanted: Vec<(String, bool)> = vec![
        (format!("two rounds, not {rounds}"), rounds >= 2.0),
        (format!("two probes, not {probes}"), probes >= 2.0),
        (
            "last_round_timestamp_seconds".into(),
            of_origin("last_round_timestamp_seconds", &[]) > 1.7e9,
        ),
    ];
    let said = |verdict: &str| metrics.sum("verdict", &[("verdict", verdict)]);
    wanted.push(match expect {
        Expect::Healthy => ("the verdict healthy".into(), said("healthy") == 1.0),
        _ => (
            "a verdict that names a fault".into(),
            said("healthy") + said("unknown") == 0.0,
        ),
    });
    let mut equal = |name: &str, labels: &[(&str, &str)], wants: f64| {
        let found = of_origin(name, labels);
        wanted.push((format!("{name}{labels:?} {wants}, not {found}"), found == wants));
    };
    match expect.cause() {
        None => {
            equal("rounds_failed_total", &[], 0.0);
            equal("upstream_latency_seconds_count", &[("phase", "total")], probes);
            equal("upstream_latency_seconds_count", &[("phase", "first_byte")], probes);
            equal("upstream_phases_total", &[("phase", "connect")], probes);
            equal("upstream_phases_total", &[("phase", "body")], probes);
            equal("responses_total", &[], probes);
            equal("probe_failing", &[], 0.0);
            equal("addresses", &[("state", "failing")], 0.0);
            equal("addresses", &[("state", "healthy")], of_origin("probe_success", &[]));
            wanted.push(("probe_success".into(), of_origin("probe_success", &[]) > 0.0));
        }
        Some(cause) => {
            equal("probe_failures_total", &[("cause", cause.label())], probes);
            equal("rounds_failed_total", &[], rounds);
            equal("probe_success", &[], 0.0);
            let timed = if cause.phase() == Phase::Dns { 0.0 } else { probes };
            equal("upstream_latency_seconds_count", &[("phase", "total")], timed);
            if let Some(reason) = cause.dns_reason() {
                equal("dns_failures_total", &[("reason", reason)], probes);
            }
            if let Some(reason) = cause.invalid_reason() {
                equal("invalid_responses_total", &[("reason", reason)], probes);
            }
            if cause == Cause::ConnectRefused {
                equal("connect_refused_total", &[], probes);
            }
            if matches!(cause, Cause::BadGateway | Cause::DisguisedBadGateway) {
                equal("bad_gateway_total", &[], probes);
            }
            if let Expect::Answers(_, status) = expect {
                equal("responses_total", &[("code", &status.to_string())], probes);
            }
            // A reset right after the SYN-ACK may surface from connect(), which then has not finished.
            if cause.phase() == Phase::Tls && cause != Cause::TlsClosed {
                equal("upstream_phases_total", &[("phase", "connect")], probes);
            }
            let failing: Vec<_> = metrics.all("probe_failing", &[]).collect();
            let named = |sample: &&Sample| sample.labels.get("cause").map(String::as_str) == Some(cause.label());
            let only = !failing.is_empty() && failing.iter().all(named);
            wanted.push((format!("probe_failing says {cause} only: {failing:?}"), only));
        }
    }
    wanted.into_iter().find(|(_, holds)| !holds).map(|(what, _)| what)
}

/// Cases and their tests: `name => expectation, how to start;`. The closure gets the [`Stage`].
#[macro_export]
macro_rules! cases {
    ($( $(#[doc = $doc:literal])* $name:ident => $expect:expr, $start:expr; )*) => {
        pub(crate) const CASES: &[$crate::support::cases::Case] = &[
            $( $crate::support::cases::Case { name: stringify!($name), expect: $expect, start: $start }, )*
        ];
        pub(crate) static GROUP: $crate::support::cases::Group = $crate::support::cases::Group::of(CASES);
        $(
            $(#[doc = $doc])*
            #[test]
            fn $name() {
                GROUP.check(stringify!($name));
            }
        )*
    };
}
