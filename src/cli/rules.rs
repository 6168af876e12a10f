//! `badgateway rules`: the rules that belong to this very program, fitted into an installation.

use std::process::ExitCode;

use crate::cli::{RulesArgs, fail, print, write_into};
use crate::shipped::rules::{self, Changes};

/// Prints or writes the file.
pub fn run(args: &RulesArgs) -> ExitCode {
    let changes = Changes {
        selector: args.selector.clone(),
        labels: args.labels.clone(),
        runbook_url: args.runbook_url.clone(),
        dashboard_url: args.dashboard_url.clone(),
        without_paging: args.without_paging,
    };
    match (rules::fit(&changes), &args.out) {
        (Err(problem), _) => fail(problem, 1),
        (Ok(text), None) => print(&text),
        (Ok(text), Some(folder)) => write_into(folder, [("badgateway.rules.yml".to_owned(), text.as_str())]),
    }
}
