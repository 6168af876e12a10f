//! How long a connection stays usable that nobody uses: a request, silence, and one more request.

use std::time::Duration;

use tokio::time::Instant;

use super::http::{Ask, ExchangeEnd, Form, ReadLimits, http1, traceparent};
use super::open::{Open, open};
use super::{Prepared, Prober};
use crate::clock;
use crate::observation::{Address, Idled, Response, TraceId};
use crate::upstream::Request;

/// A connection that ends this soon after an answer ended with it.
const AT_ONCE: Duration = Duration::from_millis(100);

impl Prober {
    /// Leaves a connection idle for at most this long after an answer on it. HTTP/1.1 only. `None` where there was no whole
    /// answer to begin with, or none at all any more.
    pub async fn idle(
        &self,
        prepared: &Prepared,
        request: &Request,
        address: &Address,
        silence: Duration,
    ) -> Option<Idled> {
        let timeout = prepared.target.timeout;
        let mut stream = open(prepared, address, Instant::now() + timeout).await.ok()?;
        let answer = self.ask_on(&mut stream, prepared, request).await?;
        let since = Instant::now();
        if ends_connection(&answer) {
            return Some(Idled::NotKept);
        }
        if http1::ends_by(&mut stream, since + silence).await {
            let after = since.elapsed();
            return Some(if after < AT_ONCE {
                Idled::NotKept
            } else {
                Idled::Closed(after)
            });
        }
        if self.ask_on(&mut stream, prepared, request).await.is_some() {
            return Some(Idled::Served(silence));
        }
        // Whoever does not answer on a fresh connection either says nothing of idle ones.
        let mut fresh = open(prepared, address, Instant::now() + timeout).await.ok()?;
        let answer = self.ask_on(&mut fresh, prepared, request).await;
        answer.map(|_| Idled::Dropped(silence))
    }

    async fn ask_on(&self, stream: &mut Open, prepared: &Prepared, request: &Request) -> Option<Box<Response>> {
        let target = &*prepared.target;
        let ask = Ask {
            method: &target.method,
            host: &target.host_header,
            path: &request.path,
            headers: &prepared.headers,
            traceparent: traceparent(TraceId(fastrand::u128(1..)), self.sampled()),
            body: target.body.as_ref(),
            kept: &prepared.kept,
            form: Form::Kept,
        };
        let deadline = Instant::now() + target.timeout;
        match http1::exchange(stream, &ask, ReadLimits::of(target, ask.path), deadline, clock::now()).await {
            (ExchangeEnd::Response(response), _) if response.body_complete => Some(response),
            _ => None,
        }
    }
}

/// The peer says that it closes after this answer, or never keeps a connection without being asked to (RFC 9112, 9.3).
fn ends_connection(answer: &Response) -> bool {
    let says = |word: &str| {
        let connection = answer.head.header("connection").unwrap_or_default();
        connection
            .split(',')
            .any(|option| option.trim().eq_ignore_ascii_case(word))
    };
    says("close") || answer.head.version == "1.0" && !says("keep-alive")
}
