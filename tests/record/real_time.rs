//! What is recorded as it goes, a scrape every 15 s: a pair of daemons in health that is restarted and reloaded, and the
//! onset of faults on a pair with a gateway that answers for a silent origin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::peers::{Broken, Door};
use super::scenarios::Stage;
use super::series::{Check, File, Recording, STEP, Series, firing};
use super::support::daemon::{Daemon, scratch};
use super::support::gateways::{Gateway, haproxy_at, nginx_of};
use super::support::peers::http1::{OK, answers, status};
use super::support::peers::serve;
use super::support::peers::tls::Tls;
use super::support::pki::NAME;
use super::support::stack::address;
use super::support::{dns, http};

/// Scrapes of a recording: 16 minutes of health, 11 of faults.
const SCRAPES: usize = 65;
const SCRAPES_OF_ONSET: usize = 46;
/// When the first daemon loads its configuration again, and the second starts anew.
const RELOAD: usize = 24;
const RESTART: usize = 40;

/// The last of the short failures begins before this scrape; between two rounds each lies elsewhere.
const BLIPS: usize = 27;
/// While the origin drops packets and the gateway in front of it answers 502.
const FAULT: std::ops::Range<usize> = 28..40;

const NOTE: &str = "Recorded from two daemons by tests/record.rs, second by second.";

fn config(upstreams: Value) -> Value {
    json!({
        "defaults": { "labels": { "team": "payments", "tier": "gold" } },
        "gateways": [{ "name": "edge", "kind": "nginx" }],
        "upstreams": upstreams,
        "external_url": "https://badgateway.example.com/",
    })
}

/// Two daemons of the same configuration, and what they say.
struct Pair {
    config: Value,
    folders: [PathBuf; 2],
    daemons: Vec<Daemon>,
    recordings: [Recording; 2],
    begin: Instant,
    scrapes: u64,
}

impl Pair {
    fn start(folder: &Path, config: Value) -> Pair {
        let folders = ["a", "b"].map(|name| folder.join(name));
        let daemons = folders.iter().map(|folder| start(folder, &config)).collect();
        Pair {
            config,
            folders,
            daemons,
            recordings: ["a:10502", "b:10502"].map(|instance| Recording::new(instance, 1.0)),
            begin: Instant::now(),
            scrapes: 0,
        }
    }

    fn reload_first(&self) {
        std::fs::write(self.folders[0].join("badgateway.yml"), self.config.to_string()).expect("written");
        let answer = http::ask(self.daemons[0].address(), "POST", "/-/reload", &[], b"").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Ends the second daemon; the scrape that finds nobody is its part in this one. Then it starts anew.
    fn restart_second(&mut self) {
        self.daemons.truncate(1);
        self.daemons.push(start(&self.folders[1], &self.config));
        self.recordings[1].missed();
        self.recordings[0].scraped(&self.daemons[0].page());
    }

    fn scrape(&mut self) {
        for (recording, daemon) in self.recordings.iter_mut().zip(&self.daemons) {
            recording.scraped(&daemon.page());
        }
    }

    /// A scrape has its time; nothing is waited for.
    fn until_next(&mut self) {
        self.scrapes += 1;
        let next = self.begin + Duration::from_secs(self.scrapes * STEP as u64);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }

    fn series(&self) -> Vec<Series> {
        self.recordings
            .iter()
            .flat_map(|recording| recording.series(|_| true))
            .collect()
    }
}

fn start(folder: &Path, config: &Value) -> Daemon {
    std::fs::create_dir_all(folder).expect("created");
    Daemon::start(folder, config)
}

/// Real gateways before a real server, each as it comes: nginx with its log, which keeps connections, and HAProxy, which
/// checks the server.
struct Real {
    server: Gateway,
    nginx: Gateway,
    haproxy: Gateway,
}

/// What its users leave behind.
const LOG: &str = concat!(
    r#"$remote_addr [$time_local] "$request" $status "$http_user_agent" ua="$upstream_addr" us="$upstream_status" "#,
    r#"ut="$upstream_response_time" uc="$upstream_connect_time" uh="$upstream_header_time" "#,
    r#"ub="$upstream_bytes_received" ul="$upstream_response_length" rt=$request_time c=$connection"#
);

impl Real {
    fn start(folder: &Path) -> Real {
        let folder = |name: &str| {
            let folder = folder.join(name);
            std::fs::create_dir(&folder).expect("created");
            folder
        };
        let page = "access_log off; server { listen $LISTEN; location / { return 200 ok; } }";
        let server = nginx_of(&folder("server"), page);
        let listen = server.listen;
        let kept = format!(
            "log_format ours '{LOG}'; access_log $ACCESS ours; upstream shop {{ server {listen}; keepalive 16; }}
             server {{ listen $LISTEN; location / {{
                 proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Connection ''; }} }}"
        );
        let checked = format!("default_backend shop\nbackend shop\noption httpchk GET /\nserver one {listen} check\n");
        Real {
            nginx: nginx_of(&folder("nginx"), &kept),
            haproxy: haproxy_at(&folder("haproxy"), address(2), &[], "", "", &checked),
            server,
        }
    }

    fn gateways(&self) -> [Value; 2] {
        let log = json!({ "path": self.nginx.access, "format": LOG });
        [
            json!({ "name": "nginx", "kind": "nginx", "config_file": self.nginx.config_file(), "access_log": log }),
            json!({ "name": "haproxy", "kind": "haproxy", "config_file": self.haproxy.config_file() }),
        ]
    }

    fn upstreams(&self) -> [Value; 2] {
        [("kept", "nginx", &self.nginx), ("checked", "haproxy", &self.haproxy)].map(|(name, kind, gateway)| {
            json!({
                "name": name,
                "origin": format!("http://{}/", self.server.listen),
                "via": [{ "gateway": kind, "url": format!("http://{}/", gateway.listen) }],
            })
        })
    }

    /// Between two scrapes users ask for this and that.
    fn serve(&self) {
        self.nginx.ask_times(10, "/orders/1", 200);
        self.haproxy.ask_times(10, "/orders/1", 200);
    }
}

/// A healthy day begins with this; the tests of the rules repeat it.
pub fn health() {
    let folder = scratch();
    let real = Real::start(&folder);
    let stage = Stage::new(&folder);
    let good = || format!("http://{}/", serve(answers(OK)));
    // A certificate that lives for two weeks and is renewed in the last third of them.
    let secure = Tls::new(stage.pki.server_until(10, 14)).serve(answers(OK));
    let resolver = dns::serve(|question| vec![question.addresses(&["127.0.0.1"]).bytes()]);
    let secure = json!({
        "url": format!("https://service.peer.test:{}/", secure.port()), "resolvers": [resolver.to_string()],
        "family": "ipv4", "server_name": NAME, "tls": { "ca_file": stage.pki.ca_file() },
    });
    let edge = |url: String| json!([{ "gateway": "edge", "url": url }]);
    let mut upstreams = vec![
        json!({ "name": "plain", "origin": good() }),
        json!({ "name": "secure", "origin": secure, "via": edge(good()) }),
        json!({ "name": "three", "origin": [good(), good(), good()], "via": edge(good()), "objective": "99.99%" }),
    ];
    upstreams.extend(real.upstreams());
    let mut config = config(json!(upstreams));
    config["gateways"]
        .as_array_mut()
        .expect("a list")
        .extend(real.gateways());
    config["self_check"] = json!([good(), good()]);
    let mut pair = Pair::start(&folder, config);
    for scrape in 0..SCRAPES {
        real.serve();
        match scrape {
            RESTART => pair.restart_second(),
            _ => pair.scrape(),
        }
        if scrape == RELOAD {
            pair.reload_first();
        }
        pair.until_next();
    }
    let silent = Check {
        expression: format!(
            "max_over_time({}[1d:15s])",
            firing("alertname, upstream, team, instance")
        ),
        minute: (SCRAPES - 1) * STEP / 60,
        gives: Vec::new(),
    };
    let file = File {
        name: "health",
        note: NOTE,
        evaluation: "15s",
    };
    file.write(&pair.series(), &[silent]);
}

/// Failures of a few seconds at every point between two rounds are no page; a lasting fault is one that names the origin.
pub fn onset() {
    let folder = scratch();
    let good = serve(answers(OK));
    let origin = Door::new(good, Broken::Drops);
    // What says 503 is not asked again before its next round, so that even a short failure is believed for two of them.
    let busy = Door::new(good, Broken::LeadsTo(serve(status("503 Service Unavailable"))));
    let gateway = Door::new(busy.address, Broken::LeadsTo(serve(status("502 Bad Gateway"))));
    let upstream = |name: &str, interval: &str| {
        json!({
            "name": name,
            "interval": interval,
            "origin": format!("http://{}/", origin.address),
            "via": [{ "gateway": "edge", "url": format!("http://{}/", gateway.address) }],
        })
    };
    let upstreams = json!([upstream("often", "15s"), upstream("rarely", "30s")]);
    let mut pair = Pair::start(&folder, config(upstreams));
    for scrape in 0..SCRAPES_OF_ONSET {
        pair.scrape();
        match scrape {
            _ if scrape < BLIPS && scrape % 5 == 3 => {
                // The outage itself; nothing waits for it.
                std::thread::sleep(Duration::from_secs([0, 4, 8][scrape / 5 % 3]));
                busy.set(true);
                std::thread::sleep(Duration::from_secs(7));
                busy.set(false);
            }
            _ => {
                gateway.set(FAULT.contains(&scrape));
                origin.set(FAULT.contains(&scrape));
            }
        }
        pair.until_next();
    }
    let file = File {
        name: "onset",
        note: NOTE,
        evaluation: "15s",
    };
    file.write(&pair.series(), &checks_of_onset());
}

fn checks_of_onset() -> Vec<Check> {
    let minute = |scrape: usize| scrape * STEP / 60;
    let pages = "ALERTS{alertname=\"BadGatewayUpstreamDown\", alertstate=\"firing\"}";
    let felt = "badgateway_upstream_impact{impact=\"users\"}";
    let blamed = "badgateway_verdict{verdict=\"gateway_fault\"} == 1";
    let (before, both) = (minute(FAULT.start), ["often", "rarely"]);
    let check = |expression: String, minute, upstreams: &[&str]| Check {
        expression,
        minute,
        gives: upstreams.iter().map(|name| format!("upstream=\"{name}\"")).collect(),
    };
    vec![
        // The short failures were seen, and no page.
        check(
            format!("group by (upstream) (max_over_time({felt}[{before}m]) == 1)"),
            before,
            &both,
        ),
        check(format!("max_over_time({pages}[{before}m])"), before, &[]),
        // The lasting one is, within two minutes of the first packet dropped, and never while the gateway was to blame.
        check(
            format!("group by (upstream) ({pages} and on (upstream) badgateway_round_interval_seconds == 15)"),
            before + 2,
            &["often"],
        ),
        check(format!("group by (upstream) ({pages})"), minute(FAULT.end), &both),
        check(
            format!("count_over_time(({pages} and on (upstream) {blamed})[5m:15s])"),
            minute(FAULT.end),
            &[],
        ),
    ]
}
