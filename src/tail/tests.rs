//! The reader of files on a real file system, one pass at a time: nothing here waits.

mod model;
mod rotation;
mod running;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::follow::Follower;
use super::sink::Sink;
use super::{CHUNK_BYTES, Envelope, From, Lines, Seen, SkippedLine, Status, Store};

/// Keeps what it is given.
#[derive(Clone, Default)]
pub(super) struct Taken(Arc<Mutex<Vec<String>>>);

impl Taken {
    /// What came since the last call.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Lines for Taken {
    fn line(&mut self, line: &[u8], seen: &Seen<'_>) {
        let mut text = String::from_utf8_lossy(line).into_owned();
        if seen.is_cut {
            text.push_str(" (cut)");
        }
        self.0.lock().unwrap().push(text);
    }

    fn skipped(&mut self, line: &SkippedLine<'_>) {
        self.0.lock().unwrap().push(format!("{:?}: {}", line.why, line.sample));
    }
}

/// A reader, its store and a directory of logs.
struct Rig {
    directory: TempDir,
    store: Arc<Store>,
    taken: Taken,
    status: Arc<Status>,
    follower: Follower,
    pattern: String,
    envelope: Envelope,
    from: From,
    now: Instant,
    buffer: Vec<u8>,
}

impl Rig {
    fn new(pattern: &str, from: From, envelope: Envelope) -> Rig {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("logs")).unwrap();
        let store = Arc::new(Store::open(Some(&directory.path().join("storage"))).unwrap());
        let pattern = directory.path().join("logs").join(pattern).to_str().unwrap().to_owned();
        let (taken, status) = (Taken::default(), Arc::new(Status::default()));
        let follower = follower(&pattern, from, envelope, &store, &taken, &status);
        Rig {
            directory,
            store,
            taken,
            status,
            follower,
            pattern,
            envelope,
            from,
            now: Instant::now(),
            buffer: vec![0; CHUNK_BYTES],
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    /// Passes until nothing is left; what came.
    fn poll(&mut self) -> Vec<String> {
        let mut look = true;
        loop {
            self.follower.note(self.now, look, &mut self.buffer);
            if !self.follower.read(self.now, &mut self.buffer) {
                break;
            }
            look = false;
        }
        self.taken.take()
    }

    /// Stops and starts the reader.
    fn restart(&mut self) {
        self.follower.save();
        self.crash();
    }

    /// Starts it anew from what was last saved.
    fn crash(&mut self) {
        self.follower = follower(
            &self.pattern,
            self.from,
            self.envelope,
            &self.store,
            &self.taken,
            &self.status,
        );
    }

    fn later(&mut self, time: Duration) {
        self.now += time;
    }

    fn is_up(&self) -> bool {
        self.status.up.load(Relaxed)
    }
}

fn follower(
    pattern: &str,
    from: From,
    envelope: Envelope,
    store: &Arc<Store>,
    taken: &Taken,
    status: &Arc<Status>,
) -> Follower {
    let sink = Sink::new(Box::new(taken.clone()), Arc::clone(status), envelope);
    Follower::new("edge/access".into(), pattern.into(), from, sink, Arc::clone(store))
}

fn append(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_ref()).unwrap();
}
