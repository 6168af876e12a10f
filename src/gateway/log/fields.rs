//! The fields of a log line by meaning, wherever and however a gateway writes them.

use std::time::Duration;

use super::{text, time};
use crate::exchange::{Exchange, Join, Stamp};

macro_rules! fields {
    ($( $variant:ident $class:ident $meaning:literal; )*) => {
        /// What a value of a log line means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $( #[doc = $meaning] $variant, )*
        }

        impl Field {
            /// Every field.
            pub const ALL: &'static [Field] = &[ $( Field::$variant, )* ];

            /// What its value may hold.
            pub(super) fn class(self) -> Class {
                match self { $( Field::$variant => Class::$class, )* }
            }
        }
    };
}

/// What a value may hold. Decides where a value may end, and what a client can write into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The gateway's own words: no blank, no quote, no bracket of the layout.
    Token,
    /// The gateway's own list of tokens, with `, ` and ` : ` between.
    List,
    /// A time in one of the known forms.
    Time,
    /// The gateway's own text, with blanks.
    Phrase,
    /// Text that may come from the client.
    Foreign,
    /// Headers captured by HAProxy: `{a|b} `, once or twice, and no other braces; text from the client inside them.
    Captures,
}

fields! {
    Time Time "When the line was written, or the request began.";
    Client Token "The client's address, with or without a port.";
    Request Foreign "The request line.";
    Method Foreign "The method asked with.";
    Target Foreign "The target asked for.";
    Host Foreign "The host asked for.";
    Agent Foreign "The user agent.";
    Status Token "The status the client got.";
    Duration Token "How long the request took.";
    Backends List "The backends tried, in order.";
    BackendStatuses List "What each backend answered.";
    ConnectTimes List "How long each connect took.";
    HeaderTimes List "Until each backend's response head.";
    BackendTimes List "How long each attempt took.";
    BackendBytes List "Bytes received of each backend.";
    BackendLengths List "Body bytes received of each backend.";
    HeadBytes Token "Bytes of the backend's response head.";
    QueueTime Token "How long the request waited for a backend.";
    Name Token "What the gateway calls the backend: upstream block, backend, cluster, service.";
    Server Token "The server within the backend.";
    Route Token "What the gateway calls the route.";
    RequestId Foreign "An id of the request.";
    LogId Token "An id that the error log states too.";
    Connection Token "The number of the client's connection.";
    Port Token "The client's port.";
    Completion Token "Whether the answer was sent whole.";
    State Token "In which state the request ended: termination state, response flags, cache result.";
    Hierarchy Token "How the backend was chosen.";
    Detail Token "The gateway's word for how it ended.";
    Closing Phrase "How the connection to the backend was closed.";
    Reason Phrase "The gateway's error text on the connection to the backend.";
    TlsReason Phrase "The gateway's error text on TLS with the backend.";
    ErrorCode Token "The gateway's error number.";
    Retries Token "How often it tried again.";
    Tried Token "How often it tried.";
    Cache Token "Whether the answer came from a cache.";
    BytesSent Token "Bytes sent to the client.";
    BytesReceived Token "Bytes received of the backend.";
    Level Token "How severe the gateway finds it.";
    Logger Token "The part of the gateway that wrote the line.";
    Message Phrase "The gateway's message.";
    Kind Token "What kind of line this is.";
    Own Token "A value of the gateway's own that nothing needs.";
    Captures Captures "Headers captured by rules, in braces.";
    Text Foreign "Anything else; it is read over.";
    Extra1 Token "What only one kind has.";
    Extra2 Token "What only one kind has.";
    Extra3 Token "What only one kind has.";
    Extra4 Token "What only one kind has.";
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// No number, or one without a unit.
    #[default]
    None,
    /// Seconds, with a fraction.
    Seconds,
    /// Thousandths of a second.
    Millis,
    /// Millionths of a second.
    Micros,
    /// Thousand-millionths of a second.
    Nanos,
    /// As Go writes a duration: `1.5ms`.
    Go,
}

/// Where a value lies in its line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

/// Where the values of a line lie; kept from line to line, so that none is allocated.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    at: [Span; Field::ALL.len()],
    set: u64,
}

const _: () = assert!(Field::ALL.len() <= 64, "one bit for each field");

impl Default for Spans {
    fn default() -> Self {
        Spans {
            at: [Span::default(); Field::ALL.len()],
            set: 0,
        }
    }
}

impl Spans {
    pub(super) fn clear(&mut self) {
        self.set = 0;
    }

    #[inline]
    pub(super) fn put(&mut self, field: Field, start: usize, end: usize) {
        self.at[field as usize] = Span { start, end };
        self.set |= 1 << field as u32;
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.set & (1 << field as u32) != 0
    }

    pub(super) fn get<'l>(&self, line: &'l [u8], field: Field) -> Option<&'l [u8]> {
        if !self.has(field) {
            return None;
        }
        let span = self.at[field as usize];
        line.get(span.start..span.end)
    }

    fn joined<'l>(&self, line: &'l [u8], first: Field, second: Field) -> Option<&'l [u8]> {
        self.get(line, first)?;
        self.get(line, second)?;
        let (first, second) = (self.at[first as usize], self.at[second as usize]);
        let side_by_side = first.end.checked_add(1) == Some(second.start);
        side_by_side.then(|| line.get(first.start..second.end))?
    }

    /// True where both say the same of every field a client cannot write.
    pub(super) fn agree(&self, other: &Spans) -> bool {
        Field::ALL
            .iter()
            .filter(|field| field.class() != Class::Foreign)
            .all(|&field| {
                let (mine, theirs) = (self.at[field as usize], other.at[field as usize]);
                let bit = 1 << field as u32;
                self.set & bit == other.set & bit
                    && (self.set & bit == 0 || (mine.start, mine.end) == (theirs.start, theirs.end))
            })
    }
}

/// The fields of one line.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'f, 'l> {
    pub(super) line: &'l [u8],
    pub(super) spans: &'f Spans,
    pub(super) units: &'f Units,
    pub(super) clock: &'f time::LastTime,
}

/// The unit of each field of a format.
#[derive(Clone, Debug)]
pub(super) struct Units([Unit; Field::ALL.len()]);

impl Default for Units {
    fn default() -> Self {
        Units([Unit::None; Field::ALL.len()])
    }
}

impl Units {
    pub(super) fn set(&mut self, field: Field, unit: Unit) {
        self.0[field as usize] = unit;
    }

    fn of(&self, field: Field) -> Unit {
        self.0[field as usize]
    }
}

impl<'l> Fields<'_, 'l> {
    /// The value as written; `None` where the format has no such field.
    pub fn raw(&self, field: Field) -> Option<&'l [u8]> {
        self.spans.get(self.line, field)
    }

    /// The value; empty where the line does not say it, `-` included.
    pub fn text(&self, field: Field) -> &'l [u8] {
        match self.raw(field) {
            Some(value) if !text::is_dash(value) => value,
            _ => b"",
        }
    }

    /// Two values with one character between them, as one: `backend/server`, `address:port`. `None` where the format
    /// has them otherwise.
    pub fn joined(&self, first: Field, second: Field) -> Option<&'l [u8]> {
        self.spans.joined(self.line, first, second)
    }

    /// True where the format has this field, whatever its value.
    pub fn has(&self, field: Field) -> bool {
        self.raw(field).is_some()
    }

    /// A whole number; `None` where it is none.
    pub fn number(&self, field: Field) -> Option<i64> {
        text::integer(self.raw(field)?)
    }

    /// An HTTP status; `None` where none was sent: `-`, `0`, `000`, `-1`.
    pub fn status(&self, field: Field) -> Option<u16> {
        text::status(self.raw(field)?)
    }

    /// A time span in the unit of this field; `None` where this stage was not reached.
    pub fn time(&self, field: Field) -> Option<Duration> {
        text::span(self.raw(field)?, self.units.of(field))
    }

    /// A time span out of a list, in the unit of this field.
    pub fn time_of(&self, field: Field, value: &[u8]) -> Option<Duration> {
        text::span(value, self.units.of(field))
    }

    /// When the line was written.
    pub fn stamp(&self) -> Option<Stamp> {
        self.clock.read(self.raw(Field::Time)?)
    }

    /// The request as far as a line tells of it whatever the kind: all but how it ended, and the attempts.
    pub(in crate::gateway) fn exchange(&self) -> Exchange<'l> {
        let client = text::without_port(self.text(Field::Client));
        let target = self.target();
        let status = self.status(Field::Status);
        Exchange {
            time: self.stamp(),
            duration: self.time(Field::Duration),
            client,
            host: self.text(Field::Host),
            target,
            agent: self.text(Field::Agent),
            names: [Field::Name, Field::Server, Field::Route].map(|field| self.text(field)),
            status,
            join: Join {
                client,
                request: text::path_of(target),
                status,
                ..Join::default()
            },
            ..Exchange::default()
        }
    }

    /// The target of the request, from its own field or out of the request line.
    pub fn target(&self) -> &'l [u8] {
        match self.raw(Field::Target) {
            Some(target) => target,
            None => text::target_of(self.text(Field::Request)),
        }
    }
}
