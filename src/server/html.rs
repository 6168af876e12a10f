//! What the HTML pages share: frame, style, escaping, headers. Pages need no script and load nothing.

use std::fmt::{self, Display};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderName, HeaderValue, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::clock;
use crate::metrics::Build;

const STYLE: &str = include_str!("page.css");

/// Characters of a search text that are looked at.
const MAX_SEARCH: usize = 200;

/// Nothing may run or be loaded; the one style is known by its hash.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        STANDARD.encode(hash)
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

/// A whole page around its content, which is HTML already. Relative links, so that a path prefix does no harm.
pub(super) fn frame(title: &str, build: &Build, search: &str, content: &str) -> String {
    frame_from("", title, build, search, content)
}

/// As [`frame`], for a page one level below; its search leads to the upstreams.
pub(super) fn frame_below(title: &str, build: &Build, content: &str) -> String {
    frame_from("../", title, build, "", content)
}

/// `root` leads from the page to the directory of the first level.
fn frame_from(root: &str, title: &str, build: &Build, search: &str, content: &str) -> String {
    let (home, action) = match root {
        "" => ("./", ""),
        _ => (root, " action=\"../\""),
    };
    let (title, version, search) = (Escaped(title), Escaped(&build.version), Escaped(search));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title} · badgateway</title><style>{STYLE}</style></head>\n<body><header><h1>badgateway <small>{version}</small></h1>\
         <nav><a href=\"{home}\">Upstreams</a><a href=\"{root}logs\">Recent probes</a><a href=\"{root}config\">Configuration</a>\
         <a href=\"{root}runbooks/\">Runbooks</a><a href=\"{root}metrics\">Metrics</a></nav>\
         <form method=\"get\"{action} role=\"search\"><input type=\"search\" name=\"q\" value=\"{search}\" aria-label=\"Search\" \
         placeholder=\"upstream, hop, cause\"> <button>Search</button></form></header>\n<main>\n{content}</main>\n\
         <footer>badgateway {version} ({revision}) · written {now}</footer></body></html>\n",
        revision = Escaped(&build.revision),
        now = clock::utc(clock::now()),
    )
}

/// Text as HTML shows it, in content and in quoted attributes.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        write!(EscapingWriter(f), "{}", self.0).and_then(|()| f.write_str(""))
    }
}

struct EscapingWriter<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for EscapingWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(['&', '<', '>', '"', '\'']) {
            let (plain, entity) = match piece.as_bytes().last() {
                Some(b'&') => (&piece[..piece.len() - 1], "&amp;"),
                Some(b'<') => (&piece[..piece.len() - 1], "&lt;"),
                Some(b'>') => (&piece[..piece.len() - 1], "&gt;"),
                Some(b'"') => (&piece[..piece.len() - 1], "&quot;"),
                Some(b'\'') => (&piece[..piece.len() - 1], "&#39;"),
                _ => (piece, ""),
            };
            self.0.write_str(plain)?;
            self.0.write_str(entity)?;
        }
        Ok(())
    }
}

/// `12 s`, `4 min`, `3 h`, `2 d`: how long ago something was.
pub(super) fn ago(at: SystemTime, now: SystemTime) -> String {
    match now.duration_since(at).unwrap_or(Duration::ZERO).as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(
            Escaped("<b a=\"1\" c='2'>&amp;</b> ü").to_string(),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;&lt;/b&gt; ü"
        );
        assert_eq!(Escaped("").to_string(), "");
    }

    #[test]
    fn query_values_are_decoded_and_bounded() {
        assert_eq!(query(&"/?a=1&q=%3Cb%3E+x+".parse().unwrap(), "q"), "<b> x");
        assert_eq!(query(&"/".parse().unwrap(), "q"), "");
        let long = format!("/?q={}", "a".repeat(10_000));
        assert_eq!(query(&long.parse().unwrap(), "q").len(), MAX_SEARCH);
    }
}
