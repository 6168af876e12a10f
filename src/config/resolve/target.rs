//! One entry of `origin` or `via` to a complete target.

use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::error::Place;
use crate::config::file::{HopEntry, HopSettings, PathEntry, Settings};
use crate::config::reader::{At, Context};
use crate::config::url::{Location, request_target};
use crate::upstream::{
    AddressChoice, Auth, ClientCertificate, DEFAULT_MAX_ADDRESSES, DEFAULT_MAX_BODY, DEFAULT_MAX_HEAD, DEFAULT_TIMEOUT,
    Expectation, Family, Host, Request, Scheme, Secret, Target, TlsPolicy,
};

/// What a hop is for; it decides which settings reach it and some defaults.
#[derive(Clone, Copy)]
pub enum Role {
    /// The servers themselves; `verify` is what the innermost gateway does.
    Origin {
        /// The default of `tls.verify`.
        verify: bool,
    },
    /// A gateway.
    Gateway,
}

/// The settings that reach a hop, nearest first.
pub struct Layers<'a> {
    all: Vec<&'a HopSettings>,
    /// How many of them may say what is secret or names a network: all on the origin, on a gateway hop only its own.
    private: usize,
    role: Role,
}

impl<'a> Layers<'a> {
    /// The hop's own settings before those of its upstream, module and `defaults`.
    pub fn new(own: &'a HopSettings, outer: &[&'a Settings], role: Role) -> Self {
        let all: Vec<&HopSettings> = std::iter::once(own)
            .chain(outer.iter().map(|settings| &settings.hop))
            .collect();
        let private = match role {
            Role::Origin { .. } => all.len(),
            Role::Gateway => 1,
        };
        Layers { all, private, role }
    }

    fn at<T>(&self, key: impl Fn(&HopSettings) -> Option<&At<T>>) -> Option<&'a At<T>> {
        self.all.iter().find_map(|settings| key(settings))
    }

    fn pick<T: Clone>(&self, key: impl Fn(&HopSettings) -> Option<&At<T>>) -> Option<T> {
        self.at(key).map(|found| found.value.clone())
    }

    /// As [`Layers::at`], for what stays with its hop.
    fn private<T>(&self, key: impl Fn(&HopSettings) -> Option<&At<T>>) -> Option<&'a At<T>> {
        self.all[..self.private].iter().find_map(|settings| key(settings))
    }
}

/// The target of an entry, `None` when something in it has a problem.
pub fn build(
    entry: &HopEntry,
    layers: &Layers<'_>,
    paths: &[At<PathEntry>],
    stable: &[String],
    cx: &Context<'_>,
) -> Option<Target> {
    let url = &entry.url.as_ref()?.value;
    let method = layers.pick(|s| s.method.as_ref()).unwrap_or(Method::GET);
    let host = layers.at(|s| s.host.as_ref()).map(|host| &host.value);
    let target = Target {
        scheme: url.scheme,
        host: url.host.clone(),
        port: url.port,
        requests: requests(url, paths, cx),
        stable: stable.iter().map(|path| appended(url, path)).collect(),
        host_header: match host {
            Some(host) => host.header.clone(),
            None => host_header(url),
        },
        server_name: layers
            .pick(|s| s.server_name.as_ref())
            .or_else(|| host.map(|host| host.name.clone()))
            .unwrap_or_else(|| crate::config::bare_host(&url.host)),
        headers: headers(layers),
        body: layers.pick(|s| s.body.as_ref()),
        http_version: layers.pick(|s| s.http_version.as_ref()).unwrap_or_default(),
        family: layers.pick(|s| s.family.as_ref()).unwrap_or_default(),
        source_address: layers.pick(|s| s.source_address.as_ref()),
        redirects: layers.pick(|s| s.redirects.as_ref()).unwrap_or_default(),
        max_head: layers.pick(|s| s.max_head.as_ref()).unwrap_or(DEFAULT_MAX_HEAD),
        max_body: layers.pick(|s| s.max_body.as_ref()).unwrap_or(DEFAULT_MAX_BODY),
        resolvers: layers
            .private(|s| s.resolvers.as_ref())
            .map(|list| list.value.clone())
            .unwrap_or_default(),
        addresses: layers.pick(|s| s.addresses.as_ref()).unwrap_or(match layers.role {
            Role::Origin { .. } => AddressChoice::All,
            Role::Gateway => AddressChoice::One,
        }),
        max_addresses: layers
            .pick(|s| s.max_addresses.as_ref())
            .map_or(DEFAULT_MAX_ADDRESSES, |number| number as usize),
        timeout: layers.pick(|s| s.timeout.as_ref()).unwrap_or(DEFAULT_TIMEOUT),
        expect: expect(layers),
        auth: auth(entry, url, layers, cx),
        tls: tls(layers, cx),
        method,
    };
    check(entry, &target, layers, cx);
    Some(target)
}

/// The URL itself, or each path appended to it. A query of the URL is kept in front of the path's own.
fn requests(url: &Location, paths: &[At<PathEntry>], cx: &Context<'_>) -> Vec<Request> {
    if paths.is_empty() {
        return vec![Request {
            label: url.path.as_str().into(),
            path: with_query(&url.path, [url.query.as_deref(), None]),
        }];
    }
    let mut labels = HashSet::new();
    let mut asked = HashSet::new();
    let mut requests = Vec::new();
    for path in paths {
        let PathEntry {
            label,
            path: rest,
            query,
        } = &path.value;
        let joined = format!("{}{rest}", url.path.strip_suffix('/').unwrap_or(&url.path));
        let (joined, _) = request_target(&joined).unwrap_or((joined, None));
        let joined = with_query(&joined, [url.query.as_deref(), query.as_deref()]);
        if !asked.insert(joined.clone()) {
            cx.problem(&path.place, "is the same as an earlier path; remove one");
            continue;
        }
        requests.push(Request {
            label: unique_label(label, &mut labels),
            path: joined,
        });
    }
    requests
}

/// A path appended to the URL's, whatever else is asked there.
fn appended(url: &Location, path: &str) -> Request {
    let joined = format!("{}{path}", url.path.strip_suffix('/').unwrap_or(&url.path));
    Request {
        label: path.into(),
        path: with_query(&joined, [url.query.as_deref(), None]),
    }
}

/// Paths that differ only in their query get a number, because the query itself may hold a key.
fn unique_label(label: &str, taken: &mut HashSet<Arc<str>>) -> Arc<str> {
    let candidates = std::iter::once(label.to_owned()).chain((2..).map(|number| format!("{label}#{number}")));
    for candidate in candidates {
        let candidate: Arc<str> = candidate.into();
        if taken.insert(candidate.clone()) {
            return candidate;
        }
    }
    label.into()
}

fn with_query(path: &str, queries: [Option<&str>; 2]) -> String {
    let queries: Vec<&str> = queries.into_iter().flatten().collect();
    match queries.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", queries.join("&")),
    }
}

fn host_header(url: &Location) -> HeaderValue {
    let text = match &url.host {
        // What nginx sends to a socket.
        Host::Unix(_) => "localhost".to_owned(),
        host if url.port == url.scheme.default_port() => host.to_string(),
        host => format!("{host}:{}", url.port),
    };
    HeaderValue::from_str(&text).expect("a host that was parsed is visible ASCII")
}

/// Joined by name: the nearest layer that has a header gives all its values. They stay with their hop.
fn headers(layers: &Layers<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut names: HashSet<&HeaderName> = HashSet::new();
    let mut headers = Vec::new();
    for settings in &layers.all[..layers.private] {
        let new: Vec<_> = settings
            .headers
            .iter()
            .filter(|header| !names.contains(&header.value.0))
            .collect();
        headers.extend(new.iter().map(|header| header.value.clone()));
        names.extend(new.iter().map(|header| &header.value.0));
    }
    headers
}

fn expect(layers: &Layers<'_>) -> Expectation {
    let built_in = Expectation::default();
    Expectation {
        status: layers.pick(|s| s.expect.status.as_ref()).unwrap_or(built_in.status),
        body: layers.pick(|s| s.expect.body.as_ref()),
        addresses: layers
            .private(|s| s.expect.addresses.as_ref())
            .map(|list| list.value.clone())
            .unwrap_or(built_in.addresses),
    }
}

/// `auth`, or the userinfo of the URL; both in one place contradict each other.
fn auth(entry: &HopEntry, url: &Location, layers: &Layers<'_>, cx: &Context<'_>) -> Option<Auth> {
    let Some((username, password)) = &url.userinfo else {
        return layers.private(|s| s.auth.as_ref()).map(|auth| auth.value.clone());
    };
    if let Some(auth) = &entry.settings.auth {
        cx.problem(&auth.place, "the URL has credentials too; remove one of them");
    }
    if username.contains(':')
        || [username, password]
            .iter()
            .any(|text| text.chars().any(char::is_control))
    {
        cx.problem(
            &entry.place,
            "the user in the URL cannot hold a colon, nor user or password control characters",
        );
    }
    Some(Auth::Basic {
        username: username.clone(),
        password: Secret::new(password.clone()),
    })
}

fn tls(layers: &Layers<'_>, cx: &Context<'_>) -> TlsPolicy {
    let built_in = TlsPolicy::default();
    let flag = |key: fn(&HopSettings) -> Option<&At<bool>>| layers.private(key);
    let ca = layers.private(|s| s.tls.ca_file.as_ref());
    let ca_only = flag(|s| s.tls.ca_only.as_ref());
    if let (Some(only), None) = (ca_only.filter(|only| only.value), ca) {
        cx.problem(
            &only.place,
            "nothing would be trusted: ca_file is missing; name it, or remove ca_only",
        );
    }
    TlsPolicy {
        verify: flag(|s| s.tls.verify.as_ref()).map_or(
            match layers.role {
                Role::Origin { verify } => verify,
                Role::Gateway => true,
            },
            |verify| verify.value,
        ),
        ca: ca.map(|ca| ca.value.clone()),
        ca_only: ca_only.is_some_and(|only| only.value),
        client: client_certificate(layers, cx),
        min_version: layers
            .private(|s| s.tls.min_version.as_ref())
            .map_or(built_in.min_version, |version| version.value),
    }
}

fn client_certificate(layers: &Layers<'_>, cx: &Context<'_>) -> Option<ClientCertificate> {
    let chain = layers.private(|s| s.tls.cert_file.as_ref());
    let key = layers.private(|s| s.tls.key_file.as_ref());
    match (chain, key) {
        (Some(chain), Some(key)) => {
            if !belong_together(&chain.value, key.value.reveal()) {
                cx.problem(&key.place, "the key does not belong to the certificate of cert_file");
            }
            Some(ClientCertificate {
                chain: chain.value.clone(),
                key: key.value.clone(),
            })
        }
        (Some(chain), None) => {
            cx.problem(&chain.place, "key_file is missing; a client certificate needs its key");
            None
        }
        (None, Some(key)) => {
            cx.problem(&key.place, "cert_file is missing; a key alone is of no use");
            None
        }
        (None, None) => None,
    }
}

/// False when key and certificate are known not to match, or the key is of a kind that cannot be used.
fn belong_together(chain: &[u8], key: &str) -> bool {
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let (Ok(chain), Ok(key)) = (chain, PrivateKeyDer::from_pem_slice(key.as_bytes())) else {
        return false;
    };
    rustls::sign::CertifiedKey::from_der(chain, key, &crate::crypto::provider()).is_ok()
}

/// What could never work, or says one thing twice.
fn check(entry: &HopEntry, target: &Target, layers: &Layers<'_>, cx: &Context<'_>) {
    let own = &entry.settings;
    if let (Scheme::Http, Some(tls)) = (target.scheme, &own.tls.written) {
        cx.problem(
            &tls.place,
            "the URL is http, so tls has no effect; write https, or remove tls",
        );
    }
    if let (&Method::HEAD, Some(body)) = (&target.method, layers.at(|s| s.expect.body.as_ref())) {
        cx.problem(
            &body.place,
            "an answer to HEAD has no body to look at; use GET, or remove expect.body",
        );
    }
    if let (&Method::TRACE, Some(body)) = (&target.method, layers.at(|s| s.body.as_ref())) {
        cx.problem(&body.place, "TRACE cannot carry a body; use POST, or remove body");
    }
    if let (Some(auth), Some(header)) = (&target.auth, authorization(layers)) {
        let kind = match auth {
            Auth::Basic { .. } => "basic",
            Auth::Bearer(_) => "bearer",
        };
        cx.problem(
            header,
            format!("auth sends {kind} credentials in this header already; remove one of them"),
        );
    }
    families(entry, target, layers, cx);
}

fn authorization<'a>(layers: &Layers<'a>) -> Option<&'a Place> {
    let headers = layers.all[..layers.private]
        .iter()
        .flat_map(|settings| &settings.headers);
    headers
        .into_iter()
        .find(|header| header.value.0 == http::header::AUTHORIZATION)
        .map(|header| &header.place)
}

/// `family`, `source_address` and an address in the URL must be able to meet.
fn families(entry: &HopEntry, target: &Target, layers: &Layers<'_>, cx: &Context<'_>) {
    let of = |ip: std::net::IpAddr| if ip.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    let name = |family| match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
        Family::Any => "any",
    };
    let family_at = layers.at(|s| s.family.as_ref()).map(|family| &family.place);
    let source_at = layers.at(|s| s.source_address.as_ref()).map(|source| &source.place);
    let wanted = target.family;
    if let (Host::Ip(ip), Some(place)) = (&target.host, family_at)
        && !wanted.allows(*ip)
    {
        cx.problem(
            place,
            format!(
                "only {} is used, but the URL has an {} address",
                name(wanted),
                name(of(*ip))
            ),
        );
    }
    let (Some(source), Some(place)) = (target.source_address, source_at) else {
        return;
    };
    if !wanted.allows(source) {
        cx.problem(
            place,
            format!("is an {} address, but only {} is used", name(of(source)), name(wanted)),
        );
    }
    if let Host::Ip(ip) = &target.host
        && of(*ip) != of(source)
        && own_source(entry)
    {
        cx.problem(
            place,
            format!(
                "is an {} address, but the URL has an {} one",
                name(of(source)),
                name(of(*ip))
            ),
        );
    }
}

fn own_source(entry: &HopEntry) -> bool {
    entry.settings.source_address.is_some()
}
