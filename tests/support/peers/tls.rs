//! Servers that speak TLS correctly and may misbehave above it, or demand what the prober does not have.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::{Behaviour, Wire, drain, serve_on};
use crate::support::pki::{Identity, Pki};
use crate::support::process::Process;
use crate::support::programs;

/// How a TLS server is set up.
pub struct Tls {
    identity: Identity,
    staple: Vec<u8>,
    versions: Vec<&'static SupportedProtocolVersion>,
    clients_of: Option<RootCertStore>,
    protocols: Vec<Vec<u8>>,
}

impl Tls {
    /// A server with that certificate: TLS 1.2 and 1.3, nothing demanded.
    pub fn new(identity: Identity) -> Tls {
        Tls {
            identity,
            staple: Vec::new(),
            versions: vec![&TLS13, &TLS12],
            clients_of: None,
            protocols: Vec::new(),
        }
    }

    /// With a stapled OCSP answer.
    pub fn staple(mut self, answer: Vec<u8>) -> Tls {
        self.staple = answer;
        self
    }

    /// TLS 1.2 alone.
    pub fn only_12(mut self) -> Tls {
        self.versions = vec![&TLS12];
        self
    }

    /// TLS 1.3 alone.
    pub fn only_13(mut self) -> Tls {
        self.versions = vec![&TLS13];
        self
    }

    /// Demands a client certificate that the root signed.
    pub fn demands_client(mut self, pki: &Pki) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(pki.root.issuer.der().clone()).expect("a root");
        self.clients_of = Some(roots);
        self
    }

    /// Speaks these protocols above TLS.
    pub fn speaks(mut self, protocol: &str) -> Tls {
        self.protocols.push(protocol.as_bytes().to_vec());
        self
    }

    /// Starts it on 127.0.0.1; `behaviour` follows the handshake.
    pub fn serve(self, behaviour: Behaviour) -> SocketAddr {
        let config = Arc::new(self.config());
        serve_on(IpAddr::V4(Ipv4Addr::LOCALHOST), move |stream| {
            let connection = ServerConnection::new(config.clone()).expect("a configuration");
            let mut wire = TlsWire { connection, stream };
            match wire.shake_hands() {
                Ok(()) => behaviour(&mut wire),
                // The alert is on its way: a close with bytes unread would overtake it with a RST.
                Err(_) => {
                    wire.stream.cut();
                    drain(&mut wire.stream);
                }
            }
        })
    }

    fn config(self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions)
            .expect("versions of the provider");
        let builder = match self.clients_of {
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .expect("roots"),
            ),
            None => builder.with_no_client_auth(),
        };
        let key = self.identity.key();
        let mut config = builder
            .with_single_cert_with_ocsp(self.identity.chain, key, self.staple)
            .expect("an identity");
        config.alpn_protocols = self.protocols;
        config
    }
}

/// A server of the system's OpenSSL, for what rustls refuses to do: it answers every request with a page.
/// `None` where the program is missing.
pub fn openssl(files: (String, String), arguments: &[&str]) -> Option<(SocketAddr, Process)> {
    if !programs::have(&["openssl"]) {
        return None;
    }
    let (chain, key) = files;
    let common = [
        "s_server",
        "-www",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        &chain,
        "-cert_chain",
        &chain,
        "-key",
        &key,
    ];
    let all: Vec<&str> = common.iter().chain(arguments).copied().collect();
    let process = Process::start(&programs::find("openssl").expect("have it"), &all);
    let address = process.wait_for("the port of s_server", |line| {
        line.strip_prefix("ACCEPT ")?.trim().parse().ok()
    });
    Some((address, process))
}

struct TlsWire {
    connection: ServerConnection,
    stream: TcpStream,
}

impl TlsWire {
    fn shake_hands(&mut self) -> std::io::Result<()> {
        while self.connection.is_handshaking() {
            self.connection.complete_io(&mut self.stream)?;
        }
        // TLS 1.3: the tickets.
        self.flush()
    }
}

impl Read for TlsWire {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        rustls::Stream::new(&mut self.connection, &mut self.stream).read(into)
    }
}

impl Write for TlsWire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        rustls::Stream::new(&mut self.connection, &mut self.stream).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

impl Wire for TlsWire {
    fn finish(&mut self) {
        self.connection.send_close_notify();
        let _ = self.flush();
        self.stream.cut();
    }

    fn cut(&mut self) {
        self.stream.cut();
    }

    fn reset(&mut self) {
        self.stream.reset();
    }
}
