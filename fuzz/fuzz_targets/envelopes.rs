//! Any bytes inside of any envelope: what is handed out is fit to be a line, no more than came, and the same however the
//! bytes arrive. And lines that are wrapped as container runtimes and syslog daemons wrap them come out as they went in.

#![no_main]

use std::sync::{Arc, Mutex};

use badgateway::tail::{Begun, Envelope, Lines, MAX_LINE_BYTES, Seen, Sink, SkippedLine, Status, Stream};
use libfuzzer_sys::fuzz_target;

const ENVELOPES: [Envelope; 4] = [Envelope::Plain, Envelope::Cri, Envelope::Docker, Envelope::Syslog];

/// A line as it is handed out, or a skipped one by its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Line {
        text: Vec<u8>,
        stream: Option<Stream>,
        program: Option<Vec<u8>>,
        stamp: Option<Vec<u8>>,
    },
    Skipped(String),
}

#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<Told>>>);

impl Lines for Taken {
    fn line(&mut self, line: &[u8], seen: &Seen<'_>) {
        assert!(!line.is_empty() && line.len() <= MAX_LINE_BYTES && !line.contains(&0));
        self.0.lock().unwrap().push(Told::Line {
            text: line.to_vec(),
            stream: seen.stream,
            program: seen.program.map(<[u8]>::to_vec),
            stamp: seen.stamp.map(<[u8]>::to_vec),
        });
    }

    fn skipped(&mut self, line: &SkippedLine<'_>) {
        assert!(line.sample.is_ascii() && line.sample.len() <= 512);
        self.0.lock().unwrap().push(Told::Skipped(format!("{:?}", line.why)));
    }
}

/// All that `text` holds, brought in pieces of `step` bytes as a reader does.
fn told(envelope: Envelope, text: &[u8], step: usize) -> Vec<Told> {
    let taken = Taken::default();
    let mut sink = Sink::new(Box::new(taken.clone()), Arc::new(Status::default()), envelope);
    let (mut begun, mut kept) = (Begun::default(), Vec::new());
    for piece in text.chunks(step.max(1)) {
        kept.extend_from_slice(piece);
        let done = sink.chunk(&kept, &mut begun, &Seen::default());
        kept.drain(..done);
        assert!(kept.len() <= MAX_LINE_BYTES);
    }
    sink.end(&kept, &mut begun, &Seen::default());
    let told = std::mem::take(&mut *taken.0.lock().unwrap());
    told
}

/// Lines that an envelope hands on as they are: without line ends, NULs and a byte order mark.
fn plain_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let is_plain = |line: &&[u8]| {
        let odd = line.iter().any(|byte| matches!(byte, 0 | b'\r'));
        !line.is_empty() && !odd && !line.starts_with(b"\xef\xbb\xbf")
    };
    bytes.split(|byte| *byte == b'\n').filter(is_plain).collect()
}

/// One entry of a container's log: a whole line, or a part of one.
fn entry(envelope: Envelope, stream: &str, text: &[u8], is_last: bool) -> Vec<u8> {
    const TIME: &str = "2026-11-20T15:45:17.123456789Z";
    let mut entry = Vec::new();
    if envelope == Envelope::Cri {
        let tag = if is_last { "F" } else { "P" };
        entry.extend_from_slice(format!("{TIME} {stream} {tag} ").as_bytes());
        entry.extend_from_slice(text);
    } else {
        entry.extend_from_slice(b"{\"log\":\"");
        for byte in text {
            match byte {
                b'"' | b'\\' => entry.extend_from_slice(&[b'\\', *byte]),
                ..b' ' => entry.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                byte => entry.push(*byte),
            }
        }
        let end = if is_last { "\\n" } else { "" };
        entry.extend_from_slice(format!("{end}\",\"stream\":\"{stream}\",\"time\":\"{TIME}\"}}").as_bytes());
    }
    entry.push(b'\n');
    entry
}

/// The log of a container whose two streams write at once, in parts of `part` bytes, and the lines in the order in which
/// they end.
fn container(envelope: Envelope, lines: &[&[u8]], part: usize) -> (Vec<u8>, Vec<(Option<Stream>, Vec<u8>)>) {
    const STREAMS: [(&str, Stream); 2] = [("stdout", Stream::Stdout), ("stderr", Stream::Stderr)];
    let (mut log, mut ended) = (Vec::new(), Vec::new());
    for pair in lines.chunks(2) {
        let mut parts: Vec<_> = pair.iter().map(|line| line.chunks(part).peekable()).collect();
        while parts.iter_mut().any(|parts| parts.peek().is_some()) {
            for ((parts, line), (name, stream)) in parts.iter_mut().zip(pair).zip(STREAMS) {
                let Some(text) = parts.next() else { continue };
                let is_last = parts.peek().is_none();
                log.extend(entry(envelope, name, text, is_last));
                if is_last {
                    ended.push((Some(stream), line.to_vec()));
                }
            }
        }
    }
    (log, ended)
}

/// The lines behind the headers of RFC 3164 and RFC 5424, by turns.
fn syslog(lines: &[&[u8]]) -> (Vec<u8>, Vec<(Option<Stream>, Vec<u8>)>) {
    const HEADERS: [&[u8]; 3] = [
        b"<190>Nov 20 15:45:17 web-1 nginx: ",
        b"<134>Nov 20 15:45:17 haproxy[14389]: ",
        b"<134>1 2026-11-20T15:45:17.123456+00:00 web-1 haproxy 7 - [a@32473 b=\"\\\"]\"] ",
    ];
    let headers = HEADERS.iter().cycle();
    let wrapped = lines
        .iter()
        .zip(headers)
        .map(|(line, header)| [header, line, b"\n".as_slice()].concat());
    let ended = lines.iter().map(|line| (None, line.to_vec()));
    (wrapped.collect::<Vec<_>>().concat(), ended.collect())
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (kind, step, bytes) = input;
    let (envelope, step) = (ENVELOPES[usize::from(kind) % ENVELOPES.len()], usize::from(step) + 1);

    let at_once = told(envelope, bytes, bytes.len());
    assert_eq!(at_once, told(envelope, bytes, step));
    let length = |told: &Told| match told {
        Told::Line { text, .. } => text.len(),
        Told::Skipped(_) => 0,
    };
    assert!(at_once.iter().map(length).sum::<usize>() <= bytes.len());
    assert!(at_once.len() <= bytes.iter().filter(|byte| **byte == b'\n').count() + 3);

    let lines = plain_lines(bytes);
    let (log, ended) = match envelope {
        Envelope::Plain => return,
        Envelope::Cri | Envelope::Docker => container(envelope, &lines, step),
        Envelope::Syslog => syslog(&lines),
    };
    let unwrapped = told(envelope, &log, step).into_iter().map(|told| match told {
        Told::Line {
            text, stream, stamp, ..
        } => {
            assert!(stamp.is_some_and(|stamp| !stamp.is_empty()));
            (stream, text)
        }
        Told::Skipped(why) => panic!("{why}"),
    });
    assert_eq!(unwrapped.collect::<Vec<_>>(), ended);
});
