//! A15: a gateway at its own limit, before servers that have time.

use serde_json::{Value, json};

use crate::origins;
use crate::support::daemon::scratch;
use crate::support::gateways::{haproxy_at, nginx_of};
use crate::support::programs;
use crate::support::stack::address;
use crate::users::Users;
use crate::watch::{Watch, fails, folder};

/// What users ask for takes a second.
const WORK: &str = "/after/1000";

#[test]
fn connections_wait_for_the_gateway() {
    if !programs::have(&["nginx", "haproxy", "python3", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let server = origins::slow();
    // Users come by way of nginx, as by way of a CDN.
    let chain = |name: &str, limit: &str| {
        let site = format!(
            "{limit}\ndefault_backend shop\nbackend shop\nserver one {}\n",
            server.listen
        );
        let inner = folder(&scratch, &format!("{name}-inner"));
        let haproxy = haproxy_at(&inner, address(3), &[], "", "timeout server 50s", &site);
        let site = format!(
            "access_log off; proxy_connect_timeout 1s;
             server {{ listen $LISTEN; location / {{ proxy_pass http://{}; }} }}",
            haproxy.listen
        );
        (nginx_of(&folder(&scratch, name), &site), haproxy)
    };
    // Four at a time; sixteen more wait until it takes them.
    let full = chain("overload-full", "maxconn 4\nbacklog 16");
    let well = chain("overload-default", "");
    let all = [("overload-full", &full), ("overload-default", &well)];
    let inner = |name: &str| format!("{name}-inner");
    let gateways: Vec<Value> = all
        .iter()
        .flat_map(|(name, _)| {
            [
                json!({ "name": name, "kind": "nginx" }),
                json!({ "name": inner(name), "kind": "haproxy" }),
            ]
        })
        .collect();
    let upstreams = all.map(|(name, (nginx, haproxy))| {
        json!({
            "name": name,
            "timeout": "5s",
            "origin": format!("http://{}/", server.listen),
            "via": [
                { "gateway": name, "url": format!("http://{}/", nginx.listen), "timeout": "5s" },
                { "gateway": inner(name), "url": format!("http://{}/", haproxy.listen), "timeout": "5s" },
            ],
        })
    });
    let watch = Watch::start(&scratch, json!(gateways), json!(upstreams));
    let plain = Users::ask(well.0.listen, WORK, 4);
    watch.stay_silent(all.map(|(name, _)| name), |name| {
        format!("badgateway_rounds_total{{upstream={name:?}, hop={name:?}}} > 1")
    });
    let some = Users::ask(full.0.listen, WORK, 10);
    let labels = watch.warns("BadGatewayOverloaded", "overload-full", || some.worst().or(Some(200)));
    assert_ne!(labels["hop"], "origin", "{labels}");
    let more = Users::ask(full.0.listen, WORK, 40);
    assert_eq!(fails(&[504], || more.worst()), 504);
    // Nobody is left waiting.
    drop(full);
    drop((some, more));

    assert_eq!(plain.worst(), Some(200));
    watch.stays_silent(
        "overload-default",
        "badgateway_rounds_total{upstream=\"overload-default\", hop=\"overload-default\"} > 3",
    );
}
