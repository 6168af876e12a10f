//! HTTP/2 servers, frame by frame (RFC 9113): the preface and the request are read, then one script is written.

use super::http1::Ending;
use super::{Behaviour, Wire, drain, say};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Error codes of RFC 9113, section 7.
pub const NO_ERROR: u32 = 0;
pub const INTERNAL_ERROR: u32 = 2;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// Any frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block without compression: literals that are never indexed.
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(0);
        for text in [name, value] {
            // HPACK integers with a prefix of 7 bits (RFC 7541, 5.1).
            let length = text.len();
            if length < 127 {
                bytes.push(length as u8);
            } else {
                bytes.push(127);
                let mut rest = length - 127;
                while rest >= 128 {
                    bytes.push((rest % 128) as u8 | 0x80);
                    rest /= 128;
                }
                bytes.push(rest as u8);
            }
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// A response head; more follows.
pub fn headers(stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(headers))
}

/// A head that ends the stream: an answer without a body, or trailers.
pub fn last_headers(stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(headers))
}

/// A part of the body.
pub fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

/// The last part of the body.
pub fn last_data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, bytes)
}

/// The end of one stream.
pub fn rst_stream(stream: u32, error: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &error.to_be_bytes())
}

/// The end of the connection; streams up to `last` may still be answered.
pub fn goaway(last: u32, error: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), error.to_be_bytes()].concat())
}

/// A question whether we are alive.
pub fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"badgates")
}

/// A head of about that many bytes, in frames as large as they may be.
pub fn large_headers(stream: u32, bytes: usize) -> Vec<u8> {
    let filler = "x".repeat(16_000);
    let mut all = frame(HEADERS, 0, stream, &block(&[(":status", "200")]));
    for number in 0..bytes / 16_000 {
        all.extend(frame(
            CONTINUATION,
            0,
            stream,
            &block(&[(&format!("x-filler-{number}"), &filler)]),
        ));
    }
    all.extend(frame(CONTINUATION, END_HEADERS, stream, &[]));
    all.extend(last_data(stream, b"ok"));
    all
}

/// Shakes hands, reads a request, writes what `script` makes for its stream, ends that way.
pub fn answers(script: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static, ending: Ending) -> Behaviour {
    Box::new(move |wire| {
        let Some(stream) = read_request(wire) else { return };
        say(wire, &script(stream));
        match ending {
            Ending::Finish => wire.finish(),
            Ending::Cut => wire.cut(),
            Ending::Reset => return wire.reset(),
            Ending::Stall => {}
        }
        drain(wire);
    })
}

/// Whole answers: status, headers, body.
pub fn responds(status: &'static str, body: &'static [u8]) -> Behaviour {
    let script = move |stream| [headers(stream, &[(":status", status)]), last_data(stream, body)].concat();
    // The connection stays open, as it does with every real server.
    answers(script, Ending::Stall)
}

/// Reads the preface and frames up to a whole request head; the number of its stream.
fn read_request(wire: &mut dyn Wire) -> Option<u32> {
    let mut preface = [0; 24];
    wire.read_exact(&mut preface).ok()?;
    if &preface != b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        return None;
    }
    say(wire, &frame(SETTINGS, 0, 0, &[]));
    loop {
        let mut header = [0; 9];
        wire.read_exact(&mut header).ok()?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let mut payload = vec![0; length];
        wire.read_exact(&mut payload).ok()?;
        let (kind, flags) = (header[3], header[4]);
        match kind {
            SETTINGS if flags & ACK == 0 => say(wire, &frame(SETTINGS, ACK, 0, &[])),
            HEADERS | CONTINUATION if flags & END_HEADERS != 0 => {
                return Some(u32::from_be_bytes([header[5], header[6], header[7], header[8]]));
            }
            _ => {}
        }
    }
}
