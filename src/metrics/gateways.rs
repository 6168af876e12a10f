//! What gateway logs say: requests, responses and failures of real traffic, and how reading the logs goes.
//!
//! A gateway's values stand in one table; a line of its log takes the table's lock once, and a page copies it out.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;

use super::Tables;
use super::catalogue::{self, Family};
use super::collect::{Number, sample};
use super::labels::Value;
use super::latency::{write_head, write_histogram};
use super::marks::{Counted, Marks};
use super::process::Process;
use super::values::{Codes, Histogram, Ratio};
use crate::cause::Cause;
use crate::finding::limits::LOGGED;

/// The label of traffic that belongs to no upstream.
const OTHER: &str = "other";
/// Backends of one gateway with series of their own.
const MAX_BACKENDS: usize = 64;
/// Series of failed attempts of one gateway.
const MAX_ATTEMPT_SERIES: usize = 1000;
/// Of these for backends by name; the others together may need one for each cause.
const MAX_OWN_SERIES: usize = MAX_ATTEMPT_SERIES - Cause::ALL.len();
/// A backend unseen for so long frees its place, seconds.
const FORGET: u64 = 3600;

/// The metrics of one gateway's logs. Stays valid over a reload as long as the gateway and its upstreams do.
#[derive(Debug)]
pub struct GatewayMetrics {
    name: Arc<str>,
    process: Arc<Process>,
    state: Mutex<State>,
    logs: Mutex<Vec<(&'static str, LogSource)>>,
}

/// How one log is read, asked when a page is written.
pub type LogSource = Arc<dyn ReadingLog>;

/// How one log is read.
pub trait ReadingLog: fmt::Debug + Send + Sync {
    /// The figures now.
    fn reading(&self) -> Reading;
}

/// How one log is read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Open and read.
    pub up: bool,
    /// Lines understood.
    pub parsed: u64,
    /// Lines not understood, those skipped included.
    pub unparsed: u64,
    /// Bytes written and not read; `None` where nobody can tell.
    pub unread_bytes: Option<u64>,
    /// When the last line came, seconds since the epoch; `None` before the first.
    pub last_line: Option<f64>,
    /// Times the file was replaced or cut; `None` where there is no file.
    pub rotations: Option<u64>,
}

impl Reading {
    /// Both together: read while each of them is, and as late as the later one.
    fn with(&self, other: &Reading) -> Reading {
        let sum = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).reduce(|one, other| one + other);
        Reading {
            up: self.up && other.up,
            parsed: self.parsed + other.parsed,
            unparsed: self.unparsed + other.unparsed,
            unread_bytes: sum(self.unread_bytes, other.unread_bytes),
            last_line: self.last_line.into_iter().chain(other.last_line).reduce(f64::max),
            rotations: sum(self.rotations, other.rotations),
        }
    }
}

#[derive(Debug)]
struct State {
    /// What the kind can state, sorted.
    causes: Vec<Cause>,
    /// In the order they were given.
    pairs: Vec<Pair>,
    /// Belongs to nobody; shown once something was counted.
    other: Pair,
    backends: HashMap<Box<[u8]>, Backend>,
    attempt_series: usize,
}

/// One gateway and one upstream.
#[derive(Clone, Debug)]
struct Pair {
    upstream: Arc<str>,
    user_view: bool,
    requests: u64,
    codes: Codes,
    /// Sorted by cause.
    failed: Vec<(Cause, u64)>,
    retries: u64,
    client_closed: u64,
    synthetic: u64,
    ratio: Ratio,
    latency: Histogram,
    /// By [`LOGGED`]; `None` where no line told of it yet, or the gateway has no such limit.
    near: [Option<u64>; LOGGED.len()],
    stale_backends: Option<u64>,
    retry_marks: Marks,
}

#[derive(Clone, Debug)]
struct Backend {
    label: Arc<str>,
    failed: Vec<(Cause, u64)>,
    last_seen: u64,
}

/// A request as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct LoggedRequest {
    /// Index of the upstream, in the order given; anything else is `other`.
    pub upstream: usize,
    /// When it was read, seconds since the epoch.
    pub at: u64,
    /// What the client got; `None` where no status was sent.
    pub status: Option<u16>,
    /// Why it failed.
    pub failed: Option<Cause>,
    /// The client left before the answer.
    pub client_closed: bool,
    /// Attempts after the first.
    pub retries: u32,
    /// How long the backends took.
    pub backend_time: Option<Duration>,
    /// By [`LOGGED`]: whether it took 80 % or more of that limit; `None` where its line does not say it, or there is none.
    pub near: [Option<bool>; LOGGED.len()],
}

/// What a gateway's log says of one upstream's real traffic, since the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoggedTraffic {
    /// It is the outermost gateway of the upstream that is read live.
    pub user_view: bool,
    /// Requests.
    pub requests: u64,
    /// Those whose final outcome was a failure.
    pub failed: u64,
    /// Further attempts of the gateway.
    pub retries: u64,
    /// Requests whose client left.
    pub client_closed: u64,
    /// 502s per request over the last five minutes; `None` without requests.
    pub bad_gateway_ratio: Option<f64>,
    /// Backends in use that the origin's name no longer gives; `None` where that cannot be told.
    pub stale_backends: Option<u64>,
    /// Requests and retries of the last 10 to 20 minutes.
    pub lately: Counted,
    /// Those of the hour before that, or of what there is of it.
    pub before: Counted,
}

impl GatewayMetrics {
    pub(super) fn new(
        name: Arc<str>,
        upstreams: &[(Arc<str>, bool)],
        causes: &[Cause],
        old: Option<&GatewayMetrics>,
        process: &Arc<Process>,
    ) -> GatewayMetrics {
        let causes = sorted(causes);
        let before = old.map(|old| old.state());
        let pair = |name: &Arc<str>, user_view: bool| {
            let known = before
                .as_ref()
                .and_then(|before| before.pairs.iter().find(|pair| pair.upstream == *name).cloned());
            Pair {
                user_view,
                ..known.unwrap_or_else(|| Pair::new(name.clone(), &causes))
            }
        };
        let pairs = upstreams
            .iter()
            .map(|(name, user_view)| pair(name, *user_view))
            .collect();
        let state = State {
            pairs,
            other: match &before {
                Some(before) => before.other.clone(),
                None => Pair::new(OTHER.into(), &causes),
            },
            backends: before
                .as_ref()
                .map(|before| before.backends.clone())
                .unwrap_or_default(),
            attempt_series: before.as_ref().map_or(0, |before| before.attempt_series),
            causes,
        };
        drop(before);
        GatewayMetrics {
            name,
            process: Arc::clone(process),
            state: Mutex::new(state),
            logs: Mutex::default(),
        }
    }

    fn is_of(&self, upstreams: &[(Arc<str>, bool)], causes: &[Cause]) -> bool {
        let state = self.state();
        let pairs = state.pairs.iter().map(|pair| (&pair.upstream, pair.user_view));
        pairs.eq(upstreams.iter().map(|(name, user_view)| (name, *user_view))) && state.causes == sorted(causes)
    }

    /// The gateway's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Shows how these logs are read, in place of those shown before.
    pub fn reads(&self, logs: Vec<(&'static str, LogSource)>) {
        *self.logs.lock().unwrap_or_else(PoisonError::into_inner) = logs;
    }

    /// Lines of all its logs, as they are shown.
    pub fn lines(&self) -> u64 {
        self.readings()
            .iter()
            .map(|(_, reading)| reading.parsed + reading.unparsed)
            .sum()
    }

    /// Counts requests.
    pub fn requests(&self, requests: &[LoggedRequest]) {
        let mut state = self.state();
        let dropped = requests.iter().filter(|request| !state.request(request)).count();
        self.process.series_dropped.fetch_add(dropped as u64, Ordering::Relaxed);
    }

    /// A request counted before turned out to have failed.
    pub fn failed_after_all(&self, upstream: usize, cause: Cause) {
        let mut state = self.state();
        let State { pairs, other, .. } = &mut *state;
        pairs.get_mut(upstream).unwrap_or(other).fail(cause);
    }

    /// How many of the upstream's backends in use its name no longer gives; `None` where that cannot be told. True where that
    /// is another number than before.
    pub fn stale_backends(&self, upstream: usize, count: Option<usize>) -> bool {
        let count = count.map(|count| count as u64);
        let mut state = self.state();
        let pair = state.pairs.get_mut(upstream);
        pair.is_some_and(|pair| std::mem::replace(&mut pair.stale_backends, count) != count)
    }

    /// Marks what is counted by now, so that retries of late can be told from those before; `now` in seconds since the epoch.
    /// To be called more often than every ten minutes.
    pub fn mark(&self, now: u64) {
        for pair in &mut self.state().pairs {
            pair.retry_marks.mark(now, pair.counted());
        }
    }

    /// Counts a probe or health check.
    pub fn synthetic(&self, upstream: usize) {
        let mut state = self.state();
        let State { pairs, other, .. } = &mut *state;
        pairs.get_mut(upstream).unwrap_or(other).synthetic += 1;
    }

    /// Counts a failed attempt, seen at `at`, seconds since the epoch.
    pub fn attempt(&self, backend: &[u8], cause: Cause, at: u64) {
        let mut state = self.state();
        if !state.attempt(backend, cause, at) {
            self.process.series_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests of an upstream, and those that failed.
    pub fn totals(&self, upstream: usize) -> (u64, u64) {
        let state = self.state();
        let pair = state.pairs.get(upstream).unwrap_or(&state.other);
        (pair.requests, pair.failed.iter().map(|(_, count)| count).sum())
    }

    /// What the log says of an upstream's real traffic; `now` in seconds since the epoch.
    pub fn traffic_of(&self, upstream: &str, now: u64) -> Option<LoggedTraffic> {
        let state = self.state();
        let pair = state.pairs.iter().find(|pair| *pair.upstream == *upstream)?;
        Some(LoggedTraffic {
            user_view: pair.user_view,
            requests: pair.requests,
            failed: pair.failed.iter().map(|(_, count)| count).sum(),
            retries: pair.retries,
            client_closed: pair.client_closed,
            bad_gateway_ratio: pair.ratio.at(now),
            stale_backends: pair.stale_backends,
            lately: pair.retry_marks.lately(pair.counted()),
            before: pair.retry_marks.before(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By label: logs that come the same way are shown as one.
    fn readings(&self) -> Vec<(&'static str, Reading)> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut readings: Vec<(&'static str, Reading)> = Vec::new();
        for (log, source) in logs.iter() {
            let reading = source.reading();
            match readings.iter_mut().find(|(known, _)| known == log) {
                Some((_, known)) => *known = known.with(&reading),
                None => readings.push((log, reading)),
            }
        }
        readings
    }
}

fn sorted(causes: &[Cause]) -> Vec<Cause> {
    let mut causes = causes.to_vec();
    causes.sort_unstable();
    causes.dedup();
    causes
}

impl Pair {
    fn new(upstream: Arc<str>, causes: &[Cause]) -> Pair {
        Pair {
            upstream,
            user_view: false,
            requests: 0,
            codes: Codes::of_logs(),
            failed: causes.iter().map(|cause| (*cause, 0)).collect(),
            retries: 0,
            client_closed: 0,
            synthetic: 0,
            ratio: Ratio::default(),
            latency: Histogram::default(),
            near: [None; LOGGED.len()],
            stale_backends: None,
            retry_marks: Marks::default(),
        }
    }

    fn counted(&self) -> Counted {
        Counted {
            requests: self.requests,
            retries: self.retries,
        }
    }

    fn fail(&mut self, cause: Cause) {
        match self.failed.binary_search_by_key(&cause, |(known, _)| *known) {
            Ok(at) => self.failed[at].1 += 1,
            Err(at) => self.failed.insert(at, (cause, 1)),
        }
    }

    fn is_empty(&self) -> bool {
        let failed = self.failed.iter().any(|(_, count)| *count > 0);
        self.requests == 0 && self.synthetic == 0 && !failed
    }
}

impl State {
    /// False where its status got no series of its own.
    fn request(&mut self, request: &LoggedRequest) -> bool {
        let State { pairs, other, .. } = self;
        let pair = pairs.get_mut(request.upstream).unwrap_or(other);
        pair.requests += 1;
        let has_series = request.status.is_none_or(|status| pair.codes.count(status));
        pair.client_closed += u64::from(request.client_closed);
        pair.retries += u64::from(request.retries);
        let is_bad_gateway = request.status == Some(502) || request.failed == Some(Cause::DisguisedBadGateway);
        pair.ratio.count(request.at, is_bad_gateway);
        if let Some(time) = request.backend_time {
            pair.latency.observe(time);
        }
        for (count, near) in pair.near.iter_mut().zip(request.near) {
            if let Some(near) = near {
                *count = Some(count.unwrap_or(0) + u64::from(near));
            }
        }
        if let Some(cause) = request.failed {
            pair.fail(cause);
        }
        has_series
    }

    /// False where the attempt got no series of its own.
    fn attempt(&mut self, backend: &[u8], cause: Cause, at: u64) -> bool {
        let has_series = |backend: &Backend| backend.failed.iter().any(|(known, _)| *known == cause);
        let is_known = self.backends.get(backend).is_some_and(has_series);
        if !is_known {
            self.make_room(at);
        }
        let has_place = self.backends.contains_key(backend) || self.backends.len() < MAX_BACKENDS;
        let has_room = is_known || has_place && self.attempt_series < MAX_OWN_SERIES;
        let key = if has_room { backend } else { OTHER.as_bytes() };
        let entry = self.backends.entry(key.into()).or_insert_with(|| Backend {
            label: match key {
                b"" => "unknown".into(),
                key => String::from_utf8_lossy(key).into(),
            },
            failed: Vec::new(),
            last_seen: at,
        });
        entry.last_seen = at;
        match entry.failed.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, count)) => *count += 1,
            None => {
                self.attempt_series += 1;
                entry.failed.push((cause, 1));
            }
        }
        has_room
    }

    /// Forgets backends unseen for an hour, where there are too many.
    fn make_room(&mut self, at: u64) {
        if self.backends.len() < MAX_BACKENDS && self.attempt_series < MAX_OWN_SERIES {
            return;
        }
        self.backends
            .retain(|_, backend| at.saturating_sub(backend.last_seen) < FORGET);
        self.attempt_series = self.backends.values().map(|backend| backend.failed.len()).sum();
    }
}

/// Copies what a family shows of a gateway and an upstream.
type Copy = fn(&Pair, u64, &mut Samples);

/// Values of one family, each with that of its third label.
type Samples = Vec<(Value<'static>, Number)>;

const PAIR_FAMILIES: &[(Family, Copy)] = &[
    (catalogue::GATEWAY_REQUESTS_FAILED, |pair, _, out| {
        let counts = pair.failed.iter();
        out.extend(counts.map(|(cause, count)| (Value::Text(cause.label()), Number::Int(*count))));
    }),
    (catalogue::GATEWAY_RESPONSES, |pair, _, out| {
        out.extend(
            pair.codes
                .iter()
                .map(|(code, count)| (Value::Code(code), Number::Int(count))),
        );
        out.extend(pair.codes.other.map(|count| (Value::Text(OTHER), Number::Int(count))));
    }),
    (catalogue::GATEWAY_REQUESTS, |pair, _, out| {
        out.push(alone(pair.requests))
    }),
    (catalogue::GATEWAY_RETRIES, |pair, _, out| out.push(alone(pair.retries))),
    (catalogue::GATEWAY_CLIENT_CLOSED, |pair, _, out| {
        out.push(alone(pair.client_closed))
    }),
    (catalogue::GATEWAY_SYNTHETIC, |pair, _, out| {
        out.push(alone(pair.synthetic))
    }),
    (catalogue::GATEWAY_NEAR_LIMIT, |pair, _, out| {
        let counts = LOGGED.into_iter().zip(pair.near);
        let told = counts.filter_map(|(kind, count)| Some((Value::Text(kind.label()), Number::Int(count?))));
        out.extend(told);
    }),
    (catalogue::STALE_BACKENDS, |pair, _, out| {
        out.extend(pair.stale_backends.map(alone));
    }),
    (catalogue::GATEWAY_RATIO, |pair, now, out| {
        out.extend(pair.ratio.at(now).map(|ratio| (NO_LABEL, Number::Float(ratio))));
    }),
    (catalogue::GATEWAY_USER_VIEW, |pair, _, out| {
        if &*pair.upstream != OTHER {
            out.push(alone(u64::from(pair.user_view)));
        }
    }),
];

const NO_LABEL: Value<'static> = Value::Text("");

fn alone(value: u64) -> (Value<'static>, Number) {
    (NO_LABEL, Number::Int(value))
}

/// Writes the families of gateway logs but the histogram.
pub(super) fn encode(tables: &Tables, now_seconds: u64, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut samples = Vec::new();
    for (family, copy) in PAIR_FAMILIES {
        let mut metric = family.describe(encoder)?;
        for gateway in &tables.gateways {
            for (upstream, values) in copied(gateway, *copy, now_seconds, &mut samples) {
                for (label, number) in values {
                    let mut labels = vec![
                        ("gateway", Value::Text(&gateway.name)),
                        ("upstream", Value::Text(&upstream)),
                    ];
                    if let Some(name) = family.labels.get(2) {
                        labels.push((name, label));
                    }
                    sample(&mut metric.encode_family(&labels)?, family, number)?;
                }
            }
        }
    }
    attempts(tables, encoder)?;
    for family in LOG_FAMILIES {
        readings(tables, encoder, family)?;
    }
    Ok(())
}

/// What a family shows of each upstream of a gateway, copied with one lock.
fn copied(gateway: &GatewayMetrics, copy: Copy, now: u64, samples: &mut Samples) -> Vec<(Arc<str>, Samples)> {
    let state = gateway.state();
    let other = std::iter::once(&state.other).filter(|other| !other.is_empty());
    state
        .pairs
        .iter()
        .chain(other)
        .map(|pair| {
            samples.clear();
            copy(pair, now, samples);
            (pair.upstream.clone(), samples.clone())
        })
        .collect()
}

fn attempts(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let family = &catalogue::GATEWAY_ATTEMPTS_FAILED;
    let mut metric = family.describe(encoder)?;
    for gateway in &tables.gateways {
        let mut backends: Vec<Backend> = gateway.state().backends.values().cloned().collect();
        backends.sort_by(|one, other| one.label.cmp(&other.label));
        for backend in backends {
            for (cause, count) in backend.failed {
                let labels = [
                    ("gateway", Value::Text(&gateway.name)),
                    ("backend", Value::Text(&backend.label)),
                    ("cause", Value::Text(cause.label())),
                ];
                sample(&mut metric.encode_family(&labels)?, family, Number::Int(count))?;
            }
        }
    }
    Ok(())
}

/// A family of logs, and what it shows of one: a further label and a number.
type LogFamily = (Family, fn(&Reading) -> Vec<(&'static str, Number)>);

const LOG_FAMILIES: &[LogFamily] = &[
    (catalogue::LOG_UP, |log| vec![("", Number::Int(u64::from(log.up)))]),
    (catalogue::LOG_LINES, |log| {
        vec![
            ("parsed", Number::Int(log.parsed)),
            ("unparsed", Number::Int(log.unparsed)),
        ]
    }),
    (catalogue::LOG_UNREAD, |log| {
        log.unread_bytes
            .map(|bytes| ("", Number::Int(bytes)))
            .into_iter()
            .collect()
    }),
    (catalogue::LOG_LAST_LINE, |log| {
        log.last_line.map(|at| ("", Number::Float(at))).into_iter().collect()
    }),
    (catalogue::LOG_ROTATIONS, |log| {
        log.rotations
            .map(|times| ("", Number::Int(times)))
            .into_iter()
            .collect()
    }),
];

fn readings(tables: &Tables, encoder: &mut DescriptorEncoder, (family, of): &LogFamily) -> fmt::Result {
    let mut metric = family.describe(encoder)?;
    for gateway in &tables.gateways {
        for (log, reading) in gateway.readings() {
            for (label, number) in of(&reading) {
                let mut labels = vec![("gateway", Value::Text(&gateway.name)), ("log", Value::Text(log))];
                if let Some(name) = family.labels.get(2) {
                    labels.push((name, Value::Text(label)));
                }
                sample(&mut metric.encode_family(&labels)?, family, number)?;
            }
        }
    }
    Ok(())
}

/// Writes the histogram of backend times, as [`super::latency`] does.
pub(super) fn encode_latency(tables: &Tables, page: &mut dyn Write) -> fmt::Result {
    let family = &catalogue::GATEWAY_LATENCY;
    write_head(family, page)?;
    let mut lines = String::new();
    for gateway in &tables.gateways {
        let pairs: Vec<(Arc<str>, Histogram)> = {
            let state = gateway.state();
            state
                .pairs
                .iter()
                .map(|pair| (pair.upstream.clone(), pair.latency.clone()))
                .collect()
        };
        for (upstream, histogram) in pairs {
            lines.clear();
            let labels = ["gateway=\"", &gateway.name, "\",upstream=\"", &upstream, "\""];
            write_histogram(&mut lines, family, &labels, &histogram, false)?;
            page.write_str(&lines)?;
        }
    }
    Ok(())
}

/// A gateway whose logs are read: its name, the upstreams behind it with whether users see them through it, and the causes
/// its kind can state.
pub type LoggedGateway<'a> = (Arc<str>, Vec<(Arc<str>, bool)>, &'a [Cause]);

impl super::Metrics {
    /// Takes over which gateways' logs are read. Counters of what stays go on; nobody counts meanwhile into a gateway whose
    /// upstreams change.
    pub fn configure_gateways(&self, gateways: &[LoggedGateway<'_>]) {
        let before = self.tables.load_full();
        let mut tables: Vec<Arc<GatewayMetrics>> = gateways
            .iter()
            .map(|(name, upstreams, causes)| {
                let old = before.gateways.iter().find(|old| old.name == *name);
                // Somebody may be counting into it.
                if let Some(same) = old.filter(|old| old.is_of(upstreams, causes)) {
                    return Arc::clone(same);
                }
                let new = GatewayMetrics::new(name.clone(), upstreams, causes, old.map(|old| &**old), &self.process);
                Arc::new(new)
            })
            .collect();
        tables.sort_by(|one, other| one.name.cmp(&other.name));
        self.tables.store(Arc::new(Tables {
            upstreams: before.upstreams.clone(),
            gateways: tables,
        }));
    }

    /// What each gateway whose log is read says of an upstream's real traffic; `now` in seconds since the epoch.
    pub fn traffic_of(&self, upstream: &str, now: u64) -> Vec<(Arc<str>, LoggedTraffic)> {
        let tables = self.tables.load();
        let gateways = tables.gateways.iter();
        gateways
            .filter_map(|gateway| Some((gateway.name.clone(), gateway.traffic_of(upstream, now)?)))
            .collect()
    }

    /// The handle of one gateway; `None` where its logs are not read.
    pub fn gateway(&self, name: &str) -> Option<Arc<GatewayMetrics>> {
        let tables = self.tables.load();
        tables.gateways.iter().find(|gateway| &*gateway.name == name).cloned()
    }
}
