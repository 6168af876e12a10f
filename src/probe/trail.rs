//! One probe under way: its exchanges, one after the other, and the observation they end in.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Prepared;
use super::connect::{ConnectEnd, connect};
use super::http::{Ask, ExchangeEnd, Form, ReadLimits, http1, http2, plain_headers, traceparent, without_body};
use super::listeners::Listeners;
use super::meter::Meter;
use super::redirect::own_host;
use super::tls::{self, Client};
use crate::clock;
use crate::observation::listening::Listening;
use crate::observation::{
    Address, ConnectFault, End, HttpFailure, HttpFault, Observation, Timings, TlsFacts, TlsFault, TraceId,
};
use crate::upstream::{HttpVersion, Request, Scheme, Target};

/// One probe under way: where it is, and what it has seen.
pub(super) struct Trail<'a> {
    pub(super) place: Place<'a>,
    pub(super) method: Cow<'a, Method>,
    trace: TraceId,
    sampled: bool,
    at: SystemTime,
    started: Instant,
    pub(super) deadline: Instant,
    pub(super) timings: Timings,
    tls: Option<Arc<TlsFacts>>,
    pub(super) location: Option<String>,
    pub(super) redirected: Vec<String>,
    pub(super) own_host: String,
}

/// Where one exchange happens.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) address: Address,
    pub(super) scheme: Scheme,
    pub(super) host_header: Cow<'a, HeaderValue>,
    pub(super) server_name: Cow<'a, str>,
    pub(super) path: Cow<'a, str>,
    /// Configured headers, credentials and body go only to the host they were written for.
    pub(super) configured: bool,
    pub(super) url_host: String,
    pub(super) port: u16,
}

impl<'a> Trail<'a> {
    /// At its beginning: `wait` is what all of its exchanges may take together.
    pub(super) fn start(
        target: &'a Target,
        request: &'a Request,
        address: &Address,
        sampled: bool,
        wait: Duration,
    ) -> Self {
        let started = Instant::now();
        let follows = target.redirects.max > 0;
        let url_host = if follows { own_host(target) } else { String::new() };
        Trail {
            place: Place {
                address: address.clone(),
                scheme: target.scheme,
                host_header: Cow::Borrowed(&target.host_header),
                server_name: Cow::Borrowed(&target.server_name),
                path: Cow::Borrowed(&request.path),
                configured: true,
                url_host: url_host.clone(),
                port: target.port,
            },
            method: Cow::Borrowed(&target.method),
            trace: TraceId(fastrand::u128(1..)),
            sampled,
            at: clock::now(),
            started,
            deadline: started + wait,
            timings: Timings::default(),
            tls: None,
            location: None,
            redirected: Vec::new(),
            own_host: url_host,
        }
    }

    /// Nothing follows this end.
    pub(super) fn finish(mut self, end: End, listeners: &Listeners) -> Observation {
        self.timings.total = self.started.elapsed();
        Observation {
            listening: explained(&end, &self.place.address, listeners, self.started),
            trace: self.trace,
            at: self.at,
            address: self.place.address,
            scheme: self.place.scheme,
            timings: self.timings,
            tls: self.tls,
            redirected: self.redirected,
            end,
        }
    }

    /// Connect, TLS and HTTP, once.
    pub(super) async fn step(&mut self, prepared: &Prepared) -> End {
        let target = &*prepared.target;
        self.timings = Timings::default();
        self.tls = None;
        let begun = Instant::now();
        let connection = match connect(&self.place.address, target.source_address, self.deadline).await {
            Ok(connection) => connection,
            Err(ConnectEnd::NoRoute) => return End::NoRoute,
            Err(ConnectEnd::Own(limit)) => return End::Own(limit),
            Err(ConnectEnd::Fault(fault)) => return End::Connect(fault),
        };
        self.timings.connect = Some(begun.elapsed());
        let one_write = self.place.scheme == Scheme::Http && target.http_version == HttpVersion::Http1;
        if !one_write || target.body.is_some() {
            connection.send_at_once();
        }
        let mut meter = Meter::new(connection);
        let end = match (self.place.scheme, &prepared.tls) {
            (Scheme::Https, Some(client)) => return self.over_tls(client, meter, prepared).await,
            _ => self.exchange(&mut meter, prepared, |meter| meter.read).await,
        };
        self.http_end(end)
    }

    async fn over_tls(&mut self, client: &Client, meter: Meter, prepared: &Prepared) -> End {
        let begun = Instant::now();
        // Boxed, so that plain probes under way are not as large as the largest TLS one.
        let handshake =
            Box::pin(client.handshake(meter, &self.place.server_name, self.place.configured, self.deadline));
        let (result, facts) = handshake.await;
        let facts = Arc::new(facts);
        self.tls = Some(facts.clone());
        let mut stream = match result {
            Ok(stream) => stream,
            Err(fault) => {
                if matches!(fault, TlsFault::Certificate(_)) {
                    self.timings.tls = Some(begun.elapsed());
                }
                return End::Tls(fault);
            }
        };
        self.timings.tls = Some(begun.elapsed());
        let end = self
            .exchange(&mut *stream, prepared, |stream| stream.get_ref().0.read)
            .await;
        // HTTP/2's library does not hand on the alert that ended the session; the session still knows it.
        let end = match (end, tls::alert_of_session(stream.get_mut().1)) {
            (ExchangeEnd::Failure(failure), Some(alert)) if failure.head.is_none() => ExchangeEnd::TlsAlert(alert),
            (end, _) => end,
        };
        match end {
            ExchangeEnd::TlsAlert(alert)
                if facts.client_certificate_requested && tls::refuses_client_certificate(alert) =>
            {
                End::Tls(TlsFault::ClientCertificate {
                    sent: self.place.configured && client.sends_certificate(),
                })
            }
            end => self.http_end(end),
        }
    }

    async fn exchange<S>(&mut self, stream: &mut S, prepared: &Prepared, read: impl Fn(&S) -> u64) -> ExchangeEnd
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (place, target, begun) = (&self.place, &prepared.target, Instant::now());
        let with_body = place.configured && *self.method == target.method;
        let headers = match (place.configured, with_body) {
            (true, true) => Cow::Borrowed(&prepared.headers),
            (true, false) => Cow::Owned(without_body(&prepared.headers)),
            (false, _) => Cow::Owned(plain_headers()),
        };
        let ask = Ask {
            method: &self.method,
            host: &place.host_header,
            path: &place.path,
            headers: &headers,
            traceparent: traceparent(self.trace, self.sampled),
            body: target.body.as_ref().filter(|_| with_body),
            kept: &prepared.kept,
            form: Form::Alone,
        };
        let (limits, deadline, at) = (ReadLimits::of(target, &place.path), self.deadline, self.at);
        let (end, first_byte) = match target.http_version {
            HttpVersion::Http1 => http1::exchange(stream, &ask, limits, deadline, at).await,
            HttpVersion::Http2 => {
                Box::pin(http2::exchange(stream, place.scheme, &ask, limits, deadline, at, read)).await
            }
        };
        self.timings.first_byte = first_byte.map(|at| at - begun);
        if let (Some(first), ExchangeEnd::Response(_)) = (first_byte, &end) {
            self.timings.body = Some(first.elapsed());
        }
        end
    }

    fn http_end(&mut self, end: ExchangeEnd) -> End {
        match end {
            ExchangeEnd::Response(response) => {
                self.location = response.head.location.clone();
                End::Response(response)
            }
            ExchangeEnd::Failure(failure) => End::Http(failure),
            // The peer ended the session before a whole head (design, section 3).
            ExchangeEnd::TlsAlert(_) => End::Http(HttpFailure {
                fault: HttpFault::Reset,
                head: None,
                start: bytes::Bytes::new(),
                body_bytes: 0,
            }),
        }
    }
}

/// What the kernel says where an address of this host refused, or took a connection and no more: that nobody listens, or
/// that connections wait to be accepted.
fn explained(end: &End, address: &Address, listeners: &Listeners, started: Instant) -> Option<Box<Listening>> {
    let refused = match end {
        End::Connect(fault) => *fault == ConnectFault::Refused,
        End::Http(failure) if failure.fault == HttpFault::HeadTimeout => false,
        _ => return None,
    };
    let says = |seen: &Listening| match seen {
        Listening::Yes(queue) => !refused && queue.is_near(),
        Listening::No { .. } => true,
    };
    listeners.at(address, refused, Some(started)).filter(says).map(Box::new)
}
