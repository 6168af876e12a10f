//! The configuration as the operator wrote it, without comments and without secrets: what `/config` shows.
//!
//! Variables are not replaced. Hidden are passwords and tokens, `body`, header values whose name speaks of credentials, and in
//! every URL or path user, password and query. What a file contains is not in the configuration, so its name may be shown.

use super::tree::{Entry, Kind, Node};
use super::{url, value};

const SECRET: &str = "<secret>";

/// The tree as block-style YAML that reads the same.
pub fn render(root: &Node) -> String {
    let mut out = String::new();
    match &root.kind {
        Kind::Map(_) | Kind::List(_) => below(root, 0, "", &mut out),
        _ => out.push_str("{}\n"),
    }
    out
}

fn below(node: &Node, indent: usize, key: &str, out: &mut String) {
    let pad = " ".repeat(indent);
    match &node.kind {
        Kind::Map(entries) => {
            for entry in entries {
                out.push_str(&pad);
                pair(entry, indent, key, out);
            }
        }
        Kind::List(items) => {
            for item in items {
                out.push_str(&pad);
                out.push_str("- ");
                list_item(item, indent, key, out);
            }
        }
        _ => {}
    }
}

fn list_item(item: &Node, indent: usize, key: &str, out: &mut String) {
    match &item.kind {
        Kind::Map(entries) if !entries.is_empty() => {
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    out.push_str(&" ".repeat(indent + 2));
                }
                pair(entry, indent + 2, key, out);
            }
        }
        Kind::List(items) if !items.is_empty() => {
            out.push('\n');
            below(item, indent + 2, key, out);
        }
        _ => {
            out.push_str(&scalar(item, key, ""));
            out.push('\n');
        }
    }
}

fn pair(entry: &Entry, indent: usize, parent: &str, out: &mut String) {
    out.push_str(&quoted_if_needed(&entry.key, true));
    out.push(':');
    let nested = match &entry.value.kind {
        Kind::Map(entries) => !entries.is_empty(),
        Kind::List(items) => !items.is_empty(),
        _ => false,
    };
    // The values of one header may be a list; they are as secret as a single one.
    let header_values = parent == "headers" && value::is_credential(&entry.key);
    if nested && !header_values {
        out.push('\n');
        below(&entry.value, indent + 2, &entry.key, out);
        return;
    }
    let text = match header_values {
        true => SECRET.to_owned(),
        false => scalar(&entry.value, &entry.key, parent),
    };
    if !text.is_empty() {
        out.push(' ');
        out.push_str(&text);
    }
    out.push('\n');
}

fn scalar(node: &Node, key: &str, parent: &str) -> String {
    match &node.kind {
        Kind::Null => String::new(),
        Kind::List(_) => "[]".into(),
        Kind::Map(_) => "{}".into(),
        Kind::Scalar { .. } if is_secret(key) => SECRET.into(),
        Kind::Scalar { text, plain } => {
            let url = text.contains("://") || matches!(key, "url" | "origin" | "urls" | "self_check");
            let path = matches!(key, "paths" | "stable") || (key == "path" && parent == "health_check");
            let shown = match (url, path) {
                (true, _) => url::redacted(text),
                (false, true) => url::without_query(text),
                (false, false) => text.clone(),
            };
            quoted_if_needed(&shown, *plain)
        }
    }
}

fn is_secret(key: &str) -> bool {
    matches!(key, "password" | "bearer" | "body")
}

/// Plain where that reads back as the same text, else in double quotes.
fn quoted_if_needed(text: &str, plain: bool) -> String {
    let harmless = |c: char| c.is_alphanumeric() || "_./:%<>-+*^=~$()?;@ ".contains(c);
    let fits = plain
        && text.chars().all(harmless)
        && text.starts_with(|c: char| c.is_alphanumeric() || "_/.<".contains(c))
        && !text.contains(": ")
        && !text.ends_with([':', ' ']);
    match fits {
        true => text.to_owned(),
        false => serde_json::Value::String(text.to_owned()).to_string(),
    }
}
