//! A configuration file to what the program may rely on; the only door to the file format.
//!
//! Text becomes a tree with positions (`tree`), the tree becomes the file as written (`file`, by `read`), and that
//! becomes domain values (`resolve`). All three collect problems instead of stopping, so one run names every problem with
//! file, line, column, key path, what was found and what would be right.
//!
//! Files a configuration names (certificates, keys, tokens) are read when it is loaded, so loading it again picks up what was
//! rotated. Relative paths start at the directory of the configuration file. A configuration is built whole or not at all.

use std::path::Path;
use std::sync::Arc;

use crate::upstream::{DEFAULT_MAX_CONCURRENT_PROBES, Target, Upstream};

mod command_line;
mod context;
mod discovered;
mod env;
mod error;
mod file;
mod groups;
mod modules;
mod number;
pub mod operation;
mod read;
pub(crate) mod reader;
mod resolve;
mod shown;
pub(crate) mod tree;
mod unused;
mod url;
mod value;

pub use command_line::{from_urls, from_urls_with_kinds};
pub use context::Env;
pub use discovered::Discovered;
pub use error::{Note, Place, Position, Problem, Problems};
pub(crate) use error::{nearest, quoted};
pub use groups::{MAX_GROUPS_SIZE, TargetGroup, json_groups, yaml_groups};
pub use modules::{ModuleError, ModuleTarget, Modules};
pub use number::{duration, percentage, probe_timeout, rate, size, status};
pub(crate) use number::{show_duration, show_size};
pub use value::{RESERVED_LABELS, label_name, name};

use operation::{
    AgentCheck, Alertmanager, ConfigFile, Discovery, GatewaySettings, HealthEndpoint, ProbeEndpoint, Storage,
};
pub(crate) use read::{bare_host, read_file};

/// A configuration without problems. Never prints a secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is probed, in the order of the file.
    pub upstreams: Vec<Arc<Upstream>>,
    /// The gateways, in the order of the file, used or not.
    pub gateways: Vec<GatewaySettings>,
    /// Asked to tell whether our own network works; empty, or at least two. Any answer below 500 counts.
    pub self_check: Vec<Arc<Target>>,
    /// Where more upstreams come from.
    pub discovery: Vec<Discovery>,
    /// Direct paging.
    pub alertmanager: Option<Alertmanager>,
    /// What is kept across restarts.
    pub storage: Option<Storage>,
    /// Where people reach us, as written.
    pub external_url: Option<String>,
    /// Share of probes whose `traceparent` says sampled, 0 to 1.
    pub trace_sampled: f64,
    /// `/health/{upstream}`.
    pub health_endpoint: HealthEndpoint,
    /// HAProxy's agent check.
    pub agent_check: Option<AgentCheck>,
    /// `/probe`.
    pub probe_endpoint: Option<ProbeEndpoint>,
    /// Probes under way at once in the whole process.
    pub max_concurrent_probes: usize,
    /// What turns a URL or a discovered target into something that can be probed.
    pub modules: Modules,
    /// The gateways' own configurations, in the order of the file.
    pub config_files: Vec<ConfigFile>,
    /// Valid keys this version does not act on, in the order of the file.
    pub unused: Vec<Note>,
    /// What could not be taken from other files, in the order of the file.
    pub notes: Vec<Note>,
    /// The YAML as written, without comments and secrets.
    pub shown: String,
}

/// Loads a file; variables come from the environment of the process.
///
/// # Errors
/// Every problem of the file at once. A file that cannot be read is a problem without line.
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_after(path, &[])
}

/// As [`load`]; a gateway's own configuration that is broken now says what it last said.
///
/// # Errors
/// As [`load`].
pub fn load_after(path: &Path, last: &[ConfigFile]) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|(at, message)| {
        Problems::one(Problem {
            file: name.as_str().into(),
            line: at.line,
            column: at.column,
            path: String::new(),
            message,
        })
    })?;
    let base_dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let env = |variable: &str| std::env::var(variable).ok();
    from_context(&text, context::Context::new(&name, base_dir, &env).after(last))
}

/// Loads a text. `file_name` stands in messages, relative paths start at `base_dir`, `env` answers `${NAME}`.
///
/// # Errors
/// Every problem at once, in the order of the text.
pub fn from_str(text: &str, file_name: &str, base_dir: &Path, env: Env<'_>) -> Result<Config, Problems> {
    from_context(text, context::Context::new(file_name, base_dir, env))
}

fn from_context(text: &str, cx: context::Context<'_>) -> Result<Config, Problems> {
    let (root, faults) = tree::parse(text);
    let broken = root.is_none() && !faults.is_empty();
    for fault in faults {
        cx.problem(&reader::place(fault.at, ""), fault.message);
    }
    if broken {
        return Err(cx.into_problems());
    }
    let Some(root) = root.filter(|root| !matches!(root.kind, tree::Kind::Null)) else {
        cx.problem(
            &reader::place(Position { line: 1, column: 1 }, ""),
            "the file is empty; write upstreams: [{ name: checkout, origin: http://checkout.internal:8080 }]",
        );
        return Err(cx.into_problems());
    };
    let file = read::file(&reader::Cursor::root(&cx, root.clone()));
    let resolved = match root.kind {
        tree::Kind::Map(_) => Some(resolve::resolve(&file, &cx)),
        _ => None,
    };
    let notes = cx.take_notes();
    let problems = cx.into_problems();
    match resolved {
        Some(resolved) if problems.is_empty() => Ok(assemble(file, resolved, &root, notes)),
        _ => Err(problems),
    }
}

fn assemble(file: file::File, resolved: resolve::Resolved, root: &tree::Node, notes: Vec<Note>) -> Config {
    Config {
        upstreams: resolved.upstreams,
        gateways: resolved.gateways,
        config_files: resolved.config_files,
        notes,
        self_check: resolved.self_check,
        discovery: file.discovery,
        alertmanager: file.alertmanager,
        storage: file.storage,
        external_url: file.external_url.map(|url| url.value),
        trace_sampled: file.trace_sampled.map_or(0.0, |share| share.value),
        health_endpoint: file.health_endpoint.unwrap_or_default(),
        agent_check: file.agent_check,
        probe_endpoint: file.probe_endpoint,
        max_concurrent_probes: file
            .max_concurrent_probes
            .map_or(DEFAULT_MAX_CONCURRENT_PROBES, |number| number.value as usize),
        modules: Modules::new(file.defaults, file.modules, root),
        unused: unused::notes(root),
        shown: shown::render(root),
    }
}

/// The text of a file, or where and why it cannot be read.
pub(crate) fn read_text(path: &Path) -> Result<String, (Position, String)> {
    use std::io::Read as _;

    let cannot = |error: std::io::Error| (Position::default(), format!("cannot be read: {error}"));
    let about = std::fs::metadata(path).map_err(cannot)?;
    if about.is_dir() {
        return Err((Position::default(), "is a directory; name a file".into()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(cannot)?
        .take(tree::MAX_SIZE as u64 + 16)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        let at = Position {
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
        };
        (at, "is not UTF-8 text from here on; save it as UTF-8".into())
    })
}

#[cfg(test)]
mod tests;
