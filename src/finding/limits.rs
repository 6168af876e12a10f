//! What a probe saw, or a gateway logged, against what the gateway tolerates: how near it came to each limit.

use std::time::Duration;

use crate::cause::Cause;
use crate::exchange::Taken;
use crate::observation::{End, HttpFault, Observation};
use crate::upstream::{LimitKind, Limits};

/// The limits a plain probe can come near to.
pub const PROBED: [LimitKind; 6] = [
    LimitKind::Connect,
    LimitKind::Tls,
    LimitKind::FirstByte,
    LimitKind::Total,
    LimitKind::ResponseHeader,
    LimitKind::ResponseBody,
];

/// The limits that a gateway's log may tell of.
pub const LOGGED: [LimitKind; 4] = [
    LimitKind::Connect,
    LimitKind::FirstByte,
    LimitKind::Total,
    LimitKind::ResponseHeader,
];

/// A time or a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Of a phase.
    Time(Duration),
    /// Bytes.
    Size(u64),
}

/// How much of one limit a probe used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Which limit.
    pub kind: LimitKind,
    /// What the gateway tolerates.
    pub limit: Amount,
    /// What the probe saw.
    pub seen: Amount,
    /// The probe gave up first: it is this or more.
    pub at_least: bool,
}

impl Use {
    /// Share of the limit, 1 where it is reached.
    pub fn share(&self) -> f64 {
        match (self.seen, self.limit) {
            (Amount::Time(seen), Amount::Time(limit)) => seen.as_secs_f64() / limit.as_secs_f64(),
            (Amount::Size(seen), Amount::Size(limit)) => seen as f64 / limit as f64,
            _ => 0.0,
        }
    }

    /// At or beyond 80 % of the limit.
    pub fn is_near(&self) -> bool {
        match (self.seen, self.limit) {
            (Amount::Time(seen), Amount::Time(limit)) => seen.as_nanos() * 5 >= limit.as_nanos() * 4,
            (Amount::Size(seen), Amount::Size(limit)) => seen.saturating_mul(5) >= limit.saturating_mul(4),
            _ => false,
        }
    }

    /// Beyond the limit: the gateway would have given up, or did.
    pub fn is_beyond(&self) -> bool {
        match (self.seen, self.limit) {
            (Amount::Time(seen), Amount::Time(limit)) => seen >= limit,
            (Amount::Size(seen), Amount::Size(limit)) => seen > limit,
            _ => false,
        }
    }
}

/// What one probe used of one limit; `None` where there is no such limit, or the probe did not come to that phase.
pub fn used(limits: &Limits, kind: LimitKind, seen: &Observation, cause: Option<Cause>) -> Option<Use> {
    let of = |limit, (seen, at_least)| Use {
        kind,
        limit,
        seen,
        at_least,
    };
    if let Some(limit) = limits.size(kind) {
        return size_of(kind, seen).map(|(size, at_least)| of(Amount::Size(limit), (Amount::Size(size), at_least)));
    }
    let limit = limits.time(kind).filter(|limit| !limit.is_zero())?;
    time_of(kind, seen, cause).map(|(time, at_least)| of(Amount::Time(limit), (Amount::Time(time), at_least)))
}

/// What one logged request took of one limit; `None` where there is no such limit, or its line does not say it.
pub fn taken(limits: &Limits, kind: LimitKind, taken: &Taken) -> Option<Use> {
    let time = |took: Option<Duration>| {
        let limit = limits.time(kind).filter(|limit| !limit.is_zero())?;
        Some((Amount::Time(limit), Amount::Time(took?)))
    };
    let (limit, seen) = match kind {
        LimitKind::Connect => time(taken.connect)?,
        LimitKind::FirstByte => time(taken.first_byte)?,
        LimitKind::Total => time(taken.total)?,
        LimitKind::ResponseHeader => (
            Amount::Size(limits.response_header?),
            Amount::Size(taken.response_header?),
        ),
        _ => return None,
    };
    Some(Use {
        kind,
        limit,
        seen,
        at_least: kind == LimitKind::Total,
    })
}

/// The size a limit is compared with. A head over our own cap is over every gateway's buffer.
fn size_of(kind: LimitKind, seen: &Observation) -> Option<(u64, bool)> {
    match (kind, &seen.end) {
        (LimitKind::ResponseHeader, End::Http(failure)) if failure.fault == HttpFault::HeadTooLarge => {
            Some((u64::MAX, true))
        }
        (LimitKind::ResponseHeader, _) => seen.head().map(|head| (head.bytes, false)),
        (LimitKind::ResponseBody, End::Response(response)) => Some((response.body_bytes, !response.body_complete)),
        (LimitKind::ResponseBody, End::Http(failure)) => failure.head.as_ref().map(|_| (failure.body_bytes, true)),
        _ => None,
    }
}

/// The time a limit is compared with: that of the phase, or how long the probe had waited in it when it gave up.
fn time_of(kind: LimitKind, seen: &Observation, cause: Option<Cause>) -> Option<(Duration, bool)> {
    let times = &seen.timings;
    let waited = times
        .total
        .saturating_sub(times.connect.unwrap_or_default())
        .saturating_sub(times.tls.unwrap_or_default());
    let phase = |took: Option<Duration>, timeout: Cause| {
        let gave_up = || (cause == Some(timeout)).then_some((waited, true));
        took.map(|took| (took, false)).or_else(gave_up)
    };
    match kind {
        LimitKind::Connect => phase(times.connect, Cause::ConnectTimeout),
        LimitKind::Tls => phase(times.tls, Cause::TlsTimeout),
        LimitKind::FirstByte => phase(times.first_byte, Cause::ResponseTimeout),
        LimitKind::Total => Some((times.total, cause == Some(Cause::ResponseBodyTimeout))),
        _ => None,
    }
}
