//! What a gateway's log says: of a request that passed it, or of a fault it met. Plain data that borrows from the line.
//!
//! Text is as the gateway wrote it, escapes included; an empty slice means that the log does not say it.

use std::time::Duration;

use smallvec::SmallVec;

use crate::cause::Cause;

/// Attempts at backends, in order. Almost all requests have one or two.
pub type Attempts<'l> = SmallVec<[Attempt<'l>; 2]>;

/// A point in time as a log writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since the epoch; where the log states no zone, as if it were UTC.
    pub millis: i64,
    /// True where the log states no zone: the hour may be wrong, the second is not.
    pub local: bool,
}

/// One request, as the line written at its end tells it.
#[derive(Clone, Debug, Default)]
pub struct Exchange<'l> {
    /// When the line was written, or the request began.
    pub time: Option<Stamp>,
    /// How long the request took.
    pub duration: Option<Duration>,
    /// The client's address.
    pub client: &'l [u8],
    /// The host asked for.
    pub host: &'l [u8],
    /// The target asked for: path and query, or a whole URL.
    pub target: &'l [u8],
    /// The user agent.
    pub agent: &'l [u8],
    /// Names the gateway gives the backend: upstream block, backend, cluster, service, route.
    pub names: [&'l [u8]; 3],
    /// What the client got; `None` where no status was sent.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// Attempts at backends, in order; the last one gave the answer. Empty where the log names none.
    pub attempts: Attempts<'l>,
    /// Attempts after the first, also those the log does not list.
    pub retries: u32,
    /// How long the backend took, all attempts together.
    pub backend_time: Option<Duration>,
    /// What one attempt took of what gateways bound.
    pub taken: Taken,
    /// What an error line about the same request has in common with this line.
    pub join: Join<'l>,
}

impl<'l> Exchange<'l> {
    /// An attempt went over a connection used before, and the log leaves no doubt about it.
    pub fn reuses(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.reused == Some(true))
    }

    /// One attempt, at this backend, that ended as the request did; none where the log names no backend.
    pub fn tried_once(&mut self, backend: &'l [u8]) {
        if backend.is_empty() {
            return;
        }
        let reason = match self.outcome {
            Outcome::Failed(reason) => Some(reason),
            Outcome::Served | Outcome::ClientClosed => None,
        };
        self.attempts.push(Attempt {
            backend,
            reason,
            reused: None,
        });
    }
}

/// What one attempt at a backend took of what gateways bound; of several attempts the most. `None` where the line does
/// not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Until the connection stood, TLS included where the gateway counts so.
    pub connect: Option<Duration>,
    /// From then to the response head, or for how long it was waited for in vain.
    pub first_byte: Option<Duration>,
    /// The whole exchange, or at least this long.
    pub total: Option<Duration>,
    /// Bytes of the response head, as far as they were read.
    pub response_header: Option<u64>,
}

impl Taken {
    /// The most of both.
    pub fn most(self, other: Taken) -> Taken {
        Taken {
            connect: self.connect.max(other.connect),
            first_byte: self.first_byte.max(other.first_byte),
            total: self.total.max(other.total),
            response_header: self.response_header.max(other.response_header),
        }
    }
}

/// How a logged request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer that is no failure of a gateway or an upstream.
    #[default]
    Served,
    /// The client left before.
    ClientClosed,
    /// With a failure.
    Failed(Reason),
}

/// Why a logged request or attempt failed, as far as its line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The cause; the phase alone, a status or `unknown` where the line allows several.
    pub cause: Cause,
    /// What else it may have been; empty where the line leaves no doubt.
    pub candidates: &'static [Cause],
    /// Nothing else can be found out: an error line about the same request changes nothing.
    pub settled: bool,
}

impl Reason {
    /// A cause the line leaves no doubt about.
    pub const fn exact(cause: Cause) -> Reason {
        Reason {
            cause,
            candidates: &[],
            settled: true,
        }
    }

    /// A phase, a status or `unknown`, and what the line allows.
    pub const fn one_of(cause: Cause, candidates: &'static [Cause]) -> Reason {
        Reason {
            cause,
            candidates,
            settled: false,
        }
    }

    /// The same cause, and an error line may still say why.
    pub const fn open(cause: Cause) -> Reason {
        Reason::one_of(cause, &[])
    }
}

/// One attempt at a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt<'l> {
    /// The backend as the log writes it.
    pub backend: &'l [u8],
    /// Why it failed; `None` where it did not.
    pub reason: Option<Reason>,
    /// Whether the connection had been used before; `None` where the log does not say.
    pub reused: Option<bool>,
}

/// What lines about one request have in common. Empty parts, and 0, are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Join<'l> {
    /// An identity no other request has at that time, as a number: connection number, request or log id.
    pub exact: u64,
    /// What error lines about the same fault have in common with each other, as a number: process and thread.
    pub group: u64,
    /// The client's address, with its port where both logs state it.
    pub client: &'l [u8],
    /// The request as written: its target, or the beginning of it.
    pub request: &'l [u8],
    /// The final status, where an error line tells no more of the request than that.
    pub status: Option<u16>,
}

/// A fault the gateway met, as a line of its error log tells it.
#[derive(Clone, Debug)]
pub struct Complaint<'l> {
    /// When it was written.
    pub time: Option<Stamp>,
    /// What the fault means for the request.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The backend, as the log writes it.
    pub backend: &'l [u8],
    /// The host asked for.
    pub host: &'l [u8],
    /// Names the gateway gives the backend.
    pub names: [&'l [u8]; 3],
    /// What the access line of the same request has in common with this line.
    pub join: Join<'l>,
}

/// What a fault means for the request it happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An attempt failed; another may have followed.
    Attempt,
    /// No attempt was made: there was nobody to ask, or the gateway itself could not.
    Refused,
    /// The response was cut after its head had been sent: the access log shows its first status.
    Cut,
    /// The client left.
    ClientClosed,
    /// No request is told of: from here on this server of the backend is not asked, for this reason.
    Down,
    /// No request is told of: this server of the backend is asked again.
    Up,
}

/// What one line of a log is.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and none is kept")]
pub enum Line<'l> {
    /// A request.
    Exchange(Exchange<'l>),
    /// A fault.
    Complaint(Complaint<'l>),
    /// A line of the log that speaks of no failed request.
    Other,
}
