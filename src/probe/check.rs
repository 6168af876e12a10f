//! One health check of a gateway, as the gateway makes it; and the least of all questions, whether an address takes a
//! connection.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::connect::{ConnectEnd, connect};
use super::http::{Ask, ExchangeEnd, Form, KeptHeaders, ReadLimits, USER_AGENT_PREFIX, http1, traceparent};
use super::open::{NotOpen, open};
use super::{Prepared, Prober};
use crate::clock;
use crate::observation::{Address, TraceId};
use crate::upstream::HealthCheck;

/// What a health check saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Our own side prevented it; says nothing of the peer.
    Prevented,
    /// No connection, or no answer in time.
    Failed,
    /// A connection, which is all that is wanted.
    Connected,
    /// An answer of this status.
    Answered(u16),
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checked::Prevented => f.write_str("not made"),
            Checked::Failed => f.write_str("no answer"),
            Checked::Connected => f.write_str("connected"),
            Checked::Answered(status) => write!(f, "status {status}"),
        }
    }
}

impl Prober {
    /// Whether an address takes a connection within that time, and nothing more than that; `None` where our own side
    /// prevented it.
    pub async fn connects(&self, prepared: &Prepared, address: &Address, wait: Duration) -> Option<bool> {
        match connect(address, prepared.target.source_address, Instant::now() + wait).await {
            Ok(_) => Some(true),
            Err(ConnectEnd::Fault(_)) => Some(false),
            Err(ConnectEnd::Own(_) | ConnectEnd::NoRoute) => None,
        }
    }

    /// Makes it: with none of the target's own headers and credentials, which the gateway's check does not have either.
    pub async fn check(&self, prepared: &Prepared, check: &HealthCheck, address: &Address) -> Checked {
        let deadline = Instant::now() + check.timeout;
        let mut stream = match open(prepared, &at_port(address, check.port), deadline).await {
            Ok(stream) => stream,
            Err(NotOpen::Prevented) => return Checked::Prevented,
            Err(NotOpen::Failed) => return Checked::Failed,
        };
        let Some(request) = &check.request else {
            return Checked::Connected;
        };
        let target = &*prepared.target;
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT_PREFIX));
        let ask = Ask {
            method: &request.method,
            host: request.host.as_ref().unwrap_or(&target.host_header),
            path: &request.path,
            headers: &headers,
            traceparent: traceparent(TraceId(fastrand::u128(1..)), false),
            body: None,
            kept: &KeptHeaders::default(),
            form: if request.http10 { Form::Old } else { Form::Alone },
        };
        // The status line decides: a gateway does not wait for the body.
        let limits = ReadLimits {
            max_body: 0,
            ..ReadLimits::of(target, ask.path)
        };
        match http1::exchange(&mut stream, &ask, limits, deadline, clock::now())
            .await
            .0
        {
            ExchangeEnd::Response(response) => Checked::Answered(response.head.status),
            ExchangeEnd::Failure(failure) => failure
                .head
                .map_or(Checked::Failed, |head| Checked::Answered(head.status)),
            ExchangeEnd::TlsAlert(_) => Checked::Failed,
        }
    }
}

fn at_port(address: &Address, port: Option<u16>) -> Address {
    match (address, port) {
        (Address::Tcp(address), Some(port)) => Address::Tcp(std::net::SocketAddr::new(address.ip(), port)),
        _ => address.clone(),
    }
}
