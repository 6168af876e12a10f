//! The TLS phase: one full handshake, everything it shows recorded, also when the certificate does not verify.
//!
//! The handshake itself accepts any certificate, so that version, cipher and chain are known of every peer; the
//! verification runs beside it and its result is a fact like the others. Where the policy asks for a valid
//! certificate, no request is sent on a session without one. Sessions are never resumed: a resumed one would not look
//! at the certificate.

pub mod certificate;
pub mod roots;
pub mod staple;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use ::aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::crypto::provider;
use crate::observation::{CertificateProblem, ChainFacts, TlsFacts, TlsFault};
use crate::probe::meter::{Meter, ReadEnd};
use crate::probe::tls::roots::Trust;
use crate::upstream::{HttpVersion, TlsPolicy, TlsVersion};

/// Everything of a TLS policy that is prepared once and used for each handshake.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    trust: Arc<Trust>,
    key: Option<Arc<CertifiedKey>>,
    verify: bool,
    http2: bool,
    last_chain: Mutex<Option<LastChain>>,
}

/// The digest of the chain seen last, and what it says: most peers send the same one each time.
type LastChain = ([u8; 32], Arc<ChainFacts>);

/// A policy that cannot be used.
#[derive(Debug)]
pub struct PolicyError(pub String);

impl Client {
    /// Prepares a policy. Roots are shared between clients that trust the same.
    pub fn new(policy: &TlsPolicy, version: HttpVersion) -> Result<Self, PolicyError> {
        let trust = roots::shared(policy)?;
        let versions: &[_] = match policy.min_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let http2 = version == HttpVersion::Http2;
        let placeholder = Arc::new(Recorder::new(trust.clone(), None));
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| PolicyError(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(placeholder)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        if http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let key = policy.client.as_ref().map(roots::client_key).transpose()?;
        Ok(Client {
            config,
            trust,
            key,
            verify: policy.verify,
            http2,
            last_chain: Mutex::new(None),
        })
    }

    /// One handshake before the deadline. Facts come back whether it succeeds or not. Our certificate is given where
    /// it is asked for and `own` says that this is the host it was configured for.
    pub async fn handshake(
        &self,
        stream: Meter,
        server_name: &str,
        own: bool,
        deadline: Instant,
    ) -> (Result<Box<TlsStream<Meter>>, TlsFault>, TlsFacts) {
        let recorder = Arc::new(Recorder::new(self.trust.clone(), self.key.clone().filter(|_| own)));
        let Ok(name) = ServerName::try_from(server_name.to_owned()) else {
            let fault = TlsFault::Protocol(format!("{server_name:?} is no name for a certificate"));
            return (Err(fault), TlsFacts::default());
        };
        let mut config = self.config.clone();
        config.dangerous().set_certificate_verifier(recorder.clone());
        config.client_auth_cert_resolver = recorder.clone();
        let connecting = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .into_fallible();
        let result = match timeout_at(deadline, connecting).await {
            Err(_) => Err(TlsFault::Timeout),
            Ok(Err((error, meter))) => Err(fault(&error, meter, &recorder)),
            Ok(Ok(stream)) => Ok(stream),
        };
        let facts = self.facts(&recorder, result.as_ref().ok());
        (result.and_then(|stream| self.judge(stream, &facts)), facts)
    }

    /// True when we have a certificate of our own to give.
    pub fn sends_certificate(&self) -> bool {
        self.key.is_some()
    }

    /// Applies the policy to a finished handshake.
    fn judge(&self, stream: TlsStream<Meter>, facts: &TlsFacts) -> Result<Box<TlsStream<Meter>>, TlsFault> {
        match facts.problem {
            Some(problem) if self.verify => Err(TlsFault::Certificate(problem)),
            _ if self.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") => {
                Err(TlsFault::Protocol("the peer does not offer HTTP/2 by ALPN".into()))
            }
            _ => Ok(Box::new(stream)),
        }
    }

    fn facts(&self, recorder: &Recorder, stream: Option<&TlsStream<Meter>>) -> TlsFacts {
        let recorded = std::mem::take(&mut *recorder.lock());
        let session = stream.map(|stream| stream.get_ref().1);
        TlsFacts {
            version: session.and_then(|session| session.protocol_version()).map(version_name),
            cipher: session
                .and_then(|session| session.negotiated_cipher_suite())
                .map(cipher_name),
            chain: self.chain_facts(recorded.chain),
            problem: recorded.problem,
            problem_detail: recorded.detail,
            client_certificate_requested: recorded.client_certificate_requested,
        }
    }

    fn chain_facts(&self, chain: Vec<CertificateDer<'static>>) -> Arc<ChainFacts> {
        let digest = digest_of(&chain);
        let mut last = self.last_chain.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, facts)) if *known == digest => facts.clone(),
            _ => {
                let facts = Arc::new(certificate::facts_of(&chain));
                *last = Some((digest, facts.clone()));
                facts
            }
        }
    }
}

fn digest_of(chain: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    chain.iter().for_each(|certificate| context.update(certificate));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// What the peer's alert was, where an error of the stream carries one.
pub fn alert_of(error: &io::Error) -> Option<u8> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(u8::from(*alert)),
        _ => None,
    }
}

/// What the peer's alert was, where one has ended the session: the session repeats the error it ended with.
pub fn alert_of_session(session: &mut rustls::ClientConnection) -> Option<u8> {
    match session.process_new_packets() {
        Err(rustls::Error::AlertReceived(alert)) => Some(u8::from(alert)),
        _ => None,
    }
}

/// True for alerts by which a peer refuses a client certificate or its absence (RFC 8446, 6.2; RFC 5246, 7.2.2).
/// Servers of TLS 1.2 say `handshake_failure` where TLS 1.3 has `certificate_required`.
pub fn refuses_client_certificate(alert: u8) -> bool {
    use AlertDescription as Alert;
    matches!(
        Alert::from(alert),
        Alert::HandshakeFailure
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
    )
}

/// Translates a failed handshake, from what the meter and the recorder saw and the library's own kinds.
fn fault(error: &io::Error, mut meter: Meter, recorder: &Recorder) -> TlsFault {
    let refused = recorder.lock().client_certificate_requested;
    if let Some(alert) = alert_of(error) {
        return match refused && refuses_client_certificate(alert) {
            true => TlsFault::ClientCertificate {
                sent: recorder.key.is_some(),
            },
            false => TlsFault::Alert(alert),
        };
    }
    if meter.write_failed {
        meter.drain_ready();
    }
    if meter.spoke_no_tls() {
        return TlsFault::NotTls(meter.first_bytes());
    }
    match (meter.end, meter.write_failed) {
        (Some(ReadEnd::Silent), _) => TlsFault::Timeout,
        (Some(ReadEnd::Reset | ReadEnd::Failed), _) | (None, true) => TlsFault::Closed { reset: true },
        (Some(ReadEnd::Closed), _) => TlsFault::Closed { reset: false },
        (None, false) => TlsFault::Protocol(error.to_string()),
    }
}

fn version_name(version: rustls::ProtocolVersion) -> &'static str {
    match version {
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLSv1.2",
    }
}

fn cipher_name(suite: rustls::SupportedCipherSuite) -> &'static str {
    use rustls::CipherSuite as Suite;
    match suite.suite() {
        Suite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        Suite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        Suite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

/// Sits in one handshake and writes down what the library shows it.
#[derive(Debug)]
struct Recorder {
    trust: Arc<Trust>,
    key: Option<Arc<CertifiedKey>>,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    chain: Vec<CertificateDer<'static>>,
    problem: Option<CertificateProblem>,
    detail: Option<String>,
    client_certificate_requested: bool,
}

impl Recorder {
    fn new(trust: Arc<Trust>, key: Option<Arc<CertifiedKey>>) -> Self {
        Recorder {
            trust,
            key,
            recorded: Mutex::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let result = self
            .trust
            .verify(end_entity, intermediates, server_name, ocsp_response, now);
        let mut recorded = self.lock();
        recorded.chain = std::iter::once(end_entity)
            .chain(intermediates)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        if let Err((problem, detail)) = result {
            recorded.problem = Some(problem);
            recorded.detail = Some(detail);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.lock().client_certificate_requested = true;
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
