//! From Prometheus: one entry of `upstreams` per blackbox target.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{Entry, File, comment, free_name, plain_or_quoted, quoted, without_variables};
use crate::init::prometheus::{Found, Target};

/// What is written of the blackbox targets of a Prometheus configuration.
pub(in crate::init) fn file(found: &Found) -> File {
    let mut names = HashMap::new();
    File {
        about: "# Each target is its own upstream; put origin and via of one service together, and name the gateways.\n",
        gateway: None,
        entries: found.targets.iter().map(|target| entry(target, &mut names)).collect(),
        notes: found.notes.clone(),
        nothing: "no job with metrics_path /probe and targets in the file was found",
    }
}

fn entry(target: &Target, names: &mut HashMap<String, usize>) -> Entry {
    let (_, rest) = target.url.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // What stands before @ is a secret.
    let host = host.rsplit('@').next().unwrap_or_default();
    let name = free_name(host, names);
    let mut yaml = format!("  # {}: job {}", comment(&target.place), comment(&target.job));
    if let Some(module) = &target.module {
        let _ = write!(yaml, ", module {}", comment(module));
    }
    let _ = writeln!(yaml, "\n  - name: {}", plain_or_quoted(&name));
    let _ = writeln!(yaml, "    origin: {}", plain_or_quoted(&target.url));
    if let Some(interval) = &target.interval {
        let _ = writeln!(yaml, "    interval: {}", plain_or_quoted(interval));
    }
    if !target.labels.is_empty() {
        let labels: Vec<String> = target
            .labels
            .iter()
            .map(|(name, value)| format!("{name}: {}", quoted(&without_variables(value))))
            .collect();
        let _ = writeln!(yaml, "    labels: {{ {} }}", labels.join(", "));
    }
    Entry {
        name,
        yaml,
        routes: Vec::new(),
    }
}
