//! Files in file_sd format: found by pattern, read again when they change.
//!
//! 1. A pattern may hold `*` and `?` in its last path element; a name that begins with a dot is matched by neither.
//! 2. A file is read again when its inode, size or time changed. One that cannot be read keeps what it last said.
//! 3. A file that a wildcard no longer finds is forgotten at the second look that misses it: replacing a file may take a
//!    moment. A file named in full, or a directory that cannot be listed, is missed as a fault, and nothing is forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Failed;
use crate::config::{MAX_GROUPS_SIZE, TargetGroup, json_groups, yaml_groups};

/// Files of one source at most.
const MAX_FILES: usize = 10_000;

/// What the files of one source last said.
#[derive(Debug, Default)]
pub(super) struct Files {
    known: BTreeMap<PathBuf, Known>,
    looked: bool,
}

#[derive(Debug, Default)]
struct Known {
    stamp: Stamp,
    groups: Vec<TargetGroup>,
    fault: Option<String>,
    missed: bool,
}

type Stamp = (u64, i64, i64, u64);

impl Files {
    /// Looks at every file; `None` where nothing changed.
    pub(super) fn look(&mut self, patterns: &[String]) -> Result<Option<Vec<TargetGroup>>, Failed> {
        let (mut present, mut faults) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match matching(pattern) {
                Ok(paths) => present.extend(paths),
                Err(fault) => faults.push(fault),
            }
        }
        let whole = faults.is_empty();
        present.sort();
        present.dedup();
        if present.len() > MAX_FILES {
            faults.push(format!("more than {MAX_FILES} files match; the others are left out"));
            present.truncate(MAX_FILES);
        }
        let mut changed = !std::mem::replace(&mut self.looked, true);
        self.known.retain(|path, known| {
            let missing = whole && present.binary_search(path).is_err();
            let gone = missing && known.missed;
            known.missed = missing;
            changed |= gone;
            !gone
        });
        for path in &present {
            changed |= self.known.entry(path.clone()).or_default().refresh(path);
        }
        for (path, known) in &self.known {
            faults.extend(known.fault.as_ref().map(|fault| format!("{}: {fault}", path.display())));
        }
        let all = || {
            self.known
                .values()
                .flat_map(|known| known.groups.iter().cloned())
                .collect()
        };
        match faults.is_empty() {
            true => Ok(changed.then(all)),
            false => Err(Failed {
                why: faults.join("; ").chars().take(500).collect(),
                // At the start a broken file must not hide the good ones beside it.
                still_good: changed.then(all),
            }),
        }
    }
}

impl Known {
    /// Reads the file where it changed; true when it says something new.
    fn refresh(&mut self, path: &Path) -> bool {
        let stamp = match fs::metadata(path) {
            Ok(about) => (about.ino(), about.mtime(), about.mtime_nsec(), about.size()),
            Err(error) => {
                self.fault = Some(format!("cannot be read: {error}"));
                return false;
            }
        };
        if stamp == self.stamp {
            return false;
        }
        match read(path) {
            Ok(groups) => {
                self.fault = None;
                self.stamp = stamp;
                let new = groups != self.groups;
                self.groups = groups;
                new
            }
            // Broken content stays broken until the file changes; a file that cannot be opened is tried again.
            Err(Fault::Content(fault)) => {
                self.fault = Some(fault);
                self.stamp = stamp;
                false
            }
            Err(Fault::Access(fault)) => {
                self.fault = Some(fault);
                false
            }
        }
    }
}

enum Fault {
    Access(String),
    Content(String),
}

fn read(path: &Path) -> Result<Vec<TargetGroup>, Fault> {
    let cannot = |error: std::io::Error| Fault::Access(format!("cannot be read: {error}"));
    let file = fs::File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Err(Fault::Content("is no file".into()));
    }
    let mut text = Vec::new();
    file.take(MAX_GROUPS_SIZE as u64 + 1)
        .read_to_end(&mut text)
        .map_err(cannot)?;
    if text.len() > MAX_GROUPS_SIZE {
        return Err(Fault::Content(format!("is larger than {} MiB", MAX_GROUPS_SIZE >> 20)));
    }
    let text = String::from_utf8(text).map_err(|_| Fault::Content("is not UTF-8 text".into()))?;
    let json = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    match json {
        true => json_groups(&text),
        false => yaml_groups(&text),
    }
    .map_err(Fault::Content)
}

/// The files of a pattern. A pattern without wildcard names a file that should be there.
fn matching(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = Path::new(pattern);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(format!("{pattern} names no file"));
    };
    let name = name.to_string_lossy();
    if !name.contains(['*', '?']) {
        return match path.exists() {
            true => Ok(vec![path.to_owned()]),
            false => Err(format!("{pattern} does not exist")),
        };
    }
    let entries =
        fs::read_dir(directory).map_err(|error| format!("{} cannot be read: {error}", directory.display()))?;
    let wanted: Vec<char> = name.chars().collect();
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let fits = |name: &std::ffi::OsString| {
        let name: Vec<char> = name.to_string_lossy().chars().collect();
        name.first() != Some(&'.') && fits(&wanted, &name)
    };
    Ok(names.filter(fits).map(|name| directory.join(name)).collect())
}

/// `*` is any text, `?` any character. Goes back to the last star only, so the time is bounded by the product of lengths.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((star_at, tried)) => {
                    at = star_at + 1;
                    from = tried + 1;
                    star = Some((star_at, from));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(found: &Result<Option<Vec<TargetGroup>>, Failed>) -> Vec<&str> {
        let groups = match found {
            Ok(groups) => groups.as_ref(),
            Err(failed) => failed.still_good.as_ref(),
        };
        groups
            .into_iter()
            .flatten()
            .flat_map(|group| &group.targets)
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn files_are_followed_and_a_broken_one_keeps_what_it_said() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let other = directory.path().join(".new");
            fs::write(&other, text).unwrap();
            fs::rename(other, directory.path().join(name)).unwrap();
        };
        let patterns = [
            format!("{}/*.yml", directory.path().display()),
            format!("{}/?.json", directory.path().display()),
        ];
        let mut files = Files::default();
        write("a.yml", "- targets: [a1, a2]");
        write("b.json", r#"[{"targets": ["b1"]}]"#);
        write("c.txt", "- targets: [c]");
        assert_eq!(targets(&files.look(&patterns)), ["a1", "a2", "b1"]);
        assert_eq!(files.look(&patterns), Ok(None), "nothing changed");

        write("a.yml", "- targets: [a3]");
        assert_eq!(targets(&files.look(&patterns)), ["a3", "b1"]);

        for broken in ["- targets: [", "", "nonsense: 1"] {
            write("a.yml", broken);
            let failed = files.look(&patterns).unwrap_err();
            assert!(
                failed.why.contains("a.yml: ") && failed.still_good.is_none(),
                "{failed:?}"
            );
        }
        write("b.json", r#"[{"targets": ["b2"]}]"#);
        assert_eq!(
            targets(&files.look(&patterns)),
            ["a3", "b2"],
            "the good one is followed beside the broken one"
        );
        write("a.yml", "[]");
        assert_eq!(targets(&files.look(&patterns)), ["b2"]);

        fs::remove_file(directory.path().join("b.json")).unwrap();
        assert_eq!(files.look(&patterns), Ok(None), "it may be just being replaced");
        write("d.yml", "- targets: [d]");
        assert_eq!(targets(&files.look(&patterns)), ["d"]);
    }

    #[test]
    fn an_empty_directory_is_an_empty_list() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::default();
        let pattern = [format!("{}/*.yml", directory.path().display())];
        assert_eq!(files.look(&pattern), Ok(Some(Vec::new())));
        assert!(files.look(&["/nonexistent/*.yml".to_owned()]).is_err());
        let named = directory.path().join("a.yml");
        fs::write(&named, "- targets: [a]").unwrap();
        let pattern = [named.display().to_string()];
        assert_eq!(targets(&files.look(&pattern)), ["a"]);
        fs::remove_file(&named).unwrap();
        for _ in 0..3 {
            assert!(
                files.look(&pattern).unwrap_err().still_good.is_none(),
                "nothing is forgotten"
            );
        }
    }

    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a?c*", "abcd", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("*", "", true),
            ("?", "", false),
            ("**", "a", true),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(fits(&chars(pattern), &chars(name)), expected, "{pattern} {name}");
        }
    }
}
