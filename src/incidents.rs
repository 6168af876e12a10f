//! The incidents of all upstreams: kept in memory, and where `storage` is configured, in a file that survives restarts.
//!
//! Memory holds what is true. A thread writes what changed: at once what begins, goes on or ends, within half a minute
//! what is only counted. Where the disk is full or gone, nothing waits for it; the whole is written once it is back.

mod file;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tracing::{error, info, warn};

use crate::evidence::Evidence;
use crate::incident::{Ended, Ending, Incident, Marker, MarkerKind, WithChanges};
use crate::verdict::Diagnosis;

use file::File;
pub use file::read;

/// Incidents that have ended are kept up to this number, the latest.
const MAX_ENDED: usize = 2_000;
/// Changes are kept up to this number, the latest.
const MAX_MARKERS: usize = 1_000;
/// What is only counted is written this often.
const FLUSH_EVERY: Duration = Duration::from_secs(30);
/// A disk that refused is asked again after this.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// An open incident that nobody watched for this long has ended for us.
const UNWATCHED: Duration = Duration::from_secs(24 * 3600);
/// The same version seen again within this time, at another hop or address, is the same change.
const SAME_CHANGE: Duration = Duration::from_secs(15 * 60);

/// Everything that is known of incidents, and how they are kept.
pub struct Incidents {
    shared: Arc<Mutex<Ledger>>,
    /// Wakes the writer; `None` without a file.
    writer: Mutex<Option<Writer>>,
}

struct Writer {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Ledger {
    incidents: BTreeMap<u64, Incident>,
    markers: VecDeque<Marker>,
    next: u64,
    /// Changed since they were written.
    changed: BTreeSet<u64>,
    new_markers: Vec<Marker>,
}

/// What is in the file of incidents.
#[derive(Debug, Default, PartialEq)]
pub struct Kept {
    /// By number.
    pub incidents: BTreeMap<u64, Incident>,
    /// Changes, in the order they were told.
    pub markers: Vec<Marker>,
    /// Lines that could not be understood.
    pub damaged: usize,
}

impl Default for Incidents {
    /// In memory only.
    fn default() -> Self {
        Incidents {
            shared: Arc::default(),
            writer: Mutex::default(),
        }
    }
}

impl fmt::Debug for Incidents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incidents({} kept)", self.ledger().incidents.len())
    }
}

impl Incidents {
    /// Those kept in this directory, at most about `max_bytes` of them. Where that cannot be used, or another process
    /// uses it, they live in memory only; one line in the log says so.
    pub fn open(directory: &Path, max_bytes: u64, now: SystemTime) -> Incidents {
        let (file, kept) = match File::open(directory, max_bytes) {
            Ok(opened) => opened,
            Err(error) => {
                error!(path = %directory.display(), %error, "incidents cannot be kept there; a restart will forget them");
                return Incidents::default();
            }
        };
        let mut ledger = Ledger {
            next: kept.incidents.last_key_value().map_or(0, |(last, _)| *last + 1),
            incidents: kept.incidents,
            markers: kept.markers.into(),
            ..Ledger::default()
        };
        if kept.damaged > 0 {
            warn!(path = %directory.display(), lines = kept.damaged, "lines of the file of incidents are damaged; they are left out");
        }
        ledger.end_unwatched(now);
        ledger.forget_old();
        info!(path = %directory.display(), incidents = ledger.incidents.len(), "incidents are kept");
        let shared = Arc::new(Mutex::new(ledger));
        let (wake, woken) = sync_channel(1);
        let thread = std::thread::Builder::new().name("incidents".into()).spawn({
            let shared = Arc::clone(&shared);
            move || write_changes(&shared, file, |wait| woken.recv_timeout(wait))
        });
        match thread {
            Ok(thread) => Incidents {
                shared,
                writer: Mutex::new(Some(Writer { wake, thread })),
            },
            Err(error) => {
                error!(%error, "no thread to write incidents with; a restart will forget them");
                Incidents {
                    shared,
                    writer: Mutex::default(),
                }
            }
        }
    }

    /// An incident begins; its number. `first` is the failure that began it.
    pub fn begin(
        &self,
        upstream: &Arc<str>,
        at: SystemTime,
        diagnosis: &Diagnosis,
        first: Option<Arc<Evidence>>,
    ) -> u64 {
        let mut ledger = self.ledger();
        let id = ledger.next;
        ledger.next += 1;
        let incident = Incident::begin(id, Arc::clone(upstream), at, diagnosis, first);
        ledger.incidents.insert(id, incident);
        ledger.changed.insert(id);
        ledger.forget_old();
        drop(ledger);
        self.wake();
        id
    }

    /// The incident of this upstream that was open when the program ended before. It goes on; the time in between is
    /// noted as unwatched.
    pub fn resume(&self, upstream: &str, now: SystemTime) -> Option<u64> {
        let mut ledger = self.ledger();
        let mut open = ledger.incidents.values_mut().rev();
        let incident = open.find(|incident| incident.is_open() && *incident.upstream == *upstream)?;
        let id = incident.id;
        incident.unwatched_seconds += now.duration_since(incident.seen).unwrap_or_default().as_secs();
        incident.seen = now;
        ledger.changed.insert(id);
        Some(id)
    }

    /// Something else is said of its upstream now.
    pub fn step(&self, id: u64, at: SystemTime, diagnosis: &Diagnosis) {
        self.change(id, |incident| incident.step(at, diagnosis));
        self.wake();
    }

    /// It ended.
    pub fn end(&self, id: u64, at: SystemTime, how: Ending) {
        self.change(id, |incident| {
            incident.seen = at;
            incident.end = Some(Ended { at, how });
        });
        self.wake();
    }

    /// A probe failed meanwhile; first attempts of rounds are counted.
    pub fn failed(&self, id: u64, evidence: &Arc<Evidence>, counts: bool) {
        self.change(id, |incident| incident.failed(evidence, counts));
    }

    /// Real requests meanwhile.
    pub fn requests(&self, id: u64, total: u64, failed: u64) {
        self.change(id, |incident| {
            incident.requests.total += total;
            incident.requests.failed += failed;
        });
    }

    /// Something changed. A version that was seen a moment ago at another place is the same change; false then.
    pub fn mark(&self, marker: Marker) -> bool {
        let mut ledger = self.ledger();
        let is_same = |known: &Marker| {
            let near = marker.at.duration_since(known.at).is_ok_and(|time| time < SAME_CHANGE);
            near && (known.kind, &known.upstream, &known.text) == (marker.kind, &marker.upstream, &marker.text)
        };
        if marker.kind == MarkerKind::Version && ledger.markers.iter().any(is_same) {
            return false;
        }
        ledger.markers.push_back(marker.clone());
        ledger.new_markers.push(marker);
        if ledger.markers.len() > MAX_MARKERS {
            ledger.markers.pop_front();
        }
        drop(ledger);
        self.wake();
        true
    }

    /// Those that were open at `since` or began after it, the latest first, with what changed beside them.
    pub fn list(&self, since: SystemTime, upstream: Option<&str>, now: SystemTime) -> Vec<WithChanges> {
        let ledger = self.ledger();
        select(&ledger.incidents, since, upstream)
            .map(|incident| incident.with_changes(ledger.markers.iter(), now))
            .collect()
    }

    /// Changes of this upstream and of all, the latest first.
    pub fn changes(&self, upstream: &str, most: usize) -> Vec<Marker> {
        let ledger = self.ledger();
        let concerns = |marker: &&Marker| marker.upstream.as_deref().is_none_or(|name| name == upstream);
        ledger
            .markers
            .iter()
            .rev()
            .filter(concerns)
            .take(most)
            .cloned()
            .collect()
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Incident)) {
        let mut ledger = self.ledger();
        if let Some(incident) = ledger.incidents.get_mut(&id) {
            change(incident);
            ledger.changed.insert(id);
        }
    }

    fn wake(&self) {
        if let Some(writer) = &*self.writer() {
            match writer.wake.try_send(()) {
                // Full: it is awake, or about to be.
                Ok(()) | Err(TrySendError::Full(())) => {}
                Err(TrySendError::Disconnected(())) => error!("the thread that writes incidents has ended"),
            }
        }
    }

    /// Waits until all is written; what comes later stays in memory.
    pub fn close(&self) {
        if let Some(Writer { wake, thread }) = self.writer().take() {
            drop(wake);
            let _ = thread.join();
        }
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.shared)
    }
}

impl Drop for Incidents {
    fn drop(&mut self) {
        self.close();
    }
}

impl Kept {
    /// As [`Incidents::list`].
    pub fn list(&self, since: SystemTime, upstream: Option<&str>, now: SystemTime) -> Vec<WithChanges> {
        select(&self.incidents, since, upstream)
            .map(|incident| incident.with_changes(self.markers.iter(), now))
            .collect()
    }
}

fn select<'a>(
    incidents: &'a BTreeMap<u64, Incident>,
    since: SystemTime,
    upstream: Option<&'a str>,
) -> impl Iterator<Item = &'a Incident> {
    incidents
        .values()
        .rev()
        .filter(move |incident| incident.end.is_none_or(|end| end.at >= since))
        .filter(move |incident| upstream.is_none_or(|name| *incident.upstream == *name))
}

impl Ledger {
    fn end_unwatched(&mut self, now: SystemTime) {
        for incident in self.incidents.values_mut().filter(|incident| incident.is_open()) {
            if now.duration_since(incident.seen).is_ok_and(|time| time > UNWATCHED) {
                incident.end = Some(Ended {
                    at: incident.seen,
                    how: Ending::Unwatched,
                });
                self.changed.insert(incident.id);
            }
        }
    }

    /// Forgets the oldest that have ended, where there are too many.
    fn forget_old(&mut self) {
        let ended: Vec<u64> = self
            .incidents
            .values()
            .filter(|incident| !incident.is_open())
            .map(|incident| incident.id)
            .collect();
        for id in ended.iter().take(ended.len().saturating_sub(MAX_ENDED)) {
            self.incidents.remove(id);
            self.changed.remove(id);
        }
    }
}

/// The writer: until nobody can wake it any more, and then once again.
fn write_changes(
    shared: &Mutex<Ledger>,
    mut file: File,
    mut wait: impl FnMut(Duration) -> Result<(), RecvTimeoutError>,
) {
    let mut refused = false;
    loop {
        let woken = wait(if refused { RETRY_AFTER } else { FLUSH_EVERY });
        let ended = woken == Err(RecvTimeoutError::Disconnected);
        // A disk that refused is given time, whoever wakes us.
        if refused && woken.is_ok() {
            std::thread::sleep(RETRY_AFTER.min(Duration::from_millis(200)));
        }
        let result = match refused || file.is_full() {
            true => rewrite(shared, &mut file),
            false => append(shared, &mut file),
        };
        match (&result, refused) {
            (Err(error), false) => {
                error!(%error, "incidents cannot be written; they are kept in memory until they can")
            }
            (Ok(()), true) => info!("incidents are written again"),
            _ => {}
        }
        refused = result.is_err();
        if ended {
            return;
        }
    }
}

fn append(shared: &Mutex<Ledger>, file: &mut File) -> std::io::Result<()> {
    let (incidents, markers) = {
        let mut ledger = lock(shared);
        let changed = std::mem::take(&mut ledger.changed);
        let incidents: Vec<Incident> = changed
            .iter()
            .filter_map(|id| ledger.incidents.get(id).cloned())
            .collect();
        (incidents, std::mem::take(&mut ledger.new_markers))
    };
    file.append(&incidents, &markers)
}

/// All that is in memory takes the place of the file.
fn rewrite(shared: &Mutex<Ledger>, file: &mut File) -> std::io::Result<()> {
    let (incidents, markers) = {
        let mut ledger = lock(shared);
        ledger.changed.clear();
        ledger.new_markers.clear();
        let incidents: Vec<Incident> = ledger.incidents.values().cloned().collect();
        (incidents, ledger.markers.iter().cloned().collect::<Vec<_>>())
    };
    file.rewrite(&incidents, &markers)
}

fn lock(shared: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where incidents are kept below the directory of `storage`.
pub fn path_in(directory: &Path) -> PathBuf {
    directory.join("incidents.jsonl")
}

/// The configuration file of a gateway was written, as a marker.
pub fn gateway_config_changed(gateway: &str, at: SystemTime) -> Marker {
    Marker {
        at,
        kind: MarkerKind::GatewayConfig,
        upstream: None,
        text: format!("the configuration of {gateway} was written").into(),
        link: None,
    }
}

/// The answers of a hop name another version than before, as a marker.
pub fn version_changed(upstream: &Arc<str>, from: Option<&str>, to: &str, at: SystemTime) -> Marker {
    let from = from.map(|from| format!(" after {from}")).unwrap_or_default();
    Marker {
        at,
        kind: MarkerKind::Version,
        upstream: Some(Arc::clone(upstream)),
        text: format!("version {to} answers{from}").into(),
        link: None,
    }
}

/// The configuration of this program changed, as a marker.
pub fn configuration_changed(at: SystemTime) -> Marker {
    Marker {
        at,
        kind: MarkerKind::Configuration,
        upstream: None,
        text: "badgateway took over a new configuration".into(),
        link: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::tests::{at, evidence, said};
    use crate::verdict::{Impact, Verdict};

    fn down() -> Diagnosis {
        said(Verdict::OriginDown, Impact::Users)
    }

    fn open(directory: &Path, seconds: u64) -> Incidents {
        Incidents::open(directory, 1 << 20, at(seconds))
    }

    #[test]
    fn an_open_incident_goes_on_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let upstream: Arc<str> = "shop".into();
        let incidents = open(directory.path(), 0);
        let id = incidents.begin(&upstream, at(0), &down(), Some(evidence(0)));
        incidents.failed(id, &evidence(10), true);
        incidents.requests(id, 100, 40);
        drop(incidents);

        let incidents = open(directory.path(), 60);
        assert_eq!(incidents.resume("shop", at(60)), Some(id));
        assert_eq!(incidents.resume("other", at(60)), None);
        incidents.end(id, at(70), Ending::Recovered);
        let second = incidents.begin(&upstream, at(80), &down(), None);
        assert!(second > id);
        drop(incidents);

        let kept = read(&path_in(directory.path())).unwrap();
        let shown = kept.list(at(0), Some("shop"), at(100));
        let numbers: Vec<u64> = shown.iter().map(|shown| shown.incident.id).collect();
        assert_eq!(numbers, [second, id]);
        let first = &shown[1].incident;
        assert_eq!(first.unwatched_seconds, 50);
        assert_eq!((first.requests.total, first.requests.failed), (100, 40));
        assert_eq!(first.probes[0].failed, 1);
        assert_eq!(
            first.end,
            Some(Ended {
                at: at(70),
                how: Ending::Recovered
            })
        );
        assert_eq!(
            kept.list(at(75), None, at(100)).len(),
            1,
            "one that ended before is left out"
        );
    }

    #[test]
    fn what_nobody_watched_for_a_day_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let incidents = open(directory.path(), 0);
        incidents.begin(&"shop".into(), at(0), &down(), None);
        drop(incidents);
        let incidents = open(directory.path(), 25 * 3600);
        assert_eq!(incidents.resume("shop", at(25 * 3600)), None);
        let shown = incidents.list(at(0), None, at(25 * 3600));
        assert_eq!(
            shown[0].incident.end,
            Some(Ended {
                at: at(0),
                how: Ending::Unwatched
            })
        );
    }

    #[test]
    fn the_second_process_keeps_its_incidents_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path(), 0);
        let second = open(directory.path(), 0);
        assert!(first.writer().is_some() && second.writer().is_none());
        second.begin(&"shop".into(), at(0), &down(), None);
        assert_eq!(second.list(at(0), None, at(1)).len(), 1);
        drop((first, second));
        assert_eq!(read(&path_in(directory.path())).unwrap().incidents.len(), 0);
    }

    #[test]
    fn memory_is_bounded_and_open_ones_stay() {
        let incidents = Incidents::default();
        let open = incidents.begin(&"open".into(), at(0), &down(), None);
        for _ in 0..MAX_ENDED + 5 {
            let id = incidents.begin(&"shop".into(), at(1), &down(), None);
            incidents.end(id, at(2), Ending::Recovered);
        }
        let kept = incidents.list(at(0), None, at(3));
        assert!(kept.len() <= MAX_ENDED + 2, "{}", kept.len());
        assert!(kept.iter().any(|shown| shown.incident.id == open));
        for number in 0..MAX_MARKERS + 5 {
            incidents.mark(Marker {
                text: number.to_string().into(),
                ..configuration_changed(at(1))
            });
        }
        assert_eq!(incidents.changes("shop", usize::MAX).len(), MAX_MARKERS);
    }

    #[test]
    fn a_version_seen_at_every_address_is_one_change() {
        let incidents = Incidents::default();
        let version = |seconds| Marker {
            at: at(seconds),
            kind: MarkerKind::Version,
            upstream: Some("shop".into()),
            text: "version 1 to 2".into(),
            link: None,
        };
        assert!(incidents.mark(version(0)));
        assert!(!incidents.mark(version(5)));
        assert!(incidents.mark(version(5000)), "back and forth within hours are two");
    }
}
