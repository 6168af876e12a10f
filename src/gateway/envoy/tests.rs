//! What Envoy and Istio log, as it is really written.

use super::super::log::testing;
use super::*;

fn default_line(status: &str, flags: &str) -> String {
    format!(
        r#"[2026-11-20T11:01:50.610Z] "GET /a HTTP/1.1" {status} {flags} 0 87 1 - "-" "curl" "81f84b16" "shop.example" "127.0.0.1:22013""#
    )
}

#[test]
fn what_limits_bound_is_told() {
    let format = r#"%RESPONSE_CODE% %RESPONSE_FLAGS% "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% %UPSTREAM_HEADER_BYTES_RECEIVED% "%UPSTREAM_HOST%""#;
    let wait = Some(std::time::Duration::from_millis(1250));
    for (line, expected) in [
        (
            r#"200 - "GET / HTTP/1.1" 1250 7300 "10.0.0.1:80""#,
            Taken {
                first_byte: wait,
                total: wait,
                response_header: Some(7300),
                ..Taken::default()
            },
        ),
        (r#"503 UF "GET / HTTP/1.1" - 0 "10.0.0.1:80""#, Taken::default()),
    ] {
        let mut parser = super::super::log::Parser::new(&KIND, Some(format)).unwrap();
        let Some(crate::exchange::Line::Exchange(exchange)) = parser.read(line.as_bytes()) else {
            panic!("{line}");
        };
        assert_eq!(exchange.taken, expected, "{line}");
    }
}

#[test]
fn flags_alone() {
    for (status, flags, expected) in [
        ("200", "-", "200 served"),
        ("404", "NR", "404 served"),
        ("429", "RL", "429 served"),
        ("502", "-", "502 bad_gateway"),
        ("504", "-", "504 gateway_timeout"),
        ("503", "UF", "503 service_unavailable?"),
        ("503", "UF,URX", "503 service_unavailable?"),
        ("503", "URX,UF", "503 service_unavailable?"),
        ("503", "UC", "503 response_failed?"),
        ("200", "UC", "200 response_truncated"),
        ("503", "UR", "503 response_reset"),
        ("200", "UR", "200 response_truncated"),
        ("502", "UPE", "502 response_failed?"),
        ("200", "UPE", "200 response_failed?"),
        ("504", "UT", "504 response_timeout"),
        ("200", "UT", "200 response_body_timeout"),
        ("504", "UMSDR", "504 response_timeout"),
        ("504", "SI", "504 response_timeout"),
        ("408", "SI", "408 served"),
        ("503", "UH", "503 no_live_upstream"),
        ("503", "UO", "503 upstream_overloaded"),
        ("503", "OM", "503 upstream_overloaded"),
        ("503", "NC", "503 gateway_config"),
        ("503", "LR", "503 gateway_internal"),
        ("503", "LH", "503 gateway_internal"),
        ("503", "DF", "503 dns_failed?"),
        ("503", "FI", "503 service_unavailable"),
        ("0", "DC", "- client_closed"),
        ("200", "DC", "200 client_closed"),
    ] {
        assert_eq!(
            testing::told(&KIND, &default_line(status, flags)),
            expected,
            "{status} {flags}"
        );
    }
}

#[test]
fn details_and_transport_reasons() {
    const BEFORE: &str = "upstream_reset_before_response_started";
    const TLS: &str = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_0:";
    for (status, flags, details, expected) in [
        ("502", "-", "via_upstream".to_owned(), "502 bad_gateway"),
        ("503", "-", "direct_response".to_owned(), "503 service_unavailable"),
        (
            "503",
            "UC",
            format!("{BEFORE}{{connection_termination}}"),
            "503 response_failed?",
        ),
        (
            "502",
            "UPE",
            format!("{BEFORE}{{protocol_error}}"),
            "502 response_failed?",
        ),
        ("503", "UR", format!("{BEFORE}{{remote_reset}}"), "503 response_reset"),
        ("503", "UO", format!("{BEFORE}{{overflow}}"), "503 upstream_overloaded"),
        ("503", "LR", format!("{BEFORE}{{local_reset}}"), "503 gateway_internal"),
        (
            "503",
            "UF",
            format!("{BEFORE}{{connection_timeout}}"),
            "503 service_unavailable?",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{remote_connection_failure}}"),
            "503 tls_failed?",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{connection_failure}}"),
            "503 service_unavailable?",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{remote_connection_failure,delayed_connect_error:_111}}"),
            "503 connect_refused",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{remote_connection_failure|delayed_connect_error:_Connection_refused}}"),
            "503 connect_refused",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{remote_connection_failure|delayed_connect_error:_No_route_to_host}}"),
            "503 connect_unreachable",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{remote_connection_failure|delayed_connect_error:_Connection_timed_out}}"),
            "503 connect_timeout",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{remote_connection_failure|{TLS}_certificate_is_not_yet_valid:TLS_error_end}}"),
            "503 tls_certificate_not_yet_valid",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{remote_connection_failure|{TLS}_certificate_has_expired:TLS_error_end}}"),
            "503 tls_certificate_expired",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{remote_connection_failure|{TLS}_unable_to_get_local_issuer_certificate:TLS_error_end}}"),
            "503 tls_certificate_untrusted",
        ),
        (
            "503",
            "UF",
            format!(
                "{BEFORE}{{remote_connection_failure|TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_verify_SAN_list:_SAN_matcher:TLS_error_end}}"
            ),
            "503 tls_certificate_name_mismatch",
        ),
        (
            "503",
            "UF",
            format!(
                "{BEFORE}{{remote_connection_failure|TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end}}"
            ),
            "503 tls_not_tls",
        ),
        (
            "503",
            "UF",
            format!(
                "{BEFORE}{{remote_connection_failure|TLS_error:|268436526:SSL_routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION:TLS_error_end}}"
            ),
            "503 tls_protocol",
        ),
        (
            "503",
            "UF",
            format!(
                "{BEFORE}{{remote_connection_failure|TLS_error:|268436496:SSL_routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE:TLS_error_end}}"
            ),
            "503 tls_protocol",
        ),
        (
            "503",
            "UC",
            format!(
                "{BEFORE}{{connection_termination|TLS_error:|268436572:SSL_routines:OPENSSL_internal:TLSV1_ALERT_CERTIFICATE_REQUIRED:TLS_error_end}}"
            ),
            "503 tls_client_certificate_required",
        ),
        (
            "503",
            "UF",
            format!("{BEFORE}{{remote_connection_failure|Secret_is_not_supplied_by_SDS}}"),
            "503 gateway_config",
        ),
        (
            "200",
            "UPE",
            "upstream_reset_after_response_started{protocol_error}".to_owned(),
            "200 response_failed?",
        ),
        (
            "200",
            "UC",
            "upstream_reset_after_response_started{connection_termination}".to_owned(),
            "200 response_truncated",
        ),
        ("504", "UT", "response_timeout".to_owned(), "504 response_timeout"),
        ("200", "UT", "response_timeout".to_owned(), "200 response_body_timeout"),
        (
            "504",
            "UT",
            "upstream_per_try_timeout".to_owned(),
            "504 response_timeout",
        ),
        ("503", "UH", "no_healthy_upstream".to_owned(), "503 no_live_upstream"),
        ("503", "NC", "cluster_not_found".to_owned(), "503 gateway_config"),
        ("404", "NR", "route_not_found".to_owned(), "404 served"),
        ("503", "-", "overload".to_owned(), "503 upstream_overloaded"),
        (
            "503",
            "DF",
            "dns_resolution_failure{Domain_name_not_found}".to_owned(),
            "503 dns_failed?",
        ),
        ("400", "DPE", "http1.codec_error".to_owned(), "400 served"),
        ("0", "DC", "downstream_remote_disconnect".to_owned(), "- client_closed"),
    ] {
        let istio = format!(
            r#"[2026-11-20T11:01:50.610Z] "GET /a HTTP/1.1" {status} {flags} {details} - "-" 0 95 1 - "-" "curl" "886dd74f" "shop.example" "10.0.0.1:80" outbound|80||shop.default.svc.cluster.local - 10.0.0.9:80 10.0.0.2:4711 - default"#
        );
        assert_eq!(testing::told(&KIND, &istio), expected, "{istio}");
        let json = format!(
            r#"{{"start_time":"2026-11-20T11:01:50.610Z","response_code":{status},"response_flags":"{flags}","response_code_details":"{details}","upstream_transport_failure_reason":null,"upstream_host":"10.0.0.1:80"}}"#
        );
        assert_eq!(testing::told(&KIND, &json), expected, "{json}");
    }
}

#[test]
fn the_transport_reason_of_its_own_field() {
    testing::check(
        &KIND,
        &[(
            r#"[2026-11-20T11:01:50.610Z] 10.0.0.2:4711 "GET /a HTTP/1.1" 503 UF upstream_reset_before_response_started{remote_connection_failure} "delayed connect error: 111" 1 2 "curl" "id" "shop.example" "10.0.0.1:80" shop default"#,
            "503 connect_refused",
        )],
    );
}

#[test]
fn its_own_log() {
    testing::check(
        &KIND,
        &[
            (
                "[2026-11-20 11:01:42.303][13][info][main] [source/server/server.cc:990] starting main dispatch loop",
                "other",
            ),
            ("2026-11-20T11:01:42.303000Z\tinfo\tEnvoy proxy is ready", "other"),
            ("{}", "foreign"),
        ],
    );
}
