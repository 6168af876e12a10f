//! For how long a shared cache may go on answering with this response, by what the response itself says.
//!
//! RFC 9111: 4.2.1 (lifetime: `s-maxage`, else `max-age`, else `Expires` less `Date`), 4.2.3 (less its `Age`), 5.2.2 (what
//! must not be stored, or not be used without asking). Without any of these a cache may guess (4.2.2); that is no word of
//! the response, and none is said of it here.

use std::time::Duration;

use crate::gateway::page::Answer;

/// What is left of the lifetime it states; `None` where it states none, or that is over.
pub(super) fn left(answer: &Answer<'_>) -> Option<Duration> {
    let directives = Directives::of(answer);
    if directives.forbids {
        return None;
    }
    let stated = directives.s_maxage.or(directives.max_age);
    let lifetime = stated.unwrap_or_else(|| expires(answer)).ok()?;
    let age = first(answer, "age")
        .and_then(|age| age.trim().parse().ok())
        .unwrap_or(0);
    let left = lifetime.saturating_sub(age);
    (left > 0).then(|| Duration::from_secs(left))
}

/// Seconds; `Err` where what is stated is no number, which counts as over (4.2.1).
type Seconds = Result<u64, ()>;

/// What `Cache-Control` says.
#[derive(Debug, Default)]
struct Directives {
    /// Not to be stored by a shared cache, or not to be used without asking.
    forbids: bool,
    s_maxage: Option<Seconds>,
    max_age: Option<Seconds>,
}

impl Directives {
    fn of(answer: &Answer<'_>) -> Directives {
        let mut directives = Directives::default();
        for directive in answer.headers("cache-control").flat_map(|value| value.split(',')) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = || value.trim().trim_matches('"').parse::<u64>().map_err(drop);
            match name.trim().to_ascii_lowercase().as_str() {
                // With a field list these two concern that field alone (5.2.2.4, 5.2.2.7).
                "no-cache" | "private" if !value.is_empty() => {}
                "no-store" | "no-cache" | "private" => directives.forbids = true,
                // Of several the first counts (4.2.1).
                "s-maxage" => directives.s_maxage = directives.s_maxage.or_else(|| Some(seconds())),
                "max-age" => directives.max_age = directives.max_age.or_else(|| Some(seconds())),
                _ => {}
            }
        }
        directives
    }
}

fn first<'a>(answer: &'a Answer<'_>, name: &str) -> Option<&'a str> {
    answer.headers(name).next()
}

/// A response without a date was made when it came, which is not known here: then its `Expires` says nothing.
fn expires(answer: &Answer<'_>) -> Seconds {
    let date = |name| first(answer, name).and_then(|value| httpdate::parse_http_date(value.trim()).ok());
    let (expires, made) = (date("expires").ok_or(())?, date("date").ok_or(())?);
    expires
        .duration_since(made)
        .map(|lifetime| lifetime.as_secs())
        .map_err(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::read_from;
    use super::*;

    fn left_of(headers: &[(&str, &str)]) -> Option<u64> {
        read_from(headers, left).map(|left| left.as_secs())
    }

    #[test]
    fn lifetimes_by_their_rank() {
        let date = ("date", "Fri, 20 Nov 2026 10:00:00 GMT");
        let expires = ("expires", "Fri, 20 Nov 2026 10:01:30 GMT");
        for (headers, expected) in [
            (vec![], None),
            (vec![("cache-control", "max-age=60")], Some(60)),
            (vec![("cache-control", "public, Max-Age=60, S-MaxAge=600")], Some(600)),
            (
                vec![("cache-control", "max-age=60"), ("cache-control", "s-maxage=5")],
                Some(5),
            ),
            (vec![("cache-control", "s-maxage=0, max-age=60")], None),
            (vec![date, expires], Some(90)),
            (vec![date, expires, ("cache-control", "max-age=7")], Some(7)),
            (vec![date, expires, ("age", "30")], Some(60)),
            (vec![date, expires, ("age", "90")], None),
            (vec![expires], None),
            (vec![date, ("expires", "0")], None),
            (vec![date, ("expires", "Fri, 20 Nov 2026 09:00:00 GMT")], None),
        ] {
            assert_eq!(left_of(&headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn what_must_not_be_stored_has_none() {
        for value in [
            "no-store, max-age=60",
            "private, max-age=60",
            "NO-CACHE, max-age=60",
            "max-age=soon",
            "max-age=-1",
            "max-age=99999999999999999999999",
            "max-age",
            "=,=;,\"",
        ] {
            assert_eq!(left_of(&[("cache-control", value)]), None, "{value}");
        }
        assert_eq!(
            left_of(&[("cache-control", "private=\"set-cookie\", max-age=60")]),
            Some(60)
        );
    }
}
