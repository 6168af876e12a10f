//! What to ask in a round: which addresses, which paths.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::HopRun;
use crate::classify::unexpected;
use crate::observation::{Address, Resolution};
use crate::upstream::{AddressChoice, Host, Target};

/// One request to be made in a round.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// Which of the hop's targets.
    pub(super) target: usize,
    /// Which of the target's requests.
    pub(super) request: usize,
    pub(super) address: Address,
}

/// The requests of one round.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) work: Vec<Work>,
    /// Every address there is, probed or not.
    pub(super) present: BTreeSet<Address>,
    /// How many of them are left out of this round.
    pub(super) unprobed: usize,
}

impl HopRun {
    /// The requests of this round: every address, or the next one, times every path.
    pub(super) fn choose(&self, resolutions: &[Arc<Resolution>]) -> Chosen {
        let mut chosen = Chosen::default();
        for (index, (target, resolution)) in self.targets.iter().zip(resolutions).enumerate() {
            let target = &target.target;
            let mut addresses = addresses_of(target, resolution);
            chosen.present.extend(addresses.iter().cloned());
            chosen.present.extend(unexpected_of(target, resolution));
            let all = addresses.len();
            if target.addresses == AddressChoice::One && all > 1 {
                let next = self.next_address.fetch_add(1, Ordering::Relaxed) % all;
                addresses = vec![addresses.swap_remove(next)];
            }
            addresses.truncate(target.max_addresses);
            chosen.unprobed += all - addresses.len();
            for address in addresses {
                let works = (0..target.requests.len()).map(|request| Work {
                    target: index,
                    request,
                    address: address.clone(),
                });
                chosen.work.extend(works);
            }
        }
        chosen
    }
}

/// The addresses of a target that may be probed.
pub(super) fn addresses_of(target: &Target, resolution: &Resolution) -> Vec<Address> {
    if let Host::Unix(path) = &target.host {
        return vec![Address::Unix(Arc::new(path.clone()))];
    }
    let mut seen = BTreeSet::new();
    let addresses = resolution
        .result
        .iter()
        .flatten()
        .filter(|ip| !unexpected(**ip, &target.expect));
    addresses
        .filter(|ip| seen.insert(**ip))
        .map(|ip| at(*ip, target))
        .collect()
}

/// The addresses of a target that its name must not have.
pub(super) fn unexpected_of(target: &Target, resolution: &Resolution) -> impl Iterator<Item = Address> {
    let outside = resolution
        .result
        .iter()
        .flatten()
        .filter(|ip| unexpected(**ip, &target.expect));
    outside
        .map(|ip| at(*ip, target))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .take(target.max_addresses)
}

fn at(ip: IpAddr, target: &Target) -> Address {
    Address::Tcp(SocketAddr::new(ip, target.port))
}
