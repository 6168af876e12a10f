//! Revocation as a peer staples it to its handshake: an OCSP response (RFC 6960), signed by the issuer or its delegate.
//!
//! Only a response whose signature holds can revoke; anything else is left unsaid.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::ID_KP_OCSP_SIGNING;
use der::asn1::BitString;
use der::{Decode, Encode};
use rustls::pki_types::CertificateDer;
use spki::AlgorithmIdentifierOwned;
use webpki::EndEntityCert;
use x509_cert::Certificate;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspResponse};

use crate::crypto::provider;
use crate::probe::tls::certificate;

/// A basic response, the only kind in use (RFC 6960, 4.2.1).
const ID_PKIX_OCSP_BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// True when this stapled response says, with a valid signature of the leaf's issuer, that the leaf is revoked.
pub fn revokes(
    stapled: &[u8],
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &[CertificateDer<'static>],
) -> bool {
    says_revoked(stapled, leaf, intermediates, roots).unwrap_or(false)
}

fn says_revoked(
    stapled: &[u8],
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &[CertificateDer<'static>],
) -> Option<bool> {
    let bytes = OcspResponse::from_der(stapled).ok()?.response_bytes?;
    if bytes.response_type != ID_PKIX_OCSP_BASIC {
        return Some(false);
    }
    let response = BasicOcspResponse::from_der(bytes.response.as_bytes()).ok()?;
    let leaf = Certificate::from_der(leaf).ok()?;
    let serial = &leaf.tbs_certificate.serial_number;
    let revoked =
        response.tbs_response_data.responses.iter().any(|single| {
            single.cert_id.serial_number == *serial && matches!(single.cert_status, CertStatus::Revoked(_))
        });
    if !revoked {
        return Some(false);
    }
    let issuers = intermediates
        .iter()
        .chain(roots)
        .filter(|candidate| is_issuer_of(candidate, &leaf));
    Some(issuers.into_iter().any(|issuer| signed_for(&response, issuer)))
}

fn is_issuer_of(candidate: &CertificateDer<'_>, leaf: &Certificate) -> bool {
    Certificate::from_der(candidate)
        .is_ok_and(|candidate| candidate.tbs_certificate.subject == leaf.tbs_certificate.issuer)
}

/// The response is signed by the issuer itself, or by a certificate it issued for that purpose (RFC 6960, 4.2.2.2).
fn signed_for(response: &BasicOcspResponse, issuer: &CertificateDer<'_>) -> bool {
    let Ok(message) = response.tbs_response_data.to_der() else {
        return false;
    };
    let holds =
        |signer: &CertificateDer<'_>| verifies(signer, &response.signature_algorithm, &message, &response.signature);
    holds(issuer) || delegates(response, issuer).iter().any(holds)
}

fn delegates(response: &BasicOcspResponse, issuer: &CertificateDer<'_>) -> Vec<CertificateDer<'static>> {
    let certificates = response.certs.iter().flatten();
    certificates
        .filter_map(|certificate| certificate.to_der().ok())
        .filter(|der| {
            certificate::signed(der).is_some_and(|signed| {
                may_sign_responses(&signed.certificate)
                    && verifies(
                        issuer,
                        &signed.certificate.signature_algorithm,
                        &signed.body,
                        &signed.certificate.signature,
                    )
            })
        })
        .map(CertificateDer::from)
        .collect()
}

fn may_sign_responses(certificate: &Certificate) -> bool {
    let usage: Option<(bool, ExtendedKeyUsage)> = certificate.tbs_certificate.get().ok().flatten();
    usage.is_some_and(|(_, usage)| usage.0.contains(&ID_KP_OCSP_SIGNING))
}

fn verifies(
    signer: &CertificateDer<'_>,
    algorithm: &AlgorithmIdentifierOwned,
    message: &[u8],
    signature: &BitString,
) -> bool {
    let (Ok(signer), Some(signature)) = (EndEntityCert::try_from(signer), signature.as_bytes()) else {
        return false;
    };
    let Ok(wanted) = algorithm.to_der() else { return false };
    provider()
        .signature_verification_algorithms
        .all
        .iter()
        .filter(|known| contents(&wanted) == Some(known.signature_alg_id().as_ref()))
        .any(|known| signer.verify_signature(*known, message, signature).is_ok())
}

/// The library names algorithms by the contents of their SEQUENCE.
fn contents(sequence: &[u8]) -> Option<&[u8]> {
    match sequence {
        [0x30, length, contents @ ..] if usize::from(*length) == contents.len() => Some(contents),
        _ => None,
    }
}
