//! What is nobody else's business stays in the process: credentials, cookies, queries, even where a peer repeats them.

use serde_json::json;

use super::*;
use crate::support::daemon::{files, scratch};
use crate::support::peers::http1::answer;
use crate::support::peers::{read_head, say, serve};
use crate::support::programs;

/// What the daemon sends. Each begins in a way nothing else does, so that a part of it is found too.
const BEARER: &str = "zq1bearer-8d61f2ac90";
const COOKIE: &str = "zq2cookie-51fe07b3aa";
const KEY: &str = "zq3header-0c9d44e1f7";
const TOKEN: &str = "zq4query/+7a33be1290";
/// What users send through the gateway.
const CARD: &str = "zq5card-4111111111";
/// As the query holds it.
const TOKEN_AS_SENT: &str = "zq4query%2F%2B7a33be1290";

/// How a secret is recognised in a text, also where it was cut off.
fn beginning(secret: &str) -> &str {
    &secret[..7]
}

/// A service that fails and repeats all it was sent: in headers that evidence keeps, in the body at once and across the
/// place where the body is cut, as it came and taken apart.
fn echo(wire: &mut dyn crate::support::peers::Wire) {
    let head = String::from_utf8_lossy(&read_head(wire)).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(": "))
            .map_or("", |(_, value)| value)
            .to_owned()
    };
    let (bearer, cookie, key) = (header("authorization"), header("cookie"), header("x-api-key"));
    let alone = cookie.split(['=', ';']).nth(1).unwrap_or_default();
    let start = format!("{target} {cookie} {alone} {bearer} {TOKEN} {query}");
    // The bearer's token lies across byte 512 of the body, a little of it before.
    let filled = format!("{start:.<width$}{}", bearer.trim_start_matches("Bearer "), width = 502);
    let headers = format!(
        "Server: {bearer}\nVia: 1.1 {key}\nLocation: http://elsewhere/?{query}\nSet-Cookie: {cookie}\nX-Echo: {head}",
        head = head.replace("\r\n", " ")
    );
    say(wire, &answer("502 Bad Gateway", &headers, &filled));
    wire.finish();
}

/// Everything the daemon lets out, by where it was found.
fn let_out(daemon: &Daemon, storage: &Path) -> Vec<(String, String)> {
    let paths = [
        "/",
        "/upstreams/shop",
        "/logs",
        "/incidents",
        "/config",
        "/metrics",
        "/api/v1/upstreams",
        "/api/v1/upstreams/shop",
        "/api/v1/incidents",
    ];
    let mut all: Vec<(String, String)> = paths
        .iter()
        .map(|path| {
            let answer = http::get(daemon.address(), path, &[]).expect("an answer");
            assert_eq!(answer.status, 200, "{path}");
            (path.to_string(), format!("{}\n{}", answer.head, answer.text()))
        })
        .collect();
    let file = std::fs::read_to_string(storage.join("incidents.jsonl")).expect("readable");
    assert!(file.contains("\"incident\""), "{file}");
    all.push(("the file of incidents".to_owned(), file));
    all.push(("the log".to_owned(), daemon.process().output("", 1000)));
    all
}

/// An upstream that fails with all of that, watched with this choice of evidence, after users asked with secrets too.
fn watched(evidence: &str) -> Option<Vec<(String, String)>> {
    if !programs::have(&["nginx"]) {
        return None;
    }
    let files = files();
    let storage = folder(files.path(), "storage");
    let server = serve(echo);
    let edge = nginx_before(files.path(), &[server]);
    let hop = |at: SocketAddr| {
        json!({
            "url": format!("http://{at}/pay?token={TOKEN_AS_SENT}&shop=1"),
            "auth": { "bearer": BEARER },
            "headers": { "Cookie": format!("session={COOKIE}; theme=dark"), "X-Api-Key": KEY },
        })
    };
    let mut via = hop(edge.listen);
    via["gateway"] = json!("edge");
    let mut config = config(
        json!([{ "name": "edge", "kind": "nginx", "access_log": edge.access, "error_log": edge.error }]),
        json!([{ "name": "shop", "origin": hop(server), "via": [via], "evidence": evidence }]),
    );
    config["storage"] = json!({ "path": storage });
    let daemon = Daemon::start_by(&["env", "BADGATEWAY_LOG_LEVEL=debug"], &scratch(), &config);
    until(&daemon, "shop", |state| match state["verdict"] == "origin_error" {
        true => Ok(()),
        false => Err("not origin_error".to_owned()),
    });
    let agent = [
        ("User-Agent", "Mozilla/5.0 zq5card-agent"),
        ("Referer", "http://shop/?zq5card-referer"),
    ];
    for _ in 0..3 {
        let answer = http::get(edge.listen, &format!("/cart?card={CARD}"), &agent).expect("an answer");
        assert_eq!(answer.status, 502);
    }
    until(&daemon, "shop", |state| match state["traffic"][0]["failed"].as_u64() {
        Some(3) => Ok(()),
        other => Err(format!("three of users in the log, not {other:?}")),
    });
    wait_until("the incident is in the file", || {
        let file = std::fs::read_to_string(storage.join("incidents.jsonl")).ok()?;
        file.contains("\"incident\"").then_some(())
    });
    Some(let_out(&daemon, &storage))
}

/// The line around each place where one of these begins.
fn found(all: &[(String, String)], secrets: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, text) in all {
        for secret in secrets {
            let begins = beginning(secret);
            if let Some(at) = text.find(begins) {
                let (from, to) = (
                    text.floor_char_boundary(at.saturating_sub(80)),
                    text.ceil_char_boundary(at + 40),
                );
                found.push(format!("{place}: {begins}: …{}…", &text[from..to]));
            }
        }
    }
    found
}

#[test]
fn no_secret_leaves_by_any_page_file_or_line() {
    let Some(all) = watched("safe") else { return };
    let shown = all
        .iter()
        .any(|(place, text)| place.contains("/api/v1/upstreams/shop") && text.contains("***"));
    assert!(
        shown,
        "what was repeated is struck out, not left away with its surroundings"
    );
    let leaks = found(&all, &[BEARER, COOKIE, KEY, TOKEN, CARD]);
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn full_evidence_may_hold_the_query_and_never_a_credential() {
    let Some(all) = watched("full") else { return };
    let query = all
        .iter()
        .find(|(place, text)| place.contains("/api/v1/upstreams/shop") && text.contains(TOKEN_AS_SENT));
    assert!(query.is_some(), "the query is kept where that was chosen");
    let leaks = found(&all, &[BEARER, COOKIE, KEY, CARD]);
    assert!(leaks.is_empty(), "{leaks:#?}");
}
