//! Whether a path that is the same everywhere has another content at a gateway than at the origin: a cache that kept what is
//! stale or broken, or a gateway that asks somewhere else.

/// Rounds from one look to the next. A content that is stale for hours is what this is for.
pub(super) const ROUNDS_BETWEEN: u32 = 240;
/// Rounds to the next look while something differs, or while there was nothing to compare.
const ROUNDS_WHILE_UNSURE: u32 = 5;
/// Looks in a row that must differ: between two of them a deploy may still be under way.
const IN_A_ROW: u32 = 3;

/// The looks at one hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    /// Rounds until the next one.
    rounds: u32,
    /// Looks in a row that differed.
    differed: u32,
}

impl Default for Looks {
    fn default() -> Self {
        Looks { rounds: 2, differed: 0 }
    }
}

impl Looks {
    /// True when it is time for one. To be asked once a round.
    pub fn is_due(&mut self) -> bool {
        self.rounds = self.rounds.saturating_sub(1);
        self.rounds == 0
    }

    /// Takes a look in: whether the content differed, `None` where there was nothing to compare. Returns what is believed
    /// now; `None` where nothing new is.
    pub fn take(&mut self, differs: Option<bool>) -> Option<bool> {
        self.rounds = match differs {
            Some(false) => ROUNDS_BETWEEN,
            _ => ROUNDS_WHILE_UNSURE,
        };
        match differs? {
            false => {
                self.differed = 0;
                Some(false)
            }
            true => {
                self.differed += 1;
                let believed = self.differed >= IN_A_ROW;
                if believed {
                    self.rounds = ROUNDS_BETWEEN / 4;
                }
                believed.then_some(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds_until_due(looks: &mut Looks) -> u32 {
        (1..1000).find(|_| looks.is_due()).expect("it comes")
    }

    #[test]
    fn three_looks_in_a_row_make_it_believed() {
        let mut looks = Looks::default();
        assert_eq!(rounds_until_due(&mut looks), 2);
        assert_eq!(looks.take(None), None);
        assert_eq!(rounds_until_due(&mut looks), ROUNDS_WHILE_UNSURE);
        assert_eq!(looks.take(Some(true)), None);
        assert_eq!(looks.take(Some(true)), None);
        assert_eq!(looks.take(Some(false)), Some(false), "a deploy that arrived");
        assert_eq!(rounds_until_due(&mut looks), ROUNDS_BETWEEN);
        assert_eq!([(); 3].map(|()| looks.take(Some(true))), [None, None, Some(true)]);
        assert_eq!(
            looks.take(None),
            None,
            "what is believed stays while nothing can be compared"
        );
        assert_eq!(looks.take(Some(false)), Some(false));
    }
}
