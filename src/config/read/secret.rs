//! Credentials and certificates, inline or from files. Nothing here repeats a value in a message.
//!
//! Files are read when the configuration is loaded, so a reload picks up what was rotated.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::error::quoted;
use crate::config::file::TlsEntry;
use crate::config::reader::{At, Cursor};
use crate::upstream::{Auth, Secret, TlsVersion};

/// Largest file of a secret or of certificates, bytes. The system's whole bundle of roots is a quarter of it.
const MAX_FILE: u64 = 1024 * 1024;

/// `auth`: exactly one of `basic`, `bearer` and `bearer_file`.
pub fn auth(cursor: &Cursor<'_>) -> Option<At<Auth>> {
    let mut fields = cursor.fields()?;
    let basic = fields.get("basic");
    let bearer = fields.get("bearer");
    let bearer_file = fields.get("bearer_file");
    fields.finish();
    let auth = match (basic, bearer, bearer_file) {
        (Some(map), None, None) => self::basic(&map),
        (None, Some(text), None) => text.parse_secret(token).map(|token| Auth::Bearer(token.value)),
        (None, None, Some(file)) => secret_file(&file, token).map(Auth::Bearer),
        _ => {
            cursor.problem("needs exactly one of basic, bearer and bearer_file");
            None
        }
    };
    auth.map(|auth| cursor.at(auth))
}

fn basic(cursor: &Cursor<'_>) -> Option<Auth> {
    let mut fields = cursor.fields()?;
    let username = fields
        .required("username", "monitor")
        .and_then(|text| text.parse_secret(username));
    let password = match (fields.get("password"), fields.get("password_file")) {
        (Some(text), None) => text.parse_secret(password).map(|text| text.value),
        (None, Some(file)) => secret_file(&file, password),
        _ => {
            cursor.problem("needs exactly one of password and password_file");
            None
        }
    };
    fields.finish();
    Some(Auth::Basic {
        username: username?.value,
        password: password?,
    })
}

/// RFC 7617: no colon, no control characters.
pub fn username(text: &str) -> Result<String, String> {
    match text.contains(':') || text.chars().any(char::is_control) {
        true => Err("cannot hold a colon or control characters".into()),
        false => Ok(text.to_owned()),
    }
}

/// RFC 7617: no control characters.
pub fn password(text: &str) -> Result<Secret, String> {
    match text.chars().any(char::is_control) {
        true => Err("cannot hold control characters".into()),
        false => Ok(Secret::new(text)),
    }
}

/// What may follow `Bearer `.
fn token(text: &str) -> Result<Secret, String> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Secret::new(text)),
        false => Err("is no token: it must be visible ASCII characters without a space, and not empty".into()),
    }
}

/// `tls`.
pub fn tls(cursor: &Cursor<'_>) -> TlsEntry {
    let Some(mut fields) = cursor.fields() else {
        return TlsEntry::default();
    };
    let entry = TlsEntry {
        written: Some(cursor.at(())),
        ca_file: fields.get("ca_file").and_then(|file| certificates(&file, roots)),
        ca_only: fields.get("ca_only").and_then(|flag| flag.flag()),
        cert_file: fields.get("cert_file").and_then(|file| certificates(&file, |_| Ok(()))),
        key_file: fields.get("key_file").and_then(|file| key(&file)),
        min_version: fields.get("min_version").and_then(|word| {
            word.choice(&[
                ("1.2", TlsVersion::Tls12),
                ("1.3", TlsVersion::Tls13),
                ("TLS1.2", TlsVersion::Tls12),
                ("TLS1.3", TlsVersion::Tls13),
            ])
        }),
        verify: fields.get("verify").and_then(|flag| flag.flag()),
    };
    fields.elsewhere("server_name", "belongs beside tls, on the hop");
    fields.elsewhere("insecure_skip_verify", "is written verify: false here");
    fields.finish();
    entry
}

fn certificates(cursor: &Cursor<'_>, check: impl Fn(&[CertificateDer<'_>]) -> Result<(), String>) -> Option<At<Bytes>> {
    let (path, content) = file(cursor)?;
    let found: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(&content).collect();
    let wrong = match found {
        Err(_) => Some("is not valid PEM".to_owned()),
        Ok(found) if found.is_empty() => Some("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned()),
        Ok(found) => check(&found).err(),
    };
    match wrong {
        None => Some(cursor.at(Bytes::from(content))),
        Some(message) => {
            cursor.problem(format!("{} {message}", quoted(&path.display().to_string())));
            None
        }
    }
}

fn roots(found: &[CertificateDer<'_>]) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    match found
        .iter()
        .all(|certificate| store.add(certificate.clone().into_owned()).is_ok())
    {
        true => Ok(()),
        false => Err("holds a certificate that cannot be a root".into()),
    }
}

fn key(cursor: &Cursor<'_>) -> Option<At<Secret>> {
    let (path, content) = file(cursor)?;
    let text = String::from_utf8(content).ok();
    match text.filter(|text| PrivateKeyDer::from_pem_slice(text.as_bytes()).is_ok()) {
        Some(text) => Some(cursor.at(Secret::new(text))),
        None => {
            cursor.problem(format!(
                "{} holds no private key in PEM (-----BEGIN PRIVATE KEY-----, not encrypted)",
                quoted(&path.display().to_string())
            ));
            None
        }
    }
}

/// A secret from a file; the line break at its end is not part of it.
fn secret_file(cursor: &Cursor<'_>, grammar: impl Fn(&str) -> Result<Secret, String>) -> Option<Secret> {
    let (path, content) = file(cursor)?;
    let secret = String::from_utf8(content)
        .map_err(|_| "is not UTF-8 text".to_owned())
        .and_then(|text| match text.trim_end_matches(['\r', '\n']) {
            "" => Err("is empty".into()),
            text => grammar(text),
        });
    match secret {
        Ok(secret) => Some(secret),
        Err(message) => {
            cursor.problem(format!(
                "the content of {} {message}",
                quoted(&path.display().to_string())
            ));
            None
        }
    }
}

fn file(cursor: &Cursor<'_>) -> Option<(PathBuf, Vec<u8>)> {
    let name = cursor.string()?.value;
    let path = cursor.cx().base_dir.join(&name);
    match read(&path) {
        Ok(content) => Some((PathBuf::from(name), content)),
        Err(message) => {
            cursor.problem(format!("{} {message}", quoted(&name)));
            None
        }
    }
}

/// A regular file only: reading a pipe or device could wait for ever.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let about = std::fs::metadata(path).map_err(cannot)?;
    if !about.is_file() {
        return Err("is not a file".into());
    }
    let mut content = Vec::new();
    std::fs::File::open(path)
        .map_err(cannot)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut content)
        .map_err(cannot)?;
    match content.len() as u64 > MAX_FILE {
        true => Err(format!("is larger than {} MiB", MAX_FILE >> 20)),
        false => Ok(content),
    }
}
