//! What was found, as a commented configuration that loads.

use std::fmt::Write as _;
use std::path::Path;

use crate::config::{self, Problem};

mod gateway;
mod haproxy;
mod nginx;
mod prometheus;

pub(super) use haproxy::file as haproxy;
pub(super) use nginx::file as nginx;
pub(super) use prometheus::file as prometheus;

use gateway::Gateway;

/// What is to be written.
pub(super) struct File {
    /// Lines on top of the file.
    about: &'static str,
    /// The gateway, where the source is one's configuration.
    gateway: Option<Gateway>,
    entries: Vec<Entry>,
    /// What was not taken over, one sentence each.
    notes: Vec<String>,
    /// Said where there is no entry.
    nothing: &'static str,
}

/// An entry of `upstreams` as text.
pub(super) struct Entry {
    name: String,
    yaml: String,
    /// Entries of the gateway's `routes`.
    routes: Vec<String>,
}

/// The file.
///
/// # Errors
/// There is nothing to watch in it.
pub(super) fn yaml(file: &File, source: &str) -> Result<String, Problem> {
    let mut out = format!(
        "# Written by badgateway init from {}.\n\
         # Read it through, then try it: badgateway check badgateway.yml --probe\n{}\n",
        comment(source),
        file.about
    );
    let mut notes = file.notes.clone();
    let (mut good, mut names) = (Vec::new(), Vec::new());
    for entry in &file.entries {
        match problem_of(entry, file.gateway.as_ref()) {
            None => {
                names.push(entry.name.as_str());
                good.push(entry);
            }
            Some(problem) => notes.push(format!("{} was left out: {problem}", entry.name)),
        }
    }
    if let Some(gateway) = &file.gateway {
        let routes: Vec<&str> = good
            .iter()
            .flat_map(|entry| &entry.routes)
            .map(String::as_str)
            .collect();
        gateway.write(&routes, names.len(), &mut out);
    }
    match good.is_empty() {
        true => {
            let _ = write!(out, "# {}.\nupstreams: []\n", file.nothing);
        }
        false => out.push_str("upstreams:\n"),
    }
    good.iter().for_each(|entry| out.push_str(&entry.yaml));
    if !notes.is_empty() {
        out.push_str("\n# Not taken over:\n");
    }
    for note in notes {
        let _ = writeln!(out, "# - {}", comment(&note));
    }
    match good.is_empty() && problem_in(&out).is_some() {
        true => Err(Problem {
            file: source.into(),
            line: 0,
            column: 0,
            path: String::new(),
            message: format!("there is nothing to watch: {}", file.nothing),
        }),
        false => Ok(out),
    }
}

/// What is wrong with an entry, when it would not load; it must not spoil the rest.
fn problem_of(entry: &Entry, gateway: Option<&Gateway>) -> Option<String> {
    let mut text = gateway.map(|gateway| gateway.named()).unwrap_or_default();
    if !entry.routes.is_empty() {
        let _ = writeln!(text, "    routes: [{}]", entry.routes.join(", "));
    }
    let _ = write!(text, "upstreams:\n{}", entry.yaml);
    problem_in(&text)
}

/// The first thing that is wrong with a configuration.
fn problem_in(text: &str) -> Option<String> {
    let problems = config::from_str(text, "", Path::new("/"), &|_| None).err()?;
    problems.iter().next().map(|problem| problem.message.clone())
}

/// A name for an entry that no other has.
fn free_name(wanted: &str, names: &mut std::collections::HashMap<String, usize>) -> String {
    let wanted = wanted.rsplit('/').next().unwrap_or(wanted);
    let clean = |c: char| {
        if c.is_ascii_alphanumeric() || "_.-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let base: String = wanted.chars().map(clean).take(100).collect();
    let base = match base.trim_matches(['-', '.']) {
        "" => "upstream",
        base => base,
    };
    let mut name = base.to_owned();
    // The number last given to that base, so that many of one name are not tried one by one.
    let mut number = names.get(base).copied().unwrap_or(if base == "other" { 1 } else { 0 });
    while number > 0 && (names.contains_key(&name) || name == "other" || name == base) {
        number += 1;
        name = format!("{base}-{number}");
    }
    names.insert(base.to_owned(), number.max(1));
    names.insert(name.clone(), 1);
    name
}

/// `$` doubled where it would be taken for a variable of the environment or an escape.
fn without_variables(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '$' && matches!(chars.peek(), Some('$' | '{')) {
            out.push('$');
        }
    }
    out
}

/// A YAML scalar: JSON strings are YAML strings.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// Without quotes where that cannot be misread.
fn plain_or_quoted(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_./:-?=%+~".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/') && text.chars().all(harmless);
    match plain && !text.ends_with(':') {
        true => text.to_owned(),
        false => quoted(&without_variables(text)),
    }
}

/// Text for a comment: one line, nothing that ends it.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || "\u{85}\u{2028}\u{2029}".contains(c) {
                ' '
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_given_twice() {
        let mut names = Default::default();
        let given: Vec<String> = ["a", "a", "a-2", "a", "other", "/run/a.sock", "", "-", "ü"]
            .iter()
            .map(|wanted| free_name(wanted, &mut names))
            .collect();
        assert_eq!(
            given,
            [
                "a",
                "a-2",
                "a-2-2",
                "a-3",
                "other-2",
                "a.sock",
                "upstream",
                "upstream-2",
                "upstream-3"
            ]
        );
    }
}
