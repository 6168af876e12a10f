//! One log of one gateway under way: each line to what it says.

use super::columns::{ColumnLine, Columns};
use super::fields::{Fields, Spans, Units};
use super::json::Json;
use super::pattern::Pattern;
use super::syntax::{FormatError, haproxy_json, tokens};
use super::time::LastTime;
use super::{ErrorLine, Field, Layout, Logs, Memory, Syntax, Unit, text};
use crate::exchange::Line;
use crate::gateway::Kind;

/// Reads the lines of one log. Access and error lines may stand in the same log, as containers write them.
#[derive(Debug)]
pub struct Parser {
    logs: Option<&'static Logs>,
    formats: Vec<Compiled>,
    /// The reader that knew the last line is asked first: a format, or after them the error lines.
    first: usize,
    spans: Spans,
    clock: LastTime,
    memory: Memory,
}

#[derive(Debug)]
struct Compiled {
    name: &'static str,
    layout: CompiledLayout,
}

#[derive(Debug)]
enum CompiledLayout {
    Pattern(Pattern),
    Json(Json),
    Columns(Columns),
}

impl Parser {
    /// For logs of that kind: in this format, or in any the kind is known to write.
    ///
    /// # Errors
    /// A format string that cannot be used, with the place.
    pub fn new(kind: &'static Kind, format: Option<&str>) -> Result<Parser, FormatError> {
        let mut parser = Parser {
            logs: kind.logs,
            formats: Vec::new(),
            first: 0,
            spans: Spans::default(),
            clock: LastTime::default(),
            memory: Memory::default(),
        };
        let Some(logs) = kind.logs else {
            return match format {
                None => Ok(parser),
                Some(_) => Err(FormatError {
                    at: 1,
                    message: format!("logs of kind {} are not read", kind.name),
                }),
            };
        };
        match format {
            Some(format) => parser.formats.push(configured(kind, logs, format)?),
            None => {
                for format in logs.formats {
                    parser.formats.push(Compiled {
                        name: format.name,
                        layout: known(logs, &format.layout)?,
                    });
                }
            }
        }
        Ok(parser)
    }

    /// What a line says; `None` where it is no line of this log. A syslog header before it is passed over.
    #[inline]
    pub fn read<'l>(&'l mut self, line: &'l [u8]) -> Option<Line<'l>> {
        self.read_with(self.logs?, line, text::after_syslog_header)
    }

    /// A line that is of no format is read again with what stands before it taken off by `unwrap`. A request is large: it
    /// is returned the moment it is made, and not moved on the way.
    fn read_with<'l>(
        &'l mut self,
        logs: &'static Logs,
        line: &'l [u8],
        unwrap: fn(&'l [u8]) -> Option<&'l [u8]>,
    ) -> Option<Line<'l>> {
        let readers = self.formats.len() + 1;
        for turn in 0..readers {
            let reader = match self.first + turn {
                reader if reader < readers => reader,
                reader => reader - readers,
            };
            let Some(format) = self.formats.get_mut(reader) else {
                match logs.errors.map(|errors| errors(&mut self.memory, line)) {
                    Some(ErrorLine::Complaint(mut complaint)) => {
                        self.first = reader;
                        self.memory.about.complete(&mut complaint);
                        return Some(Line::Complaint(complaint));
                    }
                    Some(ErrorLine::Other) => {
                        self.first = reader;
                        return Some(Line::Other);
                    }
                    Some(ErrorLine::Foreign) | None => continue,
                }
            };
            match format.split(line, &mut self.spans) {
                Split::Foreign => {}
                Split::Header => {
                    self.first = reader;
                    return Some(Line::Other);
                }
                Split::Values => {
                    let fields = Fields {
                        line,
                        spans: &self.spans,
                        units: format.units(),
                        clock: &self.clock,
                    };
                    if let Some(exchange) = (logs.exchange)(&fields) {
                        self.first = reader;
                        return Some(Line::Exchange(exchange));
                    }
                }
            }
        }
        self.read_with(logs, unwrap(line)?, |_| None)
    }

    /// The name of the format the last line had; `error` for lines of the error log.
    pub fn format(&self) -> &'static str {
        self.formats.get(self.first).map_or("error", |format| format.name)
    }

    /// Takes a line apart without judging it: each field with its value, for people who check a format.
    pub fn fields<'l>(&mut self, line: &'l [u8]) -> Option<Vec<(Field, &'l [u8])>> {
        for format in &mut self.formats {
            if format.split(line, &mut self.spans) == Split::Values {
                let fields = Field::ALL
                    .iter()
                    .filter(|field| !matches!(field, Field::Own | Field::Text))
                    .filter_map(|field| Some((*field, self.spans.get(line, *field)?)));
                return Some(fields.collect());
            }
        }
        None
    }
}

fn known(logs: &'static Logs, layout: &Layout) -> Result<CompiledLayout, FormatError> {
    Ok(match layout {
        Layout::Pattern(format) => {
            let syntax = logs.syntax.unwrap_or(Syntax::Dollar);
            CompiledLayout::Pattern(Pattern::new(syntax, format, logs.variables)?)
        }
        Layout::Json(keys) => CompiledLayout::Json(Json::new(keys)),
        Layout::Columns { separator, names } => {
            CompiledLayout::Columns(Columns::new(*separator, names, logs.variables))
        }
    })
}

/// A format string out of a configuration file, or the name of a format the kind writes.
fn configured(kind: &Kind, logs: &'static Logs, format: &str) -> Result<Compiled, FormatError> {
    if let Some(named) = logs.formats.iter().find(|known| known.name == format.trim()) {
        return Ok(Compiled {
            name: named.name,
            layout: known(logs, &named.layout)?,
        });
    }
    let names: Vec<_> = logs.formats.iter().map(|known| known.name).collect();
    let Some(syntax) = logs.syntax else {
        return Err(FormatError {
            at: 1,
            message: format!(
                "{} has no format strings; its formats are: {}",
                kind.name,
                names.join(", ")
            ),
        });
    };
    let field_of = |text: &str| -> Option<(Field, Unit)> {
        let (tokens, _) = tokens(syntax, text).ok()?;
        match tokens.as_slice() {
            [super::syntax::Token::Variable { name, .. }] => {
                let known = logs.variables.iter().find(|variable| variable.name == name);
                known.map(|variable| (variable.field, variable.unit))
            }
            _ => None,
        }
    };
    let no_status = || FormatError {
        at: 1,
        message: format!(
            "no variable of {} gives the status the client got; known formats: {}",
            kind.name,
            names.join(", ")
        ),
    };
    let encoded = match syntax {
        Syntax::Haproxy => haproxy_json(format)?,
        _ => None,
    };
    let layout = match (encoded, Json::from_format(format, field_of)) {
        (Some(named), _) => {
            let known = |(name, variable): &'_ (String, String)| {
                let known = logs.variables.iter().find(|known| known.name == variable)?;
                Some((name.clone(), known.field, known.unit))
            };
            let keys: Vec<_> = named.iter().filter_map(known).collect();
            if !keys.iter().any(|(_, field, _)| *field == Field::Status) {
                return Err(no_status());
            }
            CompiledLayout::Json(Json::named(
                keys.iter().map(|(name, field, unit)| (name.as_str(), *field, *unit)),
            ))
        }
        (None, Some(json)) => CompiledLayout::Json(json),
        (None, None) => {
            let pattern = Pattern::new(syntax, format, logs.variables)?;
            if !pattern.has(Field::Status) {
                return Err(no_status());
            }
            CompiledLayout::Pattern(pattern)
        }
    };
    Ok(Compiled {
        name: "configured",
        layout,
    })
}

/// Whether a line could be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    Values,
    Header,
    Foreign,
}

impl Compiled {
    fn split(&mut self, line: &[u8], spans: &mut Spans) -> Split {
        let is_of_format = match &mut self.layout {
            CompiledLayout::Pattern(pattern) => pattern.read(line, spans),
            CompiledLayout::Json(json) => json.read(line, spans),
            CompiledLayout::Columns(columns) => {
                return match columns.read(line, spans) {
                    ColumnLine::Values => Split::Values,
                    ColumnLine::Header => Split::Header,
                    ColumnLine::Foreign => Split::Foreign,
                };
            }
        };
        match is_of_format {
            true => Split::Values,
            false => Split::Foreign,
        }
    }

    fn units(&self) -> &Units {
        match &self.layout {
            CompiledLayout::Pattern(pattern) => &pattern.units,
            CompiledLayout::Json(json) => &json.units,
            CompiledLayout::Columns(columns) => &columns.units,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Variable;
    use super::*;
    use crate::exchange::Outcome;
    use crate::gateway::KINDS;

    fn read_kinds() -> impl Iterator<Item = (&'static Kind, &'static Logs)> {
        KINDS.iter().filter_map(|kind| Some((*kind, kind.logs?)))
    }

    #[test]
    fn every_kind_reads_its_own_formats() {
        for (kind, logs) in read_kinds() {
            assert!(Parser::new(kind, None).is_ok(), "{}", kind.name);
            for format in logs.formats {
                assert!(
                    Parser::new(kind, Some(format.name)).is_ok(),
                    "{} {}",
                    kind.name,
                    format.name
                );
            }
            assert!(!logs.causes.is_empty(), "{}", kind.name);
            assert!(logs.tells.ends_with('.') && logs.silent.ends_with('.'), "{}", kind.name);
            let mut names: Vec<&str> = logs.variables.iter().map(|Variable { name, .. }| *name).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "{}: a variable stands twice", kind.name);
        }
    }

    #[test]
    fn mistakes_in_formats_are_named() {
        let nginx = crate::gateway::kind("nginx").unwrap();
        for (format, at, says) in [
            ("$remote_addr $request_time", 1, "no variable"),
            ("$status$upstream_status", 8, "nothing stands between"),
            ("$status ${", 9, "does not end"),
        ] {
            let error = Parser::new(nginx, Some(format)).unwrap_err();
            assert!(error.at == at && error.message.contains(says), "{format}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// No line makes a parser fail, or say more than the line holds.
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            text in "[ -~]{0,300}",
        ) {
            for (kind, _) in read_kinds() {
                let mut parser = Parser::new(kind, None).unwrap();
                for line in [bytes.as_slice(), text.as_bytes()] {
                    match parser.read(line) {
                        Some(Line::Exchange(exchange)) => {
                            prop_assert!(exchange.attempts.len() <= line.len());
                            prop_assert!(exchange.target.len() <= line.len());
                            if let Outcome::Failed(reason) = exchange.outcome {
                                prop_assert!(reason.cause.label().len() > 2);
                            }
                        }
                        Some(Line::Complaint(complaint)) => prop_assert!(complaint.backend.len() <= line.len()),
                        Some(Line::Other) | None => {}
                    }
                }
            }
        }
    }
}
