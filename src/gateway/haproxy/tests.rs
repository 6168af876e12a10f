//! What HAProxy logs, as it is really written.

use super::super::log::Parser;
use super::super::log::testing::{check, told};
use super::*;
use crate::exchange::Line;

/// A line of `option httplog`: server, timers, status, state.
fn httplog(server: &str, timers: &str, status: &str, state: &str) -> String {
    format!(
        r#"Nov 20 10:57:50 gw1 haproxy[13]: 127.0.0.1:50810 [20/Nov/2026:10:57:49.952] web app40/{server} {timers} {status} 430 - - {state} 20/20/19/19/0 0/0 "GET /app40/v1/orders/1001?expand=items HTTP/1.1""#
    )
}

#[test]
#[rustfmt::skip]
fn termination_states_and_their_causes() {
    for (server, timers, status, state, expected) in [
        ("s1", "0/0/0/703/703", "200", "----", "200 served"),
        ("s1", "0/0/0/2/2", "502", "----", "502 bad_gateway"),
        ("s1", "0/0/1/0/1", "504", "----", "504 gateway_timeout"),
        ("s1", "0/0/-1/-1/3012", "503", "SC--", "503 service_unavailable?"),
        ("s1", "0/0/-1/-1/4004", "503", "sC--", "503 service_unavailable?"),
        ("<NOSRV>", "0/-1/-1/-1/0", "503", "SC--", "503 service_unavailable?"),
        ("<NOSRV>", "0/302/-1/-1/302", "503", "sQ--", "503 upstream_overloaded"),
        ("<NOSRV>", "0/302/-1/-1/302", "503", "SQ--", "503 no_live_upstream"),
        ("s1", "0/0/0/-1/1", "502", "SH--", "502 bad_gateway?"),
        ("s1", "0/0/0/-1/2001", "504", "sH--", "504 response_timeout"),
        ("s1", "0/0/0/-1/0", "502", "PH--", "502 response_failed?"),
        ("s1", "0/0/0/-1/0", "403", "PH--", "403 served"),
        ("s1", "0/0/0/0/0", "200", "SD--", "200 response_truncated"),
        ("s1", "0/0/0/2/2003", "200", "sD--", "200 response_body_timeout"),
        ("s1", "0/0/0/2/3", "200", "PD--", "200 response_malformed"),
        ("s1", "0/0/0/2/3", "502", "SD--", "502 bad_gateway"),
        ("s1", "0/0/0/1202/1202", "200", "CD--", "200 client_closed"),
        ("s1", "0/0/0/-1/10", "-1", "CH--", "- client_closed"),
        ("<NOSRV>", "-1/-1/-1/-1/5000", "408", "cR--", "408 client_closed"),
        ("<NOSRV>", "0/-1/-1/-1/0", "502", "LR--", "502 bad_gateway"),
        ("<NOSRV>", "-1/-1/-1/-1/0", "400", "PR--", "400 served"),
        ("<NOSRV>", "0/-1/-1/-1/9", "500", "PT--", "500 served"),
        ("s1", "0/0/-1/-1/0", "503", "PC--", "503 gateway_internal"),
        ("<NOSRV>", "0/-1/-1/-1/0", "500", "IH--", "500 gateway_internal"),
        ("s1", "0/0/0/-1/9", "502", "DH--", "502 response_failed"),
        ("s1", "0/0/0/1/9", "200", "KD--", "200 response_truncated"),
    ] {
        let line = httplog(server, timers, status, state);
        assert_eq!(told(&KIND, &line), expected, "{line}");
    }
}

#[test]
#[rustfmt::skip]
fn errors_on_the_connection_to_the_server() {
    for (state, error, tls, expected) in [
        ("SC--", "", "", "503 connect_failed?"),
        ("SC--", "General socket error", "", "503 connect_failed?"),
        ("SC--", "ECONNREFUSED returned by OS", "", "503 connect_refused"),
        ("SC--", "Can't bind to source address", "", "503 gateway_internal"),
        ("SC--", "SSL handshake failure", "", "503 tls_closed"),
        ("SC--", "SSL handshake failure", "error:0A000086:SSL routines::certificate verify failed", "503 tls_failed?"),
        ("SC--", "SSL handshake failure", "error:0A00042E:SSL routines::tlsv1 alert protocol version", "503 tls_protocol"),
        ("SC--", "SSL handshake failure", "error:0A00010B:SSL routines::wrong version number", "503 tls_not_tls"),
        ("SC--", "Server presented an SSL certificate different from the expected one", "", "503 tls_certificate_name_mismatch"),
        ("sC--", "", "", "503 service_unavailable?"),
        ("sC--", "Timeout during SSL handshake", "", "503 tls_timeout"),
        ("SH--", "Success", "", "503 bad_gateway?"),
        ("SH--", "ECONNRESET returned by OS", "", "503 response_reset"),
        ("SH--", "SSL fatal error", "error:0A00045C:SSL routines::tlsv13 alert certificate required", "503 tls_client_certificate_required"),
    ] {
        let line = httplog("s1", "0/0/-1/-1/3012", "503", state)
            + &format!(r#" srv=127.0.0.1:22035 up=119 bc_err=34 bc_err_str="{error}" ssl_bc_err=0 ssl_bc_err_str="{tls}" id=7F"#);
        assert_eq!(told(&KIND, &line), expected, "{line}");
    }
}

#[test]
fn backends_clients_and_targets() {
    let line = httplog("s1", "0/0/0/703/703", "200", "----").replace("127.0.0.1:50810", "2001:db8::1:50810");
    let recommended =
        line.clone() + r#" srv=::1:22001 up=119 bc_err=0 bc_err_str="Success" ssl_bc_err=- ssl_bc_err_str="" id=7F"#;
    for (line, backend) in [(line, "app40/s1"), (recommended, "::1:22001")] {
        let mut parser = Parser::new(&KIND, None).unwrap();
        let Some(Line::Exchange(exchange)) = parser.read(line.as_bytes()) else {
            panic!("{line}");
        };
        assert_eq!(exchange.attempts[0].backend, backend.as_bytes());
        assert_eq!(exchange.client, b"2001:db8::1");
        assert_eq!(exchange.target, b"/app40/v1/orders/1001?expand=items");
        assert_eq!(exchange.names[0], b"app40");
        assert_eq!(exchange.backend_time, Some(std::time::Duration::from_millis(703)));
    }
}

#[test]
fn what_limits_bound_is_told() {
    let millis = |millis| Some(std::time::Duration::from_millis(millis));
    for (timers, connect, first_byte) in [
        ("0/0/3/703/709", millis(3), millis(703)),
        ("0/0/2/-1/5", millis(2), None),
    ] {
        let line = httplog("s1", timers, "200", "----");
        let mut parser = Parser::new(&KIND, None).unwrap();
        let Some(Line::Exchange(exchange)) = parser.read(line.as_bytes()) else {
            panic!("{line}");
        };
        assert_eq!(
            (exchange.taken.connect, exchange.taken.first_byte),
            (connect, first_byte)
        );
    }
}

#[test]
#[rustfmt::skip]
fn sessions_are_no_requests() {
    for (said, expected) in [
        ("f1 refused/s1 1/-1/1001 0 SC 1/1/0/0/1 0/0", "attempt unknown? refused/s1"),
        ("f3 blackhole/s1 1/-1/2005 0 sC 1/1/0/0/1 0/0", "attempt unknown? blackhole/s1"),
        ("f2 nosrv/<NOSRV> -1/-1/0 0 SC 1/1/0/0/0 0/0", "refused unknown?"),
        ("f2 app/<NOSRV> 302/-1/302 0 sQ 1/1/0/0/0 0/7", "refused upstream_overloaded"),
        ("f2~ app/s1 302/-1/302 0 PC 1/1/0/0/0 0/7", "refused gateway_internal app/s1"),
        ("f4 good/s1 1/0/0 5 -- 1/1/0/0/0 0/0", "other"),
        ("f4 good/s1 1/0/+0 +5 -- 1/1/0/0/+1 0/0", "other"),
        ("f4 good/s1 1/0/0 0 SD 1/1/0/0/0 0/0", "other"),
        ("f4 good/s1 1/0/1001 0 sD 1/1/0/0/0 0/0", "other"),
        ("f4 good/s1 1/0/1001 0 CD 1/1/0/0/0 0/0", "other"),
        ("f4 good/s1 1/0/1001 0 SC 1/1/0/0/0", "foreign"),
        ("f4 good/s1 1/0/1001 0 SC 1/1/0/0/0 0/0 x", "foreign"),
        ("f4 good 1/0/1001 0 SC 1/1/0/0/0 0/0", "foreign"),
    ] {
        for start in ["Nov 20 19:02:21 haproxy[28613]: ", ""] {
            let line = format!("{start}127.0.0.1:39860 [20/Nov/2026:19:02:20.197] {said}");
            assert_eq!(told(&KIND, &line), expected, "{line}");
        }
    }
}

#[test]
#[rustfmt::skip]
fn other_formats() {
    check(&KIND, &[
        (r#"unix:1 [20/Nov/2026:16:10:18.517] f6 refused/s1 0/0/-1/-1/1002 503 217 - - SC-- 1/1/0/0/1 0/0 "GET /refused/a?#22b HTTP/1.1" 0/-/-/-/0 -/-/-"#, "503 service_unavailable?"),
        (r#"127.0.0.1 - - [20/Nov/2026:16:10:16 +0000] "GET /a?#22b HTTP/1.1" 503 217 "" "" 1 375 "f2" "refused" "s1" 0 0 -1 -1 1001 SC-- 1 1 0 0 1 0 0 "AB=1 SD-- 0/0/0/0/0 0/0 {" "" "curl/7.88.1" "q#22x #7By#7D #7C z" """#, "503 service_unavailable?"),
        (r#"127.0.0.1 - - [20/Nov/2026:16:10:15 +0000] "GET /a HTTP/1.1" 503 217 "" "" 1 309 "f" "refused" "s1" 0 0 -1 -1 1005 SC-- 1 1 0 0 1 0 0 "" "" "#, "503 service_unavailable?"),
        (r#"{"client_ip":"1.2.3.4","status_code":502,"termination_state":"PH--","backend_name":"app","server_name":"s1"}"#, "502 response_failed?"),
        (r#"unix:1 [20/Nov/2026:16:10:18.479] f5 ok/s1 0/0/1/2/3 200 49 - - ---- 1/1/0/0/0 0/0 {curl/7.88.1|q#22x #7By#7D #7C z} {} "GET /ok/a?#22b HTTP/1.1""#, "200 served"),
    ]);
}

#[test]
fn a_format_that_is_written_as_json() {
    let blog = r#"{"client_ip": "127.0.0.1", "client_port": 50516, "request_date": "20/Jun/2024:11:47:56.766", "be_name": "app", "server_name": "s1", "time_wait": 0, "time_connect": -1, "time_response": -1, "status_code": 502, "termination_state_cookie": "PH--", "retries": 0, "http_request": "GET /a HTTP/1.1"}"#;
    let own = r#"{"when": "20/Nov/2026:16:10:18.517", "how": "sH--", "code": 504, "place": "app", "what": "GET /a\"b HTTP/1.1", "forged": "}, \"code\": 200"}"#;
    let format = "%{+json}o %(when)tr ignored %(how){+Q}tsc/%(code:sint)ST %{+Q}(place)b %(forged)[req.hdr(x),json] %(what){+Q}r %Tr";
    for (format, line, expected) in [
        (
            None,
            blog,
            Some(Outcome::Failed(Reason::one_of(Cause::ResponseFailed, BAD_HEAD))),
        ),
        (
            Some(format),
            own,
            Some(Outcome::Failed(Reason::exact(Cause::ResponseTimeout))),
        ),
        (Some(format), blog, None),
    ] {
        let mut parser = Parser::new(&KIND, format).unwrap();
        let outcome = match parser.read(line.as_bytes()) {
            Some(Line::Exchange(exchange)) => {
                assert_eq!(exchange.names[0], b"app", "{line}");
                assert!(exchange.time.is_some() && exchange.target.starts_with(b"/a"), "{line}");
                Some(exchange.outcome)
            }
            _ => None,
        };
        assert_eq!(outcome, expected, "{line}");
    }
    let error = Parser::new(&KIND, Some("%{+json}o %(how)tsc %ST")).unwrap_err();
    assert!(error.message.contains("status the client got"), "{error}");
}

#[test]
fn a_captured_cookie_forges_no_state() {
    let forged = r#"unix:1 [20/Nov/2026:16:10:17.456] f5 refused/s1 0/0/-1/-1/1001 503 217 AB=1 SD-- 0/0/0/0/0 0/0 { - SC-- 1/1/0/0/1 0/0 {curl/7.88.1|x} {} "GET /refused/a HTTP/1.1""#;
    assert_eq!(told(&KIND, forged), "foreign");
    let without_captures = forged.replace("{curl/7.88.1|x} {} ", "");
    assert_eq!(told(&KIND, &without_captures), "foreign");
}

#[test]
#[rustfmt::skip]
fn servers_that_go_down_and_come_back() {
    let tail = ". 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.";
    for (line, expected) in [
        ("Server app36/s1 is going DOWN for maintenance (unspecified DNS error)", "down dns_failed? app36/s1"),
        ("Server app37/s1 is going DOWN for maintenance (DNS timeout status)", "down dns_timeout app37/s1"),
        ("Server app37/s1 is going DOWN for maintenance (DNS NX status)", "down dns_nxdomain app37/s1"),
        ("Server app37/s1 is going DOWN for maintenance", "down service_unavailable app37/s1"),
        ("Server app/s1 is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 0ms", "down connect_refused app/s1"),
        ("Backup Server app/s1 is DOWN, reason: Layer4 timeout, check duration: 2001ms", "down connect_timeout app/s1"),
        ("Server app/s1 is DOWN, reason: Layer6 invalid response, info: \"SSL handshake failure\"", "down tls_failed? app/s1"),
        ("Server app/s1 is DOWN, reason: Layer7 wrong status, code: 500, info: \"Connection refused\"", "down no_live_upstream app/s1"),
        ("Server app36/s1 ('checkout.lab') is UP/READY (resolves again)", "other"),
        ("Server app36/s1 administratively READY thanks to valid DNS answer.", "up unknown app36/s1"),
        ("Server app/s1 is UP, reason: Layer4 check passed", "up unknown app/s1"),
        ("app36/s1 changed its IP from (none) to 127.0.0.1 by lab/dns1.", "other"),
        ("backend app37 has no server available!", "other"),
        ("127.0.0.1:1 [20/Nov/2026:16:10:18.517] web/1: SSL handshake failure", "other"),
        ("something else altogether", "foreign"),
    ] {
        for start in ["Nov 20 10:57:39 gw1 haproxy[13]: ", "", "[WARNING]  (13) : "] {
            let line = format!("{start}{line}{tail}");
            if !(expected == "foreign" && start.starts_with('[')) {
                assert_eq!(told(&KIND, &line), expected, "{line}");
            }
        }
    }
}
