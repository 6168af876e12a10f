//! What the lists of attempts in nginx's access log say, attempt by attempt.

use std::time::Duration;

use super::*;
use crate::exchange::Line;
use crate::gateway::log::Parser;

fn taken(format: &str, line: &str) -> Taken {
    let mut parser = Parser::new(&KIND, Some(format)).unwrap();
    let Some(Line::Exchange(exchange)) = parser.read(line.as_bytes()) else {
        panic!("{line}");
    };
    exchange.taken
}

#[test]
fn only_a_backend_that_is_asked_again_at_once_was_reached_by_a_kept_connection() {
    let format =
        r#"$status ua="$upstream_addr" us="$upstream_status" uc="$upstream_connect_time" uh="$upstream_header_time""#;
    let rows = [
        (
            r#"ua="10.0.0.1:80, 10.0.0.1:80" us="502, 200" uc="0.000, 0.001" uh="-, 0.001""#,
            true,
        ),
        (
            r#"ua="10.0.0.1:80, 10.0.0.1:80" us="502, 502" uc="0.000, 0.001" uh="-, 0.001""#,
            true,
        ),
        // Alone it may be a new one that was quick.
        (r#"ua="10.0.0.1:80" us="502" uc="0.000" uh="-""#, false),
        (r#"ua="10.0.0.1:80" us="200" uc="0.000" uh="-""#, false),
        // Another one was asked.
        (
            r#"ua="10.0.0.1:80, 10.0.0.2:80" us="502, 200" uc="0.000, 0.001" uh="-, 0.001""#,
            false,
        ),
        // There was no connection; nobody can tell; it answered.
        (
            r#"ua="10.0.0.1:80, 10.0.0.1:80" us="502, 200" uc="-, 0.001" uh="-, 0.001""#,
            false,
        ),
        (
            r#"ua="10.0.0.1:80, 10.0.0.1:80" us="502, 200" uc="" uh="-, 0.001""#,
            false,
        ),
        (
            r#"ua="10.0.0.1:80, 10.0.0.1:80" us="503, 200" uc="0.000, 0.001" uh="-, 0.001""#,
            false,
        ),
        // The backend's own 502.
        (
            r#"ua="10.0.0.1:80, 10.0.0.1:80" us="502, 200" uc="0.000, 0.001" uh="0.002, 0.002""#,
            false,
        ),
        // A request of `error_page`.
        (
            r#"ua="10.0.0.1:80 : 10.0.0.1:80" us="502 : 200" uc="0.000 : 0.001" uh="- : 0.001""#,
            false,
        ),
    ];
    for (attempts, expected) in rows {
        let mut parser = Parser::new(&KIND, Some(format)).unwrap();
        let line = format!("200 {attempts}");
        let Some(Line::Exchange(exchange)) = parser.read(line.as_bytes()) else {
            panic!("{line}");
        };
        assert_eq!(exchange.reuses(), expected, "{line}");
    }
}

#[test]
fn what_limits_bound_is_told_attempt_by_attempt() {
    let format = r#"$status "$request" ua="$upstream_addr" us="$upstream_status" ut="$upstream_response_time" uc="$upstream_connect_time" uh="$upstream_header_time" ub="$upstream_bytes_received" ul="$upstream_response_length""#;
    let millis = |millis| Some(Duration::from_millis(millis));
    let rows = [
        // One that connects slowly and answers late, of a large head.
        (
            r#"ua="10.0.0.1:80" us="200" ut="2.500" uc="0.200" uh="1.700" ub="5000" ul="1000""#,
            (millis(200), millis(1500), Some(4000)),
        ),
        // Of two the most: the first was waited for in vain.
        (
            r#"ua="10.0.0.1:80, 10.0.0.2:80" us="504, 200" ut="2.002, 0.010" uc="0.001, 0.002" uh="-, 0.010" ub="0, 300" ul="0, 100""#,
            (millis(2), millis(2001), Some(200)),
        ),
        // No connection, no wait.
        (
            r#"ua="10.0.0.1:80" us="504" ut="2.002" uc="-" uh="-" ub="0" ul="0""#,
            (None, None, None),
        ),
        // What follows a switch of protocols is no head.
        (
            r#"ua="10.0.0.1:80" us="101" ut="60.000" uc="0.000" uh="0.004" ub="900000" ul="0""#,
            (millis(0), millis(4), None),
        ),
    ];
    for (attempts, expected) in rows {
        let taken = taken(format, &format!(r#"200 "GET / HTTP/1.1" {attempts}"#));
        let told = (taken.connect, taken.first_byte, taken.response_header);
        assert_eq!((told, taken.total), (expected, None), "{attempts}");
    }
}

#[test]
fn a_format_without_lengths_or_connect_times_tells_what_it_can() {
    let format = r#"$status "$request" ua="$upstream_addr" us="$upstream_status" ut="$upstream_response_time" uh="$upstream_header_time" ub="$upstream_bytes_received""#;
    let line = r#"200 "GET / HTTP/1.1" ua="10.0.0.1:80" us="200" ut="9.000" uh="1.700" ub="5000""#;
    let expected = Taken {
        first_byte: Some(Duration::from_millis(1700)),
        ..Taken::default()
    };
    assert_eq!(taken(format, line), expected);
}
