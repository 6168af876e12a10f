//! dnsmasq, whose records change while a test runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::support::process::Process;
use crate::support::stack::{address, dnsmasq};

/// A dnsmasq whose records can be changed.
pub struct Resolver {
    pub listen: SocketAddr,
    hosts: PathBuf,
    process: Process,
}

impl Resolver {
    /// With these records, which may be kept for so many seconds.
    pub fn start(folder: &Path, last: u8, ttl: u32, records: &[(&str, SocketAddr)]) -> Resolver {
        let (listen, hosts) = (address(last), folder.join(format!("hosts-{last}")));
        write(&hosts, records);
        let own = [
            "--local=/peer.test/".to_owned(),
            format!("--addn-hosts={}", hosts.display()),
            format!("--local-ttl={ttl}"),
            "--log-queries".to_owned(),
        ];
        let process = dnsmasq(listen, &own.each_ref().map(String::as_str));
        Resolver { listen, hosts, process }
    }

    /// From now on it has these.
    pub fn says(&self, records: &[(&str, SocketAddr)]) {
        write(&self.hosts, records);
        self.process.signal("HUP");
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.process.output("query[A]", usize::MAX).lines().count()
    }
}

fn write(hosts: &Path, records: &[(&str, SocketAddr)]) {
    let lines = records
        .iter()
        .map(|(name, at)| format!("{} {name}.peer.test\n", at.ip()));
    std::fs::write(hosts, lines.collect::<String>()).expect("written");
}
