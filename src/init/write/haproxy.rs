//! From HAProxy: one entry of `upstreams` per backend with servers.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::gateway::Gateway;
use super::{Entry, File, comment, free_name, plain_or_quoted};
use crate::config::show_duration;
use crate::gateway_config::haproxy::{Asked, Bind, Found, Proxy, Server};

const GATEWAY: &str = "haproxy";

/// What is written of an HAProxy configuration.
pub(in crate::init) fn file(found: &Found) -> File {
    let leading = leading(found);
    let mut names = HashMap::new();
    let mut notes = found.notes.clone();
    let mut entries = Vec::new();
    for back in found.proxies.iter().filter(|proxy| proxy.is_back) {
        match (
            back.settings.is_http,
            back.servers.iter().any(|server| !server.disabled),
        ) {
            (true, true) => entries.push(entry(back, &leading, &mut names)),
            (false, _) => notes.push(format!("{}: {} is not of mode http", back.place, back.name)),
            (true, false) => notes.push(format!("{}: {} has no server that can be asked", back.place, back.name)),
        }
    }
    File {
        about: "# badgateway is taken to run on the host of HAProxy; elsewhere, put its address in place of 127.0.0.1.\n",
        gateway: Some(Gateway {
            kind: GATEWAY,
            said: found.said(),
            always_routed: true,
            usual_log: (
                "/var/log/haproxy.log",
                "HAProxy logs by syslog; this is where Debian's rsyslog writes it",
            ),
        }),
        entries,
        notes,
        nothing: "no backend of mode http was found",
    }
}

/// Where requests come in that reach a backend.
struct Leading<'a> {
    binds: &'a [Bind],
    asked: &'a Asked,
    place: &'a str,
}

/// What leads to each backend, by its name, in the order of the file.
fn leading(found: &Found) -> HashMap<&str, Vec<Leading<'_>>> {
    static ANYTHING: Asked = Asked { host: None, path: None };
    let mut leading: HashMap<&str, Vec<Leading<'_>>> = HashMap::new();
    for front in found
        .proxies
        .iter()
        .filter(|proxy| proxy.is_front && proxy.settings.is_http)
    {
        let own = front.is_back && !front.servers.is_empty();
        let uses = front.uses.iter().map(|(name, asked)| (name.as_str(), asked.as_ref()));
        let uses = uses.chain(own.then_some((front.name.as_str(), Some(&ANYTHING))));
        for (name, asked) in uses {
            if let (Some(asked), false) = (asked, front.binds.is_empty()) {
                leading.entry(name).or_default().push(Leading {
                    binds: &front.binds,
                    asked,
                    place: &front.place,
                });
            }
        }
    }
    leading
}

fn entry(back: &Proxy, leading: &HashMap<&str, Vec<Leading<'_>>>, names: &mut HashMap<String, usize>) -> Entry {
    let name = free_name(&back.name, names);
    let nothing = Vec::new();
    let ways = leading.get(back.name.as_str()).unwrap_or(&nothing);
    let asked = ways.first().map(|way| way.asked);
    let mut yaml = format!(
        "  # {}: backend {}\n  - name: {}\n    origin:\n",
        comment(&back.place),
        comment(&back.name),
        plain_or_quoted(&name)
    );
    let host = host_of(back, asked);
    for server in &back.servers {
        origin(server, host.as_deref(), &mut yaml);
    }
    match ways.first() {
        Some(way) => via(way, &mut yaml),
        None => yaml.push_str("    # via: which requests lead here only HAProxy can tell\n"),
    }
    for way in ways.iter().skip(1).take(8) {
        let _ = writeln!(yaml, "    # {} leads here too", comment(way.place));
    }
    let path = asked.and_then(|asked| asked.path.as_deref());
    let check = back.settings.check.as_ref();
    match (path, check.map(|check| &*check.path).filter(|path| *path != "/")) {
        (Some(path), _) => {
            let _ = writeln!(yaml, "    paths: [{}]", plain_or_quoted(path));
        }
        (None, Some(path)) => {
            let _ = writeln!(
                yaml,
                "    paths: [{}]   # what HAProxy's check asks for",
                plain_or_quoted(path)
            );
        }
        (None, None) => {}
    }
    health_check(back, &mut yaml);
    yaml.push_str("    # labels: { team: … }\n");
    let routes = vec![format!(
        "{{ names: [{}], upstream: {} }}",
        plain_or_quoted(&back.name),
        plain_or_quoted(&name)
    )];
    Entry { name, yaml, routes }
}

/// The `Host` its servers get: what HAProxy sets, what must be asked for to come here, what its check sends.
fn host_of(back: &Proxy, asked: Option<&Asked>) -> Option<String> {
    let set = back.settings.host.as_deref();
    let checked = || back.settings.check.as_ref().and_then(|check| check.host.as_deref());
    let host = set.or(asked.and_then(|asked| asked.host.as_deref())).or_else(checked);
    host.map(str::to_owned)
}

fn origin(server: &Server, host: Option<&str>, yaml: &mut String) {
    let scheme = if server.tls { "https" } else { "http" };
    let url = plain_or_quoted(&url(scheme, &server.authority));
    if server.disabled {
        let _ = writeln!(yaml, "      # {} is disabled", comment(&server.authority));
        return;
    }
    let mut settings = String::new();
    if let Some(host) = host {
        let _ = write!(settings, ", host: {}", plain_or_quoted(host));
    }
    if let (true, Some(name)) = (server.tls, &server.server_name) {
        let _ = write!(settings, ", server_name: {}", plain_or_quoted(name));
    }
    if server.tls && server.unverified {
        settings.push_str(", tls: { verify: false }");
    }
    let about = match server.about.as_str() {
        "" => String::new(),
        about => format!("   # {}", comment(about)),
    };
    let _ = match settings.as_str() {
        "" => writeln!(yaml, "      - {url}{about}"),
        settings => writeln!(yaml, "      - {{ url: {url}{settings} }}{about}"),
    };
    if let (true, false, Some(file)) = (server.tls, server.unverified, &server.ca_file) {
        let _ = writeln!(yaml, "      # ca-file: tls: {{ ca_file: {} }}", comment(file));
    }
}

fn url(scheme: &str, authority: &str) -> String {
    let colon = if authority.starts_with("unix:") { ":" } else { "" };
    format!("{scheme}://{authority}{colon}/")
}

fn via(way: &Leading<'_>, yaml: &mut String) {
    let Some(bind) = way.binds.iter().find(|bind| bind.tls).or(way.binds.first()) else {
        return;
    };
    let scheme = if bind.tls { "https" } else { "http" };
    let host = match &way.asked.host {
        Some(host) => format!(", host: {}", plain_or_quoted(host)),
        None => String::new(),
    };
    yaml.push_str("    via:\n");
    if bind.tls && host.is_empty() {
        yaml.push_str(
            "      # the frontend asks for no name to verify its certificate by: add host: NAME, or tls: { verify: false }\n",
        );
    }
    let url = plain_or_quoted(&url(scheme, &bind.authority));
    let _ = writeln!(yaml, "      - {{ gateway: {GATEWAY}, url: {url}{host} }}");
}

/// HAProxy's own check, with the pace of the first server that has one.
fn health_check(back: &Proxy, yaml: &mut String) {
    let checked = back.servers.iter().find_map(|server| server.pace.as_ref());
    let (Some(check), Some(pace)) = (&back.settings.check, checked) else {
        return;
    };
    let timeout = back.settings.check_timeout().unwrap_or(pace.interval);
    let interval = pace.interval.max(std::time::Duration::from_secs(1));
    let _ = writeln!(
        yaml,
        "    health_check: {{ path: {}, interval: {}, timeout: {}, unhealthy_after: {}, healthy_after: {} }}",
        plain_or_quoted(&check.path),
        show_duration(interval),
        show_duration(timeout),
        pace.unhealthy_after,
        pace.healthy_after
    );
}
