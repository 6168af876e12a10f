//! A group of logs and the thread that reads them.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use super::follow::Follower;
use super::objects::Objects;
use super::sink::Sink;
use super::{Envelope, Log, Source, Status, Store, files, listen, objects, post, stdin};

/// A group that is being read. Dropping it stops the reading without waiting for the last positions to be saved.
pub struct Running {
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl Running {
    /// Ready when the thread has ended: by [`Self::stop`], or because a reader failed, which is a fault of this program.
    pub async fn ended(&mut self) {
        // Sent or dropped, it is over.
        let _ = (&mut self.ended).await;
    }

    /// Stops reading and waits until the positions are saved. Another group may then read the same logs on.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.ended().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Reads a group of logs on a thread of their own until it is stopped. Nothing that is wrong with a log ends it: files
/// are waited for, addresses are tried again, and [`Status`] says so.
///
/// # Errors
/// The system gives no thread or no runtime.
pub fn start(name: &str, logs: Vec<Log>, store: Arc<Store>) -> io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = CancellationToken::new();
    let (sender, ended) = oneshot::channel();
    let token = stop.clone();
    thread::Builder::new().name(format!("logs {name}")).spawn(move || {
        LocalSet::new().block_on(&runtime, read(logs, store, token));
        let _ = sender.send(());
    })?;
    Ok(Running { stop, ended })
}

/// Reads until told to stop, or until a reader fails.
async fn read(logs: Vec<Log>, store: Arc<Store>, stop: CancellationToken) {
    let statuses: Vec<Arc<Status>> = logs.iter().map(|log| Arc::clone(&log.status)).collect();
    let mut readers = JoinSet::new();
    let mut followers = Vec::new();
    for log in logs {
        let Log {
            id,
            source,
            envelope,
            lines,
            status,
        } = log;
        let envelope = if matches!(source, Source::Syslog(_)) {
            Envelope::Syslog
        } else {
            envelope
        };
        let sink = Sink::new(lines, status, envelope);
        let stop = stop.clone();
        match source {
            Source::Files { pattern, from } => {
                followers.push(Follower::new(id, pattern, from, sink, Arc::clone(&store)))
            }
            Source::Syslog(listener) => drop(readers.spawn_local(listen::run(id, listener, sink, stop))),
            Source::Http(address) => drop(readers.spawn_local(post::run(id, address, sink, stop))),
            Source::Drop { pattern } => {
                let objects = Objects::new(id, pattern, sink, Arc::clone(&store));
                drop(readers.spawn_local(objects::run(objects, stop)));
            }
            Source::Stdin => drop(readers.spawn_local(stdin::run(sink, stop))),
        }
    }
    if !followers.is_empty() {
        readers.spawn_local(files::run(followers, stop.clone()));
    }
    while let Some(ended) = readers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a reader of logs failed");
            stop.cancel();
        }
    }
    // Standard input may have ended; that is no failure.
    stop.cancelled().await;
    statuses.iter().for_each(|status| status.set_up(false));
}
