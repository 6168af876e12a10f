//! Peers that are odd but legal, or that were meant to be this way: none of them may raise an alarm.

mod support;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};
use support::cases::{Expect::Healthy, Setup, Stage};
use support::dns::{self, Question};
use support::ocsp::{self, Says};
use support::peers::http1::Ending::{Cut, Finish, Stall};
use support::peers::http1::{OK, answers, demands, ends, large_head, page, redirect, site};
use support::peers::http2::{self, NO_ERROR, data, goaway, headers, last_data, last_headers, ping, rst_stream};
use support::peers::tls::{Tls, openssl};
use support::peers::{Behaviour, drain, read_head, say, serve, serve_on, tcp};
use support::pki::{Flaw, NAME};

/// A peer in the clear.
fn plain(behaviour: Behaviour) -> Option<Setup> {
    Some(Setup::origin(format!("http://{}/", serve(behaviour))))
}

/// A peer in the clear, probed with these keys more.
fn probed(behaviour: Behaviour, keys: Value) -> Option<Setup> {
    let mut upstream = json!({ "origin": format!("http://{}/", serve(behaviour)) });
    for (key, value) in keys.as_object().into_iter().flatten() {
        upstream[key] = value.clone();
    }
    Some(Setup::new(upstream))
}

/// A TLS server probed with the test root trusted and these TLS settings more.
fn secure(stage: &Stage, server: Tls, behaviour: Behaviour, tls: Value) -> Option<Setup> {
    let mut policy = json!({ "ca_file": stage.pki().ca_file() });
    for (key, value) in tls.as_object().into_iter().flatten() {
        policy[key] = value.clone();
    }
    let url = format!("https://{}/", server.serve(behaviour));
    Some(Setup::origin(json!({ "url": url, "server_name": NAME, "tls": policy })))
}

fn good_server(stage: &Stage) -> Tls {
    Tls::new(stage.pki().server(Flaw::None))
}

/// HTTP/2 in the clear.
fn h2c(script: fn(u32) -> Vec<u8>) -> Option<Setup> {
    let url = format!("http://{}/", serve(http2::answers(script, Stall)));
    Some(Setup::origin(json!({ "url": url, "http_version": 2 })))
}

fn status_200(stream: u32) -> Vec<u8> {
    headers(stream, &[(":status", "200")])
}

/// A service that is well, by a name that only this resolver knows.
fn resolved(script: impl Fn(&Question) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Option<Setup> {
    let url = format!("http://service.peer.test:{}/", serve(answers(OK)).port());
    Some(Setup::origin(
        json!({ "url": url, "resolvers": [dns::serve(script).to_string()] }),
    ))
}

fn good(question: &Question) -> dns::Answer {
    question.addresses(&["127.0.0.1"])
}

const NGINX: &str = "front";

cases! {
    plain_answer => Healthy, |_| plain(answers(OK));
    chunked => Healthy, |_| {
        plain(answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
    };
    chunked_with_trailers => Healthy, |_| {
        plain(answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"))
    };
    chunked_with_extensions => Healthy, |_| {
        plain(answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=1;b=\"x\"\r\nok\r\n0;last\r\n\r\n"))
    };
    chunked_with_odd_sizes => Healthy, |_| {
        plain(answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0002\r\nok\r\nA\r\n0123456789\r\n00\r\n\r\n"))
    };
    no_content_204 => Healthy, |_| plain(ends("HTTP/1.1 204 No Content\r\n\r\n", Stall));
    not_modified_304_where_expected => Healthy, |_| {
        let peer = ends("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nETag: \"x\"\r\n\r\n", Stall);
        probed(peer, json!({ "expect": { "status": ["304"] } }))
    };
    redirect_not_followed => Healthy, |_| plain(answers(redirect("https://elsewhere.test/")));
    redirect_followed => Healthy, |_| {
        let url = format!("http://{}/", serve(site(vec![("/", redirect("/next")), ("/next", page("welcome"))])));
        let origin = json!({ "url": url, "redirects": { "max": 2 } });
        Some(Setup::origin(origin).with("expect", json!({ "status": ["200"], "body": { "contains": "welcome" } })))
    };
    head_request => Healthy, |_| {
        let peer = ends("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", Stall);
        Some(Setup::origin(json!({ "url": format!("http://{}/", serve(peer)), "method": "HEAD" })))
    };
    close_delimited => Healthy, |_| plain(answers("HTTP/1.1 200 OK\r\n\r\nuntil the end"));
    http_1_0 => Healthy, |_| plain(answers("HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end"));
    http_1_0_with_length => Healthy, |_| plain(ends("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Stall));
    early_hints => Healthy, |_| {
        plain(answers([&b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"[..], OK].concat()))
    };
    continue_and_processing => Healthy, |_| {
        plain(answers([&b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"[..], OK].concat()))
    };
    lower_case_headers => Healthy, |_| plain(answers("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    upper_case_headers => Healthy, |_| plain(answers("HTTP/1.1 200 OK\r\nCONTENT-LENGTH:2\r\n\r\nok"));
    no_reason_phrase => Healthy, |_| plain(answers("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"));
    no_space_after_the_status => Healthy, |_| plain(answers("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"));
    reason_phrase_of_another_language => Healthy, |_| {
        plain(answers("HTTP/1.1 200 D'accord \u{e9}\u{e8}\r\nContent-Length: 2\r\n\r\nok"))
    };
    /// RFC 9112, 2.2: a recipient may take a lone LF for a line's end, and gateways do.
    lines_end_with_lf_only => Healthy, |_| plain(answers("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"));
    /// RFC 9112, 5.2: a user agent replaces each fold by spaces.
    folded_header => Healthy, |_| {
        plain(answers("HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\n\tthree\r\nContent-Length: 2\r\n\r\nok"))
    };
    empty_header_value => Healthy, |_| plain(answers("HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 2\r\n\r\nok"));
    header_value_beyond_ascii => Healthy, |_| {
        plain(answers(b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9 \t x\r\nContent-Length: 2\r\n\r\nok".as_slice()))
    };
    header_name_of_odd_characters => Healthy, |_| {
        plain(answers("HTTP/1.1 200 OK\r\nX_!#$%&'*+-.^`|~9: 1\r\nContent-Length: 2\r\n\r\nok"))
    };
    content_length_twice_the_same => Healthy, |_| {
        plain(answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"))
    };
    content_length_with_spaces => Healthy, |_| plain(answers("HTTP/1.1 200 OK\r\nContent-Length:  2 \t\r\n\r\nok"));
    empty_body => Healthy, |_| plain(ends("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Stall));
    connection_stays_open => Healthy, |_| plain(ends(OK, Stall));
    head_of_64_kib => Healthy, |_| plain(answers(large_head(10, 64 * 1024)));
    head_of_64_kib_in_one_line => Healthy, |_| plain(answers(large_head(1, 64 * 1024)));
    headers_1000 => Healthy, |_| plain(answers(large_head(1000, 100 * 1024)));
    head_just_below_the_cap => Healthy, |_| plain(answers(large_head(200, 250 * 1024)));
    body_larger_than_max_body => Healthy, |_| {
        let peer = answers(page(&"x".repeat(64 * 1024)));
        Some(Setup::origin(json!({ "url": format!("http://{}/", serve(peer)), "max_body": "4KiB" })))
    };
    body_of_several_mib => Healthy, |_| plain(answers(page(&"x".repeat(3 * 1024 * 1024))));
    answer_before_the_request => Healthy, |_| {
        plain(Box::new(|wire| {
            say(wire, OK);
            drain(wire);
        }))
    };
    answer_before_the_whole_request_is_read => Healthy, |_| {
        let peer: Behaviour = Box::new(|wire| {
            read_head(wire);
            say(wire, OK);
            wire.finish();
            drain(wire);
        });
        let body = "x".repeat(256 * 1024);
        Some(Setup::origin(json!({ "url": format!("http://{}/", serve(peer)), "method": "POST", "body": body })))
    };
    bytes_after_the_answer => Healthy, |_| plain(answers([OK, b"and more than announced"].concat()));
    written_byte_by_byte => Healthy, |_| {
        plain(Box::new(|wire| {
            read_head(wire);
            for byte in OK {
                say(wire, &[*byte]);
            }
            drain(wire);
        }))
    };
    status_418_where_expected => Healthy, |_| {
        let peer = answers("HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n");
        probed(peer, json!({ "expect": { "status": ["418"] } }))
    };
    body_contains => Healthy, |_| {
        probed(answers(page("all is well")), json!({ "expect": { "body": { "contains": "is well" } } }))
    };
    body_contains_across_chunks => Healthy, |_| {
        let peer = answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwe\r\n2\r\nll\r\n0\r\n\r\n");
        probed(peer, json!({ "expect": { "body": { "contains": "well" } } }))
    };
    body_matches => Healthy, |_| {
        probed(answers(page("version 7.2")), json!({ "expect": { "body": { "matches": "version [0-9]+" } } }))
    };
    body_json => Healthy, |_| {
        let rule = json!({ "json": { "pointer": "/checks/0/status", "equals": "ok" } });
        probed(answers(page(r#"{"checks": [{"status": "ok"}]}"#)), json!({ "expect": { "body": rule } }))
    };
    request_as_configured => Healthy, |_| {
        let url = format!("http://{}/", serve(demands("host: shop.test\r\n", OK)));
        Some(Setup::origin(json!({ "url": url, "host": "shop.test" })))
    };
    request_names_its_agent => Healthy, |_| plain(demands("user-agent: badgateway/", OK));
    request_path_and_query => Healthy, |_| {
        let address = serve(demands("get /api/health?full=1 http/1.1", OK));
        Some(Setup::origin(format!("http://{address}/api")).with("paths", json!(["/health?full=1"])))
    };
    request_with_basic_credentials => Healthy, |_| {
        let url = format!("http://{}/", serve(demands("authorization: basic dxnlcjpwyxnz\r\n", OK)));
        Some(Setup::origin(json!({ "url": url, "auth": { "basic": { "username": "user", "password": "pass" } } })))
    };
    ipv6_loopback => Healthy, |_| {
        if !tcp::has_ipv6() {
            support::programs::skip("no IPv6 loopback");
            return None;
        }
        let ok = answers(OK);
        let address = serve_on(IpAddr::V6(Ipv6Addr::LOCALHOST), move |mut stream| ok(&mut stream));
        Some(Setup::origin(format!("http://{address}/")))
    };
    unix_socket => Healthy, |stage| {
        let path = stage.scratch.join("healthy.sock");
        tcp::serve_unix(&path);
        Some(Setup::origin(format!("http://unix:{}:/", path.display())))
    };
    several_origins => Healthy, |_| {
        Some(Setup::new(json!({ "origin": [
            format!("http://{}/", serve(answers(OK))),
            format!("http://{}/", serve(answers(OK))),
        ] })))
    };

    tls_1_2 => Healthy, |stage| secure(stage, good_server(stage).only_12(), answers(OK), json!({}));
    tls_1_3 => Healthy, |stage| secure(stage, good_server(stage).only_13(), answers(OK), json!({}));
    tls_by_address => Healthy, |stage| {
        let pki = stage.pki();
        let address = Tls::new(pki.server_named(Flaw::None, "127.0.0.1")).serve(answers(OK));
        let tls = json!({ "ca_file": pki.ca_file(), "ca_only": true });
        Some(Setup::origin(json!({ "url": format!("https://{address}/"), "tls": tls })))
    };
    tls_close_notify_missing_after_a_whole_body => Healthy, |stage| {
        secure(stage, good_server(stage), ends(OK, Cut), json!({}))
    };
    tls_close_notify_missing_after_the_last_chunk => Healthy, |stage| {
        let body = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        secure(stage, good_server(stage), ends(body, Cut), json!({}))
    };
    tls_close_delimited_with_close_notify => Healthy, |stage| {
        secure(stage, good_server(stage), ends("HTTP/1.1 200 OK\r\n\r\nuntil the end", Finish), json!({}))
    };
    tls_client_certificate_1_2 => Healthy, |stage| {
        let (cert, key) = stage.pki().client_files(true);
        let server = good_server(stage).only_12().demands_client(stage.pki());
        secure(stage, server, answers(OK), json!({ "cert_file": cert, "key_file": key }))
    };
    tls_client_certificate_1_3 => Healthy, |stage| {
        let (cert, key) = stage.pki().client_files(true);
        let server = good_server(stage).only_13().demands_client(stage.pki());
        secure(stage, server, answers(OK), json!({ "cert_file": cert, "key_file": key }))
    };
    tls_client_certificate_asked_for_and_not_needed => Healthy, |stage| {
        let pki = stage.pki();
        let files = pki.server_files(Flaw::None);
        let (address, process) = openssl(files, &["-verify", "3", "-CAfile", &pki.ca_file()])?;
        let tls = json!({ "ca_file": pki.ca_file() });
        let origin = json!({ "url": format!("https://{address}/"), "server_name": NAME, "tls": tls });
        Some(Setup::origin(origin).keep(process))
    };
    tls_good_staple => Healthy, |stage| {
        let pki = stage.pki();
        let identity = pki.server(Flaw::None);
        let staple = ocsp::answer(Says::Good, &identity.serial, &pki.intermediate, &pki.intermediate);
        secure(stage, Tls::new(identity).staple(staple), answers(OK), json!({}))
    };
    tls_staple_that_knows_nothing => Healthy, |stage| {
        let pki = stage.pki();
        let identity = pki.server(Flaw::None);
        let staple = ocsp::answer(Says::Unknown, &identity.serial, &pki.intermediate, &pki.intermediate);
        secure(stage, Tls::new(identity).staple(staple), answers(OK), json!({}))
    };
    /// Only the issuer's word counts.
    tls_revoked_by_a_stranger => Healthy, |stage| {
        let pki = stage.pki();
        let identity = pki.server(Flaw::None);
        let staple = ocsp::answer(Says::Revoked, &identity.serial, &pki.intermediate, &pki.stranger);
        secure(stage, Tls::new(identity).staple(staple), answers(OK), json!({}))
    };
    tls_another_certificate_revoked => Healthy, |stage| {
        let pki = stage.pki();
        let staple = ocsp::answer(Says::Revoked, &[9, 9], &pki.intermediate, &pki.intermediate);
        secure(stage, good_server(stage).staple(staple), answers(OK), json!({}))
    };
    tls_staple_of_garbage => Healthy, |stage| {
        secure(stage, good_server(stage).staple(b"no staple".to_vec()), answers(OK), json!({}))
    };
    tls_expired_and_not_verified => Healthy, |stage| {
        secure(stage, Tls::new(stage.pki().server(Flaw::Expired)), answers(OK), json!({ "verify": false }))
    };

    h2c_prior_knowledge => Healthy, |_| h2c(|stream| [status_200(stream), last_data(stream, b"ok")].concat());
    h2_by_alpn => Healthy, |stage| {
        let server = good_server(stage).speaks("h2").speaks("http/1.1");
        let url = format!("https://{}/", server.serve(http2::responds("200", b"ok")));
        let tls = json!({ "ca_file": stage.pki().ca_file() });
        Some(Setup::origin(json!({ "url": url, "server_name": NAME, "tls": tls, "http_version": 2 })))
    };
    h2_early_hints_and_trailers => Healthy, |_| {
        h2c(|stream| {
            let hints = headers(stream, &[(":status", "103"), ("link", "</a.css>")]);
            [hints, status_200(stream), data(stream, b"ok"), last_headers(stream, &[("x-sum", "1")])].concat()
        })
    };
    h2_no_body => Healthy, |_| h2c(|stream| last_headers(stream, &[(":status", "204")]));
    h2_pings_in_between => Healthy, |_| {
        h2c(|stream| [ping(), status_200(stream), ping(), last_data(stream, b"ok"), ping()].concat())
    };
    /// A server that shuts down gracefully still answers what it has taken on.
    h2_goaway_that_lets_us_finish => Healthy, |_| {
        h2c(|stream| [goaway(stream, NO_ERROR), status_200(stream), last_data(stream, b"ok")].concat())
    };
    /// RFC 9113, 8.1: "I need no more of your request" after a whole answer.
    h2_reset_after_a_whole_answer => Healthy, |_| {
        h2c(|stream| [status_200(stream), last_data(stream, b"ok"), rst_stream(stream, NO_ERROR)].concat())
    };

    dns_answers => Healthy, |_| resolved(|question| vec![good(question).bytes()]);
    dns_alias_chain => Healthy, |_| {
        resolved(|question| {
            let chain = question.answer().alias(&question.name, "a.peer.test").alias("a.peer.test", "b.peer.test");
            vec![chain.address("b.peer.test", "127.0.0.1").bytes()]
        })
    };
    dns_truncated_over_udp_whole_over_tcp => Healthy, |_| {
        resolved(|question| match question.tcp {
            true => vec![good(question).bytes()],
            false => vec![question.answer().truncated().bytes()],
        })
    };
    dns_aaaa_dropped_while_a_answers => Healthy, |_| {
        resolved(|question| match question.kind {
            dns::AAAA => Vec::new(),
            _ => vec![good(question).bytes()],
        })
    };
    dns_aaaa_servfail_while_a_answers => Healthy, |_| {
        resolved(|question| match question.kind {
            dns::AAAA => vec![question.answer().code(dns::SERVFAIL).bytes()],
            _ => vec![good(question).bytes()],
        })
    };
    dns_wrong_id_before_the_right_one => Healthy, |_| {
        resolved(|question| {
            let mut forged = question.addresses(&["192.0.2.1"]);
            forged.id = forged.id.wrapping_add(1);
            vec![forged.bytes(), good(question).bytes()]
        })
    };
    dns_first_resolver_silent_second_answers => Healthy, |_| {
        let silent = dns::serve(|_| Vec::new());
        let answering = dns::serve(|question| vec![good(question).bytes()]);
        let url = format!("http://service.peer.test:{}/", serve(answers(OK)).port());
        let resolvers = json!([silent.to_string(), answering.to_string()]);
        Some(Setup::origin(json!({ "url": url, "resolvers": resolvers })).with("timeout", "8s").with("interval", "8s"))
    };
    dns_expected_address => Healthy, |_| {
        let expected = json!({ "addresses": ["127.0.0.0/8"] });
        Some(resolved(|question| vec![good(question).bytes()])?.with("expect", expected))
    };
    dns_localhost_from_the_hosts_file => Healthy, |_| {
        let address: SocketAddr = serve(answers(OK));
        Some(Setup::origin(json!({ "url": format!("http://localhost:{}/", address.port()), "family": "ipv4" })))
    };
    origin_that_its_gateway_would_not_verify => Healthy, |stage| {
        let pki = stage.pki();
        let origin = Tls::new(pki.server(Flaw::SelfSigned)).serve(answers(OK));
        let front = serve(answers(OK));
        let via = json!([{ "gateway": NGINX, "url": format!("http://{front}/") }]);
        Some(Setup::origin(json!({ "url": format!("https://{origin}/"), "server_name": NAME })).with("via", via))
    };
}

/// Where the gateway would not ask, a certificate that does not verify is a warning and no failure.
#[test]
fn certificate_problems_are_warnings_where_nobody_verifies() {
    for (case, problem) in [
        ("tls_expired_and_not_verified", "expired"),
        ("origin_that_its_gateway_would_not_verify", "untrusted"),
    ] {
        let metrics = GROUP.check(case).expect("needs nothing of the system");
        let warned = metrics.sum("tls_certificate_problem", &[("hop", "origin"), ("problem", problem)]);
        assert_eq!(warned, 1.0, "{case}: {}", metrics.show("tls"));
    }
}
