//! What the HTML pages share: frame, style, script, headers. They load nothing; without scripts they can be read all the
//! same.

use std::sync::LazyLock;
use std::time::SystemTime;

use axum::http::{HeaderName, HeaderValue, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::clock;
use crate::metrics::Build;
use crate::moment;

const STYLE: &str = include_str!("page.css");
/// Brings pages up to date without moving the reader.
const SCRIPT: &str = include_str!("page.js");

/// Characters of a search text that are looked at.
const MAX_SEARCH: usize = 200;

/// Nothing else may run, be loaded or be asked; the one style and the one script are known by their hashes.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    HeaderValue::from_str(&policy).expect("base64 is visible ASCII")
});

/// The headers of every page.
pub(super) fn headers() -> [(HeaderName, HeaderValue); 5] {
    [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

/// A value of the query by its name, trimmed and cut; empty where there is none.
pub(super) fn query(uri: &Uri, name: &str) -> String {
    let query = uri.query().unwrap_or_default().as_bytes();
    let value = url::form_urlencoded::parse(query).find(|(known, _)| known == name);
    value
        .map(|(_, value)| value.trim().chars().take(MAX_SEARCH).collect())
        .unwrap_or_default()
}

/// A page around its content.
pub(super) struct Frame<'a> {
    /// In the window's title.
    pub(super) title: &'a str,
    /// Shown at the top and the bottom.
    pub(super) build: &'a Build,
    /// What was searched for.
    pub(super) search: &'a str,
    /// One level below the first: its search leads to the upstreams.
    pub(super) below: bool,
    /// It shows what changes, so it is brought up to date every few seconds.
    pub(super) live: bool,
}

impl Frame<'_> {
    /// The whole page. Relative links, so that a path prefix does no harm.
    pub(super) fn around(&self, content: Markup) -> String {
        let root = if self.below { "../" } else { "" };
        let home = if self.below { "../" } else { "./" };
        let (build, now) = (self.build, clock::now());
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    link rel="icon" href="data:,";
                    title { (self.title) " · badgateway" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        p.brand { a href=(home) { "bad" b { "gateway" } } }
                        nav aria-label="Pages" {
                            a href=(home) { "Upstreams" }
                            a href={ (root) "incidents" } { "Incidents" }
                            a href={ (root) "logs" } { "Recent probes" }
                            a href={ (root) "runbooks/" } { "Runbooks" }
                            a href={ (root) "config" } { "Configuration" }
                            a href={ (root) "metrics" } { "Metrics" }
                        }
                        form method="get" action=(home) role="search" {
                            input type="search" name="q" value=(self.search) aria-label="Search upstreams"
                                placeholder="upstream, hop, cause";
                            " " button { "Search" }
                        }
                    }
                    main id="main" data-live[self.live] {
                        (content)
                    }
                    footer {
                        "badgateway " (build.version) " (" (build.revision) ") · as of "
                        time id="as-of" datetime=(humantime::format_rfc3339_seconds(now)) { (moment::utc(now)) }
                        @if self.live { " " span id="age" role="status" {} }
                    }
                    @if self.live { script { (PreEscaped(SCRIPT)) } }
                }
            }
        };
        page.into_string()
    }
}

/// A column of a table, by its heading.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// Of words.
    Text(&'static str),
    /// Of figures, which stand to the right.
    Figure(&'static str),
}

/// The head of a table.
pub(super) fn head(columns: impl IntoIterator<Item = Column>) -> Markup {
    html! {
        thead {
            tr {
                @for column in columns {
                    @match column {
                        Column::Text(name) => th scope="col" { (name) },
                        Column::Figure(name) => th.n scope="col" { (name) },
                    }
                }
            }
        }
    }
}

/// A table that scrolls by itself where it is wider than the page.
pub(super) fn table(label: &str, columns: impl IntoIterator<Item = Column>, rows: Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                (head(columns))
                tbody { (rows) }
            }
        }
    }
}

/// A time with how long ago it was.
pub(super) fn since(at: SystemTime, now: SystemTime) -> Markup {
    html! { time datetime=(humantime::format_rfc3339_seconds(at)) title=(moment::utc(at)) { (ago(at, now)) } }
}

/// `12 s`, `4 min`, `3 h`, `2 d`: how long ago something was.
pub(super) fn ago(at: SystemTime, now: SystemTime) -> String {
    moment::rough(now.duration_since(at).unwrap_or_default())
}

/// `0.41 ms`, `12.3 ms`, `1.25 s`: a time somebody waited.
pub(super) fn seconds(time: f64) -> String {
    match time {
        time if time >= 1.0 => format!("{time:.2} s"),
        time if time >= 0.01 => format!("{:.0} ms", time * 1e3),
        time if time >= 0.001 => format!("{:.1} ms", time * 1e3),
        time => format!("{:.2} ms", time * 1e3),
    }
}

/// `31 %`, `0.4 %`, `0 %`.
pub(super) fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// The link to an upstream's page, from the first level.
pub(super) fn upstream_link(name: &str) -> String {
    format!("upstreams/{}", path_segment(name))
}

/// A name as one segment of a path.
pub(super) fn path_segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => segment.push(byte.into()),
            // A segment of dots alone would lead elsewhere.
            b'.' if !name.bytes().all(|byte| byte == b'.') => segment.push('.'),
            byte => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let text = "<b a=\"1\" c='2'>&amp;</b> ü";
        assert_eq!(
            html! { p title=(text) { (text) } }.into_string(),
            "<p title=\"&lt;b a=&quot;1&quot; c='2'&gt;&amp;amp;&lt;/b&gt; ü\">&lt;b a=&quot;1&quot; c='2'&gt;&amp;amp;&lt;/b&gt; ü</p>"
        );
        assert_eq!(path_segment("a b/ü?.x"), "a%20b%2F%C3%BC%3F.x");
        assert_eq!(path_segment(".."), "%2E%2E");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0.000_41, 0.0049, 0.0123, 1.25].map(seconds),
            ["0.41 ms", "4.9 ms", "12 ms", "1.25 s"]
        );
        assert_eq!([0.0, 0.004, 0.312, 1.0].map(percent), ["0 %", "0.4 %", "31 %", "100 %"]);
    }

    #[test]
    fn query_values_are_decoded_and_bounded() {
        assert_eq!(query(&"/?a=1&q=%3Cb%3E+x+".parse().unwrap(), "q"), "<b> x");
        assert_eq!(query(&"/".parse().unwrap(), "q"), "");
        let long = format!("/?q={}", "a".repeat(10_000));
        assert_eq!(query(&long.parse().unwrap(), "q").len(), MAX_SEARCH);
    }
}
