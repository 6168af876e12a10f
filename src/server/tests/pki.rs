//! A directory with certificates, keys and a web configuration, and clients for it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::crypto::provider;

/// Holds `server.crt`, `server.key`, `other.key`, and `ca.pem` with the authority of all certificates.
pub(in crate::server) struct Folder {
    directory: TempDir,
    ca: Issuer<'static, KeyPair>,
    roots: RootCertStore,
}

/// A client's certificate and key.
pub(in crate::server) type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Folder {
    pub(in crate::server) fn new() -> Folder {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let folder = Folder {
            directory: tempfile::tempdir().unwrap(),
            ca: Issuer::new(params, key),
            roots,
        };
        folder.write("ca.pem", &certificate.pem());
        folder.write("other.key", &KeyPair::generate().unwrap().serialize_pem());
        folder.renew();
        folder
    }

    /// A new server certificate in the place of the old one.
    pub(in crate::server) fn renew(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        self.write("server.crt", &certificate.pem());
        self.write("server.key", &key.serialize_pem());
        certificate.der().clone()
    }

    pub(in crate::server) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(in crate::server) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A client's certificate of the authority.
    pub(in crate::server) fn client(&self, names: Vec<SanType>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = client_params(names).signed_by(&key, &self.ca).unwrap();
        (
            certificate.der().clone(),
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
    }

    /// What a client needs that trusts the authority.
    pub(in crate::server) fn trusting(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone());
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(vec![chain.clone()], key.clone_key())
                .unwrap(),
        })
    }
}

/// A client's certificate that nobody but itself vouches for, as `openssl req -x509` makes it; and as PEM.
pub(in crate::server) fn self_signed(names: Vec<SanType>) -> (Identity, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = client_params(names);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let identity = (
        certificate.der().clone(),
        PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    );
    (identity, certificate.pem())
}

fn client_params(names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}
