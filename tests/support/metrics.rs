//! A scraped `/metrics` page, to be asked questions.

use std::collections::BTreeMap;

/// One line of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// A page, or the part of it that concerns one upstream.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// Reads the lines of the page that hold `part`; the empty one is in every line. Panics on a line that is none.
    pub fn parse(page: &str, part: &str) -> Metrics {
        let lines = page
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty() && line.contains(part));
        Metrics {
            samples: lines
                .map(|line| parse(line).unwrap_or_else(|| panic!("no sample: {line}")))
                .collect(),
        }
    }

    /// The samples of `badgateway_NAME` that have all these labels.
    pub fn all<'a>(&'a self, name: &'a str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name.strip_prefix("badgateway_") == Some(name)
                && labels
                    .iter()
                    .all(|(name, value)| sample.labels.get(*name).map(String::as_str) == Some(value))
        })
    }

    /// Their sum; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).map(|sample| sample.value).sum()
    }

    /// True when there is one.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.all(name, labels).next().is_some()
    }

    /// The samples that are not 0 and whose name holds `part`, one per line, for a message.
    pub fn show(&self, part: &str) -> String {
        let lines: Vec<String> = self
            .samples
            .iter()
            .filter(|sample| sample.value != 0.0 && sample.name.contains(part) && !sample.name.ends_with("_bucket"))
            .map(|sample| format!("  {} {:?} {}", sample.name, sample.labels, sample.value))
            .collect();
        lines.join("\n")
    }
}

fn parse(line: &str) -> Option<Sample> {
    let name_ends = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_ends);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    // An exemplar may follow.
    let value = rest.split('#').next()?.trim().split(' ').next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The text up to the closing quote with its escapes undone, and what follows the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}
