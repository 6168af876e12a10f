//! A discovered target and its labels to an upstream, by the rules of Prometheus where it has some.
//!
//! 1. A target with `://` is a URL; else it is `host:port`, and `__scheme__` (default `http`) and `__metrics_path__` or
//!    `__path__` (default `/`) make a URL of it.
//! 2. `upstream` or `__name` names the upstream; else its name is the target without scheme, every character a name
//!    cannot have made `-`.
//! 3. `module` or `__param_module` selects the module.
//! 4. Other labels that begin with `__` are left out. The rest become labels of the upstream, as far as the
//!    configuration would take them; those it would not are told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::error::{Place, quoted};
use super::file::{HopEntry, HopSettings, Settings, UpstreamEntry};
use super::modules::{Modules, here, said};
use super::reader::Context;
use super::{resolve, url, value};
use crate::upstream::{Host, Upstream};

/// Bytes of a label's value, as in the file.
const MAX_LABEL_BYTES: usize = 1024;
/// Characters of a name made of a target.
const MAX_NAME: usize = 128;
/// Labels with a meaning of their own here.
const OWN: [&str; 2] = ["upstream", "module"];

/// An upstream that discovery found.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// As if it stood in the file.
    pub upstream: Arc<Upstream>,
    /// Labels left out because the configuration would refuse them.
    pub refused_labels: Vec<String>,
}

impl Modules {
    /// The upstream that a discovered target means. Equal input gives an equal fingerprint.
    ///
    /// # Errors
    /// What is wrong with it, in one line without secrets.
    pub fn upstream(&self, target: &str, labels: &BTreeMap<String, String>) -> Result<Discovered, String> {
        let label = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| labels.get(*name))
                .filter(|text| !text.is_empty())
        };
        let url = url_of(target, labels);
        let location = url::parse(&url).map_err(|message| format!("{} {message}", quoted(&url::redacted(&url))))?;
        if matches!(location.host, Host::Unix(_)) {
            return Err(format!("{} is a unix socket, which is not discovered", quoted(&url)));
        }
        let name = match label(["upstream", "__name"]) {
            Some(name) => value::name(name).map_err(|message| format!("{} {message}", quoted(name)))?,
            None => name_of(target),
        };
        let (settings, refused_labels) = settings(labels);
        let entry = UpstreamEntry {
            place: Place::default(),
            name: Some(here(name)),
            module: label(["module", "__param_module"]).map(|module| here(module.clone())),
            origin: Some(vec![HopEntry {
                place: Place::default(),
                gateway: None,
                url: Some(here(location)),
                settings: HopSettings::default(),
            }]),
            via: None,
            settings,
        };
        let cx = Context::new("", Path::new("."), &|_| None);
        let resolved = resolve::lone_upstream(&entry, self.all(), self.defaults(), &cx);
        match (resolved, said(cx)) {
            (Some(upstream), None) => Ok(Discovered {
                upstream: Arc::new(upstream),
                refused_labels,
            }),
            (_, problems) => Err(format!(
                "{}: {}",
                quoted(&url::redacted(target)),
                problems.unwrap_or_default()
            )),
        }
    }
}

fn url_of(target: &str, labels: &BTreeMap<String, String>) -> String {
    if target.contains("://") {
        return target.to_owned();
    }
    let label = |name: &str| labels.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let scheme = label("__scheme__").unwrap_or("http");
    let path = label("__metrics_path__").or(label("__path__")).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{target}{slash}{path}")
}

/// A name made of a target: without scheme, user and query, which may hold a password or a key.
fn name_of(target: &str) -> String {
    let bare = target.split_once("://").map_or(target, |(_, rest)| rest);
    let bare = bare.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let name: String = host
        .chars()
        .chain(path.chars())
        .map(|c| if allowed(c) { c } else { '-' })
        .take(MAX_NAME)
        .collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "target".into() } else { name.into() }
}

fn settings(labels: &BTreeMap<String, String>) -> (Settings, Vec<String>) {
    let (mut settings, mut refused) = (Settings::default(), Vec::new());
    for (name, text) in labels {
        if name.starts_with("__") || OWN.contains(&name.as_str()) {
            continue;
        }
        match value::label_name(name).is_ok() && text.len() <= MAX_LABEL_BYTES {
            true => settings.labels.push((here(name.clone()), text.clone())),
            false => refused.push(name.clone()),
        }
    }
    (settings, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(target: &str, labels: &[(&str, &str)]) -> Result<Discovered, String> {
        let text = "
defaults: { timeout: 2s, labels: { team: a } }
modules: { api: { timeout: 3s, paths: [/up] } }
upstreams: [{ name: a, origin: http://a }]";
        let config = super::super::from_str(text, "t.yml", Path::new("."), &|_| None).unwrap();
        let own = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
        config.modules.upstream(target, &labels.iter().map(own).collect())
    }

    #[test]
    fn targets_and_labels_make_upstreams() {
        for (target, labels, name, url) in [
            ("10.0.0.7:8080", vec![], "10.0.0.7-8080", "http://10.0.0.7:8080/"),
            ("[::1]:80", vec![("__scheme__", "https")], "1--80", "https://[::1]:80/"),
            (
                "h:1",
                vec![("__metrics_path__", "/up"), ("upstream", "shop")],
                "shop",
                "http://h:1/up",
            ),
            (
                "h:1",
                vec![("__path__", "up"), ("__name", "shop")],
                "shop",
                "http://h:1/up",
            ),
            (
                "https://u:pw@h/a/b?k=v",
                vec![("__scheme__", "http")],
                "h-a-b",
                "https://h/a/b",
            ),
            ("h", vec![("__param_module", "api")], "h", "http://h/up"),
        ] {
            let found = found(target, &labels).unwrap();
            let target = &found.upstream.hops[0].targets[0];
            assert_eq!(
                (&*found.upstream.name, target.url(&target.requests[0]).as_str()),
                (name, url)
            );
        }
    }

    #[test]
    fn settings_come_from_defaults_and_module() {
        let plain = found("h:1", &[("team", "b"), ("job", "x"), ("__meta_x", "y"), ("le-x", "")]).unwrap();
        assert_eq!(plain.upstream.hops[0].targets[0].timeout.as_secs(), 2);
        assert_eq!(plain.upstream.labels["team"], "b");
        assert_eq!(plain.upstream.labels.len(), 1);
        assert_eq!(plain.refused_labels, ["job", "le-x"]);
        let api = found("h:1", &[("module", "api")]).unwrap();
        assert_eq!(api.upstream.hops[0].targets[0].timeout.as_secs(), 3);
        assert_ne!(api.upstream.fingerprint, plain.upstream.fingerprint);
        assert_eq!(
            found("h:1", &[("module", "api")]).unwrap().upstream.fingerprint,
            api.upstream.fingerprint
        );
    }

    #[test]
    fn what_cannot_be_probed_is_told_without_secrets() {
        for (target, labels, expected) in [
            ("h:1", vec![("module", "apo")], "did you mean api?"),
            ("h:1", vec![("upstream", "a b")], "is not a name"),
            ("h:1", vec![("upstream", "other")], "beyond a bound"),
            ("http://u:hunter@h:0/", vec![], "port 0"),
            ("http://unix:/run/x:/", vec![], "unix socket"),
            ("", vec![], "no host"),
        ] {
            let message = found(target, &labels).unwrap_err();
            assert!(message.contains(expected) && !message.contains("hunter"), "{message}");
        }
    }
}
