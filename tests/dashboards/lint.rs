//! What can be said of the files without running anything. Where a rule is one of grafana/dashboard-linter it has its name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;

use badgateway::cause::Cause;
use badgateway::metrics::{FAMILIES, Kind};
use badgateway::verdict::Verdict;
use regex::Regex;
use serde_json::{Value, json};

use super::{Dashboard, OF_NODE, OF_PROMETHEUS, OF_RULES, dashboards, folder, list, promql, targets, text};

/// What panels may be: nothing that needs Angular or a plugin.
const TYPES: &[&str] = &["stat", "timeseries", "table", "bargauge", "state-timeline"];
/// Units in use, of those Grafana knows.
const UNITS: &[&str] = &[
    "none",
    "short",
    "percentunit",
    "s",
    "dtdurations",
    "bytes",
    "cpm",
    "ops",
    "reqps",
];
/// Labels that users configure and dashboards name.
const CONFIGURED: &[&str] = &["team"];

/// Fails with all that is wrong.
fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_is_a_dashboard_that_can_be_provisioned() {
    let mut wrong = Vec::new();
    for Dashboard { name, json } in dashboards() {
        let mut wants = |what: &str, holds: bool| {
            if !holds {
                wrong.push(format!("{name}: {what}"));
            }
        };
        let schema = json["schemaVersion"].as_u64().unwrap_or_default();
        wants("schemaVersion of Grafana 11 to 13", (39..=42).contains(&schema));
        wants("its file's name as uid", json["uid"] == format!("badgateway-{name}"));
        wants("no id, which is the database's", json.get("id").is_none());
        wants("a title", text(&json["title"]).starts_with("badgateway / "));
        wants("a description", text(&json["description"]).ends_with('.'));
        wants("the tag that the links go by", json["tags"] == json!(["badgateway"]));
        wants("uneditable-dashboard-rule", json["editable"] == false);
        wants("no __inputs", json.get("__inputs").is_none());
        let link = &json["links"][0];
        wants(
            "links to the others that keep variables and time",
            link["tags"] == json!(["badgateway"]) && link["includeVars"] == true && link["keepTime"] == true,
        );
    }
    report(wrong);
}

#[test]
fn variables_choose_data_source_job_and_instance() {
    let mut wrong = Vec::new();
    for dashboard in dashboards() {
        let name = &dashboard.name;
        let variables: Vec<&str> = dashboard.variables().map(|variable| text(&variable["name"])).collect();
        if variables[..3] != ["datasource", "job", "instance"] {
            wrong.push(format!("{name}: begins with {variables:?}"));
        }
        for variable in dashboard.variables() {
            let (of, label) = (text(&variable["name"]), text(&variable["label"]));
            let mut wants = |rule: &str, holds: bool| {
                if !holds {
                    wrong.push(format!("{name}: variable {of}: {rule}"));
                }
            };
            if of == "datasource" {
                let chooses = variable["type"] == "datasource" && variable["query"] == "prometheus";
                wants("template-datasource-rule", chooses && label == "Data source");
                continue;
            }
            wants(
                "panel-datasource-rule",
                variable["datasource"]["uid"] == "${datasource}",
            );
            wants(
                "a query",
                variable["type"] == "query" && variable["query"] == variable["definition"],
            );
            wants("template-on-time-change-reload-rule", variable["refresh"] == 2);
            if of == "job" || of == "instance" {
                let rule = format!("template-{of}-rule");
                let all = variable["multi"] == true && variable["includeAll"] == true && variable["allValue"] == ".+";
                wants(&rule, all && label.to_lowercase() == of);
            }
            let query = text(&variable["query"]);
            let inside = query
                .strip_prefix("label_values(")
                .and_then(|query| query.strip_suffix(')'));
            let Some((selector, wanted)) = inside.and_then(|inside| inside.rsplit_once(", ")) else {
                wants("template-label-promql-rule", false);
                continue;
            };
            let read = promql::read(selector);
            wants(
                "template-label-promql-rule",
                read.selectors.len() == 1 && known_labels(&read).is_some_and(|labels| labels.contains(wanted)),
            );
        }
    }
    report(wrong);
}

#[test]
fn panels_say_what_they_show() {
    let mut wrong = Vec::new();
    for dashboard in dashboards() {
        let (mut ids, mut titles) = (HashSet::new(), HashSet::new());
        for panel in dashboard.all_panels() {
            let title = text(&panel["title"]);
            let mut wants = |what: &str, holds: bool| {
                if !holds {
                    wrong.push(format!("{}: {title:?}: {what}", dashboard.name));
                }
            };
            wants(
                "an id of its own",
                panel["id"].as_u64().is_some_and(|id| ids.insert(id)),
            );
            wants("a title of its own", !title.is_empty() && titles.insert(title));
            if panel["type"] == "row" {
                continue;
            }
            let kind = text(&panel["type"]);
            wants("a type that Grafana itself draws", TYPES.contains(&kind));
            let description = text(&panel["description"]);
            wants("panel-title-description-rule", description.ends_with('.'));
            wants(
                "panel-datasource-rule",
                panel["datasource"] == json!({ "type": "prometheus", "uid": "${datasource}" }),
            );
            let defaults = &panel["fieldConfig"]["defaults"];
            wants("panel-units-rule", UNITS.contains(&text(&defaults["unit"])));
            // Above all where a filter leaves nothing to show: empty must not look broken.
            let filtered = targets(panel).any(|target| target.expression.contains("> 0") || kind == "table");
            wants(
                "a word for no data",
                !filtered || !text(&defaults["noValue"]).is_empty(),
            );
            let references: HashSet<&str> = list(&panel["targets"]).map(|target| text(&target["refId"])).collect();
            let count = list(&panel["targets"]).count();
            wants("panel-no-targets-rule", count > 0 && references.len() == count);
            wants(
                "instant queries in tables",
                kind != "table"
                    || list(&panel["targets"]).all(|target| target["instant"] == true && target["format"] == "table"),
            );
        }
    }
    report(wrong);
}

#[test]
fn panels_fill_the_grid_without_overlap() {
    let mut wrong = Vec::new();
    for dashboard in dashboards() {
        let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        for panel in list(&dashboard.json["panels"]) {
            let (title, at) = (text(&panel["title"]), |key: &str| {
                panel["gridPos"][key].as_u64().expect("a number")
            });
            let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
            if w == 0 || h == 0 || x + w > 24 {
                wrong.push(format!("{}: {title:?} leaves the grid", dashboard.name));
            }
            for cell in (y..y + h).flat_map(|y| (x..x + w).map(move |x| (y, x))) {
                if let Some(other) = taken.insert(cell, title) {
                    wrong.push(format!("{}: {title:?} lies on {other:?}", dashboard.name));
                    break;
                }
            }
        }
        let bottom = taken.last_key_value().expect("panels").0.0 + 1;
        if taken.len() as u64 != bottom * 24 {
            wrong.push(format!("{}: holes in the grid", dashboard.name));
        }
    }
    report(wrong);
}

/// `.lint`: rule → the panels it does not hold for. The linter's file is YAML, of which JSON is a part.
fn exceptions() -> BTreeMap<String, BTreeSet<(String, String)>> {
    let file = fs::read_to_string(folder().join(".lint")).expect("the exceptions can be read");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let rules = file["exclusions"].as_object().expect("rules");
    let entry = |entry: &Value| (text(&entry["dashboard"]).to_owned(), text(&entry["panel"]).to_owned());
    rules
        .iter()
        .map(|(rule, excluded)| {
            assert!(text(&excluded["reason"]).ends_with('.'), "{rule}: a reason");
            (rule.clone(), list(&excluded["entries"]).map(entry).collect())
        })
        .collect()
}

/// The labels that the series of a query can have; nothing where a metric is unknown.
fn known_labels<'a>(query: &promql::Query<'a>) -> Option<BTreeSet<&'a str>> {
    let mut labels = BTreeSet::from(["job", "instance"]);
    labels.extend(CONFIGURED);
    for selector in &query.selectors {
        labels.extend(labels_of(selector.metric)?);
    }
    Some(labels)
}

/// The labels of a metric, those of the target aside.
fn labels_of(metric: &str) -> Option<Vec<&'static str>> {
    if OF_PROMETHEUS.contains(&metric) {
        return Some(Vec::new());
    }
    if let Some((_, labels)) = OF_RULES.iter().chain(OF_NODE).find(|(name, _)| *name == metric) {
        return Some(labels.to_vec());
    }
    let exported = |family: &&badgateway::metrics::Family| match family.kind {
        Kind::Histogram => ["_bucket", "_count", "_sum"]
            .iter()
            .any(|end| metric.strip_suffix(end) == Some(family.name)),
        _ => metric == family.name,
    };
    let family = FAMILIES.iter().find(exported)?;
    let mut labels = family.labels.to_vec();
    if metric.ends_with("_bucket") {
        labels.push("le");
    }
    Some(labels)
}

fn grows(metric: &str) -> bool {
    ["_total", "_bucket", "_count", "_sum"]
        .iter()
        .any(|end| metric.ends_with(end))
}

#[test]
fn queries_keep_the_rules() {
    let mut unused = exceptions();
    let exceptions = unused.clone();
    // A label that label_replace makes of another.
    let made = Regex::new(r#""(\w+)", "\$1", "\w+""#).expect("good");
    let mut wrong = Vec::new();
    for dashboard in dashboards() {
        let variables: Vec<&str> = dashboard.variables().map(|variable| text(&variable["name"])).collect();
        for panel in dashboard.panels() {
            let place = (
                text(&dashboard.json["title"]).to_owned(),
                text(&panel["title"]).to_owned(),
            );
            let mut excepted = |rule: &str| {
                unused.get_mut(rule).is_some_and(|entries| entries.remove(&place))
                    || exceptions.get(rule).is_some_and(|entries| entries.contains(&place))
            };
            for target in targets(panel) {
                let query = promql::read(target.expression);
                let mut found: Vec<String> = Vec::new();
                if query.selectors.is_empty() {
                    found.push("selects nothing".into());
                }
                for selector in &query.selectors {
                    let name = selector.metric;
                    for label in ["job", "instance"] {
                        let rule = format!("target-{label}-rule");
                        let value = format!("${label}");
                        let has = selector.matchers.contains(&(label, "=~", value.as_str()));
                        if !has && !excepted(&rule) {
                            found.push(format!("{rule}: {name}"));
                        }
                    }
                    let chosen = |(label, operator, value): &(&str, &str, &str)| {
                        *label == "upstream"
                            && (*operator == "=" && *value == "$upstream"
                                || *operator == "=~" && value.starts_with("$upstream"))
                    };
                    let has_upstream = labels_of(name).is_some_and(|labels| labels.contains(&"upstream"));
                    if has_upstream && variables.contains(&"upstream") && !selector.matchers.iter().any(chosen) {
                        found.push(format!("{name} of all upstreams"));
                    }
                    if matches!(selector.inside, Some("rate" | "irate")) && selector.range != Some("$__rate_interval") {
                        found.push(format!("target-rate-interval-rule: {name}"));
                    }
                    if grows(name) && !matches!(selector.inside, Some("rate" | "irate" | "increase")) {
                        found.push(format!("target-counter-agg-rule: {name}"));
                    }
                    let labels = labels_of(name);
                    if labels.is_none() {
                        found.push(format!("{name} is not exported"));
                    }
                    for (label, ..) in &selector.matchers {
                        let of_target = ["job", "instance"].contains(label);
                        if !of_target && labels.as_ref().is_some_and(|labels| !labels.contains(label)) {
                            found.push(format!("{name} has no label {label}"));
                        }
                    }
                }
                let mut known = known_labels(&query).unwrap_or_default();
                let labels = made.captures_iter(target.expression);
                known.extend(labels.filter_map(|label| Some(label.get(1)?.as_str())));
                for label in &query.grouping {
                    if !known.contains(label) {
                        found.push(format!("no series has the label {label}"));
                    }
                }
                for label in target
                    .legend
                    .split("{{")
                    .skip(1)
                    .filter_map(|part| part.split("}}").next())
                {
                    let kept = match query.grouping.is_empty() {
                        true => known.contains(label),
                        false => query.grouping.contains(&label),
                    };
                    if !kept {
                        found.push(format!("the legend names {label}, which the query does not keep"));
                    }
                }
                wrong.extend(found.iter().map(|found| format!("{} / {}: {found}", place.0, place.1)));
            }
        }
    }
    wrong.extend(unused.iter().flat_map(|(rule, entries)| {
        entries
            .iter()
            .map(move |entry| format!(".lint: {rule}: {entry:?} needs no exception"))
    }));
    report(wrong);
}

#[test]
fn recorded_series_are_recorded() {
    let Ok(rules) = fs::read_to_string(super::rules()) else {
        return;
    };
    for (name, _) in OF_RULES.iter().filter(|(name, _)| name.contains(':')) {
        assert!(rules.contains(&format!("record: {name}\n")), "{name} is not recorded");
    }
}

#[test]
fn every_variable_used_is_defined_and_every_link_leads_somewhere() {
    let used = Regex::new(r"\$\{?([A-Za-z_]+)").expect("a pattern");
    let linked = Regex::new(r"/d/([a-z-]+)").expect("a pattern");
    let all = dashboards();
    let uids: Vec<&str> = all.iter().map(|dashboard| text(&dashboard.json["uid"])).collect();
    let mut wrong = Vec::new();
    for dashboard in &all {
        let json = dashboard.json.to_string();
        let variables: Vec<&str> = dashboard.variables().map(|variable| text(&variable["name"])).collect();
        for name in used
            .captures_iter(&json)
            .map(|found| found.get(1).expect("a name").as_str())
        {
            if !name.starts_with("__") && !variables.contains(&name) {
                wrong.push(format!("{}: ${name} is not defined", dashboard.name));
            }
        }
        for uid in linked
            .captures_iter(&json)
            .map(|found| found.get(1).expect("a uid").as_str())
        {
            if !uids.contains(&uid) {
                wrong.push(format!("{}: no dashboard {uid}", dashboard.name));
            }
        }
    }
    report(wrong);
}

/// The colours a panel gives to causes: by overrides of what a legend becomes, by mappings of a column's values.
fn colours_of_causes(panel: &Value) -> Vec<(&'static str, Vec<String>)> {
    let matches = |pattern: &str, name: &str| Regex::new(pattern).expect("a pattern").is_match(name);
    let legend = targets(panel)
        .map(|target| target.legend)
        .find(|legend| legend.contains("{{cause}}"));
    let overrides = || list(&panel["fieldConfig"]["overrides"]);
    let column = overrides().find(|cell| cell["matcher"]["options"] == "Cause");
    let of = |cause: &str| -> Vec<String> {
        if let Some(legend) = legend {
            let name = legend.replace("{{cause}}", cause).replace("{{hop}}", "origin");
            overrides()
                .filter(|cell| {
                    cell["matcher"]["id"] == "byRegexp"
                        && matches(text(&cell["matcher"]["options"]).trim_matches('/'), &name)
                })
                .map(|cell| text(&cell["properties"][0]["value"]["fixedColor"]).to_owned())
                .collect()
        } else {
            list(&column.expect("found before")["properties"])
                .filter(|property| property["id"] == "mappings")
                .flat_map(|property| list(&property["value"]))
                .filter(|mapping| matches(text(&mapping["options"]["pattern"]), cause))
                .map(|mapping| text(&mapping["options"]["result"]["color"]).to_owned())
                .collect()
        }
    };
    if legend.is_none() && column.is_none() {
        return Vec::new();
    }
    Cause::ALL
        .iter()
        .map(|cause| (cause.label(), of(cause.label())))
        .collect()
}

#[test]
fn a_cause_has_one_colour_everywhere() {
    let (mut colours, mut panels, mut wrong) = (BTreeMap::new(), 0, Vec::new());
    for dashboard in dashboards() {
        for panel in dashboard.panels() {
            let found = colours_of_causes(panel);
            panels += usize::from(!found.is_empty());
            for (cause, of) in found {
                let here = format!("{}: {}: {cause}", dashboard.name, panel["title"]);
                match &of[..] {
                    [colour] if colours.entry(cause).or_insert_with(|| colour.clone()) == colour => {}
                    other => wrong.push(format!("{here} is {other:?}, elsewhere {:?}", colours.get(cause))),
                }
            }
        }
    }
    assert_eq!(panels, 7, "panels that show causes");
    report(wrong);
}

/// The colours a panel gives to verdicts: by name of a series, by value of a column, by number.
fn colours_of_verdicts(panel: &Value, verdict: &str) -> Vec<String> {
    let config = &panel["fieldConfig"];
    let mut found = Vec::new();
    let properties =
        || list(&config["overrides"]).flat_map(|cell| list(&cell["properties"]).map(move |property| (cell, property)));
    for (cell, property) in properties() {
        if cell["matcher"]["options"] == verdict {
            found.push(text(&property["value"]["fixedColor"]).to_owned());
        }
    }
    let mappings = properties()
        .filter(|(_, property)| property["id"] == "mappings")
        .flat_map(|(_, property)| list(&property["value"]));
    for mapping in mappings.chain(list(&config["defaults"]["mappings"])) {
        for (value, result) in mapping["options"].as_object().into_iter().flatten() {
            if value == verdict || result["text"] == verdict {
                found.push(text(&result["color"]).to_owned());
            }
        }
    }
    found
}

#[test]
fn a_verdict_has_one_colour_everywhere_and_the_timeline_its_number() {
    let mut colours: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let numbered = Regex::new(r#"([0-9]+) \* badgateway_verdict\{[^}]*verdict="([a-z_]+)""#).expect("a pattern");
    for dashboard in dashboards() {
        for panel in dashboard.panels() {
            for verdict in Verdict::ALL.iter().map(|verdict| verdict.label()) {
                colours
                    .entry(verdict)
                    .or_default()
                    .extend(colours_of_verdicts(panel, verdict));
            }
            for target in targets(panel) {
                let mut count = 0;
                for found in numbered.captures_iter(target.expression) {
                    let result = &panel["fieldConfig"]["defaults"]["mappings"][0]["options"][&found[1]];
                    assert_eq!(result["text"], found[2], "{}", panel["title"]);
                    count += 1;
                }
                assert!(
                    count == 0 || count == Verdict::ALL.len(),
                    "{}: some verdicts only",
                    panel["title"]
                );
            }
        }
    }
    for (verdict, found) in colours {
        let one = found.iter().all(|colour| *colour == found[0]);
        assert!(found.len() == 3 && one, "{verdict}: {found:?}");
    }
}
