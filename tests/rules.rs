//! The alert rules: Prometheus accepts and passes them, they name nothing that is not exported, and every alert says what
//! a person needs who is woken by it.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use badgateway::build_info::VERSION;
use badgateway::cause::Cause;
use badgateway::metrics::{FAMILIES, Family, Kind};
use badgateway::shipped::rules::OWN_PAGES;
use badgateway::shipped::{RULES, RUNBOOKS};
use regex::Regex;
use support::daemon::scratch;
use support::programs;

/// What pages.
const PAGES: [&str; 3] = ["BadGatewayUpstreamDown", "BadGatewaySpike", "BadGatewayFastBurn"];

fn alerts_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts")
}

/// Lines that are no comment.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with('#'))
}

/// An alert as its lines say it.
#[derive(Debug, Default)]
struct Alert {
    name: String,
    severity: String,
    expression: String,
    annotations: BTreeMap<String, String>,
    held: bool,
}

/// The alerts of the file. It is ours and keeps to one shape, so reading lines is enough.
fn alerts() -> Vec<Alert> {
    let annotation = Regex::new(r"(?m)^ {10}(\w+): >-\n {12}(.+)$").expect("good");
    let text = lines(RULES).collect::<Vec<_>>().join("\n");
    let one = |text: &str| {
        let text = text.split("\n  - name: ").next().unwrap_or_default();
        let between = |from: &str, to: &str| {
            let rest = text.split_once(from).unwrap_or_default().1;
            rest.split(to).next().unwrap_or_default().to_owned()
        };
        Alert {
            name: text.lines().next().unwrap_or_default().to_owned(),
            severity: between("severity: ", "\n"),
            expression: between("expr: |-\n", "\n        for: "),
            annotations: annotation
                .captures_iter(text)
                .map(|part| (part[1].to_owned(), part[2].to_owned()))
                .collect(),
            held: text.contains("keep_firing_for: "),
        }
    };
    text.split("- alert: ").skip(1).map(one).collect()
}

fn promtool(arguments: &[&str]) -> String {
    let program = programs::find("promtool").expect("have it");
    let output = Command::new(program).args(arguments).output().expect("promtool starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
    said
}

fn badgateway(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_badgateway"))
        .args(arguments)
        .output()
        .expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn prometheus_accepts_them_however_they_are_fitted() {
    if !programs::have(&["promtool"]) {
        return;
    }
    let folder = scratch();
    let fittings: [&[&str]; 4] = [
        &[],
        &["--without-paging"],
        &["--selector", r#"{job=~"bad|gateway", env!="test"}"#],
        &[
            "--labels",
            "tier,area",
            "--runbook-url",
            "https://wiki.example/",
            "--dashboard-url",
            "https://grafana.example",
        ],
    ];
    for fitting in fittings {
        let text = badgateway(&[&["rules"], fitting].concat());
        let file = folder.join("rules.yml");
        std::fs::write(&file, text).expect("written");
        let said = promtool(&["check", "rules", file.to_str().expect("a plain path")]);
        assert!(said.contains("SUCCESS"), "{fitting:?}: {said}");
    }
    badgateway(&["rules", "--out", folder.to_str().expect("a plain path")]);
    assert_eq!(
        std::fs::read_to_string(folder.join("badgateway.rules.yml")).expect("written"),
        RULES
    );
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn each_fires_and_stays_silent_and_resolves() {
    if !programs::have(&["promtool"]) {
        return;
    }
    let files = std::fs::read_dir(alerts_folder().join("tests")).expect("a folder");
    let mut files: Vec<String> = files.flatten().map(|file| file.path().display().to_string()).collect();
    files.retain(|file| file.ends_with(".yml"));
    files.sort();
    assert!(!files.is_empty());
    // One core is not enough for all of them to be quick.
    std::thread::scope(|scope| {
        for half in files.chunks(files.len().div_ceil(2)) {
            let arguments: Vec<&str> = ["test", "rules"]
                .into_iter()
                .chain(half.iter().map(String::as_str))
                .collect();
            scope.spawn(move || promtool(&arguments));
        }
    });
    let tests: String = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("readable"))
        .collect();
    let untested: Vec<String> = alerts()
        .into_iter()
        .map(|alert| alert.name)
        .filter(|name| !tests.contains(&format!("alertname=\"{name}\"")))
        .collect();
    assert!(untested.is_empty(), "no test sees these fire: {untested:?}");
}

/// The tests with nothing but the question what each alert says when it fires; promtool answers with its annotations
/// because none are expected.
fn asking_for_annotations(tests: &str) -> String {
    let fires =
        Regex::new(r#"eval_time: (\d+m)\n        exp_samples:\n((?:          - labels: .*\n            value: 1\n)+)"#)
            .expect("good");
    let name = Regex::new(r#"alertname="(\w+)""#).expect("good");
    let rules = format!(
        "rule_files: [{}]",
        alerts_folder().join("badgateway.rules.yml").display()
    );
    let mut parts = tests.split("    promql_expr_test:\n");
    let mut asked = parts
        .next()
        .unwrap_or_default()
        .replace("rule_files: [../badgateway.rules.yml]", &rules);
    for part in parts {
        let next = part.find("  - interval: ").map_or("", |next| &part[next..]);
        if let Some(fire) = fires.captures(part) {
            asked.push_str("    alert_rule_test:\n");
            for alert in name.captures_iter(&fire[2]) {
                asked.push_str(&format!(
                    "      - eval_time: {}\n        alertname: {}\n        exp_alerts: []\n",
                    &fire[1], &alert[1]
                ));
            }
        }
        asked.push_str(next);
    }
    asked
}

#[test]
fn what_they_say_when_they_fire_is_whole() {
    if !programs::have(&["promtool"]) {
        return;
    }
    let folder = scratch();
    let mut said = String::new();
    for file in std::fs::read_dir(alerts_folder().join("tests"))
        .expect("a folder")
        .flatten()
    {
        let text = std::fs::read_to_string(file.path()).expect("readable");
        let asking = folder.join(file.file_name());
        std::fs::write(&asking, asking_for_annotations(&text)).expect("written");
        let program = programs::find("promtool").expect("have it");
        let output = Command::new(program)
            .args(["test", "rules"])
            .arg(&asking)
            .output()
            .expect("it starts");
        said += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    std::fs::remove_dir_all(folder).expect("removed");
    for broken in ["error expanding", "<no value>", "%!", "parse error"] {
        assert!(!said.contains(broken), "{said}");
    }
    for alert in alerts() {
        let page = format!("runbook_url=\"https://badgateway.example.com/runbooks/{}\"", alert.name);
        // Of several instances without a URL of their own the first that Prometheus finds, which may be any.
        let page_of_instance = format!(":10502/runbooks/{}\"", alert.name);
        assert!(
            said.contains(&page) || said.contains(&page_of_instance),
            "{}: {said}",
            alert.name
        );
    }
    assert!(
        said.contains("connect_refused at origin (1 failing)"),
        "a page names the cause: {said}"
    );
    for told in [
        "The log of log_refused: connect_refused, ",
        "Most failed attempts: 127.0.0.1:8080 (",
    ] {
        assert!(said.contains(told), "a page names what the log says: {told}");
    }
}

/// A family by the name a query writes; histograms by those of their parts.
fn labels_of(name: &str) -> Option<Vec<&'static str>> {
    let of = |family: &Family| {
        let mut labels = family.labels.to_vec();
        if family.kind == Kind::Histogram {
            labels.push("le");
        }
        labels
    };
    let parts = |family: &Family| {
        ["_bucket", "_count", "_sum"]
            .iter()
            .any(|part| name.strip_suffix(part) == Some(family.name))
    };
    let found = FAMILIES.iter().find(|family| match family.kind {
        Kind::Histogram => parts(family),
        _ => family.name == name,
    });
    found.map(of)
}

#[test]
fn they_name_only_what_is_exported_or_recorded() {
    let name =
        Regex::new(r"[a-z_][a-zA-Z0-9_:]*badgateway_[a-zA-Z0-9_:]*|\b(?:badgateway|process)_[a-z0-9_]+").expect("good");
    let label = Regex::new(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*(?:"|%q)"#).expect("good");
    let recorded: BTreeSet<&str> = lines(RULES)
        .filter_map(|line| line.trim().strip_prefix("- record: "))
        .collect();
    let mut used = BTreeSet::new();
    for line in lines(RULES) {
        for found in name.find_iter(line) {
            let (metric, rest) = (found.as_str(), &line[found.end()..]);
            used.insert(metric);
            let braces = rest
                .strip_prefix('{')
                .and_then(|rest| rest.split('}').next())
                .unwrap_or_default();
            let asked: Vec<&str> = label
                .captures_iter(braces)
                .map(|part| part.get(1).expect("a group").as_str())
                .collect();
            if metric.contains(':') {
                assert!(recorded.contains(metric), "{metric} is not recorded");
                continue;
            }
            let known = labels_of(metric).unwrap_or_else(|| panic!("{metric} is not exported: {line}"));
            for asked in asked {
                assert!(known.contains(&asked), "{metric} has no label {asked}");
            }
        }
    }
    for recorded in recorded {
        assert!(used.contains(recorded));
    }
    let by = Regex::new(r"(?:by|on|group_left|without) \(([a-z_, ]*)\)").expect("good");
    let mut known: BTreeSet<&str> = FAMILIES.iter().flat_map(|family| family.labels).copied().collect();
    known.extend(["job", "instance", "team", "url"]);
    for list in by.captures_iter(RULES) {
        let list = list.get(1).expect("a group").as_str();
        for label in list.split(',').map(str::trim).filter(|label| !label.is_empty()) {
            assert!(known.contains(label), "no metric has the label {label}");
        }
    }
}

#[test]
fn every_alert_says_what_to_do() {
    let alerts = alerts();
    assert!(alerts.len() > 30, "{}", alerts.len());
    let mut names = BTreeSet::new();
    for alert in &alerts {
        let Alert {
            name,
            severity,
            annotations,
            ..
        } = alert;
        assert!(name.starts_with("BadGateway") && names.insert(name), "{name}");
        let by_log = severity.starts_with("'{{ with query") && severity.ends_with("}}warning{{ else }}info{{ end }}'");
        assert!(
            ["critical", "warning", "info"].contains(&severity.as_str()) || by_log,
            "{name}: {severity:?}"
        );
        assert_eq!(
            severity == "critical",
            PAGES.contains(&name.as_str()),
            "{name}: {severity}"
        );
        let annotation = |key: &str| annotations.get(key).map(String::as_str).unwrap_or_default();
        let summary = annotation("summary");
        assert!(summary.ends_with('.') && summary.len() < 100, "{name}: {summary:?}");
        assert!(
            annotation("description").len() > summary.len(),
            "{name}: {annotations:?}"
        );
        assert_eq!(annotation("runbook_url"), format!("{OWN_PAGES}/runbooks/{name}"));
        assert!(annotation("dashboard_url").starts_with(OWN_PAGES), "{name}");
        let of_upstream = summary.contains("$labels.upstream");
        let joined = alert
            .expression
            .ends_with("* on (upstream) group_left (team) upstream:badgateway_upstream_info:latest");
        assert_eq!(of_upstream, joined, "{name} of an upstream is joined with its team");
        assert!(
            !PAGES.contains(&name.as_str()) || alert.held,
            "{name}: a flap is one page"
        );
    }
    for page in PAGES {
        assert!(alerts.iter().any(|alert| alert.name == page), "{page}");
    }
    if alerts_folder().join("runbooks").is_dir() {
        let runbooks: BTreeSet<String> = RUNBOOKS
            .iter()
            .map(|file| file.name.to_owned())
            .filter(|name| name != "README")
            .collect();
        let alerts: BTreeSet<String> = alerts.into_iter().map(|alert| alert.name).collect();
        assert_eq!(alerts, runbooks, "alerts, and runbooks");
    }
}

#[test]
fn every_cause_a_probe_names_has_an_alert() {
    let asked = Regex::new(r#"(?:cause|reason)(=~|=|!=)"([^"]+)""#).expect("good");
    let expressions: String = alerts().into_iter().map(|alert| alert.expression).collect();
    let patterns: Vec<(String, Regex)> = asked
        .captures_iter(&expressions)
        .filter(|part| &part[1] != "!=")
        .map(|part| {
            (
                part[2].to_owned(),
                Regex::new(&format!("^(?:{})$", &part[2])).expect("good"),
            )
        })
        .collect();
    for cause in Cause::of_probes() {
        let by_cause = patterns.iter().any(|(_, pattern)| pattern.is_match(cause.label()));
        assert!(
            by_cause || cause.invalid_reason().is_some(),
            "no alert asks for {cause}"
        );
    }
}

#[test]
fn they_know_their_own_version() {
    assert!(
        RULES.contains(&format!("rules_version!=\"{VERSION}\"")),
        "write {VERSION} into BadGatewayRulesVersionDiffers"
    );
}

#[test]
fn runbooks_are_printed() {
    let names = badgateway(&["runbooks"]);
    assert_eq!(names.lines().count(), RUNBOOKS.len());
    for file in RUNBOOKS.iter().take(1) {
        assert_eq!(badgateway(&["runbooks", file.name]), file.text);
    }
}
