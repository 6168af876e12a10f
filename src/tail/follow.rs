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
//!    which are named like one, are read whole and in the order they were last written. What was packed with gzip since is
//!    read on where its text begins with what was read; what was packed and never begun is left out.
//!
//! [`Follower::note`] and [`Follower::read`] make one pass and never wait; what calls them decides when.

mod find;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::find::Place;
use super::file::Followed;
use super::names;
use super::packed::Packed;
use super::position::{Id, Position};
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

/// The files of one log.
pub(super) struct Follower {
    pub id: String,
    pub sink: Sink,
    pattern: String,
    from: From,
    store: Arc<Store>,
    /// Of files with one name, the older comes first.
    files: Vec<Followed>,
    /// Files of the last run that were packed since; they come before those of their names.
    packed: VecDeque<Packed>,
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
            packed: VecDeque::new(),
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

    /// Notes what there is: truncations, growth, with `look` also new names. Nothing that is written later is read before
    /// this is called again.
    pub fn note(&mut self, now: Instant, look: bool, buffer: &mut [u8]) {
        self.read_fault = None;
        self.check(now);
        if look {
            self.look(now, buffer);
        } else {
            self.settle(now, buffer);
        }
    }

    /// One pass over all files: at most a turn of each file's lines. True where more of what was noted is left.
    pub fn read(&mut self, now: Instant, buffer: &mut [u8]) -> bool {
        let has_more = self.take_turns(buffer);
        if !has_more {
            self.give_up(now, buffer);
        }
        self.sink.rest();
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
            files: self.positions().chain(later).collect(),
            done: self.done.clone(),
        };
        match self.store.save(&self.id, &saved) {
            Ok(()) => self.is_saved = true,
            Err(error) => tracing::warn!(log = self.id, %error, "cannot save the positions of a log"),
        }
    }

    fn positions(&self) -> impl Iterator<Item = Position> {
        let packed = self.packed.iter().map(|packed| packed.at.clone());
        packed.chain(self.files.iter().map(|file| file.at.clone()))
    }

    fn check(&mut self, now: Instant) {
        let mut index = 0;
        while let Some(file) = self.files.get_mut(index) {
            match file.check(now) {
                Ok(true) => {}
                Ok(false) => index += self.truncated(index, now),
                // Gone on a file system of another machine; under its name it would be tried again.
                Err(_) if !file.is_matched => {
                    let gone = self.files.remove(index);
                    self.keep(gone.at);
                    continue;
                }
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
        let mut new = self.present(&found.paths, now);
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

    /// Marks the files that are followed under these names, and opens the others.
    fn present(&mut self, paths: &[PathBuf], now: Instant) -> Vec<(SystemTime, Followed)> {
        let take = |file: &mut Followed| std::mem::take(&mut file.is_matched);
        let was_matched: Vec<_> = self.files.iter_mut().map(take).collect();
        let mut new = Vec::new();
        for path in paths {
            match self.look_at(path, now) {
                Ok(file) => new.extend(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.look_fault = Some(fault(path, &error)),
            }
        }
        for (file, was_matched) in self.files.iter_mut().zip(was_matched) {
            if was_matched && !file.is_matched {
                file.quiet_since = now;
            }
        }
        new
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
        if self.positions().any(|known| known.name == file.at.name) {
            self.rotated();
        }
        self.files.push(file);
        self.is_saved = false;
    }

    /// Rule 3: a file has its turn when none before it under the same name has more.
    fn take_turns(&mut self, buffer: &mut [u8]) -> bool {
        let mut has_more = self.unpack(buffer);
        for index in 0..self.files.len() {
            let (before, file) = self.files.split_at_mut(index);
            let file = &mut file[0];
            if !file.has_more() {
                continue;
            }
            let is_packed = self.packed.iter().any(|packed| packed.at.name == file.at.name);
            let waits = before
                .iter()
                .any(|other| other.at.name == file.at.name && other.has_more());
            if is_packed || waits {
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

    /// A turn of what was packed; true where more is left.
    fn unpack(&mut self, buffer: &mut [u8]) -> bool {
        let Some(packed) = self.packed.front_mut() else {
            return false;
        };
        self.is_saved = false;
        let turn = packed.turn(buffer, &mut self.sink);
        if let Err(error) = &turn {
            let path = packed.path.display();
            tracing::warn!(log = self.id, %path, %error, "a packed file cannot be read on");
        }
        if !turn.unwrap_or(false)
            && let Some(packed) = self.packed.pop_front()
        {
            self.keep(packed.at);
        }
        !self.packed.is_empty()
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
        status
            .open
            .store((self.files.len() + self.packed.len()) as u64, Relaxed);
        let unread = self.files.iter().map(Followed::unread_bytes).sum();
        status.unread_bytes.store(unread, Relaxed);
    }
}

fn fault(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
