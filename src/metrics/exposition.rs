//! The two text formats: a writer that takes OpenMetrics as the library writes it, and passes on chunks of either format.
//!
//! No more than one chunk is ever in memory: at 500,000 series a page has 60 MB.

use std::fmt::{self, Write};

/// Bytes of a chunk at least. Large enough that handing it on costs nothing beside filling it, small enough for a cache.
const CHUNK_BYTES: usize = 32 * 1024;

/// A text format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/openmetrics-text; version=1.0.0`, with units and exemplars.
    OpenMetrics,
    /// `text/plain; version=0.0.4`.
    Prometheus,
}

/// Where the chunks go. An error ends the page.
pub type Sink<'a> = &'a mut dyn FnMut(&str) -> fmt::Result;

/// Takes OpenMetrics, gives chunks of a format.
///
/// For 0.0.4 the metadata lines are rewritten: a counter is named with its `_total`, an info is a gauge named with its
/// `_info`, `# UNIT` and `# EOF` are dropped. Sample lines are the same in both; who writes exemplars asks the format.
///
/// Invariant for 0.0.4: a metadata line begins in a piece of its own, as a sample line ends its piece.
pub(super) struct Page<'a> {
    format: Format,
    chunk: String,
    sink: Sink<'a>,
    at_line_start: bool,
    /// The metadata line being read; empty outside of one.
    metadata: String,
    /// The text of the last `# HELP`, waiting for the type that decides the name.
    help: String,
}

impl<'a> Page<'a> {
    pub(super) fn new(format: Format, sink: Sink<'a>) -> Page<'a> {
        Page {
            format,
            chunk: String::with_capacity(CHUNK_BYTES + 4096),
            sink,
            at_line_start: true,
            metadata: String::new(),
            help: String::new(),
        }
    }

    /// Hands on what is left.
    pub(super) fn finish(mut self) -> fmt::Result {
        self.flush()
    }

    fn flush(&mut self) -> fmt::Result {
        if !self.chunk.is_empty() {
            (self.sink)(&self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }

    /// Collects metadata up to the end of its line, and rewrites whole lines.
    fn take_metadata(&mut self, piece: &str) {
        self.metadata.push_str(piece);
        while let Some(end) = self.metadata.find('\n') {
            let rest = self.metadata.split_off(end + 1);
            let line = std::mem::replace(&mut self.metadata, rest);
            self.rewrite(line.trim_end_matches('\n'));
        }
    }

    fn rewrite(&mut self, line: &str) {
        let mut words = line.splitn(4, ' ').skip(1);
        let (keyword, name, rest) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
        match keyword {
            Some("HELP") => rest.clone_into(&mut self.help),
            Some("TYPE") => {
                let (suffix, kind) = match rest {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                let help = &self.help;
                for part in [
                    "# HELP ",
                    name,
                    suffix,
                    " ",
                    help,
                    "\n# TYPE ",
                    name,
                    suffix,
                    " ",
                    kind,
                    "\n",
                ] {
                    self.chunk.push_str(part);
                }
            }
            _ => {}
        }
    }
}

impl Write for Page<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.format == Format::Prometheus {
            if !self.metadata.is_empty() || self.at_line_start && piece.starts_with('#') {
                self.take_metadata(piece);
                self.at_line_start = self.metadata.is_empty();
                return Ok(());
            }
            self.at_line_start = piece.ends_with('\n');
        }
        self.chunk.push_str(piece);
        match self.chunk.len() < CHUNK_BYTES {
            true => Ok(()),
            false => self.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_METRICS: &str = "# HELP a_seconds How long, in seconds.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
        a_seconds_total{x=\"# no metadata\"} 1\n# HELP b A b.\n# TYPE b info\nb_info 1\n# EOF\n";
    const PROMETHEUS: &str = "# HELP a_seconds_total How long, in seconds.\n# TYPE a_seconds_total counter\n\
        a_seconds_total{x=\"# no metadata\"} 1\n# HELP b_info A b.\n# TYPE b_info gauge\nb_info 1\n";

    fn through(format: Format, pieces: &[&str]) -> String {
        let mut out = String::new();
        let mut sink = |chunk: &str| out.write_str(chunk);
        let mut page = Page::new(format, &mut sink);
        pieces.iter().for_each(|piece| page.write_str(piece).unwrap());
        page.finish().unwrap();
        out
    }

    #[test]
    fn the_old_format_names_a_counter_with_its_suffix() {
        let lines: Vec<&str> = OPEN_METRICS.split_inclusive('\n').collect();
        assert_eq!(through(Format::Prometheus, &lines), PROMETHEUS);
        assert_eq!(through(Format::OpenMetrics, &lines), OPEN_METRICS);
    }

    #[test]
    fn pieces_may_be_of_any_size() {
        let words: Vec<&str> = OPEN_METRICS.split_inclusive([' ', '\n']).collect();
        assert_eq!(through(Format::Prometheus, &words), PROMETHEUS);
    }

    #[test]
    fn a_chunk_is_handed_on_when_full_and_an_error_ends_the_page() {
        let mut chunks = 0;
        let mut sink = |_: &str| {
            chunks += 1;
            if chunks < 3 { Ok(()) } else { Err(fmt::Error) }
        };
        let mut page = Page::new(Format::OpenMetrics, &mut sink);
        let written = (0..10_000)
            .take_while(|_| page.write_str("0123456789abcdef").is_ok())
            .count();
        assert_eq!(written, 3 * CHUNK_BYTES / 16 - 1);
    }
}
