//! Which format and coding a scraper wants: `Accept` and `Accept-Encoding` (RFC 9110, 12.5).

use axum::http::{HeaderMap, header};

use crate::metrics::Format;

/// Escaping schemes of Prometheus. Our names need none, so any of them is true of the page.
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// What will be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) format: Format,
    pub(super) content_type: String,
    pub(super) gzip: bool,
}

/// One entry of a header that weighs its values.
struct Entry<'a> {
    value: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f32,
}

impl<'a> Entry<'a> {
    fn parse(text: &'a str) -> Entry<'a> {
        let mut parts = text.split(';').map(str::trim);
        let value = parts.next().unwrap_or_default();
        let parameters: Vec<(&str, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect();
        let weight = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let weight = weight
            .map_or(Some(1.0), |(_, q)| q.parse().ok())
            .filter(|q| (0.0..=1.0).contains(q));
        Entry {
            value,
            parameters,
            weight: weight.unwrap_or(0.0),
        }
    }

    fn parameter(&self, wanted: &str) -> Option<&'a str> {
        self.parameters
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| *value)
    }
}

/// Chooses for a request. OpenMetrics only where it is named and no text is preferred; text where nothing fits.
pub(super) fn choose(headers: &HeaderMap) -> Wanted {
    let accept = joined(headers, header::ACCEPT);
    let entries: Vec<Entry> = accept.split(',').map(Entry::parse).collect();
    let open_metrics = best(&entries, |entry| {
        entry.value.eq_ignore_ascii_case("application/openmetrics-text")
            && entry.parameter("version").is_none_or(|version| version == "1.0.0")
    });
    let text = best(&entries, |entry| {
        ["text/plain", "text/*", "*/*"].contains(&&*entry.value.to_ascii_lowercase())
    });
    let text_weight = text.map_or(0.0, |entry| entry.weight);
    let gzip = accepts_gzip(&joined(headers, header::ACCEPT_ENCODING));
    match open_metrics.filter(|entry| entry.weight >= text_weight) {
        Some(entry) => {
            let escaping = entry
                .parameter("escaping")
                .filter(|escaping| ESCAPINGS.contains(escaping));
            let escaping = escaping
                .map(|escaping| format!("; escaping={escaping}"))
                .unwrap_or_default();
            let content_type = format!("application/openmetrics-text; version=1.0.0; charset=utf-8{escaping}");
            Wanted {
                format: Format::OpenMetrics,
                content_type,
                gzip,
            }
        }
        None => {
            let content_type = "text/plain; version=0.0.4; charset=utf-8".to_owned();
            Wanted {
                format: Format::Prometheus,
                content_type,
                gzip,
            }
        }
    }
}

/// The entry of greatest weight above zero, of equal ones the first.
fn best<'e, 'a>(entries: &'e [Entry<'a>], wanted: impl Fn(&Entry) -> bool) -> Option<&'e Entry<'a>> {
    let wanted = entries.iter().filter(|entry| entry.weight > 0.0 && wanted(entry));
    wanted.reduce(|best, entry| if entry.weight > best.weight { entry } else { best })
}

fn accepts_gzip(header: &str) -> bool {
    let entries: Vec<Entry> = header.split(',').map(Entry::parse).collect();
    let weight = |names: &[&str]| {
        entries
            .iter()
            .find(|entry| names.iter().any(|name| entry.value.eq_ignore_ascii_case(name)))
            .map(|e| e.weight)
    };
    weight(&["gzip", "x-gzip"])
        .or_else(|| weight(&["*"]))
        .is_some_and(|weight| weight > 0.0)
}

/// The values of a header that may stand several times.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    values.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const OPEN_UTF8: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";

    #[test]
    fn the_preferred_format_is_sent() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (prometheus_3, OPEN_UTF8),
            (prometheus_2, OPEN),
            ("", TEXT),
            ("*/*", TEXT),
            ("application/json", TEXT),
            ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
            ("application/openmetrics-text", OPEN),
            ("application/openmetrics-text; version=\"1.0.0\"", OPEN),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.5", TEXT),
            ("application/openmetrics-text;q=0, */*", TEXT),
            ("application/openmetrics-text;version=0.0.1, text/plain;q=0.1", TEXT),
            ("application/openmetrics-text;escaping=nonsense\"", OPEN),
            ("application/openmetrics-text;q=nonsense, text/plain", TEXT),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(choose(&headers).content_type, expected, "{accept}");
        }
    }

    #[test]
    fn gzip_is_used_where_it_is_accepted() {
        for (encoding, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("", false),
            ("identity", false),
            ("gzip;q=0, *", false),
        ] {
            assert_eq!(accepts_gzip(encoding), expected, "{encoding}");
        }
    }
}
