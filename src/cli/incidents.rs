//! `badgateway incidents`: what happened, from the file the daemon keeps; for people, as Markdown, or as JSON.
//!
//! It reads the file and asks nobody, so it works while the daemon is down and on a copy from another host.

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use crate::cli::style::Style;
use crate::cli::{IncidentsArgs, fail, print};
use crate::clock;
use crate::config;
use crate::incident::{Ending, WithChanges, markdown};
use crate::incidents;
use crate::moment;
use crate::verdict::Impact;

/// Nothing could be read.
const COULD_NOT_RUN: u8 = 2;

/// Prints the incidents.
pub fn run(args: &IncidentsArgs) -> ExitCode {
    let now = clock::now();
    let found = match find(args, now) {
        Ok(found) => found,
        Err(message) => return fail(message, COULD_NOT_RUN),
    };
    match (args.markdown, args.json) {
        (true, _) => print(&markdown(&found, now)),
        (_, true) => print(&format!("{:#}\n", json!({ "incidents": found }))),
        _ => print(&table(&found, now, &args.since)),
    }
}

fn find(args: &IncidentsArgs, now: SystemTime) -> Result<Vec<WithChanges>, String> {
    let since = humantime::parse_duration(&args.since)
        .map_err(|_| format!("--since: {:?} is no duration; write 24h or 7d", args.since))?;
    let directory = match &args.storage {
        Some(directory) => directory.clone(),
        None => {
            let config = config::load(&args.config.config_file).map_err(|problems| problems.to_string())?;
            let missing = || {
                format!(
                    "{}: storage is not configured, so incidents live in the daemon's memory only: ask it at /api/v1/incidents, \
                     or write storage: {{ path: /var/lib/badgateway }}",
                    args.config.config_file.display()
                )
            };
            config.storage.ok_or_else(missing)?.path
        }
    };
    let path = incidents::path_in(&directory);
    let kept = incidents::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!(
                "{}: there is no such file; the daemon makes it when it starts with this storage",
                path.display()
            )
        }
        _ => format!("{}: {error}", path.display()),
    })?;
    if kept.damaged > 0 {
        eprintln!(
            "badgateway: {}: {} damaged lines are left out",
            path.display(),
            kept.damaged
        );
    }
    let since = now.checked_sub(since).unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(kept.list(since, args.upstream.as_deref(), now))
}

fn table(found: &[WithChanges], now: SystemTime, since: &str) -> String {
    let style = Style::for_stdout();
    let mut text = match found.len() {
        0 => format!("No incident in the last {since}.\n"),
        1 => format!("1 incident in the last {since}\n"),
        number => format!("{number} incidents in the last {since}, the latest first\n"),
    };
    found.iter().for_each(|shown| text.push_str(&entry(shown, style, now)));
    text
}

fn entry(shown: &WithChanges, style: Style, now: SystemTime) -> String {
    let incident = &shown.incident;
    let felt = match incident.impact {
        Impact::Users => style.bad("users felt it"),
        Impact::Redundancy => style.warning("redundancy"),
        Impact::None => style.faint("no impact known"),
    };
    let lasted = moment::rough(incident.lasted(now));
    let end = match incident.end.map(|end| end.how) {
        None => style.bad(&format!("open for {lasted}")),
        Some(Ending::Recovered) => format!("lasted {lasted}"),
        Some(Ending::Removed) => format!("{lasted}, then left the configuration"),
        Some(Ending::Unwatched) => format!("{lasted}, then not watched"),
    };
    let mut text = format!(
        "\n{}  {}  {}  {end}  {felt}\n",
        moment::utc(incident.began),
        style.strong(&incident.upstream),
        style.bad(shown.verdict.label()),
    );
    for change in &shown.changes {
        let line = format!("{}: {} ({})", change.kind.label(), change.text, shown.when(change));
        text.push_str(&format!("  {}\n", style.warning(&line)));
    }
    for step in &incident.steps {
        text.push_str(&format!(
            "  {}  {}\n",
            style.faint(&moment::utc(step.at)),
            step.sentence
        ));
    }
    if incident.steps_left_out > 0 {
        text.push_str(&format!("  {} more in between\n", incident.steps_left_out));
    }
    let counts = incident
        .probes
        .iter()
        .map(|count| format!("{} {} at {}", count.failed, count.cause, count.hop));
    let counts: Vec<_> = counts.collect();
    if !counts.is_empty() {
        text.push_str(&format!("  failed probes: {}\n", counts.join(", ")));
    }
    if incident.requests.total > 0 {
        let (failed, total) = (incident.requests.failed, incident.requests.total);
        text.push_str(&format!("  requests of users: {failed} of {total} failed\n"));
    }
    text
}
