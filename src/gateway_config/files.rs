//! The files of a configuration: those an `include` names, by path or by pattern as in a shell, and how each looked when it
//! was read.

use std::cell::RefCell;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Files read for one configuration, and files and directories of one level of a pattern.
pub(super) const MAX_FILES: usize = 2000;
/// Bytes of all files together.
pub(super) const MAX_BYTES: usize = 16 << 20;
/// Entries of a directory that are compared with a pattern.
const MAX_ENTRIES: usize = 100_000;

/// Where the text of files comes from.
pub trait Files {
    /// The paths that a pattern names, sorted; a path without `*`, `?` and `[` stands for itself.
    fn matching(&self, pattern: &Path) -> Vec<PathBuf>;

    /// The text of a file of at most that many bytes. What is not UTF-8 in it is replaced.
    ///
    /// # Errors
    /// It cannot be read; why.
    fn text(&self, path: &Path, at_most: usize) -> Result<String, String>;
}

/// The file system. Remembers what it was asked for.
#[derive(Debug, Default)]
pub struct Disk {
    seen: RefCell<Seen>,
}

/// Files and directories, and how each looked just before it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(Vec<(PathBuf, Option<Stamp>)>);

/// What changes when a file is written or replaced, or a link on its path points elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    is_file: bool,
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Disk {
    /// What was looked at.
    pub fn seen(self) -> Seen {
        self.seen.into_inner()
    }

    /// Remembers a file without reading it.
    pub(super) fn find(&self, path: &Path) -> Result<(), String> {
        self.remember(path);
        let about = fs::metadata(path);
        about.map(drop).map_err(|error| format!("cannot be read: {error}"))
    }

    fn remember(&self, path: &Path) {
        self.seen.borrow_mut().add(path);
    }

    /// The entries of a directory whose names fit.
    fn entries(&self, directory: &Path, pattern: &glob::Pattern) -> Vec<PathBuf> {
        let shown = match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => directory,
        };
        self.remember(shown);
        let options = glob::MatchOptions {
            require_literal_leading_dot: true,
            ..glob::MatchOptions::new()
        };
        let Ok(entries) = fs::read_dir(shown) else {
            return Vec::new();
        };
        entries
            .flatten()
            .take(MAX_ENTRIES)
            .map(|entry| entry.file_name())
            .filter(|name| pattern.matches_with(&name.to_string_lossy(), options))
            .map(|name| directory.join(name))
            .collect()
    }
}

/// Whether a path names files by a pattern.
pub(super) fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

impl Files for Disk {
    fn matching(&self, pattern: &Path) -> Vec<PathBuf> {
        let mut paths = vec![PathBuf::new()];
        for part in pattern.components() {
            if !is_pattern(part.as_ref()) {
                paths.iter_mut().for_each(|path| path.push(part));
                continue;
            }
            let Some(pattern) = shell_pattern(&part.as_os_str().to_string_lossy()) else {
                return Vec::new();
            };
            let mut next: Vec<PathBuf> = paths
                .iter()
                .flat_map(|directory| self.entries(directory, &pattern))
                .collect();
            next.sort();
            next.truncate(MAX_FILES);
            paths = next;
        }
        paths
    }

    fn text(&self, path: &Path, at_most: usize) -> Result<String, String> {
        self.remember(path);
        let cannot = |error: std::io::Error| format!("cannot be read: {error}");
        let about = fs::metadata(path).map_err(cannot)?;
        // A pipe or a device could be read without end.
        if !about.is_file() {
            return Err("is not a file".into());
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(cannot)?;
        file.take(at_most as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
        match bytes.len() > at_most {
            true => Err("is too large".into()),
            false => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

/// One part of a path. Two stars mean more to the library than to a shell; `None` for what no shell takes either.
fn shell_pattern(part: &str) -> Option<glob::Pattern> {
    let mut text = part.to_owned();
    while text.contains("**") {
        text = text.replace("**", "*");
    }
    glob::Pattern::new(&text.replace("[^", "[!")).ok()
}

impl Seen {
    /// Remembers a file; to be called before it is read, so that a change in between is not missed.
    fn add(&mut self, path: &Path) {
        if self.0.len() < 2 * MAX_FILES && !self.0.iter().any(|(known, _)| known == path) {
            self.0.push((path.to_owned(), Stamp::of(path)));
        }
    }

    /// The same files, as they look now.
    pub fn again(&self) -> Seen {
        let look = |path: &PathBuf| (path.clone(), Stamp::of(path));
        Seen(self.0.iter().map(|(path, _)| look(path)).collect())
    }

    /// When the file that was written last was written.
    pub(super) fn newest(&self) -> Option<SystemTime> {
        let files = self
            .0
            .iter()
            .filter_map(|(_, stamp)| stamp.filter(|stamp| stamp.is_file));
        let (seconds, nanoseconds) = files.map(|stamp| stamp.modified).max()?;
        let since = Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since)
    }
}

impl Stamp {
    /// `None` for what cannot be found: it may appear later.
    fn of(path: &Path) -> Option<Stamp> {
        let about = fs::metadata(path).ok()?;
        Some(Stamp {
            is_file: about.is_file(),
            file: (about.dev(), about.ino()),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.conf", "b.conf", "c.conf.bak", ".d.conf"] {
            fs::create_dir_all(dir.path().join("sites")).unwrap();
            fs::write(dir.path().join("sites").join(name), "").unwrap();
        }
        for (pattern, expected) in [
            ("sites/*.conf", "a.conf b.conf"),
            ("s*/[ab].conf", "a.conf b.conf"),
            ("sites/[^a]*.conf", "b.conf"),
            ("sites/**.bak", "c.conf.bak"),
            ("sites/a.conf", "a.conf"),
            ("sites/?.conf", "a.conf b.conf"),
            ("none/*.conf", ""),
            ("sites/[", ""),
        ] {
            let found = Disk::default().matching(&dir.path().join(pattern));
            let names: Vec<_> = found
                .iter()
                .map(|path| path.file_name().unwrap().to_str().unwrap())
                .collect();
            assert_eq!(names.join(" "), expected, "{pattern}");
        }
    }

    #[test]
    fn a_changed_file_and_a_new_one_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.conf");
        fs::write(&path, "one").unwrap();
        let disk = Disk::default();
        disk.matching(&dir.path().join("*.conf"));
        assert_eq!(disk.text(&path, 3).as_deref(), Ok("one"));
        assert_eq!(disk.text(&path, 2), Err("is too large".into()));
        assert_eq!(disk.text(dir.path(), 2), Err("is not a file".into()));
        let seen = disk.seen();
        assert_eq!(seen, seen.again());
        assert_eq!(seen.newest(), Some(fs::metadata(&path).unwrap().modified().unwrap()));
        fs::write(&path, "three").unwrap();
        assert_ne!(seen, seen.again());
        let seen = seen.again();
        fs::write(dir.path().join("b.conf"), "").unwrap();
        assert_ne!(seen, seen.again(), "the directory of a pattern counts");
    }
}
