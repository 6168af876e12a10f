//! A folder into which objects are dropped (`aws s3 sync`, exports): each is read once, from its start to its end.
//!
//! 1. Objects are read in the order they were last written. One is known by its name, size and time of change.
//! 2. A packed object that ends too early is being written, or broken: it is left, and read again when its size changes.
//!    Its lines are handed out only once: reading goes on behind as many unpacked bytes. One that stays as it is for a
//!    look is reported, once.
//! 3. One that is not packed is read when it was not written for a look.
//! 4. What was read is remembered, [`MAX_REMEMBERED`] objects at most; beyond, all that were written before the oldest of
//!    them count as read. Objects that are gone are forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::names;
use super::sink::{Begun, Sink};
use super::{CHUNK_BYTES, Seen, Status, Store, TURN_BYTES};
use crate::clock;

/// Time between looks: objects are minutes old when they come.
const LOOK: Duration = Duration::from_secs(10);
/// Objects remembered, and so objects of a folder that are seen.
const MAX_REMEMBERED: usize = 16_384;
/// Time between savings while objects are read.
const SAVE: Duration = Duration::from_secs(5);

/// Reads until told to stop; then saves.
pub(super) async fn run(mut objects: Objects, stop: CancellationToken) {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut saved = Instant::now();
    loop {
        let has_more = objects.poll(&mut buffer);
        if !has_more || saved.elapsed() >= SAVE {
            objects.save();
            saved = Instant::now();
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::task::yield_now(), if has_more => {}
            () = sleep(LOOK), if !has_more => {}
        }
    }
    objects.save();
}

/// The objects of one folder.
pub(super) struct Objects {
    id: String,
    pattern: String,
    sink: Sink,
    store: Arc<Store>,
    saved: Saved,
    is_saved: bool,
    /// The directories' times at the last look.
    directories: Vec<(PathBuf, Option<SystemTime>)>,
    queue: VecDeque<(PathBuf, Stamp)>,
    reading: Option<Reading>,
}

/// What is kept over a restart.
#[derive(Serialize, Deserialize)]
struct Saved {
    read_before: SystemTime,
    known: BTreeMap<PathBuf, Known>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    written: SystemTime,
    size: u64,
}

/// How far an object was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    /// Unpacked bytes done with.
    offset: u64,
    begun: Begun,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Not read to its end yet.
    Reading,
    /// Read to its end.
    Whole,
    /// It ends too early or cannot be unpacked.
    Broken,
    /// The same, and said so.
    Reported,
}

/// The object being read.
struct Reading {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    /// Bytes that were handed out when this object was read before.
    skip: u64,
    known: Known,
    /// Bytes at the buffer's front that wait for the end of their line.
    kept: Vec<u8>,
}

impl Objects {
    pub fn new(id: String, pattern: String, sink: Sink, store: Arc<Store>) -> Objects {
        let saved = store.load(&id).unwrap_or(Saved {
            read_before: SystemTime::UNIX_EPOCH,
            known: BTreeMap::new(),
        });
        Objects {
            id,
            pattern,
            sink,
            store,
            saved,
            is_saved: true,
            directories: Vec::new(),
            queue: VecDeque::new(),
            reading: None,
        }
    }

    /// A turn of the object at hand, or of the next one; looks for new ones when there is none. True where more is left.
    pub fn poll(&mut self, buffer: &mut [u8]) -> bool {
        if self.reading.is_none() && self.queue.is_empty() {
            self.look();
        }
        if self.reading.is_none() {
            self.open_next();
        }
        if let Some(mut reading) = self.reading.take() {
            self.is_saved = false;
            match reading.turn(buffer, &mut self.sink) {
                Ok(true) => self.reading = Some(reading),
                Ok(false) => self.finish(reading, State::Whole),
                Err(error) => {
                    tracing::debug!(path = %reading.path.display(), %error, "an object ends too early");
                    self.finish(reading, State::Broken);
                }
            }
        }
        let has_more = self.reading.is_some() || !self.queue.is_empty();
        if !has_more {
            self.sink.rest();
        }
        let sizes = self.queue.iter().map(|(_, stamp)| stamp.size);
        let reading = self.reading.iter().map(|reading| reading.known.stamp.size);
        self.sink.status.unread_bytes.store(sizes.chain(reading).sum(), Relaxed);
        has_more
    }

    pub fn save(&mut self) {
        if std::mem::replace(&mut self.is_saved, true) {
            return;
        }
        if let Some(reading) = &self.reading {
            self.saved.known.insert(reading.path.clone(), reading.known.clone());
        }
        if let Err(error) = self.store.save(&self.id, &self.saved) {
            tracing::warn!(log = self.id, %error, "cannot save which objects were read");
        }
    }

    fn look(&mut self) {
        let time = |path: PathBuf| {
            let changed = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
            (path, changed)
        };
        let directories: Vec<_> = names::directories(&self.pattern).into_iter().map(time).collect();
        let is_open = |known: &Known| matches!(known.state, State::Reading | State::Broken | State::Reported);
        let now = clock::now();
        // Within the kernel's tick, or while one is being written, an equal time proves nothing.
        let is_old = |(_, changed): &(_, Option<SystemTime>)| changed.is_some_and(|changed| changed + 2 * LOOK < now);
        if directories == self.directories && directories.iter().all(is_old) && !self.saved.known.values().any(is_open)
        {
            return;
        }
        self.directories = directories;
        let found = names::matching(&self.pattern, MAX_REMEMBERED);
        let fault = found.fault.map(|error| error.to_string());
        let too_many = found
            .too_many
            .then(|| format!("more than {MAX_REMEMBERED} objects; the others are left out"));
        let is_missing = self.directories.iter().any(|(_, changed)| changed.is_none());
        let missing = is_missing.then(|| format!("the folder of {} cannot be read", self.pattern));
        let problem = fault.or(too_many).or(missing);
        self.sink.status.set_up(problem.is_none());
        let is_whole_view = problem.is_none();
        self.sink.status.set_problem(&self.id, problem);
        let mut pending: Vec<_> = found.paths.iter().filter_map(|path| self.pending(path, now)).collect();
        pending.sort_by(|(one, stamp), (other, others)| (stamp.written, one).cmp(&(others.written, other)));
        self.queue.extend(pending);
        if is_whole_view {
            let before = self.saved.known.len();
            self.saved
                .known
                .retain(|path, _| found.paths.binary_search(path).is_ok());
            self.is_saved &= self.saved.known.len() == before;
        }
    }

    /// The object, if it is to be read.
    fn pending(&mut self, path: &Path, now: SystemTime) -> Option<(PathBuf, Stamp)> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let stamp = Stamp {
            written: metadata.modified().ok()?,
            size: metadata.len(),
        };
        if let Some(known) = self.saved.known.get_mut(path) {
            let is_same = known.stamp.size == stamp.size;
            if is_same && known.state == State::Broken {
                known.state = State::Reported;
                self.is_saved = false;
                Status::add(&self.sink.status.dropped, 1);
                tracing::warn!(log = self.id, path = %path.display(), "an object is broken or was not written to its end");
            }
            if is_same && known.state != State::Reading {
                return None;
            }
        } else if stamp.written <= self.saved.read_before {
            return None;
        }
        let may_grow = !is_packed(path) && stamp.written + LOOK > now;
        (!may_grow).then(|| (path.to_owned(), stamp))
    }

    fn open_next(&mut self) {
        let Some((path, stamp)) = self.queue.pop_front() else {
            return;
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            // Gone again, or not ours to read yet: the next look finds it if it is there.
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    self.directories.clear();
                    self.sink.status.set_up(false);
                    self.sink
                        .status
                        .set_problem(&self.id, Some(format!("{}: {error}", path.display())));
                }
                return;
            }
        };
        let input: Box<dyn Read + Send> = if is_packed(&path) {
            Box::new(MultiGzDecoder::new(BufReader::new(file)))
        } else {
            Box::new(file)
        };
        let known = self.saved.known.get(&path).cloned();
        let known = known.map_or_else(|| Known::new(stamp), |known| Known { stamp, ..known });
        self.reading = Some(Reading {
            skip: known.offset,
            path,
            input,
            known,
            kept: Vec::new(),
        });
    }

    fn finish(&mut self, mut reading: Reading, state: State) {
        reading.known.state = state;
        let known = &mut self.saved.known;
        known.insert(reading.path, reading.known);
        if known.len() > MAX_REMEMBERED {
            let oldest = known.iter().min_by_key(|(_, known)| known.stamp.written);
            if let Some((path, written)) = oldest.map(|(path, known)| (path.clone(), known.stamp.written)) {
                known.remove(&path);
                self.saved.read_before = self.saved.read_before.max(written);
            }
        }
    }
}

impl Known {
    fn new(stamp: Stamp) -> Known {
        Known {
            stamp,
            offset: 0,
            begun: Begun::default(),
            state: State::Reading,
        }
    }
}

impl Reading {
    /// Hands out lines for a turn; false at the end.
    fn turn(&mut self, buffer: &mut [u8], sink: &mut Sink) -> io::Result<bool> {
        let mut left = TURN_BYTES;
        while left > 0 {
            let kept = self.kept.len();
            buffer[..kept].copy_from_slice(&self.kept);
            let count = match self.input.read(&mut buffer[kept..]) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            left = left.saturating_sub(count.max(1) as u64);
            // What is before the place reading stopped at was handed out; nothing is kept then.
            let known = self.skip.min(count as u64);
            self.skip -= known;
            self.kept.clear();
            self.hand_out(&buffer[known as usize..kept + count], sink);
            if count == 0 {
                self.end(sink);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn hand_out(&mut self, text: &[u8], sink: &mut Sink) {
        let seen = Seen {
            is_delayed: true,
            file: Some(&self.path),
            ..Seen::default()
        };
        let done = sink.chunk(text, &mut self.known.begun, &seen);
        self.known.offset += done as u64;
        self.kept.extend_from_slice(&text[done..]);
    }

    /// The end of an object ends its last line.
    fn end(&mut self, sink: &mut Sink) {
        let mut rest = std::mem::take(&mut self.kept);
        if !rest.is_empty() {
            rest.push(b'\n');
            self.hand_out(&rest, sink);
            self.known.offset -= 1;
        }
        let seen = Seen {
            is_delayed: true,
            file: Some(&self.path),
            ..Seen::default()
        };
        sink.end(b"", &mut self.known.begun, &seen);
    }
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

#[cfg(test)]
mod tests;
