//! The file as written to the values the program relies on: defaults, modules, and the rules across keys.
//!
//! Precedence, nearest first: hop, upstream, module, `defaults`, built in. Maps (`expect`, `tls`, `confirm`, `spike`,
//! `labels`, `headers`) are joined key by key; lists and `auth` are taken whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::error::{nearest, quoted};
use super::file::{File, GatewayEntry, HopEntry, Settings, UpstreamEntry};
use super::operation::{ConfigFile, GatewaySettings};
use super::reader::{At, Context};
use crate::upstream::{
    Confirm, DEFAULT_INTERVAL, DEFAULT_MAX_RATE, DEFAULT_TIMEOUT, Gateway, Hop, ORIGIN, Spike, Target, Upstream,
};

mod config_file;
mod fingerprint;
mod gateway;
mod target;

use target::{Layers, Role};

/// A timeout of more intervals than this is taken for a slip: every round would still be running ten rounds later.
const MAX_INTERVALS_OF_TIMEOUT: u32 = 10;
/// The name that metrics give to what is beyond a bound.
const OTHER: &str = "other";

/// What the file resolves to.
pub struct Resolved {
    pub gateways: Vec<GatewaySettings>,
    pub config_files: Vec<ConfigFile>,
    pub upstreams: Vec<Arc<Upstream>>,
    pub self_check: Vec<Arc<Target>>,
}

/// Applies defaults and checks what no single key can tell. Problems go to `cx`; what has some is left out.
pub fn resolve(file: &File, cx: &Context<'_>) -> Resolved {
    let config_files = config_file::look_at(&file.gateways, cx);
    let known = Known {
        gateways: gateway::by_name(&file.gateways, &config_files, cx),
        files: &config_files,
        modules: by_name(&file.modules),
        defaults: &file.defaults,
    };
    let mut seen = HashMap::new();
    let mut upstreams = Vec::new();
    for entry in &file.upstreams {
        unique_name(entry, &mut seen, cx);
        if let Some(upstream) = upstream(entry, &known, cx) {
            upstreams.push(Arc::new(upstream));
        }
    }
    nothing_to_watch(file, cx);
    Resolved {
        gateways: gateway::settings(file, &known, &config_files, cx),
        config_files,
        upstreams,
        self_check: self_check(file, cx),
    }
}

/// A target asked for after loading: the built-in settings with these over them, nearest first. Every setting reaches it,
/// secrets included.
pub fn lone_target(entry: &HopEntry, layers: &[&Settings], cx: &Context<'_>) -> Option<Target> {
    let layers = Layers::new(&entry.settings, layers, Role::Origin { verify: true });
    target::build(entry, &layers, &[], &[], cx)
}

/// An upstream found after loading. It knows no gateways.
pub fn lone_upstream(
    entry: &UpstreamEntry,
    modules: &[(At<String>, Settings)],
    defaults: &Settings,
    cx: &Context<'_>,
) -> Option<Upstream> {
    let known = Known {
        gateways: HashMap::new(),
        files: &[],
        modules: by_name(modules),
        defaults,
    };
    unique_name(entry, &mut HashMap::new(), cx);
    upstream(entry, &known, cx)
}

fn by_name(modules: &[(At<String>, Settings)]) -> HashMap<&str, &Settings> {
    modules
        .iter()
        .map(|(name, settings)| (name.value.as_str(), settings))
        .collect()
}

/// What upstreams refer to.
struct Known<'a> {
    gateways: HashMap<&'a str, (Arc<Gateway>, bool)>,
    files: &'a [ConfigFile],
    modules: HashMap<&'a str, &'a Settings>,
    defaults: &'a Settings,
}

pub(super) fn missing(name: &str, what: &str, known: &[&str]) -> String {
    match (nearest(name, known.iter().copied()), known) {
        (Some(near), _) => format!("{} is no {what}; did you mean {near}?", quoted(name)),
        (None, []) => format!("{} is no {what}; none is defined", quoted(name)),
        (None, known) => {
            let some: Vec<&str> = known.iter().take(10).copied().collect();
            format!("{} is no {what}; defined: {}", quoted(name), some.join(", "))
        }
    }
}

fn unique_name<'a>(entry: &'a UpstreamEntry, seen: &mut HashMap<&'a str, usize>, cx: &Context<'_>) {
    let Some(name) = &entry.name else { return };
    if name.value == OTHER {
        cx.problem(
            &name.place,
            "\"other\" stands for what is beyond a bound in metrics; choose another name",
        );
    }
    match seen.get(name.value.as_str()) {
        Some(line) => cx.problem(
            &name.place,
            format!("{} is defined twice; the first is in line {line}", quoted(&name.value)),
        ),
        None => {
            seen.insert(&name.value, name.place.at.line);
        }
    }
}

fn upstream(entry: &UpstreamEntry, known: &Known<'_>, cx: &Context<'_>) -> Option<Upstream> {
    let module = entry.module.as_ref().and_then(|name| {
        let module = known.modules.get(name.value.as_str()).copied();
        if module.is_none() {
            let mut names: Vec<&str> = known.modules.keys().copied().collect();
            names.sort_unstable();
            cx.problem(&name.place, missing(&name.value, "module", &names));
        }
        module
    });
    let layers: Vec<&Settings> = std::iter::once(&entry.settings)
        .chain(module)
        .chain([known.defaults])
        .collect();
    if entry.origin.is_none() && entry.via.is_none() {
        cx.problem(
            &entry.place,
            "neither origin nor via; write origin: URL, or via: [{ gateway: NAME, url: URL }]",
        );
    }
    let hops = hops(entry, &layers, known, cx);
    let interval = pick(&layers, |settings| settings.interval.as_ref());
    let name = entry.name.as_ref()?.value.as_str();
    let mut upstream = Upstream {
        name: name.into(),
        labels: labels(&layers),
        hops: hops?,
        interval: interval.unwrap_or(DEFAULT_INTERVAL),
        confirm: confirm(&layers),
        max_rate: pick(&layers, |settings| settings.max_rate.as_ref()).unwrap_or(DEFAULT_MAX_RATE),
        objective: pick(&layers, |settings| settings.objective.as_ref()),
        spike: spike(&layers),
        evidence: pick(&layers, |settings| settings.evidence.as_ref()).unwrap_or_default(),
        version_header: pick(&layers, |settings| settings.version_header.as_ref()),
        fingerprint: 0,
    };
    fits(entry, &upstream, &layers, cx);
    upstream.fingerprint = fingerprint::of(&upstream);
    Some(upstream)
}

fn pick<T: Clone>(layers: &[&Settings], key: impl Fn(&Settings) -> Option<&At<T>>) -> Option<T> {
    layers
        .iter()
        .find_map(|settings| key(settings))
        .map(|found| found.value.clone())
}

fn labels(layers: &[&Settings]) -> BTreeMap<String, String> {
    let written = layers.iter().rev().flat_map(|settings| settings.labels.iter());
    written
        .map(|(name, value)| (name.value.clone(), value.clone()))
        .collect()
}

fn confirm(layers: &[&Settings]) -> Confirm {
    let built_in = Confirm::default();
    Confirm {
        retries: pick(layers, |s| s.confirm.retries.as_ref()).map_or(built_in.retries, |number| number as u32),
        delay: pick(layers, |s| s.confirm.delay.as_ref()).unwrap_or(built_in.delay),
        recheck: pick(layers, |s| s.confirm.recheck.as_ref()).unwrap_or(built_in.recheck),
        recover_after: pick(layers, |s| s.confirm.recover_after.as_ref())
            .map_or(built_in.recover_after, |number| number as u32),
    }
}

fn spike(layers: &[&Settings]) -> Spike {
    let built_in = Spike::default();
    Spike {
        ratio: pick(layers, |s| s.spike.ratio.as_ref()).unwrap_or(built_in.ratio),
        window: pick(layers, |s| s.spike.window.as_ref()).unwrap_or(built_in.window),
        minimum_requests: pick(layers, |s| s.spike.minimum_requests.as_ref()).unwrap_or(built_in.minimum_requests),
    }
}

/// The hops in the order users pass them, `None` when one of them has a problem.
fn hops(entry: &UpstreamEntry, layers: &[&Settings], known: &Known<'_>, cx: &Context<'_>) -> Option<Vec<Arc<Hop>>> {
    let paths = pick_paths(layers);
    let stable = pick(layers, |settings| settings.stable_content.as_ref()).unwrap_or_default();
    let mut hops: Vec<Hop> = Vec::new();
    let mut complete = true;
    let (mut outer, mut verify) = (None::<Arc<Gateway>>, true);
    let mut passed = HashSet::new();
    for via in entry.via.iter().flatten() {
        let gateway = gateway::of(via, known, cx);
        if let Some((gateway, _)) = &gateway
            && !passed.insert(gateway.name.clone())
        {
            let place = via.gateway.as_ref().map_or(&via.place, |name| &name.place);
            cx.problem(
                place,
                format!("{} is passed twice; name each gateway once", quoted(&gateway.name)),
            );
        }
        let layers = Layers::new(&via.settings, layers, Role::Gateway);
        let target = target::build(via, &layers, paths, &stable, cx);
        let (Some((gateway, verifies)), Some(target)) = (gateway, target) else {
            complete = false;
            continue;
        };
        hops.push(Hop {
            name: gateway.name.clone(),
            gateway: Some(gateway.clone()),
            user_view: false,
            limits: outer.as_ref().map(|outer| outer.limits).unwrap_or_default(),
            kept_idle: outer.as_ref().and_then(|outer| outer.keeps_idle()),
            health_check: None,
            targets: vec![Arc::new(target)],
        });
        verify = verifies;
        outer = Some(gateway);
    }
    if let Some(entries) = &entry.origin {
        let build = |entry: &HopEntry| {
            let layers = Layers::new(&entry.settings, layers, Role::Origin { verify });
            target::build(entry, &layers, paths, &stable, cx).map(Arc::new)
        };
        let targets: Vec<Arc<Target>> = entries.iter().filter_map(build).collect();
        complete &= targets.len() == entries.len();
        hops.push(Hop {
            name: ORIGIN.into(),
            gateway: None,
            user_view: false,
            limits: outer.as_ref().map(|outer| outer.limits).unwrap_or_default(),
            kept_idle: outer.as_ref().and_then(|outer| outer.keeps_idle()),
            health_check: pick(layers, |settings| settings.health_check.as_ref())
                .or_else(|| config_file::health_check(known.files, &outer?.name, &targets)),
            targets,
        });
        if entries.is_empty() {
            cx.problem(&entry.place, "origin is an empty list; write origin: URL");
            complete = false;
        }
    }
    if entry.origin.is_none() && entry.via.as_ref().is_some_and(Vec::is_empty) {
        cx.problem(
            &entry.place,
            "via is an empty list and there is no origin; write origin: URL",
        );
    }
    let first = hops.first_mut()?;
    first.user_view = true;
    complete.then(|| hops.into_iter().map(Arc::new).collect())
}

fn pick_paths<'a>(layers: &[&'a Settings]) -> &'a [At<super::file::PathEntry>] {
    layers
        .iter()
        .find_map(|settings| settings.paths.as_ref())
        .map_or(&[], |paths| &paths.value)
}

/// The schedule must be able to keep up: with the timeout, and with `max_rate`.
fn fits(entry: &UpstreamEntry, upstream: &Upstream, layers: &[&Settings], cx: &Context<'_>) {
    let targets = upstream.hops.iter().flat_map(|hop| &hop.targets);
    let longest = targets
        .clone()
        .map(|target| target.timeout)
        .max()
        .unwrap_or(DEFAULT_TIMEOUT);
    if longest > upstream.interval * MAX_INTERVALS_OF_TIMEOUT {
        let place = layers
            .iter()
            .find_map(|settings| settings.hop.timeout.as_ref())
            .map(|timeout| &timeout.place);
        cx.problem(
            place.unwrap_or(&entry.place),
            format!(
                "a timeout of {} is more than {MAX_INTERVALS_OF_TIMEOUT} intervals of {}; raise the interval or lower the timeout",
                super::number::show_duration(longest),
                super::number::show_duration(upstream.interval)
            ),
        );
    }
    let requests: usize = targets.map(|target| target.requests.len()).sum();
    let possible = upstream.max_rate * upstream.interval.as_secs_f64();
    if requests as f64 > possible + 1e-9 {
        let place = layers
            .iter()
            .find_map(|settings| settings.max_rate.as_ref())
            .map(|rate| &rate.place);
        cx.problem(
            place.unwrap_or(&entry.place),
            format!(
                "a round is at least {requests} requests, but max_rate allows {} in an interval of {}; raise one of them",
                (possible * 100.0).round() / 100.0,
                super::number::show_duration(upstream.interval)
            ),
        );
    }
}

/// A file without upstreams, discovery or a log watches nothing. Said only where nothing else is wrong.
fn nothing_to_watch(file: &File, cx: &Context<'_>) {
    let logs = |entry: &GatewayEntry| entry.access_log.is_some() || entry.error_log.is_some() || entry.syslog.is_some();
    if cx.is_clean() && file.upstreams.is_empty() && file.discovery.is_empty() && !file.gateways.iter().any(logs) {
        cx.problem(
            &super::reader::place(super::error::Position { line: 1, column: 1 }, ""),
            "nothing to watch; write upstreams: [{ name: checkout, origin: http://checkout.internal:8080 }]",
        );
    }
}

/// A self check waits no longer than this for an answer.
const SELF_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// `self_check`: asked with built-in settings, any answer below 500 counts as one. It waits no longer than probes do by
/// default, so that its failure is known before theirs are confirmed.
fn self_check(file: &File, cx: &Context<'_>) -> Vec<Arc<Target>> {
    let Some(list) = &file.self_check else {
        return Vec::new();
    };
    if list.value.len() < 2 {
        cx.problem(
            &list.place,
            "needs at least two URLs: one that fails must not pass for our own network's fault",
        );
    }
    let nothing = Settings::default();
    let default = file.defaults.hop.timeout.as_ref().map(|timeout| timeout.value);
    let timeout = default.map_or(SELF_CHECK_TIMEOUT, |timeout| timeout.min(SELF_CHECK_TIMEOUT));
    let build = |url: &At<super::url::Location>| {
        let entry = HopEntry {
            place: url.place.clone(),
            gateway: None,
            url: Some(url.clone()),
            settings: Default::default(),
        };
        let layers = [&nothing];
        let layers = Layers::new(&entry.settings, &layers, Role::Gateway);
        target::build(&entry, &layers, &[], &[], cx).map(|mut target| {
            target.timeout = timeout;
            target.expect.status = vec![100..=499];
            Arc::new(target)
        })
    };
    list.value.iter().filter_map(build).collect()
}
