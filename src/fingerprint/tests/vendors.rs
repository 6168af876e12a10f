//! Pages that vendors publish, or that were captured in public: the writer, what it tells, and the cause it states.

use super::read;
use crate::cause::Cause;
use crate::finding::{Outcome, Told};

const BAD: Option<Told> = Some(Told::BadGateway);
const LATE: Option<Told> = Some(Told::GatewayTimeout);

macro_rules! fastly {
    ($reason:literal) => {
        concat!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<html>\n  <head>\n    <title>503 ", $reason,
            "</title>\n  </head>\n  <body>\n    <h1>Error 503 ", $reason, "</h1>\n    <p>", $reason,
            "</p>\n    <h3>Guru Mediation:</h3>\n    <p>Details: cache-iad2150-IAD 1528653727 3234964384</p>\n    <hr>\n",
            "    <p>Varnish cache server</p>\n  </body>\n</html>\n"
        )
    };
}
macro_rules! akamai {
    ($text:literal, $prefix:literal) => {
        concat!(
            "<HTML><HEAD>\n<TITLE>Error</TITLE>\n</HEAD><BODY>\n<H1>",
            $text,
            "</H1><p>\nReference&#32;&#35;",
            $prefix,
            "&#46;2d351ab8&#46;1557333295&#46;a4e16ab\n</BODY></HTML>\n"
        )
    };
}
macro_rules! alb {
    ($title:literal) => {
        concat!(
            "<html>\r\n<head><title>",
            $title,
            "</title></head>\r\n<body>\r\n<center><h1>",
            $title,
            "</h1></center>\r\n</body>\r\n</html>\r\n"
        )
    };
}
macro_rules! footer {
    ($footer:literal) => {
        concat!(
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n",
            "<hr><center>", $footer, "</center>\r\n</body>\r\n</html>\r\n"
        )
    };
}
/// Status line end, headers and body; writer; what it tells; the cause it states.
type Row = (&'static str, &'static str, &'static str, Option<Told>, Option<Cause>);

/// Heads end with a blank line; `\n` there stands for CRLF.
pub(super) const PAGES: &[Row] = &[
    // Cloudflare: developers.cloudflare.com, HTTP status codes 5xx; captures in Helicone issue 798.
    (
        "520 \nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "error code: 520",
        "cloudflare",
        BAD,
        Some(Cause::ResponseFailed),
    ),
    (
        "521 \nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "error code: 521\n",
        "cloudflare",
        BAD,
        Some(Cause::ConnectRefused),
    ),
    (
        "522 \nServer: cloudflare\nCF-RAY: 8a1-FRA",
        CLOUDFLARE_522,
        "cloudflare",
        BAD,
        Some(Cause::ConnectTimeout),
    ),
    (
        "523 \nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "",
        "cloudflare",
        BAD,
        Some(Cause::ConnectUnreachable),
    ),
    (
        "524 \nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "",
        "cloudflare",
        BAD,
        Some(Cause::ResponseTimeout),
    ),
    (
        "525 \nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "",
        "cloudflare",
        BAD,
        Some(Cause::TlsFailed),
    ),
    (
        "526 \nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "",
        "cloudflare",
        BAD,
        Some(Cause::TlsFailed),
    ),
    (
        "530 \nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "error code: 1016",
        "cloudflare",
        BAD,
        Some(Cause::DnsFailed),
    ),
    (
        "530 \nServer: cloudflare\nCF-RAY: 8a1-FRA\nCF-Error-Type: 1033",
        "",
        "cloudflare",
        BAD,
        Some(Cause::NoLiveUpstream),
    ),
    (
        "530 \nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "error code: 1000",
        "cloudflare",
        BAD,
        None,
    ),
    (
        "500 Internal Server Error\nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "<span class=\"cf-error-code\">1101</span>",
        "cloudflare",
        None,
        Some(Cause::GatewayInternal),
    ),
    (
        "502 Bad Gateway\nServer: cloudflare\nCF-RAY: 8a1-FRA",
        "<div id=\"cf-error-details\"><span class=\"code-label\">Error code 502</span>",
        "cloudflare",
        None,
        None,
    ),
    (
        "502 Bad Gateway\nServer: cloudflare\nCF-RAY: -",
        "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n",
        "cloudflare",
        BAD,
        Some(Cause::GatewayInternal),
    ),
    // CloudFront.
    (
        "502 Bad Gateway\nServer: CloudFront\nX-Cache: Error from cloudfront",
        CLOUDFRONT_502,
        "aws_cloudfront",
        BAD,
        None,
    ),
    (
        "504 Gateway Time-out\nX-Cache: Error from cloudfront",
        "<H1>504 ERROR</H1>\n<H2>The request could not be satisfied.</H2>",
        "aws_cloudfront",
        LATE,
        None,
    ),
    (
        "503 Service Unavailable\nX-Cache: Error from cloudfront",
        "<H1>503 ERROR</H1>\n<H2>The request could not be satisfied.</H2>",
        "aws_cloudfront",
        None,
        None,
    ),
    // Fastly: captures in client test suites.
    (
        "503 backend read error\nServer: Varnish\nX-Served-By: cache-iad2150-IAD",
        fastly!("backend read error"),
        "fastly",
        BAD,
        Some(Cause::ResponseFailed),
    ),
    (
        "503 first byte timeout\n",
        fastly!("first byte timeout"),
        "fastly",
        BAD,
        Some(Cause::ResponseTimeout),
    ),
    (
        "503 Connection refused\n",
        fastly!("Connection refused"),
        "fastly",
        BAD,
        Some(Cause::ConnectRefused),
    ),
    (
        "503 x\n",
        fastly!("hostname doesn't match against certificate"),
        "fastly",
        BAD,
        Some(Cause::TlsCertificateNameMismatch),
    ),
    (
        "503 x\n",
        fastly!("All backends failed or unhealthy (chash)"),
        "fastly",
        BAD,
        Some(Cause::NoLiveUpstream),
    ),
    (
        "503 x\n",
        fastly!("backend.max_conn reached"),
        "fastly",
        None,
        Some(Cause::UpstreamOverloaded),
    ),
    ("503 x\n", fastly!("Service Unavailable"), "fastly", None, None),
    ("503 x\n", fastly!("Down for a drill"), "fastly", None, None),
    (
        "500 Domain Not Found\n",
        "Fastly error: unknown domain: shop.example.com. Please check that this domain has been added to a service.",
        "fastly",
        None,
        Some(Cause::GatewayConfig),
    ),
    // Azure.
    (
        "503 Service Unavailable\nX-Azure-Ref: 0abc",
        "<h2>Our services aren't available right now</h2><p>We're working to restore all services as soon as possible.",
        "azure_front_door",
        BAD,
        None,
    ),
    (
        "503 x\nX-Azure-Ref: 0abc\nX-Azure-ExternalError: 0x830c1011,The certificate authority was unfamiliar",
        "Our services aren\u{2019}t available right now",
        "azure_front_door",
        BAD,
        Some(Cause::TlsCertificateUntrusted),
    ),
    (
        "502 Bad Gateway\nServer: Microsoft-Azure-Application-Gateway/v2",
        "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>Microsoft-Azure-Application-Gateway/v2</center>\r\n</body>\r\n</html>\r\n",
        "azure_application_gateway",
        BAD,
        None,
    ),
    (
        "502 Bad Gateway\nServer: Microsoft-IIS/10.0",
        "<h1>Server Error</h1>\n<h2>502 - Web server received an invalid response while acting as a gateway or proxy server.</h2>",
        "iis_arr",
        BAD,
        None,
    ),
    // KeyCDN.
    (
        "500 Internal Server Error\nServer: keycdn-engine",
        "<html><body><h1>Origin Not Reachable</h1></body></html>",
        "keycdn",
        BAD,
        None,
    ),
    (
        "500 Internal Server Error\n",
        "<html><body><h1>Origin Not Reachable</h1></body></html>",
        "keycdn",
        BAD,
        None,
    ),
    // Akamai.
    (
        "503 Service Unavailable\nServer: AkamaiGHost",
        akamai!("Service Unavailable - Zero size object", "97"),
        "akamai",
        BAD,
        Some(Cause::ResponseClosed),
    ),
    (
        "503 Service Unavailable\nServer: AkamaiGHost",
        akamai!("Service Unavailable - DNS failure", "11"),
        "akamai",
        BAD,
        Some(Cause::DnsFailed),
    ),
    (
        "503 Service Unavailable\n",
        akamai!("Error", "30"),
        "akamai",
        BAD,
        Some(Cause::TlsFailed),
    ),
    (
        "504 Gateway Timeout\n",
        akamai!(
            "Gateway Timeout</H1>The proxy server did not receive a timely response from the upstream server.",
            "1"
        ),
        "akamai",
        LATE,
        None,
    ),
    (
        "503 x\n",
        "An error occurred while processing your request.<p>\nReference #97.2d351ab8.1557333295.a4e16ab</BODY>",
        "akamai",
        None,
        None,
    ),
    // Google.
    (
        "502 Bad Gateway\nReferrer-Policy: no-referrer",
        GOOGLE_502,
        "gcp",
        BAD,
        None,
    ),
    (
        "502 Bad Gateway\n",
        "<html lang=en><title>Error 502 (Server Error)!!1</title><p><b>502.</b> <ins>That\u{fffd}s an error.</ins>",
        "google_front_end",
        BAD,
        None,
    ),
    (
        "500 x\n",
        "<p><b>500.</b> <ins>That's an error.</ins>",
        "google_front_end",
        None,
        None,
    ),
    // AWS.
    (
        "502 Bad Gateway\nServer: awselb/2.0",
        alb!("502 Bad Gateway"),
        "aws_alb",
        BAD,
        None,
    ),
    (
        "504 Gateway Time-out\nServer: awselb/2.0",
        alb!("504 Gateway Time-out"),
        "aws_alb",
        LATE,
        None,
    ),
    (
        "503 Service Temporarily Unavailable\nServer: awselb/2.0",
        alb!("503 Service Temporarily Unavailable"),
        "aws_alb",
        None,
        Some(Cause::NoLiveUpstream),
    ),
    (
        "504 GATEWAY_TIMEOUT\nContent-Length: 0",
        "",
        "aws_elb",
        BAD,
        Some(Cause::ResponseClosed),
    ),
    (
        "502 BAD_GATEWAY\nContent-Length: 0",
        "",
        "aws_elb",
        BAD,
        Some(Cause::ResponseMalformed),
    ),
    (
        "503 Service Unavailable: Back-end server is at capacity\nContent-Length: 0",
        "",
        "aws_elb",
        None,
        None,
    ),
    (
        "504 Gateway Timeout\nx-amz-apigw-id: a=\nX-Cache: Error from cloudfront",
        r#"{"message": "Endpoint request timed out"}"#,
        "aws_api_gateway",
        LATE,
        Some(Cause::ResponseTimeout),
    ),
    (
        "500 x\napigw-requestid: a=",
        r#"{"message":"Internal Server Error"}"#,
        "",
        None,
        None,
    ),
    (
        "500 x\nx-amz-apigw-id: a=",
        r#"{"message": "Internal server error"}"#,
        "aws_api_gateway",
        None,
        None,
    ),
    // Envoy and Istio.
    (
        "503 x\nserver: istio-envoy",
        "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure, transport failure reason: delayed connect error: Connection refused",
        "istio",
        BAD,
        Some(Cause::ConnectRefused),
    ),
    (
        "503 x\nserver: envoy",
        "upstream connect error or disconnect/reset before headers. reset reason: connection failure, transport failure reason: delayed connect error: 111",
        "envoy",
        BAD,
        Some(Cause::ConnectRefused),
    ),
    (
        "503 x\nserver: envoy",
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end",
        "envoy",
        BAD,
        Some(Cause::TlsNotTls),
    ),
    (
        "503 x\nserver: envoy",
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED",
        "envoy",
        BAD,
        Some(Cause::TlsFailed),
    ),
    (
        "503 x\nserver: envoy",
        "upstream connect error or disconnect/reset before headers. reset reason: overflow",
        "envoy",
        None,
        Some(Cause::UpstreamOverloaded),
    ),
    (
        "503 x\nserver: envoy",
        "upstream connect error or disconnect/reset before headers",
        "envoy",
        BAD,
        None,
    ),
    (
        "504 x\n",
        "upstream max stream duration reached",
        "envoy",
        LATE,
        Some(Cause::ResponseTimeout),
    ),
    // Built on OpenResty.
    (
        "502 Bad Gateway\nServer: kong/3.4.0",
        r#"{"message":"An invalid response was received from the upstream server"}"#,
        "kong",
        BAD,
        None,
    ),
    (
        "503 x\n",
        r#"{"message":"failure to get a peer from the ring-balancer"}"#,
        "kong",
        BAD,
        Some(Cause::NoLiveUpstream),
    ),
    (
        "502 Bad Gateway\nServer: APISIX/3.2.0",
        footer!("openresty"),
        "apisix",
        BAD,
        None,
    ),
    (
        "502 Bad Gateway\nServer: openresty",
        footer!("openresty/1.21.4"),
        "openresty",
        BAD,
        None,
    ),
    (
        "502 Bad Gateway\nServer: Tengine",
        footer!("tengine"),
        "tengine",
        BAD,
        None,
    ),
    ("502 Bad Gateway\n", footer!("nginx"), "nginx", BAD, None),
    (
        "502 Bad Gateway\n",
        footer!("nginx/1.25.3 (Ubuntu)"),
        "nginx",
        BAD,
        None,
    ),
    ("502 Bad Gateway\n", footer!("nginxish"), "", BAD, None),
    // Squid: errors that were not recorded.
    (
        "503 x\nX-Squid-Error: ERR_DNS_FAIL 0",
        "<pre>Name Error: The domain name does not exist.</pre>",
        "squid",
        BAD,
        Some(Cause::DnsNxdomain),
    ),
    (
        "503 x\nX-Squid-Error: ERR_DNS_FAIL 0",
        "<pre>Server Failure: The name server was unable to process this query.</pre>",
        "squid",
        BAD,
        Some(Cause::DnsServfail),
    ),
    (
        "503 x\nX-Squid-Error: ERR_CONNECT_FAIL 113",
        "",
        "squid",
        BAD,
        Some(Cause::ConnectUnreachable),
    ),
    (
        "504 x\nX-Squid-Error: ERR_CONNECT_FAIL 111",
        "",
        "squid",
        BAD,
        Some(Cause::ConnectRefused),
    ),
    (
        "502 x\nX-Squid-Error: ERR_TOO_BIG 0",
        "",
        "squid",
        BAD,
        Some(Cause::ResponseHeaderTooLarge),
    ),
    (
        "500 x\nX-Squid-Error: ERR_SOCKET_FAILURE 24",
        "",
        "squid",
        None,
        Some(Cause::GatewayInternal),
    ),
    ("503 x\nX-Squid-Error: ERR_SOMETHING_NEW", "", "squid", None, None),
    // lighttpd after 1.4.69.
    (
        "502 Bad Gateway\nServer: lighttpd/1.4.76",
        "<!DOCTYPE html>\n<html lang=\"en\">\n <head>\n  <meta charset=\"UTF-8\" />\n  <title>502 Bad Gateway</title>\n </head>\n <body>\n  <h1>502 Bad Gateway</h1>\n </body>\n</html>\n",
        "lighttpd",
        BAD,
        Some(Cause::ResponseFailed),
    ),
    // httpd before 2.4.59, with its signature.
    (
        "502 Proxy Error\nServer: Apache/2.4.57",
        "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>502 Proxy Error</title>\n</head><body>\n<h1>Proxy Error</h1>\n<p>The proxy server received an invalid\r\nresponse from an upstream server.<br />\r\nThe proxy server could not handle the request<p>Reason: <strong>DNS lookup failure for: api.internal</strong></p></p>\n<hr>\n<address>Apache/2.4.57 (Debian) Server at shop Port 80</address>",
        "apache",
        BAD,
        Some(Cause::DnsFailed),
    ),
    (
        "504 Gateway Timeout\nServer: Apache",
        "<h1>Gateway Timeout</h1>\n<p>The gateway did not receive a timely response\nfrom the upstream server or application.</p>",
        "apache",
        LATE,
        Some(Cause::ResponseTimeout),
    ),
    // Layers nobody named.
    (
        "500 x\n",
        "<html><title>HTTP Error 502 - Bad Gateway</title></html>",
        "",
        BAD,
        None,
    ),
    (
        "200 OK\n",
        "<html><head><title>Temporary Error (502)</title></head></html>",
        "",
        BAD,
        None,
    ),
    (
        "503 x\nProxy-Status: ExampleCDN; error=connection_refused",
        "sorry",
        "",
        BAD,
        Some(Cause::ConnectRefused),
    ),
    (
        "200 OK\nProxy-Status: ExampleCDN; error=connection_refused",
        "stale but good",
        "",
        None,
        None,
    ),
];

const CLOUDFLARE_522: &str = "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<title>shop.example.com | 522: Connection timed out</title>\n\
    </head>\n<body>\n<div id=\"cf-wrapper\">\n<div id=\"cf-error-details\" class=\"p-0\">\n<h1>Connection timed out</h1>\n\
    <span class=\"code-label\">Error code 522</span>\n";
const CLOUDFRONT_502: &str = "<HTML><HEAD>\n<TITLE>ERROR: The request could not be satisfied</TITLE>\n</HEAD><BODY>\n<H1>502 ERROR</H1>\n\
    <H2>The request could not be satisfied.</H2>\n<HR noshade size=\"1px\">\nWe can't connect to the server for this app or website at \
    this time.\n<BR clear=\"all\">\n<PRE>\nGenerated by cloudfront (CloudFront)\nRequest ID: x\n</PRE>\n</BODY></HTML>";
const GOOGLE_502: &str = "\n<html><head>\n<meta http-equiv=\"content-type\" content=\"text/html;charset=utf-8\">\n<title>502 Server Error</title>\n\
    </head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: Server Error</h1>\n<h2>The server encountered a temporary error and could \
    not complete your request.<p>Please try again in 30 seconds.</h2>\n<h2></h2>\n</body></html>\n";

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {}\r\n\r\n{body}", head.trim_end().replace('\n', "\r\n"))
}

#[test]
fn published_pages_say_who_wrote_them_and_why() {
    for (head, body, writer, told, cause) in PAGES {
        let (recognised, _) = read(&answer(head, body), &[]);
        let said = (
            recognised.writer.unwrap_or_default(),
            recognised.told,
            recognised.stated,
        );
        assert_eq!(said, (*writer, *told, *cause), "{head}\n{body}");
    }
}

/// The disguised forms, each with the gateway it is known from configured on the way.
#[test]
fn disguised_forms_are_seen_through_their_gateway_only() {
    let httpd = "<html><head>\n<title>503 Service Unavailable</title>\n</head><body>\n<h1>Service Unavailable</h1>\n<p>The server is \
                 temporarily unable to service your\nrequest due to maintenance downtime or capacity\nproblems.</p>";
    let lighttpd = "<title>500 Internal Server Error</title>\n<h1>500 Internal Server Error</h1>";
    let cases = [
        (
            "503 Service Unavailable\nServer: Apache",
            httpd,
            "apache",
            Cause::ServiceUnavailable,
        ),
        (
            "500 Internal Server Error\nContent-Length: 21",
            "Internal Server Error",
            "traefik",
            Cause::ServerError,
        ),
        (
            "500 Internal Server Error\nServer: lighttpd/1.4.69",
            lighttpd,
            "lighttpd",
            Cause::ServerError,
        ),
    ];
    for (head, body, kind, otherwise) in cases {
        let outcome = |kinds: &[&'static str]| read(&answer(head, body), kinds).1;
        assert_eq!(
            outcome(&["nginx", kind]),
            Outcome::Failure(Cause::DisguisedBadGateway),
            "{kind}"
        );
        assert_eq!(outcome(&["nginx"]), Outcome::Failure(otherwise), "{kind}");
        assert_eq!(outcome(&[]), Outcome::Failure(otherwise), "{kind}");
    }
}
