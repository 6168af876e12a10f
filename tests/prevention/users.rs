//! Users who ask a gateway all the while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::support::http;

/// So many users, each with one request at a time. Dropping them lets them finish it.
pub struct Users {
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    served: AtomicUsize,
    /// The last status of an answer that is no 200; 0 before there is one.
    failed: AtomicU16,
}

impl Users {
    /// They ask for that path until they are dropped.
    pub fn ask(gateway: SocketAddr, path: &'static str, how_many: usize) -> Users {
        let seen = Arc::new(Seen::default());
        let user = |_| {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                while !seen.stop.load(Ordering::SeqCst) {
                    let answer = http::get(gateway, path, &[("User-Agent", "Mozilla/5.0 (X11; Linux) Gecko")]);
                    match answer.map(|answer| answer.status) {
                        Ok(200) => drop(seen.served.fetch_add(1, Ordering::SeqCst)),
                        Ok(status) => seen.failed.store(status, Ordering::SeqCst),
                        // No answer at all is no error of a gateway.
                        Err(_) => {}
                    }
                }
            })
        };
        let threads = (0..how_many).map(user).collect();
        Users { seen, threads }
    }

    /// The last status that was no 200, or 200 where all were; `None` before the first answer.
    pub fn worst(&self) -> Option<u16> {
        match self.seen.failed.load(Ordering::SeqCst) {
            0 => (self.seen.served.load(Ordering::SeqCst) > 0).then_some(200),
            status => Some(status),
        }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}
