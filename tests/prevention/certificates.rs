//! A11: certificates that a gateway still accepts, or does not look at yet.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::daemon::scratch;
use crate::support::gateways::{Gateway, haproxy_at, nginx_of};
use crate::support::peers::http1::{OK, answers};
use crate::support::peers::tls::Tls;
use crate::support::pki::{Flaw, Identity, NAME, Pki};
use crate::support::programs;
use crate::support::stack::address;
use crate::watch::{Watch, fails, folder};

/// How long the certificate that ends in the test lasts, in seconds, of an hour.
const LEFT: i64 = 12;

fn serve(identity: Identity) -> SocketAddr {
    Tls::new(identity).serve(answers(OK))
}

#[test]
fn a_certificate_ends_or_would_not_be_accepted() {
    if !programs::have(&["nginx", "haproxy", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let pki = Pki::new(&scratch);
    let nginx = |name: &str, server: SocketAddr, verify: &str| {
        // A session that is resumed would not be verified again.
        let site = format!(
            "access_log off; proxy_ssl_verify {verify}; proxy_ssl_verify_depth 2; proxy_ssl_session_reuse off;
             proxy_ssl_trusted_certificate {}; proxy_ssl_name {NAME}; proxy_ssl_server_name on;
             server {{ listen $LISTEN; location / {{ proxy_pass https://{server}; }} }}",
            pki.ca_file()
        );
        nginx_of(&folder(&scratch, name), &site)
    };
    let haproxy = |name: &str, server: SocketAddr, verify: &str| {
        let ca = pki.ca_file();
        let site = format!(
            "default_backend shop\nbackend shop\n\
             server one {server} ssl sni str({NAME}) ca-file {ca} verifyhost {NAME} no-ssl-reuse verify {verify}\n"
        );
        haproxy_at(&folder(&scratch, name), address(3), &[], "", "retries 0", &site)
    };
    let good = serve(pki.server(Flaw::None));
    let [name, chain] = [Flaw::WrongName, Flaw::MissingIntermediate].map(|flaw| serve(pki.server(flaw)));
    let mut unlooked = [
        (
            "certificate-name",
            "nginx",
            nginx("certificate-name", name, "off"),
            name,
        ),
        (
            "certificate-chain",
            "haproxy",
            haproxy("certificate-chain", chain, "none"),
            chain,
        ),
    ];
    let well = [
        (
            "certificate-nginx-default",
            "nginx",
            nginx("certificate-nginx-default", good, "on"),
            good,
        ),
        (
            "certificate-haproxy-default",
            "haproxy",
            haproxy("certificate-haproxy-default", good, "required"),
            good,
        ),
    ];
    let ends = serve(pki.server_of_seconds(LEFT, 3600));
    let ending = [
        (
            "certificate-nginx-ends",
            "nginx",
            nginx("certificate-nginx-ends", ends, "on"),
            ends,
        ),
        (
            "certificate-haproxy-ends",
            "haproxy",
            haproxy("certificate-haproxy-ends", ends, "required"),
            ends,
        ),
    ];
    let all = || unlooked.iter().chain(&well).chain(&ending);
    let gateways: Vec<Value> = all()
        .map(|(name, kind, ..)| json!({ "name": name, "kind": kind }))
        .collect();
    let upstream = |(name, _, gateway, server): &(&str, &str, Gateway, SocketAddr)| {
        let looked_at = !unlooked.iter().any(|(unlooked, ..)| unlooked == name);
        json!({
            "name": name,
            "origin": {
                "url": format!("https://{server}/"),
                "server_name": NAME,
                "tls": { "ca_file": pki.ca_file(), "verify": looked_at },
            },
            "via": [{ "gateway": name, "url": format!("http://{}/", gateway.listen) }],
        })
    };
    let upstreams: Vec<Value> = all().map(upstream).collect();
    let watch = Watch::start(&scratch, json!(gateways), json!(upstreams));

    for (name, _, gateway, _) in &ending {
        let labels = watch.warns("BadGatewayCertificateExpiresSoon", name, || gateway.ask("/"));
        assert_eq!(labels["hop"], "origin", "{labels}");
    }
    for ((name, _, gateway, _), problem) in unlooked.iter().zip(["name_mismatch", "untrusted"]) {
        let labels = watch.warns("BadGatewayCertificateProblem", name, || gateway.ask("/"));
        assert_eq!(labels["problem"], problem, "{labels}");
    }
    // HAProxy has another number for a server that it cannot connect to.
    let [(_, _, nginx, _), (_, _, haproxy, _)] = &mut unlooked;
    nginx.reconfigure("proxy_ssl_verify off", "proxy_ssl_verify on");
    haproxy.reconfigure("verify none", "verify required");
    assert_eq!(fails(&[502], || nginx.ask("/")), 502);
    assert_eq!(fails(&[503], || haproxy.ask("/")), 503);
    let [(_, _, nginx, _), (_, _, haproxy, _)] = &ending;
    assert_eq!(fails(&[502], || nginx.ask("/")), 502);
    assert_eq!(fails(&[503], || haproxy.ask("/")), 503);
    watch.stay_silent(well.each_ref().map(|(name, ..)| *name), |name| {
        format!("badgateway_tls_certificate_expiry_timestamp_seconds{{upstream={name:?}, hop=\"origin\"}}")
    });
}
