//! The records of a posted batch: objects one after another or in one array, or plain lines.
//!
//! The first byte that is no blank decides: `{`, or `[` before an object, is JSON; anything else is lines. Records are
//! found by their braces, outside of strings, so the layout between them does not matter.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use super::MAX_LINE_BYTES;
use super::sink::{Begun, Sink};
use super::{Seen, Skipped};

/// Keys that shippers put beside a line they carry. Vector: `file`, `host`, `source_type`, `timestamp` and `kubernetes`,
/// `container_*`; Fluent Bit: `date`, `stream`, `time`, `logtag`, `_p`; Beats and Logstash: `@timestamp`, `@version`, ….
/// An object with any other key is a record of its own, such as Traefik's `{"level":…,"message":…}`.
const WRAPPING: &[&str] = &[
    "@timestamp",
    "@version",
    "_p",
    "agent",
    "container",
    "container_created_at",
    "container_id",
    "container_image",
    "container_name",
    "date",
    "docker",
    "ecs",
    "file",
    "filename",
    "host",
    "hostname",
    "image",
    "input",
    "kubernetes",
    "label",
    "labels",
    "logtag",
    "offset",
    "path",
    "pod",
    "source",
    "source_type",
    "stream",
    "tag",
    "tags",
    "time",
    "timestamp",
];

/// The body is no sequence of objects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotRecords;

/// The state between the chunks of one body.
#[derive(Debug, Default)]
pub(super) struct Records {
    kept: Vec<u8>,
    shape: Shape,
    /// Bytes of `kept` that were looked at.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    overlong: bool,
    begun: Begun,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shape {
    #[default]
    Unknown,
    Lines,
    Objects,
}

impl Records {
    /// Hands out the records that `chunk` completes.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut Sink) -> Result<(), NotRecords> {
        self.kept.extend_from_slice(chunk);
        if self.shape == Shape::Unknown {
            self.shape = shape(&self.kept);
        }
        match self.shape {
            Shape::Unknown if self.kept.len() > MAX_LINE_BYTES => Err(NotRecords),
            Shape::Unknown => Ok(()),
            Shape::Lines => {
                let done = sink.chunk(&self.kept, &mut self.begun, &Seen::default());
                self.kept.drain(..done);
                Ok(())
            }
            Shape::Objects => self.objects(sink),
        }
    }

    /// The body is whole.
    pub fn end(mut self, sink: &mut Sink) -> Result<(), NotRecords> {
        match self.shape {
            Shape::Unknown if self.kept.iter().all(u8::is_ascii_whitespace) => Ok(()),
            Shape::Objects if self.depth > 0 => Err(NotRecords),
            Shape::Objects => Ok(()),
            Shape::Lines | Shape::Unknown => {
                // The last line of a body needs no newline.
                self.kept.push(b'\n');
                sink.chunk(&self.kept, &mut self.begun, &Seen::default());
                Ok(())
            }
        }
    }

    fn objects(&mut self, sink: &mut Sink) -> Result<(), NotRecords> {
        let mut start = 0;
        while let Some(byte) = self.kept.get(self.seen).copied() {
            self.seen += 1;
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' if self.depth > 0 => self.in_string = true,
                b'{' => self.depth += 1,
                b'}' if self.depth > 1 => self.depth -= 1,
                b'}' if self.depth == 1 => {
                    self.depth = 0;
                    let end = self.seen;
                    self.record(start, end, sink);
                    start = end;
                }
                _ if self.depth > 0 => {}
                b',' | b'[' | b']' => start = self.seen,
                _ if byte.is_ascii_whitespace() => start = self.seen,
                _ => return Err(NotRecords),
            }
        }
        self.kept.drain(..start);
        self.seen -= start;
        if self.kept.len() > MAX_LINE_BYTES {
            if !self.overlong {
                sink.skip(Skipped::TooLong, &self.kept, &Seen::default());
            }
            self.overlong = true;
            self.kept.clear();
            self.seen = 0;
        }
        Ok(())
    }

    fn record(&mut self, start: usize, end: usize, sink: &mut Sink) {
        let record = &self.kept[start..end];
        if std::mem::take(&mut self.overlong) {
            return;
        }
        match carried(record) {
            Some(line) => sink.whole(line.as_bytes(), &Seen::default()),
            None => sink.whole(record, &Seen::default()),
        }
    }
}

fn shape(text: &[u8]) -> Shape {
    let text = text.trim_ascii_start();
    match text.first() {
        None => Shape::Unknown,
        Some(b'{') => Shape::Objects,
        Some(b'[') => match text[1..].trim_ascii_start().first() {
            None => Shape::Unknown,
            Some(b'{' | b']') => Shape::Objects,
            Some(_) => Shape::Lines,
        },
        Some(_) => Shape::Lines,
    }
}

/// The line a record carries in `message` or `log` and nothing else of a log record beside it.
fn carried(record: &[u8]) -> Option<Cow<'_, str>> {
    let mut json = serde_json::Deserializer::from_slice(record);
    json.deserialize_map(Carried).ok().flatten()
}

struct Carried;

impl<'de> Visitor<'de> for Carried {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut line, mut is_alone) = (None, true);
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            match key.as_ref() {
                "message" | "log" => match map.next_value::<Carrier<'de>>()? {
                    Carrier::Line(text) if line.is_none() => line = Some(text),
                    _ => is_alone = false,
                },
                key => {
                    is_alone &= WRAPPING.contains(&key);
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(line.filter(|_| is_alone))
    }
}

#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The value of a key that may carry a line.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Carrier<'a> {
    #[serde(borrow)]
    Line(Cow<'a, str>),
    Other(IgnoredAny),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::tail::tests::Taken;
    use crate::tail::{Envelope, Status};

    /// What comes of a body, brought in pieces.
    fn records(body: &[u8], step: usize) -> (Vec<String>, bool) {
        let taken = Taken::default();
        let mut sink = Sink::new(Box::new(taken.clone()), Arc::new(Status::default()), Envelope::Plain);
        let mut records = Records::default();
        let fed = body.chunks(step).try_for_each(|chunk| records.feed(chunk, &mut sink));
        let is_good = fed.and_then(|()| records.end(&mut sink)).is_ok();
        (taken.take(), is_good)
    }

    #[test]
    fn bodies_of_shippers() {
        let cases: [(&str, &[&str], bool); 18] = [
            // Logpush, and any gateway's JSON.
            (
                "{\"a\":1}\n{\"b\":\"}{\\\"\"}\n",
                &["{\"a\":1}", "{\"b\":\"}{\\\"\"}"],
                true,
            ),
            (
                "[{\"a\":{\"b\":[1]}},{\"c\":2}]",
                &["{\"a\":{\"b\":[1]}}", "{\"c\":2}"],
                true,
            ),
            (" [ {\"a\":1} ,\n{\"b\":2}\n]\n", &["{\"a\":1}", "{\"b\":2}"], true),
            // Vector.
            (
                r#"[{"file":"/var/log/a","host":"h","message":"GET \"/\" 502","source_type":"file","timestamp":"t"}]"#,
                &["GET \"/\" 502"],
                true,
            ),
            // Fluent Bit.
            (
                r#"[{"date":1763653517.1,"log":"a line"},{"date":1.0,"log":"b","kubernetes":{"pod_name":"p"}}]"#,
                &["a line", "b"],
                true,
            ),
            (
                r#"{"log":"{\"status\":502}\n","stream":"stdout"}"#,
                &["{\"status\":502}\n"],
                true,
            ),
            // A record that has a message of its own.
            (
                r#"{"level":"debug","message":"502 Bad Gateway"}"#,
                &[r#"{"level":"debug","message":"502 Bad Gateway"}"#],
                true,
            ),
            (r#"{"message":{"a":1}}"#, &[r#"{"message":{"a":1}}"#], true),
            (r#"{"message":"a","log":"b"}"#, &[r#"{"message":"a","log":"b"}"#], true),
            ("one\ntwo", &["one", "two"], true),
            ("[Fri Nov 20] [error] x\n", &["[Fri Nov 20] [error] x"], true),
            ("", &[], true),
            (" \n", &[], true),
            ("[]", &[], true),
            ("[", &["["], true),
            ("{\"a\":1", &[], false),
            ("{\"a\":1} x", &["{\"a\":1}"], false),
            ("{\"a\":bad}", &["{\"a\":bad}"], true),
        ];
        for (body, expected, is_good) in cases {
            for step in [1, 5, 1_000] {
                assert_eq!(
                    records(body.as_bytes(), step),
                    (expected.iter().map(ToString::to_string).collect(), is_good),
                    "{body}"
                );
            }
        }
    }

    #[test]
    fn long_records_are_skipped_once() {
        let body = format!("{{\"a\":\"{}\"}}\n{{\"b\":1}}", "x".repeat(5 * MAX_LINE_BYTES));
        let (found, is_good) = records(body.as_bytes(), 4_096);
        assert!(is_good && found.len() == 2 && found[0].starts_with("TooLong"));
        assert_eq!(found[1], "{\"b\":1}");
    }

    proptest! {
        #[test]
        fn pieces_change_nothing_and_nothing_is_added(body in "[\\[{]?([a\"\\\\{}\\[\\]:, \n]{0,40})", step in 1_usize..9) {
            let whole = records(body.as_bytes(), 10_000);
            prop_assert_eq!(&records(body.as_bytes(), step), &whole);
            prop_assert!(whole.0.iter().map(String::len).sum::<usize>() <= body.len());
        }
    }
}
