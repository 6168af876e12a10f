//! What a line says, in one short text, for the tables in which kinds are tested.

use super::Parser;
use crate::exchange::{Effect, Line, Outcome, Reason};
use crate::gateway::Kind;

/// The last of these lines, read with the kind's own formats: `502 bad_gateway`, `200 served`, `- client_closed`,
/// `attempt connect_refused 10.0.0.1:80`, `other`, `foreign`. A `?` follows a cause that may have been another one.
pub(in crate::gateway) fn told(kind: &'static Kind, lines: &str) -> String {
    let mut parser = Parser::new(kind, None).expect("the kind's own formats can be used");
    let mut told = String::new();
    for line in lines.lines() {
        told = match parser.read(line.as_bytes()) {
            Some(line) => say(&line),
            None => "foreign".to_owned(),
        };
    }
    told
}

/// Checks rows of lines and what the last of them says.
pub(in crate::gateway) fn check(kind: &'static Kind, rows: &[(&str, &str)]) {
    for (lines, expected) in rows {
        assert_eq!(told(kind, lines), *expected, "{lines}");
    }
}

fn say(line: &Line<'_>) -> String {
    match line {
        Line::Exchange(exchange) => {
            let status = exchange.status.map_or("-".to_owned(), |status| status.to_string());
            match exchange.outcome {
                Outcome::Served => format!("{status} served"),
                Outcome::ClientClosed => format!("{status} client_closed"),
                Outcome::Failed(reason) => format!("{status} {}", cause(&reason)),
            }
        }
        Line::Complaint(complaint) => {
            let effect = match complaint.effect {
                Effect::Attempt => "attempt",
                Effect::Refused => "refused",
                Effect::Cut => "cut",
                Effect::ClientClosed => return "client_closed".to_owned(),
                Effect::Down => "down",
                Effect::Up => "up",
            };
            let backend = String::from_utf8_lossy(complaint.backend);
            format!("{effect} {} {backend}", cause(&complaint.reason))
                .trim_end()
                .to_owned()
        }
        Line::Other => "other".to_owned(),
    }
}

fn cause(reason: &Reason) -> String {
    let doubt = if reason.candidates.is_empty() { "" } else { "?" };
    format!("{}{doubt}", reason.cause)
}
