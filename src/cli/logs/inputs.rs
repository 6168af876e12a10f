//! Log files of the command line: opened, unpacked, looked at, and read with a progress bar.

use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exchange::Line;
use crate::gateway::log::Parser;
use crate::gateway::{KINDS, Kind};
use crate::offline::Input;

/// That much of a log is looked at before it is read, bytes.
const LOOKED_AT: u64 = 256 * 1024;
/// That many lines of it.
const LINES_LOOKED_AT: usize = 200;

/// An open log and its beginning.
pub(in crate::cli) struct Opened {
    name: String,
    size: u64,
    rest: Box<dyn Read>,
    packed: bool,
    /// Bytes already read, unpacked.
    start: Vec<u8>,
}

/// Opens files; `-` is standard input.
pub(in crate::cli) fn open_all(files: &[PathBuf]) -> Result<Vec<Opened>, String> {
    files.iter().map(|file| open(file)).collect()
}

fn open(file: &Path) -> Result<Opened, String> {
    let name = file.display().to_string();
    let failed = |error: io::Error| format!("{name}: cannot be read: {error}");
    let (mut raw, size): (Box<dyn Read>, u64) = match name.as_str() {
        "-" => (Box::new(io::stdin()), 0),
        _ => {
            let opened = File::open(file).map_err(failed)?;
            let metadata = opened.metadata().map_err(failed)?;
            if metadata.is_dir() {
                return Err(format!("{name}: is a directory; name its files"));
            }
            (Box::new(opened), metadata.len())
        }
    };
    let mut magic = Vec::new();
    raw.by_ref().take(2).read_to_end(&mut magic).map_err(failed)?;
    let packed = magic == [0x1f, 0x8b];
    let whole = Cursor::new(magic).chain(raw);
    let mut rest: Box<dyn Read> = match packed {
        true => Box::new(MultiGzDecoder::new(whole)),
        false => Box::new(whole),
    };
    let mut start = Vec::new();
    // What is broken further on is told when it is read.
    let _ = rest.by_ref().take(LOOKED_AT).read_to_end(&mut start);
    Ok(Opened {
        name,
        size,
        rest,
        packed,
        start,
    })
}

impl Opened {
    /// Bytes of the file as it lies; 0 is not known.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The first lines.
    pub(in crate::cli) fn first_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.start
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .filter(|line| !line.is_empty())
            .take(LINES_LOOKED_AT)
    }

    /// Whether most of what is understood are lines of an error log.
    pub(super) fn is_error_log(&self, kind: &'static Kind) -> bool {
        let Ok(mut parser) = Parser::new(kind, None) else {
            return false;
        };
        let (mut requests, mut errors) = (0, 0);
        for line in self.first_lines() {
            match parser.read(line) {
                Some(Line::Exchange(_)) => requests += 1,
                Some(Line::Complaint(_) | Line::Other) => errors += 1,
                None => {}
            }
        }
        errors > requests
    }

    /// When the first line was written that says it, milliseconds.
    pub(super) fn begins(&self, kind: &'static Kind, format: Option<&str>) -> Option<i64> {
        let mut parser = Parser::new(kind, format).ok()?;
        self.first_lines().find_map(|line| {
            let time = match parser.read(line)? {
                Line::Exchange(exchange) => exchange.time,
                Line::Complaint(complaint) => complaint.time,
                Line::Other => None,
            };
            time.map(|time| time.millis)
        })
    }

    pub(super) fn into_input(self, progress: &Progress) -> Input {
        let bar = progress.bar.clone();
        // Packed logs are measured by what comes out of them: about ten times their size.
        let weight = if self.packed { 10 } else { 1 };
        bar.inc(self.start.len() as u64 / weight);
        Input {
            from: Box::new(Cursor::new(self.start).chain(Counted {
                from: self.rest,
                bar,
                weight,
            })),
        }
    }
}

struct Counted {
    from: Box<dyn Read>,
    bar: ProgressBar,
    weight: u64,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.from.read(into)?;
        self.bar.inc(bytes as u64 / self.weight);
        Ok(bytes)
    }
}

/// The kind whose formats most of the lines have, or of which this is a format string that they have.
pub(in crate::cli) fn guess<'o>(
    logs: impl Iterator<Item = &'o Opened>,
    format: Option<&str>,
) -> Result<&'static Kind, String> {
    let logs: Vec<&Opened> = logs.collect();
    let mut ranked: Vec<(usize, &'static Kind)> = KINDS
        .iter()
        .filter(|kind| kind.logs.is_some())
        .map(|kind| (understood(kind, format, &logs), *kind))
        .filter(|(lines, _)| *lines > 0)
        .collect();
    // Stable: of equals the more usual one stays in front.
    ranked.sort_by_key(|(lines, _)| std::cmp::Reverse(*lines));
    let names: Vec<_> = logs.iter().map(|log| log.name.as_str()).collect();
    let Some((most, kind)) = ranked.first().copied() else {
        return Err(format!(
            "{}: no kind of gateway writes such lines; name it with --kind, and its format with --format",
            names.join(", ")
        ));
    };
    let others: Vec<_> = ranked
        .iter()
        .filter(|(lines, other)| *lines == most && !std::ptr::eq(*other, kind))
        .map(|(_, kind)| kind.name)
        .collect();
    let doubt = match others.is_empty() {
        true => String::new(),
        false => format!(" ({} write the same)", others.join(", ")),
    };
    eprintln!(
        "badgateway: taken for logs of {}{doubt}; --kind says otherwise",
        kind.name
    );
    Ok(kind)
}

fn understood(kind: &'static Kind, format: Option<&str>, logs: &[&Opened]) -> usize {
    let Ok(mut parser) = Parser::new(kind, format) else {
        return 0;
    };
    logs.iter()
        .flat_map(|log| log.first_lines())
        .filter(|line| parser.read(line).is_some())
        .count()
}

/// A bar on a terminal, nothing elsewhere.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(bytes: u64) -> Progress {
        let bar = match io::stderr().is_terminal() {
            true => ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr_with_hz(4)),
            false => ProgressBar::hidden(),
        };
        let template = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Progress { bar }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
