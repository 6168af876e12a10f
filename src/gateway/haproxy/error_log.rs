//! What HAProxy logs besides requests: servers that go down and come back, connections without a request, and sessions of
//! `option tcplog`.

use super::super::log::{ErrorLine, Memory, text, time};
use super::{ANY_TLS, NO_CONNECT, NONE_LEFT, NOT_CONNECTED, TOO_LATE};
use crate::cause::Cause;
use crate::exchange::{Complaint, Effect, Join, Reason, Stamp};

/// A line about servers and backends, or about a connection that brought no request.
///
/// `Server B/S is DOWN, reason: …` says for all requests to come why this server cannot be asked.
pub(super) fn read<'l>(_: &mut Memory, line: &'l [u8]) -> ErrorLine<'l> {
    let (stamp, said) = match text::after_syslog_header(line) {
        Some(rest) if !is_about_us(line) && !is_connection_error(line) => (time::before_syslog_tag(line), rest),
        _ => (None, line),
    };
    let said = after_level(said);
    if let Some(complaint) = standing(stamp, said) {
        return ErrorLine::Complaint(complaint);
    }
    if let Some(session) = Session::of(said) {
        return session.failed().map_or(ErrorLine::Other, ErrorLine::Complaint);
    }
    match is_about_us(said) || is_connection_error(said) {
        true => ErrorLine::Other,
        false => ErrorLine::Foreign,
    }
}

/// A line of `option tcplog`: `CLIENT:PORT [DATE] FRONTEND BACKEND/SERVER Tw/Tc/Tt BYTES STATE a/f/b/s/r s/b`.
///
/// It tells of a session, which may hold any number of requests and states the outcome of none. So it counts as no
/// request; what it does say is that an attempt to give the session a server failed.
struct Session<'l> {
    time: Stamp,
    name: &'l [u8],
    /// `BACKEND/SERVER`; empty where no server was chosen.
    backend: &'l [u8],
    who: u8,
    stage: u8,
}

impl<'l> Session<'l> {
    fn of(said: &'l [u8]) -> Option<Session<'l>> {
        let mut words = said.split(|byte| *byte == b' ');
        let words: [&[u8]; 9] = std::array::from_fn(|_| words.next().unwrap_or_default());
        let [client, date, _, place, timers, bytes, state, counts, queues] = words;
        let numbers = |text: &[u8], count: usize| {
            let is_number = |part: &[u8]| text::integer(part.strip_prefix(b"+").unwrap_or(part)).is_some();
            text.split(|byte| *byte == b'/').count() == count && text.split(|byte| *byte == b'/').all(is_number)
        };
        let is_one = client.contains(&b':')
            && numbers(timers, 3)
            && numbers(bytes, 1)
            && numbers(counts, 5)
            && numbers(queues, 2)
            && words.iter().map(|word| word.len() + 1).sum::<usize>() == said.len() + 1;
        let &[who, stage] = state else { return None };
        let slash = memchr::memchr(b'/', place)?;
        is_one.then_some(Session {
            time: time::parse(date.strip_prefix(b"[")?.strip_suffix(b"]")?)?,
            name: &place[..slash],
            backend: if place[slash + 1..].starts_with(b"<") {
                b""
            } else {
                place
            },
            who,
            stage,
        })
    }

    /// A session that reached no server, or that HAProxy itself could not serve. How one ends that did reach a server is no
    /// failure for certain: servers reset, and `timeout server` ends the idle.
    fn failed(&self) -> Option<Complaint<'l>> {
        let (effect, reason) = match (self.who, self.stage) {
            (b'C' | b'c' | b'-' | b'L', _) | (b'P', b'R') => return None,
            (b'R' | b'I', _) | (b'P', b'C') => (Effect::Refused, Reason::exact(Cause::GatewayInternal)),
            (b's', b'Q') => (Effect::Refused, Reason::exact(Cause::UpstreamOverloaded)),
            (_, b'Q') => (Effect::Refused, Reason::exact(Cause::NoLiveUpstream)),
            // Without a status, no cause holds for all of these but that it is not known.
            (_, b'C') if self.backend.is_empty() => (Effect::Refused, Reason::one_of(Cause::Unknown, NONE_LEFT)),
            (b'S', b'C') => (Effect::Attempt, Reason::one_of(Cause::Unknown, NOT_CONNECTED)),
            (b's', b'C') => (Effect::Attempt, Reason::one_of(Cause::Unknown, TOO_LATE)),
            (_, b'C') => (Effect::Attempt, Reason::open(Cause::ConnectFailed)),
            _ => return None,
        };
        Some(Complaint {
            time: Some(self.time),
            effect,
            reason,
            backend: self.backend,
            host: b"",
            names: [self.name, b"", b""],
            join: Join::default(),
        })
    }
}

/// `[WARNING] 123/105739 (13) : ` before a line on standard error.
fn after_level(said: &[u8]) -> &[u8] {
    let is_level = ["[NOTICE]", "[WARNING]", "[ALERT]", "[EMERG]", "[INFO]"]
        .iter()
        .any(|level| said.starts_with(level.as_bytes()));
    match text::find(said, b") : ") {
        Some(at) if is_level => &said[at + 4..],
        _ => said,
    }
}

/// How lines of HAProxy about itself begin. Source: `src/server.c`, `src/check.c`, `src/proxy.c`, `src/resolvers.c`.
const STARTS: &[&str] = &[
    "Server ",
    "Backup Server ",
    "backend ",
    "Backend ",
    "Proxy ",
    "Stopping ",
    "Pausing ",
    "Health check for ",
    "Agent check for ",
    "Connect from ",
    "config : ",
];

fn is_about_us(said: &[u8]) -> bool {
    let first = said.split(|byte| *byte == b' ').next().unwrap_or_default();
    let about_server = || first.contains(&b'/') && said[first.len()..].starts_with(b" changed its ");
    STARTS.iter().any(|start| said.starts_with(start.as_bytes())) || about_server()
}

/// `CLIENT:PORT [DATE] FRONTEND/BIND: TEXT`: a connection that ended before it brought a request.
fn is_connection_error(said: &[u8]) -> bool {
    let after_date = || {
        let open = text::find(said, b" [")?;
        let close = text::find(said, b"] ")?;
        time::parse(said.get(open + 2..close)?)?;
        let place = said[close + 2..].split(|byte| *byte == b' ').next()?;
        Some(place.ends_with(b":") && place.contains(&b'/'))
    };
    after_date().unwrap_or(false)
}

/// A server that goes down or comes back.
fn standing(time: Option<Stamp>, said: &[u8]) -> Option<Complaint<'_>> {
    let said = said.strip_prefix(b"Backup ").unwrap_or(said);
    let said = said.strip_prefix(b"Server ")?;
    let end = memchr::memchr(b' ', said)?;
    let (server, state) = (&said[..end], &said[end..]);
    let name = &server[..memchr::memchr(b'/', server)?];
    let (effect, reason) = match () {
        () if state.starts_with(b" is UP") || state.starts_with(b" administratively READY") => {
            (Effect::Up, Reason::open(Cause::Unknown))
        }
        () if state.starts_with(b" is DOWN") => (Effect::Down, down_reason(state)),
        () if state.starts_with(b" is going DOWN for maintenance")
            || state.starts_with(b" was DOWN and now enters maintenance") =>
        {
            (Effect::Down, maintenance_reason(state))
        }
        () => return None,
    };
    Some(Complaint {
        time,
        effect,
        reason,
        backend: server,
        host: b"",
        names: [name, b"", b""],
        join: Join::default(),
    })
}

/// What the health check found. Source: `src/check.c`.
fn down_reason(state: &[u8]) -> Reason {
    let Some(reason) = text::between(state, b" reason: ", b"") else {
        return Reason::open(Cause::NoLiveUpstream);
    };
    let starts = |start: &str| reason.starts_with(start.as_bytes());
    match () {
        () if starts("Layer4 timeout") => Reason::exact(Cause::ConnectTimeout),
        () if starts("Layer4 connection problem") => connection_problem(reason),
        () if starts("Layer6 timeout") => Reason::exact(Cause::TlsTimeout),
        () if starts("Layer6 invalid response") => Reason::one_of(Cause::TlsFailed, ANY_TLS),
        () if starts("Layer7 timeout") => Reason::exact(Cause::ResponseTimeout),
        () if starts("Layer7 invalid response") => Reason::exact(Cause::ResponseMalformed),
        () => Reason::open(Cause::NoLiveUpstream),
    }
}

/// `info: "Connection refused"`: the operating system's word.
fn connection_problem(reason: &[u8]) -> Reason {
    let says = |words: &str| text::has(reason, words);
    match () {
        () if says("refused") => Reason::exact(Cause::ConnectRefused),
        () if says("No route to host") || says("unreachable") => Reason::exact(Cause::ConnectUnreachable),
        () if says("reset by peer") => Reason::exact(Cause::ConnectReset),
        () => Reason::one_of(Cause::ConnectFailed, NO_CONNECT),
    }
}

/// `(DNS timeout status)`: the server's name could not be resolved. Source: `src/server.c`.
fn maintenance_reason(state: &[u8]) -> Reason {
    const UNSPECIFIED: &[Cause] = &[Cause::DnsNodata, Cause::DnsServfail, Cause::DnsMalformed];
    const NO_ADDRESS: &[Cause] = &[Cause::DnsNxdomain, Cause::DnsNodata];
    let why = text::between(state, b" maintenance (", b")").unwrap_or_default();
    match why {
        b"DNS NX status" => Reason::exact(Cause::DnsNxdomain),
        b"DNS timeout status" => Reason::exact(Cause::DnsTimeout),
        b"DNS refused status" => Reason::exact(Cause::DnsRefused),
        b"unspecified DNS error" => Reason::one_of(Cause::DnsFailed, UNSPECIFIED),
        b"No IP for server " => Reason::one_of(Cause::DnsFailed, NO_ADDRESS),
        // By the operator's hand.
        _ => Reason::exact(Cause::ServiceUnavailable),
    }
}
