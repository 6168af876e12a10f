//! `tls_server_config`: from the keys of the section to what a handshake needs.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::config::reader::{Cursor, Fields, listed};
use crate::crypto::provider;

use super::client::{ClientAuth, Verifier};
use super::parse::Remarks;
use super::suites::{self, Version};

/// What a handshake needs, and what it proves.
pub(in crate::server) struct Tls {
    /// For each handshake.
    pub(in crate::server) config: Arc<ServerConfig>,
    /// True where no client comes in without a certificate.
    pub(super) demands_certificate: bool,
    /// True where that certificate says who the client is: it was issued by an authority of the operator's choice, or
    /// one of the names of the operator's choice is in it. One that anybody could make or buy proves nothing.
    pub(in crate::server) knows_callers: bool,
}

/// A value given as text, or by the name of a file.
struct Given<'a> {
    cursor: Cursor<'a>,
    /// `None` once a problem is reported.
    content: Option<Vec<u8>>,
}

/// Who may connect.
struct Clients {
    auth: ClientAuth,
    /// `None` where the operator names none.
    authorities: Option<Vec<CertificateDer<'static>>>,
    /// Alternative names of which a certificate must have one.
    names: Option<Vec<String>>,
}

/// How a session is made.
struct Session {
    crypto: CryptoProvider,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// The order of our cipher suites decides, not the client's.
    server_order: bool,
}

/// Reads the section; `None` when nothing is written in it, or once what is wrong is reported.
pub(super) fn read(cursor: &Cursor<'_>, remarks: &Remarks) -> Option<Tls> {
    let mut fields = cursor.fields()?;
    let key = certified_key(&mut fields, remarks);
    let clients = clients(&mut fields, remarks);
    let session = session(&mut fields, remarks);
    fields.finish();
    if cursor.entries().iter().all(|(_, value)| value.is_blank()) {
        return None;
    }
    if let Err(missing) = &key {
        missing.iter().for_each(|message| cursor.problem(*message));
    }
    if !cursor.cx().is_clean() {
        return None;
    }
    if clients.auth.verifies() && clients.authorities.is_none() {
        let message = "there is no client_ca_file, so certificates of every public authority are accepted";
        remarks.note(&cursor.place(), message);
    }
    build(key.ok()??, clients, session)
        .map_err(|error| cursor.problem(error.to_string()))
        .ok()
}

fn build(key: CertifiedKey, clients: Clients, session: Session) -> Result<Tls, rustls::Error> {
    let crypto = Arc::new(session.crypto);
    let verified = clients.auth == ClientAuth::RequireAndVerifyClientCert;
    let knows_callers = verified && (clients.authorities.is_some() || clients.names.is_some());
    let builder = ServerConfig::builder_with_provider(crypto.clone()).with_protocol_versions(&session.versions)?;
    let builder = match clients.auth {
        ClientAuth::NoClientCert => builder.with_no_client_auth(),
        auth => {
            let authorities = match clients.authorities {
                Some(authorities) => authorities,
                None if auth.verifies() => rustls_native_certs::load_native_certs().certs,
                None => Vec::new(),
            };
            let verifier = Verifier::new(auth, authorities, clients.names, crypto);
            builder.with_client_cert_verifier(Arc::new(verifier))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = session.server_order;
    // A resumed session would not look at the client's certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Tls {
        config: Arc::new(config),
        demands_certificate: clients.auth.is_required(),
        knows_callers,
    })
}

/// A value that is neither missing nor empty.
fn written<'a>(fields: &mut Fields<'a>, key: &'static str) -> Option<Cursor<'a>> {
    fields.get(key).filter(|value| !value.is_blank())
}

/// As in the Go implementation a file goes before a text.
fn given<'a>(fields: &mut Fields<'a>, file: &'static str, text: &'static str, remarks: &Remarks) -> Option<Given<'a>> {
    match (written(fields, file), written(fields, text)) {
        (Some(cursor), _) => Some(Given {
            content: remarks.content(&cursor),
            cursor,
        }),
        (None, Some(cursor)) => Some(Given {
            content: cursor.text().map(|text| text.value.into_bytes()),
            cursor,
        }),
        (None, None) => None,
    }
}

/// Certificate and key, `Ok(None)` once a problem is reported; or what is missing.
fn certified_key(fields: &mut Fields<'_>, remarks: &Remarks) -> Result<Option<CertifiedKey>, Vec<&'static str>> {
    let chain = given(fields, "cert_file", "cert", remarks);
    let key = given(fields, "key_file", "key", remarks);
    let (chain, key) = match (chain, key) {
        (Some(chain), Some(key)) => (chain, key),
        (chain, key) => {
            let certificate = "the certificate is missing; write cert_file: server.crt";
            let private = "the key is missing; write key_file: server.key";
            let missing = [(chain.is_none(), certificate), (key.is_none(), private)];
            return Err(missing
                .into_iter()
                .filter(|(missing, _)| *missing)
                .map(|(_, message)| message)
                .collect());
        }
    };
    let certificates = certificates(&chain);
    let private = key.content.as_deref().and_then(|pem| {
        let found = PrivateKeyDer::from_pem_slice(pem);
        let message = "holds no private key in PEM (-----BEGIN PRIVATE KEY-----, not encrypted)";
        found.map_err(|_| key.cursor.problem(message)).ok()
    });
    let (Some(certificates), Some(private)) = (certificates, private) else {
        return Ok(None);
    };
    let certified = CertifiedKey::from_der(certificates, private, &provider());
    Ok(certified
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => key.cursor.problem("does not belong to the certificate"),
            error => key.cursor.problem(format!("cannot be used: {error}")),
        })
        .ok())
}

/// The certificates of a PEM text, at least one.
fn certificates(given: &Given<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(given.content.as_deref()?).collect();
    match found {
        Ok(found) if !found.is_empty() => return Some(found),
        Ok(_) => given
            .cursor
            .problem("holds no certificate (-----BEGIN CERTIFICATE-----)"),
        Err(_) => given.cursor.problem("is not valid PEM"),
    }
    None
}

fn clients(fields: &mut Fields<'_>, remarks: &Remarks) -> Clients {
    let authorities = given(fields, "client_ca_file", "client_ca", remarks);
    let auth = written(fields, "client_auth_type");
    let names = fields.get("client_allowed_sans");
    let asked = auth.as_ref().map(client_auth);
    if matches!(asked, None | Some(Some(ClientAuth::NoClientCert))) {
        let useless = [authorities.as_ref().map(|given| &given.cursor), names.as_ref()];
        for cursor in useless.into_iter().flatten() {
            cursor.problem("no client certificate is asked for; write client_auth_type: RequireAndVerifyClientCert");
        }
    }
    Clients {
        auth: asked.flatten().unwrap_or(ClientAuth::NoClientCert),
        authorities: authorities.map(|given| roots(&given)),
        names: names.map(|list| allowed_names(&list)),
    }
}

fn client_auth(cursor: &Cursor<'_>) -> Option<ClientAuth> {
    let words = [
        ("NoClientCert", ClientAuth::NoClientCert),
        ("RequestClientCert", ClientAuth::RequestClientCert),
        ("RequireAnyClientCert", ClientAuth::RequireAnyClientCert),
        ("VerifyClientCertIfGiven", ClientAuth::VerifyClientCertIfGiven),
        ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerifyClientCert),
    ];
    let known = words.map(|(word, _)| word);
    let read = |text: &str| match words.iter().find(|(word, _)| *word == text) {
        Some((_, auth)) => Ok(*auth),
        // The old name of the same.
        None if text == "RequireClientCert" => Ok(ClientAuth::RequireAnyClientCert),
        None => Err(format!("is not known here; write {}", listed(&known))),
    };
    cursor.parse(read).map(|auth| auth.value)
}

fn roots(given: &Given<'_>) -> Vec<CertificateDer<'static>> {
    let found = certificates(given).unwrap_or_default();
    let mut store = RootCertStore::empty();
    if found.iter().any(|certificate| store.add(certificate.clone()).is_err()) {
        given.cursor.problem("holds a certificate that cannot be an authority");
    }
    found
}

fn allowed_names(cursor: &Cursor<'_>) -> Vec<String> {
    let names: Vec<String> = cursor
        .items()
        .iter()
        .filter_map(Cursor::string)
        .map(|name| name.value)
        .collect();
    if cursor.is_list() && cursor.items().is_empty() {
        cursor.problem("lists no name, which would refuse every certificate; write [prometheus.internal]");
    }
    names
}

fn session(fields: &mut Fields<'_>, remarks: &Remarks) -> Session {
    let min = written(fields, "min_version");
    let max = written(fields, "max_version");
    let suites = fields.get("cipher_suites");
    let server_order = written(fields, "prefer_server_cipher_suites");
    let mut crypto = CryptoProvider::clone(&provider());
    if let Some(curves) = fields.get("curve_preferences") {
        crypto.kx_groups = suites::curves(&curves, remarks);
    }
    if let Some(list) = &suites {
        crypto.cipher_suites = suites::cipher_suites(list, remarks);
    }
    let oldest = min.as_ref().and_then(suites::version).unwrap_or(Version::Tls12);
    let newest = max.as_ref().and_then(suites::version).unwrap_or(Version::Tls13);
    let mut versions = suites::between(oldest, newest);
    if versions.is_empty()
        && let Some(cursor) = max.or(min)
    {
        cursor.problem("leaves no version that is spoken here; TLS12 and TLS13 are");
    }
    let has_suite = |version: &&'static SupportedProtocolVersion| {
        crypto.cipher_suites.iter().any(|suite| suite.version() == *version)
    };
    if let Some(list) = suites
        && !versions.is_empty()
        && !versions.iter().any(&has_suite)
    {
        list.problem("leaves no cipher suite for max_version: TLS12; add TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    }
    versions.retain(has_suite);
    Session {
        server_order: server_order
            .and_then(|value| value.flag())
            .is_none_or(|flag| flag.value),
        crypto,
        versions,
    }
}
