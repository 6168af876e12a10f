//! Which upstream a logged request belongs to.
//!
//! In this order: the longest `path_prefix` of the matching `host`, the gateway's own name of the backend, a backend
//! address that exactly one upstream has; else [`OTHER`]. With one upstream behind the gateway and no routes,
//! everything is its.

use std::collections::HashMap;
use std::sync::Arc;

/// The index of requests that belong to no upstream.
pub const OTHER: usize = usize::MAX;

/// A rule of the configuration: all that is stated must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The host asked for, without port.
    pub host: Option<String>,
    /// The beginning of the path.
    pub path_prefix: Option<String>,
    /// The gateway's names of the backend; any of them.
    pub names: Vec<String>,
    /// Index of the upstream.
    pub upstream: usize,
}

/// An upstream behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its name.
    pub name: Arc<str>,
    /// Addresses of its servers, as logs write them: `10.0.0.1:8080`, `unix:/run/app.sock`.
    pub backends: Vec<String>,
}

/// The rules of one gateway.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    upstreams: Vec<Served>,
    /// Those with a host or path, longest path first.
    by_path: Vec<Route>,
    by_name: HashMap<Vec<u8>, usize>,
    /// `None` where several upstreams have it.
    by_backend: HashMap<Vec<u8>, Option<usize>>,
    /// The only upstream, where there are no routes.
    only: Option<usize>,
}

impl Routes {
    /// From the upstreams behind the gateway and its routes.
    pub fn new(upstreams: Vec<Served>, routes: Vec<Route>) -> Routes {
        let mut by_backend: HashMap<Vec<u8>, Option<usize>> = HashMap::new();
        for (number, upstream) in upstreams.iter().enumerate() {
            for backend in &upstream.backends {
                by_backend
                    .entry(backend.as_bytes().to_vec())
                    .and_modify(|owner| *owner = owner.filter(|owner| *owner == number))
                    .or_insert(Some(number));
            }
        }
        let is_by_path = |route: &Route| route.host.is_some() || route.path_prefix.is_some();
        let mut by_name: HashMap<Vec<u8>, usize> = upstreams
            .iter()
            .enumerate()
            .map(|(number, upstream)| (upstream.name.as_bytes().to_vec(), number))
            .collect();
        for route in routes.iter().filter(|route| !is_by_path(route)) {
            by_name.extend(
                route
                    .names
                    .iter()
                    .map(|name| (name.as_bytes().to_vec(), route.upstream)),
            );
        }
        let only = (upstreams.len() == 1 && routes.is_empty()).then_some(0);
        let mut by_path: Vec<Route> = routes.into_iter().filter(is_by_path).collect();
        by_path.sort_by_key(|route| std::cmp::Reverse(route.path_prefix.as_ref().map_or(0, String::len)));
        Routes {
            upstreams,
            by_path,
            by_name,
            by_backend,
            only,
        }
    }

    /// The upstreams, by index.
    pub fn upstreams(&self) -> &[Served] {
        &self.upstreams
    }

    /// The upstream a request belongs to. Empty texts are not known.
    pub fn upstream_of(&self, host: &[u8], target: &[u8], names: &[&[u8]; 3], backend: &[u8]) -> usize {
        if let Some(only) = self.only {
            return only;
        }
        let by_path = self.by_path.iter().find(|route| matches(route, host, target, names));
        if let Some(route) = by_path {
            return route.upstream;
        }
        let by_name = names
            .iter()
            .filter(|name| !name.is_empty())
            .find_map(|name| self.by_name.get(*name));
        let by_backend = || self.by_backend.get(backend).copied().flatten();
        by_name.copied().or_else(by_backend).unwrap_or(OTHER)
    }
}

fn matches(route: &Route, host: &[u8], target: &[u8], names: &[&[u8]; 3]) -> bool {
    let (target_host, path) = split_target(target);
    let host = match host {
        b"" => target_host,
        host => host,
    };
    let host_matches = route
        .host
        .as_ref()
        .is_none_or(|wanted| without_port(host).eq_ignore_ascii_case(wanted.as_bytes()));
    let path_matches = route
        .path_prefix
        .as_ref()
        .is_none_or(|prefix| is_below(path, prefix.as_bytes()));
    let name_matches = route.names.is_empty() || route.names.iter().any(|wanted| names.contains(&wanted.as_bytes()));
    host_matches && path_matches && name_matches
}

/// Host and path of a target that may be a whole URL.
fn split_target(target: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memmem::find(target.get(..8.min(target.len())).unwrap_or_default(), b"://") {
        Some(scheme) => {
            let rest = &target[scheme + 3..];
            let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
            (&rest[..end], &rest[end..])
        }
        None => (b"", target),
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        Some(at) if host[at + 1..].iter().all(u8::is_ascii_digit) && !host[..at].contains(&b':') => &host[..at],
        Some(at) if host.starts_with(b"[") && host.get(at.wrapping_sub(1)) == Some(&b']') => &host[..at],
        _ => host,
    }
}

/// Whether a path lies at or below a prefix: `/api` holds `/api`, `/api/x` and `/api?x`, not `/apiary`.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    match path.strip_prefix(prefix) {
        None => false,
        Some([]) => true,
        Some([next, ..]) => prefix.ends_with(b"/") || matches!(next, b'/' | b'?' | b'#'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(name: &str, backends: &[&str]) -> Served {
        Served {
            name: name.into(),
            backends: backends.iter().map(|backend| (*backend).to_owned()).collect(),
        }
    }

    fn route(host: &str, prefix: &str, names: &[&str], upstream: usize) -> Route {
        Route {
            host: (!host.is_empty()).then(|| host.to_owned()),
            path_prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            upstream,
        }
    }

    #[test]
    fn the_first_rule_that_says_something() {
        let routes = Routes::new(
            vec![
                served("shop", &["10.0.0.1:80", "10.0.0.9:80"]),
                served("cart", &["10.0.0.2:80", "10.0.0.9:80"]),
            ],
            vec![
                route("shop.example", "", &[], 0),
                route("shop.example", "/cart", &[], 1),
                route("", "", &["cart-blue"], 1),
            ],
        );
        let cases: &[(&str, &str, &str, &str, usize)] = &[
            ("shop.example", "/", "", "", 0),
            ("SHOP.example:443", "/cart/1?x", "", "", 1),
            ("", "http://shop.example/cart", "", "", 1),
            ("shop.example", "/cartography", "", "", 0),
            ("other", "/", "cart-blue", "10.0.0.1:80", 1),
            ("other", "/", "cart", "", 1),
            ("other", "/", "", "10.0.0.1:80", 0),
            ("other", "/", "", "10.0.0.9:80", OTHER),
            ("", "", "", "", OTHER),
        ];
        for (host, target, name, backend, expected) in cases {
            let names = [name.as_bytes(), b"", b""];
            let found = routes.upstream_of(host.as_bytes(), target.as_bytes(), &names, backend.as_bytes());
            assert_eq!(found, *expected, "{host} {target} {name} {backend}");
        }
    }

    #[test]
    fn one_upstream_needs_no_routes() {
        let routes = Routes::new(vec![served("shop", &[])], Vec::new());
        assert_eq!(routes.upstream_of(b"", b"/x", &[b"", b"", b""], b""), 0);
    }
}
