//! A day of health: the recording of a healthy pair, with its restart and its reload, again and again for 24 hours. No alert
//! fires at any time of it, paging or not. Rules are evaluated twice a minute, for the sake of time; on the recording itself, which
//! `tests/rules.rs` runs too, as often as it is scraped.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use support::daemon::scratch;
use support::notation::{self, Values};
use support::programs;

/// Samples of a day, one every 15 s.
const DAY: usize = 24 * 240;
const STEP: f64 = 15.0;

/// What a series does from one repetition to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Motion {
    /// Counts on from where it was, but from 0 after a restart.
    Counts,
    /// Tells the time of what happens in every repetition.
    Tells,
    /// Tells the time of what happens once in a repetition: before that, it is the time before.
    Remembers,
    /// Is what it is.
    Stays,
}

fn motion(key: &str) -> Motion {
    let name = key.split('{').next().unwrap_or_default();
    match name {
        "badgateway_last_round_timestamp_seconds" | "badgateway_gateway_log_last_line_timestamp_seconds" => {
            Motion::Tells
        }
        "process_start_time_seconds" | "badgateway_config_last_reload_success_timestamp_seconds" => Motion::Remembers,
        _ if ["_total", "_bucket", "_count"].iter().any(|end| name.ends_with(end)) => Motion::Counts,
        _ => Motion::Stays,
    }
}

/// Where the process began anew: the first value after a gap.
fn restart(once: &[Option<f64>]) -> usize {
    let gap = once.windows(2).position(|pair| pair[0].is_some() && pair[1].is_none());
    let again = gap.and_then(|gap| {
        once[gap + 1..]
            .iter()
            .position(Option::is_some)
            .map(|after| gap + 1 + after)
    });
    again.unwrap_or(once.len())
}

/// The recording for a day.
fn repeat(once: &Values, motion: Motion) -> Values {
    let length = once.len();
    let known: Vec<f64> = once.iter().copied().flatten().collect();
    let (first, second) = (known[0], known.get(1).copied().unwrap_or(known[0]));
    let restart = restart(once);
    let changes = once.iter().position(|value| value.is_some_and(|value| value != first));
    let mut day: Values = once.clone();
    for round in 1..DAY.div_ceil(length) {
        let last = day.iter().rev().copied().flatten().next().expect("it has values");
        let passed = round as f64 * length as f64 * STEP;
        day.extend(once.iter().enumerate().map(|(at, value)| {
            let value = (*value)?;
            Some(match motion {
                Motion::Counts if at < restart => last + (second - first) + (value - first),
                Motion::Counts | Motion::Stays => value,
                Motion::Tells => value + passed,
                Motion::Remembers if changes.is_none_or(|change| at < change) => last,
                Motion::Remembers => value + passed,
            })
        }));
    }
    day.truncate(DAY);
    day
}

/// The file with every series of these upstreams and of no upstream repeated, and other questions.
fn file(recorded: &str, rules: &Path, upstreams: &[&str]) -> String {
    let (_, rest) = recorded.split_once("    input_series:\n").expect("series");
    let (series, _) = rest.split_once("    promql_expr_test:\n").expect("questions");
    let mut text = format!(
        "rule_files: [{}]\nevaluation_interval: 30s\ntests:\n  - interval: 15s\n    input_series:\n",
        rules.display()
    );
    let lines: Vec<&str> = series.lines().collect();
    let is_of = |key: &str, upstream: &str| key.contains(&format!("upstream=\"{upstream}\""));
    for pair in lines.chunks(2) {
        let key = pair[0].strip_prefix("      - series: ").expect("a series");
        if key.contains("upstream=") && !upstreams.iter().any(|upstream| is_of(key, upstream)) {
            continue;
        }
        let values = pair[1].trim().strip_prefix("values: '").expect("values");
        let once = notation::read(values.trim_end_matches('\''));
        let day = repeat(&once, motion(key.trim_matches('\'')));
        let _ = writeln!(
            text,
            "      - series: {key}\n        values: '{}'",
            notation::write(&day)
        );
    }
    text.push_str("    promql_expr_test:\n");
    let silence = "group by (alertname, upstream, instance) (max_over_time(ALERTS{alertstate=\"firing\"}[1d]))";
    // It was a day, of two instances, of which one began anew again and again and the other loaded its configuration, and
    // the rules had something to judge.
    let all = format!(
        "count(min_over_time(upstream:badgateway_errors_per_request:ratio_rate1h[23h]) == 0) == bool {}",
        upstreams.len()
    );
    let lived = [
        "min by (instance) (resets(badgateway_rounds_total[1d])) > bool 80",
        "min by (instance) (changes(badgateway_config_last_reload_success_timestamp_seconds[1d])) > bool 80",
        &all,
    ];
    let both = |first: u8| {
        format!(
            "labels: '{{instance=\"a:10502\"}}'\n            value: {first}\n          - labels: '{{instance=\"b:10502\"}}'\n            value: 1"
        )
    };
    let gives = [both(0), both(1), "labels: '{}'\n            value: 1".to_owned()];
    let _ = writeln!(
        text,
        "      - expr: {silence}\n        eval_time: 1439m\n        exp_samples: []"
    );
    for (expression, gives) in lived.iter().zip(gives) {
        let _ = writeln!(
            text,
            "      - expr: {expression}\n        eval_time: 1439m\n        exp_samples:\n          - {gives}"
        );
    }
    text
}

/// Runs a day of these upstreams.
fn nobody_is_woken_by(upstreams: &[&str]) {
    if !programs::have(&["promtool"]) {
        return;
    }
    let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
    let recorded = std::fs::read_to_string(alerts.join("tests/recorded_health.yml")).expect("recorded");
    let folder = scratch();
    let day = folder.join("day.yml");
    std::fs::write(&day, file(&recorded, &alerts.join("badgateway.rules.yml"), upstreams)).expect("written");
    let program = programs::find("promtool").expect("have it");
    let output = Command::new(program)
        .args(["test", "rules"])
        .arg(&day)
        .output()
        .expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn nobody_is_woken_on_a_healthy_day() {
    nobody_is_woken_by(&["plain", "secure", "three"]);
}

#[test]
fn nobody_is_woken_by_gateways_as_they_come() {
    nobody_is_woken_by(&["kept", "checked"]);
}

#[test]
fn a_recording_is_repeated_as_it_would_have_gone_on() {
    let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Values>();
    let counter = [some(&[10.0, 11.0, 12.0]), vec![None], some(&[0.0, 1.0])].concat();
    let twice = repeat(&counter, Motion::Counts);
    assert_eq!(twice.len(), DAY);
    assert_eq!(
        twice[5..11],
        [some(&[1.0, 2.0, 3.0, 4.0]), vec![None], some(&[0.0])].concat()
    );
    assert_eq!(
        repeat(&some(&[3.0, 4.0]), Motion::Counts)[..5],
        some(&[3.0, 4.0, 5.0, 6.0, 7.0])
    );
    assert_eq!(
        repeat(&some(&[-5.0, 20.0]), Motion::Remembers)[..5],
        some(&[-5.0, 20.0, 20.0, 50.0, 50.0])
    );
    assert_eq!(
        repeat(&some(&[1.0, 16.0]), Motion::Tells)[..4],
        some(&[1.0, 16.0, 31.0, 46.0])
    );
    let text = notation::write(&counter);
    assert_eq!((text.as_str(), notation::read(&text)), ("10+1x2 stale 0+1x1", counter));
}
