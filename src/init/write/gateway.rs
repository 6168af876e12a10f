//! The entry of `gateways`: limits, logs, routes.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::{comment, plain_or_quoted, problem_in, quoted};
use crate::config;
use crate::gateway::kind;
use crate::gateway_config::{AccessLog, Amount, LineFormat, Said, Stated, Target};

/// Makes a configuration of a gateway alone one that has something to watch.
const ANY_UPSTREAM: &str = "upstreams: [{ name: any, origin: \"http://any/\" }]\n";

/// The gateway that the source configures.
pub(in crate::init) struct Gateway {
    /// The name of its entry, and its kind.
    pub(super) kind: &'static str,
    pub(super) said: Said,
    /// Its logs name what it passed a request to, so that one upstream is told from what is none.
    pub(super) always_routed: bool,
    /// The log to follow where the file names none that is a plain file; the reason stands behind it.
    pub(super) usual_log: (&'static str, &'static str),
}

impl Gateway {
    /// The gateway with a name alone, so that hops may refer to it.
    pub(super) fn named(&self) -> String {
        format!("gateways:\n  - name: {0}\n    kind: {0}\n", self.kind)
    }

    /// Writes the section; `upstreams` is how many are written.
    pub(super) fn write(&self, routes: &[&str], upstreams: usize, out: &mut String) {
        out.push_str(&self.named());
        let limits = self.limits();
        if !limits.is_empty() {
            let _ = writeln!(
                out,
                "    limits:                      # where they differ from {}'s own",
                self.kind
            );
        }
        limits.iter().for_each(|line| out.push_str(line));
        self.logs(out);
        if !routes.is_empty() && (upstreams > 1 || self.always_routed) {
            out.push_str("    routes:                      # which logged requests belong to which upstream\n");
            for route in routes {
                let _ = writeln!(out, "      - {route}");
            }
        }
        out.push('\n');
    }

    /// Each limit that is not the kind's own: the strictest of all places, the others in a comment.
    fn limits(&self) -> Vec<String> {
        let own = kind(self.kind).map(|kind| kind.limits).unwrap_or_default();
        let differs = |stated: &&Stated| {
            let time = own.time(stated.kind).map(Amount::Time);
            let own = time.or(own.size(stated.kind).map(Amount::Size));
            stated.amounts.len() > 1 || stated.amounts.first().copied() != own
        };
        let line = |stated: &Stated| {
            let strictest = stated.amounts.first()?;
            let others: Vec<String> = stated.amounts.iter().skip(1).take(8).map(show).collect();
            let about = match others.is_empty() {
                true => String::new(),
                false => format!(", the strictest; elsewhere {}", others.join(", ")),
            };
            let label = stated.kind.label();
            Some(format!(
                "      {label}: {}   # {}{about}\n",
                show(strictest),
                stated.directive
            ))
        };
        self.said.limits.iter().filter(differs).filter_map(line).collect()
    }

    /// One log of each sort can be followed for a gateway; the others are named.
    fn logs(&self, out: &mut String) {
        let (mut taken, mut named) = (false, HashSet::new());
        for log in &self.said.access_logs {
            let is_plain = matches!(log.target, Target::File(_));
            match (&log.target, taken) {
                (Target::File(path), false) => {
                    taken = true;
                    self.log(access_log, path, &log.format, "", out);
                }
                (Target::Syslog(address), false) if listens_here(address) => {
                    taken = true;
                    let about = "   # where it sends its log; nothing else may listen there";
                    self.log(syslog, address, &log.format, about, out);
                }
                (target, _) if named.insert(shown(target)) => {
                    let what = if is_plain {
                        "another access log"
                    } else {
                        "an access log elsewhere"
                    };
                    let _ = writeln!(out, "    # {what}: {}", comment(shown(target)));
                }
                _ => {}
            }
        }
        if !taken {
            let (path, why) = self.usual_log;
            let format = self
                .said
                .access_logs
                .first()
                .map_or(&LineFormat::Own, |log: &AccessLog| &log.format);
            self.log(access_log, path, format, &format!("   # {why}"), out);
        }
        let mut taken = false;
        for target in &self.said.error_logs {
            match target {
                Target::File(path) if !taken => {
                    taken = true;
                    self.log(error_log, path, &LineFormat::Own, "", out);
                }
                target => {
                    let _ = writeln!(out, "    # another error log: {}", comment(shown(target)));
                }
            }
        }
    }

    /// Writes a log with its format. One that would not load is left out with the reason: first the format alone, so that
    /// the kind's own formats are tried, then the log.
    fn log(
        &self,
        write: fn(&str, &LineFormat, &str) -> String,
        to: &str,
        format: &LineFormat,
        why: &str,
        out: &mut String,
    ) {
        let problem = |lines: &str| problem_in(&format!("{}{lines}{ANY_UPSTREAM}", self.named()));
        let lines = write(to, format, why);
        let Some(message) = problem(&lines) else {
            out.push_str(&lines);
            return;
        };
        let _ = writeln!(
            out,
            "    # as the file has it, this cannot be used: {}",
            comment(&message)
        );
        for line in lines.lines() {
            let _ = writeln!(out, "    # {}", line.strip_prefix("    ").unwrap_or(line));
        }
        let lines = write(to, &LineFormat::Own, why);
        if problem(&lines).is_none() {
            out.push_str(&lines);
        }
    }
}

fn show(amount: &Amount) -> String {
    match amount {
        Amount::Time(time) => config::show_duration(*time),
        Amount::Size(bytes) => config::show_size(*bytes),
    }
}

fn shown(target: &Target) -> &str {
    match target {
        Target::File(text) | Target::Syslog(text) | Target::Other(text) => text,
    }
}

/// Only we listen on a high port of this host; port 514 and `/dev/log` belong to the system's own daemon.
fn listens_here(address: &str) -> bool {
    let socket: Option<std::net::SocketAddr> = address.replacen("localhost:", "127.0.0.1:", 1).parse().ok();
    socket.is_some_and(|socket| socket.ip().is_loopback() && socket.port() >= 1024)
}

fn access_log(path: &str, format: &LineFormat, about: &str) -> String {
    let path = plain_or_quoted(path);
    match format {
        LineFormat::Own => format!("    access_log: {path}{about}\n"),
        LineFormat::Custom(text) => format!(
            "    access_log:\n      path: {path}{about}\n      format: {}\n",
            pasted(text)
        ),
        LineFormat::Unusable(why) => format!("    # {}\n    access_log: {path}{about}\n", comment(why)),
    }
}

fn error_log(path: &str, _: &LineFormat, about: &str) -> String {
    format!("    error_log: {}{about}\n", plain_or_quoted(path))
}

fn syslog(address: &str, format: &LineFormat, about: &str) -> String {
    let address = address.replacen("localhost:", "127.0.0.1:", 1);
    let address = plain_or_quoted(&address);
    let line = format!("    syslog: {address}{about}\n");
    match format {
        LineFormat::Own => line,
        LineFormat::Custom(text) => {
            format!(
                "    syslog:\n      listen: {address}{about}\n      format: {}\n",
                pasted(text)
            )
        }
        LineFormat::Unusable(why) => format!("    # {}\n{line}", comment(why)),
    }
}

fn pasted(format: &str) -> String {
    // Taken as it stands: what looks like a variable is the gateway's.
    quoted(format)
}
