//! Syslog headers, as they are sent and as daemons write them to files.
//!
//! | shape | who writes it |
//! |---|---|
//! | `<PRI>1 TIME HOST APP PROC ID DATA text` | RFC 5424: HAProxy `format rfc5424`, rsyslog, syslog-ng |
//! | `<PRI>Nov 20 15:45:17 HOST TAG[PID]: text` | RFC 3164: nginx (`HOST nginx:`), rsyslog |
//! | `<PRI>Nov 20 15:45:17 TAG[PID]: text` | HAProxy `format rfc3164` and `local`, nginx `nohostname`, `/dev/log` |
//! | `<PRI>text` | HAProxy `format priority` and `short` |
//! | `<PRI>TIME text` | HAProxy `format timed`; without PRI: `iso` |
//! | the first three without `<PRI>`, TIME also ISO 8601 | files of rsyslog, syslog-ng |
//!
//! The header is read from the front and only while it looks like one, so that text behind it can forge nothing. A line
//! that has none is handed on whole.

/// What a header says, and the text behind it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub program: Option<&'a [u8]>,
    pub stamp: Option<&'a [u8]>,
    pub text: &'a [u8],
}

/// RFC 5424 section 6: 48 characters of a name at most.
const MAX_PROGRAM_BYTES: usize = 48;

pub(super) fn header(line: &[u8]) -> Header<'_> {
    let (has_priority, line) = after_priority(line);
    if has_priority && let Some(header) = line.strip_prefix(b"1 ").and_then(rfc5424) {
        return header;
    }
    let Some((stamp, rest)) = stamp(line) else {
        return Header {
            text: line,
            ..Header::default()
        };
    };
    let (program, text) = tag(rest)
        .or_else(|| {
            word(rest)
                .filter(|(host, _)| is_host(host))
                .and_then(|(_, rest)| tag(rest))
        })
        .map_or((None, rest), |(program, text)| (Some(program), text));
    Header {
        program,
        stamp: Some(stamp),
        text,
    }
}

/// RFC 3164 section 4.1.1: `<`, up to three digits, `>`.
fn after_priority(line: &[u8]) -> (bool, &[u8]) {
    let Some(inside) = line.strip_prefix(b"<") else {
        return (false, line);
    };
    let digits = inside.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    match inside.get(digits) {
        Some(b'>') if digits > 0 => (true, &inside[digits + 1..]),
        _ => (false, line),
    }
}

/// Section 6: time, host, program, process, message id, structured data.
fn rfc5424(line: &[u8]) -> Option<Header<'_>> {
    let (time, rest) = word(line)?;
    let (_, rest) = word(rest)?;
    let (program, rest) = word(rest)?;
    let (_, rest) = word(rest)?;
    let (_, rest) = word(rest)?;
    let rest = after_data(rest)?;
    let text = rest.strip_prefix(b" ").unwrap_or(rest);
    let time = (time != b"-").then(|| iso_length(time).filter(|length| *length == time.len()).map(|_| time));
    let stamp = match time {
        Some(None) => return None,
        Some(stamp) => stamp,
        None => None,
    };
    Some(Header {
        program: (program != b"-").then_some(program),
        stamp,
        text: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
    })
}

/// What follows the structured data: `-`, or elements in brackets whose quoted values escape `"`, `\` and `]`.
fn after_data(text: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = text.strip_prefix(b"-") {
        return Some(rest);
    }
    let (mut at, mut quoted) = (0, false);
    text.starts_with(b"[").then_some(())?;
    loop {
        match text.get(at)? {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b']' if !quoted && text.get(at + 1) != Some(&b'[') => return Some(&text[at + 1..]),
            _ => {}
        }
        at += 1;
    }
}

/// The time at the front, and what follows the blank behind it.
fn stamp(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = bsd_length(line).or_else(|| iso_length(line))?;
    let rest = line[length..].strip_prefix(b" ")?;
    Some((&line[..length], rest))
}

/// `Nov 20 15:45:17`, the day padded with a blank or a zero.
fn bsd_length(line: &[u8]) -> Option<usize> {
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
    ];
    let time = line.get(..15)?;
    (MONTHS.contains(&&time[..3]) && looks_like(time, b"aaa d9 99:99:99")).then_some(15)
}

/// `2026-11-20T15:45:17`, then a fraction, then `Z` or an offset.
fn iso_length(line: &[u8]) -> Option<usize> {
    looks_like(line.get(..19)?, b"9999-99-99T99:99:99").then_some(())?;
    let mut at = 19;
    if matches!(line.get(at), Some(b'.' | b',')) {
        let digits = line[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (1..=9).contains(&digits).then_some(())?;
        at += 1 + digits;
    }
    match line.get(at)? {
        b'Z' => Some(at + 1),
        b'+' | b'-' if looks_like(line.get(at + 1..at + 6)?, b"99:99") => Some(at + 6),
        _ => None,
    }
}

/// `9` a digit, `d` a digit or blank, `a` a letter, others themselves.
fn looks_like(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, shape)| match shape {
            b'9' => byte.is_ascii_digit(),
            b'd' => byte.is_ascii_digit() || *byte == b' ',
            b'a' => byte.is_ascii_alphabetic(),
            other => byte == other,
        })
}

/// `TAG[PID]: ` or `TAG: ` at the front, and the text behind it.
fn tag(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = text
        .iter()
        .take(MAX_PROGRAM_BYTES + 1)
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_./@".contains(byte))
        .count();
    (1..=MAX_PROGRAM_BYTES).contains(&length).then_some(())?;
    let mut rest = &text[length..];
    if let Some(inside) = rest.strip_prefix(b"[") {
        let end = inside.iter().take(16).position(|byte| *byte == b']')?;
        rest = &inside[end + 1..];
    }
    let rest = rest.strip_prefix(b":")?;
    // `10.0.0.1:33317` begins the text of a log, and is no tag.
    (rest.is_empty() || rest[0] == b' ').then_some((&text[..length], rest.strip_prefix(b" ").unwrap_or(rest)))
}

fn is_host(word: &[u8]) -> bool {
    !word.is_empty()
        && word.len() <= 255
        && word
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', text)?;
    Some((&text[..end], &text[end + 1..]))
}
