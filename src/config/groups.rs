//! Lists of target groups in Prometheus's own formats: file_sd in YAML or JSON, http_sd in JSON.
//!
//! `[{ targets: ["10.0.0.7:8080"], labels: { team: shop } }]`. Variables are not replaced: what is found is not ours.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::quoted;
use super::tree::{self, Kind, Node};

/// Bytes of one list at most.
pub const MAX_GROUPS_SIZE: usize = tree::MAX_SIZE;

/// Targets that share their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TargetGroup {
    /// `host:port` or URLs.
    #[serde(default)]
    pub targets: Vec<String>,
    /// What is said of all of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Reads a list in JSON.
///
/// # Errors
/// Where and why it cannot be read.
pub fn json_groups(text: &str) -> Result<Vec<TargetGroup>, String> {
    serde_json::from_str(text).map_err(|error| format!("is no list of target groups: {error}"))
}

/// Reads a list in YAML. A file without content is taken for one that is just being written.
///
/// # Errors
/// Where and why it cannot be read.
pub fn yaml_groups(text: &str) -> Result<Vec<TargetGroup>, String> {
    let (root, faults) = tree::parse(text);
    if let Some(fault) = faults.first() {
        return Err(format!("{}:{}: {}", fault.at.line, fault.at.column, fault.message));
    }
    let root = root.ok_or("is empty; write [] for no targets")?;
    match &root.kind {
        Kind::List(groups) => groups.iter().map(|node| group(node)).collect(),
        Kind::Null => Err("is empty; write [] for no targets".into()),
        _ => Err(wrong(
            &root,
            "is no list of target groups; write - targets: [\"host:port\"]",
        )),
    }
}

fn group(node: &Node) -> Result<TargetGroup, String> {
    let Kind::Map(entries) = &node.kind else {
        return Err(wrong(node, "is no target group; write targets: [\"host:port\"]"));
    };
    let mut group = TargetGroup::default();
    for entry in entries {
        match (entry.key.as_str(), &entry.value.kind) {
            (_, Kind::Null) => {}
            ("targets", Kind::List(targets)) => {
                group.targets = targets.iter().map(|target| text(target)).collect::<Result<_, _>>()?;
            }
            ("labels", Kind::Map(labels)) => {
                group.labels = labels
                    .iter()
                    .map(|label| Ok((label.key.clone(), text(&label.value)?)))
                    .collect::<Result<_, String>>()?;
            }
            ("targets", _) => return Err(wrong(&entry.value, "is no list of targets")),
            ("labels", _) => return Err(wrong(&entry.value, "is no map of labels")),
            (key, _) => {
                let message = format!("unknown key {}; known here: labels, targets", quoted(key));
                return Err(wrong(&entry.value, &message));
            }
        }
    }
    Ok(group)
}

fn text(node: &Node) -> Result<String, String> {
    match &node.kind {
        Kind::Scalar { text, .. } => Ok(text.clone()),
        _ => Err(wrong(node, "is no single value")),
    }
}

fn wrong(node: &Node, message: &str) -> String {
    format!("{}:{}: {message}", node.at.line, node.at.column)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_formats_say_the_same() {
        let yaml = "- targets: ['a:1', b]\n  labels: { team: shop, tier: 1 }\n- targets: []\n";
        let json = r#"[{"targets": ["a:1", "b"], "labels": {"team": "shop", "tier": "1"}}, {"targets": []}]"#;
        let groups = yaml_groups(yaml).unwrap();
        assert_eq!(groups[0].targets, ["a:1", "b"]);
        assert_eq!(groups[0].labels["tier"], "1");
        assert_eq!(json_groups(json).unwrap(), groups);
        assert_eq!(yaml_groups(json).unwrap(), groups);
        assert_eq!(yaml_groups("[]"), Ok(Vec::new()));
        assert_eq!(yaml_groups("- targets: [\"$HOME\"]").unwrap()[0].targets, ["$HOME"]);
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_place() {
        for (text, expected) in [
            ("", "is empty"),
            ("# nothing\n", "is empty"),
            ("a: b", "1:1: is no list"),
            ("- a\n", "1:3: is no target group"),
            ("- targets: x\n", "is no list of targets"),
            ("- targets: [[]]\n", "is no single value"),
            ("- target: [x]\n", "unknown key \"target\""),
            ("- targets: [x\n", "not valid YAML"),
        ] {
            let message = yaml_groups(text).unwrap_err();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
        assert!(json_groups("").is_err() && json_groups("{}").is_err() && json_groups("[{\"targets\": [1]}]").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[- a{}:\\[\\],\"\n]{0,60}") {
            let _ = (yaml_groups(&text), json_groups(&text));
        }
    }
}
