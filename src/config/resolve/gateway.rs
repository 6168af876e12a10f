//! Gateways: defined once, named by hops and routes.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Known, config_file, missing};
use crate::config::error::quoted;
use crate::config::file::{File, GatewayEntry, HopEntry};
use crate::config::operation::{ConfigFile, GatewaySettings};
use crate::config::reader::Context;
use crate::gateway_config::Said;
use crate::upstream::{Gateway, LimitKind, LimitSource, Limits};

/// Gateways by name, each with whether it verifies its origin's certificate.
pub fn by_name<'a>(
    entries: &'a [GatewayEntry],
    files: &[ConfigFile],
    cx: &Context<'_>,
) -> HashMap<&'a str, (Arc<Gateway>, bool)> {
    let mut gateways = HashMap::new();
    let mut lines: HashMap<&str, usize> = HashMap::new();
    for entry in entries {
        let Some(name) = &entry.name else { continue };
        if let Some(line) = lines.get(name.value.as_str()) {
            cx.problem(
                &name.place,
                format!("{} is defined twice; the first is in line {line}", quoted(&name.value)),
            );
            continue;
        }
        lines.insert(&name.value, name.place.at.line);
        // Without its kind the gateway is still known, so that hops through it are no further problem.
        let kind = entry.kind.as_ref().map_or(crate::gateway::GENERIC, |kind| kind.value);
        let file = files.iter().find(|file| *file.gateway == *name.value);
        let read = config_file::said(&name.value, files).map(Said::strictest);
        let gateway = Gateway {
            name: name.value.as_str().into(),
            kind: kind.name,
            limits: kind
                .limits
                .overridden_by(read.unwrap_or_default())
                .overridden_by(entry.limits),
            sources: sources(&entry.limits, file),
        };
        gateways.insert(
            name.value.as_str(),
            (Arc::new(gateway), kind.verifies_origin_certificate),
        );
    }
    gateways
}

/// Where each limit is known from that is not the kind's default.
fn sources(own: &Limits, file: Option<&ConfigFile>) -> Vec<(LimitKind, LimitSource)> {
    let source = |kind: LimitKind| {
        if own.time(kind).is_some() || own.size(kind).is_some() {
            return Some((kind, LimitSource::Configured));
        }
        let (file, mut stated) = (file?, file?.said.as_ref()?.limits.iter());
        let directive = stated.find(|stated| stated.kind == kind)?.directive;
        let path = file.path.display().to_string().into();
        Some((kind, LimitSource::File { path, directive }))
    };
    LimitKind::ALL.into_iter().filter_map(source).collect()
}

pub fn settings(file: &File, known: &Known<'_>, files: &[ConfigFile], cx: &Context<'_>) -> Vec<GatewaySettings> {
    let upstreams: Vec<&str> = file
        .upstreams
        .iter()
        .filter_map(|entry| Some(entry.name.as_ref()?.value.as_str()))
        .collect();
    let mut settings = Vec::new();
    for entry in &file.gateways {
        for route in &entry.routes {
            let name = route.value.upstream.as_str();
            // With discovery the upstream may come later.
            if file.discovery.is_empty() && !upstreams.contains(&name) {
                cx.problem(&route.place, missing(name, "upstream", &upstreams));
            }
        }
        let Some((gateway, _)) = entry
            .name
            .as_ref()
            .and_then(|name| known.gateways.get(name.value.as_str()))
        else {
            continue;
        };
        let (mut access_log, mut syslog) = (entry.access_log.clone(), entry.syslog.clone());
        if let Some(said) = config_file::said(&gateway.name, files) {
            config_file::fill_in(entry, said, access_log.as_mut(), syslog.as_mut(), cx);
        }
        settings.push(GatewaySettings {
            gateway: gateway.clone(),
            access_log,
            error_log: entry.error_log.clone(),
            syslog,
            ignore: entry.ignore.clone(),
            routes: entry.routes.iter().map(|route| route.value.clone()).collect(),
        });
    }
    settings
}

/// The gateway an entry of `via` names, or the one whose name is the host of its URL.
pub fn of(via: &HopEntry, known: &Known<'_>, cx: &Context<'_>) -> Option<(Arc<Gateway>, bool)> {
    let mut names: Vec<&str> = known.gateways.keys().copied().collect();
    names.sort_unstable();
    if let Some(name) = &via.gateway {
        let gateway = known.gateways.get(name.value.as_str()).cloned();
        if gateway.is_none() {
            cx.problem(&name.place, missing(&name.value, "gateway", &names));
        }
        return gateway;
    }
    let host = via.url.as_ref().map(|url| url.value.host.to_string());
    let gateway = host.and_then(|host| known.gateways.get(host.as_str()).cloned());
    if gateway.is_none() {
        let message = match names.first() {
            Some(name) => format!("gateway is missing; write gateway: {name}, or another name under gateways"),
            None => "gateway is missing; define it under gateways and name it here".into(),
        };
        cx.problem(&via.place, message);
    }
    gateway
}
