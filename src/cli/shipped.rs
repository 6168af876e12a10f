//! `badgateway runbooks` and `badgateway dashboards`: the files embedded in this very program, printed or written.

use std::process::ExitCode;

use crate::cli::{FilesArgs, fail, print, write_into};
use crate::shipped::{DASHBOARDS, File, RUNBOOKS};

/// What to do about each alert, as the rules link it.
pub fn runbooks(args: &FilesArgs) -> ExitCode {
    run(RUNBOOKS, "runbook", ".md", args)
}

/// What Grafana shows.
pub fn dashboards(args: &FilesArgs) -> ExitCode {
    run(DASHBOARDS, "dashboard", ".json", args)
}

/// Prints one or the names of all, or writes one or all.
fn run(files: &[File], what: &str, ending: &str, args: &FilesArgs) -> ExitCode {
    let chosen: Vec<&File> = match &args.name {
        None => files.iter().collect(),
        Some(name) => match files.iter().find(|file| file.name.eq_ignore_ascii_case(name)) {
            Some(file) => vec![file],
            None => {
                return fail(
                    format_args!("there is no {what} {name:?}; badgateway {what}s lists them"),
                    1,
                );
            }
        },
    };
    match (&args.out, &args.name) {
        (Some(folder), _) => write_into(
            folder,
            chosen.iter().map(|file| (format!("{}{ending}", file.name), file.text)),
        ),
        (None, Some(_)) => print(chosen[0].text),
        (None, None) => print(&chosen.iter().map(|file| format!("{}\n", file.name)).collect::<String>()),
    }
}
