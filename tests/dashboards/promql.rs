//! As much of PromQL as a lint needs: which series a query selects and how, and which labels it names. Whether it is
//! PromQL at all is asked of Prometheus.

/// What a query selects and names.
#[derive(Debug, Default)]
pub struct Query<'a> {
    pub selectors: Vec<Selector<'a>>,
    /// Labels in `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`.
    pub grouping: Vec<&'a str>,
}

/// One selection of series.
#[derive(Debug)]
pub struct Selector<'a> {
    pub metric: &'a str,
    /// Label, operator, value.
    pub matchers: Vec<(&'a str, &'a str, &'a str)>,
    /// What stands in brackets behind it.
    pub range: Option<&'a str>,
    /// The function it is the argument of.
    pub inside: Option<&'a str>,
}

const AGGREGATIONS: &[&str] = &["sum", "min", "max", "avg", "count", "group", "topk", "bottomk"];
const GROUPINGS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
const KEYWORDS: &[&str] = &["and", "or", "unless", "bool", "offset"];

/// Reads a query.
pub fn read(text: &str) -> Query<'_> {
    let mut query = Query::default();
    let mut calls: Vec<Option<&str>> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            '"' => rest = quoted(rest).1,
            '(' => {
                calls.push(None);
                rest = &rest[1..];
            }
            ')' => {
                calls.pop();
                rest = &rest[1..];
            }
            '[' => rest = rest.split_once(']').expect("brackets close").1,
            '0'..='9' => rest = rest.trim_start_matches(|char: char| char.is_ascii_alphanumeric() || char == '.'),
            _ if is_word(first) => {
                let (word, after) = split_word(rest);
                let next = after.trim_start();
                rest = after;
                if GROUPINGS.contains(&word) {
                    let (labels, after) = next
                        .strip_prefix('(')
                        .and_then(|inside| inside.split_once(')'))
                        .expect(text);
                    query
                        .grouping
                        .extend(labels.split(',').map(str::trim).filter(|label| !label.is_empty()));
                    rest = after;
                } else if let Some(inside) = next.strip_prefix('(') {
                    calls.push(Some(word));
                    rest = inside;
                } else if !AGGREGATIONS.contains(&word) && !KEYWORDS.contains(&word) {
                    let (selector, after) = selector(word, after, calls.last().copied().flatten());
                    query.selectors.push(selector);
                    rest = after;
                }
            }
            other => rest = &rest[other.len_utf8()..],
        }
    }
    query
}

fn selector<'a>(metric: &'a str, mut rest: &'a str, inside: Option<&'a str>) -> (Selector<'a>, &'a str) {
    let mut matchers = Vec::new();
    if let Some(mut part) = rest.strip_prefix('{') {
        while !part.starts_with('}') {
            let (label, after) = split_word(part);
            let quote = after.find('"').expect("a matcher has a value");
            let (value, after) = quoted(&after[quote..]);
            matchers.push((label, part[label.len()..label.len() + quote].trim(), value));
            part = after.trim_start_matches([',', ' ']);
        }
        rest = &part[1..];
    }
    let range = rest.strip_prefix('[').and_then(|range| range.split_once(']'));
    let selector = Selector {
        metric,
        matchers,
        range: range.map(|(range, _)| range),
        inside,
    };
    (selector, range.map_or(rest, |(_, after)| after))
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_' || char == ':'
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|char| !is_word(char)).unwrap_or(text.len()))
}

/// What stands between the quotes a text begins with, and what follows them. No query of ours escapes a quote.
fn quoted(text: &str) -> (&str, &str) {
    text[1..].split_once('"').expect("quotes close")
}

#[test]
fn a_query_is_read() {
    let query = read(
        r#"60 * sum by (hop, code) (rate(a_total{job=~"$job", x!="(}"}[5m])) / on () group_left () (b:c > bool 0.5) or c{}"#,
    );
    let names: Vec<_> = query.selectors.iter().map(|selector| selector.metric).collect();
    assert_eq!(names, ["a_total", "b:c", "c"]);
    assert_eq!(query.grouping, ["hop", "code"]);
    let first = &query.selectors[0];
    assert_eq!(first.matchers, [("job", "=~", "$job"), ("x", "!=", "(}")]);
    assert_eq!((first.range, first.inside), (Some("5m"), Some("rate")));
    assert_eq!((query.selectors[1].range, query.selectors[1].inside), (None, None));
}
