//! How this host resolves names: `/etc/resolv.conf` and `/etc/hosts`, read again whenever they changed.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use resolv_conf::ScopedIp;

/// Resolvers asked at most, as in glibc (MAXNS).
const MAX_RESOLVERS: usize = 3;
const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// What the files said when they were last read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct System {
    /// In the order they are asked.
    pub resolvers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
    hosts: HashMap<String, Vec<IpAddr>>,
}

/// The files, and what they said.
#[derive(Debug, Default)]
pub struct SystemFiles {
    last: Mutex<Option<(Stamp, Arc<System>)>>,
}

/// Changes whenever one of the files is written, replaced or linked elsewhere.
type Stamp = [Option<(u64, i64, i64, u64)>; 2];

impl SystemFiles {
    /// What the files say now. Two `stat` calls where they did not change.
    pub fn current(&self) -> Arc<System> {
        let stamp = [stamp(RESOLV_CONF), stamp(HOSTS)];
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, system)) if *known == stamp => system.clone(),
            _ => {
                let read = |path| fs::read(path).unwrap_or_default();
                let system = Arc::new(System::parse(&read(RESOLV_CONF), &read(HOSTS)));
                *last = Some((stamp, system.clone()));
                system
            }
        }
    }
}

fn stamp(path: &str) -> Option<(u64, i64, i64, u64)> {
    let metadata = fs::metadata(Path::new(path)).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size()))
}

impl System {
    /// Reads both files; lines that cannot be read are passed over, as the system's resolver does.
    pub fn parse(resolv_conf: &[u8], hosts: &[u8]) -> Self {
        let (config, _) = resolv_conf::Config::parse_with_errors(resolv_conf);
        let mut resolvers: Vec<_> = config
            .nameservers
            .iter()
            .filter_map(server)
            .take(MAX_RESOLVERS)
            .collect();
        if resolvers.is_empty() {
            resolvers.push((Ipv4Addr::LOCALHOST, 53).into());
        }
        System {
            resolvers,
            search: config
                .get_last_search_or_domain()
                .map(|domain| domain.to_string())
                .collect(),
            ndots: usize::try_from(config.ndots).unwrap_or(1),
            hosts: parse_hosts(hosts),
        }
    }

    /// The names asked for in turn (resolv.conf(5), `search` and `ndots`). A final dot means the name as it stands.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        let plain = name.trim_end_matches('.').to_owned();
        if name.ends_with('.') {
            return vec![plain];
        }
        let mut names: Vec<_> = self
            .search
            .iter()
            .map(|domain| format!("{plain}.{}", domain.trim_matches('.')))
            .collect();
        let first = plain.matches('.').count() >= self.ndots;
        names.insert(if first { 0 } else { names.len() }, plain);
        names
    }

    /// The addresses `/etc/hosts` has for a lower-case name. `localhost` always has the loopback ones (RFC 6761, 6.3).
    pub fn hosts_of(&self, name: &str) -> Vec<IpAddr> {
        match self.hosts.get(name) {
            Some(addresses) => addresses.clone(),
            None if name == "localhost" || name.ends_with(".localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            None => Vec::new(),
        }
    }
}

fn server(ip: &ScopedIp) -> Option<SocketAddr> {
    match ip {
        ScopedIp::V4(ip) => Some((*ip, 53).into()),
        ScopedIp::V6(ip, None) => Some((*ip, 53).into()),
        ScopedIp::V6(ip, Some(zone)) => {
            let index = fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok();
            let scope = index
                .and_then(|index| index.trim().parse().ok())
                .or_else(|| zone.parse().ok())?;
            Some(std::net::SocketAddrV6::new(*ip, 53, 0, scope).into())
        }
    }
}

fn parse_hosts(bytes: &[u8]) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut fields = line.split_whitespace();
        let Some(ip) = fields.next().and_then(|ip| ip.parse::<IpAddr>().ok()) else {
            continue;
        };
        for name in fields {
            let known = hosts
                .entry(name.trim_end_matches('.').to_ascii_lowercase())
                .or_default();
            if !known.contains(&ip) {
                known.push(ip);
            }
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_the_system_reads_them() {
        let system = System::parse(
            b"nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch corp.example lab.example\noptions ndots:2\n",
            b"127.0.0.1 localhost\n192.0.2.7 Web.internal web # comment\n::7 web\nbroken line\n",
        );
        assert_eq!(
            system.resolvers,
            [
                "192.0.2.53:53".parse().expect("v4"),
                "[2001:db8::53]:53".parse().expect("v6")
            ]
        );
        assert_eq!(system.candidates("web"), ["web.corp.example", "web.lab.example", "web"]);
        assert_eq!(
            system.candidates("a.b.c"),
            ["a.b.c", "a.b.c.corp.example", "a.b.c.lab.example"]
        );
        assert_eq!(system.candidates("a.b."), ["a.b"]);
        assert_eq!(
            system.hosts_of("web"),
            ["192.0.2.7".parse::<IpAddr>().expect("v4"), "::7".parse().expect("v6")]
        );
        assert_eq!(system.hosts_of("nobody").len(), 0);
    }

    #[test]
    fn missing_files_mean_a_resolver_on_this_host() {
        let system = System::parse(b"", b"");
        assert_eq!(system.resolvers, ["127.0.0.1:53".parse().expect("v4")]);
        assert_eq!(system.hosts_of("localhost").len(), 2);
    }
}
