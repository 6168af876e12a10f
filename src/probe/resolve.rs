//! Names that probes need: resolved as a target says, and looked at from every side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::dns::answer::Service;
use super::dns::authority::{self, Zone};
use super::{Prepared, Prober};
use crate::observation::{AnswerSource, DnsFault, Resolution};
use crate::upstream::{Family, Host, Target};

impl Prober {
    /// The hosts and ports that the SRV records of a name give, by the system's resolvers unless others are named.
    pub async fn services(
        &self,
        name: &str,
        resolvers: &[SocketAddr],
        wait: Duration,
    ) -> Result<Vec<Service>, DnsFault> {
        self.resolver.services(name, resolvers, wait).await
    }

    /// Resolves a name that belongs to no target.
    pub async fn lookup(&self, name: &str, family: Family, resolvers: &[SocketAddr], wait: Duration) -> Resolution {
        self.resolver.resolve(name, family, resolvers, wait).await
    }

    /// How many resolvers are asked for a name: the named ones, or the system's.
    pub fn resolvers(&self, resolvers: &[SocketAddr]) -> usize {
        self.resolver.resolvers(resolvers).len()
    }

    /// What every one of the resolvers asked for a name says of it, side by side: the named ones, or the system's.
    pub async fn ask_each(
        &self,
        name: &str,
        family: Family,
        resolvers: &[SocketAddr],
        wait: Duration,
    ) -> Vec<Resolution> {
        let resolvers = self.resolver.resolvers(resolvers);
        self.resolver.ask_each(name, family, &resolvers, wait).await
    }

    /// What the zone's own servers say of a name, and those of the zones its aliases lead to; see [`authority`].
    pub async fn ask_zones(&self, name: &str, family: Family, resolvers: &[SocketAddr], wait: Duration) -> Vec<Zone> {
        let resolvers = self.resolver.resolvers(resolvers);
        authority::ask(name, family, &resolvers, wait).await
    }

    /// Resolves the host of a prepared target; one whose URL holds the address costs nothing.
    pub async fn resolve(&self, prepared: &Prepared) -> Arc<Resolution> {
        match &prepared.literal {
            Some(literal) => literal.clone(),
            None => Arc::new(self.resolve_host(&prepared.target).await),
        }
    }

    /// Resolves the host of a target.
    pub async fn resolve_host(&self, target: &Target) -> Resolution {
        match (&target.host, literal(&target.host)) {
            (Host::Name(name), _) => {
                self.lookup(name, target.family, &target.resolvers, target.resolution_timeout())
                    .await
            }
            (Host::Ip(_) | Host::Unix(_), literal) => literal.expect("these need no answer"),
        }
    }
}

/// What "resolving" a host gives that is no name.
pub(super) fn literal(host: &Host) -> Option<Resolution> {
    let (name, addresses) = match host {
        Host::Name(_) => return None,
        Host::Ip(ip) => (ip.to_string(), vec![*ip]),
        Host::Unix(path) => (path.display().to_string(), Vec::new()),
    };
    Some(Resolution {
        name,
        source: AnswerSource::Literal,
        cname_chain: Vec::new(),
        ttl: None,
        elapsed: Duration::ZERO,
        result: Ok(addresses),
        half: None,
    })
}
