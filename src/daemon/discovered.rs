//! What discovery found, held beside the configuration: which sources are asked, what they last said, and both together.
//!
//! 1. A name in the file wins over a discovered one; of discovered ones the first source, and in it the first target.
//! 2. Beyond `MAX_UPSTREAMS` the last are left out.
//! 3. What is left out is told once for as long as it stays so.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::config::operation::Discovery;
use crate::config::{Config, Discovered, TargetGroup};
use crate::discovery::{self, List, Means};

/// Upstreams probed at most, the file's included.
const MAX_UPSTREAMS: usize = 50_000;
/// Lines told of one merge; the rest are counted.
const MAX_TOLD: usize = 20;

/// The sources, and what they last said.
pub(super) struct Discoveries {
    means: Means,
    sources: Vec<Source>,
    next: u64,
    told: BTreeSet<String>,
}

struct Source {
    number: u64,
    setting: Discovery,
    groups: Vec<TargetGroup>,
    found: Found,
    /// Ends with the source.
    _task: AbortOnDropHandle<()>,
}

/// What the groups of a source mean with the present modules.
#[derive(Default)]
struct Found {
    upstreams: Vec<Discovered>,
    problems: Vec<String>,
}

impl Discoveries {
    /// No sources yet.
    pub(super) fn new(means: Means) -> Self {
        Discoveries {
            means,
            sources: Vec::new(),
            next: 0,
            told: BTreeSet::new(),
        }
    }

    /// Asks the sources of this configuration from now on; those that stay keep what they said.
    pub(super) fn follow(&mut self, config: &Config) {
        let mut before = std::mem::take(&mut self.sources);
        for setting in &config.discovery {
            let source = match before.iter().position(|source| source.setting == *setting) {
                Some(at) => before.remove(at),
                None => self.begin(setting),
            };
            self.sources.push(source);
        }
    }

    fn begin(&mut self, setting: &Discovery) -> Source {
        let number = self.next;
        self.next += 1;
        Source {
            number,
            setting: setting.clone(),
            groups: Vec::new(),
            found: Found::default(),
            _task: AbortOnDropHandle::new(tokio::spawn(discovery::run(
                number,
                setting.clone(),
                self.means.clone(),
            ))),
        }
    }

    /// Takes a list; that of a source which is no longer asked is dropped.
    pub(super) fn take(&mut self, list: List, config: &Config) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.number == list.source) {
            source.groups = list.groups;
            source.found = Found::of(&source.groups, config);
        }
    }

    /// Another configuration gives the same targets another meaning.
    pub(super) fn rebuild(&mut self, config: &Config) {
        for source in &mut self.sources {
            source.found = Found::of(&source.groups, config);
        }
    }

    /// The configuration with what was found, by the rules above. A source it does not name adds nothing.
    pub(super) fn merge(&mut self, config: &Config) -> Config {
        let asked = self
            .sources
            .iter()
            .filter(|source| config.discovery.contains(&source.setting));
        let (merged, problems) = merge(config, asked.map(|source| &source.found));
        self.tell(problems);
        merged
    }

    fn tell(&mut self, problems: BTreeSet<String>) {
        let new: Vec<&String> = problems.difference(&self.told).collect();
        for problem in new.iter().take(MAX_TOLD) {
            warn!(problem, "discovery");
        }
        if new.len() > MAX_TOLD {
            warn!(more = new.len() - MAX_TOLD, "discovery: more of the like");
        }
        self.told = problems;
    }
}

impl Found {
    fn of(groups: &[TargetGroup], config: &Config) -> Self {
        let mut found = Found::default();
        for group in groups {
            for target in &group.targets {
                if found.upstreams.len() + found.problems.len() >= MAX_UPSTREAMS {
                    return found;
                }
                match config.modules.upstream(target, &group.labels) {
                    Ok(upstream) => found.upstreams.push(upstream),
                    Err(problem) => found.problems.push(format!("left out: {problem}")),
                }
            }
        }
        found
    }
}

fn merge<'a>(config: &Config, found: impl Iterator<Item = &'a Found>) -> (Config, BTreeSet<String>) {
    let (mut merged, mut problems) = (config.clone(), BTreeSet::new());
    let in_file: HashSet<_> = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    let (mut names, mut over) = (in_file.clone(), false);
    for found in found {
        problems.extend(found.problems.iter().cloned());
        for Discovered {
            upstream,
            refused_labels,
        } in &found.upstreams
        {
            if merged.upstreams.len() >= MAX_UPSTREAMS {
                over = true;
                break;
            }
            if !names.insert(upstream.name.clone()) {
                let whose = if in_file.contains(&upstream.name) {
                    "the file"
                } else {
                    "another target"
                };
                problems.insert(format!("left out: {:?} is already taken by {whose}", upstream.name));
                continue;
            }
            problems.extend(
                refused_labels
                    .iter()
                    .map(|label| format!("label {label:?} cannot be taken over")),
            );
            merged.upstreams.push(Arc::clone(upstream));
        }
    }
    if over {
        problems.insert(format!(
            "there are more than {MAX_UPSTREAMS} upstreams; the others are left out"
        ));
    }
    (merged, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "upstreams: [{ name: a, origin: http://a }]";
        crate::config::from_str(text, "t.yml", std::path::Path::new("/"), &|_| None).unwrap()
    }

    fn found(config: &Config, targets: &[&str]) -> Found {
        let group = TargetGroup {
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
            labels: [("job".to_owned(), "x".to_owned())].into(),
        };
        Found::of(&[group], config)
    }

    #[test]
    fn the_file_wins_then_the_first() {
        let config = config();
        let (one, other) = (found(&config, &["a", "b:1", "ftp://x"]), found(&config, &["b:1", "c"]));
        let (merged, problems) = merge(&config, [&one, &other].into_iter());
        let names: Vec<&str> = merged.upstreams.iter().map(|upstream| &*upstream.name).collect();
        assert_eq!(names, ["a", "b-1", "c"]);
        assert!(Arc::ptr_eq(&merged.upstreams[0], &config.upstreams[0]));
        let problems: Vec<_> = problems.iter().map(String::as_str).collect();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(
            problems.contains(&"left out: \"a\" is already taken by the file"),
            "{problems:?}"
        );
        assert!(problems.contains(&"label \"job\" cannot be taken over"), "{problems:?}");
        let again = found(&config, &["a", "b:1"]);
        assert_eq!(
            again.upstreams[1].upstream.fingerprint,
            one.upstreams[1].upstream.fingerprint
        );
    }

    #[test]
    fn the_number_is_bounded() {
        let config = config();
        let targets: Vec<String> = (0..MAX_UPSTREAMS + 10).map(|number| format!("h{number}")).collect();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let found = found(&config, &targets);
        let (merged, problems) = merge(&config, std::iter::once(&found));
        assert_eq!(merged.upstreams.len(), MAX_UPSTREAMS);
        assert!(
            problems.iter().any(|problem| problem.contains("more than 50000")),
            "{problems:?}"
        );
    }
}
