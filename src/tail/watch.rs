//! Waits for changes of files and directories: inotify where it works, a clock where it does not.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};

use super::position::Id;

/// Directories and files watched by one thread at most; `fs.inotify.max_user_watches` is 8,192 on small machines.
const MAX_WATCHES: usize = 4_096;
/// Time between looks where something cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(1);
/// Time between looks where everything is watched: for what inotify does not tell.
const WATCHED: Duration = Duration::from_secs(10);

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Something was written.
    Written,
    /// Names may have changed too.
    Names,
}

/// The watches of one thread.
pub(super) struct Watch {
    inotify: Option<(EventStream<[u8; 4096]>, Watches)>,
    directories: HashMap<PathBuf, WatchDescriptor>,
    files: HashMap<Id, WatchDescriptor>,
    is_complete: bool,
}

impl Watch {
    /// Needs a runtime; does without inotify where the system refuses it.
    pub fn new() -> Watch {
        let stream = Inotify::init().and_then(|inotify| inotify.into_event_stream([0; 4096]));
        let inotify = match stream {
            Ok(stream) => {
                let watches = stream.watches();
                Some((stream, watches))
            }
            Err(error) => {
                tracing::warn!(%error, "cannot watch log files for changes; they are looked at every second");
                None
            }
        };
        Watch {
            inotify,
            directories: HashMap::new(),
            files: HashMap::new(),
            is_complete: false,
        }
    }

    /// Watches exactly these. A file is watched by its descriptor, so under whatever name it has.
    pub fn set<'a>(&mut self, directories: HashSet<PathBuf>, files: impl Iterator<Item = (Id, &'a File, bool)>) {
        let Some((_, watches)) = &mut self.inotify else { return };
        let names = WatchMask::CREATE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        self.is_complete = true;
        self.directories.retain(|path, watch| {
            let stays = directories.contains(path);
            if !stays {
                let _ = watches.remove(watch.clone());
            }
            stays
        });
        // Each again: one that was replaced has lost its watch, and for the others nothing changes.
        for path in directories {
            match watches.add(&path, names) {
                Ok(watch) => drop(self.directories.insert(path, watch)),
                Err(_) => self.is_complete = false,
            }
        }
        let mut wanted = HashSet::new();
        for (id, file, is_remote) in files {
            wanted.insert(id);
            self.is_complete &= !is_remote;
            if self.files.contains_key(&id) {
                continue;
            }
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let added = (self.files.len() < MAX_WATCHES).then(|| watches.add(path, WatchMask::MODIFY));
            match added {
                Some(Ok(watch)) => drop(self.files.insert(id, watch)),
                _ => self.is_complete = false,
            }
        }
        self.files.retain(|id, watch| {
            let stays = wanted.contains(id);
            if !stays {
                let _ = watches.remove(watch.clone());
            }
            stays
        });
    }

    /// The longest time until the next look.
    pub fn patience(&self) -> Duration {
        if self.is_complete { WATCHED } else { UNWATCHED }
    }

    /// Waits for a change and takes in all that are at hand.
    pub async fn changed(&mut self) -> Change {
        let Some((stream, _)) = &mut self.inotify else {
            return std::future::pending().await;
        };
        let mut change = Change::Written;
        let mut next = stream.next().await;
        loop {
            match next {
                Some(Ok(event)) if event.mask == EventMask::MODIFY => {}
                Some(Ok(event)) => {
                    change = Change::Names;
                    if event.mask.contains(EventMask::IGNORED) {
                        self.files.retain(|_, watch| *watch != event.wd);
                        self.directories.retain(|_, watch| *watch != event.wd);
                    }
                }
                Some(Err(_)) | None => {
                    self.inotify = None;
                    self.is_complete = false;
                    return Change::Names;
                }
            }
            let mut at_hand = stream.next();
            match futures_util::FutureExt::now_or_never(&mut at_hand) {
                Some(event) => next = event,
                None => return change,
            }
        }
    }
}
