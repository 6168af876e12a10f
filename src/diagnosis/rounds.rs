//! The last rounds of a hop: in which of them first attempts failed. Two words of memory for each hop.

use crate::verdict::Share;

/// Rounds looked at.
const WINDOW: u32 = 40;
/// So many failed rounds in a row are a fault of its own, which confirmation finds, and no flapping.
const RUN: u32 = 3;
/// A run that reaches beyond the window is still known for one.
const KEPT: u32 = WINDOW + RUN - 1;
/// From so many failed rounds on, chance does not explain them.
const MINIMUM: u32 = 3;
/// One round in so many.
const ONE_IN: u32 = 10;

/// The last rounds of a hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounds {
    /// The latest in the lowest bit; 1 where a first attempt failed.
    failed: u64,
    known: u32,
}

impl Rounds {
    /// A round ended; `failed` says whether any of its first attempts did.
    pub fn push(&mut self, failed: bool) {
        self.failed = (self.failed << 1 | u64::from(failed)) & mask(KEPT);
        self.known = (self.known + 1).min(KEPT);
    }

    /// How many of the last 40 rounds failed, leaving out runs of three and more, if those are at least three and at
    /// least 10 %.
    pub fn flapping(self) -> Option<Share> {
        let starts = self.failed & self.failed >> 1 & self.failed >> 2;
        let in_runs = starts | starts << 1 | starts << 2;
        let window = self.known.min(WINDOW);
        let left_out = (in_runs & mask(window)).count_ones();
        let failed = (self.failed & !in_runs & mask(window)).count_ones();
        let of = window - left_out;
        (failed >= MINIMUM && failed * ONE_IN >= of).then_some(Share {
            failed: failed.into(),
            of: of.into(),
        })
    }
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The latest round stands last; `x` failed.
    fn flapping(rounds: &str) -> Option<(u64, u64)> {
        let mut history = Rounds::default();
        rounds.chars().for_each(|round| history.push(round == 'x'));
        history.flapping().map(|share| (share.failed, share.of))
    }

    #[test]
    fn a_tenth_and_at_least_three() {
        let calm = |rounds| ".".repeat(rounds);
        assert_eq!(flapping(""), None);
        assert_eq!(flapping("x.x"), None);
        assert_eq!(flapping("x.x.x"), Some((3, 5)));
        assert_eq!(flapping(&format!("x.x.x{}", calm(25))), Some((3, 30)));
        assert_eq!(flapping(&format!("x.x.x{}", calm(26))), None);
        assert_eq!(flapping(&format!("x.x.x.x{}", calm(33))), Some((4, 40)));
        assert_eq!(
            flapping(&format!("x.x.x.x{}", calm(34))),
            None,
            "the first is out of sight"
        );
    }

    #[test]
    fn runs_of_three_are_no_flapping() {
        assert_eq!(flapping("xxx"), None);
        assert_eq!(flapping("xxx.xxxx..xxxxx"), None);
        assert_eq!(flapping("xx.xx"), Some((4, 5)));
        assert_eq!(flapping("xxx.x.x.x."), Some((3, 7)));
        // What is left of a run at the edge of the window is still a part of it.
        for calm in 36..40 {
            assert_eq!(flapping(&format!("xxxxx{}x", ".".repeat(calm))), None, "{calm}");
            assert_eq!(flapping(&format!("xxxxx.x.x{}", ".".repeat(calm - 3))), None, "{calm}");
        }
    }
}
