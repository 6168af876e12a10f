//! What each resolver says of a name, and on request the zone's own servers; and where they differ.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::observation::{AnswerSource, Resolution};
use crate::probe::Prober;
use crate::probe::dns::authority::{ServerAnswer, Zone};
use crate::survey::HopReport;
use crate::upstream::Host;

/// What is known of one name.
#[derive(Clone, Debug)]
pub struct NameLook {
    /// The name, after search domains where one of them answered.
    pub name: String,
    /// Addresses by `/etc/hosts`, where it decides on this host.
    pub hosts_file: Option<Vec<IpAddr>>,
    /// One for each resolver, in the order they are asked.
    pub resolvers: Vec<Resolution>,
    /// The zones on the way to its addresses; `None` where they were not asked.
    pub zones: Option<Vec<Zone>>,
}

/// Asks about every name of a hop, each once.
pub async fn look(prober: &Prober, report: &HopReport, authoritative: bool) -> Vec<NameLook> {
    let mut looks: Vec<NameLook> = Vec::new();
    for seen in &report.targets {
        let (target, resolution) = (&seen.target, &seen.resolution.0);
        let is_name = matches!(target.host, Host::Name(_)) && !is_local(&resolution.name);
        if !is_name || looks.iter().any(|look| look.name == resolution.name) {
            continue;
        }
        let (family, wait) = (target.family, target.resolution_timeout());
        let by_hosts = resolution.source == AnswerSource::HostsFile;
        looks.push(NameLook {
            name: resolution.name.clone(),
            hosts_file: resolution.result.as_ref().ok().filter(|_| by_hosts).cloned(),
            resolvers: prober.ask_each(&resolution.name, family, &target.resolvers, wait).await,
            zones: match authoritative {
                true => Some(
                    prober
                        .ask_zones(&resolution.name, family, &target.resolvers, wait)
                        .await,
                ),
                false => None,
            },
        });
    }
    looks
}

/// Resolvers are not asked for these (RFC 6761, 6.3).
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

impl NameLook {
    /// Where answers differ, each in a sentence:
    ///
    /// 1. Resolvers that gave other addresses than the first one that answered, or none.
    /// 2. Where `/etc/hosts` decides, resolvers that say otherwise.
    /// 3. Servers of the zone that have not got it, or differ among themselves.
    /// 4. Addresses that resolvers still give and the zone does not, and for how long that may last.
    pub fn differences(&self) -> Vec<String> {
        let mut said = self.between_resolvers();
        if let Some(hosts) = &self.hosts_file {
            let hosts: BTreeSet<_> = hosts.iter().copied().collect();
            let others = self.resolvers.iter().filter(|seen| addresses(seen) != hosts);
            if others.count() > 0 {
                said.push("/etc/hosts decides on this host, and resolvers say otherwise".to_owned());
            }
        }
        for zone in self.zones.iter().flatten() {
            said.extend(within(zone));
        }
        said.extend(self.beyond_the_zone());
        said
    }

    fn between_resolvers(&self) -> Vec<String> {
        let Some(first) = self.resolvers.iter().find(|seen| seen.result.is_ok()) else {
            return Vec::new();
        };
        let others = self.resolvers.iter().filter(|seen| addresses(seen) != addresses(first));
        let differ = |seen: &Resolution| match &seen.result {
            Err(fault) => format!("{} gives no address ({fault}), {} does", seen.source, first.source),
            Ok(_) => format!("{} and {} give different addresses", seen.source, first.source),
        };
        others.map(differ).collect()
    }

    fn beyond_the_zone(&self) -> Vec<String> {
        let zones = self.zones.iter().flatten();
        let servers = zones.flat_map(|zone| &zone.servers);
        let truth: BTreeSet<_> = servers
            .filter(|server| server.authoritative)
            .flat_map(|server| server.result.iter().flatten().copied())
            .collect();
        if truth.is_empty() {
            return Vec::new();
        }
        let old = |seen: &Resolution| {
            let extra: Vec<_> = addresses(seen).difference(&truth).map(ToString::to_string).collect();
            let ttl = seen.ttl.unwrap_or_default().as_secs();
            (!extra.is_empty()).then(|| {
                format!(
                    "{} still gives {}, which the zone's own servers do not; it may for another {ttl} s",
                    seen.source,
                    extra.join(", ")
                )
            })
        };
        self.resolvers.iter().filter_map(old).collect()
    }
}

fn addresses(seen: &Resolution) -> BTreeSet<IpAddr> {
    seen.result.iter().flatten().copied().collect()
}

fn within(zone: &Zone) -> Vec<String> {
    let (own, lame): (Vec<_>, Vec<_>) = zone
        .servers
        .iter()
        .filter(|server| server.delegation.is_none())
        .partition(|server| server.authoritative || server.address.is_none());
    let answered = |server: &&&ServerAnswer| server.result != Err(crate::observation::DnsFault::Timeout);
    let mut said: Vec<_> = lame
        .iter()
        .filter(answered)
        .map(|server| format!("{} is named as a server of the zone and has not got it", server.server))
        .collect();
    let silent = lame.iter().filter(|server| !answered(server));
    said.extend(silent.map(|server| format!("{}, a server of the zone, does not answer", server.server)));
    let mut answers = own.iter().filter(|server| server.authoritative);
    if let Some(first) = answers.next() {
        let differ = answers.filter(|server| server.result != first.result);
        said.extend(differ.map(|server| {
            format!(
                "{} and {}, servers of the zone, answer differently",
                server.server, first.server
            )
        }));
    }
    said
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observation::DnsFault;

    fn says(resolver: &str, result: Result<&[&str], DnsFault>) -> Resolution {
        Resolution {
            name: "shop.example".into(),
            source: AnswerSource::Resolver(resolver.parse().unwrap()),
            cname_chain: Vec::new(),
            ttl: Some(Duration::from_secs(30)),
            elapsed: Duration::ZERO,
            result: result.map(ips),
            half: None,
        }
    }

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    fn server(name: &str, authoritative: bool, result: Result<&[&str], DnsFault>) -> ServerAnswer {
        ServerAnswer {
            server: name.into(),
            address: Some("192.0.2.53:53".parse().unwrap()),
            authoritative,
            alias: None,
            delegation: None,
            result: result.map(ips),
            ttl: None,
            elapsed: Duration::ZERO,
        }
    }

    fn name(resolvers: Vec<Resolution>, servers: Vec<ServerAnswer>) -> NameLook {
        NameLook {
            name: "shop.example".into(),
            hosts_file: None,
            resolvers,
            zones: Some(vec![Zone {
                name: "shop.example".into(),
                apex: Ok("example".into()),
                servers,
            }]),
        }
    }

    #[test]
    fn what_differs_is_said_and_what_agrees_is_not() {
        let (a, b) = ("10.0.0.1:53", "10.0.0.2:53");
        let new = ["192.0.2.1", "192.0.2.2"];
        let turned = ["192.0.2.2", "192.0.2.1"];
        let truth = || vec![server("ns1", true, Ok(&new)), server("ns2", true, Ok(&new))];
        let same = name(vec![says(a, Ok(&new)), says(b, Ok(&turned))], truth());
        assert_eq!(same.differences(), Vec::<String>::new());
        let fewer = name(vec![says(a, Err(DnsFault::NxDomain)), says(b, Ok(&new))], truth());
        assert_eq!(
            fewer.differences(),
            ["10.0.0.1:53 gives no address (NXDOMAIN), 10.0.0.2:53 does"]
        );
        let stale = name(vec![says(a, Ok(&["192.0.2.9"]))], truth());
        assert_eq!(
            stale.differences(),
            ["10.0.0.1:53 still gives 192.0.2.9, which the zone's own servers do not; it may for another 30 s"]
        );
        let hosts = NameLook {
            hosts_file: Some(ips(&["127.0.0.1"])),
            ..name(vec![says(a, Ok(&new))], Vec::new())
        };
        assert_eq!(
            hosts.differences(),
            ["/etc/hosts decides on this host, and resolvers say otherwise"]
        );
        let broken = vec![
            server("ns1", true, Ok(&new)),
            server("ns2", true, Ok(&["192.0.2.1"])),
            server("ns3", false, Err(DnsFault::Refused)),
            server("ns4", false, Err(DnsFault::Timeout)),
        ];
        assert_eq!(
            name(vec![says(a, Ok(&new))], broken).differences(),
            [
                "ns3 is named as a server of the zone and has not got it",
                "ns4, a server of the zone, does not answer",
                "ns2 and ns1, servers of the zone, answer differently",
            ]
        );
    }
}
