//! Which upstreams this instance probes where several share them: rendezvous hashing by name. Pure.
//!
//! Every instance gives each upstream a score for each shard; the highest score wins. No instance need know of another,
//! and with one shard more each old one gives up about the same small part.

use std::fmt;
use std::str::FromStr;

use crate::schedule::stable_hash;

/// More shards than this are a slip of the pen; each upstream is scored once for each.
const MAX_SHARDS: u32 = 1000;

/// One of several instances that share the upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Default for Shard {
    /// The only one: it owns everything.
    fn default() -> Self {
        Shard { index: 0, count: 1 }
    }
}

impl Shard {
    /// True when the upstream of this name is this instance's.
    pub fn owns(self, name: &str) -> bool {
        self.count == 1 || owner(name, self.count) == self.index
    }
}

/// The shard with the highest score; of equal ones the first.
fn owner(name: &str, count: u32) -> u32 {
    let score = |shard: u32| (stable_hash(&[name, &shard.to_string()]), std::cmp::Reverse(shard));
    (0..count).max_by_key(|shard| score(*shard)).unwrap_or_default()
}

impl FromStr for Shard {
    type Err = String;

    /// `i/N`, counted from 0: `0/3`, `1/3`, `2/3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.bytes()
                .all(|c| c.is_ascii_digit())
                .then(|| text.parse().ok())
                .flatten()
        };
        let numbers = text
            .split_once('/')
            .and_then(|(index, count)| Some((number(index)?, number(count)?)));
        match numbers {
            Some((index, count)) if index < count && count <= MAX_SHARDS => Ok(Shard { index, count }),
            Some((_, count)) if (1..=MAX_SHARDS).contains(&count) => Err(format!(
                "shards are counted from 0; of {count} the last is {}/{count}",
                count - 1
            )),
            _ => Err(format!("write i/N, such as 0/3; N is at most {MAX_SHARDS}")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> impl Iterator<Item = String> {
        (0..10_000).map(|number| format!("shop-{number}.internal-8080"))
    }

    #[test]
    fn each_upstream_has_one_owner_and_the_split_is_even() {
        for count in [2, 3, 7, 16] {
            let mut owned = vec![0; count as usize];
            for name in names() {
                let owners: Vec<_> = (0..count)
                    .filter(|index| Shard { index: *index, count }.owns(&name))
                    .collect();
                assert_eq!(owners.len(), 1, "{name}");
                owned[owners[0] as usize] += 1;
            }
            // Six deviations of a fair draw.
            let (mean, share) = (10_000.0 / f64::from(count), 1.0 / f64::from(count));
            let bound = 6.0 * (10_000.0 * share * (1.0 - share)).sqrt();
            assert!(
                owned.iter().all(|number| (f64::from(*number) - mean).abs() < bound),
                "{owned:?}"
            );
        }
    }

    #[test]
    fn one_shard_more_moves_only_its_own_part() {
        for count in [1, 2, 5, 9] {
            let moved: Vec<_> = names()
                .filter(|name| owner(name, count) != owner(name, count + 1))
                .collect();
            assert!(
                moved.iter().all(|name| owner(name, count + 1) == count),
                "nothing moves between old shards"
            );
            let (expected, found) = (10_000 / (count as usize + 1), moved.len());
            assert!(
                found.abs_diff(expected) < expected / 5 + 100,
                "{count}: {found} of {expected}"
            );
        }
    }

    #[test]
    fn owners_are_the_same_in_every_version() {
        assert_eq!(owner("checkout", 3), owner("checkout", 3));
        assert!(Shard::default().owns("anything"));
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        assert_eq!("2/3".parse::<Shard>().unwrap().to_string(), "2/3");
        for (text, expected) in [
            ("3/3", "the last is 2/3"),
            ("0/0", "write i/N"),
            ("1", "write i/N"),
            ("-1/3", "write i/N"),
            ("a/b", "write i/N"),
            ("/3", "write i/N"),
            ("0/99999", "at most 1000"),
        ] {
            let message = text.parse::<Shard>().unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
