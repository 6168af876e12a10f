//! `gateways[].config_file`: what a gateway's own configuration says, below what the entry says itself.
//!
//! What cannot be read is a note and changes nothing: the limits and the format stay what they were, or what they would be
//! without the file.

use std::path::Path;
use std::sync::Arc;

use crate::config::file::GatewayEntry;
use crate::config::operation::{ConfigFile, Log, LogInput, Syslog};
use crate::config::reader::Context;
use crate::gateway::Kind;
use crate::gateway::log::Parser;
use crate::gateway_config::{self, LineFormat, Said};
use crate::upstream::{HealthCheck, Host, Target};

/// Reads every such file.
pub(super) fn look_at(entries: &[GatewayEntry], cx: &Context<'_>) -> Vec<ConfigFile> {
    let named = entries
        .iter()
        .filter_map(|entry| Some((entry.name.as_ref()?, entry.kind.as_ref()?, entry.config_file.as_ref()?)));
    named
        .map(|(name, kind, file)| {
            let (kind, path, place) = (kind.value.name, &file.value, &file.place);
            if !gateway_config::is_read(kind) {
                cx.note(
                    place,
                    format!("the configuration of kind {kind} is not read, only its changes are shown"),
                );
            }
            let looked = gateway_config::look(kind, path);
            let changed = looked.changed();
            let said = match looked.said {
                Ok(said) => {
                    said.notes.iter().for_each(|note| cx.note(place, note.clone()));
                    Some(said)
                }
                Err(broken) => {
                    cx.note(place, format!("{broken}; nothing is taken from it"));
                    cx.last_said(&name.value, path).cloned()
                }
            };
            ConfigFile {
                gateway: name.value.as_str().into(),
                path: path.clone(),
                said,
                seen: looked.seen,
                changed,
            }
        })
        .collect()
}

/// What the file of a gateway says.
pub(super) fn said<'a>(gateway: &str, files: &'a [ConfigFile]) -> Option<&'a Said> {
    files.iter().find(|file| *file.gateway == *gateway)?.said.as_ref()
}

/// How that gateway's file has these servers checked: where it checks all of them, and in one way.
pub(super) fn health_check(files: &[ConfigFile], gateway: &str, servers: &[Arc<Target>]) -> Option<HealthCheck> {
    let checks = &said(gateway, files)?.checks;
    let of = |server: &Arc<Target>| {
        let authority = match &server.host {
            Host::Unix(_) => server.host.to_string(),
            host => format!("{host}:{}", server.port),
        };
        let mut checks = checks.iter().filter(move |checked| checked.server == authority);
        let first = &checks.next()?.check;
        checks.all(|other| other.check == *first).then_some(first)
    };
    let (first, others) = servers.split_first()?;
    let check = of(first)?;
    others
        .iter()
        .all(|other| of(other) == Some(check))
        .then(|| check.clone())
}

/// Fills in the formats of the entry's logs of requests, where the file tells them and the entry does not.
pub(super) fn fill_in(
    entry: &GatewayEntry,
    said: &Said,
    access_log: Option<&mut Log>,
    syslog: Option<&mut Syslog>,
    cx: &Context<'_>,
) {
    let (Some(kind), Some(file)) = (&entry.kind, &entry.config_file) else {
        return;
    };
    let fill_in = |path: Option<&Path>, format: &mut Option<String>| {
        if format.is_some() || kind.value.logs.is_none() {
            return;
        }
        match usable(said, path, kind.value) {
            Ok(found) => *format = found,
            Err(why) => cx.note(&file.place, format!("{why}; the kind's own formats are tried")),
        }
    };
    if let Some(log) = access_log {
        let path = match &log.input {
            LogInput::Path(path) => Some(path.as_path()),
            _ => None,
        };
        fill_in(path, &mut log.format);
    }
    if let Some(syslog) = syslog {
        fill_in(None, &mut syslog.format);
    }
}

/// The format string; nothing where it is one of the kind's own.
fn usable(said: &Said, path: Option<&Path>, kind: &'static Kind) -> Result<Option<String>, String> {
    match said.format_of(path)? {
        LineFormat::Custom(text) => match Parser::new(kind, Some(text)) {
            Ok(_) => Ok(Some(text.clone())),
            Err(error) => Err(format!("the format of its log cannot be used: {error}")),
        },
        LineFormat::Own => Ok(None),
        LineFormat::Unusable(why) => Err(why.clone()),
    }
}
