//! Looks on while a probe is made: the time of its phases over all redirects, and a line for each thing that happens.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::guard::Guard;
use crate::evidence;
use crate::observation::{Address, End, Resolution, Timings};
use crate::probe::Watch;
use crate::server::Phases;

/// Sees one probe.
pub struct Witness<'a> {
    guard: &'a Guard,
    started: Instant,
    seen: Mutex<(Phases, Vec<String>)>,
}

impl<'a> Witness<'a> {
    /// Nothing has happened yet.
    pub fn begin(guard: &'a Guard) -> Self {
        Witness {
            guard,
            started: Instant::now(),
            seen: Mutex::default(),
        }
    }

    /// Notes something with the time since the beginning.
    pub fn say(&self, what: impl AsRef<str>) {
        let at = self.started.elapsed().as_secs_f64();
        self.seen().1.push(format!("{at:9.6} s  {}", what.as_ref()));
    }

    /// A name was looked up.
    pub fn looked_up(&self, resolution: &Resolution) {
        add(&mut self.seen().0.resolve, Some(resolution.elapsed));
        self.say(evidence::of_resolution(resolution));
    }

    /// What was seen.
    pub fn end(self) -> (Phases, Vec<String>) {
        self.seen.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, (Phases, Vec<String>)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Witness<'_> {
    fn allows(&self, host: &str, ip: IpAddr) -> bool {
        self.guard.allows(host, ip)
    }

    fn resolved(&self, resolution: &Resolution) {
        self.looked_up(resolution);
    }

    fn exchanged(&self, address: &Address, timings: &Timings, end: &End) {
        {
            let (phases, _) = &mut *self.seen();
            add(&mut phases.connect, timings.connect);
            add(&mut phases.tls, timings.tls);
            add(&mut phases.processing, timings.first_byte);
            add(&mut phases.transfer, timings.body);
        }
        self.say(match end {
            End::Response(response) => format!("{address} answers with status {}", response.head.status),
            _ => format!("{address} gives no whole answer"),
        });
    }
}

fn add(sum: &mut Option<Duration>, time: Option<Duration>) {
    if let Some(time) = time {
        *sum = Some(sum.unwrap_or_default() + time);
    }
}
