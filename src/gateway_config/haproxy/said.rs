//! What HAProxy tolerates of the servers behind it, and where it logs.

use std::rc::Rc;
use std::time::Duration;

use super::{Check, Found, Line, LogFormat, Proxy};
use crate::gateway_config::{AccessLog, Amount, Checked, LineFormat, Said, Stated, Target, stated, time};
use crate::upstream::{HealthCheck, LimitKind};

/// `tune.bufsize` and `tune.maxrewrite` unless configured, bytes.
const BUFSIZE: u64 = 16_384;
const MAXREWRITE: u64 = 1024;
/// Its own formats, which it keeps in variables of its environment.
const OWN_FORMATS: [&str; 2] = ["${HAPROXY_HTTP_LOG_FMT}", "${HAPROXY_HTTPS_LOG_FMT}"];

pub(super) fn of(found: &Found) -> Said {
    Said {
        limits: limits(found),
        access_logs: access_logs(found),
        error_logs: Vec::new(),
        checks: checks(found),
        notes: Vec::new(),
    }
}

/// Servers whose checks are told of at most.
const MAX_CHECKS: usize = 1000;

/// The health checks that can be replayed: a plain request that any answer below 400 passes, or a connection. What
/// `timeout check` does not bound has `inter` (`timeout check` in the manual).
fn checks(found: &Found) -> Vec<Checked> {
    let backs = found
        .proxies
        .iter()
        .filter(|proxy| proxy.is_back && !proxy.settings.checks_otherwise);
    let checks = backs.flat_map(|proxy| {
        let settings = &proxy.settings;
        proxy
            .servers
            .iter()
            .filter(|server| !server.checked_elsewhere)
            .filter_map(|server| {
                let pace = server.pace.as_ref()?;
                let check = HealthCheck {
                    request: settings.check.as_ref().map(Check::request),
                    port: server.check_port,
                    interval: pace.interval,
                    timeout: settings.check_timeout().unwrap_or(pace.interval),
                    unhealthy_after: pace.unhealthy_after,
                    healthy_after: pace.healthy_after,
                };
                Some(Checked {
                    server: server.authority.clone(),
                    check,
                })
            })
    });
    checks.take(MAX_CHECKS).collect()
}

/// A time that is not written is no limit. `timeout server` is between two operations, and the wait for the first byte is one
/// of them; `timeout connect` includes the TLS handshake.
fn limits(found: &Found) -> Vec<Stated> {
    let backends = || {
        let is_one = |proxy: &&Proxy| proxy.is_back && proxy.settings.is_http && !proxy.servers.is_empty();
        found.proxies.iter().filter(is_one)
    };
    let amount = |text: &Option<Rc<str>>| Some(Amount::Time(time(text.as_ref()?, Duration::from_millis(1))?));
    let connects = || backends().filter_map(|proxy| amount(&proxy.settings.timeouts.connect));
    let handshakes = || {
        let with_tls = backends().filter(|proxy| proxy.servers.iter().any(|server| server.tls));
        with_tls.filter_map(|proxy| amount(&proxy.settings.timeouts.connect))
    };
    let answers = || backends().filter_map(|proxy| amount(&proxy.settings.timeouts.server));
    let bufsize = found.bufsize.unwrap_or(BUFSIZE);
    // No more than half of the buffer may be kept free (src/haproxy.c).
    let maxrewrite = found.maxrewrite.unwrap_or(MAXREWRITE).min(bufsize / 2);
    let head = backends().next().map(|_| Amount::Size(bufsize - maxrewrite));
    [
        stated(LimitKind::Connect, "timeout connect", connects()),
        stated(LimitKind::Tls, "timeout connect", handshakes()),
        stated(LimitKind::Send, "timeout server", answers()),
        stated(LimitKind::FirstByte, "timeout server", answers()),
        stated(LimitKind::BetweenReads, "timeout server", answers()),
        stated(LimitKind::ResponseHeader, "tune.bufsize less tune.maxrewrite", head),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn access_logs(found: &Found) -> Vec<AccessLog> {
    let mut logs: Vec<AccessLog> = Vec::new();
    let fronts = found
        .proxies
        .iter()
        .filter(|proxy| proxy.is_front && proxy.settings.is_http);
    for front in fronts {
        let format = format(front);
        let targets = front.settings.logs.iter().flat_map(|log| match log.as_str() {
            "global" => &found.logs[..],
            _ => std::slice::from_ref(log),
        });
        for target in targets {
            let log = AccessLog {
                target: self::target(target),
                format: format.clone(),
            };
            if logs.len() < MAX_LOGS && !logs.contains(&log) {
                logs.push(log);
            }
        }
    }
    logs
}

/// Logs that are told apart.
const MAX_LOGS: usize = 100;

fn format(front: &Proxy) -> LineFormat {
    match &front.settings.log_format {
        LogFormat::Http => LineFormat::Own,
        LogFormat::Connection => LineFormat::Unusable(format!(
            "{}: {} logs sessions, not requests; write option httplog, or a log-format",
            front.place, front.name
        )),
        LogFormat::Custom(text) => {
            let without = OWN_FORMATS
                .iter()
                .fold(text.to_string(), |text, own| text.replace(own, ""));
            match without.contains("${") {
                true => LineFormat::Unusable(format!(
                    "{}: the log-format of {} has variables of HAProxy's environment",
                    front.place, front.name
                )),
                // Pasted, a backslash is an escape.
                false => LineFormat::Custom(text.replace('\\', "\\\\")),
            }
        }
    }
}

/// Where a `log` leads, `global` included; nothing where it takes no requests, which are logged as `info`.
pub(super) fn log_target(line: &Line) -> Option<String> {
    let target = line.word(1);
    if target == "global" || target.is_empty() {
        return Some(target.to_owned()).filter(|target| !target.is_empty());
    }
    let mut at = 2;
    while matches!(line.word(at), "len" | "format" | "sample" | "profile") {
        at += 2;
    }
    let level = line.word(at + 1);
    matches!(level, "" | "info" | "debug").then(|| target.to_owned())
}

fn target(text: &str) -> Target {
    let address = text.strip_prefix("udp@").unwrap_or(text);
    if address.starts_with('/') {
        return Target::Syslog(format!("unix:{address}"));
    }
    match super::address::authority(address) {
        Some(super::address::Place::Host(host, port)) if !matches!(host.as_str(), "stdout" | "stderr" | "") => {
            Target::Syslog(format!("{host}:{}", port.unwrap_or(514)))
        }
        _ => Target::Other(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway_config::haproxy;

    #[test]
    fn checks_that_can_be_replayed_are_told() {
        let text = "defaults\n mode http\n timeout check 700ms\nbackend plain\n option httpchk GET /up\n \
            server a 10.0.0.1:80 check inter 500ms fall 4 rise 5\n server b 10.0.0.2:80\n \
            server c 10.0.0.3:80 check port 8081\n server d 10.0.0.4:80 check addr 10.0.0.9\n\
            backend modern\n option httpchk\n http-check send meth GET uri /up ver HTTP/1.1 hdr Host app\n \
            server a 10.0.1.1:80 check\nbackend connects\n server a 10.0.2.1:80 check\n\
            backend expects\n option httpchk GET /up\n http-check expect string ok\n server a 10.0.3.1:80 check\n\
            backend database\n option mysql-check\n server a 10.0.4.1:80 check\n";
        let shown = |checked: &Checked| {
            let check = &checked.check;
            let request = check.request.as_ref().map_or("connect".to_owned(), |request| {
                let host = request.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("?");
                format!(
                    "{} {} {host:?} 1.{}",
                    request.method,
                    request.path,
                    u8::from(!request.http10)
                )
            });
            let (every, wait) = (check.interval.as_millis(), check.timeout.as_millis());
            format!(
                "{} {request} {:?} {every}/{wait} {}/{}",
                checked.server, check.port, check.unhealthy_after, check.healthy_after
            )
        };
        let checks = haproxy::read(text, "h.cfg").expect("it is HAProxy's").said().checks;
        assert_eq!(
            checks.iter().map(shown).collect::<Vec<_>>(),
            [
                r#"10.0.0.1:80 GET /up "" 1.0 None 500/700 4/5"#,
                r#"10.0.0.3:80 GET /up "" 1.0 Some(8081) 2000/700 3/2"#,
                r#"10.0.1.1:80 GET /up "app" 1.1 None 2000/700 3/2"#,
                "10.0.2.1:80 connect None 2000/700 3/2",
            ]
        );
    }

    const BASE: &str = "global\n log /dev/log local0\n log /dev/log local1 notice\ndefaults\n mode http\n log global\n";

    fn said(rest: &str) -> Said {
        haproxy::read(&format!("{BASE}{rest}"), "h.cfg").unwrap().said()
    }

    #[test]
    fn the_strictest_backend_stands_for_all() {
        let said = said(
            "timeout connect 5s\ntimeout server 1m\nbackend a\n server a 10.0.0.1:80\n timeout server 30000\n\
             backend b\n server b 10.0.0.1:443 ssl\nbackend c\n mode tcp\n timeout connect 1s\n server c 10.0.0.1:1\n\
             backend empty\n timeout connect 2s\n",
        );
        let limits = said.strictest();
        let secs = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!((limits.connect, limits.tls), (secs(5), secs(5)));
        assert_eq!(
            (limits.first_byte, limits.between_reads, limits.send),
            (secs(30), secs(30), secs(30))
        );
        assert_eq!((limits.idle, limits.response_header), (None, Some(15 * 1024)));
        let first_byte = said
            .limits
            .iter()
            .find(|stated| stated.kind == LimitKind::FirstByte)
            .unwrap();
        assert_eq!(first_byte.amounts.len(), 2, "what it is elsewhere is told");
    }

    #[test]
    fn buffers_that_are_written_count() {
        for (buffers, expected) in [
            ("tune.bufsize 32768", 31 * 1024),
            ("tune.bufsize 16k\n tune.maxrewrite 2048", 14 * 1024),
            ("tune.bufsize 1024", 512),
            ("tune.bufsize x", 15 * 1024),
        ] {
            let text = format!("global\n {buffers}\nbackend a\n mode http\n server a 10.0.0.1:80\n");
            let said = haproxy::read(&text, "h.cfg").unwrap().said();
            assert_eq!(said.strictest().response_header, Some(expected), "{buffers}");
        }
    }

    #[test]
    fn logs_and_formats() {
        let logged = |front: &str| {
            let said = said(&format!("frontend f\n bind :80\n{front}\n"));
            let log = said.access_logs.first().cloned();
            (said.access_logs.len(), log.map(|log| (log.target, log.format)))
        };
        let syslog = || Target::Syslog("unix:/dev/log".into());
        assert_eq!(logged("option httplog"), (1, Some((syslog(), LineFormat::Own))));
        assert_eq!(
            logged("log-format \"${HAPROXY_HTTP_LOG_FMT} up=%U\""),
            (
                1,
                Some((syslog(), LineFormat::Custom("${HAPROXY_HTTP_LOG_FMT} up=%U".into())))
            )
        );
        assert!(matches!(logged("").1, Some((_, LineFormat::Unusable(_)))));
        assert!(matches!(
            logged("log-format \"$FORMAT\"").1,
            Some((_, LineFormat::Unusable(_)))
        ));
        assert_eq!(
            logged("option httplog\nno log\nlog 127.0.0.1:5514 len 4096 local0 info")
                .1
                .unwrap()
                .0,
            Target::Syslog("127.0.0.1:5514".into())
        );
        assert_eq!(
            logged("no log\nlog stdout format raw local0").1.unwrap().0,
            Target::Other("stdout".into())
        );
        assert_eq!(logged("no log").0, 0);
    }
}
