//! What is written always loads, and says what the nginx configuration says.

use std::path::Path;

use proptest::prelude::*;

use super::from_text;
use crate::config::{self, Config};

/// As Debian and Ubuntu ship it; its includes lead nowhere, so that the host does not matter.
const DEBIAN: &str = include_str!("testdata/debian.conf");
const SHOP: &str = include_str!("testdata/shop.conf");

const HAPROXY: &str = include_str!("testdata/shop.cfg");
const PROMETHEUS: &str = include_str!("testdata/prometheus.yml");

fn write(text: &str) -> (String, Config) {
    let yaml = from_text(text, "/nonexistent/nginx.conf").unwrap_or_else(|problem| panic!("{problem}"));
    let config = config::from_str(&yaml, "badgateway.yml", Path::new("/"), &|_| None);
    let config = config.unwrap_or_else(|problems| panic!("{problems}\n{yaml}"));
    (yaml, config)
}

#[test]
fn debians_default_loads_without_upstreams() {
    let (yaml, config) = write(DEBIAN);
    assert!(config.upstreams.is_empty());
    assert!(yaml.contains("access_log: /var/log/nginx/access.log"), "{yaml}");
    assert!(yaml.contains("error_log: /var/log/nginx/error.log"), "{yaml}");
}

#[test]
fn the_shop_is_taken_over() {
    let (yaml, config) = write(SHOP);
    is_golden(&yaml, "shop.yml");
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
    assert_eq!(
        names,
        [
            "catalog",
            "checkout",
            "api_servers",
            "legacy.internal-8443",
            "app.sock",
            "blog.example.com"
        ]
    );
    let catalog = &config.upstreams[0];
    assert_eq!(catalog.hop("origin").unwrap().targets.len(), 3);
    assert_eq!(config.gateways[0].gateway.limits.first_byte.unwrap().as_secs(), 30);
    assert!(yaml.contains("variables are known to nginx only"), "{yaml}");
}

/// Compares with a file; `UPDATE_GOLDEN=1` writes it.
fn is_golden(yaml: &str, name: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/init/testdata")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, yaml).unwrap();
    }
    assert_eq!(yaml, std::fs::read_to_string(&golden).unwrap_or_default());
}

fn names(config: &Config) -> Vec<&str> {
    config.upstreams.iter().map(|upstream| &*upstream.name).collect()
}

#[test]
fn a_whole_haproxy_configuration_is_taken_over() {
    let (yaml, config) = write(HAPROXY);
    assert_eq!(names(&config), ["shop", "cart", "api", "admin", "blog"]);
    let limits = config.gateways[0].gateway.limits;
    let secs = |seconds| Some(std::time::Duration::from_secs(seconds));
    assert_eq!((limits.connect, limits.first_byte), (secs(2), secs(50)));
    assert_eq!(limits.response_header, Some(31 * 1024));
    let shop = &config.upstreams[0];
    assert_eq!(shop.hop("origin").unwrap().targets.len(), 2);
    assert_eq!(config.gateways[0].routes[1].names, ["cart"]);
    for part in [
        "proxied has no server that can be asked",
        "server p wants send-proxy-v2 first",
        "postgres is not of mode http",
        "only HAProxy can tell the backend",
        "10.0.0.13:8080 is disabled",
        "health_check: { path: /healthz, interval: 3s, timeout: 3s, unhealthy_after: 2, healthy_after: 2 }",
        "elsewhere 5m",
    ] {
        assert!(yaml.contains(part), "no {part:?} in\n{yaml}");
    }
}

#[test]
fn other_shapes_of_haproxy_load_too() {
    for text in [
        "listen a\n mode http\n bind :80\n server a 127.0.0.1:80\n",
        "defaults\n mode http\nbackend a\n server a 127.0.0.1:80\nbackend a\n server a 127.0.0.1:80\n",
        "defaults x\n mode http\ndefaults y\nbackend a from x\n server a 127.0.0.1:80\n",
        "defaults\n mode http\nbackend 'a: b'\n server a [::1]:80\n option httpchk GET '/a b'\n",
        "defaults\n mode http\n timeout connect 30d\n timeout server 0\nbackend a\n server a x_y:80 ssl sni req.hdr(host)\n",
        "frontend f\n mode http\n bind /run/f.sock\n default_backend a\nbackend a\n mode http\n server a /run/a.sock\n",
        "frontend f\n mode http\n bind :80\n use_backend a if { path_beg /${X} }\nbackend a\n mode http\n server a a:80\n",
        "frontend f\n mode http\n bind :80\n log-format \"$X\"\n log 127.0.0.1:5514 local0\nbackend a\n mode http\n server a a:80 check inter 1\n option httpchk /x\n",
    ] {
        let (yaml, config) = write(text);
        assert!(!config.upstreams.is_empty(), "{yaml}");
    }
}

#[test]
fn the_logs_of_nginx_are_taken_over() {
    let site = "server { location / { proxy_pass http://127.0.0.1:3000; } }";
    for (text, expected) in [
        ("access_log /a.log;", "    access_log: /a.log\n"),
        ("access_log /a.log combined buffer=4k;", "    access_log: /a.log\n"),
        (
            "log_format x escape=json '{\"s\":$status,\"r\":\"$request\",' '\"t\":$msec}'; access_log /a.log x;",
            "      format: \"escape=json {\\\"s\\\":$status,\\\"r\\\":\\\"$request\\\",\\\"t\\\":$msec}\"\n",
        ),
        (
            "log_format x '$msec'; access_log /a.log x;",
            "this cannot be used: character 1: ",
        ),
        (
            "access_log /a.log y;",
            "    # log_format y is not defined\n    access_log: /a.log\n",
        ),
        (
            "access_log syslog:server=127.0.0.1:5514;",
            "    syslog: 127.0.0.1:5514   # ",
        ),
        (
            "access_log syslog:server=10.0.0.1;",
            "    # an access log elsewhere: 10.0.0.1:514\n",
        ),
        (
            "log_format x '$msec $status $request'; access_log syslog:server=127.0.0.1:5514 x;",
            "      format: \"$msec $status $request\"\n",
        ),
        (
            "access_log /dev/stdout; error_log stderr;",
            "access_log: /var/log/nginx/access.log   # the usual place",
        ),
    ] {
        let (yaml, _) = write(&format!("http {{ {text} {site} }}"));
        assert!(yaml.contains(expected), "no {expected:?} in\n{yaml}");
    }
}

#[test]
fn the_targets_of_blackbox_are_taken_over() {
    let (yaml, config) = write(PROMETHEUS);
    is_golden(&yaml, "prometheus.golden.yml");
    assert_eq!(
        names(&config),
        ["shop.example.com", "api.example.com-8443", "shop.example.com-2"]
    );
    assert_eq!(config.upstreams[0].interval.as_secs(), 30);
}

#[test]
fn other_shapes_load_too() {
    for text in [
        "",
        "events {}",
        "server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } }",
        "http { upstream a { } server { location / { proxy_pass http://a; } } }",
        "http { server { listen [::]:443 ssl; server_name _; location / { proxy_pass https://x/; } } }",
        "http { server { listen 80 proxy_protocol; location / { proxy_pass http://x; } } }",
        "http { server { server_name 'a b'; location '/ä {x}' { proxy_pass http://x; } } }",
        "http { log_format x '$a $${b} \"${c}\" \\n'; access_log /x x; access_log off; error_log stderr; }",
        "http { server { location / { proxy_pass http://$backend; } location @x { proxy_pass http://x; } } }",
        "http { server { location / { proxy_set_header Host \"a b\"; proxy_pass http://x; } } }",
        "http { proxy_read_timeout 0; proxy_buffer_size 0; proxy_connect_timeout 1h30m; server { location / { proxy_pass http://x; } } }",
        "stream { server { listen 53; proxy_pass dns; } }",
        "http { server { location /a/ { proxy_pass http://unix:/run/a.sock:/b/; } } }",
    ] {
        write(text);
    }
}

#[test]
fn includes_are_read_from_beside_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sites")).unwrap();
    for name in ["b", "a"] {
        let text = format!("server {{ server_name {name}.example; location / {{ proxy_pass http://{name}:1; }} }}");
        std::fs::write(dir.path().join("sites").join(format!("{name}.conf")), text).unwrap();
    }
    let path = dir.path().join("nginx.conf").display().to_string();
    let yaml = from_text("http { include sites/*.conf; include gone.conf; }", &path).unwrap();
    let config = config::from_str(&yaml, "t", Path::new("/"), &|_| None).unwrap();
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
    assert_eq!(names, ["a-1", "b-1"]);
    assert!(yaml.contains("include gone.conf was left out"), "{yaml}");
}

#[test]
fn broken_text_is_refused_with_its_place() {
    let problem = from_text("http {\n  server {\n", "nginx.conf").unwrap_err();
    assert_eq!(
        problem.to_string(),
        "nginx.conf:3:1: the block is not closed; } is missing"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_of_haproxy_is_read_the_result_loads(at in 0..HAPROXY.len(), length in 0_usize..30, insert in "[a-z{};'\"\\\\$#/: \n*~%]{0,8}") {
        let mut bytes = HAPROXY.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, insert.bytes());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(yaml) = from_text(&text, "/nonexistent/haproxy.cfg") {
            let loaded = config::from_str(&yaml, "t", Path::new("/"), &|_| None);
            prop_assert!(loaded.is_ok(), "{}\n{}", loaded.unwrap_err(), yaml);
        }
    }

    #[test]
    fn whatever_is_read_the_result_loads(at in 0..SHOP.len(), length in 0_usize..30, insert in "[a-z{};'\"\\\\$#/: \n*~]{0,8}") {
        let mut bytes = SHOP.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, insert.bytes());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(yaml) = from_text(&text, "/nonexistent/nginx.conf") {
            let loaded = config::from_str(&yaml, "t", Path::new("/"), &|_| None);
            prop_assert!(loaded.is_ok(), "{}\n{}", loaded.unwrap_err(), yaml);
        }
    }
}
