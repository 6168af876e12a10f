//! What is shipped beside the code says what the code does: the tables of the README, the example configuration.
//!
//! `UPDATE_GOLDEN=1 cargo test --test shipped` writes the tables anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use badgateway::cause::{Cause, Phase};
use badgateway::config;
use badgateway::gateway;
use badgateway::metrics::FAMILIES;
use badgateway::shipped::RULES;
use badgateway::verdict::Verdict;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// Holds the part of the README between `<!-- NAME -->` and `<!-- /NAME -->` against what it should be.
fn check_table(name: &str, expected: &str) {
    let readme = fs::read_to_string(README).expect("the README can be read");
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = readme
        .find(&open)
        .unwrap_or_else(|| panic!("no {open:?} in the README"))
        + open.len();
    let end = readme[start..]
        .find(&close)
        .unwrap_or_else(|| panic!("no {close:?} in the README"))
        + start;
    if readme[start..end] == *expected {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_GOLDEN").is_some(),
        "the table {name:?} of the README is old:\n{expected}"
    );
    fs::write(README, [&readme[..start], expected, &readme[end..]].concat()).expect("the README can be written");
}

fn causes_table(rows: impl Iterator<Item = Cause>) -> String {
    let mut table = String::from("| cause | phase | what happened | look first at |\n|---|---|---|---|\n");
    for cause in rows {
        let phase = if cause.phase() == Phase::Log {
            ""
        } else {
            cause.phase().label()
        };
        let _ = writeln!(
            table,
            "| `{cause}` | {phase} | {} | {} |",
            cause.meaning(),
            cause.look_at()
        );
    }
    table
}

#[test]
fn the_readme_explains_every_cause_a_probe_names() {
    check_table("causes", &causes_table(Cause::of_probes()));
}

#[test]
fn the_readme_explains_every_cause_only_logs_name() {
    check_table(
        "log causes",
        &causes_table(Cause::ALL.iter().copied().filter(|cause| cause.logs_only())),
    );
}

#[test]
fn the_readme_explains_every_verdict() {
    let mut table = String::from("| verdict | what it says | what to do first |\n|---|---|---|\n");
    for verdict in Verdict::ALL {
        let first = verdict.next_steps().first().copied().unwrap_or_default();
        let _ = writeln!(table, "| `{verdict}` | {} | {first} |", verdict.meaning());
    }
    check_table("verdicts", &table);
}

#[test]
fn the_readme_lists_every_metric() {
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for family in FAMILIES {
        let labels = family.labels.join(", ");
        let _ = writeln!(
            table,
            "| `{}` | {} | {labels} | {} |",
            family.name,
            family.kind.as_str(),
            family.help
        );
    }
    check_table("metrics", &table);
}

#[test]
fn the_readme_lists_every_alert() {
    let mut table = String::from("| alert | severity | what it says |\n|---|---|---|\n");
    let after = |text: &'static str, mark: &str| text.split_once(mark).expect("every alert has it").1;
    let line = |text: &'static str| text.lines().next().unwrap_or_default().trim();
    for alert in RULES.split("- alert: ").skip(1) {
        let (severity, summary) = (after(alert, "severity: "), after(alert, "summary: >-\n"));
        let summary = line(summary).replace("{{ $labels.upstream }}", "the upstream");
        let summary = summary[..1].to_uppercase() + &summary[1..];
        // By the log of the gateway.
        let severity = match line(severity) {
            severity if severity.ends_with("}}warning{{ else }}info{{ end }}'") => "info or warning",
            severity => severity,
        };
        let _ = writeln!(table, "| `{}` | {severity} | {summary} |", line(alert));
    }
    check_table("alerts", &table);
}

#[test]
fn the_readme_lists_every_gateway_kind() {
    let kinds: Vec<_> = gateway::KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect();
    check_table("kinds", &format!("{}\n", kinds.join(", ")));
}

#[test]
fn the_readme_says_what_each_log_tells() {
    let mut table = String::from("| kind | formats known | its logs tell | they cannot tell |\n|---|---|---|---|\n");
    let mut rows: Vec<(String, &gateway::log::Logs)> = Vec::new();
    for kind in gateway::KINDS {
        let Some(logs) = kind.logs else { continue };
        // Kinds that write the same share a row.
        match rows.iter_mut().find(|(_, other)| std::ptr::eq(*other, logs)) {
            Some((names, _)) => *names += &format!(", `{}`", kind.name),
            None => rows.push((format!("`{}`", kind.name), logs)),
        }
    }
    for (names, logs) in rows {
        let formats: Vec<_> = logs.formats.iter().map(|format| format.name).collect();
        let _ = writeln!(
            table,
            "| {names} | {} | {} | {} |",
            formats.join(", "),
            logs.tells,
            logs.silent
        );
    }
    check_table("logs", &table);
}

#[test]
fn the_readme_lists_the_pages_that_are_recognised() {
    let mut pages: Vec<_> = gateway::KINDS
        .iter()
        .filter_map(|kind| kind.page.map(|page| (page.rank, kind.name)))
        .filter(|(_, name)| *name != gateway::GENERIC.name)
        .collect();
    pages.sort_unstable();
    let names: Vec<_> = pages.iter().map(|(_, name)| format!("`{name}`")).collect();
    check_table("pages", &format!("{}\n", names.join(", ")));
}

#[test]
fn the_example_configuration_loads_unchanged() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/badgateway.yml");
    let config = config::load(&example).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!config.upstreams.is_empty());
}
