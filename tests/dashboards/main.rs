//! The dashboards: well-formed by the rules of Grafana's own linter, of known metrics and labels alone, one colour for one
//! thing everywhere; and every query run against a real Prometheus while faults run (`live`).

#[path = "../support/mod.rs"]
mod support;

mod lint;
mod live;
mod promql;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Series that the rules make, with their labels. While there are no rules, panels with one of them are only parsed.
const OF_RULES: &[(&str, &[&str])] = &[
    ("upstream:badgateway_error_budget:ratio", &["upstream"]),
    ("upstream:badgateway_errors_per_request:ratio_rate5m", &["upstream"]),
    ("ALERTS", &["alertname", "alertstate", "severity", "upstream"]),
];

/// The rules that ship beside the dashboards.
fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/badgateway.rules.yml")
}

/// Series that Prometheus itself makes of each scrape.
const OF_PROMETHEUS: &[&str] = &["up", "scrape_samples_scraped", "scrape_duration_seconds"];

/// Series of node_exporter, with their labels.
const OF_NODE: &[(&str, &[&str])] = &[
    ("node_uname_info", &["nodename", "release"]),
    ("node_cpu_seconds_total", &["cpu", "mode"]),
    ("node_memory_MemAvailable_bytes", &[]),
    ("node_memory_MemTotal_bytes", &[]),
    ("node_disk_io_time_seconds_total", &["device"]),
    ("node_filesystem_avail_bytes", &["device", "fstype", "mountpoint"]),
    ("node_filesystem_size_bytes", &["device", "fstype", "mountpoint"]),
    ("node_network_receive_bytes_total", &["device"]),
    ("node_network_transmit_bytes_total", &["device"]),
    ("node_netstat_TcpExt_ListenDrops", &[]),
    ("node_pressure_cpu_waiting_seconds_total", &[]),
    ("node_pressure_io_stalled_seconds_total", &[]),
    ("node_pressure_memory_stalled_seconds_total", &[]),
];

/// One file.
struct Dashboard {
    name: String,
    json: Value,
}

/// One query of a panel, a variable or an annotation.
struct Target<'a> {
    expression: &'a str,
    instant: bool,
    legend: &'a str,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// The shipped dashboards, by name.
fn dashboards() -> Vec<Dashboard> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .expect("there are dashboards")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    let read = |path: PathBuf| Dashboard {
        name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
        json: serde_json::from_slice(&fs::read(&path).expect("it can be read"))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    files.into_iter().map(read).collect()
}

/// The elements of an array; of nothing, none.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text; of nothing, the empty one.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Dashboard {
    /// Rows, and the panels of collapsed ones too.
    fn all_panels(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["panels"]).flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
    }

    /// Panels that show data.
    fn panels(&self) -> impl Iterator<Item = &Value> {
        self.all_panels().filter(|panel| panel["type"] != "row")
    }

    fn variables(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["templating"]["list"])
    }
}

fn targets(panel: &Value) -> impl Iterator<Item = Target<'_>> {
    list(&panel["targets"]).map(|target| Target {
        expression: text(&target["expr"]),
        instant: target["instant"] == true,
        legend: text(&target["legendFormat"]),
    })
}
