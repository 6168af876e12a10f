//! What a whole configuration means: the example, precedence, what stays with its hop, secrets.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::Method;
use proptest::prelude::*;

use super::*;
use crate::upstream::*;

const EXAMPLE: &str = include_str!("../../config/badgateway.yml");

fn load_text(text: &str) -> Result<Config, String> {
    from_str(text, "t.yml", Path::new("."), &|_| None).map_err(|problems| problems.to_string())
}

fn good(text: &str) -> Config {
    load_text(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn upstream(text: &str) -> Arc<Upstream> {
    good(text).upstreams[0].clone()
}

fn target(upstream: &Upstream, hop: &str) -> Arc<Target> {
    upstream.hop(hop).unwrap_or_else(|| panic!("no hop {hop}")).targets[0].clone()
}

#[test]
fn the_example_loads() {
    let config = good(EXAMPLE);
    let checkout = &config.upstreams[0];
    let hops: Vec<&str> = checkout.hops.iter().map(|hop| &*hop.name).collect();
    assert_eq!(hops, ["cdn", "edge", "origin"]);
    assert!(checkout.user_view().user_view && checkout.hops[1..].iter().all(|hop| !hop.user_view));
    let edge = target(checkout, "edge");
    assert_eq!(edge.requests[1].path, "/checkout/api/cart");
    assert_eq!(&*edge.requests[1].label, "/api/cart");
    assert_eq!(edge.url(&edge.requests[0]), "http://10.0.0.7/checkout/healthz");
    assert_eq!(edge.host_header, "shop.example.com");
    assert_eq!(edge.addresses, AddressChoice::One);
    assert!(edge.resolvers.is_empty() && edge.expect.addresses.is_empty() && edge.expect.body.is_some());
    let origin = target(checkout, "origin");
    assert_eq!(
        (origin.port, origin.addresses, origin.resolvers.len()),
        (8443, AddressChoice::All, 2)
    );
    assert_eq!(origin.expect.status, vec![200..=299]);
    assert!(!origin.tls.verify, "nginx does not verify its origins");
    assert!(edge.tls.verify);
    assert_eq!(
        checkout.hop("origin").unwrap().limits.first_byte,
        Some(Duration::from_secs(30))
    );
    assert_eq!(checkout.hop("origin").unwrap().limits.response_header, Some(8192));
    assert_eq!(checkout.hop("edge").unwrap().limits.idle, Some(Duration::from_secs(5)));
    assert_eq!(checkout.hop("cdn").unwrap().limits, Limits::default());
    assert_eq!(checkout.objective, Some(0.999));
    assert_eq!(config.upstreams[1].hop("origin").unwrap().targets.len(), 3);
    assert_eq!(config.self_check.len(), 2);
    assert!(config.unused.iter().any(|note| note.path == "alertmanager"));
    assert!(config.unused.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

#[test]
fn the_defaults_the_example_states_are_the_built_in_ones() {
    let stated = upstream(&format!(
        "{}\nupstreams: [{{ name: a, origin: http://a }}]\n",
        &EXAMPLE[..EXAMPLE.find("\ngateways:").unwrap()]
    ));
    let built_in = upstream("upstreams: [{ name: a, origin: http://a }]");
    assert_eq!(stated.fingerprint, built_in.fingerprint);
    for (written, constant) in [
        (
            format!("interval: {}", number::show_duration(DEFAULT_INTERVAL)),
            "interval",
        ),
        (
            format!("timeout: {}", number::show_duration(DEFAULT_TIMEOUT)),
            "timeout",
        ),
        (format!("max_rate: {DEFAULT_MAX_RATE}/s"), "max_rate"),
        (format!("max_addresses: {DEFAULT_MAX_ADDRESSES}"), "max_addresses"),
        (format!("max_head: {}", number::show_size(DEFAULT_MAX_HEAD)), "max_head"),
        (format!("max_body: {}", number::show_size(DEFAULT_MAX_BODY)), "max_body"),
        (
            format!("max_concurrent_probes: {DEFAULT_MAX_CONCURRENT_PROBES}"),
            "max_concurrent_probes",
        ),
        (
            format!("min(timeout, {})", number::show_duration(MAX_RESOLUTION)),
            "resolution",
        ),
    ] {
        assert!(
            EXAMPLE.contains(&written),
            "the example does not state {constant} as {written}"
        );
    }
    assert_eq!(
        good("upstreams: [{ name: a, origin: http://a }]").max_concurrent_probes,
        DEFAULT_MAX_CONCURRENT_PROBES
    );
}

#[test]
fn the_nearest_setting_wins() {
    let text = "
defaults: { timeout: 1s, method: HEAD, labels: { team: a, tier: x }, confirm: { retries: 3, delay: 1s } }
modules: { m: { timeout: 2s, max_body: 1KiB, confirm: { delay: 2s } } }
gateways: [{ name: g, kind: generic }]
upstreams:
  - name: u
    module: m
    timeout: 3s
    labels: { team: b }
    origin: { url: http://o, timeout: 4s }
    via: [{ gateway: g, url: http://g }]
";
    let u = upstream(text);
    assert_eq!(target(&u, "origin").timeout, Duration::from_secs(4));
    assert_eq!(target(&u, "g").timeout, Duration::from_secs(3));
    assert_eq!(target(&u, "g").max_body, 1024);
    assert_eq!(target(&u, "g").method, Method::HEAD);
    assert_eq!((u.confirm.retries, u.confirm.delay), (3, Duration::from_secs(2)));
    assert_eq!(u.labels["team"], "b");
    assert_eq!(u.labels["tier"], "x");
}

#[test]
fn what_is_secret_or_names_a_network_stays_with_its_hop() {
    let text = "
gateways: [{ name: g, kind: generic }, { name: h, kind: caddy }]
upstreams:
  - name: u
    origin: https://o
    via:
      - { gateway: g, url: 'https://g' }
      - { gateway: h, url: 'https://h', auth: { bearer: hop }, headers: { X-A: hop }, resolvers: 10.0.0.1, tls: { verify: false } }
    auth: { bearer: up }
    headers: { X-A: up, X-B: up }
    resolvers: [10.0.0.2]
    tls: { min_version: 1.3 }
    expect: { addresses: [10.0.0.0/8], status: 204 }
";
    let u = upstream(text);
    let (g, h, o) = (target(&u, "g"), target(&u, "h"), target(&u, "origin"));
    assert!(g.auth.is_none() && g.headers.is_empty() && g.resolvers.is_empty() && g.expect.addresses.is_empty());
    assert_eq!(g.tls, TlsPolicy::default());
    assert_eq!(g.expect.status, vec![204..=204]);
    assert_eq!(h.auth, Some(Auth::Bearer(Secret::new("hop"))));
    assert_eq!((h.headers.len(), h.resolvers.len(), h.tls.verify), (1, 1, false));
    assert_eq!(o.auth, Some(Auth::Bearer(Secret::new("up"))));
    assert_eq!(
        (o.headers.len(), o.resolvers.len(), o.tls.min_version),
        (2, 1, TlsVersion::Tls13)
    );
    assert!(o.tls.verify, "caddy verifies its origins");
}

#[test]
fn names_are_host_then_server_name() {
    for (hop, header, name) in [
        ("url: https://o:8443", "o:8443", "o"),
        ("url: https://o", "o", "o"),
        (
            "url: https://o:8443, host: shop.example:444",
            "shop.example:444",
            "shop.example",
        ),
        (
            "url: https://10.0.0.1, host: shop.example, server_name: inner",
            "shop.example",
            "inner",
        ),
        ("url: 'https://[::1]:9'", "[::1]:9", "::1"),
        ("url: 'http://unix:/run/a.sock:/x'", "localhost", "localhost"),
    ] {
        let u = upstream(&format!("upstreams: [{{ name: u, origin: {{ {hop} }} }}]"));
        let target = target(&u, "origin");
        assert_eq!(target.host_header, header, "{hop}");
        assert_eq!(target.server_name, name, "{hop}");
    }
}

#[test]
fn paths_are_appended() {
    for (url, paths, expected) in [
        (
            "http://h/checkout",
            "[/healthz]",
            vec![("/healthz", "/checkout/healthz")],
        ),
        (
            "http://h/checkout/",
            "[/healthz, /]",
            vec![("/healthz", "/checkout/healthz"), ("/", "/checkout/")],
        ),
        ("http://h", "[/a?x=1]", vec![("/a", "/a?x=1")]),
        (
            "http://h/?k=1",
            "[/a?x=1, /a?x=2, /b]",
            vec![("/a", "/a?k=1&x=1"), ("/a#2", "/a?k=1&x=2"), ("/b", "/b?k=1")],
        ),
        ("http://h/c?k=1", "[]", vec![("/c", "/c?k=1")]),
        ("http://h", "[/ä b]", vec![]),
    ] {
        let loaded = load_text(&format!("upstreams: [{{ name: u, origin: '{url}', paths: {paths} }}]"));
        let found = loaded.map(|config| config.upstreams[0].hops[0].targets[0].requests.clone());
        let found = found.unwrap_or_default();
        let found: Vec<(&str, &str)> = found.iter().map(|each| (&*each.label, each.path.as_str())).collect();
        assert_eq!(found, expected, "{url} {paths}");
    }
}

#[test]
fn variables_and_their_escape() {
    let env = |name: &str| (name == "PORT").then(|| "8081".to_owned());
    let text = "upstreams: [{ name: u, origin: 'http://h:${PORT}/$${PORT}', labels: { a: $x } }]";
    let config = from_str(text, "t", Path::new("."), &env).unwrap();
    let origin = &config.upstreams[0].hops[0].targets[0];
    assert_eq!((origin.port, origin.requests[0].path.as_str()), (8081, "/$%7BPORT%7D"));
    assert!(config.shown.contains("${PORT}"), "{}", config.shown);
}

#[test]
fn the_fingerprint_changes_with_what_matters_and_with_nothing_else() {
    let base = "upstreams: [{ name: u, origin: { url: http://o, auth: { bearer: a } } }]";
    let same = "# a comment\nupstreams:\n  - name: u\n    origin:\n      url: http://o:80/\n      auth: {bearer: a}\n      timeout: 10s\n";
    assert_eq!(upstream(base).fingerprint, upstream(same).fingerprint);
    for (from, to) in [
        ("bearer: a", "bearer: b"),
        ("http://o", "http://p"),
        ("name: u", "name: v"),
        ("name: u", "labels: {x: y}, name: u"),
        ("auth", "host: x, auth"),
        ("name: u", "name: u, interval: 16s"),
        ("name: u", "name: u, health_check: {path: /x}"),
    ] {
        assert_ne!(
            upstream(base).fingerprint,
            upstream(&base.replace(from, to)).fingerprint,
            "{to}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let text = "upstreams: [{ name: u, origin: { url: http://o, auth: { bearer_file: token } } }]";
    let read = |content: &str| {
        fs::write(dir.path().join("token"), content).unwrap();
        from_str(text, "t", dir.path(), &|_| None).unwrap().upstreams[0].fingerprint
    };
    assert_eq!(read("a"), read("a\n"));
    assert_ne!(read("a"), read("b"));
}

#[test]
fn certificates_are_read_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
    fs::write(dir.path().join("c.pem"), pair.cert.pem()).unwrap();
    fs::write(dir.path().join("k.pem"), pair.signing_key.serialize_pem()).unwrap();
    fs::write(dir.path().join("other.pem"), other.signing_key.serialize_pem()).unwrap();
    let load = |tls: &str| {
        let text = format!("upstreams: [{{ name: u, origin: {{ url: https://o, tls: {{ {tls} }} }} }}]");
        from_str(&text, "t", dir.path(), &|_| None).map_err(|problems| problems.to_string())
    };
    let config = load("ca_file: c.pem, ca_only: true, cert_file: c.pem, key_file: k.pem").unwrap();
    let policy = &config.upstreams[0].hops[0].targets[0].tls;
    assert!(policy.ca.is_some() && policy.ca_only && policy.client.is_some());
    assert!(!format!("{config:?}").contains("PRIVATE KEY"));
    for (tls, expected) in [
        (
            "cert_file: c.pem, key_file: other.pem",
            "does not belong to the certificate",
        ),
        ("cert_file: k.pem, key_file: k.pem", "holds no certificate"),
        ("cert_file: c.pem, key_file: c.pem", "holds no private key"),
        ("cert_file: c.pem", "key_file is missing"),
        ("key_file: k.pem", "cert_file is missing"),
        ("ca_file: gone.pem", "cannot be read"),
        ("ca_file: .", "is not a file"),
        ("ca_only: true", "ca_file is missing"),
    ] {
        let problems = load(tls).unwrap_err();
        assert!(problems.contains(expected), "{tls}: {problems}");
    }
}

/// A secret in every place that may hold one.
const SECRETS: &str = "
modules:
  m: { auth: { bearer: hunter-module } }
gateways: [{ name: g, kind: nginx }]
upstreams:
  - name: a
    module: m
    origin: https://o
    headers: { X-Vault-Token: hunter-header, Cookie: [hunter-cookie-1, hunter-cookie-2], X-Plain: '${ENV}', Accept: text/html }
    via: [{ gateway: g, url: 'https://u:hunter-userinfo@g/p?key=hunter-query' }]
    paths: ['/x?key=hunter-path', /@scope]
  - name: b
    origin: { url: 'https://o', body: hunter-body, method: POST, auth: { basic: { username: u, password: hunter-password } } }
  - name: c
    origin: { url: 'https://o', auth: { bearer: '${ENV}' } }
  - name: d
    origin: { url: 'https://o', auth: { bearer_file: token } }
  - name: e
    origin: { url: 'https://o', auth: { basic: { username: u, password_file: token } } }
discovery: [{ http: { url: 'https://u:hunter-sd@sd/?t=hunter-sd-query' } }]
alertmanager: { urls: ['https://u:hunter-am@am/?t=hunter-am-query'] }
self_check: ['https://u:hunter-check@s1/?x=hunter-check-query', 'https://s2']
";

#[test]
fn secrets_never_show() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "hunter-file\n").unwrap();
    let env = |name: &str| (name == "ENV").then(|| "hunter-env".to_owned());
    let config = from_str(SECRETS, "t.yml", dir.path(), &env).unwrap_or_else(|problems| panic!("{problems}"));
    let debug = format!("{config:?}");
    assert!(!debug.contains("hunter"), "{debug}");
    assert!(!config.shown.contains("hunter"), "{}", config.shown);
    assert!(
        config.shown.contains("Accept: text/html")
            && config.shown.contains("/@scope")
            && config.shown.contains("password: <secret>"),
        "{}",
        config.shown
    );
    let origin = &config.upstreams[3].hops[0].targets[0];
    assert_eq!(origin.auth, Some(Auth::Bearer(Secret::new("hunter-file"))));

    // Break it in every line and everywhere in it: no message may repeat a secret.
    for (from, to) in [
        ("https://u:", "htps://u:"),
        ("https://u:", "https//u:"),
        ("https://u:", "https://u/:"),
        ("bearer: hunter", "bearer: hun ter hunter"),
        ("password: hunter", "password: \"\\u0001hunter"),
        ("hunter-password }", "hunter-password\" }"),
        ("hunter-header", "\"hunter\\nheader\""),
        ("key=hunter-path", "key= hunter-path"),
        ("'/x?", "'x?"),
        ("/p?key", "/p#x?key"),
        ("@g/", "@g:99999/"),
        ("basic: { username: u", "basic: { username: 'u:hunter'"),
        ("auth: { bearer: '${ENV}' }", "auth: '${ENV}'"),
        (
            "https://o', auth: { bearer_file",
            "https://x:${ENV}@o:bad/', auth: { bearer_file",
        ),
        ("name: c", "name: '${ENV} x'"),
    ] {
        let broken = SECRETS.replace(from, to);
        assert_ne!(broken, SECRETS, "{from}");
        if let Err(problems) = from_str(&broken, "t.yml", dir.path(), &env) {
            assert!(!problems.to_string().contains("hunter"), "{from} -> {to}: {problems}");
        }
    }
}

#[test]
fn what_is_shown_reads_back_the_same() {
    let config = good(EXAMPLE);
    let again = good(&config.shown);
    assert_eq!(again.shown, config.shown);
    for (first, second) in config.upstreams.iter().zip(&again.upstreams) {
        assert_eq!(first.fingerprint, second.fingerprint, "{}", config.shown);
    }
}

#[test]
fn thousands_of_upstreams_load_quickly() {
    let mut text = String::from("defaults: { interval: 30s }\nupstreams:\n");
    for number in 0..5000 {
        text.push_str(&format!(
            "  - {{ name: u{number}, origin: 'http://10.0.{}.{}:80' }}\n",
            number / 256,
            number % 256
        ));
    }
    assert_eq!(good(&text).upstreams.len(), 5000);
}

#[test]
fn addresses_families_and_bodies_fit_together() {
    let u = upstream(
        "upstreams: [{ name: u, origin: { url: http://10.0.0.1, source_address: 10.0.0.9, redirects: { hosts: ['*.x.y'] } } }]",
    );
    let origin = target(&u, "origin");
    assert_eq!(origin.source_address, "10.0.0.9".parse::<IpAddr>().ok());
    assert_eq!(origin.redirects.max, 3);
    let u =
        upstream("upstreams: [{ name: u, origin: http://o, expect: { body: { json: { pointer: /a, equals: 1 } } } }]");
    assert!(
        matches!(&target(&u, "origin").expect.body, Some(BodyRule::Json { equals, .. }) if *equals == serde_json::json!(1))
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let dir = tempfile::tempdir().unwrap();
    let problems = load(&dir.path().join("gone.yml")).unwrap_err().to_string();
    assert!(
        problems.ends_with("gone.yml: cannot be read: No such file or directory (os error 2)"),
        "{problems}"
    );
    let path = dir.path().join("latin1.yml");
    fs::write(&path, b"a: 1\nname: \xe4\n").unwrap();
    let problems = load(&path).unwrap_err().to_string();
    assert!(problems.contains("latin1.yml:2:7: is not UTF-8"), "{problems}");
    assert!(load(dir.path()).unwrap_err().to_string().contains("is a directory"));
}

#[test]
fn hostile_text_ends_in_a_problem() {
    let huge = format!("upstreams: [{{ name: {}, origin: http://o }}]", "x".repeat(4 << 20));
    let cases: HashMap<&str, String> = HashMap::from([
        ("deep", "a: ".to_owned() + &"[".repeat(10_000)),
        ("nul", "upstreams:\0".into()),
        ("tabs", "upstreams:\n\t- name: a\n".into()),
        ("two documents", "upstreams: []\n---\nupstreams: []\n".into()),
        ("huge", huge),
        (
            "many unknown keys",
            (0..50_000).map(|key| format!("key{key}: 1\n")).collect(),
        ),
    ]);
    for (name, text) in cases {
        let problems = load_text(&text).unwrap_err();
        assert!(
            problems.len() < 64 * 1024,
            "{name}: {} bytes of problems",
            problems.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*|[-a-z:\\[\\]{}&*!|>'\"%@`, \n#?0-9]{0,200}") {
        let _ = load_text(&text);
    }

    #[test]
    fn a_mutated_example_never_panics(at in 0..EXAMPLE.len(), length in 0_usize..40, insert in "[-a-z:\\[\\]{}&*!|>'\"%@$`, \n#?0-9]{0,6}") {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, insert.bytes());
        let _ = load_text(&String::from_utf8_lossy(&bytes));
    }
}
