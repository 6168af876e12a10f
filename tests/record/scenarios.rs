//! What is recorded: an upstream with a fault of its own, and the alerts that fault must raise, no others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::peers::{Broken, Door};
use super::support::dns::{self, NXDOMAIN};
use super::support::peers::http1::{self, OK, answers, large_head};
use super::support::peers::tls::Tls;
use super::support::peers::{Behaviour, read_head, say, serve};
use super::support::pki::{Flaw, NAME, Pki};

/// What fails for users raises these besides its cause.
const USERS: &[&str] = &[
    "BadGatewayUpstreamDown",
    "BadGatewaySpike",
    "BadGatewayFastBurn",
    "BadGatewaySlowBurn",
];

/// Which configuration is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    Before,
    During,
    After,
}

/// One upstream and its fault.
pub struct Scenario {
    pub name: &'static str,
    /// Every alert that fires in the end of the fault.
    pub alerts: Vec<&'static str>,
    /// Rounds of what users reach fail, and so a budget burns.
    pub burns: bool,
    upstream: Value,
    /// What an operator changes when the fault begins.
    mistake: Option<Value>,
    /// What an operator changes in the end, where the program remembers for longer than a recording lasts.
    repair: Option<Value>,
    blips: bool,
    set: Box<dyn Fn(bool)>,
}

impl Scenario {
    /// As it stands in the configuration.
    pub fn upstream(&self, when: When) -> Value {
        let mut upstream = self.upstream.clone();
        upstream["name"] = json!(self.name);
        let changes = match when {
            When::Before => None,
            When::During => self.mistake.as_ref(),
            When::After => self.repair.as_ref(),
        };
        for (key, value) in changes
            .into_iter()
            .flat_map(|changes| changes.as_object().expect("a map"))
        {
            upstream[key] = value.clone();
        }
        upstream
    }

    /// Breaks and repairs the peer.
    pub fn switch(&self, blip: bool, fault: bool) {
        (self.set)(fault || (blip && self.blips));
    }
}

/// What scenarios share.
pub struct Stage {
    pub pki: Pki,
    pub good: std::net::SocketAddr,
}

impl Stage {
    pub fn new(folder: &Path) -> Stage {
        Stage {
            pki: Pki::new(folder),
            good: serve(answers(OK)),
        }
    }
}

fn scenario(
    name: &'static str,
    users: bool,
    alerts: &[&'static str],
    upstream: Value,
    set: impl Fn(bool) + 'static,
) -> Scenario {
    let alerts = alerts.iter().chain(USERS.iter().filter(|_| users)).copied().collect();
    Scenario {
        name,
        alerts,
        burns: users,
        upstream,
        mistake: None,
        repair: None,
        blips: true,
        set: Box::new(set),
    }
}

/// An origin behind a door.
fn origin(name: &'static str, alerts: &[&'static str], stage: &Stage, how: Broken) -> Scenario {
    let door = Door::new(stage.good, how);
    let upstream = json!({ "origin": format!("http://{}/", door.address) });
    scenario(name, true, alerts, upstream, move |broken| door.set(broken))
}

fn answering(name: &'static str, alerts: &[&'static str], stage: &Stage, bad: impl Into<Behaviour>) -> Scenario {
    origin(name, alerts, stage, Broken::LeadsTo(serve(bad.into())))
}

/// An origin whose name answers by the switch.
fn named(
    name: &'static str,
    users: bool,
    alerts: &[&'static str],
    stage: &Stage,
    bad: fn(&dns::Question) -> dns::Answer,
) -> Scenario {
    let broken = Arc::new(AtomicBool::new(false));
    let seen = broken.clone();
    let resolver = dns::serve(move |question| {
        let answer = match seen.load(Ordering::SeqCst) {
            true => bad(question),
            false => question.addresses(&["127.0.0.1"]),
        };
        vec![answer.bytes()]
    });
    let url = format!("http://service.peer.test:{}/", stage.good.port());
    let upstream = json!({
        "origin": { "url": url, "resolvers": [resolver.to_string()], "family": "ipv4" },
        "expect": { "addresses": ["127.0.0.1/32", "127.255.255.255/32"] },
    });
    scenario(name, users, alerts, upstream, move |now| {
        broken.store(now, Ordering::SeqCst)
    })
}

/// A healthy origin behind a gateway behind a door.
fn gateway(name: &'static str, users: bool, alerts: &[&'static str], stage: &Stage, how: Broken) -> Scenario {
    let door = Door::new(stage.good, how);
    let upstream = json!({
        "origin": format!("http://{}/", stage.good),
        "via": [{ "gateway": "edge", "url": format!("http://{}/", door.address) }],
    });
    scenario(name, users, alerts, upstream, move |broken| door.set(broken))
}

/// Answers after that many milliseconds.
fn late(millis: u64) -> Behaviour {
    Box::new(move |wire| {
        read_head(wire);
        // The misbehaviour itself; nothing waits for it.
        std::thread::sleep(std::time::Duration::from_millis(millis));
        say(wire, OK);
        wire.finish();
    })
}

/// An upstream that comes to have a certificate that ends in so many days, of so many that it lives. Nobody has seen another
/// one before, as after a fresh installation.
fn certificate(name: &'static str, alerts: &[&'static str], stage: &Stage, days_left: i64, days: i64) -> Scenario {
    let secure = Tls::new(stage.pki.server_until(days_left, days)).serve(answers(OK));
    let upstream = json!({ "origin": format!("http://{}/", stage.good) });
    let mut scenario = scenario(name, false, alerts, upstream, |_| {});
    scenario.mistake = Some(json!({ "origin": {
        "url": format!("https://{secure}/"), "server_name": NAME, "tls": { "ca_file": stage.pki.ca_file() },
    } }));
    scenario
}

/// Everything that is recorded.
pub fn all(stage: &Stage) -> Vec<Scenario> {
    let mut all = vec![
        origin("refused", &["BadGatewayUpstreamConnectRefused"], stage, Broken::Refuses),
        origin("dropped", &["BadGatewayUpstreamConnectTimeout"], stage, Broken::Drops),
        named(
            "unreachable",
            true,
            &["BadGatewayUpstreamUnreachable"],
            stage,
            |question| question.addresses(&["127.255.255.255"]),
        ),
        named("nxdomain", true, &["BadGatewayUpstreamDNSFailing"], stage, |question| {
            question.answer().code(NXDOMAIN)
        }),
        named(
            "unexpected_address",
            true,
            &["BadGatewayUpstreamDNSUnexpectedAddress"],
            stage,
            |question| question.addresses(&["127.0.0.9"]),
        ),
        named(
            "long_ttl",
            false,
            &["BadGatewayUpstreamDNSTTLTooLong"],
            stage,
            |question| {
                let mut answer = question.addresses(&["127.0.0.1"]);
                answer.records.iter_mut().for_each(|record| record.2 = 86_400);
                answer
            },
        ),
        answering(
            "overloaded",
            &["BadGatewayUpstreamOverloaded"],
            stage,
            http1::status("503 Service Unavailable"),
        ),
        answering(
            "crashing",
            &["BadGatewayUpstreamInvalidResponses"],
            stage,
            http1::leaves(http1::Ending::Finish),
        ),
        answering(
            "server_error",
            &["BadGatewayUpstreamServerErrors"],
            stage,
            http1::status("500 Internal Server Error"),
        ),
        answering(
            "forbidden",
            &["BadGatewayUpstreamUnexpectedStatus"],
            stage,
            http1::status("403 Forbidden"),
        ),
        gateway("gateway_down", true, &["BadGatewayUnreachable"], stage, Broken::Refuses),
    ];
    all.push(gateway(
        "gateway_fault",
        true,
        &["BadGatewayWhileOriginHealthy"],
        stage,
        Broken::LeadsTo(serve(http1::status("502 Bad Gateway"))),
    ));
    all.push(gateway(
        "gateway_slow",
        false,
        &["BadGatewayOverloaded"],
        stage,
        Broken::LeadsTo(serve(late(600))),
    ));
    all.push(answering(
        "cacheable_errors",
        &["BadGatewayUpstreamServerErrors", "BadGatewayCached"],
        stage,
        answers("HTTP/1.1 500 Internal Server Error\r\nCache-Control: public, max-age=300\r\nContent-Length: 5\r\n\r\nerror"),
    ));
    all.push({
        // The second resolver has lost the name.
        let mut scenario = named(
            "resolvers_disagree",
            false,
            &["BadGatewayUpstreamDNSDisagreement"],
            stage,
            |question| question.answer().code(NXDOMAIN),
        );
        let first = dns::serve(|question| vec![question.addresses(&["127.0.0.1"]).bytes()]);
        let second = scenario.upstream["origin"]["resolvers"][0].take();
        scenario.upstream["origin"]["resolvers"] = json!([first.to_string(), second]);
        scenario
    });
    all.push({
        let door = Door::new(stage.good, Broken::LeadsTo(serve(http1::status("403 Forbidden"))));
        let upstream = json!({
            "origin": format!("http://{}/", door.address),
            "via": [{ "gateway": "edge", "url": format!("http://{}/", stage.good) }],
        });
        scenario(
            "blocked",
            false,
            &["BadGatewayUpstreamBlocksProbes"],
            upstream,
            move |broken| door.set(broken),
        )
    });
    all.push({
        let mut scenario = answering(
            "wrong_page",
            &["BadGatewayUpstreamContentMismatch"],
            stage,
            answers(http1::page("log in")),
        );
        scenario.upstream["expect"] = json!({ "body": { "contains": "ok" } });
        scenario
    });
    all.push({
        let tls = |flaw| Tls::new(stage.pki.server(flaw)).serve(answers(OK));
        let door = Door::new(tls(Flaw::None), Broken::LeadsTo(tls(Flaw::Expired)));
        let url = format!("https://{}/", door.address);
        let upstream =
            json!({ "origin": { "url": url, "server_name": NAME, "tls": { "ca_file": stage.pki.ca_file() } } });
        scenario(
            "certificate_expired",
            true,
            &["BadGatewayUpstreamTLSFailing", "BadGatewayCertificateExpiresSoon"],
            upstream,
            move |broken| door.set(broken),
        )
    });
    all.push(certificate(
        "certificate_expires_soon",
        &["BadGatewayCertificateExpiresSoon"],
        stage,
        10,
        90,
    ));
    all.push(certificate("certificate_short_lived", &[], stage, 10, 14));
    all.push({
        let tls = |flaw| Tls::new(stage.pki.server(flaw)).serve(answers(OK));
        let door = Door::new(tls(Flaw::None), Broken::LeadsTo(tls(Flaw::SelfSigned)));
        let url = format!("https://{}/", door.address);
        let upstream = json!({
            "origin": { "url": url, "server_name": NAME, "tls": { "ca_file": stage.pki.ca_file() } },
            "via": [{ "gateway": "edge", "url": format!("http://{}/", stage.good) }],
        });
        scenario(
            "not_verified",
            false,
            &["BadGatewayCertificateProblem"],
            upstream,
            move |broken| door.set(broken),
        )
    });
    all.push({
        let door = Door::new(stage.good, Broken::Refuses);
        let upstream = json!({ "origin": [format!("http://{}/", stage.good), format!("http://{}/", door.address)] });
        // Half of the origin refuses.
        scenario(
            "half",
            false,
            &[
                "BadGatewayUpstreamConnectRefused",
                "BadGatewayUpstreamPartlyDown",
                "BadGatewayRedundancyLost",
            ],
            upstream,
            move |broken| door.set(broken),
        )
    });
    all.push({
        // Half of a gateway refuses: users feel it, though no round fails wholly.
        let port = stage.good.port();
        let door = Door::at(([127, 0, 0, 2], port).into(), stage.good, Broken::Refuses);
        let resolver = dns::serve(|question| vec![question.addresses(&["127.0.0.1", "127.0.0.2"]).bytes()]);
        let upstream = json!({
            "origin": format!("http://{}/", stage.good),
            "via": [{ "gateway": "edge", "url": format!("http://edge.peer.test:{port}/"), "addresses": "all",
                      "resolvers": [resolver.to_string()], "family": "ipv4" }],
        });
        scenario(
            "gateway_partial",
            false,
            &[
                "BadGatewayUpstreamDown",
                "BadGatewayUnreachable",
                "BadGatewayUpstreamPartlyDown",
                "BadGatewayRedundancyLost",
            ],
            upstream,
            move |broken| door.set(broken),
        )
    });
    all.push({
        // The origin is moved to where we are not let in, and users are served from there.
        let closed = Door::new(stage.good, Broken::Refuses);
        closed.set(true);
        let open = format!("http://{}/", stage.good);
        let mut scenario = scenario(
            "unverified",
            false,
            &["BadGatewayUpstreamBlocksProbes", "BadGatewayUpstreamConnectRefused"],
            json!({ "origin": open, "via": [{ "gateway": "edge", "url": open }] }),
            |_| {},
        );
        scenario.mistake = Some(json!({ "origin": format!("http://{}/", closed.address) }));
        // It stays closed for as long as this is kept.
        scenario.set = Box::new(move |_| closed.set(true));
        scenario
    });
    all.push({
        let door = Door::new(stage.good, Broken::LeadsTo(serve(late(450))));
        let upstream = json!({
            "origin": format!("http://{}/", door.address),
            "via": [{ "gateway": "edge", "url": format!("http://{}/", stage.good) }],
        });
        scenario(
            "slow",
            false,
            &["BadGatewayLatencyNearTimeout"],
            upstream,
            move |broken| door.set(broken),
        )
    });
    all.push({
        let door = Door::new(stage.good, Broken::LeadsTo(serve(answers(large_head(10, 7500)))));
        let via = |gateway: &str| json!([{ "gateway": gateway, "url": format!("http://{}/", stage.good) }]);
        let upstream = json!({ "origin": format!("http://{}/", door.address), "via": via("edge") });
        let mut scenario = scenario(
            "large_head",
            false,
            &["BadGatewayResponseHeaderNearBuffer"],
            upstream,
            move |broken| door.set(broken),
        );
        // The largest head is remembered for minutes: one of them must not be in the blip.
        (scenario.blips, scenario.repair) = (false, Some(json!({ "via": via("roomy") })));
        scenario
    });
    all.push({
        // Every fifth connection breaks, and the confirming one after it does not.
        let count = Arc::new(AtomicUsize::new(0));
        let flaky: Behaviour = Box::new(move |wire| match count.fetch_add(1, Ordering::SeqCst) % 5 {
            0 => http1::leaves(http1::Ending::Finish)(wire),
            _ => answers(OK)(wire),
        });
        let mut scenario = answering("flaky", &["BadGatewayUpstreamInvalidResponses"], stage, flaky);
        // No failure lasts.
        scenario.alerts.retain(|alert| *alert != "BadGatewayUpstreamDown");
        scenario.alerts.push("BadGatewayUpstreamIntermittent");
        scenario
    });
    all
}
