//! A format string, compiled once: each line is passed over from literal to literal, and nothing is allocated.
//!
//! Text from clients must not become another field. What keeps it in its place:
//!
//! 1. Between quotes of the format, a value ends at the first quote that the gateway did not escape.
//! 2. A value outside quotes that a client can write ends at the next literal; the gateway's own values after it hold
//!    neither blanks, quotes nor brackets, so a forged one does not fit. Then the line is read from its end instead.
//! 3. Where the gateway escapes nothing, or two such values share a stretch between quotes, the line is read from both
//!    ends, and counts only if both say the same.

use super::bytes::{first, holds};
use super::fields::{Class, Spans, Units};
use super::syntax::{Escape, FormatError, Syntax, Token, tokens};
use super::{Field, Variable};

/// A compiled format string.
#[derive(Debug)]
pub(super) struct Pattern {
    start: Box<[u8]>,
    steps: Box<[Step]>,
    escape: Escape,
    /// Both ends must say the same.
    both: bool,
    pub(super) units: Units,
}

/// A value and what follows it.
#[derive(Debug)]
struct Step {
    field: Field,
    until: Literal,
    end: End,
    padded: bool,
    /// Something a client can write stands outside quotes on the same stretch between two of them, or the line is read
    /// from both ends.
    checked: bool,
}

/// Where a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At the first quote the gateway did not escape.
    Quote,
    /// With the line, but for what follows the value.
    Line,
    /// Where what follows stands first, outside of a list.
    List,
    /// Where what follows stands first.
    First,
}

/// Text between two values. Most is shorter than a word of the machine and compared as one.
#[derive(Debug, Default)]
struct Literal {
    bytes: Box<[u8]>,
    initial: u8,
    word: u64,
    mask: u64,
}

impl Literal {
    fn new(text: String) -> Literal {
        let bytes = text.into_bytes();
        let mut word = [0; 8];
        let length = bytes.len().min(8);
        word[..length].copy_from_slice(&bytes[..length]);
        Literal {
            initial: word[0],
            word: u64::from_le_bytes(word),
            mask: match length {
                8 => u64::MAX,
                length => (1 << (length * 8)) - 1,
            },
            bytes: bytes.into(),
        }
    }

    /// Whether `text` begins with it.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        match text.first_chunk::<8>() {
            Some(first) if u64::from_le_bytes(*first) & self.mask == self.word => {
                self.bytes.len() <= 8 || text.starts_with(&self.bytes)
            }
            Some(_) => false,
            None => text.starts_with(&self.bytes),
        }
    }

    /// Where it stands first in `text`, of the places that are `right`.
    #[inline]
    fn find(&self, text: &[u8], right: impl Fn(usize) -> bool) -> Option<usize> {
        let mut from = 0;
        loop {
            let at = from + first(self.initial, &text[from..])?;
            if self.begins(&text[at..]) && right(at) {
                return Some(at);
            }
            from = at + 1;
        }
    }
}

impl Pattern {
    /// Compiles a format string.
    ///
    /// # Errors
    /// A format whose lines could be read in more than one way, with the place.
    pub(super) fn new(syntax: Syntax, format: &str, variables: &[Variable]) -> Result<Pattern, FormatError> {
        let (tokens, escape) = tokens(syntax, format)?;
        let mut pattern = Pattern {
            start: Box::default(),
            steps: Box::default(),
            escape,
            both: escape == Escape::Raw,
            units: Units::default(),
        };
        let mut steps: Vec<Step> = Vec::new();
        let mut places = Vec::new();
        for token in tokens {
            match token {
                Token::Literal(text) => match steps.last_mut() {
                    Some(step) => step.until = Literal::new(text),
                    None => pattern.start = text.into_bytes().into(),
                },
                Token::Variable { name, at, padded } => {
                    let known = find(variables, &name);
                    let field = known.map_or(Field::Text, |variable| variable.field);
                    match steps.last_mut() {
                        // Two values side by side are one that nobody can take apart.
                        Some(step) if step.until.bytes.is_empty() => {
                            // Both lists of captured headers have the same form.
                            if step.field == Field::Captures && field == Field::Captures {
                                continue;
                            }
                            if matters(step.field) || matters(field) {
                                return Err(FormatError {
                                    at,
                                    message: format!(
                                        "nothing stands between {name} and the variable before it; write a blank or a quote there"
                                    ),
                                });
                            }
                            step.field = Field::Text;
                        }
                        _ => {
                            places.push((at, name));
                            pattern
                                .units
                                .set(field, known.map(|variable| variable.unit).unwrap_or_default());
                            steps.push(Step {
                                field,
                                until: Literal::default(),
                                end: End::Line,
                                padded,
                                checked: false,
                            });
                        }
                    }
                }
            }
        }
        if steps.is_empty() {
            return Err(FormatError {
                at: 1,
                message: "the format has no variable".to_owned(),
            });
        }
        let last = steps.len() - 1;
        for (number, step) in steps.iter_mut().enumerate() {
            step.end = match &*step.until.bytes {
                [b'"', ..] if escape != Escape::Raw => End::Quote,
                _ if number == last => End::Line,
                _ if step.field.class() == Class::List => End::List,
                _ => End::First,
            };
        }
        pattern.steps = steps.into();
        pattern.judge(&places)?;
        if pattern.both {
            pattern.steps.iter_mut().for_each(|step| step.checked = true);
        }
        Ok(pattern)
    }

    /// Finds out how much of a line a client can write outside quotes.
    fn judge(&mut self, places: &[(usize, String)]) -> Result<(), FormatError> {
        if self.escape == Escape::Raw {
            return Ok(());
        }
        let mut open = ends_in_quote(&self.start);
        let mut stretch = 0;
        let mut foreign_here: Option<usize> = None;
        for number in 0..self.steps.len() {
            let step = &self.steps[number];
            let in_quotes = open && step.until.bytes.starts_with(b"\"");
            if !in_quotes && step.field.class() == Class::Foreign {
                if let Some(before) = foreign_here {
                    let between = &self.steps[before..number];
                    let only_blanks = |step: &Step| step.until.bytes.iter().all(|byte| *byte == b' ');
                    if between.iter().any(only_blanks) {
                        let (at, name) = &places[number];
                        return Err(FormatError {
                            at: *at,
                            message: format!(
                                "{name} and {} may both hold blanks, and only blanks stand between them; put quotes around them",
                                places[before].1
                            ),
                        });
                    }
                    self.both = true;
                }
                foreign_here = Some(number);
            }
            open = ends_in_quote(&step.until.bytes);
            let stretch_ends = step.until.bytes.contains(&b'"') || number + 1 == self.steps.len();
            if stretch_ends {
                let captures = |step: &Step| step.field.class() == Class::Captures;
                let checked = foreign_here.take().is_some() || self.steps[stretch..=number].iter().any(captures);
                self.steps[stretch..=number]
                    .iter_mut()
                    .for_each(|step| step.checked = checked);
                stretch = number + 1;
            }
        }
        Ok(())
    }

    /// True where some variable of the format means this.
    pub(super) fn has(&self, field: Field) -> bool {
        self.steps.iter().any(|step| step.field == field)
    }

    /// Where the values of a line lie; false where the line is not of this format.
    pub(super) fn read(&self, line: &[u8], spans: &mut Spans) -> bool {
        if self.both {
            let mut from_end = Spans::default();
            return self.forward(line, spans) && self.backward(line, &mut from_end) && spans.agree(&from_end);
        }
        self.forward(line, spans) || (self.steps.iter().any(|step| step.checked) && self.backward(line, spans))
    }

    fn forward(&self, line: &[u8], spans: &mut Spans) -> bool {
        spans.clear();
        if !self.start.is_empty() && !line.starts_with(&self.start) {
            return false;
        }
        let mut rest = &line[self.start.len()..];
        for step in &self.steps {
            if step.padded {
                rest = &rest[rest.iter().take_while(|byte| **byte == b' ').count()..];
            }
            let Some(length) = self.end(rest, step) else {
                return false;
            };
            if step.checked && !fits(step.field, &rest[..length]) {
                return false;
            }
            let at = line.len() - rest.len();
            spans.put(step.field, at, at + length);
            rest = &rest[length + step.until.bytes.len()..];
        }
        rest.is_empty()
    }

    /// How long the value at the beginning of `rest` is.
    #[inline]
    fn end(&self, rest: &[u8], step: &Step) -> Option<usize> {
        let until = &step.until;
        match step.end {
            End::Quote => quote(rest, self.escape).filter(|at| until.begins(&rest[*at..])),
            End::Line => Some(rest.strip_suffix(&*until.bytes)?.len()),
            End::List => until.find(rest, |at| !is_within_list(rest, at)),
            End::First => until.find(rest, |_| true),
        }
    }

    fn backward(&self, line: &[u8], spans: &mut Spans) -> bool {
        spans.clear();
        let mut end = line.len();
        for (number, step) in self.steps.iter().enumerate().rev() {
            if !line[..end].ends_with(&step.until.bytes) {
                return false;
            }
            end -= step.until.bytes.len();
            let before = match number {
                0 => &*self.start,
                number => &*self.steps[number - 1].until.bytes,
            };
            let start = match number {
                0 => match end >= before.len() && line.starts_with(before) {
                    true => before.len(),
                    false => return false,
                },
                _ => {
                    let is_list = step.field.class() == Class::List;
                    let begins = |at: &usize| {
                        line[*at..].starts_with(before) && !(is_list && is_within_list(line, *at + before.len() - 1))
                    };
                    let starts = memchr::memrchr_iter(before[0], &line[..(end + 1).saturating_sub(before.len())]);
                    match starts.into_iter().find(begins) {
                        Some(at) => at + before.len(),
                        None => return false,
                    }
                }
            };
            let padding = match step.padded {
                true => line[start..end].iter().take_while(|byte| **byte == b' ').count(),
                false => 0,
            };
            let value = &line[start + padding..end];
            // Where the gateway escapes quotes, none stands inside a value.
            let holds_quote = self.escape != Escape::Raw && quote(value, self.escape).is_some();
            if holds_quote || !fits(step.field, value) {
                return false;
            }
            // Of two values with one meaning the last one counts, from either end.
            if !spans.has(step.field) {
                spans.put(step.field, start + padding, end);
            }
            let filling = match step.padded && before.ends_with(b" ") {
                true => line[..start - 1].iter().rev().take_while(|byte| **byte == b' ').count(),
                false => 0,
            };
            end = start - filling;
        }
        true
    }
}

/// What a variable of that name means; the arguments of a function count only where they are listed.
fn find<'v>(variables: &'v [Variable], name: &str) -> Option<&'v Variable> {
    let exact = variables.iter().find(|variable| variable.name == name);
    let of_function = || {
        let function = name.split('(').next()?;
        (function != name)
            .then(|| variables.iter().find(|variable| variable.name == function))
            .flatten()
    };
    exact.or_else(of_function)
}

/// Whether the blank at this place stands between two items of a list, `a, b` or `a : b`, and not after it.
#[inline]
fn is_within_list(text: &[u8], at: usize) -> bool {
    let is = |place: usize, byte: u8| text.get(place) == Some(&byte);
    let after_comma = at > 0 && is(at - 1, b',');
    let before_colon = is(at + 1, b':') && is(at + 2, b' ');
    let after_colon = at > 1 && is(at - 1, b':') && is(at - 2, b' ') && at + 1 < text.len();
    is(at, b' ') && (after_comma || before_colon || after_colon)
}

/// Whether a request cannot be judged without this value.
fn matters(field: Field) -> bool {
    field == Field::Status || field == Field::State || field.class() == Class::List
}

fn ends_in_quote(literal: &[u8]) -> bool {
    literal.ends_with(b"\"")
}

/// Where the first quote stands that the gateway did not escape.
#[inline]
fn quote(text: &[u8], escape: Escape) -> Option<usize> {
    let at = first(b'"', text)?;
    let is_escaped = escape == Escape::Backslash && at > 0 && text[at - 1] == b'\\';
    match is_escaped {
        true => bare_quote(text),
        false => Some(at),
    }
}

/// Where the first quote stands that has no backslash before it, but for those that stand for themselves.
#[cold]
fn bare_quote(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'"', text).find(|at| {
        let backslashes = text[..*at].iter().rev().take_while(|byte| **byte == b'\\').count();
        backslashes % 2 == 0
    })
}

/// Whether a gateway could have written this value into that field.
#[inline]
fn fits(field: Field, value: &[u8]) -> bool {
    match field.class() {
        Class::Token => !holds(value, *b" \""),
        Class::Time => !holds(value, *b"[]\""),
        Class::List => !holds(value, *b"\""),
        Class::Captures => are_captures(value),
        Class::Phrase | Class::Foreign => true,
    }
}

/// Nothing, `{…} ` or `{…} {…} `: HAProxy writes braces inside as `#7B`. A cookie that was captured is written as it
/// came, so what a client forges there pushes the true rest of the line to this place.
fn are_captures(value: &[u8]) -> bool {
    let value = value.strip_suffix(b" ").unwrap_or(value);
    if value.is_empty() {
        return true;
    }
    let Some(inner) = value.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")) else {
        return false;
    };
    let braces = inner.iter().filter(|byte| matches!(byte, b'{' | b'}')).count();
    match memchr::memmem::find(inner, b"} {") {
        Some(_) => braces == 2,
        None => braces == 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Unit, var, var_in};
    use super::*;

    const VARIABLES: &[Variable] = &[
        var("addr", Field::Client),
        var("user", Field::Text),
        var("time", Field::Time),
        var("request", Field::Request),
        var("status", Field::Status),
        var("agent", Field::Agent),
        var("host", Field::Host),
        var("scheme", Field::Own),
        var_in("rt", Field::Duration, Unit::Seconds),
        var("ua", Field::Backends),
    ];

    fn value<'l>(format: &str, line: &'l str, field: Field) -> Option<&'l str> {
        let pattern = Pattern::new(Syntax::Dollar, format, VARIABLES).unwrap();
        let mut spans = Spans::default();
        pattern
            .read(line.as_bytes(), &mut spans)
            .then(|| spans.get(line.as_bytes(), field))
            .flatten()
            .map(|value| std::str::from_utf8(value).unwrap())
    }

    const COMBINED: &str = "$addr - $user [$time] \"$request\" $status \"$agent\" ua=\"$ua\" rt=$rt";

    #[test]
    fn values_of_a_line() {
        let line = r#"::1 - - [20/Nov/2026:10:57:01 +0000] "GET / HTTP/1.1" 502 "curl" ua="a:1, b:2" rt=0.1"#;
        for (field, expected) in [
            (Field::Client, "::1"),
            (Field::Time, "20/Nov/2026:10:57:01 +0000"),
            (Field::Request, "GET / HTTP/1.1"),
            (Field::Status, "502"),
            (Field::Backends, "a:1, b:2"),
            (Field::Duration, "0.1"),
        ] {
            assert_eq!(value(COMBINED, line, field), Some(expected), "{field:?}");
        }
        assert_eq!(value(COMBINED, "::1 - - [", Field::Client), None);
    }

    #[test]
    fn values_filled_up_to_a_width() {
        let variables = [
            var("ts", Field::Time),
            var("tr", Field::Duration),
            var(">Hs", Field::Status),
        ];
        let pattern = Pattern::new(Syntax::Squid, "%ts %6tr %>a %03>Hs", &variables).unwrap();
        let mut spans = Spans::default();
        for line in ["1795172720      0 ::1 502", "1795172720 123456 ::1 502"] {
            assert!(pattern.read(line.as_bytes(), &mut spans), "{line}");
            assert_eq!(spans.get(line.as_bytes(), Field::Status), Some(&b"502"[..]));
        }
    }

    #[test]
    fn lists_outside_quotes() {
        let line = "a:1, b:2 : c:3 502 /x";
        assert_eq!(
            value("$ua $status $user", line, Field::Backends),
            Some("a:1, b:2 : c:3")
        );
        assert_eq!(value("$ua $status $user", line, Field::Status), Some("502"));
        let from_end = "u=x y h=z ua= a:1, b:2 200";
        assert_eq!(
            value("u=$user h=$host ua= $ua $status", from_end, Field::Backends),
            Some("a:1, b:2")
        );
    }

    #[test]
    fn a_client_cannot_forge_a_field() {
        // A user name with what looks like the rest of a line; the gateway writes its quotes as \x22.
        let forged = r#"::1 - x [20/Nov/2026:10:57:01 +0000] \x22GET / [20/Nov/2026:10:57:01 +0000] "GET /a\" 200 \"x HTTP/1.1" 502 "-" ua="-" rt=1"#;
        assert_eq!(value(COMBINED, forged, Field::Status), Some("502"));
        assert_eq!(
            value(COMBINED, forged, Field::Request),
            Some(r#"GET /a\" 200 \"x HTTP/1.1"#)
        );
        // Nothing is escaped: a line that can be read in two ways is not read at all.
        let twice = "escape=none $status $scheme \"$request\" $scheme $status";
        assert_eq!(
            value(twice, "200 http \"GET /\"a\" https 502", Field::Status),
            Some("502")
        );
        let raw = format!("escape=none {COMBINED}");
        let honest = r#"::1 - - [20/Nov/2026:10:57:01 +0000] "GET /"a HTTP/1.1" 502 "-" ua="-" rt=1"#;
        assert_eq!(value(&raw, honest, Field::Status), Some("502"));
        let forged = r#"::1 - - [20/Nov/2026:10:57:01 +0000] "GET /" 200 "x HTTP/1.1" 502 "-" ua="-" rt=1"#;
        assert_eq!(value(&raw, forged, Field::Status), None);
    }

    #[test]
    fn captured_headers_hold_no_forged_rest_of_a_line() {
        for (value, fits) in [
            ("", true),
            ("{} ", true),
            ("{curl|q#22x #7By#7D} {} ", true),
            ("{a} {b}", true),
            ("{ - SC-- 1/1 {curl} {} ", false),
            ("{} - SC-- 1/1 {curl} ", false),
            ("{a} {b} {c} ", false),
            ("- ---- 0/0 ", false),
        ] {
            assert_eq!(are_captures(value.as_bytes()), fits, "{value}");
        }
    }

    #[test]
    fn formats_that_can_be_read_in_two_ways_are_refused() {
        for (format, at) in [("$status$rt", 8), ("$user $host $status", 7)] {
            let error = Pattern::new(Syntax::Dollar, format, VARIABLES).unwrap_err();
            assert_eq!(error.at, at, "{format}: {error}");
        }
        assert_eq!(
            value("$scheme$host $status", "httpsexample.org 200", Field::Status),
            Some("200")
        );
        assert_eq!(
            value("u=$user h=$host $status", "u=a b h=c 200", Field::Status),
            Some("200")
        );
        assert_eq!(
            value("u=$user h=$host s=$status", "u=a h=b s=200 h=c s=502", Field::Status),
            None
        );
    }

    proptest! {
        #[test]
        fn no_user_name_and_no_request_changes_the_status(user in "[^\"\\\\]{0,60}", request in "\\PC{0,60}") {
            let request = request.replace('\\', "\\x5C").replace('"', "\\x22");
            let line = format!("::1 - {user} [20/Nov/2026:10:57:01 +0000] \"{request}\" 502 \"-\" ua=\"-\" rt=1");
            prop_assert_eq!(value(COMBINED, &line, Field::Status), Some("502"));
        }

        #[test]
        fn any_bytes_are_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in [COMBINED, "escape=none $user [$time] $status", "u=$user h=$host s=$status"] {
                let pattern = Pattern::new(Syntax::Dollar, format, VARIABLES).unwrap();
                let mut spans = Spans::default();
                if pattern.read(&line, &mut spans) {
                    for field in Field::ALL {
                        prop_assert!(spans.get(&line, *field).is_none_or(|value| value.len() <= line.len()));
                    }
                }
            }
        }
    }
}
