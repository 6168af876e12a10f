//! HTTP/1 answers that never come, are none, or stop in the middle.

use badgateway::cause::Cause::{
    ResponseBodyTimeout, ResponseClosed, ResponseHeaderTooLarge, ResponseMalformed, ResponseReset, ResponseTimeout,
    ResponseTruncated,
};
use serde_json::json;

use crate::cases;
use crate::support::cases::{Expect::Fails, Setup, Stage};
use crate::support::peers::http1::Ending::{Cut, Finish, Reset, Stall};
use crate::support::peers::http1::{answers, drips, endless, ends, greets, large_head, leaves};
use crate::support::peers::records::ALERT_DECODE_ERROR;
use crate::support::peers::tls::Tls;
use crate::support::peers::{Behaviour, serve};
use crate::support::pki::{Flaw, NAME};

/// A peer in the clear.
fn plain(behaviour: Behaviour) -> Option<Setup> {
    Some(Setup::origin(format!("http://{}/", serve(behaviour))))
}

/// A peer over TLS with a good certificate.
fn tls(stage: &Stage, behaviour: Behaviour) -> Option<Setup> {
    let pki = stage.pki();
    let url = format!("https://{}/", Tls::new(pki.server(Flaw::None)).serve(behaviour));
    Some(Setup::origin(
        json!({ "url": url, "server_name": NAME, "tls": { "ca_file": pki.ca_file() } }),
    ))
}

/// A head whose status line is good and which holds one line more.
fn head_with(line: &str) -> Option<Setup> {
    plain(answers(format!("HTTP/1.1 200 OK\r\n{line}\r\nServer: odd\r\n\r\nok")))
}

/// A whole answer that begins with that status line.
fn status_line(line: &str) -> Option<Setup> {
    plain(answers(format!("{line}\r\nContent-Length: 2\r\n\r\nok")))
}

/// A chunked answer with these bytes as its body.
fn chunked(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

const SHORT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
const HALF_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Le";

cases! {
    response_reset_right_after_accept => Fails(ResponseReset), |_| plain(leaves(Reset));
    response_reset_after_request => Fails(ResponseReset), |_| plain(ends("", Reset));
    response_reset_after_request_over_tls => Fails(ResponseReset), |stage| tls(stage, ends("", Reset));
    response_reset_in_head => Fails(ResponseReset), |_| plain(ends(HALF_HEAD, Reset));
    response_reset_in_status_line => Fails(ResponseReset), |_| plain(ends("HT", Reset));
    response_reset_after_early_hints => Fails(ResponseReset), |_| {
        plain(ends("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", Reset))
    };

    response_closed => Fails(ResponseClosed), |_| plain(ends("", Finish));
    response_closed_before_the_request_is_read => Fails(ResponseClosed), |_| plain(leaves(Finish));
    response_closed_over_tls => Fails(ResponseClosed), |stage| tls(stage, ends("", Finish));
    response_closed_over_tls_without_close_notify => Fails(ResponseClosed), |stage| tls(stage, ends("", Cut));

    response_malformed_closed_in_head => Fails(ResponseMalformed), |_| plain(ends(HALF_HEAD, Finish));
    response_malformed_closed_in_head_over_tls => Fails(ResponseMalformed), |stage| tls(stage, ends(HALF_HEAD, Cut));
    response_malformed_closed_in_status_line => Fails(ResponseMalformed), |_| plain(ends("HTTP/1", Finish));
    response_malformed_closed_after_early_hints => Fails(ResponseMalformed), |_| {
        plain(answers("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"))
    };
    response_malformed_endless_early_hints => Fails(ResponseMalformed), |_| {
        plain(endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"))
    };
    response_malformed_tls_alert => Fails(ResponseMalformed), |_| plain(answers(ALERT_DECODE_ERROR));
    /// The real thing: a TLS server that is asked in the clear.
    response_malformed_tls_server => Fails(ResponseMalformed), |stage| {
        let address = Tls::new(stage.pki().server(Flaw::None)).serve(answers(""));
        Some(Setup::origin(format!("http://{address}/")))
    };
    response_malformed_ssh_banner => Fails(ResponseMalformed), |_| plain(greets("SSH-2.0-OpenSSH_9.2p1\r\n"));
    response_malformed_smtp_banner => Fails(ResponseMalformed), |_| plain(greets("220 mail.test ESMTP Postfix\r\n"));
    response_malformed_html_without_head => Fails(ResponseMalformed), |_| plain(answers("<html>ok</html>"));
    response_malformed_version_9_9 => Fails(ResponseMalformed), |_| status_line("HTTP/9.9 200 OK");
    response_malformed_version_2_0 => Fails(ResponseMalformed), |_| status_line("HTTP/2.0 200 OK");
    response_malformed_version_1 => Fails(ResponseMalformed), |_| status_line("HTTP/1 200 OK");
    response_malformed_version_icy => Fails(ResponseMalformed), |_| status_line("ICY 200 OK");
    response_malformed_status_99 => Fails(ResponseMalformed), |_| status_line("HTTP/1.1 99 Odd");
    response_malformed_status_letters => Fails(ResponseMalformed), |_| status_line("HTTP/1.1 OKK 200");
    response_malformed_status_four_digits => Fails(ResponseMalformed), |_| status_line("HTTP/1.1 2000 OK");
    response_malformed_status_missing => Fails(ResponseMalformed), |_| status_line("HTTP/1.1");
    response_malformed_header_without_colon => Fails(ResponseMalformed), |_| head_with("X-Odd value");
    response_malformed_header_name_with_space => Fails(ResponseMalformed), |_| head_with("X-Odd : value");
    response_malformed_header_without_name => Fails(ResponseMalformed), |_| head_with(": value");
    response_malformed_nul_in_header => Fails(ResponseMalformed), |_| head_with("X-Odd: a\0b");
    response_malformed_nul_in_header_name => Fails(ResponseMalformed), |_| head_with("X-O\0d: value");
    response_malformed_two_content_lengths => Fails(ResponseMalformed), |_| {
        head_with("Content-Length: 2\r\nContent-Length: 3")
    };
    response_malformed_content_length_list => Fails(ResponseMalformed), |_| head_with("Content-Length: 2, 3");
    response_malformed_content_length_and_transfer_encoding => Fails(ResponseMalformed), |_| {
        plain(answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
    };
    response_malformed_content_length_no_number => Fails(ResponseMalformed), |_| head_with("Content-Length: two");
    response_malformed_content_length_negative => Fails(ResponseMalformed), |_| head_with("Content-Length: -2");
    response_malformed_content_length_plus => Fails(ResponseMalformed), |_| head_with("Content-Length: +2");
    response_malformed_content_length_beyond_64_bits => Fails(ResponseMalformed), |_| {
        head_with("Content-Length: 99999999999999999999")
    };
    response_malformed_chunk_size => Fails(ResponseMalformed), |_| plain(answers(chunked("xyz\r\nok\r\n0\r\n\r\n")));
    response_malformed_chunk_size_empty => Fails(ResponseMalformed), |_| plain(answers(chunked("\r\nok\r\n0\r\n\r\n")));
    response_malformed_chunk_size_beyond_64_bits => Fails(ResponseMalformed), |_| {
        plain(answers(chunked("fffffffffffffffff\r\nok\r\n0\r\n\r\n")))
    };
    response_malformed_chunk_longer_than_its_size => Fails(ResponseMalformed), |_| {
        plain(answers(chunked("2\r\nokay\r\n0\r\n\r\n")))
    };
    response_malformed_chunk_size_over_tls => Fails(ResponseMalformed), |stage| {
        tls(stage, answers(chunked("xyz\r\nok\r\n0\r\n\r\n")))
    };

    response_header_too_large_1_mib => Fails(ResponseHeaderTooLarge), |_| {
        plain(answers(large_head(100, 1024 * 1024)))
    };
    response_header_too_large_one_line => Fails(ResponseHeaderTooLarge), |_| plain(answers(large_head(1, 300 * 1024)));
    response_header_too_large_endless_headers => Fails(ResponseHeaderTooLarge), |_| {
        plain(endless(b"HTTP/1.1 200 OK\r\n", b"X-Filler: again and again\r\n"))
    };
    response_header_too_large_endless_line => Fails(ResponseHeaderTooLarge), |_| {
        plain(endless(b"HTTP/1.1 200 OK\r\nX-Filler: ", b"again and again "))
    };
    response_header_too_large_by_configuration => Fails(ResponseHeaderTooLarge), |_| {
        let address = serve(answers(large_head(10, 8 * 1024)));
        Some(Setup::origin(json!({ "url": format!("http://{address}/"), "max_head": "4KiB" })))
    };

    response_truncated_shorter_than_announced => Fails(ResponseTruncated), |_| plain(ends(SHORT, Finish));
    response_truncated_without_any_body => Fails(ResponseTruncated), |_| {
        plain(ends("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", Finish))
    };
    response_truncated_over_tls_with_close_notify => Fails(ResponseTruncated), |stage| tls(stage, ends(SHORT, Finish));
    response_truncated_over_tls_without_close_notify => Fails(ResponseTruncated), |stage| tls(stage, ends(SHORT, Cut));
    response_truncated_last_chunk_missing => Fails(ResponseTruncated), |_| plain(ends(chunked("2\r\nok\r\n"), Finish));
    response_truncated_last_chunk_missing_over_tls_with_close_notify => Fails(ResponseTruncated), |stage| {
        tls(stage, ends(chunked("2\r\nok\r\n"), Finish))
    };
    response_truncated_last_chunk_missing_over_tls_without_close_notify => Fails(ResponseTruncated), |stage| {
        tls(stage, ends(chunked("2\r\nok\r\n"), Cut))
    };
    response_truncated_closed_in_chunk => Fails(ResponseTruncated), |_| plain(ends(chunked("ff\r\nok"), Finish));
    response_truncated_closed_in_chunk_size => Fails(ResponseTruncated), |_| plain(ends(chunked("f"), Finish));
    response_truncated_closed_before_the_last_empty_line => Fails(ResponseTruncated), |_| {
        plain(ends(chunked("2\r\nok\r\n0\r\n"), Finish))
    };
    response_truncated_reset_in_body => Fails(ResponseTruncated), |_| plain(ends(SHORT, Reset));
    response_truncated_reset_in_body_over_tls => Fails(ResponseTruncated), |stage| tls(stage, ends(SHORT, Reset));
    response_truncated_reset_in_close_delimited_body => Fails(ResponseTruncated), |_| {
        plain(ends("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf", Reset))
    };

    response_timeout_silence_after_accept => Fails(ResponseTimeout), |_| Some(plain(leaves(Stall))?.stalls());
    response_timeout_silence_after_request => Fails(ResponseTimeout), |_| Some(plain(ends("", Stall))?.stalls());
    response_timeout_silence_over_tls => Fails(ResponseTimeout), |stage| Some(tls(stage, ends("", Stall))?.stalls());
    response_timeout_stall_in_head => Fails(ResponseTimeout), |_| Some(plain(ends(HALF_HEAD, Stall))?.stalls());
    response_timeout_stall_after_early_hints => Fails(ResponseTimeout), |_| {
        Some(plain(ends("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", Stall))?.stalls())
    };
    response_timeout_one_byte_per_second => Fails(ResponseTimeout), |_| Some(plain(drips())?.stalls());

    response_body_timeout_after_head => Fails(ResponseBodyTimeout), |_| {
        Some(plain(ends("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", Stall))?.stalls())
    };
    response_body_timeout_in_body => Fails(ResponseBodyTimeout), |_| Some(plain(ends(SHORT, Stall))?.stalls());
    response_body_timeout_before_last_chunk => Fails(ResponseBodyTimeout), |_| {
        Some(plain(ends(chunked("2\r\nok\r\n"), Stall))?.stalls())
    };
    response_body_timeout_close_delimited => Fails(ResponseBodyTimeout), |_| {
        Some(plain(ends("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf", Stall))?.stalls())
    };
    response_body_timeout_over_tls => Fails(ResponseBodyTimeout), |stage| {
        Some(tls(stage, ends(SHORT, Stall))?.stalls())
    };
}
