//! `POST /api/v1/events`: a deploy or another change, told by a pipeline or a person, to stand beside incidents.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::{ServerState, problem, with_status};
use crate::clock;
use crate::incident::{Marker, MarkerKind};

/// Bytes of a request at most.
pub(in crate::server) const MAX_BYTES: usize = 16 * 1024;
/// Characters of the text at most.
const MAX_TEXT: usize = 300;
/// Characters of the link at most.
const MAX_LINK: usize = 500;
/// A time further ahead than this is a clock that is wrong.
const MAX_AHEAD: Duration = Duration::from_secs(300);

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    /// What changed, in words.
    text: String,
    /// `deploy` unless it is another change.
    #[serde(default)]
    kind: Kind,
    /// The upstream it concerns; all without it.
    upstream: Option<String>,
    /// When, in RFC 3339; now without it.
    at: Option<String>,
    /// Where more is written.
    link: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Deploy,
    Change,
}

/// Keeps the event; 201 with what was kept, or 400 with what is wrong.
pub(in crate::server) fn add(state: &ServerState, body: &[u8]) -> Response {
    let now = clock::now();
    let known = |name: &str| state.watched.upstream(name).is_some();
    match read(body, now, known) {
        Ok(marker) => {
            state.incidents.mark(marker.clone());
            with_status(StatusCode::CREATED, &json!({ "event": marker }))
        }
        Err(message) => problem(StatusCode::BAD_REQUEST, &message),
    }
}

fn read(body: &[u8], now: SystemTime, known: impl Fn(&str) -> bool) -> Result<Marker, String> {
    let event: Event = serde_json::from_slice(body).map_err(|error| {
        format!("{error}; write {{\"text\": \"checkout 1.4.2\", \"upstream\": \"checkout\", \"kind\": \"deploy\"}}")
    })?;
    let text = event.text.trim();
    if text.is_empty() {
        return Err("text: says nothing; write what changed".to_owned());
    }
    if let Some(name) = event.upstream.as_deref().filter(|name| !known(name)) {
        return Err(format!(
            "upstream: none is called {name:?}; leave it out where the change concerns all"
        ));
    }
    let at = match &event.at {
        None => now,
        Some(text) => humantime::parse_rfc3339_weak(text)
            .map_err(|_| format!("at: {text:?} is no time; write 2026-11-20T12:00:00Z"))?,
    };
    if at.duration_since(now).is_ok_and(|ahead| ahead > MAX_AHEAD) {
        return Err("at: lies in the future; is a clock wrong?".to_owned());
    }
    let link = event.link.as_deref().map(link).transpose()?;
    Ok(Marker {
        at,
        kind: match event.kind {
            Kind::Deploy => MarkerKind::Deploy,
            Kind::Change => MarkerKind::Change,
        },
        upstream: event.upstream.map(Into::into),
        text: text.chars().take(MAX_TEXT).collect::<String>().into(),
        link,
    })
}

/// Pages show it as a link, so it must be one that is safe to follow.
fn link(text: &str) -> Result<Box<str>, String> {
    let url = url::Url::parse(text).ok();
    let safe = url.filter(|url| matches!(url.scheme(), "http" | "https") && text.len() <= MAX_LINK);
    match safe {
        Some(url) => Ok(url.as_str().into()),
        None => Err(format!(
            "link: {text:?} is no http(s) URL of at most {MAX_LINK} characters"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment;

    fn told(body: &str) -> Result<Marker, String> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_640_000);
        read(body.as_bytes(), now, |name| name == "shop")
    }

    #[test]
    fn an_event_needs_its_text_only() {
        let marker = told(r#"{"text": " shop 1.2 "}"#).unwrap();
        assert_eq!(
            (&*marker.text, marker.kind, marker.upstream),
            ("shop 1.2", MarkerKind::Deploy, None)
        );
        let marker = told(
            r#"{"text": "b", "kind": "change", "upstream": "shop", "at": "2025-11-20T11:00:00Z", "link": "https://ci.example/7"}"#,
        )
        .unwrap();
        assert_eq!(moment::utc(marker.at), "2025-11-20 11:00:00 UTC");
        assert_eq!(marker.kind, MarkerKind::Change);
        assert_eq!(marker.link.as_deref(), Some("https://ci.example/7"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (body, message) in [
            ("", "EOF while parsing"),
            ("[]", "invalid"),
            (r#"{"text": " "}"#, "text: says nothing"),
            (r#"{"text": "a", "version": 1}"#, "unknown field `version`"),
            (r#"{"text": "a", "kind": "party"}"#, "unknown variant `party`"),
            (r#"{"text": "a", "upstream": "shpo"}"#, "none is called \"shpo\""),
            (r#"{"text": "a", "at": "yesterday"}"#, "at: \"yesterday\" is no time"),
            (r#"{"text": "a", "at": "2099-01-01T00:00:00Z"}"#, "lies in the future"),
            (r#"{"text": "a", "link": "javascript:alert(1)"}"#, "is no http(s) URL"),
        ] {
            let told = told(body).unwrap_err();
            assert!(told.contains(message), "{body}: {told}");
        }
    }
}
