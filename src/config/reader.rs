//! Reads values out of the positioned tree and collects every problem on the way.
//!
//! A [`Cursor`] stands at one value and knows the keys that led there; [`Fields`] reads the keys of a mapping and reports
//! those nobody asked for. Nothing here stops at a problem: a value that cannot be read is reported and becomes `None`.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::rc::Rc;

pub use super::context::{Context, Env};
use super::error::{Place, Position, nearest, quoted};
use super::tree::{Kind, Node};

/// A value read, and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

impl<T> At<T> {
    /// The same place with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At {
            value: change(self.value),
            place: self.place,
        }
    }
}

/// Text of a scalar.
pub struct Text {
    /// With variables replaced.
    pub value: String,
    /// As written, for messages: a variable's value may be a secret.
    pub raw: String,
}

/// One value of the tree.
#[derive(Clone)]
pub struct Cursor<'a> {
    cx: &'a Context<'a>,
    node: Rc<Node>,
    path: String,
}

impl<'a> Cursor<'a> {
    /// The top of the file.
    pub fn root(cx: &'a Context<'a>, node: Rc<Node>) -> Self {
        Cursor {
            cx,
            node,
            path: String::new(),
        }
    }

    /// What reading needs besides the tree.
    pub fn cx(&self) -> &'a Context<'a> {
        self.cx
    }

    /// Where this value stands.
    pub fn place(&self) -> Place {
        Place {
            at: self.node.at,
            path: self.path.clone(),
        }
    }

    /// Reports a problem with this value.
    pub fn problem(&self, message: impl Into<String>) {
        self.cx.problem(&self.place(), message);
    }

    /// The value at this place.
    pub fn at<T>(&self, value: T) -> At<T> {
        At {
            value,
            place: self.place(),
        }
    }

    /// True for a mapping.
    pub fn is_map(&self) -> bool {
        matches!(self.node.kind, Kind::Map(_))
    }

    /// True for a sequence.
    pub fn is_list(&self) -> bool {
        matches!(self.node.kind, Kind::List(_))
    }

    /// True where nothing is written: no value, or an empty text.
    pub fn is_blank(&self) -> bool {
        match &self.node.kind {
            Kind::Null => true,
            Kind::Scalar { text, .. } => text.is_empty(),
            Kind::List(_) | Kind::Map(_) => false,
        }
    }

    /// The node itself, for values of any shape.
    pub fn node(&self) -> &Rc<Node> {
        &self.node
    }

    fn found(&self) -> &'static str {
        match self.node.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The text of a scalar, variables replaced.
    pub fn text(&self) -> Option<Text> {
        let Kind::Scalar { text, .. } = &self.node.kind else {
            self.problem(format!("expected a single value, found {}", self.found()));
            return None;
        };
        match self.cx.expand(text) {
            Ok(value) => Some(Text {
                value,
                raw: text.clone(),
            }),
            Err(message) => {
                self.problem(message);
                None
            }
        }
    }

    /// A scalar by its grammar, whose error continues the sentence that begins with the value found.
    pub fn parse<T>(&self, grammar: impl FnOnce(&str) -> Result<T, String>) -> Option<At<T>> {
        let text = self.text()?;
        match grammar(&text.value) {
            Ok(value) => Some(self.at(value)),
            Err(message) => {
                self.problem(format!("{} {message}", quoted(&text.raw)));
                None
            }
        }
    }

    /// As [`Cursor::parse`], for values that must not be repeated in a message.
    pub fn parse_secret<T>(&self, grammar: impl FnOnce(&str) -> Result<T, String>) -> Option<At<T>> {
        match grammar(&self.text()?.value) {
            Ok(value) => Some(self.at(value)),
            Err(message) => {
                self.problem(format!("the value {message}"));
                None
            }
        }
    }

    /// Any text that is not empty.
    pub fn string(&self) -> Option<At<String>> {
        self.parse(|text| match text {
            "" => Err("is empty".into()),
            text => Ok(text.to_owned()),
        })
    }

    /// Any text that is not empty, as it stands there: what looks like a variable is none of ours.
    pub fn verbatim(&self) -> Option<At<String>> {
        match &self.node.kind {
            Kind::Scalar { text, .. } if !text.is_empty() => Some(self.at(text.clone())),
            // Says what is wrong with it.
            _ => self.string(),
        }
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Option<At<bool>> {
        self.choice(&[("true", true), ("false", false)])
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<At<T>> {
        self.parse(
            |text| match words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
                Some((_, value)) => Ok(*value),
                None => {
                    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                    Err(format!("is not known here; write {}", listed(&known)))
                }
            },
        )
    }

    /// A whole number within bounds.
    pub fn number(&self, range: RangeInclusive<u64>) -> Option<At<u64>> {
        self.parse(|text| {
            text.parse()
                .ok()
                .filter(|number| range.contains(number) && !text.starts_with('+'))
                .ok_or_else(|| format!("is not a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// The items of a list.
    pub fn items(&self) -> Vec<Cursor<'a>> {
        match &self.node.kind {
            Kind::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, node)| Cursor {
                    cx: self.cx,
                    node: node.clone(),
                    path: format!("{}[{index}]", self.path),
                })
                .collect(),
            _ => {
                self.problem(format!("expected a list, found {}", self.found()));
                Vec::new()
            }
        }
    }

    /// The items of a list, or a lone value as a list of one.
    pub fn one_or_more(&self) -> Vec<Cursor<'a>> {
        match self.node.kind {
            Kind::List(_) => self.items(),
            _ => vec![self.clone()],
        }
    }

    /// The keys and values of a mapping whose keys are names the operator chose.
    pub fn entries(&self) -> Vec<(At<String>, Cursor<'a>)> {
        let Kind::Map(entries) = &self.node.kind else {
            self.problem(format!("expected a map, found {}", self.found()));
            return Vec::new();
        };
        entries
            .iter()
            .map(|entry| {
                let path = below(&self.path, &entry.key);
                let key = At {
                    value: entry.key.clone(),
                    place: Place {
                        at: entry.key_at,
                        path: path.clone(),
                    },
                };
                let value = Cursor {
                    cx: self.cx,
                    node: entry.value.clone(),
                    path,
                };
                (key, value)
            })
            .collect()
    }

    /// The keys of a mapping that are known to the format.
    pub fn fields(&self) -> Option<Fields<'a>> {
        if !self.is_map() {
            self.problem(format!("expected a map, found {}", self.found()));
            return None;
        }
        Some(Fields {
            cursor: self.clone(),
            known: Vec::new(),
            elsewhere: Vec::new(),
        })
    }
}

/// The keys of a mapping. [`Fields::finish`] reports the keys nobody asked for.
pub struct Fields<'a> {
    cursor: Cursor<'a>,
    known: Vec<&'static str>,
    elsewhere: Vec<(&'static str, &'static str)>,
}

impl<'a> Fields<'a> {
    /// The value of a key; `None` when it is not written or empty.
    pub fn get(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        self.known.push(key);
        let Kind::Map(entries) = &self.cursor.node.kind else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key == key)?;
        if matches!(entry.value.kind, Kind::Null) {
            return None;
        }
        Some(Cursor {
            cx: self.cursor.cx,
            node: entry.value.clone(),
            path: below(&self.cursor.path, key),
        })
    }

    /// A key without which the mapping makes no sense.
    pub fn required(&mut self, key: &'static str, example: &str) -> Option<Cursor<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.cursor.problem(format!("{key} is missing; write {key}: {example}"));
        }
        value
    }

    /// A key that has its meaning at another place, with the sentence that says so.
    pub fn elsewhere(&mut self, key: &'static str, message: &'static str) {
        self.elsewhere.push((key, message));
    }

    /// Reports every key that was not asked for.
    pub fn finish(self) {
        let Kind::Map(entries) = &self.cursor.node.kind else {
            return;
        };
        for entry in entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            let place = Place {
                at: entry.key_at,
                path: below(&self.cursor.path, &entry.key),
            };
            // Looking for the nearest word costs time that nobody gains from when it will not be shown.
            let message = match self.cursor.cx.is_full() {
                true => String::new(),
                false => self.unknown(&entry.key),
            };
            self.cursor.cx.problem(&place, message);
        }
    }

    fn unknown(&self, key: &str) -> String {
        if let Some((_, message)) = self.elsewhere.iter().find(|(known, _)| *known == key) {
            return (*message).into();
        }
        let mut message = format!("unknown key {}", quoted(key));
        match nearest(key, self.known.iter().copied()) {
            Some(word) => write!(message, "; did you mean {word}?"),
            None => {
                let mut known = self.known.clone();
                known.sort_unstable();
                write!(message, "; known here: {}", known.join(", "))
            }
        }
        .unwrap_or_default();
        message
    }
}

/// `a, b or c`.
pub fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).into(),
        [front @ .., last] => format!("{} or {last}", front.join(", ")),
    }
}

/// The path of a key below another.
fn below(path: &str, key: &str) -> String {
    let simple =
        !key.is_empty() && key.len() <= 64 && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    match (path, simple) {
        ("", true) => key.into(),
        (path, true) => format!("{path}.{key}"),
        (path, false) => format!("{path}[{}]", quoted(key)),
    }
}

/// Where a position alone is known.
pub fn place(at: Position, path: &str) -> Place {
    Place { at, path: path.into() }
}
