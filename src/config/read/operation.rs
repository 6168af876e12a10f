//! Discovery, paging, storage, endpoints, and what an upstream says besides what is probed.

use std::time::Duration;

use super::hop::host_pattern;
use http::Method;

use crate::config::operation::{
    AgentCheck, Alertmanager, Allow, Discovery, HealthEndpoint, ProbeEndpoint, RecordType, Storage,
};
use crate::config::reader::{At, Cursor};
use crate::config::{number, url, value};
use crate::upstream::{CheckRequest, HealthCheck};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// How often discovery asks unless told otherwise; Prometheus's own default for http_sd.
const DEFAULT_REFRESH: Duration = Duration::from_secs(60);
/// How long a verdict stands before it pages: one confirmation and one more round.
const DEFAULT_AFTER: Duration = Duration::from_secs(30);
/// Bytes kept on disk.
const DEFAULT_MAX_SIZE: u64 = 64 << 20;
/// Probes on request under way at once.
const DEFAULT_CONCURRENCY: u64 = 32;

/// One entry of `discovery`.
pub fn discovery(cursor: &Cursor<'_>) -> Option<Discovery> {
    let mut fields = cursor.fields()?;
    let file = fields.get("file");
    let http = fields.get("http");
    let dns = fields.get("dns");
    fields.finish();
    match (file, http, dns) {
        (Some(list), None, None) => {
            let patterns = list.one_or_more();
            let patterns = patterns.iter().filter_map(|text| text.string());
            let absolute = patterns.map(|text| cursor.cx().base_dir.join(text.value).to_string_lossy().into_owned());
            Some(Discovery::File {
                patterns: absolute.collect(),
            })
        }
        (None, Some(map), None) => http_discovery(&map),
        (None, None, Some(map)) => dns_discovery(&map),
        _ => {
            cursor.problem("needs exactly one of file, http and dns");
            None
        }
    }
}

fn http_discovery(cursor: &Cursor<'_>) -> Option<Discovery> {
    let mut fields = cursor.fields()?;
    let url = fields
        .required("url", "https://sd.internal/targets")
        .and_then(|text| url::read_private(&text));
    let refresh = fields
        .get("refresh")
        .and_then(|text| text.parse(number::duration_within(SECOND..=DAY)));
    fields.finish();
    Some(Discovery::Http {
        url: url?.value,
        refresh: refresh.map_or(DEFAULT_REFRESH, |refresh| refresh.value),
    })
}

fn dns_discovery(cursor: &Cursor<'_>) -> Option<Discovery> {
    let mut fields = cursor.fields()?;
    let name = fields.required("name", "_http._tcp.shop.internal").and_then(|text| {
        text.parse(|text| url::domain(text).map_err(|_| "is not a DNS name; write _http._tcp.shop.internal".into()))
    });
    let record = fields.get("type").and_then(|word| {
        word.choice(&[
            ("SRV", RecordType::Srv),
            ("A", RecordType::A),
            ("AAAA", RecordType::Aaaa),
        ])
    });
    let port = fields.get("port").and_then(|number| number.number(1..=65_535));
    let refresh = fields
        .get("refresh")
        .and_then(|text| text.parse(number::duration_within(SECOND..=DAY)));
    fields.finish();
    let record = record.map_or(RecordType::Srv, |record| record.value);
    match (record, &port) {
        (RecordType::Srv, Some(port)) => cursor.cx().problem(&port.place, "SRV records name the port; remove it"),
        (RecordType::A | RecordType::Aaaa, None) => cursor.problem("port is missing; A and AAAA records name none"),
        _ => {}
    }
    Some(Discovery::Dns {
        name: name?.value,
        record,
        port: port.map(|port| port.value as u16),
        refresh: refresh.map_or(DEFAULT_REFRESH, |refresh| refresh.value),
    })
}

/// `alertmanager`.
pub fn alertmanager(cursor: &Cursor<'_>) -> Option<Alertmanager> {
    let mut fields = cursor.fields()?;
    let urls = fields.required("urls", "[http://127.0.0.1:9093]");
    let after = fields
        .get("after")
        .and_then(|text| text.parse(number::duration_within(Duration::ZERO..=DAY)));
    fields.finish();
    let urls = urls?.one_or_more();
    if urls.is_empty() {
        cursor.problem("urls is empty; write urls: [http://127.0.0.1:9093], or remove alertmanager");
    }
    Some(Alertmanager {
        urls: urls.iter().filter_map(url::read_private).map(|url| url.value).collect(),
        after: after.map_or(DEFAULT_AFTER, |after| after.value),
    })
}

/// `storage`.
pub fn storage(cursor: &Cursor<'_>) -> Option<Storage> {
    let mut fields = cursor.fields()?;
    let path = fields
        .required("path", "/var/lib/badgateway")
        .and_then(|text| text.string());
    let max_size = fields
        .get("max_size")
        .and_then(|text| text.parse(number::size_within(1 << 20..=1 << 40)));
    fields.finish();
    Some(Storage {
        path: cursor.cx().base_dir.join(path?.value),
        max_size: max_size.map_or(DEFAULT_MAX_SIZE, |size| size.value),
    })
}

/// `external_url`: where people reach us; it ends up in alerts, so it holds no credentials.
pub fn external_url(cursor: &Cursor<'_>) -> Option<At<String>> {
    let location = url::read(cursor)?;
    let text = cursor.text()?;
    if location.value.userinfo.is_some() || location.value.query.is_some() {
        cursor.problem("is shown in alerts and metrics; write it without credentials and query");
        return None;
    }
    if matches!(location.value.host, crate::upstream::Host::Unix(_)) {
        cursor.problem("is opened in a browser; write https://badgateway.example.com/");
        return None;
    }
    Some(location.map(|_| text.value))
}

/// `health_endpoint`.
pub fn health_endpoint(cursor: &Cursor<'_>) -> Option<HealthEndpoint> {
    let mut fields = cursor.fields()?;
    let allow_all = fields.get("allow_all").and_then(|flag| flag.flag());
    fields.finish();
    Some(HealthEndpoint {
        allow_all: allow_all.is_some_and(|flag| flag.value),
    })
}

/// `agent_check`.
pub fn agent_check(cursor: &Cursor<'_>) -> Option<AgentCheck> {
    let mut fields = cursor.fields()?;
    let listen = fields
        .required("listen", "127.0.0.1:10503")
        .and_then(|text| text.parse(value::listen_address));
    fields.finish();
    Some(AgentCheck { listen: listen?.value })
}

/// `probe_endpoint`.
pub fn probe_endpoint(cursor: &Cursor<'_>) -> Option<ProbeEndpoint> {
    let mut fields = cursor.fields()?;
    let enabled = fields
        .get("enabled")
        .and_then(|flag| flag.flag())
        .is_some_and(|flag| flag.value);
    let allow = fields.get("allow").map(|list| list.one_or_more()).unwrap_or_default();
    let allow: Vec<Allow> = allow
        .iter()
        .filter_map(|text| text.parse(self::allow))
        .map(|rule| rule.value)
        .collect();
    let concurrency = fields.get("concurrency").and_then(|number| number.number(1..=10_000));
    let stated = fields.get("allow").is_some();
    fields.finish();
    if enabled && !stated {
        cursor
            .problem("allow is missing: /probe asks whatever it is told to; write allow: [\"*.internal\", 10.0.0.0/8]");
    }
    Some(ProbeEndpoint {
        enabled,
        allow,
        concurrency: concurrency.map_or(DEFAULT_CONCURRENCY, |number| number.value) as usize,
    })
}

fn allow(text: &str) -> Result<Allow, String> {
    value::network(text)
        .map(Allow::Network)
        .or_else(|_| host_pattern(text).map(Allow::Host))
        .map_err(|_| "is neither a host nor a network; write \"*.internal\" or 10.0.0.0/8".into())
}

/// `health_check`, with the defaults most gateways share.
pub fn health_check(cursor: &Cursor<'_>) -> Option<At<HealthCheck>> {
    let mut fields = cursor.fields()?;
    let path = fields
        .required("path", "/healthz")
        .and_then(|text| text.parse(|text| url::request_target(text).map(|_| text.to_owned())));
    let interval = fields
        .get("interval")
        .and_then(|text| text.parse(number::duration_within(SECOND..=DAY)));
    let timeout = fields
        .get("timeout")
        .and_then(|text| text.parse(number::duration_within(Duration::from_millis(1)..=DAY)));
    let unhealthy_after = fields.get("unhealthy_after").and_then(|number| number.number(1..=1000));
    let healthy_after = fields.get("healthy_after").and_then(|number| number.number(1..=1000));
    fields.finish();
    Some(cursor.at(HealthCheck {
        request: Some(CheckRequest {
            method: Method::GET,
            path: path?.value,
            host: None,
            http10: false,
        }),
        port: None,
        interval: interval.map_or(10 * SECOND, |interval| interval.value),
        timeout: timeout.map_or(2 * SECOND, |timeout| timeout.value),
        unhealthy_after: unhealthy_after.map_or(3, |number| number.value as u32),
        healthy_after: healthy_after.map_or(2, |number| number.value as u32),
    }))
}

/// `content`.
pub fn content(cursor: &Cursor<'_>) -> Option<At<Vec<String>>> {
    let mut fields = cursor.fields()?;
    let stable = fields.get("stable").map(|list| list.one_or_more()).unwrap_or_default();
    fields.finish();
    let paths = stable.iter().filter_map(|text| {
        text.parse(|text| url::request_target(text).map(|_| text.to_owned()))
            .map(|path| path.value)
    });
    Some(cursor.at(paths.collect()))
}
