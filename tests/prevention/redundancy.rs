//! D2: of the servers of a service one is left, and nobody feels it yet.

use serde_json::json;

use crate::support::daemon::scratch;
use crate::support::gateways::{Gateway, haproxy_at, nginx_of};
use crate::support::programs;
use crate::support::stack::address;
use crate::watch::{Watch, fails, folder};

#[test]
fn one_server_is_left_of_two() {
    if !programs::have(&["nginx", "haproxy", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let server = |name: &str| {
        let site = "access_log off; server { listen $LISTEN; location / { return 200 ok; } }";
        nginx_of(&folder(&scratch, name), site)
    };
    let (mut servers, lasting) = (["one", "two"].map(server), ["three", "four"].map(server));
    let nginx = |name: &str, servers: &[Gateway; 2]| {
        let [one, two] = servers.each_ref().map(|server| server.listen);
        let site = format!(
            "access_log off; upstream shop {{ server {one}; server {two}; }}
             server {{ listen $LISTEN; location / {{ proxy_pass http://shop; }} }}"
        );
        nginx_of(&folder(&scratch, name), &site)
    };
    let haproxy = |name: &str, servers: &[Gateway; 2]| {
        let [one, two] = servers.each_ref().map(|server| server.listen);
        let site = format!("default_backend shop\nbackend shop\nserver one {one} check\nserver two {two} check\n");
        let folder = folder(&scratch, name);
        haproxy_at(&folder, address(3), &[], "", "option redispatch 1", &site)
    };
    let rows = [
        ("redundancy-nginx", "nginx", nginx("nginx", &servers)),
        ("redundancy-haproxy", "haproxy", haproxy("haproxy", &servers)),
    ];
    let well = [
        ("redundancy-nginx-both", "nginx", nginx("nginx-both", &lasting)),
        ("redundancy-haproxy-both", "haproxy", haproxy("haproxy-both", &lasting)),
    ];
    let gateways = rows.each_ref().into_iter().chain(&well);
    let gateways: Vec<_> = gateways
        .map(|(name, kind, _)| json!({ "name": name, "kind": kind }))
        .collect();
    let upstream = |(name, _, gateway): &(&str, &str, Gateway), servers: &[Gateway; 2]| {
        let url = |at| format!("http://{at}/");
        json!({
            "name": name,
            "origin": servers.each_ref().map(|server| url(server.listen)),
            "via": [{ "gateway": name, "url": url(gateway.listen) }],
        })
    };
    let behind = rows.iter().map(|row| upstream(row, &servers));
    let upstreams: Vec<_> = behind.chain(well.iter().map(|row| upstream(row, &lasting))).collect();
    let watch = Watch::start(&scratch, json!(gateways), json!(upstreams));

    let names = |of: &[(&'static str, &str, Gateway)]| of.iter().map(|(name, ..)| *name).collect::<Vec<_>>();
    watch.stay_silent([names(&rows), names(&well)].concat(), |name| {
        format!("badgateway_addresses{{upstream={name:?}, hop=\"origin\", state=\"healthy\"}} == 2")
    });
    servers[0].kill();
    for (name, _, gateway) in &rows {
        let labels = watch.warns("BadGatewayRedundancyLost", name, || gateway.ask("/"));
        assert_eq!(labels["hop"], "origin", "{labels}");
    }
    servers[1].kill();
    let [(_, _, nginx), (_, _, haproxy)] = &rows;
    assert_eq!(fails(&[502], || nginx.ask("/")), 502);
    // Once its own check has taken the last one out, it has a word of its own for the same.
    assert_eq!(fails(&[502, 503], || haproxy.ask("/")), 503);
    watch.stay_silent(names(&well), |name| {
        format!("badgateway_rounds_total{{upstream={name:?}, hop={name:?}}} > 3")
    });
}
