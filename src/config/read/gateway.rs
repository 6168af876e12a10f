//! `gateways`: what each is, what it tolerates, where it logs.

use std::time::Duration;

use crate::config::error::nearest;
use crate::config::file::GatewayEntry;
use crate::config::operation::{Envelope, Ignore, Log, LogInput, ReadFrom, Route, Syslog, SyslogListener};
use crate::config::reader::{At, Cursor};
use crate::config::{number, value};
use crate::gateway::log::Parser;
use crate::gateway::{self, Kind};
use crate::upstream::{LimitKind, Limits, ORIGIN};

/// Longest limit that is taken for meant.
const MAX_LIMIT: Duration = Duration::from_secs(7 * 86_400);

/// One entry of `gateways`.
pub fn entry(cursor: &Cursor<'_>) -> Option<GatewayEntry> {
    let mut fields = cursor.fields()?;
    let mut formats = Vec::new();
    let entry = GatewayEntry {
        name: fields.required("name", "edge").and_then(|text| text.parse(name)),
        kind: fields.required("kind", "nginx").and_then(|text| text.parse(kind)),
        limits: fields.get("limits").map(|map| limits(&map)).unwrap_or_default(),
        config_file: fields
            .get("config_file")
            .and_then(|path| path.string())
            .map(|path| path.map(|path| cursor.cx().base_dir.join(path))),
        access_log: fields.get("access_log").and_then(|entry| log(&entry, &mut formats)),
        error_log: fields.get("error_log").and_then(|entry| log(&entry, &mut formats)),
        syslog: fields.get("syslog").and_then(|entry| syslog(&entry, &mut formats)),
        ignore: fields.get("ignore").map(|map| ignore(&map)).unwrap_or_default(),
        routes: fields
            .get("routes")
            .map(|list| list.items().iter().filter_map(route).collect())
            .unwrap_or_default(),
    };
    fields.elsewhere("url", "belongs in an entry of via: { gateway: NAME, url: URL }");
    fields.finish();
    readable(&entry, &formats, cursor);
    Some(entry)
}

/// The logs of that kind can be read, in the formats they are said to have.
fn readable(entry: &GatewayEntry, formats: &[At<String>], cursor: &Cursor<'_>) {
    let Some(kind) = &entry.kind else { return };
    let has_logs = entry.access_log.is_some() || entry.error_log.is_some() || entry.syslog.is_some();
    if has_logs && kind.value.logs.is_none() {
        let name = kind.value.name;
        cursor.cx().problem(
            &kind.place,
            format!(
                "logs of kind {name} are not read; leave out its logs, or name the kind of gateway that writes them"
            ),
        );
        return;
    }
    for format in formats {
        if let Err(error) = Parser::new(kind.value, Some(&format.value)) {
            cursor.cx().problem(&format.place, error.to_string());
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    match text {
        ORIGIN => Err("is the hop that passes no gateway; choose another name".into()),
        text => value::name(text),
    }
}

fn kind(text: &str) -> Result<&'static Kind, String> {
    gateway::kind(text).ok_or_else(|| {
        let names = gateway::KINDS
            .iter()
            .flat_map(|kind| std::iter::once(kind.name).chain(kind.aliases.iter().copied()));
        match nearest(text, names) {
            Some(near) => format!("is not a kind of gateway; did you mean {near}?"),
            None => {
                let known: Vec<&str> = gateway::KINDS.iter().map(|kind| kind.name).collect();
                format!("is not a kind of gateway; known are {}", known.join(", "))
            }
        }
    })
}

fn limits(cursor: &Cursor<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut fields) = cursor.fields() else {
        return limits;
    };
    for kind in LimitKind::ALL {
        let Some(text) = fields.get(kind.label()) else { continue };
        if kind.is_size() {
            let bytes = text.parse(number::size_within(1..=1 << 40)).map(|size| size.value);
            match kind {
                LimitKind::ResponseHeader => limits.response_header = bytes,
                _ => limits.response_body = bytes,
            }
            continue;
        }
        let range = Duration::from_millis(1)..=MAX_LIMIT;
        let time = text.parse(number::duration_within(range)).map(|time| time.value);
        match kind {
            LimitKind::Connect => limits.connect = time,
            LimitKind::Tls => limits.tls = time,
            LimitKind::Send => limits.send = time,
            LimitKind::FirstByte => limits.first_byte = time,
            LimitKind::BetweenReads => limits.between_reads = time,
            LimitKind::Total => limits.total = time,
            LimitKind::Idle => limits.idle = time,
            LimitKind::ResponseHeader | LimitKind::ResponseBody => {}
        }
    }
    fields.finish();
    limits
}

/// A path, or a map with exactly one source.
fn log(cursor: &Cursor<'_>, formats: &mut Vec<At<String>>) -> Option<Log> {
    let base = cursor.cx().base_dir;
    if !cursor.is_map() {
        return Some(Log {
            input: LogInput::Path(base.join(cursor.string()?.value)),
            format: None,
            envelope: Envelope::default(),
            from: ReadFrom::default(),
        });
    }
    let mut fields = cursor.fields()?;
    let mut inputs = Vec::new();
    if let Some(path) = fields.get("path") {
        inputs.push(path.string().map(|path| LogInput::Path(base.join(path.value))));
    }
    if let Some(pattern) = fields.get("drop") {
        let pattern = pattern.string();
        inputs.push(pattern.map(|pattern| LogInput::Drop(base.join(pattern.value).to_string_lossy().into_owned())));
    }
    if let Some(address) = fields.get("http") {
        inputs.push(
            address
                .parse(value::listen_address)
                .map(|address| LogInput::Http(address.value)),
        );
    }
    if let Some(flag) = fields.get("stdin").and_then(|stdin| stdin.flag()) {
        inputs.extend(flag.value.then_some(Some(LogInput::Stdin)));
    }
    let format = fields.get("format").and_then(|text| format(&text, formats));
    let envelope = fields.get("envelope").and_then(|word| {
        word.choice(&[
            ("plain", Envelope::Plain),
            ("cri", Envelope::Cri),
            ("docker", Envelope::Docker),
            ("syslog", Envelope::Syslog),
        ])
    });
    let from = fields
        .get("from")
        .and_then(|word| word.choice(&[("end", ReadFrom::End), ("start", ReadFrom::Start)]));
    fields.finish();
    if inputs.len() != 1 {
        cursor.problem("needs exactly one of path, drop, http and stdin: true");
        return None;
    }
    Some(Log {
        input: inputs.pop()??,
        format,
        envelope: envelope.map_or_else(Envelope::default, |envelope| envelope.value),
        from: from.map_or_else(ReadFrom::default, |from| from.value),
    })
}

/// A format string as it stands in the gateway's own configuration: `${…}` in it is no variable of this one.
fn format(cursor: &Cursor<'_>, formats: &mut Vec<At<String>>) -> Option<String> {
    let text = cursor.verbatim()?;
    let format = text.value.clone();
    formats.push(text);
    Some(format)
}

/// Where it is received, or a map with the format besides.
fn syslog(cursor: &Cursor<'_>, formats: &mut Vec<At<String>>) -> Option<Syslog> {
    if !cursor.is_map() {
        return Some(Syslog {
            listen: cursor.parse(listener)?.value,
            format: None,
        });
    }
    let mut fields = cursor.fields()?;
    let listen = fields
        .required("listen", "127.0.0.1:5514")
        .and_then(|text| text.parse(listener));
    let format = fields.get("format").and_then(|text| format(&text, formats));
    fields.finish();
    Some(Syslog {
        listen: listen?.value,
        format,
    })
}

fn listener(text: &str) -> Result<SyslogListener, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(SyslogListener::Unix(path.into())),
        Some(_) => Err("needs an absolute path; write unix:/run/badgateway.sock".into()),
        None => value::listen_address(text)
            .map(SyslogListener::Address)
            .map_err(|_| "is no place to receive syslog; write 127.0.0.1:5514 or unix:/run/badgateway.sock".into()),
    }
}

fn ignore(cursor: &Cursor<'_>) -> Ignore {
    let Some(mut fields) = cursor.fields() else {
        return Ignore::default();
    };
    let agents = fields
        .get("user_agents")
        .map(|list| list.one_or_more())
        .unwrap_or_default();
    let addresses = fields
        .get("addresses")
        .map(|list| list.one_or_more())
        .unwrap_or_default();
    fields.finish();
    Ignore {
        user_agents: agents
            .iter()
            .filter_map(|text| text.string())
            .map(|text| text.value)
            .collect(),
        addresses: addresses
            .iter()
            .filter_map(|text| text.parse(value::network))
            .map(|network| network.value)
            .collect(),
    }
}

fn route(cursor: &Cursor<'_>) -> Option<At<Route>> {
    let mut fields = cursor.fields()?;
    let host = fields.get("host").and_then(|text| text.parse(super::hop::host_pattern));
    let path_prefix = fields.get("path_prefix").and_then(|text| {
        text.parse(|text| match text.starts_with('/') {
            true => Ok(text.to_owned()),
            false => Err("is not the beginning of a path; write /checkout".into()),
        })
    });
    let names = fields.get("names").map(|list| list.one_or_more()).unwrap_or_default();
    let names: Vec<String> = names
        .iter()
        .filter_map(|text| text.string())
        .map(|text| text.value)
        .collect();
    let stated = ["host", "path_prefix", "names"]
        .into_iter()
        .any(|key| fields.get(key).is_some());
    let upstream = fields.required("upstream", "checkout").and_then(|name| name.string());
    fields.finish();
    if !stated {
        cursor.problem("matches everything; state host, path_prefix or names");
    }
    let upstream = upstream?;
    Some(At {
        value: Route {
            host: host.map(|host| host.value),
            path_prefix: path_prefix.map(|prefix| prefix.value),
            names,
            upstream: upstream.value,
        },
        place: upstream.place,
    })
}
