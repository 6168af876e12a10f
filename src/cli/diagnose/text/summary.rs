//! What the look means and what to do, at the end, where the eye is.

use super::super::look::{HopLook, Look};
use super::super::names::NameLook;
use super::{Page, amount, cut_long, percent};
use crate::verdict::{Impact, Verdict};

impl Page {
    /// What is no fault yet, or none of a hop: limits that are near, caches, names that differ.
    fn warnings(&self, look: &HopLook) -> Vec<String> {
        let name = &look.report.hop.name;
        let mut said = Vec::new();
        if let Some(seen) = look.past_cache.as_ref().filter(|seen| seen.says.is_warning()) {
            said.push(format!("hop {name}: {}", seen.says.sentence()));
        }
        if let Some(gateway) = &look.asked_by {
            let near = look.limits.iter().filter(|reached| reached.used.is_near());
            said.extend(near.map(|reached| {
                let used = &reached.used;
                let least = if used.at_least { "at least " } else { "" };
                let (seen, limit) = (amount(used.seen), amount(used.limit));
                let share = percent(used.share());
                let whose = &gateway.name;
                format!(
                    "hop {name}: {} is {least}{seen}, {share} of the {limit} that {whose} allows",
                    used.kind.label()
                )
            }));
        }
        said.extend(
            look.names
                .iter()
                .flat_map(NameLook::differences)
                .map(|text| format!("hop {name}: {}", cut_long(&text))),
        );
        let warning = self.style.warning("warning:");
        said.iter().map(|text| format!("{warning} {text}")).collect()
    }

    /// What it means first, then what to do about it, then what to paste.
    pub(super) fn summary(&mut self, look: &Look) {
        let diagnosis = &look.diagnosis;
        let (verdict, sentence) = (diagnosis.verdict, diagnosis.sentence());
        let label = match verdict {
            Verdict::Healthy => self.style.good("healthy:"),
            verdict => self.style.bad(&format!("{verdict}:")),
        };
        self.line(&format!("{label} {sentence}"));
        match diagnosis.impact {
            Impact::Users => self.line("  impact: users feel it"),
            Impact::Redundancy => self.line("  impact: users do not feel it yet"),
            Impact::None => {}
        }
        for hop in look.hops.iter().filter(|hop| !hop.report.is_judged()) {
            let why = hop.report.probes().next().map(|probe| probe.outcome.to_string());
            let why = why.unwrap_or_else(|| "its name could not be asked for".to_owned());
            let name = &hop.report.hop.name;
            self.line(&format!(
                "  {} hop {name} could not be asked: {why}",
                self.style.bad("error:")
            ));
        }
        for hop in &look.hops {
            for cause in hop.report.causes() {
                let (label, name) = (self.style.bad(cause.label()), self.style.strong(&hop.report.hop.name));
                self.line(&format!("  {label} at hop {name}: {}", cause.meaning()));
                self.line(&format!("    look at: {}", cause.look_at()));
            }
        }
        for warning in look.hops.iter().flat_map(|hop| self.warnings(hop)).collect::<Vec<_>>() {
            self.line(&format!("  {warning}"));
        }
        // There is no further round to wait for.
        let steps = verdict.next_steps().iter().filter(|_| verdict != Verdict::Unknown);
        for step in steps {
            self.line(&format!("  next: {step}"));
        }
        if !look.steps.is_empty() {
            self.line("");
        }
        for step in &look.steps {
            let whose = step.kind.map(|kind| format!("{kind}: ")).unwrap_or_default();
            let shows = self.style.faint(&format!("# {whose}{}", step.shows));
            self.line(&shows);
            self.line(&step.line);
        }
    }
}
