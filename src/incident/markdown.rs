//! Incidents as Markdown: the timeline a post-incident review starts from.

use std::fmt::Write as _;
use std::time::SystemTime;

use super::{Ending, WithChanges};
use crate::evidence::Evidence;
use crate::moment;
use crate::verdict::Impact;

/// The incidents as one document, in the order given.
pub fn markdown(incidents: &[WithChanges], now: SystemTime) -> String {
    let mut text = format!("# Incidents\n\nAll times are UTC. Written {}.\n", moment::utc(now));
    if incidents.is_empty() {
        text.push_str("\nNo incident in this time.\n");
    }
    for shown in incidents {
        write_incident(&mut text, shown);
    }
    text
}

// Writing to a string does not fail.
fn write_incident(text: &mut String, shown: &WithChanges) {
    let incident = &shown.incident;
    let lasted = moment::rough(std::time::Duration::from_secs(shown.seconds));
    let _ = write!(
        text,
        "\n## {} · {} · {}\n\n",
        plain(&incident.upstream),
        shown.verdict,
        moment::utc(incident.began)
    );
    let end = match incident.end.map(|end| (end.how, moment::utc(end.at))) {
        None => "still open".to_owned(),
        Some((Ending::Recovered, at)) => format!("recovered {at}"),
        Some((Ending::Removed, at)) => format!("left the configuration {at}"),
        Some((Ending::Unwatched, at)) => format!("last seen {at}, not watched after that"),
    };
    let felt = match incident.impact {
        Impact::Users => "users felt it",
        Impact::Redundancy => "redundancy was lost, users did not feel it",
        Impact::None => "no impact is known",
    };
    let _ = writeln!(text, "- **Duration**: {lasted}, {end}");
    let _ = writeln!(text, "- **Impact**: {felt}");
    if incident.requests.total > 0 {
        let share = incident.requests.failed as f64 * 100.0 / incident.requests.total as f64;
        let _ = writeln!(
            text,
            "- **Requests**: {} of {} failed ({share:.1} %)",
            incident.requests.failed, incident.requests.total
        );
    }
    for count in &incident.probes {
        let _ = writeln!(
            text,
            "- **Probes**: {} failed at {} with `{}`",
            count.failed,
            plain(&count.hop),
            count.cause
        );
    }
    if incident.unwatched_seconds > 0 {
        let _ = writeln!(
            text,
            "- **Not watched**: {} s, while badgateway did not run",
            incident.unwatched_seconds
        );
    }
    write_timeline(text, shown);
    for (name, evidence) in [("First", &incident.first), ("Last", &incident.last)] {
        if let Some(evidence) = evidence {
            write_evidence(text, name, evidence);
        }
    }
}

/// Changes and steps in the order of time.
fn write_timeline(text: &mut String, shown: &WithChanges) {
    let incident = &shown.incident;
    let steps = incident.steps.iter().map(|step| {
        let line = format!(
            "**{}** ({} impact): {}",
            step.verdict,
            step.impact,
            plain(&step.sentence)
        );
        (step.at, line)
    });
    let changes = shown.changes.iter().map(|change| {
        let link = change
            .link
            .as_deref()
            .map(|link| format!(" <{}>", plain(link)))
            .unwrap_or_default();
        let (kind, when) = (change.kind.label(), shown.when(change));
        (change.at, format!("_{kind}, {when}_: {}{link}", plain(&change.text)))
    });
    let end = incident.end.map(|end| (end.at, "**end**".to_owned()));
    let mut lines: Vec<_> = changes.chain(steps).chain(end).collect();
    lines.sort_by_key(|(at, _)| *at);
    text.push_str("\n| Time | What |\n|---|---|\n");
    for (at, line) in lines {
        let _ = writeln!(text, "| {} | {line} |", moment::utc(at));
    }
    if incident.steps_left_out > 0 {
        let _ = writeln!(text, "\n{} steps in between are left out.", incident.steps_left_out);
    }
}

fn write_evidence(text: &mut String, name: &str, evidence: &Evidence) {
    let address = evidence.address.as_deref().unwrap_or("no address");
    let _ = write!(
        text,
        "\n{name} evidence, {}: `{}` at {} ({}), {}\n\n```text\n{}\n",
        moment::utc(evidence.at),
        evidence.cause,
        plain(&evidence.hop),
        plain(address),
        plain(&evidence.url),
        fenced(&evidence.text)
    );
    for (name, value) in &evidence.headers {
        let _ = writeln!(text, "{}: {}", fenced(name), fenced(value));
    }
    text.push_str("```\n");
}

/// Text from the wire as Markdown shows it: no markup, no line break, no cell border.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' | '\r' | '\t' => plain.push(' '),
            char if char.is_control() => plain.push('\u{fffd}'),
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '#' | '!' => plain.extend(['\\', char]),
            char => plain.push(char),
        }
    }
    plain
}

/// Text inside a fence: it must not close it.
fn fenced(text: &str) -> String {
    text.replace("```", "'''").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, evidence, said};
    use super::super::{Ended, Incident, Marker, MarkerKind};
    use super::*;
    use crate::verdict::Verdict;

    #[test]
    fn a_review_starts_from_the_timeline() {
        let began = said(Verdict::OriginDown, Impact::Users);
        let mut incident = Incident::begin(7, "shop".into(), at(100), &began, Some(evidence(99)));
        incident.failed(&evidence(130), true);
        incident.requests.total = 200;
        incident.requests.failed = 50;
        incident.end = Some(Ended {
            at: at(190),
            how: Ending::Recovered,
        });
        let marker = Marker {
            at: at(60),
            kind: MarkerKind::Deploy,
            upstream: None,
            text: "shop 1.2 | <b>".into(),
            link: None,
        };
        let text = markdown(&[incident.with_changes([marker].iter(), at(500))], at(500));
        for line in [
            "## shop · origin_down · 2025-11-20 12:01:40 UTC",
            "- **Duration**: 90 s, recovered 2025-11-20 12:03:10 UTC",
            "- **Requests**: 50 of 200 failed (25.0 %)",
            "- **Probes**: 1 failed at origin with `connect_refused`",
            "| 2025-11-20 12:01:00 UTC | _deploy, 40 s before_: shop 1.2 \\| \\<b\\> |",
            "| 2025-11-20 12:03:10 UTC | **end** |",
            "connection refused",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let deploy = text.find("_deploy").unwrap();
        assert!(deploy < text.find("**origin_down**").unwrap());
    }
}
