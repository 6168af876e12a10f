//! HTTP/2 answers that are none, in the clear with prior knowledge and over TLS by ALPN.

use badgateway::cause::Cause::{
    BadGateway, ResponseBodyTimeout, ResponseClosed, ResponseHeaderTooLarge, ResponseMalformed, ResponseReset,
    ResponseTimeout, ResponseTruncated,
};
use serde_json::json;

use crate::cases;
use crate::support::cases::Expect::{Answers, Fails};
use crate::support::cases::Setup;
use crate::support::peers::http1::Ending::{Cut, Finish, Reset, Stall};
use crate::support::peers::http2::{
    self, ENHANCE_YOUR_CALM, INTERNAL_ERROR, NO_ERROR, answers, data, frame, goaway, headers, large_headers, last_data,
    last_headers, rst_stream,
};
use crate::support::peers::tls::Tls;
use crate::support::peers::{Behaviour, http1, serve};
use crate::support::pki::{Flaw, NAME, Pki};

/// A peer in the clear.
fn h2c(behaviour: Behaviour) -> Option<Setup> {
    let url = format!("http://{}/", serve(behaviour));
    Some(Setup::origin(json!({ "url": url, "http_version": 2 })))
}

/// A peer over TLS.
fn h2(pki: &Pki, behaviour: Behaviour) -> Option<Setup> {
    let url = format!(
        "https://{}/",
        Tls::new(pki.server(Flaw::None)).speaks("h2").serve(behaviour)
    );
    let origin = json!({ "url": url, "server_name": NAME, "tls": { "ca_file": pki.ca_file() }, "http_version": 2 });
    Some(Setup::origin(origin))
}

cases! {
    response_reset_by_goaway => Fails(ResponseReset), |_| {
        h2c(answers(|_| goaway(0, ENHANCE_YOUR_CALM), Finish))
    };
    /// Nothing was processed, and a probe is never sent twice.
    response_reset_by_goaway_without_error => Fails(ResponseReset), |_| {
        h2c(answers(|_| goaway(0, NO_ERROR), Finish))
    };
    response_reset_by_goaway_over_tls => Fails(ResponseReset), |stage| {
        h2(stage.pki(), answers(|_| goaway(0, INTERNAL_ERROR), Finish))
    };
    response_reset_by_rst_stream => Fails(ResponseReset), |_| {
        h2c(answers(|stream| rst_stream(stream, INTERNAL_ERROR), Stall))
    };
    response_reset_by_rst_stream_over_tls => Fails(ResponseReset), |stage| {
        h2(stage.pki(), answers(|stream| rst_stream(stream, INTERNAL_ERROR), Stall))
    };
    response_reset_h2_tcp_reset_after_request => Fails(ResponseReset), |_| h2c(answers(|_| Vec::new(), Reset));
    response_closed_h2_right_after_accept => Fails(ResponseClosed), |_| h2c(http1::ends("", Finish));
    response_malformed_h2_answered_by_http1 => Fails(ResponseMalformed), |_| {
        h2c(http1::answers("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
    };
    response_malformed_h2_data_on_stream_0 => Fails(ResponseMalformed), |_| h2c(answers(|_| data(0, b"odd"), Finish));
    response_malformed_h2_frame_too_large => Fails(ResponseMalformed), |_| {
        h2c(answers(|stream| frame(0, 0, stream, &[0; 70_000]), Finish))
    };
    response_malformed_h2_data_before_head => Fails(ResponseMalformed), |_| {
        h2c(answers(|stream| last_data(stream, b"no head"), Stall))
    };
    response_malformed_h2_no_status => Fails(ResponseMalformed), |_| {
        h2c(answers(|stream| last_headers(stream, &[("server", "odd")]), Stall))
    };
    response_malformed_h2_status_letters => Fails(ResponseMalformed), |_| {
        h2c(answers(|stream| last_headers(stream, &[(":status", "abc")]), Stall))
    };
    response_malformed_h2_upper_case_header => Fails(ResponseMalformed), |_| {
        h2c(answers(|stream| last_headers(stream, &[(":status", "200"), ("Server", "odd")]), Stall))
    };
    response_malformed_h2_bad_header_block => Fails(ResponseMalformed), |_| {
        h2c(answers(|stream| frame(1, 5, stream, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Stall))
    };
    response_header_too_large_h2 => Fails(ResponseHeaderTooLarge), |_| {
        h2c(answers(|stream| large_headers(stream, 1024 * 1024), Stall))
    };
    response_truncated_h2_rst_stream_in_body => Fails(ResponseTruncated), |_| {
        h2c(answers(
            |stream| {
                let head = headers(stream, &[(":status", "200")]);
                [head, data(stream, b"half"), rst_stream(stream, INTERNAL_ERROR)].concat()
            },
            Stall,
        ))
    };
    response_truncated_h2_closed_in_body => Fails(ResponseTruncated), |_| {
        h2c(answers(|stream| [headers(stream, &[(":status", "200")]), data(stream, b"half")].concat(), Cut))
    };
    response_truncated_h2_shorter_than_announced => Fails(ResponseTruncated), |_| {
        h2c(answers(
            |stream| {
                let head = headers(stream, &[(":status", "200"), ("content-length", "100")]);
                [head, last_data(stream, b"half")].concat()
            },
            Stall,
        ))
    };
    response_timeout_h2_silence => Fails(ResponseTimeout), |_| {
        Some(h2c(answers(|_| Vec::new(), Stall))?.stalls())
    };
    response_timeout_h2_silence_over_tls => Fails(ResponseTimeout), |stage| {
        Some(h2(stage.pki(), answers(|_| Vec::new(), Stall))?.stalls())
    };
    response_body_timeout_h2 => Fails(ResponseBodyTimeout), |_| {
        let half = |stream| [headers(stream, &[(":status", "200")]), data(stream, b"half")].concat();
        Some(h2c(answers(half, Stall))?.stalls())
    };
    bad_gateway_h2 => Answers(BadGateway, 502), |_| h2c(http2::responds("502", b"bad"));
    bad_gateway_h2_over_tls => Answers(BadGateway, 502), |stage| h2(stage.pki(), http2::responds("502", b"bad"));
}
