//! How the reading of one log goes: figures that the metrics show, shared without locks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How the reading of one log goes. Written by its reader, read by whoever exports it.
#[derive(Debug, Default)]
pub struct Status {
    /// Open and read: `gateway_log_up`.
    pub up: AtomicBool,
    /// Bytes at hand that are not read yet: `gateway_log_unread_bytes`. Files: up to their ends; UDP: the kernel's queue.
    pub unread_bytes: AtomicU64,
    /// Renamed, replaced or truncated files: `gateway_log_rotations_total`.
    pub rotations: AtomicU64,
    /// Lines skipped because they are longer than [`super::MAX_LINE_BYTES`].
    pub too_long: AtomicU64,
    /// Lines skipped because they hold NULs.
    pub binary: AtomicU64,
    /// What could not be taken: datagrams the kernel had no room for, batches answered 503, objects that stay broken.
    pub dropped: AtomicU64,
    /// Files followed now, the rotated ones that are still drained among them; connections for listeners.
    pub open: AtomicU64,
    problem: Mutex<Option<String>>,
    address: Mutex<Option<SocketAddr>>,
}

impl Status {
    /// Why the log is not read, or not whole, in words; `None` while all is well.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what is wrong now; says so in the log when it changes.
    pub(super) fn set_problem(&self, log: &str, problem: Option<String>) {
        let mut current = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == problem {
            return;
        }
        match &problem {
            Some(problem) => tracing::warn!(log, problem, "cannot read a gateway's log"),
            None => tracing::info!(log, "a gateway's log is read again"),
        }
        *current = problem;
    }

    /// Where a listener is bound, the real port where any was asked for.
    pub fn address(&self) -> Option<SocketAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_address(&self, address: Option<SocketAddr>) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    pub(super) fn set_up(&self, up: bool) {
        self.up.store(up, Relaxed);
        if !up {
            self.set_address(None);
        }
    }

    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Relaxed);
    }
}
