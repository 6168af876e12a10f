//! Lines of values between separators: the W3C extended format, and what load balancers in clouds write.
//!
//! A `#Fields:` line says anew which columns follow. A value in quotes holds separators; a quote inside it has a
//! backslash before it. Columns after those that are known are passed over: vendors add new ones at the end.

use super::fields::{Spans, Units};
use super::{Field, Variable};

/// The columns of a log.
#[derive(Debug)]
pub(super) struct Columns {
    separator: u8,
    fields: Vec<Option<Field>>,
    variables: &'static [Variable],
    pub(super) units: Units,
}

/// What a line turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnLine {
    /// Values.
    Values,
    /// A line that begins with `#`.
    Header,
    /// Not of this format.
    Foreign,
}

impl Columns {
    pub(super) fn new(separator: u8, names: &[&str], variables: &'static [Variable]) -> Columns {
        let mut columns = Columns {
            separator,
            fields: Vec::new(),
            variables,
            units: Units::default(),
        };
        columns.set(names.iter().map(|name| name.as_bytes()));
        columns
    }

    fn set<'n>(&mut self, names: impl Iterator<Item = &'n [u8]>) {
        self.fields = names
            .map(|name| {
                let variable = self.variables.iter().find(|known| known.name.as_bytes() == name)?;
                self.units.set(variable.field, variable.unit);
                Some(variable.field)
            })
            .collect();
    }

    /// Where the values of a line lie. A line with fewer columns than known holds what it holds, but at least half.
    pub(super) fn read(&mut self, line: &[u8], spans: &mut Spans) -> ColumnLine {
        spans.clear();
        if let Some(rest) = line.strip_prefix(b"#") {
            if let Some(names) = rest.strip_prefix(b"Fields:") {
                self.set(
                    names
                        .split(|byte| byte.is_ascii_whitespace())
                        .filter(|name| !name.is_empty()),
                );
            }
            return ColumnLine::Header;
        }
        let (mut at, mut columns) = (0, 0);
        for field in &self.fields {
            if at > line.len() {
                break;
            }
            let Some((start, end, next)) = self.column(line, at) else {
                return ColumnLine::Foreign;
            };
            if let Some(field) = field {
                spans.put(*field, start, end);
            }
            at = next;
            columns += 1;
        }
        match columns * 2 > self.fields.len() && columns > 1 {
            true => ColumnLine::Values,
            false => ColumnLine::Foreign,
        }
    }

    /// The value that begins at `at`, and where the next one begins.
    fn column(&self, line: &[u8], at: usize) -> Option<(usize, usize, usize)> {
        let rest = &line[at..];
        if rest.first() == Some(&b'"') {
            let end = memchr::memchr_iter(b'"', &rest[1..]).find(|end| {
                let backslashes = rest[1..=*end].iter().rev().take_while(|byte| **byte == b'\\').count();
                backslashes % 2 == 0
            })?;
            let next = at + end + 2;
            let separated = line.get(next).is_none_or(|byte| *byte == self.separator);
            return separated.then_some((at + 1, at + 1 + end, next + 1));
        }
        let end = memchr::memchr(self.separator, rest).unwrap_or(rest.len());
        Some((at, at + end, at + end + 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::var;
    use super::*;

    const VARIABLES: &[Variable] = &[
        var("time", Field::Time),
        var("elb_status_code", Field::Status),
        var("request", Field::Request),
        var("sc-status", Field::Status),
    ];

    fn columns() -> Columns {
        Columns::new(
            b' ',
            &["type", "time", "elb_status_code", "request", "agent"],
            VARIABLES,
        )
    }

    #[test]
    fn values_by_their_columns() {
        let mut spans = Spans::default();
        let line = br#"http 2026-11-20T10:57:01Z 502 "GET http://a/\" 200 HTTP/1.1" "x y" new columns"#;
        assert_eq!(columns().read(line, &mut spans), ColumnLine::Values);
        assert_eq!(spans.get(line, Field::Status), Some(&b"502"[..]));
        assert_eq!(
            spans.get(line, Field::Request),
            Some(&br#"GET http://a/\" 200 HTTP/1.1"#[..])
        );
        assert_eq!(columns().read(b"one", &mut spans), ColumnLine::Foreign);
        assert_eq!(columns().read(b"a b \"c", &mut spans), ColumnLine::Foreign);
    }

    #[test]
    fn a_header_names_the_columns() {
        let mut columns = Columns::new(b'\t', &["a"], VARIABLES);
        let mut spans = Spans::default();
        assert_eq!(columns.read(b"#Version: 1.0", &mut spans), ColumnLine::Header);
        assert_eq!(
            columns.read(b"#Fields: time sc-status x", &mut spans),
            ColumnLine::Header
        );
        let line = b"2026-11-20\t502\tx";
        assert_eq!(columns.read(line, &mut spans), ColumnLine::Values);
        assert_eq!(spans.get(line, Field::Status), Some(&b"502"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            columns().read(&line, &mut Spans::default());
        }
    }
}
