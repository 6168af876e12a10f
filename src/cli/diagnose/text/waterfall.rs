//! Phases as bars on one time axis, aligned between all probes of a look.

use std::time::Duration;

use crate::survey::HopReport;

/// Characters of the longest bar.
const WIDTH: usize = 32;

/// What one character stands for.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    longest: Duration,
}

impl Scale {
    /// The longest probe, its name's resolution included, fills the width.
    pub fn of<'a>(reports: impl Iterator<Item = &'a HopReport>) -> Scale {
        let targets = reports.flat_map(|report| &report.targets);
        let times = targets.map(|target| {
            let probes = target.probes.iter().map(|probe| probe.seen.timings.total);
            target.resolution.0.elapsed + probes.max().unwrap_or_default()
        });
        Scale {
            longest: times.max().unwrap_or_default(),
        }
    }

    /// The bar of a phase that began so long after the start. What takes next to no time is a thin line.
    pub fn bar(self, begun: Duration, took: Duration) -> String {
        if self.longest.is_zero() {
            return String::new();
        }
        let place = |time: Duration| (time.as_secs_f64() / self.longest.as_secs_f64() * WIDTH as f64).round() as usize;
        let (from, to) = (place(begun).min(WIDTH), place(begun + took).min(WIDTH));
        let drawn = match to - from {
            0 => "▏".to_owned(),
            length => "█".repeat(length),
        };
        let from = from.min(WIDTH - 1);
        format!("{}{drawn}", " ".repeat(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_where_their_phase_does() {
        let scale = Scale {
            longest: Duration::from_secs(32),
        };
        let bar = |from, took| scale.bar(Duration::from_secs(from), Duration::from_secs(took));
        assert_eq!(bar(0, 2), "██");
        assert_eq!(bar(2, 3), "  ███");
        assert_eq!(bar(0, 32).chars().count(), WIDTH);
        assert_eq!(bar(32, 0), format!("{}▏", " ".repeat(31)));
        assert_eq!(bar(40, 9).chars().count(), WIDTH);
        let nothing = Scale {
            longest: Duration::ZERO,
        };
        assert_eq!(nothing.bar(Duration::ZERO, Duration::ZERO), "");
    }
}
