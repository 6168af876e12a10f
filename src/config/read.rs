//! The tree to the file as written: which keys exist where, one function per section.

use super::file::{ConfirmEntry, File, PathEntry, Settings, SpikeEntry, UpstreamEntry};
use super::reader::{At, Cursor, Fields};
use super::{number, url, value};
use crate::upstream::EvidencePolicy;

mod gateway;
mod hop;
mod operation;
mod request;
mod secret;

pub use hop::bare as bare_host;
pub use hop::host;
pub use secret::read as read_file;

/// The whole file.
pub fn file(root: &Cursor<'_>) -> File {
    let mut file = File::default();
    let Some(mut fields) = root.fields() else { return file };
    if let Some(defaults) = fields.get("defaults") {
        file.defaults = defaults_section(&defaults, &mut file.max_concurrent_probes);
    }
    if let Some(list) = fields.get("gateways") {
        file.gateways = list.items().iter().filter_map(gateway::entry).collect();
    }
    if let Some(map) = fields.get("modules") {
        file.modules = modules(&map);
    }
    if let Some(list) = fields.get("upstreams") {
        file.upstreams = list.items().iter().filter_map(upstream).collect();
    }
    file.self_check = fields.get("self_check").map(|list| {
        let urls = list.one_or_more().iter().filter_map(url::read).collect();
        list.at(urls)
    });
    if let Some(list) = fields.get("discovery") {
        file.discovery = list.items().iter().filter_map(operation::discovery).collect();
    }
    file.alertmanager = fields.get("alertmanager").and_then(|map| operation::alertmanager(&map));
    file.storage = fields.get("storage").and_then(|map| operation::storage(&map));
    file.external_url = fields
        .get("external_url")
        .and_then(|text| operation::external_url(&text));
    file.trace_sampled = fields
        .get("trace_sampled")
        .and_then(|text| text.parse(number::percentage));
    file.health_endpoint = fields
        .get("health_endpoint")
        .and_then(|map| operation::health_endpoint(&map));
    file.agent_check = fields.get("agent_check").and_then(|map| operation::agent_check(&map));
    file.probe_endpoint = fields
        .get("probe_endpoint")
        .and_then(|map| operation::probe_endpoint(&map));
    if let Some(number) = fields.get("max_concurrent_probes") {
        file.max_concurrent_probes = number.number(1..=1_000_000);
    }
    for key in ["interval", "timeout", "confirm", "max_rate"] {
        fields.elsewhere(
            key,
            "belongs under defaults, where it holds for every upstream, or on an upstream",
        );
    }
    fields.finish();
    file
}

/// `defaults`, which also takes `max_concurrent_probes`: it is one number for the whole process.
fn defaults_section(cursor: &Cursor<'_>, max_concurrent_probes: &mut Option<At<u64>>) -> Settings {
    let Some(mut fields) = cursor.fields() else {
        return Settings::default();
    };
    *max_concurrent_probes = fields
        .get("max_concurrent_probes")
        .and_then(|number| number.number(1..=1_000_000));
    let settings = settings(&mut fields);
    fields.finish();
    settings
}

fn modules(cursor: &Cursor<'_>) -> Vec<(At<String>, Settings)> {
    let mut modules = Vec::new();
    for (key, map) in cursor.entries() {
        if let Err(message) = value::name(&key.value) {
            cursor
                .cx()
                .problem(&key.place, format!("{} {message}", super::error::quoted(&key.value)));
        }
        let Some(mut fields) = map.fields() else { continue };
        let settings = settings(&mut fields);
        fields.elsewhere("url", "belongs on a hop; a module holds settings without a place");
        fields.finish();
        modules.push((key, settings));
    }
    modules
}

fn upstream(cursor: &Cursor<'_>) -> Option<UpstreamEntry> {
    let mut fields = cursor.fields()?;
    let entry = UpstreamEntry {
        place: cursor.place(),
        name: fields
            .required("name", "checkout")
            .and_then(|name| name.parse(value::name)),
        module: fields.get("module").and_then(|name| name.string()),
        origin: fields
            .get("origin")
            .map(|origin| origin.one_or_more().iter().filter_map(hop::origin_entry).collect()),
        via: fields
            .get("via")
            .map(|via| via.one_or_more().iter().filter_map(hop::via_entry).collect()),
        settings: settings(&mut fields),
    };
    fields.elsewhere(
        "url",
        "belongs on a hop; write origin: URL, or a url in each entry of via",
    );
    fields.elsewhere("gateway", "belongs in an entry of via: { gateway: NAME, url: URL }");
    fields.finish();
    Some(entry)
}

/// What may stand in `defaults`, in a module and on an upstream.
fn settings(fields: &mut Fields<'_>) -> Settings {
    let seconds = std::time::Duration::from_secs;
    Settings {
        hop: hop::settings(fields),
        interval: fields
            .get("interval")
            .and_then(|text| text.parse(number::duration_within(seconds(1)..=seconds(86_400)))),
        confirm: fields.get("confirm").map(|map| confirm(&map)).unwrap_or_default(),
        max_rate: fields.get("max_rate").and_then(|text| text.parse(number::rate)),
        labels: fields.get("labels").map(|map| labels(&map)).unwrap_or_default(),
        objective: fields.get("objective").and_then(|text| text.parse(objective)),
        spike: fields.get("spike").map(|map| spike(&map)).unwrap_or_default(),
        evidence: fields
            .get("evidence")
            .and_then(|word| word.choice(&[("safe", EvidencePolicy::Safe), ("full", EvidencePolicy::Full)])),
        paths: fields.get("paths").map(|list| {
            let paths = list.one_or_more().iter().filter_map(path).collect();
            list.at(paths)
        }),
        health_check: fields.get("health_check").and_then(|map| operation::health_check(&map)),
        version_header: fields.get("version_header").and_then(|name| {
            name.parse(|text| {
                http::HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not the name of a header".into())
            })
        }),
        stable_content: fields.get("content").and_then(|map| operation::content(&map)),
    }
}

fn confirm(cursor: &Cursor<'_>) -> ConfirmEntry {
    let Some(mut fields) = cursor.fields() else {
        return ConfirmEntry::default();
    };
    let ms = std::time::Duration::from_millis;
    let entry = ConfirmEntry {
        retries: fields.get("retries").and_then(|number| number.number(0..=10)),
        delay: fields
            .get("delay")
            .and_then(|text| text.parse(number::duration_within(ms(0)..=ms(60_000)))),
        recheck: fields
            .get("recheck")
            .and_then(|text| text.parse(number::duration_within(ms(500)..=ms(3_600_000)))),
        recover_after: fields.get("recover_after").and_then(|number| number.number(1..=100)),
    };
    fields.finish();
    entry
}

fn spike(cursor: &Cursor<'_>) -> SpikeEntry {
    let Some(mut fields) = cursor.fields() else {
        return SpikeEntry::default();
    };
    let seconds = std::time::Duration::from_secs;
    let entry = SpikeEntry {
        ratio: fields.get("ratio").and_then(|text| {
            text.parse(|text| match number::percentage(text)? {
                ratio if ratio > 0.0 => Ok(ratio),
                _ => Err("is always exceeded; write a percentage above 0%".into()),
            })
        }),
        window: fields
            .get("window")
            .and_then(|text| text.parse(number::duration_within(seconds(5)..=seconds(3600)))),
        minimum_requests: fields
            .get("minimum_requests")
            .and_then(|number| number.number(1..=1_000_000_000)),
    };
    fields.finish();
    entry
}

/// A promise of 100 % leaves no budget to burn, and 0 % promises nothing.
fn objective(text: &str) -> Result<f64, String> {
    match number::percentage(text)? {
        share if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("leaves nothing to measure; write a percentage above 0% and below 100%, such as 99.9%".into()),
    }
}

fn labels(cursor: &Cursor<'_>) -> Vec<(At<String>, String)> {
    let mut labels = Vec::new();
    for (key, text) in cursor.entries() {
        if let Err(message) = value::label_name(&key.value) {
            cursor
                .cx()
                .problem(&key.place, format!("{} {message}", super::error::quoted(&key.value)));
            continue;
        }
        let short = |text: &str| match text.len() <= 1024 {
            true => Ok(text.to_owned()),
            false => Err("is too long for a label; write at most 1024 bytes".to_owned()),
        };
        if let Some(text) = text.parse(short) {
            labels.push((key, text.value));
        }
    }
    labels
}

/// One entry of `paths`. The label leaves the query out: it ends up in metrics, and queries carry keys.
fn path(cursor: &Cursor<'_>) -> Option<At<PathEntry>> {
    let text = cursor.text()?;
    match url::request_target(&text.value) {
        Ok((path, query)) => Some(cursor.at(PathEntry {
            label: text.value.split('?').next().unwrap_or_default().to_owned(),
            path,
            query,
        })),
        Err(message) => {
            let shown = match text.raw.contains("://") {
                true => url::redacted(&text.raw),
                false => url::without_query(&text.raw),
            };
            cursor.problem(format!("{} {message}", super::error::quoted(&shown)));
            None
        }
    }
}
