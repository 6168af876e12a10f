//! Whom we trust, our own certificate, and whether a chain verifies.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};
use webpki::EndEntityCert;

use crate::crypto::provider;
use crate::observation::CertificateProblem;
use crate::probe::tls::{PolicyError, certificate, staple};
use crate::upstream::{ClientCertificate, TlsPolicy};

/// A set of roots, ready to verify with.
#[derive(Debug)]
pub struct Trust {
    /// `None` where there is no root at all and the policy does not ask for a valid certificate.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    /// The roots themselves, to find the issuer of a stapled answer.
    roots: Vec<CertificateDer<'static>>,
    /// Configured certificates a peer may present as its own: a self-signed one is trusted by naming it.
    pinned: Vec<CertificateDer<'static>>,
}

/// What makes two policies share their roots.
type Key = (Option<Bytes>, bool);

/// The roots of this policy, shared with every other client that trusts the same: one set is some 300 KiB.
pub fn shared(policy: &TlsPolicy) -> Result<Arc<Trust>, PolicyError> {
    static KNOWN: Mutex<Vec<(Key, Weak<Trust>)>> = Mutex::new(Vec::new());
    let key = (policy.ca.clone(), policy.ca_only);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(_, trust)| trust.strong_count() > 0);
    let trust = match known
        .iter()
        .find(|(other, _)| *other == key)
        .and_then(|(_, trust)| trust.upgrade())
    {
        Some(trust) => trust,
        None => {
            let trust = Arc::new(load(policy)?);
            known.push((key, Arc::downgrade(&trust)));
            trust
        }
    };
    if policy.verify && trust.verifier.is_none() {
        let message = "this host has no CA certificates; install ca-certificates or set tls.ca_file";
        return Err(PolicyError(message.into()));
    }
    Ok(trust)
}

fn load(policy: &TlsPolicy) -> Result<Trust, PolicyError> {
    let mut roots = if policy.ca_only {
        Vec::new()
    } else {
        rustls_native_certs::load_native_certs().certs
    };
    let pinned = policy.ca.as_deref().map(certificates).transpose()?.unwrap_or_default();
    roots.extend(pinned.iter().cloned());
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let verifier = match store.is_empty() {
        true => None,
        false => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
                .build()
                .map_err(|error| PolicyError(error.to_string()))?,
        ),
    };
    Ok(Trust {
        verifier,
        roots,
        pinned,
    })
}

/// The certificates of a PEM text; none is an error.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PolicyError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(PolicyError("no certificate in PEM form".into())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(PolicyError(format!("no valid PEM: {error}"))),
    }
}

/// Our certificate and key, ready to sign with.
pub fn client_key(client: &ClientCertificate) -> Result<Arc<CertifiedKey>, PolicyError> {
    let chain = certificates(&client.chain)?;
    let key = PrivateKeyDer::from_pem_slice(client.key.reveal().as_bytes())
        .map_err(|_| PolicyError("the key is no private key in PEM form".into()))?;
    let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| PolicyError(error.to_string()))?;
    Ok(Arc::new(key))
}

impl Trust {
    /// Verifies chain, dates, name and a stapled revocation. `Err` holds the problem and the library's words.
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<(), (CertificateProblem, String)> {
        match self.pinned.iter().any(|pinned| pinned == leaf) {
            true => verify_pinned(leaf, name, now)?,
            false => self.verify_chain(leaf, intermediates, name, now)?,
        }
        if !stapled.is_empty() && staple::revokes(stapled, leaf, intermediates, &self.roots) {
            return Err((
                CertificateProblem::Revoked,
                "the stapled answer of the issuer says revoked".into(),
            ));
        }
        Ok(())
    }

    fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), (CertificateProblem, String)> {
        let Some(verifier) = &self.verifier else { return Ok(()) };
        match verifier.verify_server_cert(leaf, intermediates, name, &[], now) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => Err((problem_of(&error), error.to_string())),
            Err(error) => Err((CertificateProblem::Untrusted, error.to_string())),
        }
    }
}

/// A self-signed certificate that the operator named: only its dates and names are left to check.
fn verify_pinned(
    leaf: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), (CertificateProblem, String)> {
    let facts = certificate::facts_of(std::slice::from_ref(leaf));
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    match facts.certificates.first() {
        Some(facts) if facts.not_after < now => return Err((CertificateProblem::Expired, "expired".into())),
        Some(facts) if facts.not_before > now => return Err((CertificateProblem::NotYetValid, "not valid yet".into())),
        _ => {}
    }
    EndEntityCert::try_from(leaf)
        .and_then(|leaf| leaf.verify_is_valid_for_subject_name(name))
        .map_err(|error| (CertificateProblem::NameMismatch, error.to_string()))
}

fn problem_of(error: &CertificateError) -> CertificateProblem {
    use CertificateError as Error;
    match error {
        Error::Expired | Error::ExpiredContext { .. } => CertificateProblem::Expired,
        Error::NotValidYet | Error::NotValidYetContext { .. } => CertificateProblem::NotYetValid,
        Error::NotValidForName | Error::NotValidForNameContext { .. } => CertificateProblem::NameMismatch,
        Error::Revoked => CertificateProblem::Revoked,
        _ => CertificateProblem::Untrusted,
    }
}
