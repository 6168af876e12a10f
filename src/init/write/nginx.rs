//! From nginx: one entry of `upstreams` per group of servers, site, and way its paths are mapped.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::gateway::Gateway;
use super::{Entry, File, comment, free_name, plain_or_quoted};
use crate::gateway_config::nginx::{Found, Listen, Location, Pass, Site};

const GATEWAY: &str = "nginx";
/// Names of one site with routes of their own.
const MAX_NAMES: usize = 8;

/// What is written of an nginx configuration.
pub(in crate::init) fn file(found: &Found) -> File {
    let (entries, mut notes) = entries(found);
    notes.splice(0..0, found.notes.iter().cloned());
    File {
        about: "# badgateway is taken to run on the host of nginx; elsewhere, put its address in place of 127.0.0.1.\n",
        gateway: Some(Gateway {
            kind: GATEWAY,
            said: found.said(),
            always_routed: false,
            usual_log: (
                "/var/log/nginx/access.log",
                "the usual place; the file names no log that can be followed",
            ),
        }),
        entries,
        notes,
        nothing: "no server that nginx passes requests to by HTTP was found",
    }
}

/// Where a `proxy_pass` leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Backend<'a> {
    scheme: &'a str,
    /// A group's name, `host:port`, or `unix:/path`.
    authority: &'a str,
}

/// Passes that make one entry: same backend, same site, same mapping of paths.
struct Together<'a> {
    backend: Backend<'a>,
    /// What replaces the location's path: the URI of `proxy_pass`.
    uri: Option<&'a str>,
    passes: Vec<&'a Pass>,
}

/// Every entry, and a note for what makes none.
fn entries(found: &Found) -> (Vec<Entry>, Vec<String>) {
    let (groups, mut notes) = together(found);
    let mut names = HashMap::new();
    let sites = Sites::of(found);
    let mut entry = |group| entry(group, found, &sites, &mut names);
    let mut entries: Vec<Entry> = groups.iter().map(&mut entry).collect();
    let mut seen: HashSet<usize> = groups
        .iter()
        .filter(|group| asked_via(group))
        .map(|group| group.passes[0].site.number)
        .collect();
    for pass in found.passes.iter().filter(|pass| pass.directive != "proxy_pass") {
        notes.push(format!(
            "{}: {} {} in location {}: not plain HTTP, so it is seen only through nginx",
            pass.place,
            pass.directive,
            pass.to,
            shown(&pass.location)
        ));
        if seen.insert(pass.site.number) {
            entries.extend(through_nginx_only(pass, &mut names));
        }
    }
    (entries, notes)
}

/// What routes must know of all sites.
struct Sites {
    /// Those with locations that only nginx can match: there a path says too little.
    unclear: HashSet<usize>,
    /// There is no other, so that the host need not be known.
    is_one: bool,
}

impl Sites {
    fn of(found: &Found) -> Sites {
        let numbers: HashSet<usize> = found.passes.iter().map(|pass| pass.site.number).collect();
        let unclear = found
            .passes
            .iter()
            .filter(|pass| matches!(pass.location, Location::Other(_)));
        Sites {
            unclear: unclear.map(|pass| pass.site.number).collect(),
            is_one: numbers.len() == 1,
        }
    }
}

/// Which logged requests belong to an entry.
fn routes(group: &Together<'_>, sites: &Sites, name: &str) -> Vec<String> {
    let site = &group.passes[0].site;
    if sites.unclear.contains(&site.number) {
        return Vec::new();
    }
    let hosts: Vec<String> = match sites.is_one {
        true => vec![String::new()],
        false => site
            .names
            .iter()
            .take(MAX_NAMES)
            .map(|name| format!("host: {}, ", plain_or_quoted(name)))
            .collect(),
    };
    let paths = paths(group);
    let route = |host: &String, path: &&str| {
        format!(
            "{{ {host}path_prefix: {}, upstream: {} }}",
            plain_or_quoted(path),
            plain_or_quoted(name)
        )
    };
    hosts
        .iter()
        .flat_map(|host| paths.iter().map(move |path| route(host, path)))
        .collect()
}

/// The paths of its locations, each once.
fn paths<'a>(group: &Together<'a>) -> Vec<&'a str> {
    let mut known = HashSet::new();
    let paths = group.passes.iter().filter_map(|pass| match &pass.location {
        Location::Path(path) => Some(path.as_str()),
        Location::Other(_) => None,
    });
    paths.filter(|path| known.insert(*path)).collect()
}

fn asked_via(group: &Together<'_>) -> bool {
    group
        .passes
        .iter()
        .any(|pass| matches!(pass.location, Location::Path(_)))
}

fn shown(location: &Location) -> &str {
    match location {
        Location::Path(text) | Location::Other(text) => text,
    }
}

/// Passes grouped, in the order of the file; what holds variables cannot be.
fn together(found: &Found) -> (Vec<Together<'_>>, Vec<String>) {
    let mut groups: Vec<Together<'_>> = Vec::new();
    let mut known: HashMap<(Backend<'_>, usize), usize> = HashMap::new();
    let mut notes = Vec::new();
    for pass in found.passes.iter().filter(|pass| pass.directive == "proxy_pass") {
        let Some((backend, uri)) = backend(&pass.to) else {
            notes.push(format!(
                "{}: proxy_pass {} in location {}: variables are known to nginx only, write this upstream by hand",
                pass.place,
                pass.to,
                shown(&pass.location)
            ));
            continue;
        };
        let key = (backend, pass.site.number);
        match known.get(&key).filter(|_| uri.is_none()) {
            Some(group) => groups[*group].passes.push(pass),
            None => {
                if uri.is_none() {
                    known.insert(key, groups.len());
                }
                groups.push(Together {
                    backend,
                    uri,
                    passes: vec![pass],
                });
            }
        }
    }
    (groups, notes)
}

/// Scheme, authority and URI of a `proxy_pass`; `None` when it has variables or is none of ours.
fn backend(to: &str) -> Option<(Backend<'_>, Option<&str>)> {
    let (scheme, rest) = to.split_once("://")?;
    if to.contains('$') || !matches!(scheme, "http" | "https") {
        return None;
    }
    let (authority, uri) = match rest.strip_prefix("unix:") {
        Some(socket) => match socket.find(':') {
            Some(at) => (&rest[..at + 5], Some(&socket[at + 1..])),
            None => (rest, None),
        },
        None => match rest.find('/') {
            Some(at) => (&rest[..at], Some(&rest[at..])),
            None => (rest, None),
        },
    };
    Some((Backend { scheme, authority }, uri.filter(|uri| !uri.is_empty())))
}

fn entry(group: &Together<'_>, found: &Found, sites: &Sites, names: &mut HashMap<String, usize>) -> Entry {
    let first = group.passes[0];
    let name = free_name(group.backend.authority, names);
    let mut yaml = String::new();
    for pass in &group.passes {
        let _ = writeln!(
            yaml,
            "  # {}: location {} -> {}",
            comment(&pass.place),
            comment(shown(&pass.location)),
            comment(&pass.to)
        );
    }
    let _ = writeln!(yaml, "  - name: {}", plain_or_quoted(&name));
    let paths = paths(group);
    let (inner, outer) = match (group.uri, paths.first()) {
        (Some(uri), Some(path)) => (uri, *path),
        (Some(uri), None) => (uri, "/"),
        (None, _) => ("/", "/"),
    };
    origin(group, found, inner, &mut yaml);
    if asked_via(group) {
        via(&first.site, outer, &mut yaml);
    } else {
        yaml.push_str("    # via: which path leads here only nginx can tell; name one that its location matches\n");
    }
    match (group.uri, &paths[..]) {
        (None, []) | (None, ["/"]) | (Some(_), _) => {}
        (None, paths) => {
            let list: Vec<String> = paths.iter().map(|path| plain_or_quoted(path)).collect();
            let _ = writeln!(yaml, "    paths: [{}]", list.join(", "));
        }
    }
    yaml.push_str("    # labels: { team: … }\n");
    let routes = routes(group, sites, &name);
    Entry { name, yaml, routes }
}

/// The servers, each with the `Host` and certificate name nginx would use.
fn origin(group: &Together<'_>, found: &Found, path: &str, yaml: &mut String) {
    let Backend { scheme, authority } = &group.backend;
    let pass = group.passes[0];
    let settings = settings(pass, scheme, authority);
    if *scheme == "https" {
        if pass.scope.get("proxy_ssl_verify") == Some("on") {
            yaml.push_str("    tls: { verify: true }        # proxy_ssl_verify on\n");
        }
        if let Some(file) = pass.scope.get("proxy_ssl_trusted_certificate") {
            let _ = writeln!(
                yaml,
                "    # proxy_ssl_trusted_certificate: tls: {{ ca_file: {} }}",
                comment(file)
            );
        }
    }
    let write = |url: String, about: &str, yaml: &mut String| {
        let about = match about {
            "" => String::new(),
            about => format!("   # {}", comment(about)),
        };
        let url = plain_or_quoted(&url);
        let _ = match settings.as_str() {
            "" => writeln!(yaml, "      - {url}{about}"),
            settings => writeln!(yaml, "      - {{ url: {url}{settings} }}{about}"),
        };
    };
    yaml.push_str("    origin:\n");
    match found.groups.get(*authority) {
        None => write(url(scheme, authority, path), "", yaml),
        Some(servers) => {
            for server in &servers.servers {
                match server.down {
                    true => {
                        let _ = writeln!(yaml, "      # {} is marked down", comment(&server.address));
                    }
                    false => write(url(scheme, &with_port(&server.address), path), &server.about, yaml),
                }
            }
        }
    }
}

/// A server of a group listens on port 80 unless it says otherwise, by TLS too.
fn with_port(address: &str) -> String {
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match address.starts_with("unix:") || has_port {
        true => address.to_owned(),
        false => format!("{address}:80"),
    }
}

fn url(scheme: &str, authority: &str, path: &str) -> String {
    let colon = if authority.starts_with("unix:") { ":" } else { "" };
    format!("{scheme}://{authority}{colon}{path}")
}

/// `, host: …, server_name: …` as nginx sends them.
fn settings(pass: &Pass, scheme: &str, authority: &str) -> String {
    let site = pass.site.names.first().map(String::as_str);
    let own = if authority.starts_with("unix:") {
        "localhost"
    } else {
        authority
    };
    let host = match pass.scope.header("Host") {
        None | Some("$proxy_host") => Some(own),
        Some("$host" | "$http_host" | "$server_name") => site,
        Some(text) if !text.contains('$') && !text.is_empty() => Some(text),
        Some(_) => site,
    };
    let mut settings = String::new();
    if let Some(host) = host {
        let _ = write!(settings, ", host: {}", plain_or_quoted(host));
    }
    match pass.scope.get("proxy_ssl_name") {
        Some(name) if scheme == "https" && !name.contains('$') => {
            let _ = write!(settings, ", server_name: {}", plain_or_quoted(name));
        }
        _ => {}
    }
    settings
}

fn via(site: &Site, path: &str, yaml: &mut String) {
    let usable = |listen: &&Listen| !listen.proxy_protocol;
    let tls = site.listens.iter().filter(usable).find(|listen| listen.tls);
    let Some(listen) = tls.or_else(|| site.listens.iter().find(usable)) else {
        yaml.push_str("    # via: every listen of this server wants the PROXY protocol first\n");
        return;
    };
    let scheme = if listen.tls { "https" } else { "http" };
    let url = plain_or_quoted(&url(scheme, &listen.authority, path));
    let host = match site.names.first() {
        Some(name) => format!(", host: {}", plain_or_quoted(name)),
        None => String::new(),
    };
    yaml.push_str("    via:\n");
    if listen.tls && host.is_empty() {
        yaml.push_str(
            "      # the server has no name to verify its certificate by: add host: NAME, or tls: { verify: false }\n",
        );
    }
    let _ = writeln!(yaml, "      - {{ gateway: {GATEWAY}, url: {url}{host} }}");
}

/// A site whose backends do not speak HTTP: users' view alone.
fn through_nginx_only(pass: &Pass, names: &mut HashMap<String, usize>) -> Option<Entry> {
    let wanted = pass.site.names.first().map_or("site", String::as_str);
    let mut yaml = String::new();
    via(&pass.site, "/", &mut yaml);
    if !yaml.contains("gateway:") {
        return None;
    }
    let name = free_name(wanted, names);
    let head = format!(
        "  # {}: {} {}: only through nginx\n  - name: {}\n",
        comment(&pass.place),
        comment(&pass.directive),
        comment(&pass.to),
        plain_or_quoted(&name)
    );
    Some(Entry {
        name,
        yaml: head + &yaml,
        routes: Vec::new(),
    })
}
