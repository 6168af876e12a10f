//! Where nginx logs, and in which format.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::os::unix::fs::FileTypeExt as _;

use super::{Found, WrittenLog};
use crate::gateway_config::{AccessLog, LineFormat, Target};

/// Every log of requests, the one that holds for most places that pass requests on first.
pub(super) fn access(found: &Found) -> Vec<AccessLog> {
    let mut places: HashMap<&WrittenLog, usize> = HashMap::new();
    for log in found.passes.iter().flat_map(|pass| pass.scope.access_logs.iter()) {
        *places.entry(log).or_default() += 1;
    }
    let mut logs: Vec<&WrittenLog> = found.access_logs.iter().collect();
    // Stable: of equals the first in the file stays first.
    logs.sort_by_key(|log| Reverse(places.get(log).copied().unwrap_or_default()));
    logs.into_iter()
        .map(|(path, format)| AccessLog {
            target: target(path),
            format: match format.as_ref().map(|name| (name, found.formats.get(name))) {
                None => LineFormat::Own,
                Some((_, Some(text))) => LineFormat::Custom(text.clone()),
                Some((name, None)) if name == "combined" => LineFormat::Own,
                Some((name, None)) => LineFormat::Unusable(format!("log_format {name} is not defined")),
            },
        })
        .collect()
}

/// Where a log goes, as `access_log` and `error_log` write it.
pub(super) fn target(text: &str) -> Target {
    if let Some(parameters) = text.strip_prefix("syslog:") {
        let server = parameters.split(',').find_map(|one| one.strip_prefix("server="));
        return Target::Syslog(with_port(server.unwrap_or(parameters)));
    }
    match text.starts_with('/') && !text.contains('$') && !is_device(text) {
        true => Target::File(text.to_owned()),
        false => Target::Other(text.to_owned()),
    }
}

/// What nobody can follow: the streams of a process, and what the system says is a device. `/dev/shm` holds files.
fn is_device(path: &str) -> bool {
    const STREAMS: [&str; 5] = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/"];
    let is_stream = STREAMS.iter().any(|stream| match stream.ends_with('/') {
        true => path.starts_with(stream),
        false => path == *stream,
    });
    let is_special = || {
        std::fs::metadata(path).is_ok_and(|found| {
            let kind = found.file_type();
            kind.is_char_device() || kind.is_block_device()
        })
    };
    is_stream || path.starts_with("/dev/") && is_special()
}

/// Port 514 where none is written.
fn with_port(server: &str) -> String {
    let has_port = server
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match server.starts_with("unix:") || has_port {
        true => server.to_owned(),
        false => format!("{server}:514"),
    }
}

/// The parts of a `log_format` as they can be pasted under `format`: quotes and escapes undone, except where the text could
/// be taken for quoted.
pub(super) fn pasted(parts: &[String]) -> String {
    let (escape, text): (Vec<&String>, Vec<&String>) = parts.iter().partition(|part| part.starts_with("escape="));
    let escape = escape.first().map(|escape| format!("{escape} ")).unwrap_or_default();
    let text = text.into_iter().map(String::as_str).collect::<String>();
    match text.starts_with(['\'', ' ', '\t']) || text.ends_with([';', ' ', '\t']) || text.starts_with("escape=") {
        true => format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        false => format!("{escape}{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, expected) in [
            ("/var/log/nginx/a.log", Target::File("/var/log/nginx/a.log".into())),
            ("logs/a.log", Target::Other("logs/a.log".into())),
            ("/var/log/$host.log", Target::Other("/var/log/$host.log".into())),
            ("/dev/stdout", Target::Other("/dev/stdout".into())),
            ("/dev/stderr", Target::Other("/dev/stderr".into())),
            ("/dev/null", Target::Other("/dev/null".into())),
            ("/dev/fd/2", Target::Other("/dev/fd/2".into())),
            ("/dev/zero", Target::Other("/dev/zero".into())),
            ("/dev/shm/nginx/a.log", Target::File("/dev/shm/nginx/a.log".into())),
            ("/dev/nobody-made-this", Target::File("/dev/nobody-made-this".into())),
            ("stderr", Target::Other("stderr".into())),
            (
                "syslog:server=127.0.0.1:5514,tag=x",
                Target::Syslog("127.0.0.1:5514".into()),
            ),
            ("syslog:server=[::1]", Target::Syslog("[::1]:514".into())),
            (
                "syslog:facility=local7,server=unix:/dev/log",
                Target::Syslog("unix:/dev/log".into()),
            ),
        ] {
            assert_eq!(target(text), expected, "{text}");
        }
    }

    #[test]
    fn formats_are_pasted_so_that_they_are_read_the_same() {
        for (parts, expected) in [
            (&["$a ", "$b"][..], "$a $b"),
            (&["escape=json", "{\"s\":$status}"], "escape=json {\"s\":$status}"),
            (&["'$a\\x'"], "'\\'$a\\\\x\\''"),
            (&["$a;"], "'$a;'"),
            (&[], ""),
        ] {
            let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            assert_eq!(pasted(&parts), expected);
        }
    }
}
