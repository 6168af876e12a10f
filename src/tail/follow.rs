//! Follows the files of one log, so that every line is handed out once.
//!
//! 1. A file is known by device and inode while it is open, and besides by what stands at its beginning and in front of
//!    the place reading stopped at; so a number that is used again does not mislead.
//! 2. A file that has another name, or none, is read on. It is given up once a successor under its old name holds
//!    something and it was quiet for [`QUIET_AFTER_ROTATION`]: a gateway writes to the old file until it reopens. Without
//!    a name and without a successor it is given up after [`QUIET_WITHOUT_NAME`], so that its space can be freed. What
//!    then follows its last newline is handed out as it is.
//! 3. A successor is read when the files before it are read to their ends.
//! 4. A file that is shorter than what was read, or whose beginning changed, was truncated: it is read from its start.
//!    A copy of what was read is looked for beside it, and read on from there; so only lines that were written between
//!    copying and truncating, which no copy holds, are lost.
//! 5. On the first start, files are read from their end or start as configured; files that appear later from their start.
//! 6. After a restart reading goes on where it stopped, also in files that were renamed since. Rotations nobody saw, and
//!    which are named like one, are read whole and in the order they were last written.
//!
//! [`Follower::poll`] makes one pass and never waits; what calls it decides when.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::file::{Followed, TICK};
use super::names::{self, is_rotation, rotation_number};
use super::position::{Id, Position, is_beginning};
use super::sink::Sink;
use super::{From, Status, Store};
use crate::clock;

/// Quiet time after which a file is given up whose successor is written to. Workers reopen within moments.
const QUIET_AFTER_ROTATION: Duration = Duration::from_secs(60);
/// Quiet time after which a file is given up that has no name any more.
const QUIET_WITHOUT_NAME: Duration = Duration::from_secs(300);
/// Files of one log at most: a pattern that matches more is wrong, or needs several logs.
const MAX_FILES: usize = 512;
/// Files followed besides those the pattern matches.
const MAX_OLD: usize = 64;
/// Positions kept of files that were given up or truncated.
const MAX_DONE: usize = 64;
/// Entries of a directory that are looked at to find a file again.
const MAX_ENTRIES: usize = 10_000;

/// The files of one log.
pub(super) struct Follower {
    pub id: String,
    pub sink: Sink,
    pattern: String,
    from: From,
    store: Arc<Store>,
    /// Of files with one name, the older comes first.
    files: Vec<Followed>,
    done: VecDeque<Position>,
    /// Positions of the last run that are not taken up yet; empty after the first look.
    last: Vec<Position>,
    /// Sizes at the first look of files that could not be opened then, and of rotated ones.
    closed: Vec<(Id, u64)>,
    /// Until the first look: what is there is not new.
    is_first: bool,
    has_looked: bool,
    looked: SystemTime,
    look_fault: Option<String>,
    read_fault: Option<String>,
    is_saved: bool,
    /// Rotated files that are empty, or copies of what is followed: held open until more can be told, and the names
    /// they will be followed under.
    later: Vec<(PathBuf, Followed)>,
}

/// What is kept over a restart.
#[derive(Serialize, Deserialize)]
struct Saved {
    pattern: String,
    looked: SystemTime,
    files: Vec<Position>,
    done: VecDeque<Position>,
}

/// Where reading of a new file begins.
enum Place {
    At(Position),
    BehindSize(u64),
    Start,
    /// A copy under way: not yet.
    Later,
}

impl Follower {
    /// Takes up what was saved under `id`; opens nothing before the first pass.
    pub fn new(id: String, pattern: String, from: From, sink: Sink, store: Arc<Store>) -> Follower {
        let saved: Option<Saved> = store.load(&id);
        let is_first = saved.as_ref().is_none_or(|saved| saved.pattern != pattern);
        let (looked, last, done) = match saved {
            Some(saved) => (saved.looked, saved.files, saved.done),
            None => (clock::now(), Vec::new(), VecDeque::new()),
        };
        Follower {
            id,
            sink,
            pattern,
            from,
            store,
            files: Vec::new(),
            done,
            last,
            closed: Vec::new(),
            is_first,
            has_looked: false,
            looked,
            look_fault: None,
            read_fault: None,
            is_saved: false,
            later: Vec::new(),
        }
    }

    /// One pass over all files: truncations, with `look` also new names, then at most a turn of each file's lines.
    /// True where more lines are at hand.
    pub fn poll(&mut self, now: Instant, look: bool, buffer: &mut [u8]) -> bool {
        self.read_fault = None;
        self.check(now);
        if look {
            self.look(now, buffer);
        } else {
            self.settle(now, buffer);
        }
        let has_more = self.read(buffer);
        if !has_more {
            self.give_up(now, buffer);
            self.sink.rest();
        }
        self.report();
        has_more
    }

    /// The directories to watch.
    pub fn directories(&self) -> Vec<PathBuf> {
        names::directories(&self.pattern)
    }

    /// The files to watch.
    pub fn files(&self) -> &[Followed] {
        &self.files
    }

    /// Positions changed since they were saved.
    pub fn is_unsaved(&self) -> bool {
        !self.is_saved && self.has_looked
    }

    /// Saves the positions if they changed since they were saved.
    pub fn save(&mut self) {
        if !self.is_unsaved() {
            return;
        }
        let later = self
            .later
            .iter()
            .map(|(name, file)| Position::start(name.clone(), file.at.id));
        let saved = Saved {
            pattern: self.pattern.clone(),
            looked: self.looked,
            files: self.files.iter().map(|file| file.at.clone()).chain(later).collect(),
            done: self.done.clone(),
        };
        match self.store.save(&self.id, &saved) {
            Ok(()) => self.is_saved = true,
            Err(error) => tracing::warn!(log = self.id, %error, "cannot save the positions of a log"),
        }
    }

    fn check(&mut self, now: Instant) {
        let mut index = 0;
        while let Some(file) = self.files.get_mut(index) {
            match file.check(now) {
                Ok(true) => {}
                Ok(false) => index += self.truncated(index, now),
                Err(error) => self.read_fault = Some(fault(&file.at.name, &error)),
            }
            index += 1;
        }
    }

    /// Rule 4. Says how many files were put in front.
    fn truncated(&mut self, index: usize, now: Instant) -> usize {
        let position = self.files[index].at.clone();
        self.files[index].restart();
        self.rotated();
        let copy = self.find(&position, now);
        self.keep(position);
        let copies = usize::from(copy.is_some());
        self.files.splice(index..index, copy);
        copies
    }

    fn look(&mut self, now: Instant, buffer: &mut [u8]) {
        let began = clock::now();
        if !self.has_looked {
            self.take_up(now);
        }
        let found = names::matching(&self.pattern, MAX_FILES);
        self.look_fault = found.fault.map(|error| error.to_string());
        if found.too_many {
            self.look_fault = Some(format!("more than {MAX_FILES} files match; the others are left out"));
        }
        let was_matched: Vec<_> = self
            .files
            .iter_mut()
            .map(|file| std::mem::take(&mut file.is_matched))
            .collect();
        let mut new = Vec::new();
        for path in &found.paths {
            match self.look_at(path, now) {
                Ok(Some(file)) => new.push(file),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.look_fault = Some(fault(path, &error)),
            }
        }
        for (file, _) in self
            .files
            .iter_mut()
            .zip(was_matched)
            .filter(|(_, was_matched)| *was_matched)
        {
            if !file.is_matched {
                file.quiet_since = now;
            }
        }
        // Those known by number first, so that copies of them are known as such.
        let is_new = |id| !self.last.iter().any(|position| position.id == id);
        new.sort_by_key(|(written, file)| (is_new(file.at.id), *written));
        self.rotations(&found.paths, now);
        self.settle(now, buffer);
        for (_, file) in new {
            self.adopt(file, buffer);
        }
        self.last.clear();
        (self.is_first, self.has_looked, self.looked) = (false, true, began);
    }

    /// The file of a name if it is not followed yet, and when it was last written.
    fn look_at(&mut self, path: &Path, now: Instant) -> io::Result<Option<(SystemTime, Followed)>> {
        let metadata = fs::metadata(path)?;
        let id = Id::of(&metadata);
        if let Some(known) = self.files.iter_mut().find(|file| file.at.id == id) {
            known.is_matched = true;
            return Ok(None);
        }
        if self.later.iter().any(|(_, file)| file.at.id == id) {
            return Ok(None);
        }
        let file = Followed::open(path, now).inspect_err(|_| {
            if self.is_first {
                self.closed.push((id, metadata.len()));
            }
        })?;
        Ok(Some((metadata.modified()?, file)))
    }

    fn adopt(&mut self, mut file: Followed, buffer: &mut [u8]) {
        if let Some(known) = self.files.iter_mut().find(|known| known.at.id == file.at.id) {
            known.is_matched = true;
            return;
        }
        if self.files.len() >= MAX_FILES + MAX_OLD {
            return;
        }
        match self.place(&file) {
            Place::At(position) => file.resume(&position),
            Place::Start => {}
            Place::Later => {
                self.later.push((file.at.name.clone(), file));
                return;
            }
            Place::BehindSize(size) => {
                if let Err(error) = file.skip_to(size, buffer) {
                    self.look_fault = Some(fault(&file.at.name, &error));
                    return;
                }
            }
        }
        if self.files.iter().any(|known| known.at.name == file.at.name) {
            self.rotated();
        }
        self.files.push(file);
        self.is_saved = false;
    }

    /// Where reading of a file begins that is not followed.
    fn place(&self, file: &Followed) -> Place {
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
        if let Some(position) = self.done.iter().chain(&self.last).find(is_read) {
            return Place::At(position.clone());
        }
        let closed = self.closed.iter().find(|(id, _)| *id == file.at.id);
        match (self.from, closed) {
            (From::End, _) if self.is_first => Place::BehindSize(file.size),
            (From::End, Some((_, size))) if *size <= file.size => Place::BehindSize(*size),
            _ => Place::Start,
        }
    }

    /// Finds the files of the last run that do not have their names any more.
    fn take_up(&mut self, now: Instant) {
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
            } else if position.name.exists() {
                let path = position.name.display();
                tracing::warn!(log = self.id, %path, "the file that was read is gone; what it still got is not read");
            }
        }
    }

    /// The file that holds what was read up to `position`, under another name beside it; ready to be read on.
    fn find(&self, position: &Position, now: Instant) -> Option<Followed> {
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

    /// Rule 6: the rotations of all names that came between two looks.
    fn rotations(&mut self, paths: &[PathBuf], now: Instant) {
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
    fn settle(&mut self, now: Instant, buffer: &mut [u8]) {
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
            if self.is_first || is_known || !metadata.is_file() || written + TICK < self.looked {
                continue;
            }
            let Ok(mut file) = Followed::open(&entry.path(), now) else {
                continue;
            };
            match self.place(&file) {
                Place::Later => {
                    file.is_matched = false;
                    self.later.push((name.to_owned(), file));
                }
                Place::Start => {
                    name.clone_into(&mut file.at.name);
                    file.is_matched = false;
                    found.push((written, Reverse(rotation_number(&entry.path())), file));
                }
                Place::At(_) | Place::BehindSize(_) => {}
            }
        }
        found.sort_by_key(|(written, number, _)| (*written, *number));
        found.into_iter().map(|(_, _, file)| file).collect()
    }

    /// Rule 3: a file has its turn when none before it under the same name has more.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let mut has_more = false;
        for index in 0..self.files.len() {
            let (before, file) = self.files.split_at_mut(index);
            let file = &mut file[0];
            if !file.has_more() {
                continue;
            }
            if before
                .iter()
                .any(|other| other.at.name == file.at.name && other.has_more())
            {
                has_more = true;
                continue;
            }
            self.is_saved = false;
            match file.read(buffer, &mut self.sink) {
                Ok(more) => has_more |= more,
                Err(error) => self.read_fault = Some(fault(&file.at.name, &error)),
            }
        }
        // A file that cannot be read is tried again at the next pass, which should not follow at once.
        has_more && self.read_fault.is_none()
    }

    /// Rule 2.
    fn give_up(&mut self, now: Instant, buffer: &mut [u8]) {
        let mut old = self.files.iter().filter(|file| !file.is_matched).count();
        let mut index = 0;
        while index < self.files.len() {
            if !self.is_over(index, now) && (self.files[index].is_matched || old <= MAX_OLD) {
                index += 1;
                continue;
            }
            let mut file = self.files.remove(index);
            old -= 1;
            if let Err(error) = file.end(buffer, &mut self.sink) {
                self.read_fault = Some(fault(&file.at.name, &error));
            }
            self.keep(file.at);
        }
    }

    fn is_over(&self, index: usize, now: Instant) -> bool {
        let file = &self.files[index];
        let mut successors = self.files[index + 1..]
            .iter()
            .filter(|other| other.at.name == file.at.name);
        let quiet = now.saturating_duration_since(file.quiet_since);
        let is_replaced = successors.any(|other| other.is_matched && other.size > 0);
        !file.is_matched
            && !file.has_more()
            && (is_replaced && quiet >= QUIET_AFTER_ROTATION || file.links == 0 && quiet >= QUIET_WITHOUT_NAME)
    }

    fn keep(&mut self, position: Position) {
        self.done.push_back(position);
        if self.done.len() > MAX_DONE {
            self.done.pop_front();
        }
        self.is_saved = false;
    }

    fn rotated(&mut self) {
        Status::add(&self.sink.status.rotations, 1);
        self.is_saved = false;
    }

    fn report(&self) {
        let status = &self.sink.status;
        let is_there = self.files.iter().any(|file| file.is_matched);
        let missing = || (!is_there).then(|| format!("{} does not exist yet", self.pattern));
        let problem = self
            .read_fault
            .clone()
            .or_else(|| self.look_fault.clone())
            .or_else(missing);
        status.set_up(problem.is_none());
        status.set_problem(&self.id, problem);
        status.open.store(self.files.len() as u64, Relaxed);
        let unread = self.files.iter().map(Followed::unread_bytes).sum();
        status.unread_bytes.store(unread, Relaxed);
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

fn fault(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
