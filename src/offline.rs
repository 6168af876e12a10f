//! Whole logs read at once: what `badgateway logs` shows. The same parsers and the same joining as for logs that are
//! followed; access and error lines are brought together by their own times.

mod lines;
mod report;

use std::io::Read;
use std::time::Duration;

pub use lines::{Lines, MAX_LINE};
pub(crate) use report::status_label;
pub use report::{Failure, Report, Sample};

use crate::exchange::{Line, Stamp};
use crate::gateway::Kind;
use crate::gateway::log::{FormatError, Parser};
use crate::traffic::{Patience, Routes, Sources, Traffic};

/// Error lines are read that far ahead of the access lines, milliseconds of log time.
const AHEAD: i64 = 2_000;
/// So many error lines may wait before their times matter: small logs need not be in order.
const WAITING: usize = 50_000;

/// One log to read.
pub struct Input {
    /// Where its bytes come from, unpacked.
    pub from: Box<dyn Read>,
}

/// The logs of one gateway.
pub struct Inputs {
    /// Its kind.
    pub kind: &'static Kind,
    /// The format of its access log; any the kind writes where `None`.
    pub format: Option<String>,
    /// Access logs, or logs that hold both kinds of line.
    pub access: Vec<Input>,
    /// Error logs.
    pub errors: Vec<Input>,
}

/// Reads everything and counts it.
///
/// # Errors
/// A format that cannot be used. What cannot be read of a log ends that log and stands in the report.
pub fn analyse(inputs: Inputs) -> Result<Report, FormatError> {
    let mut parser = Parser::new(inputs.kind, inputs.format.as_deref())?;
    let sources = Sources {
        access: !inputs.access.is_empty(),
        errors: true,
    };
    let mut run = Run {
        traffic: Traffic::new(Routes::default(), sources, Patience::OFFLINE),
        report: Report::new(inputs.kind.name),
    };
    let mut errors = Errors {
        parser: Parser::new(inputs.kind, None)?,
        logs: inputs.errors.into_iter().map(|input| Lines::new(input.from)).collect(),
        last: None,
    };
    for input in inputs.access {
        let mut lines = Lines::new(input.from);
        while let Some(line) = lines.next() {
            match &parser.read(line) {
                Some(read) => {
                    if let Line::Exchange(exchange) = read
                        && !errors.logs.is_empty()
                    {
                        errors.read_up_to(exchange.time, &mut run);
                    }
                    run.line(read);
                }
                None => run.report.unparsed(line),
            }
        }
        run.report.ended(&lines);
    }
    errors.read_up_to(None, &mut run);
    run.traffic.finish(&mut run.report);
    Ok(run.report)
}

struct Run {
    traffic: Traffic,
    report: Report,
}

impl Run {
    fn line(&mut self, line: &Line<'_>) {
        self.report.parsed += 1;
        match line {
            Line::Exchange(exchange) => self.traffic.exchange(exchange, Duration::ZERO, &mut self.report),
            Line::Complaint(complaint) => self.traffic.complaint(complaint, Duration::ZERO, &mut self.report),
            Line::Other => {}
        }
    }
}

/// Error logs, read alongside the access logs.
struct Errors {
    parser: Parser,
    logs: Vec<Lines>,
    last: Option<Stamp>,
}

impl Errors {
    /// Reads on until the error log is past this time, or to its end.
    fn read_up_to(&mut self, time: Option<Stamp>, run: &mut Run) {
        while let Some(log) = self.logs.first_mut() {
            let ahead = match (time, self.last) {
                (Some(time), Some(last)) => last.millis > time.millis + AHEAD,
                _ => false,
            };
            if ahead && run.traffic.waiting_complaints() >= WAITING {
                return;
            }
            let Some(line) = log.next() else {
                let log = self.logs.remove(0);
                run.report.ended(&log);
                continue;
            };
            match &self.parser.read(line) {
                Some(read) => {
                    if let Line::Complaint(complaint) = read {
                        self.last = complaint.time.or(self.last);
                    }
                    run.line(read);
                }
                None => run.report.unparsed(line),
            }
        }
    }
}
