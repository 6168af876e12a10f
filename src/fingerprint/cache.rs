//! Whether an answer came from a cache: what caches write into headers.
//!
//! Only what says that the answer was stored. A lookup that found something (`X-Cache-Lookup`), a hit that was passed on
//! (`hit-for-pass`) and an error marked as one (`Error from cloudfront`) are no hits.

use crate::gateway::page::{Answer, begins_with};

/// The header that shows it; `None` where nothing does.
pub(super) fn cached_by(answer: &Answer<'_>) -> Option<&'static str> {
    SIGNS
        .iter()
        .find(|(name, shows)| answer.headers(name).any(shows))
        .map(|(name, _)| *name)
}

type Shows = fn(&str) -> bool;

const SIGNS: &[(&str, Shows)] = &[
    ("cf-cache-status", is_hit),
    ("cache-status", has_hit),
    ("x-cache", any_hit),
    ("x-cache-status", is_hit),
    ("x-proxy-cache", is_hit),
    ("x-cache-hits", any_count),
    ("x-varnish", has_two_ids),
    ("age", is_positive),
];

/// `Age` (RFC 9111, 5.1): seconds since the answer was made by the origin, or found good by it. A cache that has just
/// fetched it says 0.
fn is_positive(value: &str) -> bool {
    value.parse::<u64>().is_ok_and(|seconds| seconds > 0)
}

/// One word: of Cloudflare, of nginx's `$upstream_cache_status`, and of those that took them over. `EXPIRED` was fetched
/// anew, the others were stored.
fn is_hit(value: &str) -> bool {
    ["HIT", "STALE", "UPDATING", "REVALIDATED"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// A list with a word for each cache: `MISS, HIT` (Fastly), `Hit from cloudfront`, `TCP_MEM_HIT from a23…` (Akamai),
/// `HIT from proxy1` (Squid), `HIT-STALE`.
fn any_hit(value: &str) -> bool {
    value.split(',').any(|cache| {
        let word = cache.split_ascii_whitespace().next().unwrap_or_default();
        is_hit(word) || begins_with(word, "HIT-") || word.eq_ignore_ascii_case("RefreshHit") || is_tcp_hit(word)
    })
}

/// Squid's and Akamai's words: `TCP_HIT`, `TCP_MEM_HIT`, `TCP_NEGATIVE_HIT`, `TCP_REMOTE_HIT`, …
fn is_tcp_hit(word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    word.starts_with("TCP_") && word.ends_with("_HIT")
}

/// Hits of each cache: `0, 3` (Fastly, Varnish).
fn any_count(value: &str) -> bool {
    value.split(',').any(|count| is_positive(count.trim()))
}

/// Varnish writes the request that fetched the answer beside this one.
fn has_two_ids(value: &str) -> bool {
    let mut ids = value.split_ascii_whitespace().map(|id| id.parse::<u64>().is_ok());
    (ids.next(), ids.next(), ids.next()) == (Some(true), Some(true), None)
}

/// `Cache-Status` (RFC 9211, 2.1): a list of caches, the one that served it has the parameter `hit`.
fn has_hit(value: &str) -> bool {
    members(value).iter().any(|member| {
        let mut parameters = member.iter().skip(1);
        parameters.any(|parameter| matches!(parameter.as_str(), "hit" | "hit=?1"))
    })
}

/// Members and their parameters (RFC 9651, 3.1), without what stands in quotes.
fn members(value: &str) -> Vec<Vec<String>> {
    let mut members = vec![vec![String::new()]];
    let (mut quoted, mut escaped) = (false, false);
    for char in value.chars() {
        let last = members.last_mut().expect("there is always one");
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            ',' => members.push(vec![String::new()]),
            ';' => last.push(String::new()),
            ' ' | '\t' => {}
            _ => last.last_mut().expect("there is always one").push(char),
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::super::testing::read_from;
    use super::*;

    fn check(name: &str, value: &str) -> bool {
        let by = read_from(&[(name, value)], cached_by);
        by.inspect(|by| assert_eq!(*by, name)).is_some()
    }

    #[test]
    fn what_was_stored_is_told() {
        for (name, value) in [
            ("age", "1"),
            ("age", "86400"),
            ("cf-cache-status", "HIT"),
            ("cf-cache-status", "STALE"),
            ("cf-cache-status", "UPDATING"),
            ("cf-cache-status", "REVALIDATED"),
            ("x-cache-status", "HIT"),
            ("x-cache-status", "STALE"),
            ("x-proxy-cache", "hit"),
            ("x-cache", "HIT"),
            ("x-cache", "MISS, HIT"),
            ("x-cache", "HIT, MISS"),
            ("x-cache", "Hit from cloudfront"),
            ("x-cache", "RefreshHit from cloudfront"),
            ("x-cache", "HIT from gw1.lab"),
            ("x-cache", "TCP_HIT"),
            ("x-cache", "TCP_REMOTE_HIT"),
            (
                "x-cache",
                "TCP_NEGATIVE_HIT from a23-1-2-3.deploy.akamaitechnologies.com (AkamaiGHost/9)",
            ),
            ("x-cache", "HIT-STALE"),
            ("x-cache-hits", "1"),
            ("x-cache-hits", "0, 2"),
            ("x-varnish", "32770 32769"),
            ("cache-status", "ExampleCache; hit"),
            (
                "cache-status",
                "Origin; fwd=uri-miss, \"CDN Company Here\"; hit; ttl=545",
            ),
            ("cache-status", "edge;hit=?1;ttl=-2"),
        ] {
            assert!(check(name, value), "{name}: {value}");
        }
    }

    #[test]
    fn what_was_not_stored_is_not() {
        for (name, value) in [
            ("age", "0"),
            ("age", "-1"),
            ("age", "soon"),
            ("age", ""),
            ("cf-cache-status", "MISS"),
            ("cf-cache-status", "EXPIRED"),
            ("cf-cache-status", "BYPASS"),
            ("cf-cache-status", "DYNAMIC"),
            ("x-cache-status", "EXPIRED"),
            ("x-cache-status", "BYPASS"),
            ("x-proxy-cache", "MISS"),
            ("x-cache", "MISS"),
            ("x-cache", "Error from cloudfront"),
            ("x-cache", "Miss from cloudfront"),
            ("x-cache", "LambdaGeneratedResponse from cloudfront"),
            ("x-cache", "MISS from hit.example.com"),
            ("x-cache", "CONFIG_NOCACHE"),
            ("x-cache", "PRIVATE_NOSTORE"),
            ("x-cache", "TCP_MISS"),
            ("x-cache", "HITPASS"),
            ("x-cache-lookup", "HIT from gw1.lab:21600"),
            ("x-cache-hits", "0"),
            ("x-cache-hits", "0, 0"),
            ("x-varnish", "163851"),
            ("x-varnish", "1 2 3"),
            ("cache-status", "ExampleCache; fwd=miss; stored"),
            ("cache-status", "hit; fwd=miss"),
            ("cache-status", "ExampleCache; hit=?0"),
            ("cache-status", "ExampleCache; detail=\"; hit\"; fwd=miss"),
            ("cache-status", "ExampleCache; key=\"a\\\"; hit; \""),
        ] {
            assert!(!check(name, value), "{name}: {value}");
        }
    }
}
