//! The syntax of HAProxy configuration: lines of words, with quotes, escapes and comments. It knows no keyword.
//!
//! Source: HAProxy, `doc/configuration.txt`, 2.2. Variables of the environment are HAProxy's own and stay as they are
//! written, always with braces.

use std::sync::Arc;

use crate::gateway_config::Broken;

/// Words of one line; HAProxy refuses more.
const MAX_WORDS: usize = 64;

/// A line that is not empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// Quotes and escapes undone; never empty.
    pub words: Vec<String>,
}

impl Line {
    /// The word at that place, `""` beyond the last.
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// The words from that place on.
    pub fn from(&self, at: usize) -> &[String] {
        self.words.get(at..).unwrap_or_default()
    }
}

/// The lines of a text, one by one.
pub fn lines<'a>(text: &'a str, file: &'a Arc<str>) -> impl Iterator<Item = Result<Line, Broken>> + 'a {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(move |(index, line)| {
        let problem = |column: usize, message: &str| Broken {
            file: file.clone(),
            line: index + 1,
            column,
            message: message.into(),
        };
        let mut words = Words {
            rest: line,
            line,
            words: Vec::new(),
        };
        match words.read() {
            Err(column) => Err(problem(column, "the quote is not closed")),
            Ok(()) if words.words.len() > MAX_WORDS => Err(problem(0, "the line has more than 64 words")),
            Ok(()) => Ok(Line {
                number: index + 1,
                words: words.words,
            }),
        }
    });
    lines.filter(|line| !matches!(line, Ok(line) if line.words.is_empty()))
}

struct Words<'a> {
    rest: &'a str,
    line: &'a str,
    words: Vec<String>,
}

impl Words<'_> {
    /// Takes the line apart; an error is the column of a quote that is not closed.
    fn read(&mut self) -> Result<(), usize> {
        let mut word: Option<String> = None;
        while let Some(next) = self.next() {
            match next {
                '#' => break,
                next if next.is_whitespace() => self.words.extend(word.take()),
                '"' => self.weak(word.get_or_insert_default())?,
                '\'' => self.strong(word.get_or_insert_default())?,
                '\\' => self.escape(word.get_or_insert_default()),
                '$' => self.variable(word.get_or_insert_default()),
                next => word.get_or_insert_default().push(next),
            }
            if self.words.len() > MAX_WORDS {
                return Ok(());
            }
        }
        self.words.extend(word);
        Ok(())
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn column(&self) -> usize {
        self.line[..self.line.len() - self.rest.len()].chars().count()
    }

    fn weak(&mut self, word: &mut String) -> Result<(), usize> {
        let open = self.column();
        loop {
            match self.next().ok_or(open)? {
                '"' => return Ok(()),
                '\\' => self.escape(word),
                '$' => self.variable(word),
                next => word.push(next),
            }
        }
    }

    fn strong(&mut self, word: &mut String) -> Result<(), usize> {
        let open = self.column();
        loop {
            match self.next().ok_or(open)? {
                '\'' => return Ok(()),
                next => word.push(next),
            }
        }
    }

    fn escape(&mut self, word: &mut String) {
        match self.next() {
            Some('n') => word.push('\n'),
            Some('r') => word.push('\r'),
            Some('t') => word.push('\t'),
            Some('x') => {
                let digits = self
                    .rest
                    .get(..2)
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                match digits {
                    Some(byte) => {
                        self.rest = &self.rest[2..];
                        word.push(char::from(byte));
                    }
                    None => word.push_str("\\x"),
                }
            }
            Some(other) => word.push(other),
            None => word.push('\\'),
        }
    }

    /// `$NAME` and `${NAME}` become `${NAME}`.
    fn variable(&mut self, word: &mut String) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let length = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(length);
            word.push_str(&format!("${{{name}}}"));
            self.rest = rest;
        } else {
            word.push('$');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_escapes_and_comments() {
        for (text, expected) in [
            ("a b\tc # d", "<a><b><c>"),
            ("  bind :80#x", "<bind><:80>"),
            (
                r#"log-format "%ci \"x\" $HOME ${A_b}/#" y"#,
                r#"<log-format><%ci "x" ${HOME} ${A_b}/#><y>"#,
            ),
            (r"log-format %ci\ \#\ %b", "<log-format><%ci # %b>"),
            (r"a 'b \$ #' ''", r"<a><b \$ #><>"),
            (r"HTTP/1.1\r\nHost:\ x \x41", "<HTTP/1.1\r\nHost: x><A>"),
            (
                "use_backend a if { hdr(host) -i x }",
                "<use_backend><a><if><{><hdr(host)><-i><x><}>",
            ),
            (r"a\", r"<a\>"),
            ("$", "<$>"),
            ("# only", ""),
        ] {
            let file = "h.cfg".into();
            let found: Vec<Line> = lines(text, &file).map(Result::unwrap).collect();
            let shown: String = found
                .iter()
                .flat_map(|line| &line.words)
                .map(|word| format!("<{word}>"))
                .collect();
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn what_is_broken_is_said_with_its_place() {
        let many = "a ".repeat(65);
        for (text, expected) in [
            ("a\n b \"c", "h.cfg:2:4: the quote is not closed"),
            ("a 'b", "h.cfg:1:3: the quote is not closed"),
            (many.as_str(), "h.cfg:1: the line has more than 64 words"),
        ] {
            let file = "h.cfg".into();
            let problem = lines(text, &file).find_map(Result::err).unwrap();
            assert_eq!(problem.to_string(), expected);
        }
    }
}
