//! What resolvers and the servers of a zone say of a name, a line for each, and where they differ.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::super::names::NameLook;
use super::{Page, cut_long, milliseconds};
use crate::evidence::cut;
use crate::observation::{DnsFault, Resolution};
use crate::probe::dns::authority::ServerAnswer;

impl Page {
    /// What each resolver and each server of the zone says.
    pub(super) fn name(&mut self, look: &NameLook) {
        let said = |seen: &Resolution| answer(&seen.result, &seen.cname_chain, seen.ttl, seen.elapsed);
        for seen in &look.resolvers {
            self.under("resolver", &format!("{:<22} {}", seen.source.to_string(), said(seen)));
        }
        for zone in look.zones.iter().flatten() {
            match &zone.apex {
                Ok(apex) => self.under("zone", &format!("{} is in the zone {}", cut(&zone.name), cut(apex))),
                Err(fault) => self.under("zone", &format!("of {}: not found, {fault}", cut(&zone.name))),
            }
            for server in &zone.servers {
                self.under("", &format!("{:<22} {}", cut(&server.server), of_server(server)));
            }
        }
        for difference in look.differences() {
            let difference = self.style.warning(&cut_long(&difference));
            self.under("differs", &difference);
        }
    }
}

/// The answer of a resolver or server: addresses or why there are none, aliases, how long it holds, how long it took.
fn answer(result: &Result<Vec<IpAddr>, DnsFault>, chain: &[String], ttl: Option<Duration>, took: Duration) -> String {
    let mut text = match result {
        Ok(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Err(fault) => fault.to_string(),
    };
    if !chain.is_empty() {
        let _ = write!(text, " by way of {}", cut(&chain.join(", ")));
    }
    if let Some(ttl) = ttl {
        let _ = write!(text, ", for {} s", ttl.as_secs());
    }
    let _ = write!(text, " ({})", milliseconds(took));
    text
}

fn of_server(said: &ServerAnswer) -> String {
    let Some(address) = said.address else {
        return match &said.result {
            Err(fault) => format!("cannot be asked, its own name: {fault}"),
            Ok(_) => "cannot be asked".to_owned(),
        };
    };
    let lame = if said.authoritative {
        ""
    } else {
        ", not of its own zone"
    };
    if let Some((zone, servers)) = &said.delegation {
        return format!("{address} passes on to {} for {}", cut(&servers.join(", ")), cut(zone));
    }
    match (&said.result, &said.alias) {
        (Err(_), Some(alias)) => format!("{address} is an alias of {}{lame}", cut(alias)),
        (result, _) => format!("{address} {}{lame}", answer(result, &[], said.ttl, said.elapsed)),
    }
}
