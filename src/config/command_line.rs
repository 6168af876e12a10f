//! `badgateway run URL[=NAME]… [--via URL[=NAME]]…`: a configuration without a file.
//!
//! The arguments are turned into the YAML an operator would have written, which is then loaded like any file; so both mean
//! the same, and `/config` shows it.
//!
//! 1. `NAME` is what follows the last `=` when it is a valid name and no `?` stands before it: `=` belongs into queries.
//!    A URL with a query is therefore named after its host; one whose path ends in `=word` writes `%3D`.
//! 2. Without `NAME` an upstream or gateway is called as the host of its URL, with the port where that is not the scheme's
//!    own; a second one of that name gets `-2`.
//! 3. `--via` names the gateways in front of the one upstream, outermost first, of kind `generic` where none is named. With several upstreams it
//!    would not be clear whose they are, so that is refused.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use super::Config;
use super::error::{Place, Problems, quoted};
use super::reader::Context;
use super::url::{self, Location};
use super::value;
use crate::upstream::{Host, ORIGIN};

/// Stands where a file has its name.
const COMMAND_LINE: &str = "command line";

/// The configuration that URLs on the command line mean. Problems name the argument.
pub fn from_urls(urls: &[String], via: &[String]) -> Result<Config, Problems> {
    from_urls_with_kinds(urls, via, &[])
}

/// As [`from_urls`], with the kinds of the gateways in their order; the last one stands for those that follow.
pub fn from_urls_with_kinds(urls: &[String], via: &[String], kinds: &[String]) -> Result<Config, Problems> {
    let no_env = |_: &str| None;
    let cx = Context::new(COMMAND_LINE, Path::new("."), &no_env);
    if urls.is_empty() {
        cx.problem(
            &Place::default(),
            "no URL to probe; write badgateway run http://checkout.internal:8080/healthz",
        );
    }
    if urls.len() > 1 && !via.is_empty() {
        cx.problem(
            &argument("--via"),
            format!(
                "belongs to one upstream, found {}; write a configuration file, where each upstream has its own via",
                urls.len()
            ),
        );
    }
    let upstreams = named(urls, "URL", &["other"], &cx);
    let gateways = named(via, "--via", &[ORIGIN], &cx);
    let problems = cx.into_problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    super::from_str(
        &yaml(&upstreams, &gateways, kinds),
        COMMAND_LINE,
        Path::new("."),
        &no_env,
    )
}

fn argument(name: &str) -> Place {
    Place {
        path: name.into(),
        ..Place::default()
    }
}

/// Name and URL of each argument.
fn named(arguments: &[String], what: &str, refused: &[&str], cx: &Context<'_>) -> Vec<(String, String)> {
    let mut taken: HashSet<String> = refused.iter().map(|name| (*name).to_owned()).collect();
    let mut named = Vec::new();
    for text in arguments {
        let (url, name) = split_name(text);
        let location = match url::parse(url) {
            Ok(location) => location,
            Err(message) => {
                cx.problem(&argument(what), format!("{} {message}", quoted(&url::redacted(url))));
                continue;
            }
        };
        let name = match name {
            Some(name) if taken.insert(name.to_owned()) => name.to_owned(),
            Some(name) => {
                cx.problem(
                    &argument(what),
                    format!("the name {} is taken; choose another", quoted(name)),
                );
                continue;
            }
            None => free_name(&host_name(&location), &mut taken),
        };
        named.push((name, url.to_owned()));
    }
    named
}

/// `URL=NAME` taken apart by rule 1.
fn split_name(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('=') {
        Some((url, name)) if !url.contains('?') && value::name(name).is_ok() => (url, Some(name)),
        _ => (text, None),
    }
}

fn host_name(location: &Location) -> String {
    let host = match &location.host {
        Host::Unix(socket) => socket.display().to_string(),
        Host::Ip(ip) => ip.to_string(),
        Host::Name(name) => name.clone(),
    };
    let mut name: String = host
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "_.-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    if location.port != location.scheme.default_port() {
        let _ = write!(name, "-{}", location.port);
    }
    let name: String = name.trim_matches(['-', '.']).chars().take(100).collect();
    if name.is_empty() { "upstream".into() } else { name }
}

fn free_name(name: &str, taken: &mut HashSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}-{number}");
        number += 1;
    }
    candidate
}

fn yaml(upstreams: &[(String, String)], gateways: &[(String, String)], kinds: &[String]) -> String {
    // JSON strings are YAML strings; `$` is doubled, because the shell has replaced its variables already.
    let text = |value: &str| serde_json::Value::String(value.replace('$', "$$")).to_string();
    let mut out = String::new();
    if !gateways.is_empty() {
        out.push_str("gateways:\n");
        for (index, (name, _)) in gateways.iter().enumerate() {
            let kind = kinds.get(index).or(kinds.last()).map_or("generic", String::as_str);
            let _ = writeln!(out, "  - {{ name: {}, kind: {} }}", text(name), text(kind));
        }
    }
    out.push_str("upstreams:\n");
    for (name, url) in upstreams {
        let _ = writeln!(out, "  - name: {}\n    origin: {}", text(name), text(url));
        if !gateways.is_empty() {
            out.push_str("    via:\n");
        }
        for (name, url) in gateways {
            let _ = writeln!(out, "      - {{ gateway: {}, url: {} }}", text(name), text(url));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(urls: &[&str], via: &[&str]) -> Result<Config, String> {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        from_urls(&own(urls), &own(via)).map_err(|problems| problems.to_string())
    }

    #[test]
    fn names_are_taken_where_they_are_meant() {
        for (text, name, path) in [
            ("http://h:8080/x=checkout", "checkout", "/x"),
            ("http://h=api", "api", "/"),
            ("http://h:8080/", "h-8080", "/"),
            ("http://h/?a=b", "h", "/?a=b"),
            ("http://h/?a=b=name", "h", "/?a=b=name"),
            ("http://h/a%3Db", "h", "/a%3Db"),
            ("http://[::1]:9/", "1-9", "/"),
            ("http://unix:/run/app.sock:/up", "run-app.sock", "/up"),
            ("http://h/$x", "h", "/$x"),
        ] {
            let config = load(&[text], &[]).unwrap_or_else(|problems| panic!("{text}: {problems}"));
            let upstream = &config.upstreams[0];
            assert_eq!(&*upstream.name, name, "{text}");
            assert_eq!(upstream.hops[0].targets[0].requests[0].path, path, "{text}");
        }
        let config = load(&["http://h/a", "http://h/b"], &[]).unwrap();
        assert_eq!(&*config.upstreams[1].name, "h-2");
    }

    #[test]
    fn gateways_are_hops_of_the_one_upstream() {
        let config = load(
            &["http://10.0.0.1:8080=app"],
            &["https://shop.example=cdn", "http://10.0.0.7/"],
        )
        .unwrap();
        let hops: Vec<&str> = config.upstreams[0].hops.iter().map(|hop| &*hop.name).collect();
        assert_eq!(hops, ["cdn", "10.0.0.7", "origin"]);
        assert!(config.shown.contains("gateway: \"cdn\""), "{}", config.shown);
    }

    #[test]
    fn kinds_stand_in_the_order_of_the_gateways() {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let via = own(&["http://a/=a", "http://b/=b", "http://c/=c"]);
        for (kinds, expected) in [
            (&[][..], ["generic", "generic", "generic"]),
            (&["nginx"], ["nginx", "nginx", "nginx"]),
            (&["cloudflare", "haproxy"], ["cloudflare", "haproxy", "haproxy"]),
        ] {
            let config = from_urls_with_kinds(&own(&["http://10.0.0.1/"]), &via, &own(kinds)).unwrap();
            let hops = config.upstreams[0].hops.iter().filter_map(|hop| hop.gateway.as_ref());
            assert_eq!(hops.map(|gateway| gateway.kind).collect::<Vec<_>>(), expected);
        }
        let problems = from_urls_with_kinds(&own(&["http://10.0.0.1/"]), &via, &own(&["ngnix"])).unwrap_err();
        assert!(problems.to_string().contains("did you mean nginx"), "{problems}");
    }

    #[test]
    fn what_is_wrong_is_said_of_the_argument() {
        for (urls, via, expected) in [
            (vec![], vec![], "command line: no URL to probe"),
            (
                vec!["http://a", "http://b"],
                vec!["http://g"],
                "command line: --via: belongs to one upstream, found 2",
            ),
            (vec!["u:pw@h"], vec![], "command line: URL: \"<secret>@h\" is not a URL"),
            (vec!["http://a=x", "http://b=x"], vec![], "the name \"x\" is taken"),
            (vec!["http://a=other"], vec![], "the name \"other\" is taken"),
        ] {
            let problems = load(&urls, &via).unwrap_err();
            assert!(problems.contains(expected), "{problems}");
        }
    }
}
