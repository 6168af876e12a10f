//! The zone's own servers: which they are, and what each of them says of a name.
//!
//! 1. The zone is found from the name upward: the first name that has NS records is its apex.
//! 2. Each of its servers is resolved as any other name.
//! 3. Each is asked for the name directly, side by side, without recursion.
//! 4. Where they pass on to the servers of a zone below, which resolvers could not tell because these do not work, those are
//!    asked.
//! 5. Where their answer is an alias that leads out of the zone, the same is done there, at most three times more.
//!
//! Resolvers cache: these servers say what holds, and for how long an old answer may live on elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::rr::{Name, RecordType};
use tokio::time::Instant;

use super::{absolute, exchange, first_usable, fully_qualified, lookup, weight};
use crate::observation::DnsFault;
use crate::upstream::Family;

/// Zones looked at for one name.
const MAX_ZONES: usize = 4;
/// Servers asked of one zone. More than 13 there are hardly anywhere (RFC 1034, 4.1, asks for two).
const MAX_SERVERS: usize = 13;
/// Where DNS is served.
const PORT: u16 = 53;

/// One zone on the way to a name's addresses.
#[derive(Clone, Debug)]
pub struct Zone {
    /// The name asked for in it.
    pub name: String,
    /// Its apex, or why it was not found.
    pub apex: Result<String, DnsFault>,
    /// What its servers say, one for each.
    pub servers: Vec<ServerAnswer>,
}

/// What one server of a zone says.
#[derive(Clone, Debug)]
pub struct ServerAnswer {
    /// The server's name.
    pub server: String,
    /// Where it was asked; `None` where its own name does not resolve.
    pub address: Option<SocketAddr>,
    /// It says that the zone is its own; else it has not got the zone (a lame delegation).
    pub authoritative: bool,
    /// The name its answer leads to by aliases.
    pub alias: Option<String>,
    /// The zone below that it passes on to, and that zone's servers.
    pub delegation: Option<(String, Vec<String>)>,
    /// Addresses in its answer, or why there are none.
    pub result: Result<Vec<IpAddr>, DnsFault>,
    /// Lowest time to live of the records used.
    pub ttl: Option<Duration>,
    /// From the question to the last answer.
    pub elapsed: Duration,
}

/// Looks at the zone of a name and at those its aliases lead to. `wait` bounds each of the three steps at each zone, twice
/// that the whole walk.
pub async fn ask(name: &str, family: Family, resolvers: &[SocketAddr], wait: Duration) -> Vec<Zone> {
    let until = Instant::now() + wait * 2;
    let mut zones: Vec<Zone> = Vec::new();
    let mut next = Some(absolute(name));
    let step = || (Instant::now() + wait).min(until);
    while let Some(name) = next.filter(|name| zones.iter().all(|zone| zone.name != *name)) {
        let mut found = find(&name, resolvers, step()).await;
        let last = loop {
            let zone = match found {
                Ok((apex, servers)) => one(&name, apex, servers, family, resolvers, step).await,
                Err(fault) => Zone {
                    name: name.clone(),
                    apex: Err(fault),
                    servers: Vec::new(),
                },
            };
            match zone.servers.iter().find_map(|server| server.delegation.clone()) {
                Some(below) if zones.len() + 1 < MAX_ZONES => {
                    zones.push(zone);
                    found = Ok(below);
                }
                _ => break zone,
            }
        };
        // An answer with addresses is whole; an alias alone is continued elsewhere.
        let unfinished = last.servers.iter().find(|server| server.result.is_err());
        next = unfinished
            .and_then(|server| server.alias.clone())
            .filter(|_| zones.len() + 1 < MAX_ZONES);
        zones.push(last);
    }
    zones
}

/// Asks the servers of one zone. `step` gives the deadline of a step that begins now.
async fn one(
    name: &str,
    apex: String,
    servers: Vec<String>,
    family: Family,
    resolvers: &[SocketAddr],
    step: impl Fn() -> Instant,
) -> Zone {
    let step = &step;
    let asked = servers.into_iter().take(MAX_SERVERS).map(|server| async move {
        let resolved = lookup(&server, Family::Any, resolvers, step()).await;
        match resolved.result {
            // IPv4 stands first; a host without IPv6 cannot ask there.
            Ok(addresses) => directly(server, SocketAddr::new(addresses[0], PORT), name, family, step()).await,
            Err(fault) => ServerAnswer {
                server,
                address: None,
                authoritative: false,
                alias: None,
                delegation: None,
                result: Err(fault),
                ttl: None,
                elapsed: resolved.elapsed,
            },
        }
    });
    Zone {
        name: name.to_owned(),
        apex: Ok(apex),
        servers: join_all(asked).await,
    }
}

/// The apex of the zone of a name, and its servers in alphabetical order.
async fn find(name: &str, resolvers: &[SocketAddr], deadline: Instant) -> Result<(String, Vec<String>), DnsFault> {
    let (mut rest, mut broken) = (name, None);
    loop {
        let asked = Name::from_utf8(rest).map(fully_qualified);
        let asked =
            asked.map_err(|_| DnsFault::Malformed("the name cannot be asked for: it is no valid domain name"))?;
        match first_usable(asked, RecordType::NS, resolvers, deadline).await {
            // Behind an alias they are those of another zone.
            Ok((_, answer)) if answer.cname_chain.is_empty() => {
                let mut servers = answer.name_servers;
                servers.sort();
                servers.dedup();
                return Ok((rest.to_owned(), servers));
            }
            Ok(_) | Err(DnsFault::NxDomain | DnsFault::NoData) => {}
            Err(fault @ (DnsFault::Timeout | DnsFault::Own(_))) => return Err(fault),
            // What a resolver cannot tell of a zone the zone above may.
            Err(fault) => broken = broken.or(Some(fault)),
        }
        rest = match rest.split_once('.') {
            Some((_, parent)) => parent,
            None => return Err(broken.unwrap_or(DnsFault::NxDomain)),
        };
    }
}

/// Asks one server for both families.
async fn directly(server: String, address: SocketAddr, name: &str, family: Family, deadline: Instant) -> ServerAnswer {
    let started = Instant::now();
    let kinds: &[RecordType] = match family {
        Family::Any => &[RecordType::A, RecordType::AAAA],
        Family::Ipv4 => &[RecordType::A],
        Family::Ipv6 => &[RecordType::AAAA],
    };
    let asked = fully_qualified(Name::from_utf8(name).unwrap_or_default());
    let answers = join_all(
        kinds
            .iter()
            .map(|kind| exchange::ask_directly(address, &asked, *kind, deadline)),
    )
    .await;
    let mut said = ServerAnswer {
        server,
        address: Some(address),
        authoritative: answers.iter().any(|(_, standing)| standing.authoritative),
        alias: answers.iter().find_map(|(_, standing)| standing.alias.clone()),
        delegation: answers.iter().find_map(|(_, standing)| standing.delegation.clone()),
        result: Ok(Vec::new()),
        ttl: None,
        elapsed: started.elapsed(),
    };
    let (mut addresses, mut faults) = (Vec::new(), Vec::new());
    for (answer, _) in answers {
        match answer {
            Ok(answer) => {
                said.ttl = said.ttl.into_iter().chain(answer.ttl).min();
                addresses.extend(answer.addresses);
            }
            Err(fault) => faults.push(fault),
        }
    }
    addresses.sort();
    said.result = match addresses.is_empty() {
        false => Ok(addresses),
        true => Err(faults.into_iter().max_by_key(weight).unwrap_or(DnsFault::Timeout)),
    };
    said
}
