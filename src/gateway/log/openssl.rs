//! What OpenSSL says of a handshake with a backend that failed, in the words that gateways copy into their logs.
//!
//! Source: OpenSSL, `ssl/ssl_err.c` and `ssl/ssl_stat.c`. An alert is named by its number or by its words, whichever the
//! gateway writes.

use crate::cause::Cause;
use crate::exchange::Reason;

/// A certificate that does not verify, where the reason is not told.
pub(in crate::gateway) const UNVERIFIED: &[Cause] = &[
    Cause::TlsCertificateExpired,
    Cause::TlsCertificateNotYetValid,
    Cause::TlsCertificateUntrusted,
    Cause::TlsCertificateRevoked,
];

/// A text, and what it means.
const TEXTS: &[(&str, Reason)] = &[
    (
        "certificate verify failed",
        Reason::one_of(Cause::TlsFailed, UNVERIFIED),
    ),
    ("wrong version number", Reason::exact(Cause::TlsNotTls)),
    ("packet length too long", Reason::exact(Cause::TlsNotTls)),
    ("record layer failure", Reason::open(Cause::TlsFailed)),
    (":http request", Reason::exact(Cause::TlsNotTls)),
    (":https proxy request", Reason::exact(Cause::TlsNotTls)),
    ("unexpected eof while reading", Reason::exact(Cause::TlsClosed)),
    (
        "alert certificate required",
        Reason::exact(Cause::TlsClientCertificateRequired),
    ),
    (
        "alert bad certificate",
        Reason::exact(Cause::TlsClientCertificateRequired),
    ),
    ("alert unknown ca", Reason::exact(Cause::TlsClientCertificateRequired)),
    (
        "alert certificate expired",
        Reason::exact(Cause::TlsClientCertificateRequired),
    ),
    (
        "alert certificate revoked",
        Reason::exact(Cause::TlsClientCertificateRequired),
    ),
    (
        "alert certificate unknown",
        Reason::exact(Cause::TlsClientCertificateRequired),
    ),
    (
        "alert unsupported certificate",
        Reason::exact(Cause::TlsClientCertificateRequired),
    ),
    (" alert ", Reason::exact(Cause::TlsProtocol)),
    ("unsupported protocol", Reason::exact(Cause::TlsProtocol)),
    ("no protocols available", Reason::exact(Cause::TlsProtocol)),
    ("wrong ssl version", Reason::exact(Cause::TlsProtocol)),
    ("wrong signature type", Reason::exact(Cause::TlsProtocol)),
    ("dh key too small", Reason::exact(Cause::TlsProtocol)),
    (
        "unsafe legacy renegotiation disabled",
        Reason::exact(Cause::TlsProtocol),
    ),
];

/// What an error text means; the phase alone where it is none of those known, `None` for no text.
pub(in crate::gateway) fn reason(text: &[u8]) -> Option<Reason> {
    if text.is_empty() || text == b"-" {
        return None;
    }
    let known = TEXTS.iter().find(|(words, _)| super::text::has(text, words));
    Some(known.map_or(Reason::open(Cause::TlsFailed), |(_, reason)| *reason))
}

/// What the number of `X509_V_ERR_…` means. Source: OpenSSL, `include/openssl/x509_vfy.h.in`.
pub(in crate::gateway) fn verify_error(number: &[u8]) -> Cause {
    match number {
        b"10" => Cause::TlsCertificateExpired,
        b"9" => Cause::TlsCertificateNotYetValid,
        b"23" => Cause::TlsCertificateRevoked,
        b"62" | b"63" | b"64" => Cause::TlsCertificateNameMismatch,
        _ => Cause::TlsCertificateUntrusted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_their_causes() {
        for (text, cause) in [
            (
                "error:0A000086:SSL routines::certificate verify failed",
                Cause::TlsFailed,
            ),
            (
                "error:0A00042E:SSL routines::tlsv1 alert protocol version",
                Cause::TlsProtocol,
            ),
            (
                "error:0A000410:SSL routines::sslv3 alert handshake failure",
                Cause::TlsProtocol,
            ),
            ("error:0A00010B:SSL routines::wrong version number", Cause::TlsNotTls),
            ("error:0A00009C:SSL routines::http request", Cause::TlsNotTls),
            (
                "error:0A00045C:SSL routines::tlsv13 alert certificate required",
                Cause::TlsClientCertificateRequired,
            ),
            (
                "error:0A000126:SSL routines::unexpected eof while reading",
                Cause::TlsClosed,
            ),
            ("error:0A0000C7:SSL routines::something new", Cause::TlsFailed),
        ] {
            assert_eq!(
                reason(text.as_bytes()).map(|reason| reason.cause),
                Some(cause),
                "{text}"
            );
        }
        assert_eq!(reason(b""), None);
        assert_eq!(reason(b"-"), None);
        assert_eq!(verify_error(b"10"), Cause::TlsCertificateExpired);
        assert_eq!(verify_error(b"20"), Cause::TlsCertificateUntrusted);
    }
}
