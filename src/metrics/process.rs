//! What the process knows of itself: schedule, reloads, panics, and the `process_*` set from `/proc/self`.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::histogram::Histogram;

use super::catalogue::{self, Family};
use super::collect::{Number, sample};
use super::labels::Value;
use crate::clock;

/// Upper bounds of `schedule_lag_seconds`. The promise is a p99 below 50 ms; beyond one second only the size matters.
const LAG_BOUNDS: [f64; 8] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 10.0];

/// What program this is; the labels of `build_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// The version of the package.
    pub version: String,
    /// The commit it was built from, or `unknown`.
    pub revision: String,
    /// The version of the alert rules it ships.
    pub rules_version: String,
    /// Where people reach this instance; empty where it is not configured.
    pub external_url: String,
}

impl Build {
    /// This version and revision, with its own rules and no external URL yet.
    pub fn of(version: &str, revision: &str) -> Build {
        Build {
            version: version.to_owned(),
            revision: revision.to_owned(),
            rules_version: version.to_owned(),
            external_url: String::new(),
        }
    }
}

/// Values of the whole process.
pub(super) struct Process {
    build: Mutex<Build>,
    lag: Histogram,
    pub(super) in_flight: AtomicI64,
    pub(super) rounds_skipped: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) series_dropped: AtomicU64,
    pub(super) discovery_failures: AtomicU64,
    self_connectivity: Mutex<Option<bool>>,
    /// By gateway, seconds since the epoch.
    config_changed: Mutex<Vec<(Arc<str>, f64)>>,
    reload_successful: AtomicBool,
    /// Of the last success; `None` before the first.
    reload_at: Mutex<Option<f64>>,
}

impl Process {
    pub(super) fn new(build: Build) -> Process {
        Process {
            build: Mutex::new(build),
            lag: Histogram::new(LAG_BOUNDS),
            in_flight: AtomicI64::new(0),
            rounds_skipped: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            series_dropped: AtomicU64::new(0),
            discovery_failures: AtomicU64::new(0),
            self_connectivity: Mutex::new(None),
            config_changed: Mutex::default(),
            reload_successful: AtomicBool::new(false),
            reload_at: Mutex::new(None),
        }
    }

    pub(super) fn build(&self) -> Build {
        self.build.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_external_url(&self, url: &str) {
        self.build.lock().unwrap_or_else(PoisonError::into_inner).external_url = url.to_owned();
    }

    pub(super) fn set_self_connectivity(&self, works: Option<bool>) {
        *self.self_connectivity.lock().unwrap_or_else(PoisonError::into_inner) = works;
    }

    pub(super) fn set_config_changed(&self, changed: Vec<(Arc<str>, f64)>) {
        *self.config_changed.lock().unwrap_or_else(PoisonError::into_inner) = changed;
    }

    pub(super) fn schedule_lag(&self, lag: Duration) {
        self.lag.observe(lag.as_secs_f64());
    }

    pub(super) fn config_reloaded(&self, successful: bool, at: SystemTime) {
        self.reload_successful.store(successful, Ordering::Relaxed);
        if successful {
            *self.reload_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::seconds(at));
        }
    }

    /// Writes all families of the process; `pending` is the number of upstreams without a round.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder, pending: u64) -> fmt::Result {
        let build = self.build();
        catalogue::BUILD_INFO.describe(encoder)?.encode_info(&[
            ("version", build.version.as_str()),
            ("revision", build.revision.as_str()),
            ("rules_version", build.rules_version.as_str()),
            ("external_url", build.external_url.as_str()),
        ])?;
        encode_os(encoder)?;
        let reload_at = *self.reload_at.lock().unwrap_or_else(PoisonError::into_inner);
        let successful = self.reload_successful.load(Ordering::Relaxed);
        single(
            encoder,
            &catalogue::CONFIG_SUCCESSFUL,
            Some(Number::Int(u64::from(successful))),
        )?;
        single(encoder, &catalogue::CONFIG_TIMESTAMP, reload_at.map(Number::Float))?;
        self.lag.encode(catalogue::SCHEDULE_LAG.describe(encoder)?)?;
        let in_flight = self.in_flight.load(Ordering::Relaxed).max(0) as u64;
        for (family, value) in [
            (&catalogue::IN_FLIGHT, in_flight),
            (&catalogue::ROUNDS_SKIPPED, self.rounds_skipped.load(Ordering::Relaxed)),
            (&catalogue::PANICS, self.panics.load(Ordering::Relaxed)),
            (
                &catalogue::DISCOVERY_FAILURES,
                self.discovery_failures.load(Ordering::Relaxed),
            ),
            (&catalogue::PENDING, pending),
            (&catalogue::SERIES_DROPPED, self.series_dropped.load(Ordering::Relaxed)),
        ] {
            single(encoder, family, Some(Number::Int(value)))?;
        }
        let works = *self.self_connectivity.lock().unwrap_or_else(PoisonError::into_inner);
        let works = works.map(|works| Number::Int(u64::from(works)));
        single(encoder, &catalogue::SELF_CONNECTIVITY, works)?;
        let mut metric = catalogue::GATEWAY_CONFIG_CHANGED.describe(encoder)?;
        let changed = self
            .config_changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for (gateway, at) in changed {
            let labels = [("gateway", Value::Text(&gateway))];
            let family = &catalogue::GATEWAY_CONFIG_CHANGED;
            sample(&mut metric.encode_family(&labels)?, family, Number::Float(at))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

/// One probe under way; counted out of `probes_in_flight` when dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Process>);

impl InFlight {
    pub(super) fn new(process: &Arc<Process>) -> InFlight {
        process.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(process))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A family with one series without labels; left out where the value is unknown.
fn single(encoder: &mut DescriptorEncoder, family: &Family, value: Option<Number>) -> fmt::Result {
    match value {
        Some(value) => sample(&mut family.describe(encoder)?, family, value),
        None => Ok(()),
    }
}

/// The `process_*` set. What `/proc` does not tell is left out.
fn encode_os(encoder: &mut DescriptorEncoder) -> fmt::Result {
    let Ok(process) = procfs::process::Process::myself() else {
        return Ok(());
    };
    let stat = process.stat().ok();
    let limits = process.limits().ok();
    let ticks = procfs::ticks_per_second() as f64;
    let limit = |value: procfs::process::LimitValue| match value {
        procfs::process::LimitValue::Value(value) => Some(Number::Int(value)),
        procfs::process::LimitValue::Unlimited => None,
    };
    let cpu = stat
        .as_ref()
        .map(|stat| Number::Float((stat.utime + stat.stime) as f64 / ticks));
    let start = stat.as_ref().zip(procfs::boot_time_secs().ok());
    let start = start.map(|(stat, boot)| Number::Float(boot as f64 + stat.starttime as f64 / ticks));
    let int = |value: Option<u64>| value.map(Number::Int);
    for (family, value) in [
        (&catalogue::PROCESS_CPU, cpu),
        (
            &catalogue::PROCESS_OPEN_FDS,
            int(process.fd_count().ok().map(|count| count as u64)),
        ),
        (
            &catalogue::PROCESS_MAX_FDS,
            limits
                .as_ref()
                .and_then(|limits| limit(limits.max_open_files.soft_limit)),
        ),
        (&catalogue::PROCESS_VIRTUAL, int(stat.as_ref().map(|stat| stat.vsize))),
        (
            &catalogue::PROCESS_VIRTUAL_MAX,
            limits
                .as_ref()
                .and_then(|limits| limit(limits.max_address_space.soft_limit)),
        ),
        (
            &catalogue::PROCESS_RESIDENT,
            int(stat.as_ref().map(|stat| stat.rss * procfs::page_size())),
        ),
        (&catalogue::PROCESS_START, start),
        (
            &catalogue::PROCESS_THREADS,
            int(stat.as_ref().map(|stat| stat.num_threads.max(0) as u64)),
        ),
    ] {
        single(encoder, family, value)?;
    }
    Ok(())
}
