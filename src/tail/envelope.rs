//! Takes off what is wrapped around a line. What does not look like the envelope is handed on as it stands.

mod cri;
mod docker;
mod syslog;

use memchr::memchr;

use super::sink::Sink;
use super::{Envelope, MAX_LINE_BYTES, Seen, Skipped, Stream};

/// Lines that a container runtime wrote in parts, one per stream at most; bounded to a line's length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Joined {
    pub parts: [Vec<u8>; 2],
    /// Too long already: the parts up to the last one are dropped.
    pub overlong: [bool; 2],
}

impl Joined {
    /// The unfinished lines; forgets them.
    pub fn take(&mut self) -> impl Iterator<Item = (Stream, Vec<u8>)> + use<> {
        let Joined { parts, overlong: _ } = std::mem::take(self);
        let streams = [Stream::Stdout, Stream::Stderr].into_iter();
        streams.zip(parts).filter(|(_, text)| !text.is_empty())
    }
}

/// One entry of a container's log.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    stream: Stream,
    stamp: &'a [u8],
    text: &'a [u8],
    is_last: bool,
}

/// Hands out what `line` holds.
pub(super) fn open(kind: Envelope, line: &[u8], joined: &mut Joined, seen: &Seen<'_>, sink: &mut Sink) {
    let mut unescaped = std::mem::take(&mut sink.scratch);
    let entry = match kind {
        Envelope::Plain => None,
        Envelope::Cri => cri::entry(line),
        Envelope::Docker => docker::entry(line, &mut unescaped),
        Envelope::Syslog => {
            let header = syslog::header(line);
            let seen = Seen {
                program: header.program,
                stamp: header.stamp,
                ..*seen
            };
            emit(header.text, &seen, sink);
            sink.scratch = unescaped;
            return;
        }
    };
    match entry {
        Some(entry) => join(&entry, joined, seen, sink),
        None => sink.line(line, seen),
    }
    sink.scratch = unescaped;
}

/// A line of a container's log, joined with the parts before it.
fn join(entry: &Entry<'_>, joined: &mut Joined, seen: &Seen<'_>, sink: &mut Sink) {
    let stream = match entry.stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    };
    let (parts, overlong) = (&mut joined.parts[stream], &mut joined.overlong[stream]);
    let seen = Seen {
        stream: Some(entry.stream),
        stamp: Some(entry.stamp),
        ..*seen
    };
    if parts.is_empty() && entry.is_last && !*overlong {
        return emit(entry.text, &seen, sink);
    }
    if !*overlong && parts.len() + entry.text.len() > MAX_LINE_BYTES {
        let sample = if parts.is_empty() { entry.text } else { parts.as_slice() };
        sink.skip(Skipped::TooLong, sample, &seen);
        *overlong = true;
        *parts = Vec::new();
    }
    if !*overlong {
        parts.extend_from_slice(entry.text);
    }
    if entry.is_last && !std::mem::take(overlong) {
        emit(parts, &seen, sink);
        parts.clear();
    }
}

/// The text of an envelope, which may hold what the splitter would not have let through.
fn emit(text: &[u8], seen: &Seen<'_>, sink: &mut Sink) {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if memchr(0, text).is_some() {
        sink.skip(Skipped::Binary, text, seen);
    } else if !text.is_empty() {
        sink.line(text, seen);
    }
}

#[cfg(test)]
mod tests;
