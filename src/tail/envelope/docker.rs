//! Docker's `json-file` log: `{"log":"text\n","stream":"stdout","time":"…"}`; without `\n` at its end, `log` is a part.
//!
//! Source: moby, daemon/logger/jsonfilelog/jsonlog. Escapes are undone into one buffer; nothing else is kept.

use memchr::memchr2;

use super::{Entry, Stream};

/// The entry of a line; its text lies in `unescaped`.
pub(super) fn entry<'a>(line: &'a [u8], unescaped: &'a mut Vec<u8>) -> Option<Entry<'a>> {
    let (mut text, mut stream, mut stamp) = (None, Stream::Stdout, &b""[..]);
    let mut rest = trimmed(line).strip_prefix(b"{")?;
    loop {
        let (key, after) = string(trimmed(rest))?;
        let value = trimmed(trimmed(after).strip_prefix(b":")?);
        if let Some((held, after)) = string(value) {
            match key {
                b"log" => text = Some(held),
                b"stream" if held == b"stderr" => stream = Stream::Stderr,
                b"time" => stamp = held,
                _ => {}
            }
            rest = trimmed(after);
        } else {
            rest = trimmed(after_value(value)?);
        }
        match rest.split_first()? {
            (b',', after) => rest = after,
            (b'}', after) if trimmed(after).is_empty() => break,
            _ => return None,
        }
    }
    unescaped.clear();
    unescape(text?, unescaped)?;
    let is_last = unescaped.last() == Some(&b'\n');
    if is_last {
        unescaped.pop();
    }
    Some(Entry {
        stream,
        stamp,
        text: unescaped,
        is_last,
    })
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// The inside of a string at the front, escapes as they stand, and what follows it.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', inside.get(at..)?)?;
        if inside[at] == b'"' {
            return Some((&inside[..at], &inside[at + 1..]));
        }
        at += 2;
    }
}

/// What follows a value that is no string: the labels and variables a daemon may add.
fn after_value(mut text: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    loop {
        match text.first()? {
            b'"' => {
                text = string(text)?.1;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' if depth == 0 => return Some(text),
            b'}' | b']' if depth == 0 => return Some(text),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        text = &text[1..];
    }
}

/// Undoes JSON's escapes; half a surrogate pair becomes U+FFFD. Never longer than what it reads.
fn unescape(mut text: &[u8], into: &mut Vec<u8>) -> Option<()> {
    while let Some(at) = memchr::memchr(b'\\', text) {
        into.extend_from_slice(&text[..at]);
        let escape = *text.get(at + 1)?;
        text = &text[at + 2..];
        into.push(match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'"' | b'\\' | b'/' => escape,
            b'u' => {
                let (char, after) = code_point(text)?;
                into.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                text = after;
                continue;
            }
            _ => return None,
        });
    }
    into.extend_from_slice(text);
    Some(())
}

/// The character after `\u`, and what follows it.
fn code_point(text: &[u8]) -> Option<(char, &[u8])> {
    let (high, after) = unit(text)?;
    if let Some(char) = char::from_u32(high) {
        return Some((char, after));
    }
    let low = after.strip_prefix(b"\\u").and_then(unit);
    match low {
        Some((low @ 0xdc00..=0xdfff, after)) if high < 0xdc00 => {
            let char = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            Some((char.unwrap_or(char::REPLACEMENT_CHARACTER), after))
        }
        _ => Some((char::REPLACEMENT_CHARACTER, after)),
    }
}

fn unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = text.split_at_checked(4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    Some((u32::from_str_radix(digits, 16).ok()?, after))
}
