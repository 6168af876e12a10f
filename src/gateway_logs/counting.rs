//! One gateway's real traffic: joined, counted into the metrics, and watched for spikes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Behind;
use crate::clock;
use crate::config::operation::GatewaySettings;
use crate::diagnosis::{LogEvidence, Ranked};
use crate::exchange::Line;
use crate::history::{History, SkippedLine};
use crate::metrics::{GatewayMetrics, LogSource, LoggedRequest};
use crate::traffic::{
    Ending, FailedAttempt, Patience, Request, Route, Routes, Served, Sources, Tally, Traffic, Window,
};
use crate::upstream::{Host, Spike, Upstream};

/// The traffic of one gateway. The threads that read its logs and the one that judges share it.
#[derive(Debug)]
pub(super) struct Counting {
    gateway: Arc<str>,
    upstreams: Vec<(Arc<str>, Spike)>,
    /// Whether this is the outermost gateway of an upstream that is read live.
    user_view: Vec<bool>,
    metrics: Arc<GatewayMetrics>,
    history: Arc<Mutex<History>>,
    /// Requests are read while they happen. Others come late: they are counted, and no news.
    is_live: bool,
    /// A clock that only moves forward.
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    traffic: Traffic,
    /// By upstream.
    windows: Vec<Window>,
    /// What was last laid before the diagnosis, by upstream.
    told: Vec<Option<LogEvidence>>,
    /// Requests and failed ones that incidents have heard of, by upstream.
    heard: Vec<(u64, u64)>,
    /// When the lines at hand are counted: since the beginning, and seconds since the epoch. Forgotten at rest.
    now: Option<(Duration, u64)>,
}

impl Counting {
    pub(super) fn new(
        settings: &GatewaySettings,
        behind: &[Behind],
        metrics: Arc<GatewayMetrics>,
        history: Arc<Mutex<History>>,
    ) -> Counting {
        let upstreams: Vec<(Arc<str>, Spike)> = behind
            .iter()
            .map(|one| (one.upstream.name.clone(), one.upstream.spike))
            .collect();
        let sources = Sources {
            access: settings.access_log.is_some() || settings.syslog.is_some(),
            errors: settings.error_log.is_some() || settings.syslog.is_some(),
        };
        let mut traffic = Traffic::new(routes(settings, behind), sources, Patience::LIVE);
        traffic.ignore(&settings.ignore.user_agents, &settings.ignore.addresses);
        Counting {
            gateway: settings.gateway.name.clone(),
            state: Mutex::new(State {
                traffic,
                windows: vec![Window::default(); upstreams.len()],
                told: vec![None; upstreams.len()],
                heard: (0..upstreams.len()).map(|number| metrics.totals(number)).collect(),
                now: None,
            }),
            upstreams,
            user_view: behind.iter().map(|one| one.user_view).collect(),
            metrics,
            history,
            is_live: settings.reads_requests_live(),
            since: Instant::now(),
        }
    }

    pub(super) fn gateway(&self) -> &Arc<str> {
        &self.gateway
    }

    /// Shows how these logs are read.
    pub(super) fn reads(&self, sources: Vec<(&'static str, LogSource)>) {
        self.metrics.reads(sources);
    }

    /// Lines read so far, those that were not understood included.
    pub(super) fn lines(&self) -> u64 {
        self.metrics.lines()
    }

    /// Counts a line; one that is delayed is no news.
    pub(super) fn line(&self, line: &Line<'_>, is_delayed: bool) {
        let mut state = self.state();
        let (now, second) = *state.now.get_or_insert_with(|| self.now());
        let State { traffic, windows, .. } = &mut *state;
        let mut tally = self.tally(if is_delayed { &mut [] } else { windows }, second);
        match line {
            Line::Exchange(exchange) => traffic.exchange(exchange, now, &mut tally),
            Line::Complaint(complaint) => traffic.complaint(complaint, now, &mut tally),
            Line::Other => {}
        }
    }

    /// Keeps a line that is not read for people to see.
    pub(super) fn skipped(&self, line: SkippedLine) {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).skip(line);
    }

    /// The lines at hand are counted.
    pub(super) fn rest(&self) {
        self.state().now = None;
    }

    /// What is new for the diagnosis, by upstream.
    pub(super) fn judge(&self) -> Vec<(Arc<str>, Option<LogEvidence>)> {
        let (now, second) = self.now();
        let mut state = self.state();
        let State {
            traffic, windows, told, ..
        } = &mut *state;
        traffic.expire(now, &mut self.tally(windows, second));
        let mut news = Vec::new();
        for ((window, told), (name, spike)) in windows.iter_mut().zip(told).zip(&self.upstreams) {
            let present = window.recent(second, spike).map(|recent| LogEvidence {
                exceeds_spike: recent.exceeds,
                failed: recent.failed,
                requests: recent.requests,
                cause: recent.cause,
                path: recent.path,
                backend: recent.backend,
                ranked: Ranked {
                    causes: recent.causes,
                    backends: recent.backends,
                    paths: recent.paths,
                },
            });
            if matters(told.as_ref(), present.as_ref()) {
                news.push((name.clone(), present.clone()));
            }
            *told = present;
        }
        news
    }

    /// Real requests and failed ones since the last time, of upstreams whose users are served here.
    pub(super) fn requests(&self) -> Vec<(Arc<str>, u64, u64)> {
        let mut state = self.state();
        let mut news = Vec::new();
        for (number, ((name, _), heard)) in self.upstreams.iter().zip(&mut state.heard).enumerate() {
            let (requests, failed) = self.metrics.totals(number);
            let new = (requests.saturating_sub(heard.0), failed.saturating_sub(heard.1));
            *heard = (requests, failed);
            if new != (0, 0) && self.user_view[number] {
                news.push((name.clone(), new.0, new.1));
            }
        }
        news
    }

    /// Counts what still waits: nothing is read any more.
    pub(super) fn finish(&self) {
        let (_, second) = self.now();
        let mut state = self.state();
        let State { traffic, windows, .. } = &mut *state;
        traffic.finish(&mut self.tally(windows, second));
    }

    fn tally<'a>(&'a self, windows: &'a mut [Window], second: u64) -> LiveTally<'a> {
        LiveTally {
            metrics: &self.metrics,
            windows: if self.is_live { windows } else { &mut [] },
            second,
        }
    }

    fn now(&self) -> (Duration, u64) {
        (self.since.elapsed(), clock::since_epoch(clock::now()).as_secs())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a diagnosis could turn out differently: requests that come and go without failures change nothing.
fn matters(before: Option<&LogEvidence>, present: Option<&LogEvidence>) -> bool {
    let shown = |evidence: Option<&LogEvidence>| {
        evidence.map(|evidence| (evidence.exceeds_spike, evidence.cause, evidence.failed > 0))
    };
    let failing = present.is_some_and(|present| present.failed > 0);
    shown(before) != shown(present) || (failing && before != present)
}

struct LiveTally<'a> {
    metrics: &'a GatewayMetrics,
    /// By upstream; empty where the lines are old.
    windows: &'a mut [Window],
    second: u64,
}

impl Tally for LiveTally<'_> {
    fn request(&mut self, request: &Request<'_>) {
        let failed = match &request.ending {
            Ending::Synthetic => return self.metrics.synthetic(request.upstream),
            Ending::CutAfterAll(told) => {
                self.metrics.failed_after_all(request.upstream, told.cause);
                if let Some(window) = self.windows.get_mut(request.upstream) {
                    window.failed_after_all(self.second, told.cause, request.target, request.backend);
                }
                return;
            }
            Ending::Failed(told) => Some(told.cause),
            Ending::Served | Ending::ClientClosed => None,
        };
        self.metrics.request(&LoggedRequest {
            upstream: request.upstream,
            at: self.second,
            status: request.status,
            failed,
            client_closed: request.ending == Ending::ClientClosed,
            retries: request.retries,
            backend_time: request.backend_time,
        });
        if let Some(window) = self.windows.get_mut(request.upstream) {
            let failed = failed.map(|cause| (cause, request.target, request.backend));
            window.count(self.second, failed);
        }
    }

    fn attempt(&mut self, attempt: &FailedAttempt<'_>) {
        let backend = match attempt.backend {
            b"" => attempt.name,
            backend => backend,
        };
        self.metrics.attempt(backend, attempt.told.cause, self.second);
    }
}

/// Routes of the configuration, with the addresses the origins' URLs name.
fn routes(settings: &GatewaySettings, behind: &[Behind]) -> Routes {
    let index: HashMap<&str, usize> = behind
        .iter()
        .enumerate()
        .map(|(number, one)| (&*one.upstream.name, number))
        .collect();
    let routes = settings
        .routes
        .iter()
        .filter_map(|route| {
            Some(Route {
                host: route.host.clone(),
                path_prefix: route.path_prefix.clone(),
                names: route.names.clone(),
                upstream: *index.get(route.upstream.as_str())?,
            })
        })
        .collect();
    let served = behind
        .iter()
        .map(|one| Served {
            name: one.upstream.name.clone(),
            backends: backends(&one.upstream),
        })
        .collect();
    Routes::new(served, routes)
}

/// The servers of an upstream as gateways write them.
fn backends(upstream: &Upstream) -> Vec<String> {
    let origin = upstream.hops.iter().filter(|hop| hop.is_origin());
    origin
        .flat_map(|hop| &hop.targets)
        .map(|target| match &target.host {
            Host::Unix(path) => format!("unix:{}", path.display()),
            host => format!("{host}:{}", target.port),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::gateway::{self, log::Parser};
    use crate::metrics::{Build, Format, Metrics};

    /// What the diagnosis hears of a gateway whose every request failed, and how many were counted.
    fn heard(access_log: &str, is_delayed: bool) -> (Option<LogEvidence>, bool) {
        let text = format!(
            "gateways: [{{ name: edge, kind: nginx, access_log: {access_log}, error_log: /nowhere/error.log }}]\n\
             upstreams: [{{ name: shop, origin: 'http://127.0.0.1:1/', via: [{{ gateway: edge, url: 'http://127.0.0.1:2/' }}] }}]"
        );
        let config = config::from_str(&text, "t.yml", Path::new("."), &|_| None).unwrap();
        let behind = [Behind {
            upstream: Arc::clone(&config.upstreams[0]),
            user_view: true,
        }];
        let metrics = Metrics::new(Build::default());
        let kind = gateway::kind("nginx").unwrap();
        metrics.configure_gateways(&[("edge".into(), vec![("shop".into(), true)], kind.logs.unwrap().causes)]);
        let counting = Counting::new(
            &config.gateways[0],
            &behind,
            metrics.gateway("edge").unwrap(),
            Arc::default(),
        );
        let mut parser = Parser::new(kind, None).unwrap();
        for number in 0..30 {
            // Its reason is in the error log: it waits for that.
            let line = format!(
                r#"192.0.2.7 - - [20/Nov/2026:10:57:01 +0000] "GET /{number} HTTP/1.1" 502 157 "-" "-" ua="127.0.0.1:80" us="502" ut="0.000" uc="-" uh="-" ub="0" rt=0.000 id={number:032x} done="OK" host="shop" up="shop""#
            );
            counting.line(&parser.read(line.as_bytes()).unwrap(), is_delayed);
        }
        counting.finish();
        let news = counting.judge().pop().and_then(|(_, evidence)| evidence);
        let mut page = String::new();
        let mut sink = |chunk: &str| {
            page.push_str(chunk);
            Ok(())
        };
        metrics.encode(Format::Prometheus, clock::now(), &mut sink).unwrap();
        (
            news,
            page.contains("badgateway_gateway_requests_total{gateway=\"edge\",upstream=\"shop\"} 30\n"),
        )
    }

    #[test]
    fn what_comes_late_is_counted_and_no_news() {
        let (news, counted) = heard("/nowhere/access.log", false);
        assert!(news.unwrap().exceeds_spike && counted);
        assert_eq!(heard("{ drop: '/nowhere/*.gz' }", true), (None, true));
    }
}
