//! One gateway's real traffic: joined, counted into the metrics, and watched for spikes.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::Behind;
use crate::cause::Cause;
use crate::clock;
use crate::config::operation::GatewaySettings;
use crate::diagnosis::{LogEvidence, Ranked};
use crate::exchange::{Line, Taken};
use crate::finding::limits::{LOGGED, taken};
use crate::history::{History, SkippedLine};
use crate::metrics::{GatewayMetrics, LogSource, LoggedRequest};
use crate::stale::{Answers, Backends, GONE_AFTER};
use crate::traffic::{
    Ending, FailedAttempt, Patience, Request, Route, Routes, Served, Sources, Tally, Traffic, Window,
};
use crate::upstream::{Host, LimitKind, Limits, Spike, Upstream};

/// Of so many requests the metrics hear at once, at most.
const AT_ONCE: usize = 256;

/// The traffic of one gateway. The threads that read its logs and the one that judges share it.
#[derive(Debug)]
pub(super) struct Counting {
    gateway: Arc<str>,
    upstreams: Vec<(Arc<str>, Spike)>,
    /// The ports of each upstream's origin.
    ports: Vec<Vec<u16>>,
    /// What the gateway tolerates.
    limits: Limits,
    /// Whether this is the outermost gateway of an upstream that is read live.
    user_view: Vec<bool>,
    /// Whether requests of an upstream were seen to go over connections used before.
    reuses: Vec<AtomicBool>,
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
    /// What is in use, by upstream.
    backends: Vec<Backends>,
    /// What was last laid before the diagnosis, by upstream.
    told: Vec<Option<LogEvidence>>,
    /// Requests and failed ones that incidents have heard of, by upstream.
    heard: Vec<(u64, u64)>,
    /// Requests of the lines at hand that the metrics have not heard of; they hear of many at once.
    unheard: Vec<LoggedRequest>,
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
                backends: vec![Backends::default(); upstreams.len()],
                told: vec![None; upstreams.len()],
                heard: (0..upstreams.len()).map(|number| metrics.totals(number)).collect(),
                unheard: Vec::new(),
                now: None,
            }),
            upstreams,
            ports: behind.iter().map(|one| ports(&one.upstream)).collect(),
            limits: settings.gateway.limits,
            user_view: behind.iter().map(|one| one.user_view).collect(),
            reuses: behind.iter().map(|_| AtomicBool::new(false)).collect(),
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
        let State {
            traffic,
            windows,
            backends,
            unheard,
            ..
        } = &mut *state;
        let mut tally = match is_delayed {
            true => self.tally(&mut [], &mut [], unheard, (now, second)),
            false => self.tally(windows, backends, unheard, (now, second)),
        };
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
        let mut state = self.state();
        state.now = None;
        tell(&self.metrics, &mut state.unheard);
    }

    /// What is new for the diagnosis, by upstream.
    pub(super) fn judge(&self) -> Vec<(Arc<str>, Option<LogEvidence>)> {
        let (now, second) = self.now();
        let mut state = self.state();
        let State {
            traffic,
            windows,
            backends,
            told,
            unheard,
            ..
        } = &mut *state;
        traffic.expire(now, &mut self.tally(windows, backends, unheard, (now, second)));
        tell(&self.metrics, unheard);
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

    /// Upstreams whose requests were seen to go over connections used before.
    pub(super) fn reused(&self) -> impl Iterator<Item = &Arc<str>> {
        let seen = self.upstreams.iter().zip(&self.reuses);
        seen.filter(|(_, reuses)| reuses.load(Ordering::Relaxed))
            .map(|((name, _), _)| name)
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
        let (now, second) = self.now();
        let mut state = self.state();
        let State {
            traffic,
            windows,
            backends,
            unheard,
            ..
        } = &mut *state;
        traffic.finish(&mut self.tally(windows, backends, unheard, (now, second)));
        tell(&self.metrics, unheard);
    }

    fn tally<'a>(
        &'a self,
        windows: &'a mut [Window],
        backends: &'a mut [Backends],
        unheard: &'a mut Vec<LoggedRequest>,
        (now, second): (Duration, u64),
    ) -> LiveTally<'a> {
        let (windows, backends) = match self.is_live {
            true => (windows, backends),
            false => (&mut [][..], &mut [][..]),
        };
        LiveTally {
            metrics: &self.metrics,
            limits: &self.limits,
            reuses: &self.reuses,
            windows,
            backends,
            unheard,
            at: self.since + now,
            second,
        }
    }

    /// Holds the backends in use against what the names of the origins give, and shows how many are stale. Back come the
    /// places that are to be asked whether they answer, by upstream.
    pub(super) fn hold_backends(
        &self,
        answers: &dyn Fn(&str) -> Option<Answers>,
        now: Instant,
    ) -> Vec<(Arc<str>, Vec<SocketAddr>)> {
        let mut to_be_asked = Vec::new();
        for (number, (name, _)) in self.upstreams.iter().enumerate() {
            let Some(answers) = answers(name) else {
                self.metrics.stale_backends(number, None);
                continue;
            };
            let (backends, ports) = (self.state().backends[number].clone(), &self.ports[number]);
            let stale = backends.stale(&answers, ports, GONE_AFTER, now);
            let shown = (!backends.is_empty()).then_some(stale.len());
            if self.metrics.stale_backends(number, shown) && !stale.is_empty() {
                let (gateway, backends) = (&self.gateway, Listed(&stale));
                warn!(%gateway, upstream = %name, %backends, "asks backends that the origin's name no longer gives");
            }
            let places = backends.to_be_asked(&answers, ports, GONE_AFTER, now);
            if !places.is_empty() {
                to_be_asked.push((name.clone(), places));
            }
        }
        self.metrics.mark(self.now().1);
        to_be_asked
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

/// Whether a request took 80 % or more of a limit, or failed because it took more; `None` where its line does not say it,
/// or there is no such limit.
fn near(limits: &Limits, kind: LimitKind, took: &Taken, failed: Option<Cause>) -> Option<bool> {
    let is_exceeded = match (kind, failed) {
        (LimitKind::Connect, Some(Cause::ConnectTimeout)) => limits.connect.is_some(),
        (LimitKind::FirstByte, Some(Cause::ResponseTimeout)) => limits.first_byte.is_some(),
        (LimitKind::Total, Some(Cause::ResponseTimeout)) => limits.total.is_some() && limits.first_byte.is_none(),
        (LimitKind::ResponseHeader, Some(Cause::ResponseHeaderTooLarge)) => limits.response_header.is_some(),
        _ => false,
    };
    match is_exceeded {
        true => Some(true),
        false => taken(limits, kind, took).map(|used| used.is_near()),
    }
}

/// Lets the metrics hear of what they have not heard of.
fn tell(metrics: &GatewayMetrics, unheard: &mut Vec<LoggedRequest>) {
    metrics.requests(unheard);
    unheard.clear();
}

struct LiveTally<'a> {
    metrics: &'a GatewayMetrics,
    limits: &'a Limits,
    /// By upstream.
    reuses: &'a [AtomicBool],
    /// By upstream; empty where the lines are old.
    windows: &'a mut [Window],
    /// As these.
    backends: &'a mut [Backends],
    unheard: &'a mut Vec<LoggedRequest>,
    at: Instant,
    second: u64,
}

impl Tally for LiveTally<'_> {
    fn request(&mut self, request: &Request<'_>) {
        let failed = match &request.ending {
            Ending::Synthetic => return self.metrics.synthetic(request.upstream),
            Ending::CutAfterAll(told) => {
                // It was counted before, and must not be known to have failed before it is known.
                tell(self.metrics, self.unheard);
                self.metrics.failed_after_all(request.upstream, told.cause);
                if let Some(window) = self.windows.get_mut(request.upstream) {
                    window.failed_after_all(self.second, told.cause, request.target, request.backend);
                }
                return;
            }
            Ending::Failed(told) => Some(told.cause),
            Ending::Served | Ending::ClientClosed => None,
        };
        self.unheard.push(LoggedRequest {
            upstream: request.upstream,
            at: self.second,
            status: request.status,
            failed,
            client_closed: request.ending == Ending::ClientClosed,
            retries: request.retries,
            backend_time: request.backend_time,
            near: LOGGED.map(|kind| near(self.limits, kind, &request.taken, failed)),
        });
        if self.unheard.len() >= AT_ONCE {
            tell(self.metrics, self.unheard);
        }
        if request.reused
            && let Some(reuses) = self.reuses.get(request.upstream)
        {
            reuses.store(true, Ordering::Relaxed);
        }
        if let Some(backends) = self.backends.get_mut(request.upstream) {
            match &request.ending {
                Ending::Served => backends.asked(request.backend, true, self.at),
                Ending::ClientClosed => backends.left_waiting(request.backend, self.at),
                Ending::Failed(_) | Ending::Synthetic | Ending::CutAfterAll(_) => {}
            }
        }
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
        if let Some(backends) = self.backends.get_mut(attempt.upstream) {
            backends.asked(attempt.backend, false, self.at);
        }
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

/// The ports of an upstream's origin.
fn ports(upstream: &Upstream) -> Vec<u16> {
    let origin = upstream.hops.iter().filter(|hop| hop.is_origin());
    origin.flat_map(|hop| &hop.targets).map(|target| target.port).collect()
}

/// Addresses, one after the other.
struct Listed<'a>(&'a [SocketAddr]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(number, address)| match number {
                0 => address.fmt(f),
                _ => write!(f, ", {address}"),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::gateway::{self, log::Parser};
    use crate::metrics::{Build, Format, Metrics};

    /// A gateway with such an access log.
    fn watched(access_log: &str) -> (Counting, Metrics, Parser) {
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
        (counting, metrics, Parser::new(kind, None).unwrap())
    }

    fn page(metrics: &Metrics) -> String {
        let mut page = String::new();
        let mut sink = |chunk: &str| {
            page.push_str(chunk);
            Ok(())
        };
        metrics.encode(Format::Prometheus, clock::now(), &mut sink).unwrap();
        page
    }

    /// What the diagnosis hears of a gateway whose every request failed, and whether they were counted.
    fn heard(access_log: &str, is_delayed: bool) -> (Option<LogEvidence>, bool) {
        let (counting, metrics, mut parser) = watched(access_log);
        for number in 0..30 {
            // Its reason is in the error log: it waits for that.
            let line = format!(
                r#"192.0.2.7 - - [20/Nov/2026:10:57:01 +0000] "GET /{number} HTTP/1.1" 502 157 "-" "-" ua="127.0.0.1:80" us="502" ut="0.000" uc="-" uh="-" ub="0" rt=0.000 id={number:032x} done="OK" host="shop" up="shop""#
            );
            counting.line(&parser.read(line.as_bytes()).unwrap(), is_delayed);
        }
        counting.finish();
        let news = counting.judge().pop().and_then(|(_, evidence)| evidence);
        (
            news,
            page(&metrics).contains("badgateway_gateway_requests_total{gateway=\"edge\",upstream=\"shop\"} 30\n"),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn backends_in_use_are_held_against_what_the_origins_name_gives() {
        let line = |status: u16| {
            let us = if status == 499 {
                "-".to_owned()
            } else {
                status.to_string()
            };
            format!(
                r#"192.0.2.7 - - [20/Nov/2026:10:57:01 +0000] "GET / HTTP/1.1" {status} 157 "-" "-" ua="10.0.0.1:1" us="{us}" ut="0.010" uc="0.001" uh="0.009" ub="200" ul="100" rt=0.010 id=1 done="OK" host="shop" up="shop""#
            )
        };
        // Whether one is stale, and whether it is to be asked.
        for (status, gone, is_live, expected, asks) in [
            (502, GONE_AFTER, true, Some("1"), false),
            (502, GONE_AFTER - Duration::from_secs(1), true, Some("0"), false),
            (200, GONE_AFTER, true, Some("0"), true),
            // The user left before.
            (499, GONE_AFTER, true, Some("0"), true),
            (499, GONE_AFTER - Duration::from_secs(1), true, Some("0"), false),
            // What comes late says nothing of now.
            (502, GONE_AFTER, false, None, false),
            (499, GONE_AFTER, false, None, false),
        ] {
            let (counting, metrics, mut parser) = watched(if is_live {
                "/nowhere/access.log"
            } else {
                "{ drop: '/nowhere/*.gz' }"
            });
            let mut answers = Answers::default();
            let [old, new] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
            answers.saw([old].into_iter(), None, Instant::now());
            answers.reached(old);
            answers.saw([new].into_iter(), None, Instant::now());
            tokio::time::advance(gone).await;
            answers.saw([new].into_iter(), None, Instant::now());
            counting.line(&parser.read(line(status).as_bytes()).unwrap(), !is_live);
            counting.finish();
            let to_be_asked = counting.hold_backends(&|_| Some(answers.clone()), Instant::now());
            let place = ("shop".into(), vec!["10.0.0.1:1".parse().unwrap()]);
            assert_eq!(
                to_be_asked,
                Vec::from_iter(asks.then_some(place)),
                "{status} {gone:?} {is_live}"
            );
            let page = page(&metrics);
            let series = "badgateway_stale_backends{gateway=\"edge\",upstream=\"shop\"} ";
            let found = page.lines().find_map(|line| line.strip_prefix(series));
            assert_eq!(found, expected, "{status} {gone:?} {is_live}");
            counting.hold_backends(&|_| None, Instant::now());
            assert!(!self::page(&metrics).contains(series), "no name, nothing to say");
        }
    }

    #[test]
    fn what_comes_late_is_counted_and_no_news() {
        let (news, counted) = heard("/nowhere/access.log", false);
        assert!(news.unwrap().exceeds_spike && counted);
        assert_eq!(heard("{ drop: '/nowhere/*.gz' }", true), (None, true));
    }
}
