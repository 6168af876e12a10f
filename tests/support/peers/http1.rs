//! What a server does after it has read an HTTP/1 request, over TCP or TLS alike.

use super::{Behaviour, Wire, drain, read_head, say};

/// A small good answer.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// How the connection ends after the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// FIN, over TLS with close_notify.
    Finish,
    /// FIN, over TLS without close_notify.
    Cut,
    /// RST.
    Reset,
    /// Never by itself.
    Stall,
}

/// Reads the request, writes `bytes`, ends with a FIN.
pub fn answers(bytes: impl Into<Vec<u8>>) -> Behaviour {
    ends(bytes, Ending::Finish)
}

/// Reads the request, writes `bytes`, ends that way.
pub fn ends(bytes: impl Into<Vec<u8>>, ending: Ending) -> Behaviour {
    let bytes = bytes.into();
    Box::new(move |wire| {
        read_head(wire);
        say(wire, &bytes);
        end(wire, ending);
    })
}

/// Writes `bytes` at once, as a server of another protocol greets; ends with a FIN.
pub fn greets(bytes: impl Into<Vec<u8>>) -> Behaviour {
    let bytes = bytes.into();
    Box::new(move |wire| {
        say(wire, &bytes);
        end(wire, Ending::Finish);
    })
}

/// Ends the connection without a byte of its own, before it has read one.
pub fn leaves(ending: Ending) -> Behaviour {
    Box::new(move |wire| end(wire, ending))
}

/// Reads the request, writes `first`, then `again` without end until the prober has had enough.
pub fn endless(first: &'static [u8], again: &'static [u8]) -> Behaviour {
    Box::new(move |wire| {
        read_head(wire);
        say(wire, first);
        let many = again.repeat(64);
        while wire.write_all(&many).is_ok() {}
    })
}

/// Writes one byte of a good answer per second: legal in every byte, and never done in time.
pub fn drips() -> Behaviour {
    Box::new(|wire| {
        read_head(wire);
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
            if wire.write_all(&[*byte]).and_then(|()| wire.flush()).is_err() {
                return;
            }
            // The misbehaviour itself; nothing waits for it.
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    })
}

/// Answers a request by its path: the first whose path matches, else 404.
pub fn site(pages: Vec<(&'static str, Vec<u8>)>) -> Behaviour {
    Box::new(move |wire| {
        let head = read_head(wire);
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let page = pages.iter().find(|(of, _)| *of == path);
        say(
            wire,
            page.map_or(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".as_slice(),
                |(_, page)| page,
            ),
        );
        end(wire, Ending::Finish);
    })
}

/// Answers `with` where the request head, in lower case, holds `what`; else 400 with the head as its body.
pub fn demands(what: &'static str, with: &'static [u8]) -> Behaviour {
    Box::new(move |wire| {
        let head = String::from_utf8_lossy(&read_head(wire)).to_ascii_lowercase();
        if head.contains(what) {
            say(wire, with);
        } else {
            say(
                wire,
                format!(
                    "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{head}",
                    head.len()
                )
                .as_bytes(),
            );
        }
        end(wire, Ending::Finish);
    })
}

/// A whole answer with that status line end, no headers but the length.
pub fn status(status: &str) -> Behaviour {
    answers(format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nwords"))
}

/// A good answer with these bytes as its body.
pub fn page(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A whole answer: the end of its status line, header lines separated by `\n`, and its body.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// The answer recorded under that name in `tests/corpus/pages`, with the length its body has there.
pub fn recorded(name: &str) -> Vec<u8> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus/pages")
        .join(name);
    let text = std::fs::read_to_string(file).expect("a recorded page");
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let (status, headers) = head.split_once('\n').expect("a status line");
    let framing = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("connection:")
    };
    let headers: Vec<_> = headers.lines().filter(framing).collect();
    let status = status.split_once(' ').expect("a version").1;
    answer(status, &headers.join("\n"), body)
}

/// A redirect to `location`.
pub fn redirect(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A good answer whose head has `count` headers more and is about `bytes` long.
pub fn large_head(count: usize, bytes: usize) -> Vec<u8> {
    let filler = "x".repeat((bytes / count).saturating_sub(20));
    let mut head = String::from("HTTP/1.1 200 OK\r\n");
    for number in 0..count {
        head.push_str(&format!("X-Filler-{number:05}: {filler}\r\n"));
    }
    head.push_str("Content-Length: 2\r\n\r\nok");
    head.into_bytes()
}

fn end(wire: &mut dyn Wire, ending: Ending) {
    match ending {
        Ending::Finish => wire.finish(),
        Ending::Cut => wire.cut(),
        Ending::Reset => return wire.reset(),
        Ending::Stall => {}
    }
    drain(wire);
}
