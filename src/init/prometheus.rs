//! The blackbox targets of a `prometheus.yml`: jobs that ask `/probe`, with targets that stand in the file.
//!
//! Relabelling is not followed: targets are taken to be what is probed, as the usual rule has it.

use crate::config::tree::{self, Kind, Node};
use crate::config::{Problem, label_name};

/// What is probed.
pub(super) struct Found {
    pub(super) targets: Vec<Target>,
    /// What could not be used, one sentence each.
    pub(super) notes: Vec<String>,
}

/// One target of a job.
pub(super) struct Target {
    pub(super) url: String,
    pub(super) job: String,
    /// `params.module`.
    pub(super) module: Option<String>,
    /// `scrape_interval` of the job, as written.
    pub(super) interval: Option<String>,
    /// Those that an upstream may have.
    pub(super) labels: Vec<(String, String)>,
    /// `file:line`.
    pub(super) place: String,
}

/// Reads a text.
///
/// # Errors
/// It is no YAML.
pub(super) fn read(text: &str, path: &str) -> Result<Found, Problem> {
    let (root, faults) = tree::parse(text);
    if let Some(fault) = faults.into_iter().next() {
        return Err(Problem {
            file: path.into(),
            line: fault.at.line,
            column: fault.at.column,
            path: String::new(),
            message: fault.message,
        });
    }
    let mut found = Found {
        targets: Vec::new(),
        notes: Vec::new(),
    };
    for job in root.iter().flat_map(|root| items(root, "scrape_configs")) {
        read_job(job, path, &mut found);
    }
    Ok(found)
}

fn read_job(job: &Node, path: &str, found: &mut Found) {
    let text_of = |key| get(job, key).and_then(text).unwrap_or_default();
    if text_of("metrics_path") != "/probe" {
        return;
    }
    let name = text_of("job_name");
    let module = get(job, "params").and_then(|params| items(params, "module").next().and_then(text));
    for key in get(job, "relabel_configs")
        .iter()
        .chain(&get(job, "metric_relabel_configs"))
    {
        let at = key.at.line;
        found
            .notes
            .push(format!("{path}:{at}: relabelling of job {name} is not followed"));
    }
    if let Kind::Map(entries) = &job.kind {
        let elsewhere = entries.iter().filter(|entry| entry.key.ends_with("_sd_configs"));
        found.notes.extend(elsewhere.map(|entry| {
            let (at, key) = (entry.key_at.line, &entry.key);
            format!("{path}:{at}: {key} of job {name}: name the same source under discovery")
        }));
    }
    for group in items(job, "static_configs") {
        let labels = labels(group);
        for target in items(group, "targets").filter_map(|target| Some((target.at.line, text(target)?))) {
            let (line, target) = target;
            match url(target, module) {
                Some(url) => found.targets.push(Target {
                    url,
                    job: name.to_owned(),
                    module: module.map(str::to_owned),
                    interval: get(job, "scrape_interval").and_then(text).map(str::to_owned),
                    labels: labels.clone(),
                    place: format!("{path}:{line}"),
                }),
                None => found.notes.push(format!(
                    "{path}:{line}: {target} is probed with module {}, which is not known to be HTTP",
                    module.unwrap_or_default()
                )),
            }
        }
    }
}

/// As blackbox_exporter has it: a target without a scheme is asked by HTTP, if the module asks by HTTP at all. That its name
/// tells; the module itself is defined elsewhere.
fn url(target: &str, module: Option<&str>) -> Option<String> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return Some(target.to_owned());
    }
    let is_http = module.is_none_or(|module| module.to_ascii_lowercase().contains("http"));
    (is_http && !target.contains("://")).then(|| format!("http://{target}"))
}

/// Labels that an upstream may have; a label of ours or of Prometheus cannot be set.
fn labels(group: &Node) -> Vec<(String, String)> {
    let Some(Kind::Map(entries)) = get(group, "labels").map(|node| &node.kind) else {
        return Vec::new();
    };
    let pairs = entries.iter().filter(|entry| label_name(&entry.key).is_ok());
    pairs
        .filter_map(|entry| Some((entry.key.clone(), text(&entry.value)?.to_owned())))
        .collect()
}

fn get<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let Kind::Map(entries) = &node.kind else { return None };
    let entry = entries.iter().find(|entry| entry.key == key)?;
    Some(&entry.value)
}

/// The items of a list under a key.
fn items<'a>(node: &'a Node, key: &str) -> impl Iterator<Item = &'a Node> {
    let list = match get(node, key).map(|node| &node.kind) {
        Some(Kind::List(list)) => &list[..],
        _ => &[],
    };
    list.iter().map(|item| &**item)
}

fn text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        _ => None,
    }
}
