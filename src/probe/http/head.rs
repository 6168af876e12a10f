//! A response head of HTTP/1.1: where it ends, what it says, and how its body is framed.

use std::time::SystemTime;

use crate::observation::Head;
use crate::probe::http::{KeptHeaders, kept_reason, retry_after};

/// How the end of a body is found (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks up to an empty one.
    Chunked,
    /// Up to the end of the connection.
    UntilClose,
}

/// Index after the empty line that ends a head, looking from `from` on; lines may end in LF alone (RFC 9112, 2.2).
pub fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let next = at + found + 1;
        match bytes.get(next..) {
            Some([b'\n', ..]) => return Some(next + 1),
            Some([b'\r', b'\n', ..]) => return Some(next + 2),
            _ => at = next,
        }
    }
    None
}

/// True when these first bytes cannot be the start of a status line.
pub fn cannot_be_http(bytes: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let length = bytes.len().min(START.len());
    bytes[..length] != START[..length]
}

/// Reads a whole head. `Err` names the rule that it breaks.
pub fn parse(
    bytes: &[u8],
    to_head_request: bool,
    kept: &KeptHeaders,
    now: SystemTime,
) -> Result<(Head, Framing), &'static str> {
    let mut few = [httparse::EMPTY_HEADER; 64];
    let mut many;
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let headers = if lines <= few.len() {
        &mut few[..]
    } else {
        many = vec![httparse::EMPTY_HEADER; lines];
        &mut many[..]
    };
    let mut response = httparse::Response::new(headers);
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    match config.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err("the head is cut"),
        Err(error) => return Err(broken_rule(error)),
    }
    let status = response
        .code
        .filter(|code| *code >= 100)
        .ok_or("the status is below 100")?;
    let mut head = Head {
        status,
        reason: kept_reason(status, response.reason),
        version: if response.version == Some(0) { "1.0" } else { "1.1" },
        bytes: bytes.len() as u64,
        longest_line: longest_line(bytes),
        ..Head::default()
    };
    let mut body = BodyHeaders::default();
    for header in response.headers.iter() {
        body.take(header.name, header.value)?;
        kept.keep(&mut head.headers, header.name, header.value);
        if (300..400).contains(&status) && header.name.eq_ignore_ascii_case("location") {
            head.location = Some(String::from_utf8_lossy(header.value).into_owned());
        }
        if header.name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = retry_after(header.value, now);
        }
    }
    let bodyless = to_head_request || status < 200 || status == 204 || status == 304;
    Ok((head, body.framing(bodyless)?))
}

fn broken_rule(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a header line without a valid name and colon",
        httparse::Error::HeaderValue => "a header value with a forbidden byte",
        httparse::Error::NewLine => "a bare carriage return",
        httparse::Error::Status => "the status is no three digits",
        httparse::Error::Token => "the status line is no HTTP",
        httparse::Error::TooManyHeaders => "more headers than lines",
        httparse::Error::Version => "the version is neither HTTP/1.0 nor HTTP/1.1",
    }
}

fn longest_line(bytes: &[u8]) -> u64 {
    bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::len)
        .max()
        .unwrap_or_default() as u64
}

/// The two headers that frame a body.
#[derive(Default)]
struct BodyHeaders {
    length: Option<u64>,
    coded: bool,
    chunked_last: bool,
}

impl BodyHeaders {
    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), &'static str> {
        if name.eq_ignore_ascii_case("content-length") {
            for part in value.split(|byte| *byte == b',') {
                let length = decimal(part.trim_ascii()).ok_or("Content-Length is no number")?;
                if self.length.replace(length).is_some_and(|known| known != length) {
                    return Err("two different Content-Lengths");
                }
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let last = value
                .rsplit(|byte| *byte == b',')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            self.coded = true;
            self.chunked_last = last.eq_ignore_ascii_case(b"chunked");
        }
        Ok(())
    }

    /// A response with both is refused: RFC 9112, 6.3, says that it ought to be handled as an error, and new nginx,
    /// Varnish and Envoy answer 502 or 503 to it.
    fn framing(&self, bodyless: bool) -> Result<Framing, &'static str> {
        match (self.coded, self.length) {
            (true, Some(_)) => Err("Content-Length together with Transfer-Encoding"),
            _ if bodyless => Ok(Framing::None),
            (true, None) if self.chunked_last => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            _ => Ok(Framing::UntilClose),
        }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(head: &str) -> Result<(u16, Framing), &'static str> {
        parse(head.as_bytes(), false, &KeptHeaders::default(), SystemTime::UNIX_EPOCH)
            .map(|(head, framing)| (head.status, framing))
    }

    #[test]
    fn heads_of_every_legal_kind_are_read() {
        let cases = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 200, Framing::Length(5)),
            ("HTTP/1.1 200\r\n\r\n", 200, Framing::UntilClose),
            ("HTTP/1.1 200 \r\nContent-Length: 5, 5\r\n\r\n", 200, Framing::Length(5)),
            ("HTTP/1.0 404 Not Found\n\n", 404, Framing::UntilClose),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n",
                200,
                Framing::Chunked,
            ),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
                204,
                Framing::None,
            ),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
                304,
                Framing::None,
            ),
            ("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 103, Framing::None),
            (
                "HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Long: a\r\n b\r\n\r\n",
                200,
                Framing::UntilClose,
            ),
        ];
        for (head, status, framing) in cases {
            assert_eq!(check(head), Ok((status, framing)), "{head:?}");
        }
    }

    #[test]
    fn heads_that_break_a_rule_are_refused() {
        let heads = [
            "HTTP/9.9 200 OK\r\n\r\n",
            "HTTP/1 200 OK\r\n\r\n",
            "HTTP/1.1 99 Low\r\n\r\n",
            "HTTP/1.1 099 Low\r\n\r\n",
            "HTTP/1.1 abc OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        ];
        for head in heads {
            assert!(check(head).is_err(), "{head:?} gave {:?}", check(head));
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_reads_cut_it() {
        for head in ["HTTP/1.1 200 OK\r\na: b\r\n\r\nbody", "HTTP/1.1 200 OK\na: b\n\nbody"] {
            let end = head.find("body").expect("it is there");
            for cut in 0..head.len() {
                let bytes = head.as_bytes();
                let first = end_of_head(&bytes[..cut], 0);
                assert_eq!(first.or_else(|| end_of_head(bytes, cut)), Some(end), "cut at {cut}");
            }
        }
    }

    #[test]
    fn many_headers_are_no_fault() {
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-header: value\r\n".repeat(1000));
        assert_eq!(check(&head), Ok((200, Framing::UntilClose)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes, false, &KeptHeaders::default(), SystemTime::UNIX_EPOCH);
            let _ = end_of_head(&bytes, 0);
        }

        #[test]
        fn no_headers_make_it_panic(headers in "([a-zA-Z-]{0,20}:? ?[ -~\r\n]{0,20}\r\n){0,20}") {
            let _ = parse(format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), false, &KeptHeaders::default(), SystemTime::UNIX_EPOCH);
        }
    }
}
