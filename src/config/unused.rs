//! Keys that are valid, checked, and not acted on by this version. A later version removes a row and acts on the key.

use super::error::Note;
use super::tree::{Kind, Node};

/// Key paths, `[]` for any item of a list, with what is said of them.
const UNUSED: &[(&str, &str)] = &[(
    "alertmanager",
    "alerts are not sent directly yet; use the shipped alerting rules",
)];

/// The sections that take an upstream's settings; `*` above stands for each of them.
const SETTINGS: [&str; 3] = ["defaults", "modules.*", "upstreams[]"];

/// Every such key of the tree, in the order of the file.
pub fn notes(root: &Node) -> Vec<Note> {
    let mut notes = Vec::new();
    for (pattern, message) in UNUSED {
        match pattern.strip_prefix("*.") {
            Some(key) => SETTINGS
                .iter()
                .for_each(|section| find(root, &format!("{section}.{key}"), String::new(), message, &mut notes)),
            None => find(root, pattern, String::new(), message, &mut notes),
        }
    }
    notes.sort_by_key(|note| note.at);
    notes
}

fn find(node: &Node, pattern: &str, path: String, message: &str, notes: &mut Vec<Note>) {
    let (step, rest) = pattern.split_once('.').unwrap_or((pattern, ""));
    let (key, items) = match step.strip_suffix("[]") {
        Some(key) => (key, true),
        None => (step, false),
    };
    let Kind::Map(entries) = &node.kind else { return };
    for entry in entries.iter().filter(|entry| key == "*" || entry.key == key) {
        let path = match path.is_empty() {
            true => entry.key.clone(),
            false => format!("{path}.{}", entry.key),
        };
        match (&entry.value.kind, items) {
            (Kind::Null, _) => {}
            (Kind::List(list), true) => {
                for (index, item) in list.iter().enumerate() {
                    find(item, rest, format!("{path}[{index}]"), message, notes);
                }
            }
            (_, true) => {}
            (_, false) if rest.is_empty() => notes.push(Note {
                at: entry.key_at,
                path,
                message: message.to_owned(),
            }),
            (_, false) => find(&entry.value, rest, path, message, notes),
        }
    }
}
