//! Every error page recorded from a running gateway, with what had happened behind it (`tests/corpus/pages`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::read;
use crate::cause::{Cause, Phase};
use crate::finding::{Outcome, Recognised};

#[derive(Deserialize)]
struct Page {
    gateway: String,
    status: u16,
    generated_by: String,
    /// For each fault that gave this page the causes that are right.
    causes: BTreeMap<String, Vec<String>>,
}

fn pages() -> Vec<(String, Page, String)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/pages"));
    let index = std::fs::read_to_string(folder.join("pages.json")).expect("the index");
    let pages: BTreeMap<String, Page> = serde_json::from_str(&index).expect("the index is JSON");
    assert!(pages.len() > 80, "the recordings are where this test looks");
    let answer = |name: &str| restored(&std::fs::read_to_string(folder.join(name)).expect("a page"));
    pages
        .into_iter()
        .map(|(name, page)| (answer(&name), name, page))
        .map(|(answer, name, page)| (name, page, answer))
        .collect()
}

/// The recordings have lost their carriage returns, and every part ends with a line feed: an empty body has lost the line
/// before it, and a body without one has got one more.
fn restored(text: &str) -> String {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let length = |line: &str| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse::<usize>()
            .ok()
    };
    let body = match head.lines().find_map(length) {
        Some(length) if length + 1 == body.len() => &body[..length],
        _ => body,
    };
    format!("{head}\n\n{body}")
}

/// The kind of gateway a recording was made of.
fn kind_of(page: &Page) -> &'static str {
    let name = page.gateway.trim_end_matches("211");
    crate::gateway::kind(name).expect("a kind").name
}

/// Who wrote it. Pages of operators show nothing of their gateway: nginx and httpd name themselves in `Server` alone, and a
/// status text is an application's as well.
fn writer_of(name: &str, page: &Page) -> Option<&'static str> {
    match (page.generated_by.as_str(), name) {
        (_, "nginx-502-3.http" | "nginx-503-3.http") => None,
        ("origin: HAProxy default page", _) => Some("haproxy"),
        (origin, _) if origin.starts_with("origin: nginx") => Some("nginx"),
        (origin, _) if origin.starts_with("origin:") => None,
        _ => Some(kind_of(page)),
    }
}

#[test]
fn each_page_names_its_writer() {
    for (name, page, answer) in pages() {
        let (recognised, _) = read(&answer, &[kind_of(&page)]);
        assert_eq!(recognised.writer, writer_of(&name, &page), "{name}");
    }
}

#[test]
fn a_page_of_another_layer_is_told_from_the_one_that_passed_it() {
    for (name, page, answer) in pages() {
        let (recognised, _) = read(&answer, &[kind_of(&page)]);
        let passed = page.generated_by.starts_with("origin:") && recognised.writer.is_some();
        // HAProxy and Traefik leave no trace on what they pass; httpd and lighttpd keep the backend's `Server`.
        let traceless = matches!(kind_of(&page), "haproxy" | "traefik" | "lighttpd");
        let wanted = (passed && !traceless).then(|| kind_of(&page));
        if recognised.writer.is_some() {
            assert_eq!(recognised.behind, wanted, "{name}");
        }
    }
}

#[test]
fn none_is_from_a_cache() {
    for (name, _, answer) in pages() {
        assert_eq!(read(&answer, &[]).0.cached_by, None, "{name}");
    }
}

/// True where a statement holds for one of the causes that are right.
fn holds(recognised: &Recognised, causes: &[String]) -> bool {
    let mut right = causes.iter().filter_map(|label| Cause::from_label(label));
    right.any(|cause| match recognised.stated {
        None => true,
        Some(stated) if stated == cause || recognised.candidates.contains(&cause) => true,
        Some(Cause::DnsFailed) => cause.phase() == Phase::Dns,
        Some(Cause::ConnectFailed) => cause.phase() == Phase::Connect,
        Some(Cause::TlsFailed) => cause.phase() == Phase::Tls,
        Some(Cause::ResponseFailed) => cause.phase() == Phase::Http,
        // All that the gateway says: it had given the backend up, for a reason told elsewhere.
        Some(Cause::NoLiveUpstream) => matches!(cause.phase(), Phase::Dns | Phase::Connect),
        Some(_) => false,
    })
}

#[test]
fn what_a_page_states_is_what_happened() {
    let mut stated = 0;
    for (name, page, answer) in pages() {
        let (recognised, _) = read(&answer, &[kind_of(&page)]);
        stated += usize::from(recognised.stated.is_some());
        for (fault, causes) in &page.causes {
            assert!(holds(&recognised, causes), "{name}, {fault}: {recognised:?}");
        }
    }
    assert!(stated >= 33, "{stated} pages state a cause");
}

/// A failure behind the gateway is never an error of the application, and an application's own error never a bad gateway.
#[test]
fn a_bad_gateway_is_told_from_an_error_of_the_application() {
    for (name, page, answer) in pages() {
        let (_, outcome) = read(&answer, &[kind_of(&page)]);
        let cause = outcome.cause().expect("all are errors");
        let allowed: &[Cause] = match (page.status, name.as_str()) {
            (502, _) => &[Cause::BadGateway],
            (504, _) => &[Cause::GatewayTimeout],
            // The operator's own, a limit of the gateway's, and a page that stands for a failure and maintenance alike.
            (503, "nginx-503-2.http" | "nginx-503-3.http" | "varnish-503-2.http") => &[Cause::ServiceUnavailable],
            (503, "caddy-503-2.http" | "caddy211-503-2.http" | "lighttpd-503-1.http") => &[Cause::ServiceUnavailable],
            (500, "nginx-500-2.http" | "apache-500-8.http") => &[Cause::ServerError],
            (500, _) if page.generated_by.starts_with("origin:") => &[Cause::ServerError],
            _ => &[Cause::DisguisedBadGateway],
        };
        assert!(allowed.contains(&cause), "{name}: {outcome}");
        assert!(matches!(outcome, Outcome::Failure(_)));
    }
}
