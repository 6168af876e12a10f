//! The runbooks: of one shape, with links that lead somewhere, metrics that are exported, and no advice that neither the
//! program's own measurements nor a page of the vendor bears out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use badgateway::cause::Cause;
use badgateway::metrics::{FAMILIES, Kind};
use badgateway::shipped::{RULES, RUNBOOKS};
use badgateway::verdict::Verdict;
use regex::Regex;

/// Those of alerts.
fn of_alerts() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = RUNBOOKS.iter().map(|file| (file.name, file.text));
    all.filter(|(name, _)| *name != "README")
}

/// Every name a query can write.
fn exported() -> BTreeSet<String> {
    let of = |name: &str, kind: Kind| match kind {
        Kind::Histogram => ["", "_bucket", "_count", "_sum"]
            .map(|part| format!("{name}{part}"))
            .to_vec(),
        _ => vec![name.to_owned()],
    };
    FAMILIES
        .iter()
        .flat_map(|family| of(family.name, family.kind))
        .collect()
}

#[test]
fn each_says_what_it_means_what_it_does_and_what_to_do() {
    let sections = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Prevention"];
    for (name, text) in of_alerts() {
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        let found: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(found, sections, "{name}");
    }
}

#[test]
fn they_name_only_what_is_exported_or_recorded() {
    let name = Regex::new(r"[a-zA-Z0-9_:]*badgateway_[a-zA-Z0-9_:]*").expect("good");
    let mut known = exported();
    let recorded = RULES.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    known.extend(recorded.map(ToOwned::to_owned));
    for file in RUNBOOKS {
        for found in name.find_iter(file.text) {
            // The window of a rule may be left open.
            let found = found.as_str();
            assert!(
                known.contains(found),
                "{}: {found} is neither exported nor recorded",
                file.name
            );
        }
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = |char: &char| char.is_alphanumeric() || [' ', '-', '_'].contains(char);
    heading
        .to_lowercase()
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn links_between_them_lead_somewhere() {
    let link = Regex::new(r"\]\(([A-Za-z]*)(?:\.md)?(?:#([a-z0-9-]+))?\)").expect("good");
    for file in RUNBOOKS {
        for found in link.captures_iter(file.text) {
            let to = if found[1].is_empty() { file.name } else { &found[1] };
            let target = RUNBOOKS.iter().find(|file| file.name == to);
            let target = target.unwrap_or_else(|| panic!("{}: there is no {to}", file.name));
            if let Some(wanted) = found.get(2) {
                let mut headings = target.text.lines().filter(|line| line.starts_with('#'));
                let there = headings.any(|line| anchor(line.trim_start_matches('#').trim()) == wanted.as_str());
                assert!(there, "{}: {to} has no heading {:?}", file.name, wanted.as_str());
            }
        }
    }
}

/// The words of the program: its own name and what begins with it, the keys of its configuration, causes, verdicts and
/// alerts.
fn is_of_the_program(code: &str) -> bool {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/badgateway.yml");
    let example = fs::read_to_string(example).expect("readable");
    let key = Regex::new(r"([a-z_]+):").expect("good");
    let keys: BTreeSet<&str> = key
        .captures_iter(&example)
        .map(|part| part.get(1).expect("a group").as_str())
        .collect();
    let mut words = code.split(|char: char| !char.is_alphanumeric() && char != '_');
    words.any(|word| {
        word.starts_with("badgateway")
            || word.starts_with("BadGateway")
            || keys.contains(word)
            || Cause::ALL.iter().any(|cause| cause.label() == word)
            || Verdict::ALL.iter().any(|verdict| verdict.to_string() == word)
    })
}

#[test]
fn advice_rests_on_what_is_measured_or_on_a_page_of_the_vendor() {
    let code = Regex::new("`([^`]+)`").expect("good");
    let mut seen = 0;
    for (name, text) in of_alerts() {
        let (_, prevention) = text.split_once("## Prevention\n").expect("a section");
        for advice in prevention.lines().filter(|line| line.starts_with("- ")) {
            seen += 1;
            let linked = advice.contains("](");
            let own = code.captures_iter(advice).any(|part| is_of_the_program(&part[1]));
            assert!(linked || own, "{name}: says who? {advice}");
        }
    }
    assert!(seen > 50, "{seen}");
}
