//! What Squid logs, as it is really written.

use super::super::log::testing;
use super::*;

#[test]
fn the_native_format() {
    for (state, hierarchy, expected) in [
        ("TCP_MISS/200", "FIRSTUP_PARENT/127.0.0.1", "200 served"),
        ("TCP_MEM_HIT/200", "HIER_NONE/-", "200 served"),
        ("TCP_MISS/503", "FIRSTUP_PARENT/127.0.0.1", "503 service_unavailable?"),
        ("TCP_MISS/502", "HIER_NONE/-", "502 bad_gateway?"),
        ("TCP_MISS/503", "HIER_NONE/-", "503 service_unavailable?"),
        ("TCP_MISS/502", "FIRSTUP_PARENT/127.0.0.1", "502 bad_gateway?"),
        ("TCP_MISS/504", "FIRSTUP_PARENT/127.0.0.1", "504 gateway_timeout?"),
        ("TCP_MISS/500", "FIRSTUP_PARENT/127.0.0.1", "500 server_error"),
        ("TCP_MISS_ABORTED/000", "FIRSTUP_PARENT/127.0.0.1", "- client_closed"),
        ("TCP_MISS_ABORTED/200", "FIRSTUP_PARENT/127.0.0.1", "200 client_closed"),
    ] {
        let line = format!(
            "1795172720.109      0 127.0.0.1 {state} 3485 GET http://shop.example/a/b? - {hierarchy} text/html"
        );
        assert_eq!(testing::told(&KIND, &line), expected, "{line}");
    }
}

#[test]
fn quotes_of_clients_are_escaped() {
    let line = r#"127.0.0.1 - - [20/Nov/2026:11:05:21 +0000] "GET http://shop.example/ua HTTP/1.1" 200 553 "https://shop.example/502?x=\"y\"" "Mozilla/5.0 \"502\" upstream" TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:22048 us=200 tr=0 pt=0 tt=0 err=-/- id=-"#;
    // A user name that looks like the rest of the line.
    let forged = "1795172720.109 0 127.0.0.1 TCP_MISS/503 3485 GET http://a/b? x HIER_DIRECT/1.2.3.4 - FIRSTUP_PARENT/127.0.0.1 text/html";
    testing::check(&KIND, &[(line, "200 served"), (forged, "foreign")]);
}

#[test]
fn error_codes() {
    const TLS: &str = "ERR_SECURE_CONNECT_FAIL/SQUID_TLS_ERR_CONNECT+";
    for (status, state, error, expected) in [
        (
            "200",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=200 tr=1 pt=1",
            "-/-",
            "200 served",
        ),
        (
            "502",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=502 tr=1 pt=1",
            "-/-",
            "502 bad_gateway",
        ),
        (
            "503",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=-",
            "ERR_CONNECT_FAIL/WITH_SERVER",
            "503 connect_failed?",
        ),
        (
            "503",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=-",
            "ERR_CONNECT_FAIL/111",
            "503 connect_refused",
        ),
        (
            "503",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=-",
            "ERR_CONNECT_FAIL/110",
            "503 connect_timeout",
        ),
        (
            "503",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=-",
            "ERR_CONNECT_FAIL/113",
            "503 connect_unreachable",
        ),
        (
            "503",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            "ERR_DNS_FAIL/-",
            "503 dns_failed?",
        ),
        (
            "502",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            "ERR_READ_ERROR/WITH_SERVER",
            "502 bad_gateway?",
        ),
        (
            "502",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=1",
            "ERR_READ_ERROR/WITH_SERVER",
            "502 response_reset",
        ),
        (
            "200",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=200 tr=1 pt=1",
            "ERR_READ_ERROR/SRV_PREMATURE_EOF",
            "200 response_truncated",
        ),
        (
            "504",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=1",
            "ERR_READ_TIMEOUT/WITH_SERVER",
            "504 response_timeout",
        ),
        (
            "200",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=200 tr=1 pt=1",
            "ERR_READ_TIMEOUT/WITH_SERVER",
            "200 response_body_timeout",
        ),
        (
            "502",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=1",
            "ERR_ZERO_SIZE_OBJECT/WITH_SERVER",
            "502 response_closed",
        ),
        (
            "502",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=-",
            "ERR_ZERO_SIZE_OBJECT/WITH_SERVER",
            "502 response_failed?",
        ),
        (
            "502",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=200 tr=1 pt=1",
            "ERR_INVALID_RESP/WITH_SERVER",
            "502 response_malformed",
        ),
        (
            "502",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=1",
            "ERR_TOO_BIG/WITH_SERVER",
            "502 response_header_too_large",
        ),
        (
            "502",
            "TCP_MISS:FIRSTUP_PARENT srv=127.0.0.1:80 us=- tr=1 pt=1",
            "ERR_WRITE_ERROR/WITH_SERVER",
            "502 response_reset",
        ),
        (
            "503",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            "ERR_CANNOT_FORWARD/-",
            "503 no_live_upstream",
        ),
        (
            "500",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            "ERR_SOCKET_FAILURE/24",
            "500 gateway_internal",
        ),
        (
            "403",
            "TCP_DENIED:HIER_NONE srv=-:- us=- tr=1 pt=-",
            "ERR_ACCESS_DENIED/-",
            "403 served",
        ),
        (
            "000",
            "NONE_NONE:HIER_NONE srv=-:- us=- tr=1 pt=-",
            "ERR_CLIENT_GONE/WITH_CLIENT",
            "- client_closed",
        ),
        (
            "503",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            &format!("{TLS}GNUTLS_E_UNEXPECTED_PACKET"),
            "503 tls_not_tls",
        ),
        (
            "503",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            &format!("{TLS}GNUTLS_E_PULL_ERROR+errno=104"),
            "503 tls_closed",
        ),
        (
            "503",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            &format!("{TLS}GNUTLS_E_FATAL_ALERT_RECEIVED"),
            "503 tls_protocol",
        ),
        (
            "503",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            &format!("{TLS}GNUTLS_E_PREMATURE_TERMINATION"),
            "503 tls_failed?",
        ),
        (
            "503",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            &format!("{TLS}TLS_LIB_ERR=A00010B+TLS_IO_ERR=1"),
            "503 tls_not_tls",
        ),
        (
            "503",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            "ERR_SECURE_CONNECT_FAIL/X509_V_ERR_CERT_HAS_EXPIRED",
            "503 tls_certificate_expired",
        ),
        (
            "503",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            "ERR_SECURE_CONNECT_FAIL/SQUID_X509_V_ERR_DOMAIN_MISMATCH",
            "503 tls_certificate_name_mismatch",
        ),
        (
            "504",
            "TCP_MISS:HIER_NONE srv=-:- us=- tr=1 pt=-",
            "ERR_SECURE_CONNECT_FAIL/TLS_CONNECT_TIMEOUT",
            "504 tls_timeout",
        ),
    ] {
        let line = format!(
            r#"127.0.0.1 - - [20/Nov/2026:11:04:46 +0000] "GET http://shop.example/a/b? HTTP/1.1" {status} 553 "-" "curl" {state} tt=29 err={error} id=-"#
        );
        assert_eq!(testing::told(&KIND, &line), expected, "{line}");
    }
}

#[test]
fn cache_log() {
    testing::check(
        &KIND,
        &[
            (
                "2026/11/20 11:04:52| WARNING: HTTP: Invalid Response: Bad header encountered from http://a/b?c AKA http://a/b?c",
                "attempt response_malformed",
            ),
            (
                "2026/11/20 11:04:52 kid1| WARNING: HTTP: Invalid Response: No object data received for http://a/b AKA http://a/b",
                "attempt response_failed?",
            ),
            ("2026/11/20 11:04:52| TCP connection to 127.0.0.1/22002 failed", "other"),
            ("2026/11/20 11:04:52| Detected DEAD Parent: app07", "other"),
            (
                "2026/11/20 11:04:54| WARNING: HTTP header contains NULL characters {Content-Type: text/plain\nX-Nul: }\n\n{b",
                "other",
            ),
            (
                "2026/11/20 11:04:54| WARNING: HTTP header contains NULL characters {X: }\n    current master transaction: master1\nX",
                "foreign",
            ),
            ("    current master transaction: master1", "other"),
        ],
    );
}
