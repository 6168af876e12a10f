//! What to do: what cause and verdict ask for, and the runbook.

use maud::{Markup, html};

use super::Shown;
use crate::cause::{Cause, Phase};
use crate::verdict::{Diagnosis, Verdict};

/// Next steps, where something is wrong.
pub(super) fn render(shown: &Shown<'_>) -> Markup {
    let said = &shown.detail.status.diagnosis;
    let steps = said.next_steps();
    html! {
        @if !steps.is_empty() {
            h2 { "Next steps" }
            ol.steps { @for step in &steps { li { (step) } } }
            @if let Some(name) = runbook_of(said) {
                p { "The runbook: " a href={ "../runbooks/" (name) } { (name) } }
            }
        }
    }
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
