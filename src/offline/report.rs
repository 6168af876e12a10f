//! What came of whole logs: totals, failures by cause and backend, the course of time, and examples.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::Lines;
use crate::cause::Cause;
use crate::exchange::Stamp;
use crate::traffic::{Ending, FailedAttempt, Request, Tally};

/// Lines that were not understood, shown at most; their beginning.
const UNPARSED_SHOWN: usize = 3;
const UNPARSED_LENGTH: usize = 200;
/// Different failures told apart; what exceeds them is counted without its backend.
const MAX_FAILURES: usize = 10_000;
/// Examples of each cause.
const SAMPLES: usize = 2;
/// Minutes of the course kept; older ones are dropped first.
const MAX_MINUTES: usize = 100_000;

/// What came of the logs of one gateway.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The kind of the gateway.
    pub kind: &'static str,
    /// Lines understood.
    pub parsed: u64,
    /// Lines not understood, those too long included.
    pub unparsed: u64,
    /// The beginnings of the first of them.
    pub unparsed_samples: Vec<String>,
    /// Requests, those of probes and health checks aside.
    pub requests: u64,
    /// Requests by the status the client got; 0 is none.
    pub responses: BTreeMap<u16, u64>,
    /// Requests whose client left.
    pub client_closed: u64,
    /// Requests of probes and health checks.
    pub synthetic: u64,
    /// Requests that failed, by cause.
    pub failed: BTreeMap<Cause, u64>,
    /// Attempts after the first.
    pub retries: u64,
    /// Failed attempts.
    pub failures: HashMap<Failure, Count>,
    /// When the first and last request was.
    pub span: Option<(i64, i64)>,
    /// By minute since the epoch: requests, and those that got a 502.
    pub minutes: BTreeMap<i64, (u64, u64)>,
    /// Examples by cause.
    pub samples: BTreeMap<Cause, Vec<Sample>>,
    /// Logs that ended with an error.
    pub broken: Vec<String>,
}

/// What failed attempts have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// The backend as logged; empty where the log does not say.
    pub backend: String,
    /// What the gateway calls it; empty where it does not say.
    pub upstream: String,
}

/// How often, and what else it may have been.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Attempts.
    pub count: u64,
    /// Causes some of the lines allow.
    pub candidates: BTreeSet<Cause>,
}

/// One failed request. Nothing of the client, no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, milliseconds since the epoch.
    pub time: Option<i64>,
    /// What the client got.
    pub status: Option<u16>,
    /// The path.
    pub path: String,
    /// The backend.
    pub backend: String,
}

impl Report {
    pub(super) fn new(kind: &'static str) -> Report {
        Report {
            kind,
            ..Report::default()
        }
    }

    pub(super) fn unparsed(&mut self, line: &[u8]) {
        self.unparsed += 1;
        if self.unparsed_samples.len() < UNPARSED_SHOWN {
            self.unparsed_samples
                .push(readable(&line[..line.len().min(UNPARSED_LENGTH)]));
        }
    }

    pub(super) fn ended(&mut self, lines: &Lines) {
        self.unparsed += lines.too_long();
        self.broken.extend(lines.error().map(ToString::to_string));
    }

    /// Failed requests.
    pub fn failed_requests(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Failures, most frequent first.
    pub fn by_frequency(&self) -> Vec<(&Failure, &Count)> {
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by(|(one, ones), (other, others)| {
            let key = |failure: &Failure| (failure.cause, failure.backend.clone(), failure.upstream.clone());
            others.count.cmp(&ones.count).then_with(|| key(one).cmp(&key(other)))
        });
        failures
    }

    /// As `badgateway logs --json` writes it. Times are RFC 3339 in UTC.
    pub fn json(&self) -> Value {
        let label = |text: &str| match text {
            "" => Value::Null,
            text => json!(text),
        };
        let failures: Vec<Value> = self
            .by_frequency()
            .into_iter()
            .map(|(failure, count)| {
                json!({
                    "cause": failure.cause,
                    "backend": label(&failure.backend),
                    "upstream": label(&failure.upstream),
                    "count": count.count,
                    "candidates": count.candidates,
                })
            })
            .collect();
        let responses: serde_json::Map<String, Value> = self
            .responses
            .iter()
            .map(|(status, count)| (status_label(*status), json!(count)))
            .collect();
        let failed: serde_json::Map<String, Value> = self
            .failed
            .iter()
            .map(|(cause, count)| (cause.label().to_owned(), json!(count)))
            .collect();
        let time = |at: fn(&(i64, i64)) -> i64| self.span.as_ref().map(|span| crate::moment::rfc3339_millis(at(span)));
        json!({
            "kind": self.kind,
            "lines": { "parsed": self.parsed, "unparsed": self.unparsed },
            "requests": self.requests,
            "responses": responses,
            "requests_failed": failed,
            "client_closed": self.client_closed,
            "synthetic": self.synthetic,
            "retries": self.retries,
            "failures": failures,
            "first": time(|span| span.0),
            "last": time(|span| span.1),
        })
    }

    fn seen(&mut self, time: Option<Stamp>, is_502: bool) {
        let Some(Stamp { millis, .. }) = time else { return };
        self.span = Some(match self.span {
            Some((first, last)) => (first.min(millis), last.max(millis)),
            None => (millis, millis),
        });
        let minute = self.minutes.entry(millis.div_euclid(60_000)).or_default();
        minute.0 += 1;
        minute.1 += u64::from(is_502);
        if self.minutes.len() > MAX_MINUTES {
            self.minutes.pop_first();
        }
    }

    fn fail(&mut self, request: &Request<'_>, cause: Cause) {
        *self.failed.entry(cause).or_default() += 1;
        let samples = self.samples.entry(cause).or_default();
        if samples.len() < SAMPLES {
            let path = request.target.split(|byte| *byte == b'?').next().unwrap_or_default();
            samples.push(Sample {
                time: request.time.map(|time| time.millis),
                status: request.status,
                path: readable(path),
                backend: readable(request.backend),
            });
        }
    }
}

impl Tally for Report {
    fn request(&mut self, request: &Request<'_>) {
        match &request.ending {
            Ending::Synthetic => {
                self.synthetic += 1;
                return;
            }
            Ending::CutAfterAll(told) => return self.fail(request, told.cause),
            Ending::ClientClosed => self.client_closed += 1,
            Ending::Failed(told) => self.fail(request, told.cause),
            Ending::Served => {}
        }
        self.requests += 1;
        self.retries += u64::from(request.retries);
        *self.responses.entry(request.status.unwrap_or(0)).or_default() += 1;
        self.seen(request.time, request.status == Some(502));
    }

    fn attempt(&mut self, attempt: &FailedAttempt<'_>) {
        let failure = |backend: &[u8], upstream: &[u8]| Failure {
            cause: attempt.told.cause,
            backend: readable(backend),
            upstream: readable(upstream),
        };
        let mut key = failure(attempt.backend, attempt.name);
        if self.failures.len() >= MAX_FAILURES && !self.failures.contains_key(&key) {
            key = failure(b"other", b"");
        }
        let count = self.failures.entry(key).or_default();
        count.count += 1;
        count.candidates.extend(&attempt.told.candidates);
    }
}

/// The label of a status: `none` where none was sent.
pub(crate) fn status_label(status: u16) -> String {
    match status {
        0 => "none".to_owned(),
        status => status.to_string(),
    }
}

/// Text of a log for people: no control characters.
fn readable(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .flat_map(|char| match char.is_control() {
            true => char.escape_default().collect::<Vec<_>>(),
            false => vec![char],
        })
        .collect()
}
