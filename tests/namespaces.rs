//! What a packet filter or a routing table does to a connection, each in network namespaces of its own.
//!
//! These need root, `ip` and `nft`. Without them they are skipped, which in CI is a failure.

mod support;

use badgateway::cause::Cause;
use serde_json::{Value, json};
use support::cases::{Expect, judge};
use support::daemon::Daemon;
use support::dns;
use support::netns::{BEYOND, THERE, inside};
use support::peers::http1::{OK, answers};
use support::peers::serve;

/// Sets up the filter at the other end: what happens to connections to port 80.
fn filter(rule: &str) -> String {
    format!("nft 'add table ip f; add chain ip f in {{ type filter hook input priority 0; }}; add rule ip f in {rule}'")
}

/// Runs the daemon inside namespaces prepared that way; it must say that of this upstream.
fn expect(test: &str, here: &str, there: &str, upstream: fn() -> Value, expect: Expect) {
    inside(test, here, there, || {
        let mut upstream = upstream();
        upstream["timeout"] = json!("1s");
        Daemon::watching(test, upstream).wait_until(test, |metrics| judge(expect, metrics));
    });
}

fn there() -> Value {
    json!({ "origin": format!("http://{THERE}/") })
}

fn beyond() -> Value {
    json!({ "origin": format!("http://{BEYOND}/") })
}

#[test]
fn connect_refused_across_a_cable() {
    expect(
        "connect_refused_across_a_cable",
        "",
        "",
        there,
        Expect::Fails(Cause::ConnectRefused),
    );
}

#[test]
fn connect_refused_by_tcp_reset() {
    let rule = filter("tcp dport 80 reject with tcp reset");
    expect(
        "connect_refused_by_tcp_reset",
        "",
        &rule,
        there,
        Expect::Fails(Cause::ConnectRefused),
    );
}

#[test]
fn connect_timeout_syn_dropped() {
    let rule = filter("tcp dport 80 drop");
    expect(
        "connect_timeout_syn_dropped",
        "",
        &rule,
        there,
        Expect::Fails(Cause::ConnectTimeout),
    );
}

/// The kernel keeps what the filter of this host did to itself: it looks like any other loss.
#[test]
fn connect_timeout_dropped_by_our_own_filter() {
    let rule = "nft 'add table ip f; add chain ip f out { type filter hook output priority 0; }; \
                add rule ip f out tcp dport 80 drop'";
    expect(
        "connect_timeout_dropped_by_our_own_filter",
        rule,
        "",
        there,
        Expect::Fails(Cause::ConnectTimeout),
    );
}

#[test]
fn connect_timeout_synack_dropped() {
    // The SYN arrives and is answered; the answer is lost here.
    let rule = "nft 'add table ip f; add chain ip f in { type filter hook input priority 0; }; \
                add rule ip f in tcp sport 80 drop'";
    expect(
        "connect_timeout_synack_dropped",
        rule,
        "",
        there,
        Expect::Fails(Cause::ConnectTimeout),
    );
}

#[test]
fn connect_unreachable_host() {
    let rule = filter("tcp dport 80 reject with icmp type host-unreachable");
    expect(
        "connect_unreachable_host",
        "",
        &rule,
        there,
        Expect::Fails(Cause::ConnectUnreachable),
    );
}

#[test]
fn connect_unreachable_net() {
    let rule = filter("tcp dport 80 reject with icmp type net-unreachable");
    expect(
        "connect_unreachable_net",
        "",
        &rule,
        there,
        Expect::Fails(Cause::ConnectUnreachable),
    );
}

#[test]
fn connect_unreachable_admin_prohibited() {
    let rule = filter("tcp dport 80 reject with icmp type admin-prohibited");
    expect(
        "connect_unreachable_admin_prohibited",
        "",
        &rule,
        there,
        Expect::Fails(Cause::ConnectUnreachable),
    );
}

#[test]
fn connect_unreachable_host_prohibited() {
    let rule = filter("tcp dport 80 reject with icmp type host-prohibited");
    expect(
        "connect_unreachable_host_prohibited",
        "",
        &rule,
        there,
        Expect::Fails(Cause::ConnectUnreachable),
    );
}

/// ECONNREFUSED: the system does not tell a port-unreachable from a reset, and RFC 1122 (4.2.3.9) has them mean the same.
#[test]
fn connect_refused_by_icmp_port_unreachable() {
    let rule = filter("tcp dport 80 reject with icmp type port-unreachable");
    expect(
        "connect_refused_by_icmp_port_unreachable",
        "",
        &rule,
        there,
        Expect::Fails(Cause::ConnectRefused),
    );
}

#[test]
fn connect_unreachable_rejected_by_our_own_filter() {
    let rule = "nft 'add table ip f; add chain ip f out { type filter hook output priority 0; }; \
                add rule ip f out tcp dport 80 reject with icmp type admin-prohibited'";
    let expected = Expect::Fails(Cause::ConnectUnreachable);
    expect(
        "connect_unreachable_rejected_by_our_own_filter",
        rule,
        "",
        there,
        expected,
    );
}

/// IPv4 has routes here, only none to that network: ENETUNREACH.
#[test]
fn connect_unreachable_no_route() {
    expect(
        "connect_unreachable_no_route",
        "",
        "",
        beyond,
        Expect::Fails(Cause::ConnectUnreachable),
    );
}

/// EHOSTUNREACH.
#[test]
fn connect_unreachable_route() {
    let route = format!("ip route add unreachable {BEYOND}/32");
    expect(
        "connect_unreachable_route",
        &route,
        "",
        beyond,
        Expect::Fails(Cause::ConnectUnreachable),
    );
}

/// EACCES, "permission denied".
#[test]
fn connect_unreachable_permission_denied() {
    let route = format!("ip route add prohibit {BEYOND}/32");
    expect(
        "connect_unreachable_permission_denied",
        &route,
        "",
        beyond,
        Expect::Fails(Cause::ConnectUnreachable),
    );
}

/// EINVAL.
#[test]
fn connect_unreachable_blackhole_route() {
    let route = format!("ip route add blackhole {BEYOND}/32");
    expect(
        "connect_unreachable_blackhole_route",
        &route,
        "",
        beyond,
        Expect::Fails(Cause::ConnectUnreachable),
    );
}

/// A router on the way says it, not the host.
#[test]
fn connect_unreachable_by_a_router() {
    let (route, back) = (
        format!("ip route add default via {THERE}"),
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
    );
    expect(
        "connect_unreachable_by_a_router",
        &route,
        back,
        beyond,
        Expect::Fails(Cause::ConnectUnreachable),
    );
}

/// The name has an IPv6 address and this host no IPv6 route: that address is skipped, nobody failed.
#[test]
fn healthy_although_one_family_has_no_route() {
    let test = "healthy_although_one_family_has_no_route";
    inside(test, "", "", || {
        let resolver = dns::serve(|question| vec![question.addresses(&["127.0.0.1", "2001:db8::1"]).bytes()]);
        let url = format!("http://service.peer.test:{}/", serve(answers(OK)).port());
        let upstream = json!({ "origin": { "url": url, "resolvers": [resolver.to_string()] } });
        let daemon = Daemon::watching(test, upstream);
        let metrics = daemon.wait_until(test, |metrics| judge(Expect::Healthy, metrics));
        assert_eq!(
            metrics.sum("addresses", &[("state", "skipped")]),
            1.0,
            "{}",
            metrics.show("addresses")
        );
        assert_eq!(
            metrics.sum("addresses", &[("state", "healthy")]),
            1.0,
            "{}",
            metrics.show("addresses")
        );
    });
}

/// What goes through the same namespaces without a filter is well, so it is the filter that the other tests see.
#[test]
fn healthy_inside_a_namespace() {
    let upstream = || json!({ "origin": format!("http://{}/", serve(answers(OK))) });
    expect("healthy_inside_a_namespace", "", "", upstream, Expect::Healthy);
}
