//! Pages of gateways, recorded ones and those their vendors publish; pages of servers that only look like them.

mod recorded;
mod vendors;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proptest::prelude::*;

use super::{LOOKED_AT, PAGES, recognise};
use crate::cause::Cause;
use crate::classify::classify;
use crate::finding::{Outcome, Recognised};
use crate::gateway::KINDS;
use crate::observation::{Address, End, Observation, Response, Timings, TraceId};
use crate::probe::http::head;
use crate::upstream::{Expectation, Scheme};

/// An answer as a probe brings it: through the prober's own reader, which keeps what it keeps.
fn seen(answer: &[u8]) -> Observation {
    let end = head::end_of_head(answer, 0).expect("an empty line");
    let (head, _) = head::parse(&answer[..end], false, &Default::default(), SystemTime::UNIX_EPOCH).expect("a head");
    let body = &answer[end..];
    Observation {
        trace: TraceId(1),
        at: SystemTime::UNIX_EPOCH,
        address: Address::Tcp("192.0.2.1:80".parse().expect("an address")),
        scheme: Scheme::Http,
        timings: Timings {
            first_byte: Some(Duration::from_millis(20)),
            ..Timings::default()
        },
        tls: None,
        redirected: Vec::new(),
        listening: None,
        end: End::Response(Box::new(Response {
            head,
            body_bytes: body.len() as u64,
            body_complete: true,
            body: Bytes::copy_from_slice(&body[..body.len().min(LOOKED_AT)]),
        })),
    }
}

fn read(answer: &str, kinds: &[&'static str]) -> (Recognised, Outcome) {
    let seen = seen(answer.as_bytes());
    let recognised = recognise(&seen, kinds);
    (recognised, classify(&seen, &recognised, &Expectation::default()))
}

/// The surest marks first; of two that fit the same page the one that says more.
#[test]
fn kinds_are_asked_in_this_order() {
    let ranks: BTreeSet<u8> = PAGES.iter().map(|page| page.rank).collect();
    assert_eq!(ranks.len(), PAGES.len(), "every rank stands once");
    let of_rank = |rank| {
        let kind = KINDS
            .iter()
            .find(|kind| kind.page.is_some_and(|page| page.rank == rank));
        kind.expect("it was taken from there").name
    };
    let order: Vec<_> = ranks.into_iter().map(of_rank).collect();
    let wanted = "squid cloudflare aws_cloudfront fastly varnish azure_front_door azure_application_gateway keycdn akamai gcp \
                  aws_alb aws_elb aws_api_gateway istio envoy openresty apache haproxy trafficserver nginx traefik caddy \
                  lighttpd generic";
    assert_eq!(order.join(" "), wanted);
}

#[test]
fn every_kind_has_a_page_or_says_why_not() {
    let without: Vec<_> = KINDS.iter().filter(|kind| kind.page.is_none()).collect();
    let names: Vec<_> = without.iter().map(|kind| kind.name).collect();
    assert_eq!(names, ["ingress_nginx"], "its page is nginx's own");
}

/// What servers and applications write themselves: no gateway wrote it, and the status stands for itself.
#[test]
fn pages_of_servers_are_nobody_elses() {
    let cases = [
        (
            "500 Internal Server Error",
            "Server: gunicorn\r\nContent-Type: text/html",
            "<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n    <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n",
            Cause::ServerError,
        ),
        (
            "500 Internal Server Error",
            "Server: uvicorn\r\nContent-Type: text/plain; charset=utf-8",
            "Internal Server Error",
            Cause::ServerError,
        ),
        (
            "500 Internal Server Error",
            "X-Powered-By: Express\r\nContent-Type: text/plain; charset=utf-8",
            "Internal Server Error",
            Cause::ServerError,
        ),
        (
            "500 Internal Server Error",
            "Connection: close",
            "Internal Server Error",
            Cause::ServerError,
        ),
        ("502 Bad Gateway", "Server: gunicorn", "Bad Gateway", Cause::BadGateway),
        (
            "500 Internal Server Error",
            "Content-Type: application/json",
            r#"{"error":"nginx upstream failed: 502 Bad Gateway","detail":"no healthy upstream"}"#,
            Cause::ServerError,
        ),
        (
            "500 Internal Server Error",
            "Content-Type: application/json",
            r#"{"message": "Internal server error"}"#,
            Cause::ServerError,
        ),
        (
            "500 Internal Server Error",
            "Content-Type: application/json",
            r#"{"error":"Origin Not Reachable"}"#,
            Cause::ServerError,
        ),
        (
            "503 Service Unavailable",
            "Content-Type: application/json",
            r#"{"status":"DOWN","components":{"db":{"status":"DOWN"}}}"#,
            Cause::ServiceUnavailable,
        ),
        (
            "503 Service Unavailable",
            "Content-Type: text/plain",
            "upstream down",
            Cause::ServiceUnavailable,
        ),
        (
            "503 Service Unavailable",
            "Content-Type: text/plain",
            "Service Unavailable",
            Cause::ServiceUnavailable,
        ),
        (
            "503 Service Unavailable",
            "Content-Type: text/plain",
            "error: no healthy upstream for shard 7",
            Cause::ServiceUnavailable,
        ),
        (
            "503 Service Unavailable",
            "Content-Type: text/html",
            "<h1>Down for maintenance</h1><p>Powered by nginx, Varnish and HAProxy.</p>",
            Cause::ServiceUnavailable,
        ),
        (
            "500 Internal Server Error",
            "Server: Apache-Coyote/1.1",
            "<html><head><title>Apache Tomcat/7.0.52 - Error report</title></head><body><h1>HTTP Status 500 - Proxy Error</h1></body></html>",
            Cause::ServerError,
        ),
        (
            "500 Internal Server Error",
            "Content-Type: text/html",
            "<html><head><title>Whoops</title></head><body><pre>requests.exceptions.HTTPError: 502 Server Error: Bad Gateway for url: http://api\n&lt;hr&gt;&lt;center&gt;nginx&lt;/center&gt;</pre></body></html>",
            Cause::ServerError,
        ),
        (
            "500 Internal Server Error",
            "Content-Type: text/html",
            "<html><body>Reference #12345: ask support</body></html>",
            Cause::ServerError,
        ),
        ("520 Unknown", "Server: app", "x", Cause::ServerError),
    ];
    for (status, headers, body, cause) in cases {
        let answer = format!("HTTP/1.1 {status}\r\n{headers}\r\n\r\n{body}");
        let (recognised, outcome) = read(&answer, &["nginx"]);
        assert_eq!((recognised.writer, recognised.told), (None, None), "{answer}");
        assert_eq!(outcome, Outcome::Failure(cause), "{answer}");
    }
}

/// Answers below 400 that speak of a 502 without being one.
#[test]
fn a_page_about_a_bad_gateway_is_none() {
    for body in [
        "502 requests served, 504 pending",
        "<html><head><title>502 Bad Gateway: what it means</title></head><body><h1>502 Bad Gateway</h1></body></html>",
        "<article><pre>&lt;html&gt;&lt;head&gt;&lt;title&gt;502 Bad Gateway&lt;/title&gt;</pre></article>",
        "<p>our logs</p><html>\r\n<head><title>502 Bad Gateway</title></head><hr><center>nginx</center></html>",
        r#"{"last_error": "upstream connect error or disconnect/reset before headers", "code": 502}"#,
        "Error 503 Backend fetch failed was fixed at 10:04",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\n\r\n{body}");
        let (recognised, outcome) = read(&answer, &["nginx"]);
        assert_eq!((recognised.told, outcome), (None, Outcome::Success), "{body}");
    }
}

/// The number in the page decides, unless the number of the answer says as much.
#[test]
fn a_bad_gateway_is_one_under_every_number() {
    let page = |status: &str, number: &str| {
        format!(
            "HTTP/1.1 {status}\r\nServer: cloudflare\r\nAge: 12\r\n\r\n<html>\r\n<head><title>{number}</title></head>\r\n<body>\r\n\
             <center><h1>{number}</h1></center>\r\n<hr><center>nginx/1.25.3</center>\r\n</body>\r\n</html>\r\n"
        )
    };
    for (status, number, outcome) in [
        ("200 OK", "502 Bad Gateway", Cause::DisguisedBadGateway),
        ("404 Not Found", "502 Bad Gateway", Cause::DisguisedBadGateway),
        (
            "500 Internal Server Error",
            "502 Bad Gateway",
            Cause::DisguisedBadGateway,
        ),
        ("503 Service Unavailable", "502 Bad Gateway", Cause::DisguisedBadGateway),
        ("200 OK", "504 Gateway Time-out", Cause::DisguisedBadGateway),
        ("502 Bad Gateway", "502 Bad Gateway", Cause::BadGateway),
        ("502 Bad Gateway", "504 Gateway Time-out", Cause::BadGateway),
        ("504 Gateway Time-out", "504 Gateway Time-out", Cause::GatewayTimeout),
        (
            "503 Service Unavailable",
            "503 Service Temporarily Unavailable",
            Cause::ServiceUnavailable,
        ),
        (
            "500 Internal Server Error",
            "500 Internal Server Error",
            Cause::ServerError,
        ),
    ] {
        let (recognised, seen) = read(&page(status, number), &[]);
        assert_eq!(seen, Outcome::Failure(outcome), "{status}, {number}");
        let layers = (recognised.writer, recognised.behind, recognised.cached_by);
        assert_eq!(
            layers,
            (Some("nginx"), Some("cloudflare"), Some("age")),
            "{status}, {number}"
        );
    }
}

#[test]
fn allowing_a_number_does_not_allow_what_hides_under_it() {
    let page = "HTTP/1.1 503 Service Unavailable\r\n\r\nno healthy upstream";
    let allowing = |statuses: &[u16]| Expectation {
        status: statuses.iter().map(|status| *status..=*status).collect(),
        ..Expectation::default()
    };
    let seen = seen(page.as_bytes());
    let recognised = recognise(&seen, &[]);
    let outcome = |statuses: &[u16]| classify(&seen, &recognised, &allowing(statuses));
    assert_eq!(outcome(&[200, 503]), Outcome::Failure(Cause::DisguisedBadGateway));
    assert_eq!(outcome(&[200, 502]), Outcome::Success);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, header in "[ -~]{0,80}", reason in "[ -~]{0,40}", status in 100u16..1000) {
        let mut answer = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
        for name in ["X-Squid-Error", "Cache-Status", "Proxy-Status", "Age", "X-Cache", "X-Varnish", "Via", "CF-Error-Type"] {
            answer.extend_from_slice(format!("{name}: {header}\r\n").as_bytes());
        }
        answer.extend_from_slice(b"Server: cloudflare\r\nCF-RAY: 1\r\n\r\n");
        answer.extend_from_slice(&body);
        let _ = recognise(&seen(&answer), &["traefik"]);
    }

    /// A page cut or garbled anywhere, and pieces of pages in any order.
    #[test]
    fn no_pieces_of_pages_make_it_panic(pieces in proptest::collection::vec(0..vendors::PAGES.len(), 1..4), from in 0usize..300, length in 0usize..600) {
        let mut answer = b"HTTP/1.1 503 GATEWAY_TIMEOUT\r\nServer: awselb/2.0\r\n\r\n".to_vec();
        for piece in pieces {
            let bytes = vendors::PAGES[piece].1.as_bytes();
            let start = from.min(bytes.len());
            answer.extend_from_slice(&bytes[start..(start + length).min(bytes.len())]);
        }
        let _ = recognise(&seen(&answer), &["apache"]);
    }
}

/// What is looked at is bounded, however long the body.
#[test]
fn a_sign_far_down_is_not_looked_for() {
    let far = format!(
        "HTTP/1.1 503 x\r\n\r\n{}Generated by cloudfront (CloudFront)",
        " ".repeat(2 * LOOKED_AT)
    );
    assert_eq!(read(&far, &[]).0, Recognised::default());
}
