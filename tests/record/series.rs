//! Scrapes become series in promtool's notation, and a file of tests around them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::scenarios::Scenario;
use super::support::metrics::{Metrics, Sample};
use super::{FAULT, SCRAPES};
use badgateway::shipped::RULES;

/// Seconds of the tests that a scrape stands for, one second after the one before.
const STRETCH: f64 = 15.0;
/// Samples of a day of the tests.
const DAY: usize = 24 * 240;

/// Samples that continue a recording as its last ones went: in one of them long enough for a budget to recover.
fn tail(scenario: &str) -> usize {
    if scenario == "refused" { 9 * 240 } else { 2 * 240 }
}

/// What one daemon said.
pub struct Recording {
    instance: &'static str,
    scrapes: Vec<BTreeMap<String, (Sample, f64)>>,
}

impl Recording {
    pub fn new(instance: &'static str) -> Recording {
        Recording {
            instance,
            scrapes: Vec::new(),
        }
    }

    /// A scrape that failed.
    pub fn missed(&mut self) {
        self.scrapes.push(BTreeMap::new());
    }

    /// A scrape; kept is what the rules ask for.
    pub fn scraped(&mut self, page: &str) {
        let wanted = |sample: &Sample| {
            RULES.contains(&sample.name) && !sample.name.contains("last_round") && !sample.name.contains("schedule_lag")
        };
        let series = Metrics::parse(page, "").samples.into_iter().filter(wanted);
        self.scrapes.push(
            series
                .map(|sample| (self.key(&sample), (sample.clone(), sample.value)))
                .collect(),
        );
    }

    fn key(&self, sample: &Sample) -> String {
        let mut key = format!("{}{{job=\"badgateway\", instance=\"{}\"", sample.name, self.instance);
        for (name, value) in &sample.labels {
            let _ = write!(key, ", {name}={value:?}");
        }
        key + "}"
    }

    /// The series of an upstream, and what says which program this is.
    fn of<'a>(&'a self, upstream: &'a str) -> impl Iterator<Item = (&'a str, Vec<Option<f64>>)> {
        let mut keys: BTreeMap<&str, &Sample> = BTreeMap::new();
        for scrape in &self.scrapes {
            let wanted = scrape
                .iter()
                .filter(|(_, (sample, _))| match sample.labels.get("upstream") {
                    Some(of) => of == upstream,
                    None => sample.name == "badgateway_build_info",
                });
            keys.extend(wanted.map(|(key, (sample, _))| (key.as_str(), sample)));
        }
        keys.into_iter().map(|(key, sample)| {
            let timestamp = sample.name.ends_with("_timestamp_seconds");
            let values = self.scrapes.iter().map(|scrape| {
                let value = scrape.get(key)?.1;
                // The tests begin at the epoch.
                Some(if timestamp { (value - now()).round() } else { value })
            });
            (key, values.collect())
        })
    }
}

fn now() -> f64 {
    badgateway::clock::seconds(badgateway::clock::now())
}

/// Values in runs of equal steps. A series that vanishes is marked stale, as Prometheus does it.
fn notation(values: &[Option<f64>]) -> String {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < values.len() {
        let rest = &values[at..];
        let Some(first) = rest[0] else {
            let length = rest.iter().take_while(|value| value.is_none()).count();
            runs.push("stale".to_owned());
            if length > 1 {
                runs.push(format!("_x{}", length - 1));
            }
            at += length;
            continue;
        };
        let step = rest.get(1).copied().flatten().map_or(0.0, |second| second - first);
        let follows = |(index, value): &(usize, &Option<f64>)| **value == Some(first + step * *index as f64);
        let length = rest.iter().enumerate().take_while(follows).count().max(1);
        let sign = if step < 0.0 { '-' } else { '+' };
        runs.push(match length {
            1 => format!("{first}"),
            _ => format!("{first}{sign}{}x{}", step.abs(), length - 1),
        });
        at += length;
    }
    runs.join(" ")
}

/// Goes on as the last ones went.
fn prolong(values: &mut Vec<Option<f64>>, counter: bool, tail: usize) {
    let ends = [values.len() - 21, values.len() - 1].map(|at| values[at]);
    let step = match ends {
        [Some(earlier), Some(last)] if counter => ((last - earlier) / 20.0).round().max(0.0),
        _ => 0.0,
    };
    values.extend((1..=tail).map(|at| Some(ends[1]? + step * at as f64)));
}

/// The same again and again for a day. A counter goes on from where it was, but for one that fell in between.
fn repeat(values: &mut Vec<Option<f64>>, counter: bool) {
    let fell = values.windows(2).any(|pair| pair[1] < pair[0]);
    let once = values.clone();
    let gain = once.last().copied().flatten().unwrap_or_default() - once[0].unwrap_or_default();
    for round in 1..=DAY.div_ceil(once.len()) {
        let more = if counter && !fell { gain * round as f64 } else { 0.0 };
        values.extend(once.iter().map(|value| Some((*value)? + more)));
    }
}

/// Writes the tests of a scenario: silence before the fault, its alerts at its end, silence in the end.
pub fn write(scenario: &Scenario, recordings: &[Recording]) {
    let name = scenario.name;
    let mut text = format!(
        "# Recorded from two daemons by tests/record.rs; a second there is {STRETCH} s here. Not to be edited by hand.\n\
         rule_files: [../badgateway.rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 15s\n    name: {name}\n    input_series:\n"
    );
    for recording in recordings {
        for (key, mut values) in recording.of(name) {
            let counter = key.split('{').next().is_some_and(|name| name.ends_with("_total"));
            match name {
                "healthy" => repeat(&mut values, counter),
                _ => prolong(&mut values, counter, tail(name)),
            }
            let _ = writeln!(
                text,
                "      - series: '{}'\n        values: '{}'",
                key.replace('\'', "''"),
                notation(&values)
            );
        }
    }
    text.push_str("    promql_expr_test:\n");
    let minutes = |scrape: usize| scrape * 15 / 60;
    let budget = if scenario.users && name != "refused" {
        &["BadGatewaySlowBurn"][..]
    } else {
        &[]
    };
    let mut expected = vec![
        (minutes(FAULT.start) - 1, &[][..]),
        (minutes(FAULT.end) - 1, &scenario.alerts),
        (minutes(SCRAPES + tail(name)) - 1, budget),
    ];
    let mut alerts_now = "ALERTS{alertstate=\"firing\"}".to_owned();
    if name == "healthy" {
        // At no time of the day.
        expected = vec![(minutes(DAY), &[])];
        alerts_now = format!("max_over_time({alerts_now}[1d])");
    }
    for (at, alerts) in expected {
        let _ = writeln!(
            text,
            "      - expr: group by (alertname, upstream, team) ({alerts_now})\n        eval_time: {at}m\n        exp_samples:{}",
            if alerts.is_empty() { " []" } else { "" }
        );
        for alert in alerts {
            let _ = writeln!(
                text,
                "          - labels: '{{alertname=\"{alert}\", upstream=\"{name}\", team=\"payments\"}}'\n            value: 1"
            );
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("alerts/tests/recorded_{name}.yml"));
    std::fs::write(file, text).expect("written");
}
