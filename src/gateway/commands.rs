//! What to paste next: the commands of a gateway's kind and those that ask by hand what a probe asked, with the names and
//! addresses of the upstream filled in. Pure.
//!
//! Each kind's file holds its own commands, from its vendor's documentation. None of them changes anything. A word in
//! braces is filled in here; a word in capitals is for the reader to replace.

use crate::cause::{Cause, Phase};
use crate::observation::Address;
use crate::upstream::{Hop, Host, Request, Scheme, Target, Upstream};
use crate::verdict::Diagnosis;

use super::{GENERIC, Kind, kind};

/// One line for a shell, with places to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it shows, as it stands behind "to see".
    pub shows: &'static str,
    /// For a POSIX shell. `{address}` and `{host}` are those of the backend, `{front}` and `{path}` what users ask the
    /// gateway for; each stands in single quotes.
    pub line: &'static str,
}

/// One line to paste.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it shows.
    pub shows: &'static str,
    /// For a POSIX shell.
    pub line: String,
    /// The kind whose vendor documents it; `None` for one that asks by hand.
    pub kind: Option<&'static str>,
}

/// The address of the hop of that name.
pub type AddressOf<'a> = &'a dyn Fn(&str) -> Option<Address>;

/// What is known besides the configuration; all of it may be missing.
#[derive(Clone, Copy, Default)]
pub struct Known<'a> {
    /// The first address of a hop, where its name was resolved.
    pub address_of: Option<AddressOf<'a>>,
    /// The product that wrote the error page of the failing hop.
    pub writer: Option<&'a str>,
}

/// What to paste, the first thing first:
///
/// 1. Nothing where nothing fails.
/// 2. What asks the failing hop by hand, by the phase of the cause.
/// 3. The commands of the failing gateway; of a failing origin, those of the gateway right in front of it, which show
///    what it makes of that. Where nothing is known of its kind, those of the product that wrote the error page.
pub fn steps(upstream: &Upstream, diagnosis: &Diagnosis, known: Known<'_>) -> Vec<Step> {
    let Some(failing) = diagnosis.hop.as_deref().and_then(|name| upstream.hop(name)) else {
        return Vec::new();
    };
    let mut steps = diagnosis
        .cause
        .map(|cause| by_hand(failing, diagnosis, cause, known))
        .unwrap_or_default();
    let gateway = match failing.is_origin() {
        true => upstream.hops.iter().rev().find(|hop| !hop.is_origin()),
        false => Some(failing),
    };
    let configured = gateway
        .and_then(|hop| hop.gateway.as_ref())
        .and_then(|it| kind(it.kind));
    let written = || known.writer.and_then(kind);
    if let Some(kind) = configured.filter(|kind| *kind != GENERIC).or_else(written) {
        let places = Places::of(upstream, gateway.unwrap_or(failing), diagnosis, known);
        steps.extend(kind.commands.iter().map(|command| places.fill(kind, command)));
    }
    steps
}

/// What braces stand for.
#[derive(Debug, Default)]
struct Places {
    address: Option<String>,
    host: Option<String>,
    front: Option<String>,
    path: Option<String>,
}

impl Places {
    fn of(upstream: &Upstream, gateway: &Hop, diagnosis: &Diagnosis, known: Known<'_>) -> Places {
        let behind = upstream.hops.iter().skip_while(|hop| hop.name != gateway.name).nth(1);
        let fails_there = behind.is_some_and(|hop| diagnosis.hop.as_deref() == Some(&*hop.name));
        let logged = diagnosis.scope.backend.as_deref().map(ToOwned::to_owned);
        let failing = fails_there.then(|| first_address(diagnosis)).flatten();
        let target = &gateway.targets[0];
        Places {
            address: logged
                .or(failing)
                .or_else(|| behind.and_then(|hop| address_of(hop, known))),
            host: behind.map(|hop| hop.targets[0].server_name.clone()),
            front: target.host_header.to_str().ok().map(ToOwned::to_owned),
            path: Some(path_of(failing_request(target, diagnosis))),
        }
    }

    fn fill(&self, kind: &'static Kind, command: &Command) -> Step {
        let mut line = command.line.to_owned();
        for (place, value) in [
            ("address", &self.address),
            ("host", &self.host),
            ("front", &self.front),
            ("path", &self.path),
        ] {
            let value = value.as_deref().filter(|value| is_inert(value));
            line = line.replace(&format!("{{{place}}}"), value.unwrap_or(&place.to_uppercase()));
        }
        Step {
            shows: command.shows,
            line,
            kind: Some(kind.name),
        }
    }
}

/// True where a shell takes the text in single quotes for nothing but itself, and no program takes it for a flag.
/// Addresses and paths may come from the wire, and people paste these lines.
fn is_inert(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\'')
}

/// What asks as the probe did: curl(1), openssl-s_client(1), dig(1).
fn by_hand(hop: &Hop, diagnosis: &Diagnosis, cause: Cause, known: Known<'_>) -> Vec<Step> {
    let target = failing_target(hop, diagnosis);
    let Some(server_name) = Some(&target.server_name).filter(|name| is_inert(name)) else {
        return Vec::new();
    };
    let step = |shows, line| Step {
        shows,
        line,
        kind: None,
    };
    if let (Phase::Dns, Host::Name(name)) = (cause.phase(), &target.host) {
        let from = target.resolvers.first().map(|resolver| match resolver.port() {
            53 => format!(" @{}", resolver.ip()),
            port => format!(" @{} -p {port}", resolver.ip()),
        });
        return vec![
            step(
                "what a resolver answers",
                format!("dig '{name}'{}", from.unwrap_or_default()),
            ),
            step("what the zone's own servers answer", format!("dig +trace '{name}'")),
        ];
    }
    let address = first_address(diagnosis).or_else(|| address_of(hop, known));
    let address = address.filter(|address| is_inert(address) && !address.starts_with("unix:"));
    let Some(address) = address else { return Vec::new() };
    let mut steps = Vec::new();
    if cause.phase() == Phase::Tls {
        steps.push(step(
            "the certificates, versions and ciphers it offers",
            format!("openssl s_client -connect '{address}' -servername '{server_name}' </dev/null"),
        ));
    }
    let path = path_of(failing_request(target, diagnosis));
    let host = target.host_header.to_str().unwrap_or_default();
    if is_inert(&path) && is_inert(host) {
        let scheme = target.scheme.as_str();
        let unverified = match (target.scheme, target.tls.verify) {
            (Scheme::Https, false) => "-k ",
            _ => "",
        };
        // curl takes SNI and Host from the URL; where they differ the header is written beside it.
        let own_host = host.split(':').next() == Some(server_name) || host.starts_with('[');
        let (authority, header) = match own_host {
            true => (host, String::new()),
            false => (server_name.as_str(), format!("-H 'Host: {host}' ")),
        };
        steps.push(step(
            "the whole exchange, asked by hand",
            format!(
                "curl -sv -o /dev/null {unverified}{header}--connect-to '::{address}' '{scheme}://{authority}{path}'"
            ),
        ));
    }
    steps
}

/// The first failing address, where it is one: a name that does not resolve stands in the same list.
fn first_address(diagnosis: &Diagnosis) -> Option<String> {
    let addresses = diagnosis.scope.addresses.iter();
    addresses
        .map(|address| address.to_string())
        .find(|address| address.parse::<std::net::SocketAddr>().is_ok())
}

/// An address of a hop: in its URL, or as its name was resolved.
fn address_of(hop: &Hop, known: Known<'_>) -> Option<String> {
    let target = &hop.targets[0];
    match &target.host {
        Host::Ip(ip) => Some(std::net::SocketAddr::new(*ip, target.port).to_string()),
        Host::Name(_) => known.address_of?(&hop.name).map(|address| address.to_string()),
        Host::Unix(_) => None,
    }
}

/// The target that fails, as far as its host tells; else the first.
fn failing_target<'a>(hop: &'a Hop, diagnosis: &Diagnosis) -> &'a Target {
    let is_named = |target: &&std::sync::Arc<Target>| {
        let host = target.host.to_string();
        let mut failing = diagnosis.scope.addresses.iter();
        failing.any(|address| **address == *host || address.starts_with(&format!("{host}:")))
    };
    hop.targets.iter().find(is_named).unwrap_or(&hop.targets[0])
}

/// The request that fails; else the first.
fn failing_request<'a>(target: &'a Target, diagnosis: &Diagnosis) -> &'a Request {
    let fails = |request: &&Request| diagnosis.scope.paths.contains(&request.label);
    target.requests.iter().find(fails).unwrap_or(&target.requests[0])
}

/// Without the query, which may hold a key.
fn path_of(request: &Request) -> String {
    request.path.split('?').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::KINDS;
    use super::*;

    #[test]
    fn places_stand_in_single_quotes_and_are_known() {
        for kind in KINDS {
            for Command { shows, line } in kind.commands {
                let mut quoted = false;
                let mut rest = *line;
                while let Some(at) = rest.find(['\'', '{']) {
                    match rest.as_bytes()[at] {
                        b'\'' => quoted = !quoted,
                        _ => {
                            let end = rest[at..].find('}').expect("a brace that closes");
                            let place = &rest[at + 1..at + end];
                            assert!(quoted, "{}: {place} is not quoted in {line}", kind.name);
                            let known = ["address", "host", "front", "path"];
                            assert!(known.contains(&place), "{}: {place} in {line}", kind.name);
                        }
                    }
                    rest = &rest[at + 1..];
                }
                assert!(!quoted, "{}: an open quote in {line}", kind.name);
                assert!(!shows.is_empty() && !shows.ends_with('.'), "{}: {shows}", kind.name);
            }
            assert_eq!(kind.commands.is_empty(), *kind == GENERIC, "{}", kind.name);
        }
    }

    /// Lines for an upstream behind these hops, with the address of a failing origin.
    fn lines(hop: &str, kind: &str, cause: Cause, failing: &str) -> Vec<String> {
        let config = serde_json::json!({
            "gateways": [{ "name": "edge", "kind": kind }],
            "upstreams": [{
                "name": "shop",
                "origin": "https://shop.internal:8443/",
                "paths": ["/cart?key=secret"],
                "via": [{ "gateway": "edge", "url": "http://10.0.0.7/", "host": "shop.example.com" }],
            }],
        });
        let config =
            crate::config::from_str(&config.to_string(), "test", std::path::Path::new("."), &|_| None).unwrap();
        let mut diagnosis = Diagnosis::unknown(std::time::UNIX_EPOCH);
        diagnosis.hop = Some(hop.into());
        diagnosis.cause = Some(cause);
        diagnosis.scope.addresses = vec![failing.into()];
        let resolved = |hop: &str| (hop == "origin").then(|| Address::Tcp("10.20.0.4:8443".parse().unwrap()));
        let known = Known {
            address_of: Some(&resolved),
            writer: Some("cloudflare"),
        };
        let steps = steps(&config.upstreams[0], &diagnosis, known);
        steps.into_iter().map(|step| step.line).collect()
    }

    #[test]
    fn names_and_addresses_of_the_upstream_stand_in_the_lines() {
        let refused = lines("origin", "nginx", Cause::ConnectRefused, "10.20.0.3:8443");
        assert_eq!(
            refused[0],
            "curl -sv -o /dev/null -k --connect-to '::10.20.0.3:8443' 'https://shop.internal:8443/cart'"
        );
        assert!(refused[2].contains("grep -F '10.20.0.3:8443'"), "{refused:?}");
        let expired = lines("origin", "haproxy", Cause::TlsCertificateExpired, "10.20.0.3:8443");
        assert_eq!(
            expired[0],
            "openssl s_client -connect '10.20.0.3:8443' -servername 'shop.internal' </dev/null"
        );
        let missing = lines("origin", "nginx", Cause::DnsNxdomain, "shop.internal");
        assert_eq!(missing[..2], ["dig 'shop.internal'", "dig +trace 'shop.internal'"]);
    }

    #[test]
    fn a_failing_gateway_is_asked_for_the_backend_it_has() {
        let fault = lines("edge", "envoy", Cause::BadGateway, "10.0.0.7:80");
        assert!(
            fault[0].ends_with("--connect-to '::10.0.0.7:80' 'http://shop.example.com/cart'"),
            "{fault:?}"
        );
        assert!(fault[1].ends_with("| grep -F '10.20.0.4:8443'"), "{fault:?}");
        let unknown = lines("edge", "generic", Cause::BadGateway, "10.0.0.7:80");
        assert!(
            unknown[1].contains("https://shop.example.com/cdn-cgi/trace"),
            "that of the page: {unknown:?}"
        );
    }

    #[test]
    fn what_a_shell_would_read_otherwise_is_not_filled_in() {
        let fill = |address: &str| {
            let places = Places {
                address: Some(address.to_owned()),
                ..Places::default()
            };
            let command = Command {
                shows: "x",
                line: "grep -F '{address}' FILE",
            };
            places.fill(GENERIC, &command).line
        };
        assert_eq!(fill("10.0.0.7:80"), "grep -F '10.0.0.7:80' FILE");
        assert_eq!(fill("[2001:db8::1]:80"), "grep -F '[2001:db8::1]:80' FILE");
        for foreign in ["'; reboot; '", "a b", "-f/etc/shadow", "", "x\n", "é"] {
            assert_eq!(fill(foreign), "grep -F 'ADDRESS' FILE", "{foreign}");
        }
    }
}
