//! The container runtime's log: `2016-10-06T00:17:09.669794202Z stdout F text`, tag `P` for a part of a line.
//!
//! Source: kubernetes/design-proposals-archive, node/kubelet-cri-logging.md; tags may be followed by others after `:`.

use memchr::memchr;

use super::{Entry, Stream};

pub(super) fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let (stamp, rest) = word(line)?;
    let (stream, rest) = word(rest)?;
    // An empty text may come without the blank in front of it.
    let (tags, text) = word(rest).unwrap_or((rest, b""));
    let is_time = stamp.len() >= 20 && stamp[0].is_ascii_digit() && stamp[10] == b'T';
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let is_last = match tags.split(|byte| *byte == b':').next() {
        Some(b"F") => true,
        Some(b"P") => false,
        _ => return None,
    };
    is_time.then_some(Entry {
        stream,
        stamp,
        text,
        is_last,
    })
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b' ', text)?;
    Some((&text[..end], &text[end + 1..]))
}
