//! TLS handshakes that fail, and certificates that do not verify.

use badgateway::cause::Cause::{
    TlsCertificateExpired, TlsCertificateNameMismatch, TlsCertificateNotYetValid, TlsCertificateRevoked,
    TlsCertificateUntrusted, TlsClientCertificateRequired, TlsClosed, TlsNotTls, TlsProtocol, TlsTimeout,
};
use serde_json::json;

use crate::cases;
use crate::support::cases::{Expect::Fails, Setup, Stage};
use crate::support::ocsp::{self, Says};
use crate::support::peers::http1::Ending::{Finish, Reset, Stall};
use crate::support::peers::http1::{OK, answers, greets, leaves, page};
use crate::support::peers::records::{
    ALERT_HANDSHAKE_FAILURE, ALERT_PROTOCOL_VERSION, ALERT_UNRECOGNIZED_NAME, answers_hello, server_hello,
};
use crate::support::peers::tls::{Tls, openssl};
use crate::support::peers::{Behaviour, http2, serve};
use crate::support::pki::{Flaw, NAME};

/// A peer whose handshake is written by hand.
fn raw(behaviour: Behaviour) -> Option<Setup> {
    Some(Setup::origin(
        json!({ "url": format!("https://{}/", serve(behaviour)), "server_name": NAME }),
    ))
}

/// An origin that trusts the test root.
fn trusting(stage: &Stage, address: std::net::SocketAddr) -> Option<Setup> {
    let tls = json!({ "ca_file": stage.pki().ca_file() });
    Some(Setup::origin(
        json!({ "url": format!("https://{address}/"), "server_name": NAME, "tls": tls }),
    ))
}

/// A server that would answer well, with a certificate that has this flaw.
fn certificate(stage: &Stage, flaw: Flaw) -> Option<Setup> {
    trusting(stage, Tls::new(stage.pki().server(flaw)).serve(answers(OK)))
}

/// A server that demands a client certificate; we have none.
fn demanding(stage: &Stage, tls: fn(Tls) -> Tls) -> Option<Setup> {
    let server = Tls::new(stage.pki().server(Flaw::None)).demands_client(stage.pki());
    trusting(stage, tls(server).serve(answers(OK)))
}

/// As [`demanding`]; we have one that the server does not accept.
fn refusing_ours(stage: &Stage, tls: fn(Tls) -> Tls) -> Option<Setup> {
    let pki = stage.pki();
    let (cert, key) = pki.client_files(false);
    let address = tls(Tls::new(pki.server(Flaw::None)).demands_client(pki)).serve(answers(OK));
    let policy = json!({ "ca_file": pki.ca_file(), "cert_file": cert, "key_file": key });
    Some(Setup::origin(
        json!({ "url": format!("https://{address}/"), "server_name": NAME, "tls": policy }),
    ))
}

/// The system's OpenSSL with these arguments.
fn with_openssl(stage: &Stage, arguments: &[&str]) -> Option<Setup> {
    let (address, process) = openssl(stage.pki().server_files(Flaw::None), arguments)?;
    Some(trusting(stage, address)?.keep(process))
}

/// OpenSSL with an old version alone.
fn old(stage: &Stage, version: &str) -> Option<Setup> {
    with_openssl(stage, &[version, "-cipher", "DEFAULT@SECLEVEL=0"])
}

const HTTP_400: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

cases! {
    tls_timeout_silence => Fails(TlsTimeout), |_| Some(raw(leaves(Stall))?.stalls());
    tls_timeout_in_server_hello => Fails(TlsTimeout), |_| {
        Some(raw(answers_hello(&[0x16, 0x03, 0x03, 0x40, 0x00, 0x02][..], Stall))?.stalls())
    };

    tls_closed_right_after_accept => Fails(TlsClosed), |_| raw(leaves(Finish));
    tls_closed_reset_right_after_accept => Fails(TlsClosed), |_| raw(leaves(Reset));
    tls_closed_after_client_hello => Fails(TlsClosed), |_| raw(answers_hello("", Finish));
    tls_closed_reset_after_client_hello => Fails(TlsClosed), |_| raw(answers_hello("", Reset));
    tls_closed_in_server_hello => Fails(TlsClosed), |_| {
        raw(answers_hello(&[0x16, 0x03, 0x03, 0x40, 0x00, 0x02][..], Finish))
    };

    tls_not_tls_http => Fails(TlsNotTls), |_| raw(answers_hello(HTTP_400, Finish));
    /// The server resets after its answer, as one does that closes with bytes unread.
    tls_not_tls_http_then_reset => Fails(TlsNotTls), |_| raw(answers_hello(HTTP_400, Reset));
    tls_not_tls_http_that_stays_open => Fails(TlsNotTls), |_| raw(answers_hello(HTTP_400, Stall));
    tls_not_tls_ssh_banner => Fails(TlsNotTls), |_| raw(greets("SSH-2.0-OpenSSH_9.2p1\r\n"));
    tls_not_tls_smtp_banner => Fails(TlsNotTls), |_| raw(greets("220 mail.test ESMTP Postfix\r\n"));

    tls_protocol_1_0_only => Fails(TlsProtocol), |stage| old(stage, "-tls1");
    tls_protocol_1_1_only => Fails(TlsProtocol), |stage| old(stage, "-tls1_1");
    /// As old servers do: they answer with the version they know.
    tls_protocol_server_hello_1_0 => Fails(TlsProtocol), |_| raw(answers_hello(server_hello(1), Finish));
    tls_protocol_server_hello_1_1 => Fails(TlsProtocol), |_| raw(answers_hello(server_hello(2), Finish));
    tls_protocol_version_alert => Fails(TlsProtocol), |_| raw(answers_hello(ALERT_PROTOCOL_VERSION, Finish));
    tls_protocol_no_common_cipher => Fails(TlsProtocol), |stage| {
        with_openssl(stage, &["-tls1_2", "-cipher", "ECDHE-ECDSA-NULL-SHA@SECLEVEL=0"])
    };
    tls_protocol_handshake_failure_alert => Fails(TlsProtocol), |_| raw(answers_hello(ALERT_HANDSHAKE_FAILURE, Finish));
    tls_protocol_unrecognized_name_alert => Fails(TlsProtocol), |_| raw(answers_hello(ALERT_UNRECOGNIZED_NAME, Finish));
    tls_protocol_only_1_2_where_1_3_is_the_minimum => Fails(TlsProtocol), |stage| {
        let pki = stage.pki();
        let address = Tls::new(pki.server(Flaw::None)).only_12().serve(answers(OK));
        let tls = json!({ "ca_file": pki.ca_file(), "min_version": "1.3" });
        Some(Setup::origin(json!({ "url": format!("https://{address}/"), "server_name": NAME, "tls": tls })))
    };
    tls_protocol_no_common_application_protocol => Fails(TlsProtocol), |stage| {
        let pki = stage.pki();
        let server = Tls::new(pki.server(Flaw::None)).speaks("x-odd");
        let url = format!("https://{}/", server.serve(http2::responds("200", b"ok")));
        let tls = json!({ "ca_file": pki.ca_file() });
        Some(Setup::origin(json!({ "url": url, "server_name": NAME, "tls": tls, "http_version": 2 })))
    };

    tls_certificate_expired => Fails(TlsCertificateExpired), |stage| certificate(stage, Flaw::Expired);
    tls_certificate_expired_intermediate => Fails(TlsCertificateExpired), |stage| {
        certificate(stage, Flaw::ExpiredIntermediate)
    };
    tls_certificate_not_yet_valid => Fails(TlsCertificateNotYetValid), |stage| certificate(stage, Flaw::NotYetValid);
    tls_certificate_name_mismatch => Fails(TlsCertificateNameMismatch), |stage| certificate(stage, Flaw::WrongName);
    tls_certificate_name_mismatch_of_an_address => Fails(TlsCertificateNameMismatch), |stage| {
        let pki = stage.pki();
        let address = Tls::new(pki.server_named(Flaw::None, "127.0.0.2")).serve(answers(OK));
        let tls = json!({ "ca_file": pki.ca_file() });
        Some(Setup::origin(json!({ "url": format!("https://{address}/"), "tls": tls })))
    };
    tls_certificate_untrusted_self_signed => Fails(TlsCertificateUntrusted), |stage| {
        certificate(stage, Flaw::SelfSigned)
    };
    tls_certificate_untrusted_unknown_issuer => Fails(TlsCertificateUntrusted), |stage| {
        certificate(stage, Flaw::UnknownIssuer)
    };
    tls_certificate_untrusted_missing_intermediate => Fails(TlsCertificateUntrusted), |stage| {
        certificate(stage, Flaw::MissingIntermediate)
    };
    tls_certificate_untrusted_without_our_ca => Fails(TlsCertificateUntrusted), |stage| {
        let address = Tls::new(stage.pki().server(Flaw::None)).serve(answers(OK));
        Some(Setup::origin(json!({ "url": format!("https://{address}/"), "server_name": NAME })))
    };
    tls_certificate_revoked_by_staple => Fails(TlsCertificateRevoked), |stage| {
        let pki = stage.pki();
        let identity = pki.server(Flaw::None);
        let staple = ocsp::answer(Says::Revoked, &identity.serial, &pki.intermediate, &pki.intermediate);
        trusting(stage, Tls::new(identity).staple(staple).serve(answers(OK)))
    };
    tls_certificate_revoked_by_staple_in_1_2 => Fails(TlsCertificateRevoked), |stage| {
        let pki = stage.pki();
        let identity = pki.server(Flaw::None);
        let staple = ocsp::answer(Says::Revoked, &identity.serial, &pki.intermediate, &pki.intermediate);
        trusting(stage, Tls::new(identity).only_12().staple(staple).serve(answers(OK)))
    };

    tls_client_certificate_required_in_1_2 => Fails(TlsClientCertificateRequired), |stage| {
        demanding(stage, Tls::only_12)
    };
    /// The client has finished its handshake before the server refuses.
    tls_client_certificate_required_in_1_3 => Fails(TlsClientCertificateRequired), |stage| {
        demanding(stage, Tls::only_13)
    };
    tls_client_certificate_required_by_openssl_1_2 => Fails(TlsClientCertificateRequired), |stage| {
        with_openssl(stage, &["-tls1_2", "-Verify", "3", "-CAfile", &stage.pki().ca_file()])
    };
    tls_client_certificate_required_by_openssl_1_3 => Fails(TlsClientCertificateRequired), |stage| {
        with_openssl(stage, &["-tls1_3", "-Verify", "3", "-CAfile", &stage.pki().ca_file()])
    };
    tls_client_certificate_required_other_than_ours_in_1_2 => Fails(TlsClientCertificateRequired), |stage| {
        refusing_ours(stage, Tls::only_12)
    };
    tls_client_certificate_required_other_than_ours_in_1_3 => Fails(TlsClientCertificateRequired), |stage| {
        refusing_ours(stage, Tls::only_13)
    };
    /// The refusal arrives where the answer is expected, so HTTP/2 must know it too.
    tls_client_certificate_required_in_1_3_over_h2 => Fails(TlsClientCertificateRequired), |stage| {
        let pki = stage.pki();
        let server = Tls::new(pki.server(Flaw::None)).demands_client(pki).only_13().speaks("h2");
        let url = format!("https://{}/", server.serve(answers(page(""))));
        let tls = json!({ "ca_file": pki.ca_file() });
        Some(Setup::origin(json!({ "url": url, "server_name": NAME, "tls": tls, "http_version": 2 })))
    };
}

/// Who has to renew it wants to know since when, so the dates are there although the handshake failed.
#[test]
fn the_expiry_of_a_certificate_that_does_not_verify_is_known() {
    let metrics = GROUP
        .check("tls_certificate_expired")
        .expect("needs nothing of the system");
    let expiry = metrics.sum("tls_certificate_expiry_timestamp_seconds", &[("hop", "origin")]);
    // 2024-06-01, as the certificate says.
    assert_eq!(expiry, 1_717_200_000.0, "{}", metrics.show("tls"));
}
