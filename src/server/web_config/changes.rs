//! Whether files have changed since they were read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Files, and how each looked just before it was read.
#[derive(Default)]
pub(super) struct Seen(Vec<(PathBuf, Option<Stamp>)>);

/// What changes when a file is written, replaced, or a link on its path points elsewhere.
#[derive(PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    /// Remembers a file; to be called before it is read, so that a change in between is not missed.
    pub(super) fn add(&mut self, path: PathBuf) {
        let stamp = Stamp::of(&path);
        self.0.push((path, stamp));
    }

    /// True while every file looks as it did. Asks the file system.
    pub(super) fn is_unchanged(&self) -> bool {
        self.0.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }
}

impl Stamp {
    /// `None` for a file that cannot be found: it may appear later.
    fn of(path: &PathBuf) -> Option<Stamp> {
        let about = fs::metadata(path).ok()?;
        Some(Stamp {
            file: (about.dev(), about.ino()),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        })
    }
}
