//! The server behind a web configuration: TLS, client certificates, passwords, headers, the rate limit.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::SanType;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::pki::{Folder, Identity, self_signed};
use super::*;

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

async fn start_web(folder: &Folder, text: &str) -> Server {
    let path = folder.write("web.yml", text);
    let (web, _) = WebConfig::open(&path).unwrap();
    start_guarded(Metrics::new(Build::default()), Vec::new(), Some(Arc::new(web))).await
}

impl Server {
    /// One request over TLS: the answer, and the certificate the server showed.
    async fn https(
        &self,
        config: Arc<ClientConfig>,
        path: &str,
        headers: &str,
    ) -> io::Result<(u16, String, CertificateDer<'static>)> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(config).connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Ok((answer[9..12].parse().unwrap(), answer, shown))
    }

    async fn status_as(&self, folder: &Folder, identity: Option<&Identity>) -> Result<u16, String> {
        self.https(folder.trusting(identity), "/metrics", "")
            .await
            .map(|(status, ..)| status)
            .map_err(|error| error.to_string())
    }
}

fn sign_in(user: &str, password: &str) -> String {
    format!(
        "Authorization: Basic {}\r\n",
        STANDARD.encode(format!("{user}:{password}"))
    )
}

fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn dns(name: &str) -> Vec<SanType> {
    vec![SanType::DnsName(name.try_into().unwrap())]
}

#[tokio::test]
async fn tls_is_spoken_and_guards_nothing_by_itself() {
    let folder = Folder::new();
    let server = start_web(&folder, TLS).await;
    let client = folder.trusting(None);
    let (status, answer, _) = server.https(client.clone(), "/metrics", "").await.unwrap();
    assert_eq!(status, 200);
    assert!(answer.contains("badgateway_build_info"));
    let elsewhere = "X-Forwarded-For: 10.0.0.1\r\n";
    assert_eq!(server.https(client, "/logs", elsewhere).await.unwrap().0, 403);
    let (status, answer) = server.get("/metrics").await;
    assert_eq!(status, 400);
    assert!(answer.contains("This port speaks TLS"), "{answer}");
}

#[tokio::test]
async fn only_the_versions_and_suites_asked_for_are_spoken() {
    let folder = Folder::new();
    let only = "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n";
    let server = start_web(&folder, &format!("{TLS}{only}")).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(folder.trusting(None))
        .connect(name, stream)
        .await
        .unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    assert_eq!(
        session.negotiated_cipher_suite().unwrap().suite(),
        rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    );
}

#[tokio::test]
async fn passwords_are_asked_for_everywhere() {
    let folder = Folder::new();
    let users = format!(
        "basic_auth_users:\n  alice: {}\n  bob: {}\n",
        hash("secret"),
        hash("b:ob")
    );
    let server = start_web(&folder, &users).await;
    for path in ["/", "/metrics", "/logs", "/-/healthy", "/-/ready", "/nothing"] {
        let (status, answer) = server.get(path).await;
        assert_eq!(status, 401, "{path}");
        assert!(answer.contains("www-authenticate: Basic\r\n"), "{answer}");
    }
    let elsewhere = "X-Forwarded-For: 10.0.0.1\r\n";
    for (headers, status) in [
        (sign_in("alice", "secret"), 200),
        (sign_in("alice", "secret"), 200),
        (sign_in("bob", "b:ob"), 200),
        (sign_in("alice", "wrong"), 401),
        (sign_in("alice", "wrong"), 401),
        (sign_in("alice", ""), 401),
        (sign_in("bob", "secret"), 401),
        (sign_in("nobody", "secret"), 401),
        (sign_in("nobody", "fakepassword"), 401),
        (sign_in("nobody", "fakepassword"), 401),
        (sign_in("alice", "secret").replace("Basic", "basic"), 200),
        (sign_in("alice", "secret").replace("Basic", "Bearer"), 401),
        ("Authorization: Basic ?\r\n".to_owned(), 401),
        ("Authorization: Basic YWxpY2U=\r\n".to_owned(), 401),
    ] {
        let headers = format!("{elsewhere}{headers}");
        assert_eq!(server.ask("GET", "/logs", &headers).await.0, status, "{headers}");
    }
}

#[tokio::test]
async fn users_change_while_the_server_runs() {
    let folder = Folder::new();
    let server = start_web(&folder, &format!("basic_auth_users: {{ alice: {} }}\n", hash("old"))).await;
    let status = async |user, password| server.ask("GET", "/metrics", &sign_in(user, password)).await.0;
    assert_eq!(status("alice", "old").await, 200);
    folder.write("web.yml", &format!("basic_auth_users: {{ alice: {} }}\n", hash("new")));
    assert_eq!(status("alice", "old").await, 401);
    assert_eq!(status("alice", "new").await, 200);
    for unusable in ["basic_auth_users: { alice: plain }\n", "", "basic_auth_users:\n"] {
        folder.write("web.yml", unusable);
        assert_eq!(status("alice", "new").await, 200, "{unusable:?}");
        assert_eq!(status("alice", "old").await, 401, "{unusable:?}");
    }
    std::fs::remove_file(folder.path("web.yml")).unwrap();
    assert_eq!(status("alice", "new").await, 200);
    folder.write("web.yml", &format!("basic_auth_users: {{ carol: {} }}\n", hash("new")));
    assert_eq!(status("alice", "new").await, 401);
    assert_eq!(status("carol", "new").await, 200);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_connection() {
    let folder = Folder::new();
    let server = start_web(&folder, TLS).await;
    let shown = async || server.https(folder.trusting(None), "/metrics", "").await.unwrap().2;
    let old = shown().await;
    assert_eq!(shown().await, old);
    // Between the two writes of a renewal the key does not belong to the certificate.
    let key = std::fs::read_to_string(folder.path("server.key")).unwrap();
    folder.write(
        "server.key",
        &std::fs::read_to_string(folder.path("other.key")).unwrap(),
    );
    assert_eq!(shown().await, old);
    folder.write("server.key", &key);
    assert_eq!(shown().await, old);
    let new = folder.renew();
    assert_ne!(new, old);
    assert_eq!(shown().await, new);
    folder.write("web.yml", "");
    assert_eq!(shown().await, new, "TLS does not go away while the server runs");
}

#[tokio::test]
async fn client_certificates_are_asked_for_as_configured() {
    let folder = Folder::new();
    let good = folder.client(dns("prometheus.internal"));
    let (stranger, stranger_pem) = self_signed(dns("prometheus.internal"));
    folder.write("stranger.pem", &stranger_pem);
    let ca = "  client_ca_file: ca.pem\n";
    for (auth, more, [nobody, good_one, strange]) in [
        ("NoClientCert", "", [true, true, true]),
        ("RequestClientCert", "", [true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true]),
        ("RequireClientCert", "", [false, true, true]),
        ("VerifyClientCertIfGiven", ca, [true, true, false]),
        ("RequireAndVerifyClientCert", ca, [false, true, false]),
        (
            "RequireAndVerifyClientCert",
            "  client_ca_file: stranger.pem\n",
            [false, false, true],
        ),
    ] {
        let server = start_web(&folder, &format!("{TLS}  client_auth_type: {auth}\n{more}")).await;
        for (who, identity, expected) in [
            ("nobody", None, nobody),
            ("known", Some(&good), good_one),
            ("strange", Some(&stranger), strange),
        ] {
            let status = server.status_as(&folder, identity).await;
            assert_eq!(status == Ok(200), expected, "{auth} {more:?} {who}: {status:?}");
        }
    }
}

#[tokio::test]
async fn one_of_the_allowed_names_must_be_in_the_certificate() {
    let folder = Folder::new();
    let names = "[prometheus.internal, 10.0.0.7, ops@example.com, 'spiffe://example.com/prometheus']";
    let verify = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n";
    let server = start_web(&folder, &format!("{TLS}{verify}  client_allowed_sans: {names}\n")).await;
    for (names, expected) in [
        (dns("prometheus.internal"), true),
        ([dns("other"), dns("prometheus.internal")].concat(), true),
        (vec![SanType::IpAddress("10.0.0.7".parse().unwrap())], true),
        (vec![SanType::Rfc822Name("ops@example.com".try_into().unwrap())], true),
        (
            vec![SanType::URI("spiffe://example.com/prometheus".try_into().unwrap())],
            true,
        ),
        (dns("grafana.internal"), false),
        (vec![SanType::IpAddress("10.0.0.8".parse().unwrap())], false),
        (Vec::new(), false),
    ] {
        let identity = folder.client(names.clone());
        let status = server.status_as(&folder, Some(&identity)).await;
        assert_eq!(status == Ok(200), expected, "{names:?}: {status:?}");
        if let Err(error) = status {
            assert!(error.contains("BadCertificate"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_certificate_shows_everything_only_where_it_says_who_the_caller_is() {
    let folder = Folder::new();
    let identity = folder.client(dns("prometheus.internal"));
    let elsewhere = "X-Forwarded-For: 10.0.0.1\r\n";
    let ca = "  client_ca_file: ca.pem\n";
    for (auth, more, status) in [
        ("RequireAndVerifyClientCert", ca, 200),
        ("VerifyClientCertIfGiven", ca, 403),
        ("RequireAnyClientCert", "", 403),
    ] {
        let server = start_web(&folder, &format!("{TLS}  client_auth_type: {auth}\n{more}")).await;
        let answer = server.https(folder.trusting(Some(&identity)), "/logs", elsewhere).await;
        assert_eq!(answer.unwrap().0, status, "{auth}");
    }
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused() {
    let folder = Folder::new();
    let server = start_web(&folder, "rate_limit: { interval: 1h, burst: 2 }\n").await;
    let mut statuses = Vec::new();
    for path in ["/metrics", "/-/healthy", "/metrics"] {
        statuses.push(server.get(path).await.0);
    }
    // What does not change the limit does not refill it.
    folder.write("web.yml", "rate_limit: { interval: 1h, burst: 2 }\n# read again\n");
    statuses.push(server.get("/metrics").await.0);
    folder.write("web.yml", "rate_limit: { interval: 1h, burst: 3 }\n");
    statuses.push(server.get("/metrics").await.0);
    assert_eq!(statuses, [200, 200, 429, 429, 200]);
}

#[tokio::test]
async fn configured_headers_are_in_every_answer() {
    let folder = Folder::new();
    let text =
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: default-src *\n";
    let server = start_web(&folder, text).await;
    for path in ["/", "/metrics", "/nothing"] {
        let (_, answer) = server.get(path).await;
        assert!(answer.contains("x-frame-options: deny\r\n"), "{answer}");
        let own = answer.contains("content-security-policy: default-src 'none'");
        let configured = answer.contains("content-security-policy: default-src *\r\n");
        assert!(own != configured && own == (path == "/"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn silent_handshakes_take_a_place_and_end_with_the_server() {
    let folder = Folder::new();
    let mut server = start_web(&folder, TLS).await;
    let mut silent = Vec::new();
    for _ in 0..crate::server::connection::MAX_CONNECTIONS {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let answered = async { server.status_as(&folder, None).await };
    let waiting = tokio::time::timeout(Duration::from_millis(200), answered).await;
    assert!(waiting.is_err(), "every place is taken");
    silent.pop();
    assert_eq!(server.status_as(&folder, None).await, Ok(200));
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(2), &mut server.task)
        .await
        .expect("it ends in time")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_given_up() {
    let folder = Folder::new();
    let server = start_web(&folder, TLS).await;
    for sent in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let begun = tokio::time::Instant::now();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"");
        assert_eq!(
            begun.elapsed(),
            crate::server::connection::HANDSHAKE_TIMEOUT,
            "{sent:?}"
        );
    }
}
