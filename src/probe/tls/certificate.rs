//! What certificates say: names, dates, serial numbers.

use std::net::IpAddr;

use der::{Decode, Encode};
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::observation::{CertificateFacts, ChainFacts};

/// Certificates read of one chain; a longer one is a peer's mischief.
const MAX_CHAIN: usize = 10;
/// Names kept of one certificate.
const MAX_NAMES: usize = 100;

/// Reads a chain, leaf first. Certificates that cannot be read are left out.
pub fn facts_of(chain: &[CertificateDer<'_>]) -> ChainFacts {
    let read = |der: &CertificateDer<'_>| Certificate::from_der(der).ok().map(|certificate| facts(&certificate));
    ChainFacts {
        certificates: chain.iter().take(MAX_CHAIN).filter_map(read).collect(),
    }
}

fn facts(certificate: &Certificate) -> CertificateFacts {
    let body = &certificate.tbs_certificate;
    let seconds = |time: &x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    CertificateFacts {
        subject: body.subject.to_string(),
        issuer: body.issuer.to_string(),
        names: names(certificate),
        not_before: seconds(&body.validity.not_before),
        not_after: seconds(&body.validity.not_after),
        serial: body
            .serial_number
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    }
}

fn names(certificate: &Certificate) -> Vec<String> {
    let alternative: Option<(bool, SubjectAltName)> = certificate.tbs_certificate.get().ok().flatten();
    let names = alternative.map(|(_, names)| names.0).unwrap_or_default();
    names.iter().take(MAX_NAMES).filter_map(name_text).collect()
}

fn name_text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            bytes if bytes.len() == 4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
            bytes => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

/// A certificate with the exact bytes its signature is over.
pub struct Signed {
    /// The certificate.
    pub certificate: Certificate,
    /// Its signed part, encoded.
    pub body: Vec<u8>,
}

/// Reads a certificate together with its signed bytes.
pub fn signed(der: &[u8]) -> Option<Signed> {
    let certificate = Certificate::from_der(der).ok()?;
    let body = certificate.tbs_certificate.to_der().ok()?;
    Some(Signed { certificate, body })
}
