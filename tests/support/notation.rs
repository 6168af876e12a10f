//! Series in the notation of promtool's tests: runs of equal steps, and gaps.

/// One value for each scrape; `None` where there was none.
pub type Values = Vec<Option<f64>>;

/// Runs of equal steps. A series that vanishes is marked stale, as Prometheus does it.
pub fn write(values: &[Option<f64>]) -> String {
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

/// What [`write`] wrote; panics on anything else.
pub fn read(text: &str) -> Values {
    let number = |text: &str| -> f64 { text.parse().unwrap_or_else(|_| panic!("no number: {text:?}")) };
    let mut values = Vec::new();
    for run in text.split(' ') {
        if run == "stale" {
            values.push(None);
        } else if let Some(length) = run.strip_prefix("_x") {
            values.extend(std::iter::repeat_n(None, number(length) as usize));
        } else if let Some((steps, count)) = run.split_once('x') {
            let sign = steps.rfind(['+', '-']).expect("a step");
            let (first, step) = (number(&steps[..sign]), number(&steps[sign..]));
            values.extend((0..=number(count) as usize).map(|index| Some(first + step * index as f64)));
        } else {
            values.push(Some(number(run)));
        }
    }
    values
}
