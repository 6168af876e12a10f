//! The HTTP phase: what is asked, and the words both versions share for what comes back.
//!
//! One request, one response, on a connection used for nothing else. Bytes are judged here only as far as they are
//! HTTP or not; whether the answer is a good one is the business of [`crate::classify`].

pub mod body;
pub mod head;
pub mod http1;
pub mod http2;
mod kept;

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method};
use tokio::time::Instant;

pub use kept::KeptHeaders;

use crate::observation::{Head, HttpFailure, HttpFault, Response, TraceId};
use crate::upstream::{Auth, BodyRule, Target};

/// Logs of gateways recognise our own probes by this prefix.
pub const USER_AGENT_PREFIX: &str = concat!("badgateway/", env!("CARGO_PKG_VERSION"));
/// Bytes kept of what came instead of a whole response.
pub const EVIDENCE_START: usize = 512;
/// Bytes of a body kept where no rule asks for more: as far as the page of a gateway is looked at.
pub const RECOGNISED_BODY: usize = 4096;
/// Interim (1xx) responses skipped before the final one; a peer that sends more never means to answer.
const MAX_INTERIM: u32 = 64;

/// How HTTP/1 asks; HTTP/2 has one form only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Form {
    /// HTTP/1.1; the connection ends with the answer.
    #[default]
    Alone,
    /// HTTP/1.1; the connection stays.
    Kept,
    /// HTTP/1.0, without `Host` where none is given.
    Old,
}

/// The request of one probe, whatever version carries it.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: &'a Method,
    /// `Host` or `:authority`; empty for none, which only [`Form::Old`] may have.
    pub host: &'a HeaderValue,
    /// Path and query.
    pub path: &'a str,
    /// Headers that are the same each time, in order.
    pub headers: &'a HeaderMap,
    /// The attempt (W3C Trace Context).
    pub traceparent: String,
    /// The body, if any.
    pub body: Option<&'a Bytes>,
    /// Which headers of the answer are kept.
    pub kept: &'a KeptHeaders,
    /// Version and life of the connection.
    pub form: Form,
}

/// The headers a target is asked with: ours, then the configured ones and the credentials.
pub fn headers_of(target: &Target) -> HeaderMap {
    let mut headers = plain_headers();
    for (name, value) in &target.headers {
        add_header(&mut headers, name, value);
    }
    if let Some(value) = target.auth.as_ref().and_then(authorization) {
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(body) = &target.body {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    headers
}

/// The headers another host is asked with, where a redirect leads to one.
pub fn plain_headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_PREFIX));
    headers.insert(http::header::ACCEPT, HeaderValue::from_static("*/*"));
    headers
}

/// The same headers for a request that a redirect turned into a GET.
pub fn without_body(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    [CONTENT_LENGTH, CONTENT_TYPE]
        .map(|name| headers.remove(name))
        .into_iter()
        .for_each(drop);
    headers
}

/// A configured agent is appended to ours; `Accept` is replaced; others may repeat.
fn add_header(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    match *name {
        USER_AGENT => {
            let both = [USER_AGENT_PREFIX.as_bytes(), b" ", value.as_bytes()].concat();
            let both = HeaderValue::from_bytes(&both).expect("two valid values and a blank are a valid value");
            headers.insert(USER_AGENT, both);
        }
        http::header::ACCEPT => {
            headers.insert(name.clone(), value.clone());
        }
        _ => {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// W3C Trace Context, version 00. The span is the lower half of the trace id.
pub fn traceparent(trace: TraceId, sampled: bool) -> String {
    format!("00-{trace}-{:016x}-{:02x}", (trace.0 as u64).max(1), u8::from(sampled))
}

fn authorization(auth: &Auth) -> Option<HeaderValue> {
    let text = match auth {
        Auth::Basic { username, password } => {
            format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.reveal())))
        }
        Auth::Bearer(token) => format!("Bearer {}", token.reveal()),
    };
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// How much is read, and how much of it kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of head.
    pub max_head: u64,
    /// Bytes of body.
    pub max_body: u64,
    /// Bytes of body kept.
    pub keep: usize,
}

impl ReadLimits {
    /// The whole body where a rule judges it or it is compared with another, else what recognising a page needs.
    pub fn of(target: &Target, path: &str) -> Self {
        let judged = matches!(
            target.expect.body,
            Some(BodyRule::Contains(_) | BodyRule::Matches(_) | BodyRule::Json { .. })
        );
        let compared = target.stable.iter().any(|request| request.path == path);
        let keep = if judged || compared {
            usize::try_from(target.max_body).unwrap_or(usize::MAX)
        } else {
            RECOGNISED_BODY
        };
        ReadLimits {
            max_head: target.max_head,
            max_body: target.max_body,
            keep,
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Debug)]
pub enum ExchangeEnd {
    /// A whole response.
    Response(Box<Response>),
    /// None.
    Failure(HttpFailure),
    /// An alert of the peer's TLS came instead: with TLS 1.3 a refused client certificate shows only now.
    TlsAlert(u8),
}

/// How far an exchange has come; stays readable when a deadline ends it.
#[derive(Debug)]
pub struct Progress {
    /// When the first byte of a response arrived.
    pub first_byte: Option<Instant>,
    head: Option<Box<Head>>,
    raw: Vec<u8>,
    body: Vec<u8>,
    body_bytes: u64,
    limits: ReadLimits,
}

impl Progress {
    /// Nothing has happened yet.
    pub fn new(limits: ReadLimits) -> Self {
        Progress {
            first_byte: None,
            head: None,
            raw: Vec::new(),
            body: Vec::new(),
            body_bytes: 0,
            limits,
        }
    }

    /// The end where the deadline passed: in the head or in the body.
    pub fn timed_out(self) -> ExchangeEnd {
        let fault = if self.head.is_some() {
            HttpFault::BodyTimeout
        } else {
            HttpFault::HeadTimeout
        };
        self.failed(fault)
    }

    fn failed(mut self, fault: HttpFault) -> ExchangeEnd {
        let start = if self.head.is_some() {
            &mut self.body
        } else {
            &mut self.raw
        };
        start.truncate(EVIDENCE_START);
        ExchangeEnd::Failure(HttpFailure {
            fault,
            start: Bytes::from(std::mem::take(start)),
            head: self.head,
            body_bytes: self.body_bytes,
        })
    }

    fn complete(self, body_complete: bool) -> ExchangeEnd {
        let head = *self.head.expect("a response is complete only after its head");
        ExchangeEnd::Response(Box::new(Response {
            head,
            body_bytes: self.body_bytes,
            body_complete,
            body: Bytes::from(self.body),
        }))
    }

    /// Takes body bytes in; true once `max_body` is reached and no more is wanted.
    fn take_body(&mut self, bytes: &[u8]) -> bool {
        let room = self.limits.keep.saturating_sub(self.body.len());
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.body_bytes += bytes.len() as u64;
        self.body_bytes >= self.limits.max_body
    }
}

/// Bytes of a reason phrase kept at most.
const MAX_REASON: usize = 64;

/// The reason phrase, where it says something: of a 5xx. One that is too long or not text is none.
fn kept_reason(status: u16, reason: Option<&str>) -> String {
    reason
        .filter(|reason| (500..600).contains(&status) && reason.len() <= MAX_REASON)
        .unwrap_or_default()
        .to_owned()
}

/// `Retry-After` as time from `now`: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(value: &[u8], now: SystemTime) -> Option<std::time::Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    match text.parse::<u64>() {
        Ok(seconds) => Some(std::time::Duration::from_secs(seconds.min(86_400))),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(784_111_777);
        let cases = [
            ("120", Some(120)),
            (" 3 ", Some(3)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", None),
            ("soon", None),
            ("999999999999", Some(86_400)),
        ];
        for (value, seconds) in cases {
            assert_eq!(
                retry_after(value.as_bytes(), now).map(|wait| wait.as_secs()),
                seconds,
                "{value}"
            );
        }
    }

    #[test]
    fn traceparent_has_the_form_of_the_standard() {
        assert_eq!(
            traceparent(TraceId(0xabc), true),
            "00-00000000000000000000000000000abc-0000000000000abc-01"
        );
    }
}
