//! Numbers, lists and addresses as gateways write them.

use std::time::Duration;

use super::Unit;
use super::bytes::{first, holds};
use crate::cause::Cause;

/// Whether a value says that there is none.
#[inline]
pub(in crate::gateway) fn is_dash(value: &[u8]) -> bool {
    value.len() == 1 && value[0] == b'-'
}

/// A whole number, with or without a sign; `+N` is N. Quotes of JSON are taken off.
pub(in crate::gateway) fn integer(text: &[u8]) -> Option<i64> {
    let text = unquoted(text);
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for byte in digits {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            _ => return None,
        }
    }
    Some(sign * value)
}

/// A status from 100 to 599; anything else says that none was sent, or is no status.
pub(in crate::gateway) fn status(text: &[u8]) -> Option<u16> {
    match *unquoted(text) {
        [hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            let digit = |byte: u8| u16::from(byte - b'0');
            Some(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
        }
        _ => None,
    }
}

/// A time span; negative, `-` and text are none.
#[inline]
pub(in crate::gateway) fn span(text: &[u8], unit: Unit) -> Option<Duration> {
    let text = unquoted(text);
    if unit == Unit::Seconds
        && let Some(span) = thousandths(text)
    {
        return Some(span);
    }
    let nanos_per_unit: u64 = match unit {
        // Some write `0.5`, or `500ms` where they are told to.
        Unit::Seconds if text.ends_with(b"s") => return go_duration(text),
        Unit::Seconds | Unit::None => 1_000_000_000,
        Unit::Millis => 1_000_000,
        Unit::Micros => 1_000,
        Unit::Nanos => 1,
        Unit::Go => return go_duration(text),
    };
    decimal(text, nanos_per_unit).map(Duration::from_nanos)
}

/// `12.345`, as most gateways write seconds; `None` for any other form.
#[inline]
fn thousandths(text: &[u8]) -> Option<Duration> {
    let [whole @ .., b'.', tenths, hundredths, thousandths] = text else {
        return None;
    };
    if whole.is_empty() || whole.len() > 9 {
        return None;
    }
    let mut seconds = 0;
    for byte in whole {
        seconds = seconds * 10 + u64::from(digit(*byte)?);
    }
    let millis = (digit(*tenths)? * 10 + digit(*hundredths)?) * 10 + digit(*thousandths)?;
    Some(Duration::new(seconds, millis * 1_000_000))
}

/// A decimal number times `scale`; digits that make no whole are cut off.
fn decimal(text: &[u8], scale: u64) -> Option<u64> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=18).contains(&length) {
        return None;
    }
    let (digits, rest) = text.split_at(length);
    let whole = digits.iter().fold(0, |value, byte| value * 10 + u64::from(byte - b'0'));
    let (mut fraction, mut weight) = (0, scale);
    match rest {
        [] => {}
        [b'.', digits @ ..] => {
            for byte in digits {
                weight /= 10;
                fraction += u64::from(digit(*byte)?) * weight;
            }
        }
        _ => return None,
    }
    whole.checked_mul(scale)?.checked_add(fraction)
}

#[inline]
fn digit(byte: u8) -> Option<u32> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some(u32::from(digit))
}

/// `1h2m3.5s`, `1.5ms`, `20µs`, `0s`.
fn go_duration(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?;
    let mut rest = text;
    let mut nanos = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let unit = rest[number..]
            .find(|char: char| char.is_ascii_digit())
            .map_or(rest.len(), |length| number + length);
        let scale = match &rest[number..unit] {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        nanos = nanos.checked_add(decimal(&rest.as_bytes()[..number], scale)?)?;
        rest = &rest[unit..];
    }
    Some(Duration::from_nanos(nanos))
}

/// JSON writes some numbers as strings.
fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] => inner,
        text => text,
    }
}

/// The items of nginx's lists: one per attempt, `, ` between; ` : ` between groups of internal redirects.
pub(in crate::gateway) fn list(text: &[u8]) -> List<'_> {
    list_like(text, is_list(text))
}

/// Whether such a list may have more than one item.
#[inline]
pub(in crate::gateway) fn is_list(text: &[u8]) -> bool {
    holds(text, *b" ")
}

/// As [`list`], of a list with as many items as another that was asked with [`is_list`].
#[inline]
pub(in crate::gateway) fn list_like(text: &[u8], many: bool) -> List<'_> {
    List {
        rest: (!text.is_empty()).then_some(text),
        many,
    }
}

/// See [`list`].
pub(in crate::gateway) struct List<'l> {
    /// `None` after the last item.
    rest: Option<&'l [u8]>,
    many: bool,
}

impl<'l> Iterator for List<'l> {
    type Item = &'l [u8];

    #[inline]
    fn next(&mut self) -> Option<&'l [u8]> {
        let all = self.rest.take()?;
        match self.many {
            true => Some(self.cut(all)),
            false => Some(all),
        }
    }
}

impl<'l> List<'l> {
    /// The first item; the others are left.
    fn cut(&mut self, all: &'l [u8]) -> &'l [u8] {
        let end = memchr::memchr2_iter(b',', b' ', all).find_map(|at| match &all[at..] {
            [b',', b' ', ..] => Some((at, at + 2)),
            [b' ', b':', b' ', ..] => Some((at, at + 3)),
            _ => None,
        });
        match end {
            Some((end, next)) => {
                self.rest = Some(&all[next..]);
                &all[..end]
            }
            None => all,
        }
    }
}

/// The target out of `METHOD target PROTOCOL`: between the first blank and the last one before the protocol.
pub(in crate::gateway) fn target_of(request: &[u8]) -> &[u8] {
    let Some(start) = first(b' ', request) else {
        return request;
    };
    let rest = &request[start + 1..];
    // As almost all requests end, found without a search.
    if let Some((target, [b' ', b'H', b'T', b'T', b'P', b'/', protocol @ ..])) = rest.split_last_chunk::<9>()
        && !protocol.contains(&b' ')
    {
        return target;
    }
    match memchr::memrchr(b' ', rest) {
        Some(end) if rest[end + 1..].starts_with(b"HTTP/") => &rest[..end],
        _ => rest,
    }
}

/// A target without scheme and host: `http://host:80/a?b` is `/a?b`.
pub(in crate::gateway) fn path_of(target: &[u8]) -> &[u8] {
    // A scheme is short, and a path begins with a slash.
    let scheme = find(target.get(..10).unwrap_or(target), b"://").filter(|at| !target[..*at].contains(&b'/'));
    match scheme.and_then(|at| Some(at + 3 + memchr::memchr2(b'/', b'?', &target[at + 3..])?)) {
        Some(path) => &target[path..],
        None => target,
    }
}

/// A target without its query; the question mark stays away too.
pub(in crate::gateway) fn without_query(target: &[u8]) -> &[u8] {
    &target[..memchr::memchr(b'?', target).unwrap_or(target.len())]
}

/// An address without its port: `10.0.0.1:80`, `[::1]:80`.
pub(in crate::gateway) fn without_port(address: &[u8]) -> &[u8] {
    match address {
        [b'[', inner @ ..] => match memchr::memchr(b']', inner) {
            Some(end) => &inner[..end],
            None => address,
        },
        _ => match memchr::memrchr(b':', address) {
            // More than one colon: an IPv6 address without brackets has no port.
            Some(at) if memchr::memchr(b':', &address[..at]).is_none() => &address[..at],
            _ => address,
        },
    }
}

/// What follows `start` in `text`, up to `end` or the end.
pub(in crate::gateway) fn between<'t>(text: &'t [u8], start: &[u8], end: &[u8]) -> Option<&'t [u8]> {
    let from = find(text, start)? + start.len();
    let rest = &text[from..];
    Some(match find(rest, end) {
        Some(length) if !end.is_empty() => &rest[..length],
        _ => rest,
    })
}

/// Where `needle` begins in `text`.
pub(in crate::gateway) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, needle)
}

/// A number for a text, for [`crate::exchange::Join`]; 0 only for no text.
pub(in crate::gateway) fn id(text: &[u8]) -> u64 {
    use std::hash::Hasher;
    if text.is_empty() {
        return 0;
    }
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(text);
    hasher.finish().max(1)
}

/// As [`id`], for several texts that are an identity together; 0 where one of them is missing.
pub(in crate::gateway) fn id_of(parts: &[&[u8]]) -> u64 {
    use std::hash::Hasher;
    if parts.iter().any(|part| part.is_empty()) {
        return 0;
    }
    let mut hasher = std::hash::DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish().max(1)
}

/// The host and port of a URL, or of what is one already: `http://10.0.0.1:80/a` to `10.0.0.1:80`.
pub(in crate::gateway) fn authority(url: &[u8]) -> &[u8] {
    let rest = match find(url, b"://") {
        Some(at) if at <= 8 => &url[at + 3..],
        _ => url,
    };
    let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    &rest[..end]
}

/// What follows a syslog header as daemons write it into files: `Nov 20 10:58:03 host program[13]: `, with or without
/// `<PRI>`, or with an ISO time.
pub(in crate::gateway) fn after_syslog_header(line: &[u8]) -> Option<&[u8]> {
    // Time, host and tag are short.
    let end = find(line.get(..line.len().min(200))?, b": ")?;
    let header = &line[..end];
    let is_header = header
        .first()
        .is_some_and(|byte| matches!(byte, b'<' | b'0'..=b'9' | b'A'..=b'Z'))
        && header.iter().filter(|byte| **byte == b' ').count() >= 2
        && !header.contains(&b'"');
    is_header.then(|| &line[end + 2..])
}

/// The cause of a status that was the answer itself; none below 500.
pub(in crate::gateway) fn own_status(status: u16) -> Option<Cause> {
    match status {
        502 => Some(Cause::BadGateway),
        503 => Some(Cause::ServiceUnavailable),
        504 => Some(Cause::GatewayTimeout),
        500..600 => Some(Cause::ServerError),
        _ => None,
    }
}

/// True where `text` holds `needle`.
pub(in crate::gateway) fn has(text: &[u8], needle: &str) -> bool {
    find(text, needle.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(integer(b"-1"), Some(-1));
        assert_eq!(integer(b"+12"), Some(12));
        assert_eq!(integer(b"\"7\""), Some(7));
        assert_eq!(integer(b"-"), None);
        assert_eq!(integer(b"12x"), None);
        assert_eq!(integer(b"9999999999999999999"), None);
        for (text, expected) in [
            ("502", Some(502)),
            ("009", None),
            ("000", None),
            ("0", None),
            ("-1", None),
            ("600", None),
        ] {
            assert_eq!(status(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn spans() {
        for (text, unit, millis) in [
            ("0.004", Unit::Seconds, Some(4.0)),
            ("12", Unit::Millis, Some(12.0)),
            ("+1500", Unit::Millis, Some(1500.0)),
            ("1500", Unit::Micros, Some(1.5)),
            ("1500000", Unit::Nanos, Some(1.5)),
            ("1m1.5s", Unit::Go, Some(61_500.0)),
            ("20µs", Unit::Go, Some(0.02)),
            ("-1", Unit::Millis, None),
            ("705.4ms", Unit::Seconds, Some(705.4)),
            ("-", Unit::Seconds, None),
            ("", Unit::Seconds, None),
            ("1.2.3", Unit::Seconds, None),
            ("99999999999999999999", Unit::Seconds, None),
            ("5", Unit::Go, None),
        ] {
            let got = span(text.as_bytes(), unit).map(|span| span.as_secs_f64() * 1000.0);
            assert_eq!(got, millis, "{text} {unit:?}");
        }
    }

    #[test]
    fn lists_of_attempts() {
        let items = |text: &'static str| -> Vec<&str> {
            list(text.as_bytes())
                .map(|item| std::str::from_utf8(item).unwrap())
                .collect()
        };
        assert_eq!(items("502, 502 : 200"), ["502", "502", "200"]);
        assert_eq!(items("-"), ["-"]);
        assert_eq!(items("- : -"), ["-", "-"]);
        assert_eq!(items(""), Vec::<&str>::new());
        assert_eq!(items("unix:/run/a b.sock"), ["unix:/run/a b.sock"]);
    }

    #[test]
    fn targets_and_addresses() {
        assert_eq!(target_of(b"GET /a b HTTP/1.1"), b"/a b");
        assert_eq!(target_of(b"GET /a"), b"/a");
        assert_eq!(target_of(b"\\x16\\x03"), b"\\x16\\x03");
        assert_eq!(path_of(b"http://host:80/a?b=c://d/e"), b"/a?b=c://d/e");
        assert_eq!(path_of(b"/a?b=c://d/e"), b"/a?b=c://d/e");
        assert_eq!(path_of(b"https://host"), b"https://host");
        assert_eq!(without_port(b"10.0.0.1:80"), b"10.0.0.1");
        assert_eq!(without_port(b"[::1]:80"), b"::1");
        assert_eq!(without_port(b"::1"), b"::1");
        assert_eq!(authority(b"http://10.0.0.1:80/a"), b"10.0.0.1:80");
        assert_eq!(authority(b"10.0.0.1:80"), b"10.0.0.1:80");
        assert_ne!(id_of(&[b"a", b"bc"]), id_of(&[b"ab", b"c"]));
        assert_eq!(id_of(&[b"a", b""]), 0);
        assert_eq!(between(b"a host: \"x\" b", b"host: \"", b"\""), Some(&b"x"[..]));
    }
}
