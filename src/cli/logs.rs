//! `badgateway logs`: what whole logs of a gateway say, on one screen or as JSON.

pub(super) mod inputs;
mod shown;

use std::process::ExitCode;

use crate::cli::{LogsArgs, fail, print};
use crate::gateway::{KINDS, kind};
use crate::offline::{self, Inputs};

use inputs::{Opened, Progress};

/// Reads the logs; exit 2 where one cannot be read or nothing in them is understood.
pub fn run(args: &LogsArgs) -> ExitCode {
    match analysed(args) {
        Ok(report) => print(&report),
        Err(message) => fail(message, 2),
    }
}

fn analysed(args: &LogsArgs) -> Result<String, String> {
    let mut access = inputs::open_all(&args.access)?;
    let mut errors = inputs::open_all(&args.error)?;
    let rest = inputs::open_all(&args.files)?;
    if access.is_empty() && errors.is_empty() && rest.is_empty() {
        return Err("no log is named; give files, or - for standard input".to_owned());
    }
    let kind = match &args.kind {
        Some(name) => kind(name).ok_or_else(|| unknown_kind(name))?,
        None => inputs::guess(access.iter().chain(&errors).chain(&rest), args.format.as_deref())?,
    };
    for log in rest {
        match log.is_error_log(kind) {
            true => errors.push(log),
            false => access.push(log),
        }
    }
    // A pattern of the shell names the newest first: `access.log`, `access.log.1`, ….
    for logs in [&mut access, &mut errors] {
        logs.sort_by_cached_key(|log| log.begins(kind, args.format.as_deref()));
    }
    let progress = Progress::new(access.iter().chain(&errors).map(Opened::size).sum());
    let inputs = Inputs {
        kind,
        format: args.format.clone(),
        access: access.into_iter().map(|log| log.into_input(&progress)).collect(),
        errors: errors.into_iter().map(|log| log.into_input(&progress)).collect(),
    };
    let report = offline::analyse(inputs).map_err(|error| format!("--format: {error}"))?;
    progress.finish();
    for broken in &report.broken {
        eprintln!("badgateway: a log ended early: {broken}");
    }
    if report.parsed == 0 {
        let sample = report.unparsed_samples.first().map(String::as_str).unwrap_or_default();
        return Err(format!(
            "no line looks like a log of {}; the first is: {sample}\ntry badgateway check --log FILE",
            kind.name
        ));
    }
    Ok(match args.json {
        true => format!("{:#}\n", report.json()),
        false => shown::report(&report),
    })
}

/// Names the nearest kind.
pub(super) fn unknown_kind(name: &str) -> String {
    let names = || KINDS.iter().filter(|kind| kind.logs.is_some()).map(|kind| kind.name);
    let nearest = names().max_by(|one, other| {
        let distance = |known: &str| strsim::jaro_winkler(known, name);
        distance(one).total_cmp(&distance(other))
    });
    format!(
        "kind {name:?} is not known; nearest is {:?}. Kinds whose logs are read: {}",
        nearest.unwrap_or_default(),
        names().collect::<Vec<_>>().join(", ")
    )
}
