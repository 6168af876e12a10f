//! Servers of the service that die or talk nonsense, behind nginx and behind HAProxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::support::daemon::scratch;
use crate::support::peers::http1::{self, Ending, OK, answers};
use crate::support::peers::serve;
use crate::support::programs;

/// The upstreams: the same servers behind each gateway.
const BEHIND: [&str; 2] = ["nginx", "haproxy"];

/// A daemon that watches these servers behind both gateways.
struct Watched {
    daemon: Daemon,
    _nginx: Gateway,
    _haproxy: Gateway,
}

fn watch(scratch: &Path, backends: &[SocketAddr]) -> Watched {
    let (nginx, haproxy) = (nginx_before(scratch, backends), haproxy_before(scratch, backends));
    let config = config(
        json!([{ "name": "nginx", "kind": "nginx" }, { "name": "haproxy", "kind": "haproxy" }]),
        json!([
            upstream("nginx", backends, &[("nginx", nginx.listen)]),
            upstream("haproxy", backends, &[("haproxy", haproxy.listen)]),
        ]),
    );
    let daemon = Daemon::start(scratch, &config);
    BEHIND.iter().for_each(|name| drop(settled(&daemon, name)));
    Watched {
        daemon,
        _nginx: nginx,
        _haproxy: haproxy,
    }
}

impl Watched {
    /// Does what breaks the servers; both upstreams must be said to have this fault.
    fn breaks(&self, fault: &Fault<'_>, how: impl FnOnce()) {
        breaks(&self.daemon, &BEHIND.map(|name| (name, fault)), how);
    }

    fn mended(&self, verdict: &str, how: impl FnOnce()) {
        how();
        for name in BEHIND {
            mended(&self.daemon, name, verdict, || ());
        }
    }
}

#[test]
fn servers_die_one_by_one_and_come_back() {
    if !programs::have(&["nginx", "haproxy"]) {
        return;
    }
    let scratch = scratch();
    let mut servers: Vec<Gateway> = ["one", "two", "three"].map(|name| backend(&scratch, name)).into();
    let at: Vec<SocketAddr> = servers.iter().map(|server| server.listen).collect();
    let watched = watch(&scratch, &at);

    // The gateways ask another: nobody feels it.
    let one = Fault {
        verdict: "origin_partial",
        impact: "redundancy",
        hop: "origin",
        cause: "connect_refused",
        addresses: &at[1..2],
        sentence: "Some of the origin's servers fail, 1 of 3 addresses: connect_refused".to_owned(),
        well: &[at[0], at[2]],
    };
    watched.breaks(&one, || servers[1].kill());
    watched.mended("origin_partial", || servers[1].start_again());

    let all = Fault {
        verdict: "origin_down",
        impact: "users",
        addresses: &at,
        sentence: "The origin accepts no connections: connect_refused".to_owned(),
        well: &[],
        ..one.clone()
    };
    watched.breaks(&all, || servers.iter_mut().for_each(Gateway::kill));
    watched.mended("origin_down", || servers.iter_mut().for_each(Gateway::start_again));
}

#[test]
fn a_server_talks_nonsense_or_hangs_up() {
    if !programs::have(&["nginx", "haproxy"]) {
        return;
    }
    let mood = Arc::new(AtomicUsize::new(0));
    let ways = [
        answers(OK),
        answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Sh\u{0}op: 1\r\n\r\nok"),
        http1::ends("", Ending::Finish),
    ];
    let now = Arc::clone(&mood);
    let server = serve(move |wire| ways[now.load(Ordering::SeqCst)](wire));
    let scratch = scratch();
    let watched = watch(&scratch, &[server]);
    for (way, cause) in [(1, "response_malformed"), (2, "response_closed")] {
        let fault = Fault {
            verdict: "origin_invalid",
            impact: "users",
            hop: "origin",
            cause,
            addresses: &[server],
            sentence: "The origin sends no valid response: ".to_owned(),
            well: &[],
        };
        watched.breaks(&fault, || mood.store(way, Ordering::SeqCst));
        watched.mended("origin_invalid", || mood.store(0, Ordering::SeqCst));
    }
}
