//! What is sent and what must come back: `headers` and `expect`.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::config::error::quoted;
use crate::config::file::ExpectEntry;
use crate::config::reader::{At, Cursor};
use crate::config::tree::{Kind, Node};
use crate::config::{number, value};
use crate::upstream::BodyRule;

/// Memory a compiled expression may take, bytes; the library's own default is ten times that.
const MAX_REGEX: usize = 1024 * 1024;

/// `headers`: name to value, or to a list of values. What carries credentials is marked, so that it is never printed.
pub fn headers(cursor: &Cursor<'_>) -> Vec<At<(HeaderName, HeaderValue)>> {
    let mut headers = Vec::new();
    for (key, values) in cursor.entries() {
        let name = match value::header_name(&key.value) {
            Ok(name) => name,
            Err(message) => {
                cursor
                    .cx()
                    .problem(&key.place, format!("{} {message}", quoted(&key.value)));
                continue;
            }
        };
        for text in values.one_or_more() {
            let from_env = text.text().is_some_and(|text| text.value != text.raw);
            if let Some(mut value) = text.parse_secret(value::header_value) {
                value
                    .value
                    .set_sensitive(from_env || value::is_credential(name.as_str()));
                headers.push(value.map(|value| (name.clone(), value)));
            }
        }
    }
    headers
}

/// `expect`.
pub fn expect(cursor: &Cursor<'_>) -> ExpectEntry {
    let Some(mut fields) = cursor.fields() else {
        return ExpectEntry::default();
    };
    let entry = ExpectEntry {
        status: fields.get("status").and_then(|list| {
            let ranges: Vec<_> = list
                .one_or_more()
                .iter()
                .filter_map(|text| text.parse(number::status))
                .collect();
            if list.is_list() && list.items().is_empty() {
                list.problem("is empty: no answer would be good; write [2xx], or remove it for 200-399");
                return None;
            }
            Some(list.at(ranges.into_iter().map(|range| range.value).collect()))
        }),
        body: fields.get("body").and_then(|map| body(&map)),
        addresses: fields.get("addresses").map(|list| {
            let networks = list.one_or_more();
            let networks = networks.iter().filter_map(|text| text.parse(value::network));
            list.at(networks.map(|network| network.value).collect())
        }),
    };
    fields.finish();
    entry
}

fn body(cursor: &Cursor<'_>) -> Option<At<BodyRule>> {
    let mut fields = cursor.fields()?;
    let contains = fields
        .get("contains")
        .and_then(|text| text.string())
        .map(|text| text.map(BodyRule::Contains));
    let matches = fields
        .get("matches")
        .and_then(|text| text.parse(regex))
        .map(|regex| regex.map(BodyRule::Matches));
    let json = fields.get("json").and_then(|map| json(&map));
    let written = ["contains", "matches", "json"]
        .into_iter()
        .filter(|key| fields.get(key).is_some())
        .count();
    fields.finish();
    if written != 1 {
        cursor.problem("needs exactly one of contains, matches and json");
        return None;
    }
    contains.or(matches).or(json).map(|rule| cursor.at(rule.value))
}

fn regex(text: &str) -> Result<regex::bytes::Regex, String> {
    regex::bytes::RegexBuilder::new(text)
        .size_limit(MAX_REGEX)
        .dfa_size_limit(MAX_REGEX)
        .nest_limit(50)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is too large as an expression; look for less".into(),
            _ => {
                "is not a regular expression; check brackets and escapes, back references and look-around do not exist"
                    .into()
            }
        })
}

fn json(cursor: &Cursor<'_>) -> Option<At<BodyRule>> {
    let mut fields = cursor.fields()?;
    let pointer = fields.required("pointer", "/status").and_then(|text| {
        text.parse(|text| match text.is_empty() || text.starts_with('/') {
            true => Ok(text.to_owned()),
            false => Err("is not a JSON pointer; write /status or /checks/0/state".into()),
        })
    });
    let equals = fields
        .required("equals", "ok")
        .map(|value| as_json(value.node(), &value));
    fields.finish();
    Some(cursor.at(BodyRule::Json {
        pointer: pointer?.value,
        equals: equals?,
    }))
}

/// YAML as JSON: what is not quoted and looks like a number or boolean is one.
fn as_json(node: &Node, at: &Cursor<'_>) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::List(items) => Value::Array(items.iter().map(|item| as_json(item, at)).collect()),
        Kind::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), as_json(&entry.value, at)))
                .collect(),
        ),
        Kind::Scalar { text, plain } => match at.cx().expand(text) {
            Ok(expanded) if *plain && expanded == *text => plain_json(text),
            Ok(expanded) => Value::String(expanded),
            Err(message) => {
                at.problem(message);
                Value::Null
            }
        },
    }
}

fn plain_json(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}
