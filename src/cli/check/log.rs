//! `badgateway check --log`: what a log is taken for, what its lines say field by field, and what they cannot say.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::logs::inputs::{self, Opened};
use crate::cli::style::Style;
use crate::cli::{fail, logs};
use crate::exchange::Line;
use crate::gateway::log::{Field, Layout, Parser};
use crate::gateway::{self, Kind};

/// Lines shown that were not understood.
const SHOWN: usize = 3;
/// That much of a value is shown.
const VALUE: usize = 80;

/// Exit 1 where some lines are not understood, 2 where the log cannot be read.
pub(super) fn check(file: &Path, kind: Option<&str>, format: Option<&str>) -> ExitCode {
    match checked(file, kind, format) {
        Ok(all_understood) => match all_understood {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        },
        Err(message) => fail(message, 2),
    }
}

fn checked(file: &Path, kind: Option<&str>, format: Option<&str>) -> Result<bool, String> {
    let style = Style::for_stdout();
    let opened = inputs::open_all(&[file.to_owned()])?;
    let Some(log) = opened.first() else {
        return Err("no log is named".to_owned());
    };
    let kind = match kind {
        Some(name) => gateway::kind(name).ok_or_else(|| logs::unknown_kind(name))?,
        None => inputs::guess(opened.iter(), format)?,
    };
    let mut parser = Parser::new(kind, format).map_err(|error| format!("--format: {error}"))?;
    let read = read(log, &mut parser);
    println!(
        "{}: {} of the first {} lines are understood as {} ({})",
        file.display(),
        read.understood,
        read.understood + read.foreign.len(),
        style.strong(kind.name),
        read.format
    );
    for line in read.foreign.iter().take(SHOWN) {
        println!("  {} {}", style.bad("not understood:"), shown(line));
    }
    match read.example {
        Some(line) => fields(kind, &mut parser, line, style),
        None => println!(
            "  no line of a request: they tell of failed attempts, and are joined with requests where those are logged"
        ),
    }
    if let Some(logs) = kind.logs {
        println!("\n{} {}", style.strong("can tell:"), logs.tells);
        println!("{} {}", style.strong("cannot:"), logs.silent);
    }
    Ok(read.foreign.is_empty() && read.understood > 0)
}

struct ReadLines<'o> {
    understood: usize,
    foreign: Vec<&'o [u8]>,
    format: &'static str,
    /// A line of a request.
    example: Option<&'o [u8]>,
}

fn read<'o>(log: &'o Opened, parser: &mut Parser) -> ReadLines<'o> {
    let mut read = ReadLines {
        understood: 0,
        foreign: Vec::new(),
        format: "",
        example: None,
    };
    for line in log.first_lines() {
        let attempts = match parser.read(line) {
            Some(Line::Exchange(exchange)) => Some(exchange.attempts.len()),
            Some(_) => None,
            None => {
                read.foreign.push(line);
                continue;
            }
        };
        read.understood += 1;
        read.format = parser.format();
        // One with a backend shows more than one without.
        if attempts.is_some_and(|attempts| read.example.is_none() || attempts > 0) {
            read.example = Some(line);
        }
    }
    read
}

fn fields(kind: &'static Kind, parser: &mut Parser, line: &[u8], style: Style) {
    let Some(fields) = parser.fields(line) else { return };
    println!("\n{}", style.strong("a line says"));
    for (field, value) in &fields {
        println!("  {:<16} {}", format!("{field:?}").to_lowercase(), shown(value));
    }
    let has = |field: Field| fields.iter().any(|(known, _)| *known == field);
    let missing: Vec<&str> = FEEDS
        .iter()
        .filter(|(needs, _)| !needs.iter().any(|field| has(*field)))
        .map(|(_, what)| *what)
        .collect();
    if missing.is_empty() {
        return;
    }
    println!("\n{}", style.strong("what this format cannot feed"));
    for what in missing {
        println!("  {what}");
    }
    let better = kind
        .logs
        .and_then(|logs| logs.formats.iter().find(|format| format.name == "badgateway"));
    if let Some(format) = better
        && let Layout::Pattern(text) = format.layout
    {
        println!("\n{}\n  {text}", style.strong("a format that can"));
    }
}

/// Fields, any of which is needed, and what is lost without them.
const FEEDS: &[(&[Field], &str)] = &[
    (
        &[Field::Backends, Field::Server],
        "badgateway_gateway_attempts_failed_total by backend, badgateway_gateway_retries_total: no backends are logged",
    ),
    (
        &[Field::BackendTimes, Field::HeaderTimes, Field::Duration],
        "badgateway_gateway_upstream_latency_seconds: no times are logged",
    ),
    (
        &[Field::Agent],
        "badgateway_gateway_synthetic_requests_total: without user agents, probes and health checks count as traffic",
    ),
    (
        &[Field::Host, Field::Name, Field::Route],
        "routes by host or name: neither the host nor the backend's name is logged",
    ),
    (&[Field::Time], "times of the requests: none are logged"),
];

fn shown(value: &[u8]) -> String {
    let cut = &value[..value.len().min(VALUE)];
    let more = if value.len() > VALUE { "…" } else { "" };
    format!("{}{more}", String::from_utf8_lossy(cut).escape_debug())
}
