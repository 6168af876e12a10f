//! Targets from DNS records: SRV, or A and AAAA with a configured port.

use std::net::SocketAddr;
use std::time::Duration;

use super::Failed;
use crate::config::TargetGroup;
use crate::config::operation::RecordType;
use crate::probe::Prober;
use crate::upstream::Family;

/// Time for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks once, the system's resolvers unless others are named. Sorted, so that the order of an answer is no change.
pub(super) async fn ask(
    prober: &Prober,
    name: &str,
    record: RecordType,
    port: Option<u16>,
    resolvers: &[SocketAddr],
) -> Result<Vec<TargetGroup>, Failed> {
    let failed = |fault: &dyn std::fmt::Display| Failed::with(fault.to_string());
    let family = match record {
        RecordType::Srv => {
            let services = prober.services(name, resolvers, TIMEOUT).await;
            let services = services.map_err(|fault| failed(&fault))?;
            return Ok(group(
                services
                    .iter()
                    .map(|service| format!("{}:{}", service.host, service.port)),
            ));
        }
        RecordType::A => Family::Ipv4,
        RecordType::Aaaa => Family::Ipv6,
    };
    let found = prober.lookup(name, family, resolvers, TIMEOUT).await;
    let ips = found.result.map_err(|fault| failed(&fault))?;
    let port = port.unwrap_or(80);
    Ok(group(ips.into_iter().map(|ip| SocketAddr::new(ip, port).to_string())))
}

fn group(targets: impl Iterator<Item = String>) -> Vec<TargetGroup> {
    let mut targets: Vec<_> = targets.collect();
    targets.sort();
    targets.dedup();
    vec![TargetGroup {
        targets,
        ..TargetGroup::default()
    }]
}
