//! Lines that are one JSON object: the known values are found in one pass, everything else is passed over.
//!
//! The first of two values under one name counts. What a client writes is inside a string and stays there.

use std::sync::OnceLock;

use super::fields::{Fields, Spans, Units};
use super::time::LastTime;
use super::{Field, Key, Unit};

/// Objects within objects followed at most.
const MAX_DEPTH: usize = 16;

/// Where the known values of a JSON line are found.
#[derive(Debug)]
pub(super) struct Json {
    entries: Vec<Entry>,
    pub(super) units: Units,
}

#[derive(Debug)]
struct Entry {
    /// The keys that lead to the value, outermost first.
    path: Vec<Box<[u8]>>,
    field: Field,
}

impl Json {
    /// At most 64 keys are looked for.
    pub(super) fn new(keys: &[Key]) -> Json {
        Self::of(keys.iter().map(|key| (key.path.split('/'), key.field, key.unit)))
    }

    /// From names that stand at the top of the object.
    pub(super) fn named<'k>(keys: impl Iterator<Item = (&'k str, Field, Unit)>) -> Json {
        Self::of(keys.map(|(name, field, unit)| (std::iter::once(name), field, unit)))
    }

    fn of<'k, P: Iterator<Item = &'k str>>(keys: impl Iterator<Item = (P, Field, Unit)>) -> Json {
        let mut json = Json {
            entries: Vec::new(),
            units: Units::default(),
        };
        for (path, field, unit) in keys.take(64) {
            json.units.set(field, unit);
            json.entries.push(Entry {
                path: path.map(|key| key.as_bytes().into()).collect(),
                field,
            });
        }
        json
    }

    /// From a format string that is a JSON object with one variable in each value. `field_of` knows the variables.
    pub(super) fn from_format(format: &str, mut field_of: impl FnMut(&str) -> Option<(Field, Unit)>) -> Option<Json> {
        let object: serde_json::Value = serde_json::from_str(format).ok()?;
        let mut found = Vec::new();
        collect(&object, &mut Vec::new(), &mut |path, text| {
            if let Some((field, unit)) = field_of(text) {
                found.push((path.to_vec(), field, unit));
            }
        });
        object.is_object().then(|| {
            Self::of(
                found
                    .iter()
                    .map(|(path, field, unit)| (path.iter().map(String::as_str), *field, *unit)),
            )
        })
    }

    /// Where the values of a line lie; false where the line is no JSON object, or holds none of the keys.
    pub(super) fn read(&self, line: &[u8], spans: &mut Spans) -> bool {
        spans.clear();
        let all = match self.entries.len() {
            64.. => u64::MAX,
            few => (1 << few) - 1,
        };
        let mut walk = Walk {
            line,
            at: 0,
            entries: &self.entries,
            spans,
            found: 0,
        };
        walk.blanks();
        if walk.peek() != Some(b'{') || walk.value(all, 0).is_none() {
            return false;
        }
        walk.blanks();
        walk.at == line.len() && walk.found != 0
    }
}

/// Where the values of an error log's JSON lines are found; compiled when the first line comes.
#[derive(Debug)]
pub(in crate::gateway) struct ErrorKeys {
    keys: &'static [Key],
    json: OnceLock<Json>,
}

impl ErrorKeys {
    /// At most 64 keys are looked for.
    pub(in crate::gateway) const fn new(keys: &'static [Key]) -> ErrorKeys {
        ErrorKeys {
            keys,
            json: OnceLock::new(),
        }
    }

    /// What `with` makes of the fields of a line; `None` where the line is no JSON object, or holds none of the keys.
    pub(in crate::gateway) fn read<'l, R>(&self, line: &'l [u8], with: impl FnOnce(&Fields<'_, 'l>) -> R) -> Option<R> {
        let json = self.json.get_or_init(|| Json::new(self.keys));
        let mut spans = Spans::default();
        json.read(line, &mut spans).then(|| {
            with(&Fields {
                line,
                spans: &spans,
                units: &json.units,
                clock: &LastTime::default(),
            })
        })
    }
}

/// Calls `with` for each text of an object, with the keys that lead to it.
fn collect(value: &serde_json::Value, path: &mut Vec<String>, with: &mut dyn FnMut(&[String], &str)) {
    match value {
        serde_json::Value::String(text) => with(path, text),
        serde_json::Value::Object(object) if path.len() < MAX_DEPTH => {
            for (key, inner) in object {
                path.push(key.clone());
                collect(inner, path, with);
                path.pop();
            }
        }
        _ => {}
    }
}

struct Walk<'w> {
    line: &'w [u8],
    at: usize,
    entries: &'w [Entry],
    spans: &'w mut Spans,
    /// One bit for each entry whose value was found.
    found: u64,
}

impl Walk<'_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn pass(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// Passes over a string; its text without the quotes.
    fn string(&mut self) -> Option<(usize, usize)> {
        self.pass(b'"')?;
        let start = self.at;
        loop {
            let at = self.at + memchr::memchr2(b'"', b'\\', self.line.get(self.at..)?)?;
            match self.line[at] {
                b'"' => {
                    self.at = at + 1;
                    return Some((start, at));
                }
                _ => self.at = at + 2,
            }
        }
    }

    /// Passes over a value. `wanted` are the entries whose keys led here, `depth` the number of keys passed.
    fn value(&mut self, wanted: u64, depth: usize) -> Option<()> {
        self.blanks();
        let ended = self.ending_here(wanted, depth);
        match self.peek()? {
            b'"' => {
                let (start, end) = self.string()?;
                self.put(ended, start, end);
            }
            b'{' | b'[' if depth >= MAX_DEPTH => return None,
            b'{' => self.object(wanted, depth)?,
            b'[' => self.array(wanted, depth)?,
            _ => {
                let start = self.at;
                while !matches!(
                    self.peek(),
                    None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n')
                ) {
                    self.at += 1;
                }
                let value = &self.line[start..self.at];
                if value.is_empty() {
                    return None;
                }
                if value != b"null" {
                    self.put(ended, start, self.at);
                }
            }
        }
        Some(())
    }

    fn object(&mut self, wanted: u64, depth: usize) -> Option<()> {
        self.pass(b'{')?;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Some(());
        }
        loop {
            self.blanks();
            let (start, end) = self.string()?;
            self.pass(b':')?;
            let key = &self.line[start..end];
            let inner = self.matching(wanted, depth, key);
            self.value(inner, depth + 1)?;
            self.blanks();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn array(&mut self, wanted: u64, depth: usize) -> Option<()> {
        self.pass(b'[')?;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Some(());
        }
        let mut first = true;
        loop {
            let inner = match first {
                true => self.matching(wanted, depth, b"0"),
                false => 0,
            };
            first = false;
            self.value(inner, depth + 1)?;
            self.blanks();
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Of the entries in `wanted`, those whose next key is this one.
    fn matching(&self, wanted: u64, depth: usize, key: &[u8]) -> u64 {
        let mut rest = wanted;
        let mut matching = 0;
        while rest != 0 {
            let number = rest.trailing_zeros();
            rest &= rest - 1;
            if self.entries[number as usize]
                .path
                .get(depth)
                .is_some_and(|known| **known == *key)
            {
                matching |= 1 << number;
            }
        }
        matching
    }

    /// Of the entries in `wanted`, those without a further key, that have no value yet.
    fn ending_here(&self, wanted: u64, depth: usize) -> u64 {
        let mut rest = wanted & !self.found;
        let mut ending = 0;
        while rest != 0 {
            let number = rest.trailing_zeros();
            rest &= rest - 1;
            if self.entries[number as usize].path.len() == depth {
                ending |= 1 << number;
            }
        }
        ending
    }

    fn put(&mut self, mut entries: u64, start: usize, end: usize) {
        self.found |= entries;
        while entries != 0 {
            let number = entries.trailing_zeros();
            entries &= entries - 1;
            self.spans.put(self.entries[number as usize].field, start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::key;
    use super::*;

    const KEYS: &[Key] = &[
        key("status", Field::Status),
        key("request/uri", Field::Target),
        key("request/headers/User-Agent/0", Field::Agent),
        key("upstream", Field::Backends),
    ];

    fn read(line: &str, field: Field) -> Option<String> {
        let json = Json::new(KEYS);
        let mut spans = Spans::default();
        json.read(line.as_bytes(), &mut spans)
            .then(|| spans.get(line.as_bytes(), field))
            .flatten()
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn values_by_their_keys() {
        let line = r#"{"a":[1,{"status":1}],"request":{"uri":"/\"status\":200","headers":{"User-Agent":["x","y"]}}, "status" : 502 ,"upstream":null,"status":200}"#;
        assert_eq!(read(line, Field::Status).as_deref(), Some("502"));
        assert_eq!(read(line, Field::Target).as_deref(), Some(r#"/\"status\":200"#));
        assert_eq!(read(line, Field::Agent).as_deref(), Some("x"));
        assert_eq!(read(line, Field::Backends), None);
    }

    #[test]
    fn what_is_no_line() {
        for line in [
            "",
            "{",
            "{}",
            "[]",
            "{\"status\":}",
            "{\"status\":502",
            "{\"status\":502}x",
            "{\"other\":1}",
            "status",
        ] {
            assert_eq!(read(line, Field::Status), None, "{line}");
        }
        let deep = format!("{}{}", "{\"a\":".repeat(2000), "}".repeat(2000));
        assert_eq!(read(&deep, Field::Status), None);
    }

    #[test]
    fn a_format_string_names_the_keys() {
        let json = Json::from_format(
            r#"{"code":"%RESPONSE_CODE%","r":{"p":"%PATH%"},"n":1}"#,
            |text| match text {
                "%RESPONSE_CODE%" => Some((Field::Status, Unit::None)),
                "%PATH%" => Some((Field::Target, Unit::None)),
                _ => None,
            },
        )
        .unwrap();
        let mut spans = Spans::default();
        let line = br#"{"r":{"p":"/x"},"code":503}"#;
        assert!(json.read(line, &mut spans));
        assert_eq!(spans.get(line, Field::Status), Some(&b"503"[..]));
        assert_eq!(spans.get(line, Field::Target), Some(&b"/x"[..]));
        assert!(Json::from_format("[1]", |_| None).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]\",:a0-9\\\\ ]{0,80}") {
            let json = Json::new(KEYS);
            let mut spans = Spans::default();
            json.read(&line, &mut spans);
            json.read(text.as_bytes(), &mut spans);
        }

        #[test]
        fn what_a_client_writes_stays_in_its_string(text in "\\PC{0,60}") {
            let value = serde_json::json!({ "request": { "uri": text }, "status": 502 });
            let line = value.to_string();
            let status = read(&line, Field::Status);
            prop_assert_eq!(status.as_deref(), Some("502"));
        }
    }
}
