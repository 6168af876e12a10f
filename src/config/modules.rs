//! Settings kept after loading, for targets that are named later: by a request to `/probe`, or by discovery.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::error::Place;
use super::file::{HopEntry, HopSettings, Settings};
use super::reader::{At, Context};
use super::tree::{Kind, Node};
use super::{error::quoted, read, resolve, shown, url};
use crate::upstream::{Host, Target};

/// The module of a request that names none, where the file defines it; without it the built-in settings hold.
/// The name is blackbox_exporter's.
const DEFAULT_MODULE: &str = "http_2xx";

/// The modules of a configuration. Clones share them. Its `Debug` shows names only.
#[derive(Clone)]
pub struct Modules {
    kept: Arc<Kept>,
}

struct Kept {
    defaults: Settings,
    modules: Vec<(At<String>, Settings)>,
    shown: BTreeMap<String, String>,
}

/// A target made on request.
#[derive(Clone, Debug)]
pub struct ModuleTarget {
    /// What is probed. Its timeout is the built-in one where the module states none.
    pub target: Target,
    /// The timeout where the module, or `defaults` below it, states one.
    pub timeout: Option<Duration>,
    /// The module as the file has it, secrets hidden, YAML.
    pub shown: String,
}

/// Why a request names no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleError {
    /// No module of that name.
    UnknownModule,
    /// `hostname` and the module's `host` contradict each other; the module's.
    HostConflict(String),
    /// What is wrong with URL or host name, and what would be right; never a secret.
    Unusable(String),
}

impl Modules {
    pub(super) fn new(defaults: Settings, modules: Vec<(At<String>, Settings)>, root: &Node) -> Self {
        Modules {
            kept: Arc::new(Kept {
                defaults,
                modules,
                shown: shown_modules(root),
            }),
        }
    }

    /// The target that a module makes of a URL: built-in settings < `defaults` < module. `paths` of the module are left
    /// out: the URL itself is asked. Without a module's name it is `http_2xx`, and where that is not defined the built-in
    /// settings alone. A URL without scheme is `http`. `hostname` becomes `Host`, and what the certificate is held
    /// against unless the module says `server_name`.
    ///
    /// # Errors
    /// See [`ModuleError`].
    pub fn target(&self, module: Option<&str>, url: &str, hostname: Option<&str>) -> Result<ModuleTarget, ModuleError> {
        let settings = match (module, self.settings(module.unwrap_or(DEFAULT_MODULE))) {
            (Some(_), None) => return Err(ModuleError::UnknownModule),
            (_, settings) => settings,
        };
        let layers: Vec<&Settings> = match settings {
            Some(settings) => vec![settings, &self.kept.defaults],
            None => Vec::new(),
        };
        let entry = HopEntry {
            place: Place::default(),
            gateway: None,
            url: Some(here(location(url)?)),
            settings: HopSettings {
                host: hostname.map(|name| host(name, &layers)).transpose()?,
                ..HopSettings::default()
            },
        };
        let stated = layers.iter().find_map(|settings| settings.hop.timeout.as_ref());
        let cx = Context::new("", Path::new("."), &|_| None);
        let target = resolve::lone_target(&entry, &layers, &cx);
        Ok(ModuleTarget {
            target: match (target, said(cx)) {
                (Some(target), None) => target,
                (_, problems) => return Err(ModuleError::Unusable(problems.unwrap_or_default())),
            },
            timeout: stated.map(|timeout| timeout.value),
            shown: settings
                .and_then(|_| self.kept.shown.get(module.unwrap_or(DEFAULT_MODULE)).cloned())
                .unwrap_or_else(|| "{}\n".into()),
        })
    }

    /// The target of a URL with the built-in settings alone: for services of our own that are asked, not judged.
    ///
    /// # Errors
    /// What is wrong with the URL, without secrets.
    pub fn plain_target(&self, url: &str) -> Result<Target, String> {
        let entry = HopEntry {
            place: Place::default(),
            gateway: None,
            url: Some(here(url::parse(url)?)),
            settings: HopSettings::default(),
        };
        let cx = Context::new("", Path::new("."), &|_| None);
        let target = resolve::lone_target(&entry, &[], &cx);
        target.ok_or_else(|| said(cx).unwrap_or_default())
    }

    fn settings(&self, name: &str) -> Option<&Settings> {
        self.all().iter().find(|(known, _)| known.value == name).map(|(_, s)| s)
    }

    pub(super) fn all(&self) -> &[(At<String>, Settings)] {
        &self.kept.modules
    }

    pub(super) fn defaults(&self) -> &Settings {
        &self.kept.defaults
    }
}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.all().iter().map(|(name, _)| &name.value))
            .finish()
    }
}

/// A value that stands in no file.
pub(super) fn here<T>(value: T) -> At<T> {
    At {
        value,
        place: Place::default(),
    }
}

/// Everything that was found wrong, in one line; `None` when nothing was.
pub(super) fn said(cx: Context<'_>) -> Option<String> {
    let problems = cx.into_problems();
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    (!messages.is_empty()).then(|| messages.join("; "))
}

/// The URL of a request; sockets of this host are nobody's to ask for from outside.
fn location(text: &str) -> Result<url::Location, ModuleError> {
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let wrong = |message: &str| ModuleError::Unusable(format!("{} {message}", quoted(&url::redacted(&whole))));
    match url::parse(&whole) {
        Ok(location) if matches!(location.host, Host::Unix(_)) => {
            Err(wrong("is a unix socket, which is never probed on request"))
        }
        Ok(location) => Ok(location),
        Err(message) => Err(wrong(&message)),
    }
}

fn host(name: &str, layers: &[&Settings]) -> Result<At<super::file::HostEntry>, ModuleError> {
    let known = layers.iter().find_map(|settings| settings.hop.host.as_ref());
    if let Some(known) = known.filter(|known| known.value.header != name) {
        let known = String::from_utf8_lossy(known.value.header.as_bytes()).into_owned();
        return Err(ModuleError::HostConflict(known));
    }
    match read::host(name) {
        Ok(entry) => Ok(here(entry)),
        Err(message) => Err(ModuleError::Unusable(format!("{} {message}", quoted(name)))),
    }
}

fn shown_modules(root: &Node) -> BTreeMap<String, String> {
    let entries = |node: &Node| match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect(),
        _ => Vec::new(),
    };
    let modules = entries(root).into_iter().find(|(key, _)| key == "modules");
    let modules = modules.map(|(_, modules)| entries(&modules)).unwrap_or_default();
    modules
        .into_iter()
        .map(|(name, settings)| (name, shown::render(&settings)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(text: &str) -> Modules {
        let text = format!("{text}\nupstreams: [{{ name: a, origin: http://a }}]");
        super::super::from_str(&text, "t.yml", Path::new("."), &|_| None)
            .unwrap_or_else(|problems| panic!("{problems}"))
            .modules
    }

    const TWO: &str = "
defaults: { method: HEAD, auth: { bearer: hunter-default } }
modules:
  api: { timeout: 3s, paths: [/never], host: shop.example, auth: { basic: { username: u, password: hunter-pw } } }
  plain: { method: GET, headers: { X-Token: hunter-head } }";

    #[test]
    fn a_module_makes_a_target_of_a_url() {
        let modules = modules(TWO);
        let made = modules.target(Some("api"), "10.0.0.7:8080/x?q", None).unwrap();
        assert_eq!(made.timeout, Some(Duration::from_secs(3)));
        assert_eq!((made.target.port, made.target.requests.len()), (8080, 1));
        assert_eq!(made.target.requests[0].path, "/x?q");
        assert_eq!(made.target.host_header, "shop.example");
        assert_eq!(made.target.method, http::Method::HEAD);
        assert!(
            made.shown.contains("timeout: 3s") && !made.shown.contains("hunter"),
            "{}",
            made.shown
        );
        let plain = modules
            .target(Some("plain"), "https://h", Some("other.example:1"))
            .unwrap();
        assert_eq!(plain.target.host_header, "other.example:1");
        assert_eq!(
            (plain.target.server_name.as_str(), plain.timeout),
            ("other.example", None)
        );
        assert!(plain.target.auth.is_some(), "defaults stand below a module");
        assert!(!plain.shown.contains("hunter"), "{}", plain.shown);
    }

    #[test]
    fn without_a_module_nothing_of_the_file_is_sent() {
        let made = modules(TWO).target(None, "http://h", None).unwrap();
        assert!(made.target.auth.is_none() && made.target.method == http::Method::GET);
        assert_eq!((made.timeout, made.shown.as_str()), (None, "{}\n"));
        let made = modules("modules: { http_2xx: { timeout: 1s } }").target(None, "h", None);
        assert_eq!(made.unwrap().timeout, Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_makes_no_target_is_refused() {
        let modules = modules(TWO);
        let refused = |module, url, host| modules.target(module, url, host).unwrap_err();
        assert_eq!(refused(Some("x"), "http://h", None), ModuleError::UnknownModule);
        assert_eq!(
            refused(Some("api"), "http://h", Some("b.example")),
            ModuleError::HostConflict("shop.example".into())
        );
        for url in [
            "http://unix:/run/x.sock:/",
            "ftp://h",
            "",
            "http://u:hunter@h h/",
            "unix:/run/x",
        ] {
            let ModuleError::Unusable(message) = refused(None, url, None) else {
                panic!("{url}");
            };
            assert!(!message.contains("hunter"), "{message}");
        }
        assert!(matches!(
            refused(None, "http://h", Some("a/b")),
            ModuleError::Unusable(_)
        ));
    }
}
