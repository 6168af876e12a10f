//! Label text, kept ready: a hop's `upstream="…",hop="…"` is escaped once, not at every scrape for each of its series.
//!
//! The library writes a label's name as it is given and escapes values. So a ready text goes in as the beginning of the
//! name of the label after it: `upstream="a",hop="b",cause` and `dns_timeout`. It holds for the text formats, the only
//! ones we serve, and turns six small writes of each series into one.

use std::fmt::{self, Write};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder};

/// Escaped `name="value"` pairs, joined by commas; at least one.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    text: Arc<str>,
    /// Bytes of `text` before the last label's `="`.
    name_end: u32,
    /// The last label's value, not escaped, for a series without further labels.
    last: Arc<str>,
}

impl Ready {
    /// Escapes the pairs; `last` comes after the others.
    pub(super) fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, last: (&str, &Arc<str>)) -> Ready {
        let mut text = String::new();
        for (name, value) in pairs {
            text.push_str(name);
            text.push_str("=\"");
            escape(&mut text, value);
            text.push_str("\",");
        }
        text.push_str(last.0);
        let name_end = text.len() as u32;
        text.push_str("=\"");
        escape(&mut text, last.1);
        text.push('"');
        Ready {
            text: text.into(),
            name_end,
            last: Arc::clone(last.1),
        }
    }

    /// The whole text, without braces.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Backslash, quote and newline as both text formats want them.
fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

/// A label value of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// A word; escaped where it must be.
    Text(&'a str),
    /// A status code.
    Code(u16),
}

impl EncodeLabelValue for Value<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        match self {
            Value::Text(text) => encoder.write_str(text),
            Value::Code(code) => EncodeLabelValue::encode(code, encoder),
        }
    }
}

/// A ready text and the further labels of one series.
pub(super) struct Labels<'a> {
    pub(super) ready: &'a Ready,
    pub(super) further: &'a [(&'static str, Value<'a>)],
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> fmt::Result {
        let Some(((name, value), rest)) = self.further.split_first() else {
            return encode_last(self.ready, encoder);
        };
        let mut label = encoder.encode_label();
        let mut key = label.encode_label_key()?;
        key.write_str(self.ready.as_str())?;
        key.write_str(",")?;
        key.write_str(name)?;
        let mut written = key.encode_label_value()?;
        value.encode(&mut written)?;
        written.finish()?;
        rest.encode(encoder)
    }
}

/// A ready text alone: its last label stands as a label of its own.
fn encode_last(ready: &Ready, encoder: &mut LabelSetEncoder) -> fmt::Result {
    let mut label = encoder.encode_label();
    let mut key = label.encode_label_key()?;
    key.write_str(&ready.text[..ready.name_end as usize])?;
    let mut written = key.encode_label_value()?;
    written.write_str(&ready.last)?;
    written.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_values_are_escaped_once() {
        let hostile = "a\"b\\c\nd\\n";
        let ready = Ready::new([("upstream", hostile)], ("hop", &hostile.into()));
        assert_eq!(ready.as_str(), r#"upstream="a\"b\\c\nd\\n",hop="a\"b\\c\nd\\n""#);
        assert_eq!(
            &ready.text[..ready.name_end as usize],
            r#"upstream="a\"b\\c\nd\\n",hop"#
        );
    }
}
