//! The grammars of numbers: durations, sizes, rates, percentages, status ranges.
//!
//! Each takes the text and returns the value, or the rest of a sentence that begins with the text: `is not a duration; …`.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A Prometheus duration: `15s`, `1m30s`, `500ms`, `0`.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    const WRONG: &str = "is not a duration; write 15s, 1m30s or 500ms";
    /// A hundred years; what is longer is a slip of the pen.
    const MAX_MS: u64 = 100 * 365 * 86_400_000;

    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut units, mut total_ms) = (text, &UNITS[..], 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(WRONG)?;
        let number: u64 = rest[..digits].parse().map_err(|_| WRONG)?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let index = units
            .iter()
            .position(|(unit, _)| *unit == &rest[..letters])
            .ok_or(WRONG)?;
        total_ms = number
            .checked_mul(units[index].1)
            .and_then(|ms| ms.checked_add(total_ms))
            .filter(|ms| *ms <= MAX_MS)
            .ok_or("is longer than a hundred years")?;
        units = &units[index + 1..];
        rest = &rest[letters..];
    }
    if text.is_empty() {
        Err(WRONG.into())
    } else {
        Ok(Duration::from_millis(total_ms))
    }
}

/// Longest timeout of one probe. Squid's read timeout of 15 minutes is the longest limit of a gateway.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// The timeout of one probe.
pub fn probe_timeout(text: &str) -> Result<Duration, String> {
    duration_within(Duration::from_millis(1)..=MAX_TIMEOUT)(text)
}

/// A duration within bounds.
pub fn duration_within(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let value = duration(text)?;
        match range.contains(&value) {
            true => Ok(value),
            false => Err(format!(
                "is out of range; write a duration from {} to {}",
                show_duration(*range.start()),
                show_duration(*range.end())
            )),
        }
    }
}

/// A duration as this format writes it.
pub fn show_duration(value: Duration) -> String {
    let ms = value.as_millis();
    match ms {
        0 => "0s".into(),
        ms if ms % 1000 != 0 => format!("{ms}ms"),
        ms if ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms => format!("{}s", ms / 1000),
    }
}

/// Bytes: `8KiB`, `64MiB`, `10MB`, `4096`.
pub fn size(text: &str) -> Result<u64, String> {
    const WRONG: &str = "is not a size; write 8KiB, 64MiB or a number of bytes";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| WRONG)?;
    let unit: u64 = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(WRONG.into()),
    };
    number
        .checked_mul(unit)
        .filter(|bytes| *bytes <= 1 << 50)
        .ok_or_else(|| "is too large for a size".into())
}

/// A size within bounds.
pub fn size_within(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let value = size(text)?;
        match range.contains(&value) {
            true => Ok(value),
            false => Err(format!(
                "is out of range; write a size from {} to {}",
                show_size(*range.start()),
                show_size(*range.end())
            )),
        }
    }
}

/// A size as this format writes it.
pub fn show_size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 && bytes % (1 << 30) == 0 => format!("{}GiB", bytes >> 30),
        bytes if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!("{}MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 && bytes % (1 << 10) == 0 => format!("{}KiB", bytes >> 10),
        bytes => bytes.to_string(),
    }
}

/// Requests per second: `10/s`, `600/m`, `100/h`.
pub fn rate(text: &str) -> Result<f64, String> {
    const WRONG: &str = "is not a rate; write 10/s or 600/m";
    let (number, unit) = text.split_once('/').ok_or(WRONG)?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(WRONG.into()),
    };
    let rate = decimal(number.trim()).ok_or(WRONG)? / seconds;
    match rate > 0.0 && rate <= 100_000.0 {
        true => Ok(rate),
        false => Err("is out of range; write a rate above 0/s and up to 100000/s".into()),
    }
}

/// A share from 0 to 1, written `99.9%`.
pub fn percentage(text: &str) -> Result<f64, String> {
    const WRONG: &str = "is not a percentage; write 5% or 99.9%";
    let number = text.strip_suffix('%').ok_or(WRONG)?.trim_end();
    decimal(number).ok_or(WRONG)?;
    // Shifting the point instead of dividing keeps 99.9% the number nearest to 0.999.
    let share: f64 = format!("{number}e-2").parse().map_err(|_| WRONG)?;
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err("is out of range; write a percentage from 0% to 100%".into()),
    }
}

/// Digits with at most one point; no sign, exponent, infinity or NaN.
fn decimal(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.len() <= 20 && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain.then(|| text.parse().ok()).flatten()
}

/// `200`, `2xx` or `200-299`; 100 to 599, as far as a status can be answered to a request.
pub fn status(text: &str) -> Result<RangeInclusive<u16>, String> {
    const WRONG: &str = "is not a status range; write 200, 2xx or 200-299";
    let one = |text: &str| match text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse::<u16>().ok().filter(|code| (100..=999).contains(code)),
        false => None,
    };
    let range = match text.split_once('-') {
        Some((first, last)) => one(first.trim())
            .zip(one(last.trim()))
            .map(|(first, last)| first..=last),
        None => match text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            Some(class) if matches!(class, "1" | "2" | "3" | "4" | "5") => {
                class.parse::<u16>().ok().map(|class| class * 100..=class * 100 + 99)
            }
            Some(_) => None,
            None => one(text).map(|code| code..=code),
        },
    };
    match range {
        Some(range) if range.is_empty() => Err("is empty: the first status is above the last".into()),
        Some(range) => Ok(range),
        None => Err(WRONG.into()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Texts a grammar takes, each with its value, and texts it refuses.
    pub(in crate::config) fn check<T: PartialEq + std::fmt::Debug>(
        grammar: impl Fn(&str) -> Result<T, String>,
        good: &[(&str, T)],
        bad: &[&str],
    ) {
        for (text, expected) in good {
            assert_eq!(grammar(text).as_ref(), Ok(expected), "{text}");
        }
        for text in bad {
            assert!(grammar(text).is_err(), "{text:?} should be refused");
        }
    }

    #[test]
    fn durations() {
        let ms = Duration::from_millis;
        check(
            duration,
            &[
                ("15s", ms(15_000)),
                ("1m30s", ms(90_000)),
                ("500ms", ms(500)),
                ("1h", ms(3_600_000)),
                ("0", ms(0)),
                ("1d12h", ms(129_600_000)),
                ("1s500ms", ms(1500)),
            ],
            &[
                "",
                "15",
                "s",
                "1.5s",
                "-1s",
                "1s1m",
                "1m1m",
                "15 s",
                "999999999999999999y",
                "200y",
                "1µs",
                "1s ",
            ],
        );
        for value in ["15s", "500ms", "1m", "2h", "3d", "90s"] {
            assert_eq!(show_duration(duration(value).unwrap()), value);
        }
    }

    #[test]
    fn sizes() {
        check(
            size,
            &[
                ("8KiB", 8192),
                ("64MiB", 64 << 20),
                ("4096", 4096),
                ("10MB", 10_000_000),
                ("1 GiB", 1 << 30),
                ("0", 0),
            ],
            &["", "KiB", "8K", "1.5MiB", "-1", "99999999999GiB", "8KiBs"],
        );
    }

    #[test]
    fn rates_and_percentages() {
        check(
            rate,
            &[("10/s", 10.0), ("600/m", 10.0), ("0.5/s", 0.5), ("36/h", 0.01)],
            &[
                "10",
                "10/d",
                "-1/s",
                "0/s",
                "inf/s",
                "nan/s",
                "1e3/s",
                "/s",
                "1000000/s",
            ],
        );
        check(
            percentage,
            &[("5%", 0.05), ("0%", 0.0), ("100%", 1.0), ("12.5 %", 0.125)],
            &["5", "0.05", "101%", "-1%", "%", "nan%", "1.2.3%"],
        );
    }

    #[test]
    fn status_ranges() {
        check(
            status,
            &[
                ("200", 200..=200),
                ("2xx", 200..=299),
                ("200-299", 200..=299),
                ("200 - 204", 200..=204),
                ("5XX", 500..=599),
            ],
            &[
                "", "2xx5", "20", "2000", "0xx", "6xx", "299-200", "200-", "-200", "+20", "abc", "099",
            ],
        );
    }
}
