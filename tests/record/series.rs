//! Scrapes become series, and a file of promtool's tests around them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::support::metrics::{Metrics, Sample};
use super::support::notation::{self, Values};
use badgateway::shipped::RULES;

/// Seconds of the tests from one scrape to the next.
pub const STEP: usize = 15;

/// When the configuration was loaded last.
const LOADED: &str = "badgateway_config_last_reload_success_timestamp_seconds";

/// A series as a test names it, and its values.
pub type Series = (String, Values);

/// What one daemon said.
pub struct Recording {
    instance: &'static str,
    /// Seconds of the tests that a second stands for.
    stretch: f64,
    /// The epoch of the tests.
    begin: f64,
    scrapes: Vec<BTreeMap<String, (Sample, f64)>>,
}

impl Recording {
    /// Begins now.
    pub fn new(instance: &'static str, stretch: f64) -> Recording {
        Recording {
            instance,
            stretch,
            begin: badgateway::clock::seconds(badgateway::clock::now()),
            scrapes: Vec::new(),
        }
    }

    /// A scrape that failed.
    pub fn missed(&mut self) {
        self.keep(Vec::new(), 0.0);
    }

    /// A scrape; kept is what the rules ask for, and what shows that a configuration was loaded.
    pub fn scraped(&mut self, page: &str) {
        let samples = Metrics::parse(page, "").samples;
        let names: BTreeSet<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
        let asked: BTreeSet<String> = names
            .into_iter()
            .filter(|name| RULES.contains(name) || *name == LOADED)
            .map(ToOwned::to_owned)
            .collect();
        let wanted = |sample: &Sample| {
            let late = sample.name.ends_with("schedule_lag_seconds_bucket");
            asked.contains(&sample.name) && (!late || sample.labels["le"].parse() == Ok(1.0))
        };
        self.keep(samples.into_iter().filter(wanted).collect(), 1.0);
    }

    /// Keeps a scrape with what Prometheus says of it.
    fn keep(&mut self, mut samples: Vec<Sample>, up: f64) {
        samples.push(Sample {
            name: "up".to_owned(),
            labels: BTreeMap::new(),
            value: up,
        });
        let keyed = samples.into_iter().map(|sample| {
            let value = self.in_test_time(&sample);
            (self.key(&sample), (sample, value))
        });
        let scrape = keyed.collect();
        self.scrapes.push(scrape);
    }

    /// Times since the beginning are stretched like the time between scrapes; when a certificate ends is not.
    fn in_test_time(&self, sample: &Sample) -> f64 {
        let since = sample.value - self.begin;
        match sample.name.as_str() {
            "badgateway_round_interval_seconds" => sample.value * self.stretch,
            "badgateway_tls_certificate_expiry_timestamp_seconds" => since.round(),
            name if name.ends_with("_timestamp_seconds") || name.ends_with("_time_seconds") => {
                (since * self.stretch).round()
            }
            _ => sample.value,
        }
    }

    fn key(&self, sample: &Sample) -> String {
        let mut key = format!("{}{{job=\"badgateway\", instance=\"{}\"", sample.name, self.instance);
        for (name, value) in &sample.labels {
            let _ = write!(key, ", {name}={value:?}");
        }
        key + "}"
    }

    /// Those of its series that are wanted.
    pub fn series(&self, wanted: impl Fn(&Sample) -> bool) -> Vec<Series> {
        let samples = self.scrapes.iter().flatten();
        let wanted = samples.filter(|(_, (sample, _))| wanted(sample));
        let keys: BTreeSet<&String> = wanted.map(|(key, _)| key).collect();
        let values = |key: &String| self.scrapes.iter().map(|scrape| Some(scrape.get(key)?.1)).collect();
        keys.into_iter().map(|key| (key.clone(), values(key))).collect()
    }
}

/// Goes on as the last ones went: what counts or tells the time of something that happens again moves on.
pub fn prolong((key, values): &mut Series, tail: usize) {
    let name = key.split('{').next().unwrap_or_default();
    let moves = ["_total", "_bucket", "_count", "last_round_timestamp_seconds"];
    let ends = [values.len() - 21, values.len() - 1].map(|at| values[at]);
    let step = match ends {
        [Some(earlier), Some(last)] if moves.iter().any(|end| name.ends_with(end)) => {
            ((last - earlier) / 20.0).round().max(0.0)
        }
        _ => 0.0,
    };
    values.extend((1..=tail).map(|at| Some(ends[1]? + step * at as f64)));
}

/// What an expression gives at a moment.
pub struct Check {
    pub expression: String,
    /// Since the beginning.
    pub minute: usize,
    /// The label sets it gives, each with the value 1.
    pub gives: Vec<String>,
}

/// Which alerts fire, by the labels that tell them apart.
pub fn firing(labels: &str) -> String {
    format!("group by ({labels}) (ALERTS{{alertstate=\"firing\"}})")
}

/// One file with one test.
pub struct File<'a> {
    pub name: &'a str,
    /// How it came about; one sentence each.
    pub note: &'a str,
    /// Time between two evaluations.
    pub evaluation: &'a str,
}

impl File<'_> {
    /// Writes it.
    pub fn write(&self, series: &[Series], checks: &[Check]) {
        let File { name, note, evaluation } = self;
        let mut text = format!(
            "# {note} Not to be edited by hand.\nrule_files: [../badgateway.rules.yml]\nevaluation_interval: {evaluation}\n\
             tests:\n  - interval: {STEP}s\n    name: {name}\n    input_series:\n"
        );
        for (key, values) in series {
            let (key, values) = (key.replace('\'', "''"), notation::write(values));
            let _ = writeln!(text, "      - series: '{key}'\n        values: '{values}'");
        }
        text.push_str("    promql_expr_test:\n");
        for check in checks {
            let empty = if check.gives.is_empty() { " []" } else { "" };
            let _ = writeln!(
                text,
                "      - expr: {}\n        eval_time: {}m\n        exp_samples:{empty}",
                check.expression, check.minute
            );
            for labels in &check.gives {
                let _ = writeln!(text, "          - labels: '{{{labels}}}'\n            value: 1");
            }
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("alerts/tests/recorded_{name}.yml"));
        std::fs::write(file, text).expect("written");
    }
}
