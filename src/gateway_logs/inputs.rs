//! The logs a gateway's entry names, as readers of lines.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tracing::warn;

use super::counting::Counting;
use crate::clock;
use crate::config::operation::{Envelope, GatewaySettings, Log, LogInput, ReadFrom, SyslogListener};
use crate::gateway::log::{FormatError, Parser};
use crate::gateway::{self, Kind};
use crate::history;
use crate::metrics::{LogSource, Reading, ReadingLog};
use crate::tail::{self, Lines, MAX_LINE_BYTES, Seen, Skipped, SkippedLine, Status};

/// Every log of a gateway, ready to be read into `counting`. Gateways write why before they write what came of it, so the
/// error log is read first.
pub(super) fn logs(settings: &GatewaySettings, counting: &Arc<Counting>) -> Result<Vec<tail::Log>, FormatError> {
    let kind = gateway::kind(settings.gateway.kind).unwrap_or(gateway::GENERIC);
    let mut readers = Vec::new();
    if let Some(log) = &settings.error_log {
        readers.push(of_log(log, "error", kind, settings, counting)?);
    }
    if let Some(log) = &settings.access_log {
        readers.push(of_log(log, "access", kind, settings, counting)?);
    }
    if let Some(syslog) = &settings.syslog {
        let listener = match &syslog.listen {
            SyslogListener::Address(address) => tail::Listener::Address(*address),
            SyslogListener::Unix(path) => tail::Listener::Unix(path.clone()),
        };
        let parser = Parser::new(kind, syslog.format.as_deref())?;
        readers.push(reader(
            "syslog",
            "syslog",
            tail::Source::Syslog(listener),
            tail::Envelope::Plain,
            parser,
            settings,
            counting,
        ));
    }
    let sources: Vec<(&'static str, LogSource)> = readers
        .iter()
        .map(|(label, _, read)| (*label, Arc::clone(read) as LogSource))
        .collect();
    counting.reads(sources);
    Ok(readers.into_iter().map(|(_, log, _)| log).collect())
}

type Reader = (&'static str, tail::Log, Arc<Read>);

/// The label of a log: what it is, or how it comes where that is no file that is followed.
fn label_of(input: &LogInput, role: &'static str) -> &'static str {
    match input {
        LogInput::Path(_) | LogInput::Stdin => role,
        LogInput::Drop(_) => "drop",
        LogInput::Http(_) => "http",
    }
}

fn of_log(
    log: &Log,
    role: &'static str,
    kind: &'static Kind,
    settings: &GatewaySettings,
    counting: &Arc<Counting>,
) -> Result<Reader, FormatError> {
    let source = match &log.input {
        LogInput::Path(path) => tail::Source::Files {
            pattern: path.to_string_lossy().into_owned(),
            from: match log.from {
                ReadFrom::End => tail::From::End,
                ReadFrom::Start => tail::From::Start,
            },
        },
        LogInput::Drop(pattern) => tail::Source::Drop {
            pattern: pattern.clone(),
        },
        LogInput::Http(address) => tail::Source::Http(*address),
        LogInput::Stdin => tail::Source::Stdin,
    };
    let envelope = match log.envelope {
        Envelope::Plain => tail::Envelope::Plain,
        Envelope::Cri => tail::Envelope::Cri,
        Envelope::Docker => tail::Envelope::Docker,
        Envelope::Syslog => tail::Envelope::Syslog,
    };
    let parser = Parser::new(kind, log.format.as_deref())?;
    let label = label_of(&log.input, role);
    Ok(reader(role, label, source, envelope, parser, settings, counting))
}

/// A gateway has one log of each role; two may have one label.
fn reader(
    role: &'static str,
    label: &'static str,
    source: tail::Source,
    envelope: tail::Envelope,
    parser: Parser,
    settings: &GatewaySettings,
    counting: &Arc<Counting>,
) -> Reader {
    let read = Arc::new(Read::default());
    let name = &settings.gateway.name;
    let log = tail::Log {
        id: format!("{name}/{role}"),
        source,
        envelope,
        lines: Box::new(Counted {
            name: format!("{name}/{role}"),
            label,
            parser,
            counting: Arc::clone(counting),
            read: Arc::clone(&read),
            parsed: 0,
            told: false,
            told_skipped: false,
        }),
        status: Arc::clone(&read.status),
    };
    (label, log, read)
}

/// How one log is read.
#[derive(Default)]
struct Read {
    status: Arc<Status>,
    parsed: AtomicU64,
    unparsed: AtomicU64,
    /// Seconds since the epoch, as bits of an `f64`; 0 before the first line.
    last_line: AtomicU64,
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Read")
    }
}

impl ReadingLog for Read {
    fn reading(&self) -> Reading {
        let skipped = self.status.too_long.load(Relaxed) + self.status.binary.load(Relaxed);
        let last_line = f64::from_bits(self.last_line.load(Relaxed));
        Reading {
            up: self.status.up.load(Relaxed),
            parsed: self.parsed.load(Relaxed),
            unparsed: self.unparsed.load(Relaxed) + skipped,
            unread_bytes: Some(self.status.unread_bytes.load(Relaxed)),
            last_line: (last_line > 0.0).then_some(last_line),
            rotations: Some(self.status.rotations.load(Relaxed)),
        }
    }
}

/// Takes the lines of one log apart and counts them.
struct Counted {
    name: String,
    label: &'static str,
    parser: Parser,
    counting: Arc<Counting>,
    read: Arc<Read>,
    /// Nobody else writes the one in `read`.
    parsed: u64,
    /// A line that was not understood has been shown.
    told: bool,
    /// A line that is not read has been shown.
    told_skipped: bool,
}

impl Lines for Counted {
    fn line(&mut self, line: &[u8], seen: &Seen<'_>) {
        match &self.parser.read(line) {
            Some(read) => {
                self.parsed += 1;
                self.read.parsed.store(self.parsed, Relaxed);
                self.counting.line(read, seen.is_delayed);
            }
            None => {
                self.read.unparsed.fetch_add(1, Relaxed);
                if !std::mem::replace(&mut self.told, true) {
                    let sample = line[..line.len().min(SHOWN)].escape_ascii().to_string();
                    warn!(
                        log = self.name,
                        sample, "a line is not understood; badgateway check --log says why"
                    );
                }
            }
        }
    }

    fn skipped(&mut self, line: &SkippedLine<'_>) {
        let why = match line.why {
            Skipped::TooLong => TOO_LONG,
            Skipped::Binary => "holds NULs",
        };
        let file = line.file.map(|file| file.to_string_lossy());
        if !std::mem::replace(&mut self.told_skipped, true) {
            let (offset, sample) = (line.offset, line.sample);
            warn!(
                log = self.name,
                why,
                file = file.as_deref(),
                offset,
                sample,
                "a line is skipped; /logs shows further ones"
            );
        }
        self.counting.skipped(history::SkippedLine {
            at: clock::now(),
            gateway: Arc::clone(self.counting.gateway()),
            log: self.label,
            file: file.map(|file| file.into()),
            offset: line.offset,
            length: line.length,
            why,
        });
    }

    fn rest(&mut self) {
        let now = clock::seconds(clock::now());
        self.read.last_line.store(now.to_bits(), Relaxed);
        self.counting.rest();
    }
}

/// That much of a line is shown.
const SHOWN: usize = 200;

const TOO_LONG: &str = "longer than 64 KiB";
const _: () = assert!(MAX_LINE_BYTES == 64 * 1024);
