//! Which client certificates are accepted.

use std::net::IpAddr;
use std::sync::Arc;

use der::Decode;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What is asked of clients, by the name the format has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// No certificate is asked for.
    NoClientCert,
    /// One is asked for; any one will do, and none.
    RequestClientCert,
    /// Any one will do, also one the client made itself.
    RequireAnyClientCert,
    /// None will do; one that is sent must verify.
    VerifyClientCertIfGiven,
    /// One that verifies.
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// True where a client without certificate is refused.
    pub(super) fn is_required(self) -> bool {
        matches!(
            self,
            ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert
        )
    }

    /// True where a certificate must come from an authority that is trusted.
    pub(super) fn verifies(self) -> bool {
        matches!(
            self,
            ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert
        )
    }
}

/// Judges the certificate of a client:
///
/// 1. Where certificates are verified, it must come from a trusted authority and be valid for clients now, or be one of
///    the trusted certificates itself and valid now.
/// 2. Where names are listed, one of its alternative names must be listed.
#[derive(Debug)]
pub(super) struct Verifier {
    auth: ClientAuth,
    /// `None` where there is nothing to trust.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    trusted: Vec<CertificateDer<'static>>,
    names: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Trusts these authorities, where certificates are verified at all.
    pub(super) fn new(
        auth: ClientAuth,
        trusted: Vec<CertificateDer<'static>>,
        names: Option<Vec<String>>,
        provider: Arc<CryptoProvider>,
    ) -> Verifier {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        Verifier {
            auth,
            // Fails without any root; then no certificate verifies.
            chain: chain.ok(),
            trusted,
            names,
            provider,
        }
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.trusted.contains(certificate) {
            return is_valid_now(certificate, now);
        }
        match &self.chain {
            Some(chain) => chain.verify_client_cert(certificate, intermediates, now).map(drop),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }
}

fn read(certificate: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

fn is_valid_now(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let validity = read(certificate)?.tbs_certificate.validity;
    let now = now.as_secs();
    if now < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// The alternative names of a certificate: host names, addresses, mail addresses and URIs.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, Error> {
    let extension = read(certificate)?.tbs_certificate.get::<SubjectAltName>();
    let names = extension.map_err(|_| Error::from(CertificateError::BadEncoding))?;
    Ok(names
        .map(|(_, names)| names.0.iter().filter_map(name_text).collect())
        .unwrap_or_default())
}

fn name_text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::Rfc822Name(name) => Some(name.as_str().to_owned()),
        GeneralName::UniformResourceIdentifier(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            Some(address.ok()?.to_canonical().to_string())
        }
        _ => None,
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.auth.is_required()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.chain {
            Some(chain) if self.auth.verifies() => chain.root_hint_subjects(),
            _ => &[],
        }
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.auth.verifies() {
            self.verify(certificate, intermediates, now)?;
        }
        if let Some(allowed) = &self.names {
            let names = names(certificate)?;
            if !names.iter().any(|name| allowed.contains(name)) {
                return Err(CertificateError::NotValidForName.into());
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
