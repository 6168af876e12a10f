//! Finds files again that lost their names, and tells rotated files and copies from new ones.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::time::Instant;

use super::{Follower, MAX_FILES, MAX_OLD};
use crate::tail::From;
use crate::tail::file::{Followed, TICK};
use crate::tail::names::{is_rotation, rotation_number};
use crate::tail::packed::Packed;
use crate::tail::position::{Id, Position, is_beginning};

/// Entries of a directory that are looked at to find a file again.
const MAX_ENTRIES: usize = 10_000;

/// Where reading of a new file begins.
pub(super) enum Place {
    At(Position),
    BehindSize(u64),
    Start,
    /// A copy under way: not yet.
    Later,
}

impl Follower {
    /// Finds the files of the last run that do not have their names any more.
    pub(super) fn take_up(&mut self, now: Instant) {
        for position in std::mem::take(&mut self.last) {
            let is_here = Followed::open(&position.name, now).is_ok_and(|file| {
                position.is_in(&file.file, file.size) && (position.offset > 0 || position.id == file.at.id)
            });
            if is_here {
                self.last.push(position);
            } else if let Some(mut file) = self.find(&position, now) {
                if position.offset > 0 {
                    self.files.push(file);
                } else {
                    let name = std::mem::replace(&mut file.at.name, file.path.clone());
                    self.later.push((name, file));
                }
            } else if let Some(packed) = self.find_packed(&position) {
                self.packed.push_back(packed);
            } else {
                if position.name.exists() {
                    let path = position.name.display();
                    tracing::warn!(log = self.id, %path, "the file that was read cannot be found or opened");
                }
                // It may only be closed to us for now.
                self.keep(position);
            }
        }
    }

    /// The file that holds what was read up to `position`, under another name beside it; ready to be read on.
    pub(super) fn find(&self, position: &Position, now: Instant) -> Option<Followed> {
        let is_candidate = |entry: &DirEntry| {
            let is_named = is_rotation(&position.name, &entry.path());
            entry.ino() == position.id.inode || is_named && position.offset > 0
        };
        let holds = |file: &Followed| {
            let is_new = !self.files.iter().any(|known| known.at.id == file.at.id);
            is_new && position.is_in(&file.file, file.size)
        };
        let mut candidates = entries_beside(&position.name).filter(is_candidate);
        let mut file = candidates.find_map(|entry| Followed::open(&entry.path(), now).ok().filter(holds))?;
        file.resume(position);
        file.is_matched = false;
        Some(file)
    }

    /// As [`Self::find`], where it was packed since. Only its beginning is compared yet.
    fn find_packed(&self, position: &Position) -> Option<Packed> {
        let unpacked = |path: &Path| {
            path.extension()
                .is_some_and(|end| end == "gz")
                .then(|| path.with_extension(""))
        };
        let is_rotated = |path: &PathBuf| unpacked(path).is_some_and(|plain| is_rotation(&position.name, &plain));
        entries_beside(&position.name)
            .map(|entry| entry.path())
            .filter(is_rotated)
            .take(MAX_FILES)
            .find_map(|path| Packed::open(&path, position).ok().flatten())
    }

    /// Rule 6: the rotations of all names that came between two looks.
    pub(super) fn rotations(&mut self, paths: &[PathBuf], now: Instant) {
        let followed = self.files.iter().map(|file| &file.at.name);
        let names: BTreeSet<_> = followed.chain(paths).cloned().collect();
        for name in names {
            let parent = beside(&name).map(|directory| fs::metadata(directory).and_then(|found| found.modified()));
            let is_newer = |changed: io::Result<SystemTime>| changed.is_ok_and(|changed| changed + TICK >= self.looked);
            if !self.has_looked || parent.into_iter().any(is_newer) {
                for file in self.between(&name, now) {
                    self.insert(file);
                }
            }
        }
    }

    /// Follows a rotated file: before what has its name now, or was written later, if that is followed already.
    fn insert(&mut self, file: Followed) {
        let is_newer = |known: &Followed| known.is_matched || known.written > file.written;
        let is_later = |known: &Followed| known.at.name == file.at.name && is_newer(known);
        let index = self.files.iter().position(is_later).unwrap_or(self.files.len());
        self.files.insert(index, file);
        self.rotated();
    }

    /// Follows what is known by now to be no copy under way, or a copy of what was truncated since.
    pub(super) fn settle(&mut self, now: Instant, buffer: &mut [u8]) {
        for (name, mut file) in std::mem::take(&mut self.later) {
            // Compared with nothing yet, it cannot differ; only its size is asked for.
            let is_there = file.check(now).is_ok();
            if !is_there || self.files.iter().any(|known| known.at.id == file.at.id) {
                continue;
            }
            match self.place(&file) {
                Place::Later => {
                    self.later.push((name, file));
                    continue;
                }
                Place::Start => {}
                Place::At(position) => file.resume(&position),
                Place::BehindSize(size) => {
                    if file.skip_to(size, buffer).is_err() {
                        continue;
                    }
                }
            }
            file.at.name = name;
            self.insert(file);
        }
        let surplus = self.later.len().saturating_sub(MAX_OLD);
        self.later.drain(..surplus);
    }

    /// Rotations of `name` that are not followed and were written since the last look, the oldest first.
    fn between(&mut self, name: &Path, now: Instant) -> Vec<Followed> {
        let mut found = Vec::new();
        for entry in entries_beside(name)
            .filter(|entry| is_rotation(name, &entry.path()))
            .take(MAX_FILES)
        {
            // Of the file, where the entry is a symbolic link.
            let Ok(metadata) = fs::metadata(entry.path()) else {
                continue;
            };
            let id = Id::of(&metadata);
            if self.is_first {
                self.closed.push((id, metadata.size()));
            }
            let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let waiting = self.later.iter().map(|(_, file)| file);
            let is_known = self.files.iter().chain(waiting).any(|file| file.at.id == id);
            let is_unfinished = self.is_unfinished(id, metadata.size());
            let is_old = written + TICK < self.looked;
            if self.is_first || is_known || !metadata.is_file() || is_old && !is_unfinished {
                continue;
            }
            let Ok(mut file) = Followed::open(&entry.path(), now) else {
                continue;
            };
            match self.place(&file) {
                Place::Later => {
                    file.is_matched = false;
                    self.later.push((name.to_owned(), file));
                    continue;
                }
                // Not a copy of it, but the very file.
                Place::At(position) if position.id == id && position.offset < file.size => file.resume(&position),
                Place::Start if !is_old => {}
                Place::At(_) | Place::Start | Place::BehindSize(_) => continue,
            }
            name.clone_into(&mut file.at.name);
            file.is_matched = false;
            found.push((written, Reverse(rotation_number(&entry.path())), file));
        }
        found.sort_by_key(|(written, number, _)| (*written, *number));
        found.into_iter().map(|(_, _, file)| file).collect()
    }

    /// A file that was given up or could not be opened, and holds more than was read of it.
    fn is_unfinished(&self, id: Id, size: u64) -> bool {
        self.done
            .iter()
            .any(|position| position.id == id && position.offset < size)
    }

    /// Where reading of a file begins that is not followed.
    pub(super) fn place(&self, file: &Followed) -> Place {
        let path = &file.at.name;
        let is_read = |position: &&Position| {
            let is_here = position.id == file.at.id || !self.has_looked && position.name == *path;
            let is_related = is_here || is_rotation(&position.name, path);
            position.offset > 0 && is_related && position.is_in(&file.file, file.size)
        };
        // What is followed is read where it is, until it is truncated; a copy waits for that.
        let is_copy = |known: &Followed| {
            let is_same = || is_beginning(&file.file, file.size, &known.file);
            let holds_same = || known.at.offset > 0 && known.at.is_in(&file.file, file.size);
            is_rotation(&known.at.name, path) && (is_same() || holds_same())
        };
        if self.files.iter().any(is_copy) {
            return Place::Later;
        }
        // Where several fit, one of this very file, and the one that was read furthest.
        let known = self.done.iter().chain(&self.last).filter(is_read);
        if let Some(position) = known.max_by_key(|position| (position.id == file.at.id, position.offset)) {
            return Place::At(position.clone());
        }
        let closed = self.closed.iter().find(|(id, _)| *id == file.at.id);
        match (self.from, closed) {
            (From::End, _) if self.is_first => Place::BehindSize(file.size),
            (From::End, Some((_, size))) if *size <= file.size => Place::BehindSize(*size),
            _ => Place::Start,
        }
    }
}

/// The directory a file lies in, and the one it really lies in where its name is a symbolic link.
fn beside(name: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut directories = vec![parent(name)];
    if let Ok(real) = fs::canonicalize(name) {
        directories.push(parent(&real));
    }
    directories.dedup();
    directories.into_iter()
}

fn entries_beside(name: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    let listed = beside(name).filter_map(|directory| fs::read_dir(directory).ok());
    listed.flat_map(|entries| entries.flatten().take(MAX_ENTRIES))
}
