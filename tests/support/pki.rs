//! Certificates: a root that the daemon is told to trust, an intermediate, servers with one flaw each, clients.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The name of every peer that speaks TLS.
pub const NAME: &str = "peer.test";

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flaw {
    None,
    Expired,
    NotYetValid,
    WrongName,
    SelfSigned,
    UnknownIssuer,
    MissingIntermediate,
    ExpiredIntermediate,
}

/// A certificate authority.
pub struct Authority {
    pub issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A chain, leaf first, with the leaf's key.
#[derive(Debug)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub serial: Vec<u8>,
    key: KeyPair,
}

/// The authorities of one test run, and where their files are.
pub struct Pki {
    pub root: Authority,
    pub intermediate: Authority,
    /// Trusted by nobody.
    pub stranger: Authority,
    folder: PathBuf,
}

impl Pki {
    /// Makes the authorities and writes `ca.pem` into the folder.
    pub fn new(folder: &Path) -> Pki {
        let root = Authority::root("Test Root");
        let pki = Pki {
            intermediate: Authority::below(&root, "Test Intermediate", 2099),
            stranger: Authority::root("Test Stranger"),
            root,
            folder: folder.to_owned(),
        };
        std::fs::write(folder.join("ca.pem"), pki.root.issuer.pem()).expect("written");
        pki
    }

    /// The root that signed everything without a flaw, for `tls.ca_file`.
    pub fn ca_file(&self) -> String {
        path(self.folder.join("ca.pem"))
    }

    /// A server's identity.
    pub fn server(&self, flaw: Flaw) -> Identity {
        self.server_named(flaw, if flaw == Flaw::WrongName { "other.test" } else { NAME })
    }

    /// A server's identity for another name or address.
    pub fn server_named(&self, flaw: Flaw, name: &str) -> Identity {
        let mut params = leaf(name);
        match flaw {
            Flaw::Expired => params.not_after = date_time_ymd(2024, 6, 1),
            Flaw::NotYetValid => params.not_before = date_time_ymd(2098, 1, 1),
            _ => {}
        }
        match flaw {
            Flaw::SelfSigned => {
                let key = key();
                let certificate = params.self_signed(&key).expect("a certificate");
                Identity {
                    chain: vec![certificate.der().clone()],
                    serial: serial_of(&params),
                    key,
                }
            }
            Flaw::UnknownIssuer => self.stranger.sign(params),
            Flaw::MissingIntermediate => {
                let mut identity = self.intermediate.sign(params);
                identity.chain.truncate(1);
                identity
            }
            Flaw::ExpiredIntermediate => Authority::below(&self.root, "Test Expired Intermediate", 2024).sign(params),
            _ => self.intermediate.sign(params),
        }
    }

    /// A server's identity without a flaw that ends in so many days, of so many that it lives.
    pub fn server_until(&self, days_left: i64, days: i64) -> Identity {
        self.server_of_seconds(days_left * 86_400, days * 86_400)
    }

    /// The same in seconds.
    pub fn server_of_seconds(&self, left: i64, of: i64) -> Identity {
        let now = badgateway::clock::seconds(badgateway::clock::now()) as i64;
        let date = |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs((now + seconds) as u64);
        let mut params = leaf(NAME);
        params.not_before = date(left - of);
        params.not_after = date(left);
        self.intermediate.sign(params)
    }

    /// A client's certificate and key as files: signed by the root, or by an authority no peer accepts.
    pub fn client_files(&self, accepted: bool) -> (String, String) {
        let (issuer, name) = if accepted {
            (&self.root, "client")
        } else {
            (&self.stranger, "strange-client")
        };
        issuer.sign(leaf("client.test")).write(&self.folder, name)
    }

    /// A server's identity as files, for programs.
    pub fn server_files(&self, flaw: Flaw) -> (String, String) {
        self.server(flaw).write(&self.folder, &format!("server-{flaw:?}"))
    }
}

impl Authority {
    fn root(name: &str) -> Authority {
        Authority {
            issuer: CertifiedIssuer::self_signed(authority(name, 2099), key()).expect("a root"),
        }
    }

    fn below(parent: &Authority, name: &str, until: i32) -> Authority {
        let issuer = CertifiedIssuer::signed_by(authority(name, until), key(), &parent.issuer);
        Authority {
            issuer: issuer.expect("an intermediate"),
        }
    }

    /// The leaf with this authority's own certificate behind it.
    fn sign(&self, params: CertificateParams) -> Identity {
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            chain: vec![certificate.der().clone(), self.issuer.der().clone()],
            serial: serial_of(&params),
            key,
        }
    }
}

impl Identity {
    /// The leaf's key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// Writes chain and key as PEM; their paths.
    pub fn write(&self, folder: &Path, name: &str) -> (String, String) {
        let (chain, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        let pem: String = self.chain.iter().map(|certificate| pem(certificate)).collect();
        std::fs::write(&chain, pem).expect("written");
        std::fs::write(&key, self.key.serialize_pem()).expect("written");
        (path(chain), path(key))
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn serial_of(params: &CertificateParams) -> Vec<u8> {
    params.serial_number.as_ref().expect("set by leaf").to_bytes()
}

fn leaf(name: &str) -> CertificateParams {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0x0100_0001);
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    let serial = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params.distinguished_name = Default::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

fn authority(name: &str, until: i32) -> CertificateParams {
    let mut params = leaf("authority.test");
    params.subject_alt_names.clear();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_after = date_time_ymd(until, 6, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

fn path(file: PathBuf) -> String {
    file.to_str().expect("a plain path").to_owned()
}
