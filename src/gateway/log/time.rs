//! The forms in which gateways write times.

use std::cell::RefCell;

use crate::exchange::Stamp;

/// The longest form kept for comparison.
const KEPT: usize = 40;

/// The last time read: most lines repeat the one before.
#[derive(Debug, Default)]
pub(in crate::gateway) struct LastTime(RefCell<Kept>);

#[derive(Debug)]
struct Kept {
    text: [u8; KEPT],
    length: usize,
    stamp: Option<Stamp>,
}

impl Default for Kept {
    fn default() -> Self {
        Kept {
            text: [0; KEPT],
            length: 0,
            stamp: None,
        }
    }
}

impl LastTime {
    /// The time this text means, in any of the forms [`parse`] knows.
    pub(in crate::gateway) fn read(&self, text: &[u8]) -> Option<Stamp> {
        let mut kept = self.0.borrow_mut();
        if kept.text[..kept.length] == *text {
            return kept.stamp;
        }
        let stamp = parse(text)?;
        if let Some(room) = kept.text.get_mut(..text.len()) {
            room.copy_from_slice(text);
            (kept.length, kept.stamp) = (text.len(), Some(stamp));
        }
        Some(stamp)
    }
}

/// A time:
///
/// - `20/Nov/2026:10:57:01 +0000`, `20/Nov/2026:10:57:01.123`: nginx, Apache, HAProxy, Squid and their kin;
/// - `2026-11-20T10:57:01.123Z`, `2026-11-20 10:57:01`, `2026/11/20 10:57:01`, with or without a zone;
/// - `Fri Nov 20 11:03:44.123370 2026`: Apache's error log;
/// - seconds, thousandths, millionths or thousand-millionths since the epoch, told by the number of digits.
pub(in crate::gateway) fn parse(text: &[u8]) -> Option<Stamp> {
    let text = match text {
        [b'"', inner @ .., b'"'] | [b'[', inner @ .., b']'] => inner,
        text => text,
    };
    match text {
        [b'0'..=b'9', b'0'..=b'9', b'/', ..] => clf(text),
        [b'A'..=b'Z', ..] => apache_error(text),
        [_, _, _, _, b'-' | b'/', ..] => iso(text),
        _ => epoch(text),
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0i64, |value, byte| match byte {
        b'0'..=b'9' => Some(value * 10 + i64::from(byte - b'0')),
        _ => None,
    })
}

fn month(name: &[u8]) -> Option<i64> {
    const NAMES: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
    ];
    let at = NAMES.iter().position(|known| *known == name)?;
    i64::try_from(at + 1).ok()
}

/// Days since 1970-01-01 of a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range {
        return None;
    }
    // Years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Some(year * 365 + leap_days + day_of_year - 719_468)
}

/// `HH:MM:SS` to milliseconds of the day.
fn clock(text: &[u8]) -> Option<i64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = text else {
        return None;
    };
    let (hours, minutes, seconds) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?, digits(&[*s1, *s2])?);
    let in_range = hours < 24 && minutes < 60 && seconds <= 60;
    in_range.then_some(((hours * 60 + minutes) * 60 + seconds) * 1000)
}

/// `.123456` to milliseconds, and what follows.
fn fraction(text: &[u8]) -> (i64, &[u8]) {
    let Some(rest) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else {
        return (0, text);
    };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut millis = 0;
    for place in 0..3 {
        millis = millis * 10 + rest[..length].get(place).map_or(0, |byte| i64::from(byte - b'0'));
    }
    (millis, &rest[length..])
}

/// `Z`, `+02:00`, `+0200`, ` +0200` to milliseconds; nothing is no zone.
fn zone(text: &[u8]) -> Option<Option<i64>> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, rest) = match text {
        [] => return Some(None),
        [b'Z'] | b"UTC" => return Some(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        _ => return None,
    };
    Some(Some(sign * (hours * 60 + minutes) * 60_000))
}

fn stamp(days: i64, millis_of_day: i64, zone: Option<i64>) -> Stamp {
    Stamp {
        millis: days * 86_400_000 + millis_of_day - zone.unwrap_or(0),
        local: zone.is_none(),
    }
}

fn clf(text: &[u8]) -> Option<Stamp> {
    if text.len() < 20 || text[2] != b'/' || text[6] != b'/' || text[11] != b':' {
        return None;
    }
    let days = days(digits(&text[7..11])?, month(&text[3..6])?, digits(&text[..2])?)?;
    let (millis, rest) = fraction(&text[20..]);
    Some(stamp(days, clock(&text[12..20])? + millis, zone(rest)?))
}

fn iso(text: &[u8]) -> Option<Stamp> {
    if text.len() < 19 || text[4] != text[7] || !matches!(text[10], b'T' | b' ') {
        return None;
    }
    let days = days(digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..10])?)?;
    let (millis, rest) = fraction(&text[19..]);
    Some(stamp(days, clock(&text[11..19])? + millis, zone(rest)?))
}

fn apache_error(text: &[u8]) -> Option<Stamp> {
    if text.len() < 24 || text[3] != b' ' || text[7] != b' ' || text[10] != b' ' {
        return None;
    }
    let day = match text[8] {
        b' ' => &text[9..10],
        _ => &text[8..10],
    };
    let (millis, rest) = fraction(&text[19..]);
    let days = days(digits(rest.strip_prefix(b" ")?)?, month(&text[4..7])?, digits(day)?)?;
    Some(stamp(days, clock(&text[11..19])? + millis, None))
}

/// The year of times that state none: a leap year.
const NO_YEAR: i64 = 1972;

/// The time at the beginning of a syslog header: `Nov 20 10:57:39 host tag: ` or `2026-11-20T10:57:39.1+00:00 host
/// tag: `, with or without `<PRI>`. A time without a year is of 1972.
pub(in crate::gateway) fn before_syslog_tag(line: &[u8]) -> Option<Stamp> {
    let line = match line.strip_prefix(b"<") {
        Some(rest) => &rest[memchr::memchr(b'>', rest)? + 1..],
        None => line,
    };
    if line.first().is_some_and(u8::is_ascii_digit) {
        return parse(&line[..memchr::memchr(b' ', line)?]);
    }
    let [m1, m2, m3, b' ', tens, ones, b' ', rest @ ..] = line else {
        return None;
    };
    let day = match tens {
        b' ' => digits(&[*ones])?,
        _ => digits(&[*tens, *ones])?,
    };
    let days = days(NO_YEAR, month(&[*m1, *m2, *m3])?, day)?;
    Some(stamp(days, clock(rest.get(..8)?)?, None))
}

fn epoch(text: &[u8]) -> Option<Stamp> {
    let whole = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (after_point, rest) = fraction(&text[whole..]);
    if !rest.is_empty() || whole == 0 || whole > 19 {
        return None;
    }
    let value = text[..whole].iter().try_fold(0i64, |value, byte| {
        value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))
    })?;
    let millis = match whole {
        ..=11 => value * 1000 + after_point,
        12..=14 => value,
        15..=17 => value / 1000,
        _ => value / 1_000_000,
    };
    Some(Stamp { millis, local: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_one_second() {
        // date -u -d '2026-11-20 10:57:01' +%s
        const SECOND: i64 = 1_795_172_221_000;
        for (text, millis, local) in [
            ("20/Nov/2026:10:57:01 +0000", 0, false),
            ("20/Nov/2026:11:57:01 +0100", 0, false),
            ("20/Nov/2026:10:57:01 -0000", 0, false),
            ("[20/Nov/2026:10:57:01.250]", 250, true),
            ("2026-11-20T10:57:01Z", 0, false),
            ("2026-11-20T10:57:01.123456789+00:00", 123, false),
            ("2026-11-20 10:57:01", 0, true),
            ("2026-11-20T10:57:01,5Z", 500, false),
            ("2026/11/20 10:57:01", 0, true),
            ("Fri Nov 20 10:57:01.123370 2026", 123, true),
            ("1795172221", 0, false),
            ("1795172221.29", 290, false),
            ("1795172221123", 123, false),
            ("1795172221123456", 123, false),
            ("1795172221123456789", 123, false),
            ("\"2026-11-20T10:57:01Z\"", 0, false),
        ] {
            let expected = Stamp {
                millis: SECOND + millis,
                local,
            };
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
            assert_eq!(LastTime::default().read(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn times_of_syslog_headers() {
        // date -u -d '1972-11-20 10:57:39' +%s
        const WITHOUT_YEAR: i64 = 91_105_059_000;
        for (line, millis) in [
            ("Nov 20 10:57:39 gw1 haproxy[13]: x", WITHOUT_YEAR),
            ("<134>Nov 20 10:57:39 haproxy[13]: x", WITHOUT_YEAR),
            ("Nov  2 10:57:39 gw1 haproxy[13]: x", WITHOUT_YEAR - 18 * 86_400_000),
            ("2026-11-20T10:57:01.250+00:00 gw1 haproxy[13]: x", 1_795_172_221_250),
        ] {
            assert_eq!(
                before_syslog_tag(line.as_bytes()).map(|stamp| stamp.millis),
                Some(millis),
                "{line}"
            );
        }
        assert_eq!(before_syslog_tag(b"Nov 20"), None);
        assert_eq!(before_syslog_tag(b"<134"), None);
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "-",
            "32/Nov/2026:10:57:01 +0000",
            "20/Now/2026:10:57:01 +0000",
            "20/Nov/2026:25:57:01 +0000",
            "20/Nov/2026:10:57:01 +00000] \"x",
            "2026-13-20T10:57:01Z",
            "99999999999999999999",
            "12a",
            "Fri Nov",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_last_time_is_not_taken_for_another() {
        let last = LastTime::default();
        let first = last.read(b"1795172221").unwrap();
        assert_eq!(last.read(b"1795172222").unwrap().millis, first.millis + 1000);
        assert_eq!(last.read(b"1795172221").unwrap(), first);
        assert_eq!(last.read(b"junk"), None);
    }
}
