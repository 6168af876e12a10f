//! Bad gateways under another number: pages that prove it whatever stands in front of the peer.

use badgateway::cause::Cause::DisguisedBadGateway;

use crate::cases;
use crate::support::cases::{Expect::Answers, Setup};
use crate::support::peers::http1::{answer, answers, recorded};
use crate::support::peers::serve;

/// A peer that gives this answer.
fn giving(bytes: Vec<u8>) -> Option<Setup> {
    Some(Setup::origin(format!("http://{}/", serve(answers(bytes)))))
}

const NGINX_502: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
const FASTLY: &str = "<title>503 backend read error</title><h1>Error 503 backend read error</h1>\n<h3>Guru Mediation:</h3>\n\
    <p>Details: cache-iad2150-IAD 1528653727 3234964384</p>";
const CLOUDFLARE: &str = "Server: cloudflare\nCF-RAY: 8a1b2c3d4e5f6789-FRA";

cases! {
    disguised_bad_gateway_of_varnish => Answers(DisguisedBadGateway, 503), |_| giving(recorded("varnish-503-1.http"));
    disguised_bad_gateway_of_haproxy => Answers(DisguisedBadGateway, 503), |_| giving(recorded("haproxy-503-1.http"));
    disguised_bad_gateway_of_envoy => Answers(DisguisedBadGateway, 503), |_| giving(recorded("envoy-503-1.http"));
    disguised_bad_gateway_of_squid => Answers(DisguisedBadGateway, 503), |_| giving(recorded("squid-503-1.http"));
    disguised_bad_gateway_of_httpd => Answers(DisguisedBadGateway, 500), |_| giving(recorded("apache-500-7.http"));
    disguised_bad_gateway_of_traffic_server => Answers(DisguisedBadGateway, 500), |_| giving(recorded("trafficserver-500-2.http"));
    disguised_bad_gateway_of_traefik => Answers(DisguisedBadGateway, 503), |_| giving(recorded("traefik-503-2.http"));
    disguised_bad_gateway_of_fastly => Answers(DisguisedBadGateway, 503), |_| {
        giving(answer("503 backend read error", "X-Served-By: cache-iad2150-IAD", FASTLY))
    };
    disguised_bad_gateway_of_keycdn => Answers(DisguisedBadGateway, 500), |_| {
        giving(answer("500 Internal Server Error", "Server: keycdn-engine", "<h1>Origin Not Reachable</h1>"))
    };
    disguised_bad_gateway_of_azure_front_door => Answers(DisguisedBadGateway, 503), |_| {
        giving(answer("503 Service Unavailable", "X-Azure-Ref: 0abc", "<h2>Our services aren't available right now</h2>"))
    };
    disguised_bad_gateway_of_cloudflare_522 => Answers(DisguisedBadGateway, 522), |_| {
        giving(answer("522 ", CLOUDFLARE, "error code: 522"))
    };
    disguised_bad_gateway_of_cloudflare_530 => Answers(DisguisedBadGateway, 530), |_| {
        giving(answer("530 ", CLOUDFLARE, "error code: 1016"))
    };
    /// The shortest idle timeout there is, 1 s, has not passed.
    disguised_bad_gateway_of_a_classic_load_balancer => Answers(DisguisedBadGateway, 504), |_| {
        giving(answer("504 GATEWAY_TIMEOUT", "", ""))
    };
    /// `error_page 502 =200` and the like.
    disguised_bad_gateway_under_200 => Answers(DisguisedBadGateway, 200), |_| {
        giving(answer("200 OK", "Server: nginx\nContent-Type: text/html", NGINX_502))
    };
    disguised_bad_gateway_under_503 => Answers(DisguisedBadGateway, 503), |_| {
        giving(answer("503 Service Unavailable", "Server: cloudflare", NGINX_502))
    };
}
