//! What the rounds of all hops share.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore};

use crate::history::History;
use crate::metrics::Metrics;
use crate::probe::Prober;
use crate::schedule::Key;

/// What the rounds of all hops share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Makes the probes.
    pub prober: Arc<Prober>,
    /// One permit per probe under way.
    pub slots: Arc<Semaphore>,
    /// One permit per patient probe: those that wait for minutes take no slot from the rounds.
    pub patient: Arc<Semaphore>,
    /// One permit per connection left idle.
    pub idle: Arc<Semaphore>,
    /// Where findings are counted.
    pub metrics: Metrics,
    /// Where findings are kept.
    pub history: Arc<Mutex<History>>,
    /// Asks for a round at once.
    pub forward: Arc<Forward>,
}

/// Hops whose next round is to come at once.
#[derive(Debug, Default)]
pub struct Forward {
    keys: Mutex<Vec<Key>>,
    added: Notify,
}

impl Forward {
    pub(super) fn add(&self, key: Key) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.added.notify_one();
    }

    /// Waits for the next ones.
    pub async fn next(&self) -> Vec<Key> {
        self.added.notified().await;
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
