//! What the field advises about 502s, row by row, held against what is shipped: `alerts/guidance.yml` names everything
//! the advice asks for, all of it exists, nothing else does, and no row is open.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use badgateway::metrics::FAMILIES;
use badgateway::shipped::{RULES, RUNBOOKS};
use saphyr::{LoadableYamlNode, Yaml};

/// A row of the advice, and the metrics (without their prefix) and alerts it asks for.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

/// A causes, C method, D prevention. Left out is what neither a metric nor an alert answers: evidence (C3), any number of
/// gateways (C6), `diagnose` (C8, D7), recovery (C9), figures of other exporters (C12),
/// `drill` (D8), log lines and traces (D10).
const ROWS: &[Row] = &[
    (
        "A1",
        &["connect_refused_total", "probe_success", "verdict", "origin_listening"],
        &["BadGatewayUpstreamDown", "BadGatewayUpstreamConnectRefused"],
    ),
    (
        "A2",
        &["upstream_latency_seconds", "responses_total", "accept_queue_length"],
        &["BadGatewayUpstreamOverloaded", "BadGatewayAcceptQueueFilling"],
    ),
    (
        "A3",
        &["probe_failures_total"],
        &["BadGatewayUpstreamConnectTimeout", "BadGatewayUpstreamUnreachable"],
    ),
    (
        "A4",
        &[
            "dns_failures_total",
            "dns_ttl_seconds",
            "dns_changes_total",
            "dns_resolvers_disagree",
        ],
        &[
            "BadGatewayUpstreamDNSFailing",
            "BadGatewayUpstreamDNSUnexpectedAddress",
            "BadGatewayUpstreamDNSDisagreement",
            "BadGatewayUpstreamDNSTTLTooLong",
        ],
    ),
    ("A5", &["stale_backends"], &["BadGatewayStaleBackendAddress"]),
    (
        "A6",
        &["probe_failures_total"],
        &[
            "BadGatewayUpstreamConnectTimeout",
            "BadGatewayUpstreamBlocksProbes",
            "BadGatewayBlockedByOrigin",
        ],
    ),
    (
        "A7",
        &["invalid_responses_total"],
        &["BadGatewayUpstreamInvalidResponses"],
    ),
    (
        "A8",
        &["verdict", "gateway_config_changed_timestamp_seconds"],
        &["BadGatewayWhileOriginHealthy"],
    ),
    (
        "A9",
        &["health_check_healthy", "health_check_transitions_total"],
        &["BadGatewayHealthCheckMismatch", "BadGatewayHealthCheckFlapping"],
    ),
    (
        "A10",
        &["near_limit_total", "gateway_near_limit_total"],
        &["BadGatewayLatencyNearTimeout"],
    ),
    (
        "A11",
        &["probe_failures_total", "tls_certificate_expiry_timestamp_seconds"],
        &["BadGatewayUpstreamTLSFailing", "BadGatewayCertificateExpiresSoon"],
    ),
    (
        "A12",
        &["response_header_bytes", "response_body_bytes", "gateway_limit_bytes"],
        &["BadGatewayResponseHeaderNearBuffer"],
    ),
    ("A13", &["keepalive_idle_seconds"], &["BadGatewayKeepAliveTooShort"]),
    ("A14", &["gateway_retries_total"], &["BadGatewayRetryStorm"]),
    (
        "A15",
        &["verdict", "gateway_requests_failed_total"],
        &["BadGatewayUnreachable", "BadGatewayOverloaded"],
    ),
    (
        "A16",
        &["cached_errors_total", "content_differs"],
        &["BadGatewayCached", "BadGatewayContentDiffers"],
    ),
    ("A17", &["origin_version_info"], &[]),
    ("A18", &["gateway_limit_seconds"], &[]),
    ("C1", &["transient_failures_total", "verdict"], &[]),
    ("C2", &["probe_success", "verdict"], &[]),
    ("C4", &["probe_failures_total"], &[]),
    ("C5", &["probe_success"], &[]),
    ("C7", &["gateway_attempts_failed_total", "gateway_log_up"], &[]),
    (
        "C10",
        &["gateway_requests_failed_total", "spike_ratio", "objective_ratio"],
        &["BadGatewaySpike", "BadGatewayFastBurn", "BadGatewaySlowBurn"],
    ),
    ("C11", &["upstream_impact", "upstream_info"], &[]),
    ("D1", &["health_check_healthy", "gateway_attempts_failed_total"], &[]),
    ("D2", &["addresses"], &["BadGatewayRedundancyLost"]),
    ("D3", &["upstream_latency_seconds", "near_limit_total"], &[]),
    ("D4", &["dns_ttl_seconds"], &["BadGatewayUpstreamDNSTTLTooLong"]),
    ("D5", &["gateway_limit_seconds"], &[]),
    ("D6", &["gateway_version_info"], &[]),
    ("D9", &["incidents_total", "incident_seconds_total"], &[]),
    ("itself", &["build_info"], &["BadGatewayExporterAbsent"]),
];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a row names.
#[derive(Debug)]
struct Named {
    metrics: BTreeSet<String>,
    alerts: BTreeSet<String>,
    /// Dashboard and title.
    panels: BTreeSet<(String, String)>,
    runbooks: BTreeSet<String>,
}

impl Named {
    fn read(row: &Yaml) -> Named {
        let panel = |panel: &Yaml| (text(panel, "dashboard"), text(panel, "title"));
        Named {
            metrics: words(row, "metrics"),
            alerts: words(row, "alert"),
            panels: list(row, "panel").map(panel).collect(),
            runbooks: words(row, "runbook"),
        }
    }
}

/// A row of the file.
#[derive(Debug)]
struct Entry {
    row: String,
    named: Named,
    /// Why there is no alert.
    none: Option<String>,
    /// Files of tests.
    tests: BTreeSet<String>,
}

fn list<'a>(of: &'a Yaml<'a>, key: &str) -> impl Iterator<Item = &'a Yaml<'a>> {
    let value = of.as_mapping_get(key);
    value
        .map(|value| value.as_vec().unwrap_or_else(|| panic!("{key} is a list: {of:?}")))
        .into_iter()
        .flatten()
}

fn words(of: &Yaml, key: &str) -> BTreeSet<String> {
    let words: Vec<String> = list(of, key)
        .map(|word| word.as_str().expect("a word").to_owned())
        .collect();
    let set: BTreeSet<String> = words.iter().cloned().collect();
    assert_eq!(set.len(), words.len(), "named twice: {words:?}");
    set
}

fn optional(of: &Yaml, key: &str) -> Option<String> {
    of.as_mapping_get(key)?.as_str().map(ToOwned::to_owned)
}

fn text(of: &Yaml, key: &str) -> String {
    optional(of, key).unwrap_or_else(|| panic!("{key} is missing: {of:?}"))
}

fn entries() -> Vec<Entry> {
    let file = read("alerts/guidance.yml");
    let documents = Yaml::load_from_str(&file).expect("YAML");
    let rows = documents[0].as_vec().expect("a list of rows");
    let known = ["row", "cause", "metrics", "alert", "none", "panel", "runbook", "test"];
    let entry = |row: &Yaml| {
        for key in row.as_mapping().expect("a map").keys() {
            let key = key.as_str().expect("a word");
            assert!(known.contains(&key), "no row has a key {key}");
        }
        assert!(!text(row, "cause").is_empty());
        Entry {
            row: text(row, "row"),
            named: Named::read(row),
            none: optional(row, "none"),
            tests: words(row, "test"),
        }
    };
    rows.iter().map(entry).collect()
}

/// Everything that is shipped.
fn shipped() -> Named {
    let alerts = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let mut panels = BTreeSet::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")).expect("dashboards") {
        let path = file.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).expect("text")).expect("JSON");
        let title = json["title"].as_str().expect("a title");
        let dashboard = title.strip_prefix("badgateway / ").expect("ours");
        let of = |json: &serde_json::Value| json["panels"].as_array().cloned().unwrap_or_default();
        let all = of(&json).into_iter().flat_map(|panel| {
            let inner = of(&panel);
            std::iter::once(panel).chain(inner)
        });
        let titles = all.filter_map(|panel| panel["title"].as_str().map(ToOwned::to_owned));
        panels.extend(titles.map(|title| (dashboard.to_owned(), title)));
    }
    Named {
        metrics: FAMILIES.iter().map(|family| family.name.to_owned()).collect(),
        alerts: alerts.map(ToOwned::to_owned).collect(),
        panels,
        runbooks: RUNBOOKS.iter().map(|runbook| runbook.name.to_owned()).collect(),
    }
}

#[test]
fn every_row_is_there_and_names_all_that_is_asked_for() {
    let entries = entries();
    let found: Vec<&str> = entries.iter().map(|entry| entry.row.as_str()).collect();
    let wanted: Vec<&str> = ROWS.iter().map(|(row, ..)| *row).collect();
    assert_eq!(found, wanted);
    for (entry, (row, metrics, alerts)) in entries.iter().zip(ROWS) {
        for metric in *metrics {
            let metric = format!("badgateway_{metric}");
            assert!(entry.named.metrics.contains(&metric), "{row} does not name {metric}");
        }
        for alert in *alerts {
            assert!(entry.named.alerts.contains(*alert), "{row} does not name {alert}");
        }
    }
}

#[test]
fn what_a_row_names_exists() {
    let shipped = shipped();
    for Entry { row, named, .. } in entries() {
        macro_rules! check {
            ($($kind:ident)*) => { $(
                let missing: Vec<_> = named.$kind.difference(&shipped.$kind).collect();
                assert!(missing.is_empty(), "{row} names {} that are not there: {missing:?}", stringify!($kind));
            )* };
        }
        check!(metrics alerts panels runbooks);
    }
}

#[test]
fn a_row_works_only_when_signal_alert_panel_and_runbook_do() {
    for Entry { row, named, none, .. } in entries() {
        assert!(
            !named.metrics.is_empty() && !named.panels.is_empty(),
            "{row} is open: {named:?}"
        );
        assert_eq!(
            none.is_some(),
            named.alerts.is_empty(),
            "{row}: an alert, or why there is none"
        );
        assert_eq!(named.alerts, named.runbooks, "{row}: every alert has its runbook");
    }
}

#[test]
fn every_alert_and_every_runbook_is_of_some_row() {
    let (shipped, entries) = (shipped(), entries());
    let alerts: BTreeSet<&String> = entries.iter().flat_map(|entry| &entry.named.alerts).collect();
    let runbooks: BTreeSet<&String> = entries.iter().flat_map(|entry| &entry.named.runbooks).collect();
    let lost: Vec<_> = shipped.alerts.iter().filter(|alert| !alerts.contains(alert)).collect();
    assert!(lost.is_empty(), "no row names {lost:?}");
    let pages = shipped.runbooks.iter().filter(|name| *name != "README");
    let lost: Vec<_> = pages.filter(|runbook| !runbooks.contains(runbook)).collect();
    assert!(lost.is_empty(), "no row names the runbooks {lost:?}");
}

/// The rows whose fault announces itself.
const ANNOUNCED: [&str; 12] = [
    "A2", "A4", "A5", "A9", "A10", "A11", "A12", "A13", "A14", "A15", "A16", "D2",
];

/// The alerts that each file of `tests/prevention` names.
fn held_before_a_failure() -> Vec<(String, BTreeSet<String>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prevention");
    let mut files = Vec::new();
    for file in fs::read_dir(folder).expect("the tests of prevention") {
        let path = file.expect("readable").path();
        let text = fs::read_to_string(&path).expect("text");
        let quoted = text.split('"').filter(|word| word.starts_with("BadGateway"));
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        files.push((name, quoted.map(ToOwned::to_owned).collect()));
    }
    files
}

#[test]
fn a_fault_that_announces_itself_has_an_alert_that_was_seen_before_it() {
    let files = held_before_a_failure();
    for Entry { row, named, tests, .. } in entries() {
        let holding = files.iter().filter(|(_, alerts)| !alerts.is_disjoint(&named.alerts));
        let holding: BTreeSet<String> = holding.map(|(file, _)| file.clone()).collect();
        assert_eq!(tests, holding, "the tests of {row}");
        assert!(
            !tests.is_empty() || !ANNOUNCED.contains(&row.as_str()),
            "{row} has no test"
        );
    }
    // What is made to come before a failure is all seen to.
    let mut group = "";
    for line in RULES.lines().map(str::trim) {
        group = line.strip_prefix("- name: ").unwrap_or(group);
        let alert = line.strip_prefix("- alert: ");
        let of = ["badgateway-prevention", "badgateway-certificates"].contains(&group);
        if let Some(alert) = alert.filter(|_| of) {
            let is_held = files.iter().any(|(_, alerts)| alerts.contains(alert));
            assert!(is_held, "no test of prevention names {alert}");
        }
    }
}
