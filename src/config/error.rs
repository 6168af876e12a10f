//! What is wrong with a configuration: where, what was found, what would be right.
//!
//! Problems are collected, never returned one by one, so that an operator sees all of them at once.

use std::fmt;
use std::sync::Arc;

/// Problems kept; of a file with more only their number is known. A wall of text helps nobody.
const MAX_PROBLEMS: usize = 200;

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position {
    /// From 1; 0 where there is no file, as for the command line.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// A place in a file, and the keys that lead to it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Place {
    /// Where it is written.
    pub at: Position,
    /// The keys that lead there: `upstreams[2].expect.status`. Empty at the top.
    pub path: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as the operator named it.
    pub file: Arc<str>,
    /// From 1; 0 where there is no line, as for a file that cannot be opened.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The keys that lead there: `upstreams[2].expect.status`. Empty at the top.
    pub path: String,
    /// What was found and what would be right; never a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Problem {}

/// Everything that is wrong, in the order of the file. Displays one problem per line.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// A single problem.
    pub fn one(problem: Problem) -> Self {
        Problems {
            list: vec![problem],
            left_out: 0,
        }
    }

    /// Adds one; the same said twice of one place counts once.
    pub fn push(&mut self, problem: Problem) {
        if self.is_full() {
            self.left_out += 1;
        } else if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// True when further problems are only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MAX_PROBLEMS
    }

    /// True when nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Sorts by file position; the last step before they are shown.
    pub(crate) fn sorted(mut self) -> Self {
        self.list
            .sort_by(|a, b| (a.line, a.column, &a.path).cmp(&(b.line, b.column, &b.path)));
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.left_out > 0 {
            write!(f, "\n… and {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Something worth telling of a configuration that is valid, such as a key this version does not act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it is written.
    pub at: Position,
    /// The keys that lead there.
    pub path: String,
    /// One sentence without full stop.
    pub message: String,
}

/// `LINE:COLUMN: path: message`; the caller puts the file in front.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}",
            self.at.line, self.at.column, self.path, self.message
        )
    }
}

/// A value as people recognise it in a message: quoted, control characters escaped, shortened.
pub(crate) fn quoted(text: &str) -> String {
    const MAX: usize = 60;
    match text.char_indices().nth(MAX) {
        Some((cut, _)) => format!("{:?}", format!("{}…", &text[..cut])),
        None => format!("{text:?}"),
    }
}

/// The known word nearest to what was written, when near enough to be meant.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if found.len() > 64 {
        return None;
    }
    let found = found.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&found, &word.replace('-', "_")), word))
        .filter(|(distance, word)| *distance <= 1 + word.len().min(found.len()) / 4 || found == word.replace('_', ""))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_only_when_it_may_be_meant() {
        let known = ["interval", "timeout", "tls", "max_rate", "name"];
        for (found, expected) in [
            ("intervall", Some("interval")),
            ("time-out", Some("timeout")),
            ("maxrate", Some("max_rate")),
            ("nmae", Some("name")),
            ("colour", None),
        ] {
            assert_eq!(nearest(found, known), expected, "{found}");
        }
    }

    #[test]
    fn a_problem_reads_as_the_style_guide_has_it() {
        let problem = Problem {
            file: "badgateway.yml".into(),
            line: 41,
            column: 16,
            path: "upstreams[2].expect.status".into(),
            message: "\"2xx5\" is not a status range; write 200, 2xx or 200-299".into(),
        };
        assert_eq!(
            problem.to_string(),
            "badgateway.yml:41:16: upstreams[2].expect.status: \"2xx5\" is not a status range; write 200, 2xx or 200-299"
        );
    }

    #[test]
    fn quoted_text_is_one_line_and_short() {
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        assert!(quoted(&"x".repeat(5000)).len() < 80);
    }
}
