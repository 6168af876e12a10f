//! Valid answers whose status says failure, and redirects that lead nowhere.

use badgateway::cause::Cause::{BadGateway, GatewayTimeout, ServerError, ServiceUnavailable, UnexpectedStatus};
use serde_json::json;

use crate::cases;
use crate::support::cases::{Expect::Answers, Setup};
use crate::support::peers::http1::answer;
use crate::support::peers::http1::{redirect, site};
use crate::support::peers::{http1, serve};

/// A peer that answers with that status line.
fn saying(status: &str) -> Option<Setup> {
    Some(Setup::origin(format!("http://{}/", serve(http1::status(status)))))
}

/// A peer that answers with that page.
fn page(status: &str, headers: &str, body: &str) -> Option<Setup> {
    let peer = serve(http1::answers(answer(status, headers, body)));
    Some(Setup::origin(format!("http://{peer}/")))
}

cases! {
    bad_gateway => Answers(BadGateway, 502), |_| saying("502 Bad Gateway");
    bad_gateway_chunked => Answers(BadGateway, 502), |_| {
        let answer = b"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n".as_slice();
        Some(Setup::origin(format!("http://{}/", serve(http1::answers(answer)))))
    };
    gateway_timeout => Answers(GatewayTimeout, 504), |_| saying("504 Gateway Timeout");
    service_unavailable => Answers(ServiceUnavailable, 503), |_| saying("503 Service Unavailable");
    service_unavailable_with_retry_after => Answers(ServiceUnavailable, 503), |_| {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n".as_slice();
        Some(Setup::origin(format!("http://{}/", serve(http1::answers(answer)))))
    };
    server_error => Answers(ServerError, 500), |_| saying("500 Internal Server Error");
    server_error_520 => Answers(ServerError, 520), |_| saying("520 Web Server Returned an Unknown Error");
    service_unavailable_of_an_application => Answers(ServiceUnavailable, 503), |_| {
        let body = r#"{"status":"DOWN","detail":"upstream 502 Bad Gateway, see nginx"}"#;
        page("503 Service Unavailable", "Content-Type: application/json", body)
    };
    service_unavailable_for_maintenance => Answers(ServiceUnavailable, 503), |_| {
        page("503 Service Unavailable", "Server: nginx", "<h1>Down for maintenance</h1>")
    };
    /// What httpd writes as a server too: without httpd configured as a gateway nothing tells that it is one.
    service_unavailable_of_a_server => Answers(ServiceUnavailable, 503), |_| {
        let body = "<h1>Service Unavailable</h1>\nThe server is temporarily unable to service your\n\
                    request due to maintenance downtime or capacity\nproblems.";
        page("503 Service Unavailable", "Server: Apache/2.4.57", body)
    };
    server_error_of_an_application => Answers(ServerError, 500), |_| {
        page("500 Internal Server Error", "Content-Type: text/plain; charset=utf-8", "Internal Server Error")
    };
    server_error_that_quotes_a_gateway => Answers(ServerError, 500), |_| {
        let body = "<html><body><pre>&lt;title&gt;502 Bad Gateway&lt;/title&gt; nginx, HAProxy, Varnish</pre></body></html>";
        page("500 Internal Server Error", "Server: gunicorn", body)
    };
    bad_gateway_written_by_an_application => Answers(BadGateway, 502), |_| page("502 Bad Gateway", "Server: gunicorn", "Bad Gateway");
    unexpected_status_404 => Answers(UnexpectedStatus, 404), |_| saying("404 Not Found");
    unexpected_status_403 => Answers(UnexpectedStatus, 403), |_| saying("403 Forbidden");
    unexpected_status_429 => Answers(UnexpectedStatus, 429), |_| saying("429 Too Many Requests");
    unexpected_status_799 => Answers(UnexpectedStatus, 799), |_| saying("799 Unheard Of");
    /// Two kinds of evidence at once: the status decides before the body is looked at.
    unexpected_status_before_content => Answers(UnexpectedStatus, 404), |_| {
        Some(saying("404 Not Found")?.with("expect", json!({ "body": { "contains": "ok" } })))
    };
    unexpected_status_200_where_204_is_expected => Answers(UnexpectedStatus, 200), |_| {
        Some(saying("200 OK")?.with("expect", json!({ "status": ["204"] })))
    };
    /// 101 answers an Upgrade that nobody asked for: a valid head, final by RFC 9110 15.2.2, and of no use.
    unexpected_status_101 => Answers(UnexpectedStatus, 101), |_| {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        Some(Setup::origin(format!("http://{}/", serve(http1::answers(answer.as_slice())))))
    };
    unexpected_status_redirect_where_200_is_expected => Answers(UnexpectedStatus, 302), |_| {
        let address = serve(http1::answers(redirect("/elsewhere")));
        Some(Setup::origin(format!("http://{address}/")).with("expect", json!({ "status": ["200"] })))
    };
    unexpected_status_redirect_to_a_foreign_host_refused => Answers(UnexpectedStatus, 302), |_| {
        let address = serve(http1::answers(redirect("http://elsewhere.test/")));
        Some(Setup::origin(json!({ "url": format!("http://{address}/"), "redirects": { "max": 3 } })))
    };
    unexpected_status_too_many_redirects => Answers(UnexpectedStatus, 302), |_| {
        let address = serve(site(vec![("/", redirect("/again")), ("/again", redirect("/"))]));
        Some(Setup::origin(json!({ "url": format!("http://{address}/"), "redirects": { "max": 3 } })))
    };
    unexpected_status_redirect_leads_to_404 => Answers(UnexpectedStatus, 404), |_| {
        let address = serve(site(vec![("/", redirect("/gone"))]));
        Some(Setup::origin(json!({ "url": format!("http://{address}/"), "redirects": { "max": 3 } })))
    };
    bad_gateway_behind_a_redirect => Answers(BadGateway, 502), |_| {
        let broken = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_vec();
        let address = serve(site(vec![("/", redirect("/broken")), ("/broken", broken)]));
        Some(Setup::origin(json!({ "url": format!("http://{address}/"), "redirects": { "max": 3 } })))
    };
}
