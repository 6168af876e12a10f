//! Good and bad files, with their exact messages.

use std::collections::BTreeMap;

use axum::http::HeaderValue;

use super::auth::{self, Passwords, SignIn, Users};
use super::*;
use crate::server::tests::pki::Folder;

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
const HASH: &str = "$2y$10$qRTBuFoULoYNA7AQ/F3ck.trZBPyjV64.oA4ZsSBCIWvXuvQlQTuu";

/// The notes of a good file, or the problems of a bad one.
fn read(folder: &Folder, text: &str) -> Result<(WebConfig, Vec<String>), Vec<String>> {
    let path = folder.write("web.yml", text);
    let directory = format!("{}/", path.parent().unwrap().display());
    match WebConfig::open(&path) {
        Ok((web, notes)) => Ok((web, notes.iter().map(ToString::to_string).collect())),
        Err(problems) => Err(problems
            .iter()
            .map(|problem| problem.to_string().replace(&directory, ""))
            .collect()),
    }
}

#[test]
fn good_files_are_taken() {
    let folder = Folder::new();
    let nothing: &[&str] = &[];
    let inline = |name: &str| {
        let text = std::fs::read_to_string(folder.path(name)).unwrap();
        text.lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    let inline = format!(
        "tls_server_config:\n  cert: |\n{}  key: |\n{}",
        inline("server.crt"),
        inline("server.key")
    );
    for (text, has_tls, notes) in [
        ("", false, nothing),
        ("# nothing\n", false, nothing),
        ("tls_server_config:\n", false, nothing),
        ("tls_server_config: {}\nbasic_auth_users: {}\n", false, nothing),
        ("tls_server_config: { cert_file: '', key_file: '' }\n", false, nothing),
        (TLS, true, nothing),
        (&inline, true, nothing),
        (&format!("{TLS}basic_auth_users: {{ carol: {HASH} }}\n"), true, nothing),
        (
            &format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"),
            true,
            nothing,
        ),
        (
            &format!("{TLS}  client_auth_type: VerifyClientCertIfGiven\n"),
            true,
            &[
                "2:3: tls_server_config: there is no client_ca_file, so certificates of every public authority are accepted",
            ],
        ),
        (
            &format!("{TLS}  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n"),
            true,
            &["4:43: tls_server_config.cipher_suites[1]: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA is not spoken here"],
        ),
        (
            &format!("{TLS}  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]\n"),
            true,
            &["4:45: tls_server_config.curve_preferences[2]: CurveP521 is not spoken here"],
        ),
        (
            &format!("{TLS}  min_version: TLS10\n  max_version: TLS12\n  prefer_server_cipher_suites: false\n"),
            true,
            nothing,
        ),
        (
            "http_server_config: { http2: true }\n",
            false,
            &["1:30: http_server_config.http2: has no effect; HTTP/1.1 is spoken here"],
        ),
        (
            "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: sameorigin\n    X-XSS-Protection: 1\n    \
             X-Content-Type-Options: nosniff\n    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    \
             Content-Security-Policy: \"default-src 'self' *.test.example.net\"\n",
            false,
            nothing,
        ),
        ("rate_limit: { interval: 0, burst: 0 }\n", false, nothing),
        ("rate_limit: { interval: 1s, burst: 20 }\n", false, nothing),
    ] {
        let (web, found) = read(&folder, text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
        assert_eq!(web.has_tls(), has_tls, "{text}");
        assert_eq!(found, notes, "{text}");
    }
}

#[test]
fn bad_files_are_refused_with_every_problem() {
    let folder = Folder::new();
    let tls = |more: &str| format!("{TLS}{more}\n");
    let section = |content: &str| format!("tls_server_config: {{ {content} }}\n");
    let cases: &[(String, &[&str])] = &[
        (
            "a b\nc d\n".into(),
            &["web.yml:1:1: expected a map, found a single value"],
        ),
        (
            section("cert_filse: server.crt"),
            &[
                "web.yml:1:20: tls_server_config: the certificate is missing; write cert_file: server.crt",
                "web.yml:1:20: tls_server_config: the key is missing; write key_file: server.key",
                "web.yml:1:22: tls_server_config.cert_filse: unknown key \"cert_filse\"; did you mean cert_file?",
            ],
        ),
        (
            "basic_auth_user:\n".into(),
            &["web.yml:1:1: basic_auth_user: unknown key \"basic_auth_user\"; did you mean basic_auth_users?"],
        ),
        (
            section("cert_file: server.crt"),
            &["web.yml:1:20: tls_server_config: the key is missing; write key_file: server.key"],
        ),
        (
            section("cert_file: '', key_file: server.key"),
            &["web.yml:1:20: tls_server_config: the certificate is missing; write cert_file: server.crt"],
        ),
        (
            section("min_version: TLS13"),
            &[
                "web.yml:1:20: tls_server_config: the certificate is missing; write cert_file: server.crt",
                "web.yml:1:20: tls_server_config: the key is missing; write key_file: server.key",
            ],
        ),
        (
            section("cert_file: somefile, key_file: ca.pem"),
            &[
                "web.yml:1:33: tls_server_config.cert_file: \"somefile\" cannot be read: No such file or directory (os error 2)",
                "web.yml:1:53: tls_server_config.key_file: holds no private key in PEM (-----BEGIN PRIVATE KEY-----, not encrypted)",
            ],
        ),
        (
            section("cert_file: server.crt, key_file: other.key"),
            &["web.yml:1:55: tls_server_config.key_file: does not belong to the certificate"],
        ),
        (
            section("cert_file: other.key, key_file: server.key"),
            &["web.yml:1:33: tls_server_config.cert_file: holds no certificate (-----BEGIN CERTIFICATE-----)"],
        ),
        (
            tls("  client_ca_file: ca.pem"),
            &[
                "web.yml:4:19: tls_server_config.client_ca_file: no client certificate is asked for; \
               write client_auth_type: RequireAndVerifyClientCert",
            ],
        ),
        (
            tls("  client_auth_type: NoClientCert\n  client_ca_file: ca.pem"),
            &[
                "web.yml:5:19: tls_server_config.client_ca_file: no client certificate is asked for; \
               write client_auth_type: RequireAndVerifyClientCert",
            ],
        ),
        (
            tls("  client_allowed_sans: [prometheus]"),
            &[
                "web.yml:4:24: tls_server_config.client_allowed_sans: no client certificate is asked for; \
               write client_auth_type: RequireAndVerifyClientCert",
            ],
        ),
        (
            tls("  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: []"),
            &[
                "web.yml:5:24: tls_server_config.client_allowed_sans: lists no name, which would refuse every \
               certificate; write [prometheus.internal]",
            ],
        ),
        (
            tls("  client_auth_type: x"),
            &[
                "web.yml:4:21: tls_server_config.client_auth_type: \"x\" is not known here; write NoClientCert, \
               RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
            ],
        ),
        (
            tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: somefile"),
            &[
                "web.yml:5:19: tls_server_config.client_ca_file: \"somefile\" cannot be read: No such file or directory (os error 2)",
            ],
        ),
        (
            tls("  cipher_suites:\n  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048"),
            &[
                "web.yml:5:5: tls_server_config.cipher_suites[0]: \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048\" is not \
               a known cipher suite; did you mean TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256?",
            ],
        ),
        (
            tls("  cipher_suites: [RC4]"),
            &[
                "web.yml:4:19: tls_server_config.cipher_suites[0]: \"RC4\" is not a known cipher suite; \
               write one such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            ],
        ),
        (
            tls("  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]"),
            &[
                "web.yml:5:18: tls_server_config.cipher_suites: leaves no cipher suite for max_version: TLS12; \
               add TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            ],
        ),
        (
            tls("  curve_preferences: [CurveP257]"),
            &[
                "web.yml:4:23: tls_server_config.curve_preferences[0]: \"CurveP257\" is not a known curve; \
               write X25519, CurveP256 or CurveP384",
            ],
        ),
        (
            tls("  curve_preferences: [CurveP521]"),
            &[
                "web.yml:4:22: tls_server_config.curve_preferences: leaves no curve that is spoken here; \
               add X25519, CurveP256 or CurveP384",
            ],
        ),
        (
            tls("  min_version: TLS111"),
            &["web.yml:4:16: tls_server_config.min_version: \"TLS111\" is not a TLS version; write TLS12 or TLS13"],
        ),
        (
            tls("  max_version: TLS11"),
            &[
                "web.yml:4:16: tls_server_config.max_version: leaves no version that is spoken here; TLS12 and TLS13 are",
            ],
        ),
        (
            tls("  min_version: TLS13\n  max_version: TLS12"),
            &[
                "web.yml:5:16: tls_server_config.max_version: leaves no version that is spoken here; TLS12 and TLS13 are",
            ],
        ),
        (
            "http_server_config:\n  headers:\n    Content-Type: foo\n    x-frame-options: deny\n".into(),
            &[
                "web.yml:3:5: http_server_config.headers.Content-Type: the header \"Content-Type\" cannot be configured; \
                 known here: Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, \
                 X-Frame-Options, X-XSS-Protection",
                "web.yml:4:5: http_server_config.headers.x-frame-options: the header \"x-frame-options\" cannot be \
                 configured; write X-Frame-Options",
            ],
        ),
        (
            "http_server_config:\n  headers:\n    X-Content-Type-Options: sniff\n    X-Frame-Options: foo\n".into(),
            &[
                "web.yml:3:29: http_server_config.headers.X-Content-Type-Options: \"sniff\" is not a value of \
                 X-Content-Type-Options; write nosniff",
                "web.yml:4:22: http_server_config.headers.X-Frame-Options: \"foo\" is not a value of X-Frame-Options; \
                 write deny or sameorigin",
            ],
        ),
        (
            format!(
                "basic_auth_users:\n  john: doe\n  dear: {}\n  a:b: {HASH}\n",
                HASH.replace("$10$", "$19$")
            ),
            &[
                "web.yml:2:9: basic_auth_users.john: the value is no bcrypt hash; make one with: htpasswd -nB NAME",
                "web.yml:3:9: basic_auth_users.dear: the value has the cost 19; make a hash with a cost from 4 to 18",
                "web.yml:4:3: basic_auth_users[\"a:b\"]: a user's name cannot hold a colon, which ends it in what clients send",
            ],
        ),
        (
            "rate_limit: { interval: 1s, burst: 0 }\n".into(),
            &[
                "web.yml:1:36: rate_limit.burst: burst: 0 would refuse every request; write how many may come at once, \
               as in burst: 20",
            ],
        ),
        (
            "rate_limit: { interval: often, burst: -1 }\n".into(),
            &[
                "web.yml:1:25: rate_limit.interval: \"often\" is not a duration; write 15s, 1m30s or 500ms",
                "web.yml:1:39: rate_limit.burst: \"-1\" is not a whole number from 0 to 1000000",
            ],
        ),
    ];
    for (text, problems) in cases {
        match read(&folder, text) {
            Ok(_) => panic!("taken:\n{text}"),
            Err(found) => assert_eq!(&found, problems, "{text}"),
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_a_clear_problem() {
    let problems = WebConfig::open(Path::new("/nonexistent/web.yml")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "/nonexistent/web.yml: cannot be read: No such file or directory (os error 2)"
    );
}

fn given(user: &str, password: &str) -> auth::Credentials {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    auth::credentials(&HeaderValue::from_str(&format!("Basic {text}")).unwrap()).unwrap()
}

#[tokio::test]
async fn guesses_do_not_push_out_what_is_known_and_few_may_wait() {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let users = Users::new(BTreeMap::from([("alice".to_owned(), hash)]));
    let passwords = Passwords::new();
    assert_eq!(passwords.check(&users, given("alice", "secret")).await, SignIn::Right);
    for guess in 0..300 {
        let guess = given("alice", &guess.to_string());
        assert_eq!(passwords.check(&users, guess).await, SignIn::Wrong);
    }
    // No more than are all polled once before any is polled again.
    let crowd = (0..28).map(|guess| passwords.check(&users, given("mallory", &guess.to_string())));
    let results = futures_util::future::join_all(crowd).await;
    assert_eq!(results.iter().filter(|result| **result == SignIn::Wrong).count(), 16);
    assert_eq!(results.iter().filter(|result| **result == SignIn::Busy).count(), 12);
    // Nothing is computed for what is known: it passes while another hash takes its time.
    let crowd = (28..44).map(|guess| passwords.check(&users, given("mallory", &guess.to_string())));
    let (known, _) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            passwords.check(&users, given("alice", "secret")).await
        },
        futures_util::future::join_all(crowd)
    );
    assert_eq!(known, SignIn::Right);
}
