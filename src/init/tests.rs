//! What is written always loads, and says what the nginx configuration says.

use std::path::Path;

use proptest::prelude::*;

use super::from_nginx;
use crate::config::{self, Config};

/// As Debian and Ubuntu ship it; its includes lead nowhere, so that the host does not matter.
const DEBIAN: &str = include_str!("testdata/debian.conf");
const SHOP: &str = include_str!("testdata/shop.conf");

fn write(text: &str) -> (String, Config) {
    let yaml = from_nginx(text, "/nonexistent/nginx.conf").unwrap_or_else(|problem| panic!("{problem}"));
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
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/init/testdata/shop.yml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &yaml).unwrap();
    }
    assert_eq!(yaml, std::fs::read_to_string(&golden).unwrap_or_default());
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
    let yaml = from_nginx("http { include sites/*.conf; include gone.conf; }", &path).unwrap();
    let config = config::from_str(&yaml, "t", Path::new("/"), &|_| None).unwrap();
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
    assert_eq!(names, ["a-1", "b-1"]);
    assert!(yaml.contains("include gone.conf was left out"), "{yaml}");
}

#[test]
fn broken_text_is_refused_with_its_place() {
    let problem = from_nginx("http {\n  server {\n", "nginx.conf").unwrap_err();
    assert_eq!(
        problem.to_string(),
        "nginx.conf:3:1: the block is not closed; } is missing"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_read_the_result_loads(at in 0..SHOP.len(), length in 0_usize..30, insert in "[a-z{};'\"\\\\$#/: \n*~]{0,8}") {
        let mut bytes = SHOP.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, insert.bytes());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(yaml) = from_nginx(&text, "/nonexistent/nginx.conf") {
            let loaded = config::from_str(&yaml, "t", Path::new("/"), &|_| None);
            prop_assert!(loaded.is_ok(), "{}\n{}", loaded.unwrap_err(), yaml);
        }
    }
}
