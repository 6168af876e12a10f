//! Fits the rules into an installation. The file is text with comments and stays that: only its words are changed.
//!
//! What the file keeps to for that, held by its tests: our metrics are named in queries and nowhere else but in
//! comments; the paging alerts are a group; links begin with [`OWN_PAGES`]; alerts get their labels from one join.

use super::RULES;

/// What every link of an annotation begins with: where this program is reached, looked up by the template.
pub const OWN_PAGES: &str = "{{ range query `url:badgateway_build_info:latest` }}{{ .Labels.url }}{{ end }}";

const PAGING_GROUP: &str = "  - name: badgateway-paging\n";
const GROUP: &str = "\n  - name: ";

/// How the rules shall differ from the file.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Matchers for every series of ours, without braces.
    pub selector: Option<String>,
    /// Labels besides `team` that alerts take over from the configuration.
    pub labels: Vec<String>,
    /// Where runbooks are, instead of on our own pages; the alert's name follows it.
    pub runbook_url: Option<String>,
    /// Grafana, instead of our own pages.
    pub dashboard_url: Option<String>,
    /// Leave out what pages.
    pub without_paging: bool,
}

/// The file, changed. The error says which wish cannot be met, and what would be right.
pub fn fit(changes: &Changes) -> Result<String, String> {
    let mut text = RULES.to_owned();
    if changes.without_paging {
        text = without_paging(&text);
    }
    if let Some(url) = &changes.runbook_url {
        let own = format!("{OWN_PAGES}/runbooks/");
        text = text.replace(&own, &format!("{}/", link("--runbook-url", url)?));
    }
    if let Some(url) = &changes.dashboard_url {
        let grafana = link("--dashboard-url", url)?;
        text = text.replace(
            &format!("{OWN_PAGES}/?q="),
            &format!("{grafana}/d/badgateway-upstream?var-upstream="),
        );
        text = text.replace(
            &format!("{OWN_PAGES}/\n"),
            &format!("{grafana}/d/badgateway-exporter\n"),
        );
    }
    text = with_labels(&text, &changes.labels)?;
    if let Some(selector) = &changes.selector {
        text = select(&text, matchers(selector)?);
    }
    Ok(text)
}

fn without_paging(text: &str) -> String {
    let start = text.find(PAGING_GROUP).expect("the paging alerts are a group");
    let rest = &text[start..];
    let length = rest.find(GROUP).map_or(rest.len(), |end| end + 1);
    [&text[..start], &rest[length..]].concat()
}

/// A URL that can stand in an annotation, without slashes at its end.
fn link(flag: &str, text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).ok();
    let good = url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    match good && !text.contains(['{', '}', '`', ' ', '\n']) {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(format!("{flag}: {text:?} is not a URL; write https://HOST/PATH")),
    }
}

fn with_labels(text: &str, labels: &[String]) -> Result<String, String> {
    let mut all = vec!["team"];
    for label in labels.iter().map(|label| label.trim()) {
        let first = label.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
        if !first || !label.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') {
            return Err(format!("--labels: {label:?} is not a label name; write a,b"));
        }
        if [
            "upstream",
            "severity",
            "alertname",
            "instance",
            "job",
            "hop",
            "cause",
            "verdict",
            "address",
        ]
        .contains(&label)
        {
            return Err(format!(
                "--labels: {label} is no configured label; alerts have their own reasons to carry it or not"
            ));
        }
        if !all.contains(&label) {
            all.push(label);
        }
    }
    let all = all.join(", ");
    Ok(text
        .replace("group_left (team)", &format!("group_left ({all})"))
        .replace("by (upstream, team)", &format!("by (upstream, {all})")))
}

/// The matchers inside the braces, which may be left out.
fn matchers(text: &str) -> Result<&str, String> {
    const MATCHERS: &str = r#"^[a-zA-Z_][a-zA-Z0-9_]*\s*(=|!=|=~|!~)\s*"([^"\\`%{\n]|\\["\\.])*"(\s*,\s*[a-zA-Z_][a-zA-Z0-9_]*\s*(=|!=|=~|!~)\s*"([^"\\`%{\n]|\\["\\.])*")*$"#;
    let bare = text.trim();
    let inside = match bare.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').unwrap_or(bare),
        None => bare,
    };
    let inside = inside.trim().trim_end_matches(',').trim_end();
    let good = regex::Regex::new(MATCHERS).expect("a good expression").is_match(inside);
    match good {
        true => Ok(inside),
        false => Err(format!(
            "--selector: {text:?} are no matchers; write '{{job=\"badgateway\"}}' (without backtick, %, {{ in a value)"
        )),
    }
}

/// Adds the matchers to every series that we expose; what the rules record is named with colons and has no such labels.
fn select(text: &str, matchers: &str) -> String {
    let mut changed = String::with_capacity(text.len() * 2);
    for line in text.split_inclusive('\n') {
        match line.trim_start().starts_with('#') {
            true => changed.push_str(line),
            false => select_in(&mut changed, line, matchers),
        }
    }
    changed
}

fn select_in(changed: &mut String, line: &str, matchers: &str) {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    let mut rest = line;
    while let Some(start) = rest.find(is_name) {
        let (before, from) = rest.split_at(start);
        let (name, after) = from.split_at(from.find(|char| !is_name(char)).unwrap_or(from.len()));
        changed.push_str(before);
        changed.push_str(name);
        rest = after;
        if name.contains(':') || !(name.starts_with("badgateway_") || name == "process_start_time_seconds") {
            continue;
        }
        match after.strip_prefix('{') {
            Some(inside) => {
                changed.push_str(&format!("{{{matchers}, "));
                rest = inside;
            }
            None => changed.push_str(&format!("{{{matchers}}}")),
        }
    }
    changed.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(change: impl FnOnce(&mut Changes)) -> Result<String, String> {
        let mut changes = Changes::default();
        change(&mut changes);
        fit(&changes)
    }

    #[test]
    fn without_wishes_it_is_the_file() {
        assert_eq!(fit(&Changes::default()).unwrap(), RULES);
    }

    #[test]
    fn paging_can_be_left_out_and_nothing_else_is() {
        let text = fitted(|changes| changes.without_paging = true).unwrap();
        let count = |text: &str| text.matches("- alert: ").count();
        assert_eq!(count(&text), count(RULES) - 3);
        assert!(!text.contains("severity: critical") && text.contains("- name: badgateway-budget\n"));
    }

    #[test]
    fn matchers_reach_every_series_of_ours_and_no_recorded_one() {
        let mut changed = String::new();
        select_in(
            &mut changed,
            "sum(rate(badgateway_a_total[5m])) / badgateway_b{hop=\"x\"} * upstream:badgateway_c:sum - up\n",
            "job=\"j\"",
        );
        let expected = "sum(rate(badgateway_a_total{job=\"j\"}[5m])) / badgateway_b{job=\"j\", hop=\"x\"} * upstream:badgateway_c:sum - up\n";
        assert_eq!(changed, expected);
        for good in ["{job=\"x\"}", "job=~\"a|b\",env!=\"c\"", " { job = \"x\" , } "] {
            assert!(matchers(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "{}",
            "job",
            "job=x",
            "{job=\"x\"",
            "job=\"a`b\"",
            "job=\"a\" or b=\"c\"",
            "job=\"{{ x }}\"",
        ] {
            assert!(matchers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_and_labels_are_replaced_everywhere() {
        let text = fitted(|changes| {
            changes.runbook_url = Some("https://wiki.example/502/".into());
            changes.dashboard_url = Some("https://grafana.example".into());
            changes.labels = vec!["tier".into(), "team".into()];
        })
        .unwrap();
        assert!(!text.contains(OWN_PAGES));
        assert!(text.contains(" https://wiki.example/502/BadGatewaySpike\n"));
        assert!(
            text.contains(
                " https://grafana.example/d/badgateway-upstream?var-upstream={{ urlquery $labels.upstream }}\n"
            )
        );
        assert!(text.contains(" https://grafana.example/d/badgateway-exporter\n"));
        assert!(text.contains("group_left (team, tier) ") && text.contains("by (upstream, team, tier) "));
    }

    #[test]
    fn a_wish_that_cannot_be_met_says_why() {
        for bad in ["wiki", "ftp://x/", "https://x/{{ y }}"] {
            assert!(
                fitted(|changes| changes.runbook_url = Some(bad.into())).is_err(),
                "{bad}"
            );
        }
        for bad in ["a b", "", "1a", "cause"] {
            assert!(fitted(|changes| changes.labels = vec![bad.into()]).is_err(), "{bad}");
        }
    }
}
