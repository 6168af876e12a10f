//! The DNS phase: a name to its addresses, with everything the answers say, and exactly why not where there are none.
//!
//! Messages are read and written by a library; the asking is ours, because a resolver library caches, retries and
//! folds response codes together, and a probe must see each. Names are looked up as the system's own resolver would
//! (`/etc/hosts`, search domains, several resolvers in turn), or with the resolvers configured for a hop, which are
//! asked for the name as it stands.

pub mod answer;
pub mod authority;
pub mod exchange;
pub mod system;

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::rr::{Name, RecordType};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::observation::{AnswerSource, DnsFault, Resolution};
use crate::probe::dns::answer::{Answer, Service};
use crate::probe::dns::system::{System, SystemFiles};
use crate::upstream::Family;

/// One family has answered: the other is waited for no longer than this (design, section 3).
const OTHER_FAMILY_WAIT: Duration = Duration::from_secs(1);
/// A silent resolver is given this long before the next one is asked beside it.
const NEXT_RESOLVER_AFTER: Duration = Duration::from_secs(1);

/// Resolves names. Remembers the system's resolver configuration and reads it again when it changed.
#[derive(Debug, Default)]
pub struct Resolver {
    files: SystemFiles,
}

impl Resolver {
    /// A resolver that reads the system's files at its first use.
    pub fn new() -> Self {
        Resolver::default()
    }

    /// Resolves a name before the deadline, by these resolvers or, where there are none, as the system would.
    pub async fn resolve(&self, name: &str, family: Family, resolvers: &[SocketAddr], wait: Duration) -> Resolution {
        let started = Instant::now();
        let deadline = started + wait;
        let mut resolution = match resolvers {
            [] => self.as_the_system(name, family, deadline).await,
            _ => lookup(&absolute(name), family, resolvers, deadline).await,
        };
        resolution.elapsed = started.elapsed();
        resolution
    }

    /// The services that the SRV records of a name give, asked for like an address (RFC 2782).
    ///
    /// # Errors
    /// Why there are none, of the name as it stands where search domains were tried too.
    pub async fn services(
        &self,
        name: &str,
        resolvers: &[SocketAddr],
        wait: Duration,
    ) -> Result<Vec<Service>, DnsFault> {
        let deadline = Instant::now() + wait;
        let system = self.files.current();
        let (candidates, resolvers) = match resolvers {
            [] => (system.candidates(name), system.resolvers.as_slice()),
            _ => (vec![absolute(name)], resolvers),
        };
        let mut first = None;
        for candidate in candidates {
            let Ok(asked) = Name::from_utf8(&candidate).map(fully_qualified) else {
                continue;
            };
            match first_usable(asked, RecordType::SRV, resolvers, deadline).await {
                Ok((_, answer)) => return Ok(answer.services),
                Err(fault @ (DnsFault::NxDomain | DnsFault::NoData)) => {
                    first = first.filter(|_| candidate != absolute(name)).or(Some(fault));
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(first.unwrap_or(DnsFault::NxDomain))
    }

    /// The resolvers asked for a name: these, or the system's.
    pub fn resolvers(&self, configured: &[SocketAddr]) -> Vec<SocketAddr> {
        match configured {
            [] => self.files.current().resolvers.clone(),
            _ => configured.to_vec(),
        }
    }

    /// Asks every one of these resolvers for a name as it stands, side by side. Where one gives no answer its source is
    /// itself all the same.
    pub async fn ask_each(
        &self,
        name: &str,
        family: Family,
        resolvers: &[SocketAddr],
        wait: Duration,
    ) -> Vec<Resolution> {
        let (name, started) = (absolute(name), Instant::now());
        let ask = |resolver: SocketAddr| {
            let name = &name;
            async move {
                let seen = lookup(name, family, &[resolver], started + wait).await;
                Resolution {
                    source: AnswerSource::Resolver(resolver),
                    elapsed: started.elapsed(),
                    ..seen
                }
            }
        };
        join_all(resolvers.iter().copied().map(ask)).await
    }

    async fn as_the_system(&self, name: &str, family: Family, deadline: Instant) -> Resolution {
        let system = self.files.current();
        let known = system.hosts_entry(name, family);
        if !known.is_empty() {
            return Resolution {
                source: AnswerSource::HostsFile,
                ..empty(name, Ok(known))
            };
        }
        let mut first = None;
        for candidate in system.candidates(name) {
            let resolution = lookup(&candidate, family, &system.resolvers, deadline).await;
            match resolution.result {
                Err(DnsFault::NxDomain | DnsFault::NoData) => {
                    // The fault of the name itself is the one to report, not that of a search domain.
                    if first.is_none() || candidate == absolute(name) {
                        first = Some(resolution);
                    }
                }
                _ => return resolution,
            }
        }
        first.unwrap_or_else(|| empty(name, Err(DnsFault::NxDomain)))
    }
}

fn absolute(name: &str) -> String {
    name.trim_end_matches('.').to_owned()
}

fn empty(name: &str, result: Result<Vec<IpAddr>, DnsFault>) -> Resolution {
    Resolution {
        name: name.to_owned(),
        source: AnswerSource::Nobody,
        cname_chain: Vec::new(),
        ttl: None,
        elapsed: Duration::ZERO,
        result,
        half: None,
    }
}

/// One name, both families side by side.
async fn lookup(name: &str, family: Family, resolvers: &[SocketAddr], deadline: Instant) -> Resolution {
    let Ok(parsed) = Name::from_utf8(name).map(fully_qualified) else {
        return empty(
            name,
            Err(DnsFault::Malformed(
                "the name cannot be asked for: it is no valid domain name",
            )),
        );
    };
    let one = |kind| first_usable(parsed.clone(), kind, resolvers, deadline);
    let (a, aaaa) = match family {
        Family::Ipv4 => (Some(one(RecordType::A).await), None),
        Family::Ipv6 => (None, Some(one(RecordType::AAAA).await)),
        Family::Any => both(one(RecordType::A), one(RecordType::AAAA)).await,
    };
    merge(name, a, aaaa)
}

fn fully_qualified(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}

/// What asking for one family gave: who answered, and what.
type FamilyResult = Result<(SocketAddr, Answer), DnsFault>;

/// Waits for both; once one has an address, for the other only a little longer. `None` is one not waited for.
async fn both(
    a: impl Future<Output = FamilyResult>,
    aaaa: impl Future<Output = FamilyResult>,
) -> (Option<FamilyResult>, Option<FamilyResult>) {
    let (mut a, mut aaaa) = (Box::pin(a), Box::pin(aaaa));
    tokio::select! {
        result = &mut a => {
            let other = wait_for_other(&result, aaaa).await;
            (Some(result), other)
        }
        result = &mut aaaa => {
            let other = wait_for_other(&result, a).await;
            (other, Some(result))
        }
    }
}

async fn wait_for_other(first: &FamilyResult, other: impl Future<Output = FamilyResult>) -> Option<FamilyResult> {
    match first {
        Ok(_) => timeout(OTHER_FAMILY_WAIT, other).await.ok(),
        Err(_) => Some(other.await),
    }
}

fn merge(name: &str, a: Option<FamilyResult>, aaaa: Option<FamilyResult>) -> Resolution {
    let mut resolution = empty(name, Ok(Vec::new()));
    let mut addresses = Vec::new();
    let mut faults = Vec::new();
    for result in [a, aaaa].into_iter().flatten() {
        match result {
            Ok((server, answer)) => {
                addresses.extend(answer.addresses);
                resolution.source = AnswerSource::Resolver(server);
                resolution.ttl = resolution.ttl.into_iter().chain(answer.ttl).min();
                if resolution.cname_chain.is_empty() {
                    resolution.cname_chain = answer.cname_chain;
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    let fault = faults.into_iter().max_by_key(weight);
    match addresses.is_empty() {
        false => {
            resolution.result = Ok(addresses);
            resolution.half = fault.filter(|fault| *fault != DnsFault::NoData);
        }
        true => resolution.result = Err(fault.unwrap_or(DnsFault::Timeout)),
    }
    resolution
}

/// Which fault speaks for a name when its families differ, or for several resolvers: what was said outweighs silence,
/// and "no such name" is said of the name, not of one family.
fn weight(fault: &DnsFault) -> u8 {
    match fault {
        DnsFault::NoData => 0,
        DnsFault::Timeout => 1,
        DnsFault::Malformed(_) => 2,
        DnsFault::Refused => 3,
        DnsFault::ServFail(_) => 4,
        DnsFault::NxDomain => 5,
        DnsFault::Own(_) => 6,
    }
}

/// A question on its way to one resolver.
type Asking<'a> = Pin<Box<dyn Future<Output = (SocketAddr, Result<Answer, DnsFault>)> + Send + 'a>>;

/// Asks the resolvers in turn, the next one beside a silent one; the first usable answer wins. "No such name" and "no
/// addresses" are answers; a resolver that fails or refuses makes room for the next.
async fn first_usable(name: Name, kind: RecordType, resolvers: &[SocketAddr], deadline: Instant) -> FamilyResult {
    let mut race = Race {
        waiting: resolvers,
        asking: Vec::new(),
        next: Box::pin(sleep(Duration::ZERO)),
        fault: None,
        name: Arc::new(name),
        kind,
        deadline,
    };
    poll_fn(|cx| race.poll(cx)).await
}

struct Race<'a> {
    waiting: &'a [SocketAddr],
    asking: Vec<Asking<'a>>,
    next: Pin<Box<Sleep>>,
    fault: Option<DnsFault>,
    name: Arc<Name>,
    kind: RecordType,
    deadline: Instant,
}

impl Race<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<FamilyResult> {
        loop {
            let mut index = 0;
            let mut lost = false;
            while index < self.asking.len() {
                match self.asking[index].as_mut().poll(cx) {
                    Poll::Pending => index += 1,
                    Poll::Ready((server, Ok(answer))) => return Poll::Ready(Ok((server, answer))),
                    Poll::Ready((_, Err(fault @ (DnsFault::NxDomain | DnsFault::NoData)))) => {
                        return Poll::Ready(Err(fault));
                    }
                    Poll::Ready((_, Err(fault))) => {
                        drop(self.asking.swap_remove(index));
                        self.fault = self.fault.take().into_iter().chain([fault]).max_by_key(weight);
                        lost = true;
                    }
                }
            }
            let due = self.asking.is_empty() || lost || self.next.as_mut().poll(cx).is_ready();
            match (due, self.waiting.split_first()) {
                (true, Some((server, rest))) => {
                    self.waiting = rest;
                    self.begin(*server);
                }
                _ if self.asking.is_empty() => {
                    return Poll::Ready(Err(self.fault.take().unwrap_or(DnsFault::Timeout)));
                }
                _ => return Poll::Pending,
            }
        }
    }

    fn begin(&mut self, server: SocketAddr) {
        let (name, kind, deadline) = (self.name.clone(), self.kind, self.deadline);
        self.asking.push(Box::pin(async move {
            (server, exchange::ask(server, &name, kind, deadline).await)
        }));
        self.next = Box::pin(sleep(NEXT_RESOLVER_AFTER.min((deadline - Instant::now()) / 3)));
    }
}

impl System {
    fn hosts_entry(&self, name: &str, family: Family) -> Vec<IpAddr> {
        let name = absolute(name).to_ascii_lowercase();
        let mut addresses: Vec<_> = self
            .hosts_of(&name)
            .into_iter()
            .filter(|ip| family.allows(*ip))
            .collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(address: &str) -> FamilyResult {
        let server = "127.0.0.1:53".parse().expect("an address");
        let addresses = vec![address.parse().expect("an address")];
        Ok((
            server,
            Answer {
                addresses,
                ttl: Some(Duration::from_secs(30)),
                ..Answer::default()
            },
        ))
    }

    #[test]
    fn one_family_is_enough_and_the_other_is_evidence() {
        let seen = merge("x", Some(answer("192.0.2.1")), Some(Err(DnsFault::ServFail(2))));
        assert_eq!(seen.result.as_ref().map(Vec::len), Ok(1));
        assert_eq!(seen.half, Some(DnsFault::ServFail(2)));
        assert_eq!(
            merge("x", Some(answer("192.0.2.1")), Some(Err(DnsFault::NoData))).half,
            None
        );
        assert_eq!(merge("x", Some(answer("192.0.2.1")), None).half, None);
    }

    #[test]
    fn the_fault_that_says_most_speaks_for_the_name() {
        use DnsFault::*;
        let cases = [
            (NoData, NoData, NoData),
            (NxDomain, NxDomain, NxDomain),
            (NoData, Timeout, Timeout),
            (Timeout, ServFail(2), ServFail(2)),
            (NoData, Malformed("x"), Malformed("x")),
            (Refused, Timeout, Refused),
        ];
        for (a, aaaa, expected) in cases {
            assert_eq!(
                merge("x", Some(Err(a.clone())), Some(Err(aaaa.clone()))).result,
                Err(expected.clone())
            );
            assert_eq!(merge("x", Some(Err(aaaa)), Some(Err(a))).result, Err(expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_family_is_waited_for_a_little_only() {
        let started = Instant::now();
        let (a, aaaa) = both(async { answer("192.0.2.1") }, std::future::pending()).await;
        assert!(a.is_some() && aaaa.is_none());
        assert_eq!(started.elapsed(), OTHER_FAMILY_WAIT);
    }
}
