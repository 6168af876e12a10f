//! A report on one screen: how many, when, why, where, and examples.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cause::Cause;
use crate::cli::style::Style;
use crate::moment;
use crate::offline::Report;

/// Columns of the chart.
const CHART: usize = 60;
/// Rows of each table.
const ROWS: usize = 12;

/// The whole report.
pub(super) fn report(report: &Report) -> String {
    let style = Style::for_stdout();
    let mut out = String::new();
    totals(report, style, &mut out);
    chart(report, style, &mut out);
    causes(report, style, &mut out);
    backends(report, style, &mut out);
    samples(report, style, &mut out);
    unparsed(report, style, &mut out);
    out
}

fn totals(report: &Report, style: Style, out: &mut String) {
    let failed = report.failed_requests();
    let bad_gateways = report.responses.get(&502).copied().unwrap_or(0);
    let share = |part: u64| match report.requests {
        0 => String::new(),
        all => format!(" ({})", percent(part, all)),
    };
    let paint = |text: String, bad: bool| if bad { style.bad(&text) } else { style.good(&text) };
    let _ = writeln!(
        out,
        "{}: {} requests, {} failed, {} answered 502",
        style.strong(report.kind),
        grouped(report.requests),
        paint(format!("{}{}", grouped(failed), share(failed)), failed > 0),
        paint(
            format!("{}{}", grouped(bad_gateways), share(bad_gateways)),
            bad_gateways > 0
        ),
    );
    if let Some((first, last)) = report.span {
        let _ = writeln!(out, "from {} to {}", time(first), time(last));
    }
    let statuses: Vec<String> = report
        .responses
        .iter()
        .map(|(status, count)| format!("{} {}", crate::offline::status_label(*status), grouped(*count)))
        .collect();
    if !statuses.is_empty() {
        let _ = writeln!(out, "by status: {}", statuses.join(", "));
    }
    let asides: Vec<String> = [
        (report.retries, "retries"),
        (report.client_closed, "left by the client"),
        (report.synthetic, "probes and health checks set apart"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", grouped(*count)))
    .collect();
    if !asides.is_empty() {
        let _ = writeln!(out, "{}", asides.join(", "));
    }
}

/// The share of 502s over time: one column for each equal stretch.
fn chart(report: &Report, style: Style, out: &mut String) {
    let (Some((first, _)), Some((last, _))) = (report.minutes.first_key_value(), report.minutes.last_key_value())
    else {
        return;
    };
    if report.minutes.values().all(|(_, bad)| *bad == 0) || first == last {
        return;
    }
    let minutes = usize::try_from(last - first).unwrap_or(usize::MAX).saturating_add(1);
    let columns = minutes.min(CHART);
    let mut stretches: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for (minute, (all, bad)) in &report.minutes {
        let at = usize::try_from(minute - first).unwrap_or(0) as u128 * columns as u128 / minutes as u128;
        let stretch = stretches.entry(at as usize).or_default();
        stretch.0 += all;
        stretch.1 += bad;
    }
    let ratio = |stretch: &(u64, u64)| stretch.1 as f64 / stretch.0.max(1) as f64;
    let highest = stretches.values().map(ratio).fold(0.0, f64::max);
    let bar: String = (0..columns)
        .map(|column| match stretches.get(&column) {
            None => ' ',
            Some(stretch) if stretch.1 == 0 => '·',
            Some(stretch) => {
                const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
                BLOCKS[((ratio(stretch) / highest * 8.0).ceil() as usize).clamp(1, 8) - 1]
            }
        })
        .collect();
    let _ = writeln!(
        out,
        "\n{}, highest {:.1} %\n  {}\n  {:<width$}{}",
        style.strong("502s over time"),
        highest * 100.0,
        style.bad(&bar),
        short_time(first * 60_000),
        short_time(last * 60_000),
        width = columns.saturating_sub(5).max(6),
    );
}

fn causes(report: &Report, style: Style, out: &mut String) {
    let mut by_cause: Vec<(Cause, u64)> = report.failed.iter().map(|(cause, count)| (*cause, *count)).collect();
    if by_cause.is_empty() {
        return;
    }
    by_cause.sort_by_key(|(cause, count)| (std::cmp::Reverse(*count), *cause));
    let _ = writeln!(out, "\n{}", style.strong("Failed requests by cause"));
    for (cause, count) in by_cause.iter().take(ROWS) {
        let _ = writeln!(
            out,
            "  {:>9}  {}  {}",
            grouped(*count),
            style.bad(&format!("{:<32}", cause.label())),
            cause.meaning()
        );
        let candidates = candidates(report, *cause);
        if !candidates.is_empty() {
            let _ = writeln!(
                out,
                "             {}",
                style.faint(&format!("may be {}", candidates.join(", ")))
            );
        }
        let _ = writeln!(
            out,
            "             {}",
            style.faint(&format!("look at: {}", cause.look_at()))
        );
    }
}

fn candidates(report: &Report, cause: Cause) -> Vec<&'static str> {
    let mut all: Vec<Cause> = report
        .failures
        .iter()
        .filter(|(failure, _)| failure.cause == cause)
        .flat_map(|(_, count)| count.candidates.iter().copied())
        .collect();
    all.sort_unstable();
    all.dedup();
    all.iter().map(|cause| cause.label()).collect()
}

fn backends(report: &Report, style: Style, out: &mut String) {
    let failures = report.by_frequency();
    if failures.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", style.strong("Failed attempts by backend"));
    for (failure, count) in failures.iter().take(ROWS) {
        let backend = match (failure.backend.as_str(), failure.upstream.as_str()) {
            ("", "") => "not logged".to_owned(),
            (backend, "") => backend.to_owned(),
            ("", upstream) => upstream.to_owned(),
            (backend, upstream) if backend == upstream => backend.to_owned(),
            (backend, upstream) => format!("{backend} ({upstream})"),
        };
        let _ = writeln!(
            out,
            "  {:>9}  {:<32}  {backend}",
            grouped(count.count),
            failure.cause.label()
        );
    }
    if failures.len() > ROWS {
        let _ = writeln!(
            out,
            "  {}",
            style.faint(&format!("and {} more; --json lists all", failures.len() - ROWS))
        );
    }
}

fn samples(report: &Report, style: Style, out: &mut String) {
    if report.samples.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", style.strong("Examples"));
    for (cause, samples) in report.samples.iter().take(ROWS) {
        for sample in samples {
            let _ = writeln!(
                out,
                "  {}  {} {}  {}  {}",
                sample.time.map(time).unwrap_or_default(),
                crate::offline::status_label(sample.status.unwrap_or(0)),
                cause.label(),
                sample.path,
                sample.backend
            );
        }
    }
}

fn unparsed(report: &Report, style: Style, out: &mut String) {
    if report.unparsed == 0 {
        return;
    }
    let _ = writeln!(
        out,
        "\n{} {} lines were not understood (of {}); badgateway check --log FILE says why",
        style.warning("note:"),
        grouped(report.unparsed),
        grouped(report.parsed + report.unparsed)
    );
    for sample in &report.unparsed_samples {
        let _ = writeln!(out, "  {}", style.faint(sample));
    }
}

fn percent(part: u64, all: u64) -> String {
    format!("{:.2} %", part as f64 / all as f64 * 100.0)
}

/// `2000000` as `2,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn time(millis: i64) -> String {
    moment::rfc3339_millis(millis).replace('T', " ").replace('Z', "")
}

fn short_time(millis: i64) -> String {
    moment::rfc3339_millis(millis)
        .get(11..16)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(percent(1, 200), "0.50 %");
    }
}
