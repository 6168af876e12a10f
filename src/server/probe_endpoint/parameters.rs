//! What a request to `/probe` says: its query, and how long Prometheus waits.

use axum::http::{HeaderMap, StatusCode, Uri};

use super::Asked;

/// Reads it; also whether the debug page is wanted. `Err` is the status and the sentence of the answer, both those of
/// blackbox_exporter.
pub(super) fn read(uri: &Uri, headers: &HeaderMap) -> Result<(Asked, bool), (StatusCode, String)> {
    let value = |name| first(uri, name).filter(|value| !value.is_empty());
    let wait = wait(headers).map_err(|message| (StatusCode::INTERNAL_SERVER_ERROR, message))?;
    let target = value("target").ok_or((StatusCode::BAD_REQUEST, "Target parameter is missing".to_owned()))?;
    let asked = Asked {
        target: decoded_again(&target),
        module: value("module"),
        hostname: value("hostname"),
        wait,
    };
    Ok((asked, first(uri, "debug").as_deref() == Some("true")))
}

fn first(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query().unwrap_or_default().as_bytes();
    let found = url::form_urlencoded::parse(query).find(|(known, _)| known == name)?;
    Some(found.1.into_owned())
}

fn wait(headers: &HeaderMap) -> Result<Option<f64>, String> {
    let Some(value) = headers.get("x-prometheus-scrape-timeout-seconds") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    match text.parse::<f64>() {
        Ok(seconds) if !seconds.is_nan() => Ok(Some(seconds)),
        _ => Err(format!(
            "Failed to parse timeout from Prometheus header: {text:?} is not a number of seconds"
        )),
    }
}

/// Some service discoveries encode the target twice. It is decoded once more only where it still looks encoded:
///
/// 1. The scheme is not followed by `://`, but by what that becomes.
/// 2. The host holds an encoded colon, and no encoded percent sign: then the host alone is decoded.
///
/// A plus sign stays what it is.
fn decoded_again(target: &str) -> String {
    let decode = |text: &str| percent_decoded(text).unwrap_or_else(|| text.to_owned());
    let lower = target.to_ascii_lowercase();
    let scheme = lower.find("%3a%2f%2f").filter(|at| *at <= "https".len());
    if scheme.is_some() && !lower.contains("://") {
        return decode(target);
    }
    let begin = target.find("://").map_or(0, |at| at + 3);
    let end = target[begin..].find(['/', '?']).map_or(target.len(), |at| begin + at);
    let host = &lower[begin..end];
    match host.contains("%3a") && !host.contains("%25") {
        true => format!("{}{}{}", &target[..begin], decode(&target[begin..end]), &target[end..]),
        false => target.to_owned(),
    }
}

/// `None` where an escape is broken or the result is no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| !digits.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<(Asked, bool), (StatusCode, String)> {
        read(&format!("/probe{query}").parse().unwrap(), &HeaderMap::new())
    }

    #[test]
    fn parameters_are_read() {
        let (found, debug) = asked("?module=api&target=http%3A%2F%2Fh%2F%3Fa%3D1%26b&debug=true&hostname=x").unwrap();
        assert_eq!(found.target, "http://h/?a=1&b");
        assert_eq!(
            (found.module.as_deref(), found.hostname.as_deref(), debug),
            (Some("api"), Some("x"), true)
        );
        assert!(!asked("?target=h&debug=1").unwrap().1);
        for query in ["", "?target=", "?module=x"] {
            let (status, message) = asked(query).unwrap_err();
            assert_eq!(
                (status.as_u16(), message.as_str()),
                (400, "Target parameter is missing")
            );
        }
    }

    #[test]
    fn targets_that_still_look_encoded_are_decoded_again() {
        for (target, expected) in [
            ("http://h:1/a", "http://h:1/a"),
            ("http://h%3A1/a%3Ab", "http://h:1/a%3Ab"),
            ("h%3A1", "h:1"),
            ("http://h/a%3Ab?x=%2F", "http://h/a%3Ab?x=%2F"),
            ("http%3A%2F%2Fh%3A1%2Fa", "http://h:1/a"),
            ("http://h/a+b%2Fc", "http://h/a+b%2Fc"),
            ("http%3A%2F%2Fh%2Fa+b", "http://h/a+b"),
            ("http://h%253A1/", "http://h%253A1/"),
            ("http://h%3A%zz/", "http://h%3A%zz/"),
            ("h/?u=http%3A%2F%2Fx", "h/?u=http%3A%2F%2Fx"),
        ] {
            assert_eq!(decoded_again(target), expected, "{target}");
        }
    }

    #[test]
    fn the_time_prometheus_waits_is_a_number() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(
                "x-prometheus-scrape-timeout-seconds".parse().unwrap(),
                value.parse().unwrap(),
            )])
        };
        assert_eq!(wait(&headers("9.5")), Ok(Some(9.5)));
        assert_eq!(wait(&HeaderMap::new()), Ok(None));
        for wrong in ["", "soon", "NaN"] {
            assert!(
                wait(&headers(wrong))
                    .unwrap_err()
                    .starts_with("Failed to parse timeout"),
                "{wrong}"
            );
        }
    }
}
