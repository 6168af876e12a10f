//! A4: a name that says something else than it did, or is about to: to the gateway, while it still finds a server that
//! answers.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::resolver::Resolver;
use crate::support::daemon::scratch;
use crate::support::gateways::{Gateway, nginx_at, nginx_of};
use crate::support::programs;
use crate::support::stack::{address, wait_until};
use crate::watch::{Watch, fails, folder};

/// An upstream whose origin is looked up by these resolvers.
fn behind(name: &str, port: u16, gateway: &Gateway, resolvers: &[&Resolver], expected: Option<SocketAddr>) -> Value {
    let resolvers: Vec<String> = resolvers.iter().map(|resolver| resolver.listen.to_string()).collect();
    let expected: Vec<String> = expected.iter().map(|at| format!("{}/32", at.ip())).collect();
    json!({
        "name": name,
        "origin": {
            "url": format!("http://{name}.peer.test:{port}/"),
            "resolvers": resolvers,
            "family": "ipv4",
            "expect": { "addresses": expected },
        },
        "via": [{ "gateway": "names", "url": format!("http://{}/{name}", gateway.listen) }],
    })
}

#[test]
fn a_name_leads_elsewhere_before_that_fails() {
    if !programs::have(&["nginx", "dnsmasq", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let old = address(31);
    let new = SocketAddr::new(address(32).ip(), old.port());
    let server = |name: &str, at| {
        let site = "access_log off; server { listen $LISTEN; location / { return 200 ok; } }";
        nginx_at(&folder(&scratch, name), at, &[], site)
    };
    let (_stays, mut leaves) = (server("new", new), server("old", old));
    let right = Resolver::start(
        &scratch,
        33,
        60,
        &[("names-default", new), ("names-disagree", new), ("names-gone", new)],
    );
    let second = Resolver::start(&scratch, 34, 60, &[("names-disagree", new), ("names-unexpected", new)]);
    let of_nginx = Resolver::start(&scratch, 36, 60, &[("names-gone", new)]);
    let lasting = Resolver::start(&scratch, 35, 7200, &[("names-lasting", old)]);
    let location = |name: &str, resolver: &Resolver, valid: &str| {
        format!(
            "location /{name} {{
                 resolver {} ipv6=off {valid}; set $shop {name}.peer.test; proxy_pass http://$shop:{};
             }}\n",
            resolver.listen,
            old.port()
        )
    };
    let locations = [
        location("names-default", &right, ""),
        location("names-disagree", &second, "valid=1s"),
        location("names-unexpected", &second, "valid=1s"),
        location("names-gone", &of_nginx, "valid=8s"),
        location("names-lasting", &lasting, ""),
    ]
    .concat();
    let mut edge = nginx_of(
        &folder(&scratch, "nginx"),
        &format!("access_log off; server {{ listen $LISTEN; {locations} }}"),
    );
    let port = old.port();
    let upstreams = [
        behind("names-default", port, &edge, &[&right], Some(new)),
        behind("names-disagree", port, &edge, &[&right, &second], Some(new)),
        behind("names-unexpected", port, &edge, &[&second], Some(new)),
        behind("names-gone", port, &edge, &[&right], None),
        behind("names-lasting", port, &edge, &[&lasting], None),
    ];
    let gateways = json!([{ "name": "names", "kind": "nginx" }]);
    let watch = Watch::start(&scratch, gateways, json!(upstreams));
    let names = [
        "names-default",
        "names-disagree",
        "names-unexpected",
        "names-gone",
        "names-lasting",
    ];
    watch.stay_silent(names, |name| {
        format!("badgateway_dns_ttl_seconds{{upstream={name:?}, hop=\"origin\"}} >= 60")
    });
    // nginx looks it up anew, and keeps that for the seconds to come.
    let before = of_nginx.asked();
    edge.reload();
    wait_until("nginx asks", || (of_nginx.asked() > before).then_some(()));
    let ask = |name: &str| edge.ask(&format!("/{name}"));
    of_nginx.says(&[]);
    right.says(&[("names-default", new), ("names-disagree", new)]);
    second.says(&[("names-disagree", old), ("names-unexpected", old)]);
    for (alert, name) in [
        ("BadGatewayUpstreamDNSFailing", "names-gone"),
        ("BadGatewayUpstreamDNSUnexpectedAddress", "names-unexpected"),
        ("BadGatewayUpstreamDNSTTLTooLong", "names-lasting"),
        ("BadGatewayUpstreamDNSDisagreement", "names-disagree"),
    ] {
        let labels = watch.warns(alert, name, || ask(name));
        assert_eq!(labels["hop"], "origin", "{labels}");
    }
    lasting.says(&[("names-lasting", new)]);
    leaves.kill();
    for name in ["names-unexpected", "names-disagree", "names-lasting", "names-gone"] {
        assert_eq!(fails(&[502], || ask(name)), 502, "{name}");
    }
    let rounds = "badgateway_rounds_total{upstream=\"names-default\", hop=\"names\"} > 3";
    watch.stays_silent("names-default", rounds);
}
