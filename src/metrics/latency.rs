//! `upstream_latency_seconds`: the one family with exemplars, written here in the library's own text.
//!
//! The library's `Exemplar` cannot be made outside of its own metric types, which cost a hash map for every histogram.

use std::fmt::{self, Write};

use super::Tables;
use super::catalogue::{Family, LATENCY};
use super::hop::HopMetrics;
use super::values::{Histogram, LATENCY_BOUNDS, bucket};

/// `le` as OpenMetrics writes it, in both formats: a series keeps its name when a scraper changes format.
const LE: [&str; LATENCY_BOUNDS.len() + 1] = ["0.025", "0.1", "0.5", "1.0", "5.0", "10.0", "30.0", "60.0", "+Inf"];

/// Writes the family of all hops; with exemplars only where the format knows them.
pub(super) fn encode(tables: &Tables, exemplars: bool, page: &mut dyn Write) -> fmt::Result {
    write_head(&LATENCY, page)?;
    let mut lines = String::new();
    for hop in tables.hops() {
        let (first_byte, total) = copy(hop);
        for (phase, histogram) in [("first_byte", first_byte), ("total", total)] {
            lines.clear();
            let labels = [hop.labels.as_str(), ",phase=\"", phase, "\""];
            write_histogram(&mut lines, &LATENCY, &labels, &histogram, exemplars)?;
            page.write_str(&lines)?;
        }
    }
    Ok(())
}

fn copy(hop: &HopMetrics) -> (Histogram, Histogram) {
    let state = hop.state();
    (state.first_byte.clone(), state.total.clone())
}

/// Writes the lines in front of a family.
pub(super) fn write_head(family: &Family, page: &mut dyn Write) -> fmt::Result {
    let (name, unit) = (family.name, family.unit.as_str());
    writeln!(page, "# HELP {name} {}", family.help)?;
    writeln!(page, "# TYPE {name} {}", family.kind.as_str())?;
    writeln!(page, "# UNIT {name} {unit}")
}

/// Writes the lines of one histogram; `labels` are pieces of text, without `le`.
pub(super) fn write_histogram(
    out: &mut String,
    family: &Family,
    labels: &[&str],
    histogram: &Histogram,
    exemplars: bool,
) -> fmt::Result {
    let name = family.name;
    let exemplar = histogram.exemplar.as_deref().filter(|_| exemplars);
    let mut cumulative = 0;
    for (at, (le, count)) in LE.iter().zip(histogram.buckets).enumerate() {
        cumulative += count;
        let start = [name, "_bucket{le=\"", le, "\","];
        start.iter().chain(labels).for_each(|part| out.push_str(part));
        write!(out, "}} {cumulative}")?;
        if let Some(one) = exemplar.filter(|one| bucket(one.value) == at) {
            write!(
                out,
                " # {{trace_id=\"{}\"}} {} {:.3}",
                one.trace,
                one.value.as_secs_f64(),
                one.at
            )?;
        }
        out.push('\n');
    }
    for (suffix, number) in [("_sum{", None), ("_count{", Some(cumulative))] {
        let start = [name, suffix];
        start.iter().chain(labels).for_each(|part| out.push_str(part));
        match number {
            None => writeln!(out, "}} {}", histogram.sum.as_secs_f64())?,
            Some(count) => writeln!(out, "}} {count}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_written_as_they_are() {
        for (text, bound) in LE.iter().zip(LATENCY_BOUNDS) {
            assert_eq!(text.parse(), Ok(bound));
        }
    }
}
