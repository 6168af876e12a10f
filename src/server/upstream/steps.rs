//! What to do: what cause and verdict ask for, commands to paste, and the runbook.

use maud::{Markup, html};

use super::Shown;
use crate::cause::{Cause, Phase};
use crate::gateway::commands::{self, Known, Step};
use crate::verdict::{Diagnosis, Verdict};

/// Next steps, where something is wrong.
pub(super) fn render(shown: &Shown<'_>) -> Markup {
    let said = &shown.detail.status.diagnosis;
    let steps = said.next_steps();
    html! {
        @if !steps.is_empty() {
            h2 { "Next steps" }
            ol.steps { @for step in &steps { li { (step) } } }
            @let commands = commands_of(shown);
            @if !commands.is_empty() {
                details #commands open {
                    summary { "Commands to paste; none of them changes anything" }
                    dl.commands {
                        @for step in &commands {
                            dt { "to see " (step.shows) @if let Some(kind) = step.kind { " (" (kind) ")" } }
                            dd { pre tabindex="0" { (step.line) } }
                        }
                    }
                }
            }
            @if let Some(name) = runbook_of(said) {
                p { "The runbook: " a href={ "../runbooks/" (name) } { (name) } }
            }
        }
    }
}

/// What asks by hand, and what the gateway's vendor documents, with this upstream's names and addresses in it.
fn commands_of(shown: &Shown<'_>) -> Vec<Step> {
    let detail = shown.detail;
    let said = &detail.status.diagnosis;
    let hop = |name: &str| detail.hops.iter().find(|hop| *hop.hop.name == *name);
    let address_of = |name: &str| {
        hop(name)?
            .trail
            .latest()
            .iter()
            .find_map(|record| record.address.clone())
    };
    let failing = said.hop.as_deref().and_then(hop);
    let writer = failing.and_then(|hop| hop.trail.latest().iter().find_map(|record| record.recognised.writer));
    let known = Known {
        address_of: Some(&address_of),
        writer,
    };
    commands::steps(&detail.config, said, known)
}

/// The runbook that says most of this.
pub(super) fn runbook_of(said: &Diagnosis) -> Option<&'static str> {
    use Verdict::*;
    let name = match said.verdict {
        Healthy | Unknown => return None,
        OriginUnverified => "BadGatewayUpstreamBlocksProbes",
        OriginDns if said.cause == Some(Cause::DnsUnexpectedAddress) => "BadGatewayUpstreamDNSUnexpectedAddress",
        OriginDns => "BadGatewayUpstreamDNSFailing",
        OriginDown => match said.cause {
            Some(Cause::ConnectTimeout) => "BadGatewayUpstreamConnectTimeout",
            Some(Cause::ConnectUnreachable) => "BadGatewayUpstreamUnreachable",
            _ => "BadGatewayUpstreamConnectRefused",
        },
        OriginTls => "BadGatewayUpstreamTLSFailing",
        OriginInvalid => "BadGatewayUpstreamInvalidResponses",
        OriginOverloaded => "BadGatewayUpstreamOverloaded",
        OriginError => match said.cause {
            Some(Cause::ContentMismatch) => "BadGatewayUpstreamContentMismatch",
            Some(Cause::UnexpectedStatus) => "BadGatewayUpstreamUnexpectedStatus",
            _ => "BadGatewayUpstreamServerErrors",
        },
        OriginPartial => "BadGatewayUpstreamPartlyDown",
        GatewayCachedError => "BadGatewayCached",
        GatewayUnreachable => "BadGatewayUnreachable",
        GatewayPartial => "BadGatewayRedundancyLost",
        GatewayFault if said.cause.is_some_and(|cause| cause.phase() == Phase::Connect) => "BadGatewayBlockedByOrigin",
        GatewayFault => "BadGatewayWhileOriginHealthy",
        Unlocated => "BadGatewayUpstreamDown",
        TrafficFailing => "BadGatewaySpike",
        Intermittent => "BadGatewayUpstreamIntermittent",
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::shipped::RUNBOOKS;

    #[test]
    fn every_verdict_leads_to_a_runbook_that_is_there() {
        for verdict in Verdict::ALL {
            for cause in std::iter::once(None).chain(Cause::ALL.iter().copied().map(Some)) {
                let said = Diagnosis {
                    verdict: *verdict,
                    cause,
                    ..Diagnosis::unknown(UNIX_EPOCH)
                };
                match runbook_of(&said) {
                    Some(name) => assert!(RUNBOOKS.iter().any(|file| file.name == name), "{name}"),
                    None => assert!(!verdict.is_fault(), "{verdict}"),
                }
            }
        }
    }
}
