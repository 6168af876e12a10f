//! No text of a gateway, however broken, does harm; what text is whose is told by its content.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

const NGINX: &str = include_str!("../init/testdata/shop.conf");
const HAPROXY: &str = include_str!("../init/testdata/shop.cfg");

fn read_both(text: &str) {
    if let Ok(found) = nginx::read(text, "/nonexistent/nginx.conf", &Disk::default()) {
        found.said().strictest();
    }
    if let Ok(found) = haproxy::read(text, "/nonexistent/haproxy.cfg") {
        found.said().strictest();
    }
}

#[test]
fn what_a_text_is_its_content_tells() {
    for (text, expected) in [
        (NGINX, Product::Nginx),
        (HAPROXY, Product::Haproxy),
        ("server { listen 80; }", Product::Nginx),
        ("", Product::Nginx),
        ("frontend f\n  use_backend a if { path_beg /; }\n", Product::Haproxy),
        ("server {\n  location / { proxy_pass http://x; } }", Product::Nginx),
        ("defaults\n mode http\n", Product::Haproxy),
        (
            "global:\n  scrape_interval: 15s\nscrape_configs:\n  - job_name: x\n",
            Product::Prometheus,
        ),
    ] {
        assert_eq!(product_of(text), expected, "{text}");
    }
}

#[test]
fn times_and_sizes() {
    let (second, milli) = (Duration::from_secs(1), Duration::from_millis(1));
    for (text, bare, expected) in [
        ("60", second, Some(60_000)),
        ("60", milli, Some(60)),
        ("1m30s", second, Some(90_000)),
        ("1h 30m", second, Some(5_400_000)),
        ("500ms", second, Some(500)),
        ("100us", milli, None),
        ("0", second, None),
        ("5x", second, None),
        ("-1", second, None),
        ("99999999999999999999", second, None),
        ("8d", second, None),
        ("", second, None),
    ] {
        assert_eq!(time(text, bare), expected.map(Duration::from_millis), "{text}");
    }
    for (text, expected) in [
        ("4k", Some(4096)),
        ("1M", Some(1 << 20)),
        ("16384", Some(16_384)),
        ("0", None),
        ("k", None),
        ("4ü", None),
        ("99999999999999999999g", None),
    ] {
        assert_eq!(size(text), expected, "{text}");
    }
}

#[test]
fn the_format_is_that_of_the_log_that_is_read() {
    let log = |target: Target, format: &str| AccessLog {
        target,
        format: match format {
            "" => LineFormat::Own,
            "!" => LineFormat::Unusable("why".into()),
            text => LineFormat::Custom(text.into()),
        },
    };
    let (a, b) = (Target::File("/a.log".into()), Target::File("/b.log".into()));
    let syslog = Target::Syslog("127.0.0.1:5514".into());
    for (logs, path, expected) in [
        (vec![], Some("/a.log"), Ok(LineFormat::Own)),
        (
            vec![log(a.clone(), "x"), log(b.clone(), "y")],
            Some("/b.log"),
            Ok(LineFormat::Custom("y".into())),
        ),
        (
            vec![log(a.clone(), "x"), log(b.clone(), "x")],
            Some("/c.log"),
            Ok(LineFormat::Custom("x".into())),
        ),
        (
            vec![log(a.clone(), "x"), log(b, "")],
            Some("/c.log"),
            Err("several formats"),
        ),
        (
            vec![log(a.clone(), "x"), log(a.clone(), "y")],
            Some("/a.log"),
            Err("several formats"),
        ),
        (
            vec![log(a.clone(), "x"), log(syslog, "y")],
            None,
            Ok(LineFormat::Custom("y".into())),
        ),
        (vec![log(a, "!")], Some("/a.log"), Err("why")),
    ] {
        let said = Said {
            access_logs: logs,
            ..Said::default()
        };
        match (said.format_of(path.map(Path::new)), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(*found, expected),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }
}

/// Shapes that cost more than their size where a reader is careless.
#[test]
fn large_and_hostile_shapes_are_read_in_time_or_refused() {
    let many = 100_000;
    let began = Instant::now();
    for text in [
        "a {".repeat(many),
        "a b;\n".repeat(many),
        "x ".repeat(3_000_000),
        format!("upstream u {{ {} }}", "server a:1;".repeat(many)),
        format!(
            "server {{ {} }}",
            "location /x { proxy_pass http://a; proxy_read_timeout 1s; access_log /l x; }".repeat(many)
        ),
        (0..many).map(|n| format!("access_log /l{n} f{n};\n")).collect(),
        "include /nonexistent/*;".repeat(many),
        "content_by_lua_block {{".repeat(many),
        "'".repeat(many),
        format!(
            "defaults\n{}{}",
            " default-server a b c\n".repeat(many),
            "backend a\n server a :1 x\n".repeat(many)
        ),
        "frontend f\n acl a hdr(host) x\n use_backend b if a\n log global\n".repeat(many),
        format!("frontend f\n use_backend x if {}\n", "{ path /a } ".repeat(15)).repeat(1000),
    ] {
        read_both(&text);
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,300}") {
        read_both(&text);
    }

    #[test]
    fn any_words_are_read_or_refused(words in proptest::collection::vec(
        prop_oneof![
            "[a-z.:/0-9]{0,8}", Just("{".to_owned()), Just("}".to_owned()), Just(";".to_owned()), Just("\n".to_owned()),
            Just("frontend".to_owned()), Just("backend".to_owned()), Just("\nserver".to_owned()), Just("\nbind".to_owned()),
            Just("if".to_owned()), Just("\"".to_owned()), Just("\\".to_owned()), Just("\nuse_backend".to_owned()),
            Just("location".to_owned()), Just("proxy_pass".to_owned()), Just("\nlog".to_owned()), Just("\nacl".to_owned()),
        ], 0..80))
    {
        read_both(&words.join(" "));
    }

    #[test]
    fn any_change_to_a_real_file_is_read_or_refused(at in 0..4000_usize, length in 0..40_usize, insert in "(?s).{0,10}") {
        for text in [NGINX, HAPROXY] {
            let mut bytes = text.as_bytes().to_vec();
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, insert.bytes());
            read_both(&String::from_utf8_lossy(&bytes));
        }
    }
}
