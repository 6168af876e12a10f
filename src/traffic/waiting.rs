//! Things that wait in the order in which they came, found by any of their keys.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How well something fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It states what is asked for.
    Well,
    /// It states nothing against it.
    Possibly,
}

/// Things that wait.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    /// In the order in which they came; `None` where one was taken.
    items: VecDeque<Option<Item<T>>>,
    /// The number of the first of them.
    first: u64,
    numbers: HashMap<u64, Vec<u64>>,
    present: usize,
}

#[derive(Debug)]
struct Item<T> {
    keys: Vec<u64>,
    since: Duration,
    value: T,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Waiting {
            items: VecDeque::new(),
            first: 0,
            numbers: HashMap::new(),
            present: 0,
        }
    }
}

impl<T> Waiting<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    pub(super) fn len(&self) -> usize {
        self.present
    }

    /// Lets one more wait; gives back the oldest where there would be more than `most`.
    pub(super) fn push(&mut self, keys: Vec<u64>, value: T, now: Duration, most: usize) -> Option<T> {
        let oldest = (self.present >= most).then(|| self.pop()).flatten();
        let number = self.first + self.items.len() as u64;
        for key in &keys {
            self.numbers.entry(*key).or_default().push(number);
        }
        self.items.push_back(Some(Item {
            keys,
            since: now,
            value,
        }));
        self.present += 1;
        oldest
    }

    /// The number of the one with one of these keys, keys in order of preference, that fits best; of equals the first.
    pub(super) fn find(&self, keys: &[u64], fits: impl Fn(&T) -> Option<Fit>) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        keys.iter().find_map(|key| {
            let mut possible = None;
            for number in self.numbers.get(key)? {
                match self.get(*number).and_then(&fits) {
                    Some(Fit::Well) => return Some(*number),
                    Some(Fit::Possibly) => possible = possible.or(Some(*number)),
                    None => {}
                }
            }
            possible
        })
    }

    /// The number of the last one with this key for which `fits` holds.
    pub(super) fn find_last(&self, key: u64, fits: impl Fn(&T) -> bool) -> Option<u64> {
        let numbers = self.numbers.get(&key)?;
        let fitting = |number: &&u64| self.get(**number).is_some_and(&fits);
        numbers.iter().rev().find(fitting).copied()
    }

    fn slot(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    fn get(&self, number: u64) -> Option<&T> {
        let item = self.items.get(self.slot(number)?)?.as_ref()?;
        Some(&item.value)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let slot = self.slot(number)?;
        let item = self.items.get_mut(slot)?.as_mut()?;
        Some(&mut item.value)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().flatten().map(|item| &mut item.value)
    }

    pub(super) fn take(&mut self, number: u64) -> Option<T> {
        let slot = self.slot(number)?;
        let item = self.items.get_mut(slot)?.take()?;
        self.present -= 1;
        self.forget(&item.keys, number);
        self.drop_taken();
        Some(item.value)
    }

    /// The oldest.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.drop_taken();
        let item = self.items.pop_front()??;
        let number = self.first;
        self.first += 1;
        self.present -= 1;
        self.forget(&item.keys, number);
        Some(item.value)
    }

    /// The oldest, where it has waited that long.
    pub(super) fn pop_older(&mut self, now: Duration, wait: Duration) -> Option<T> {
        self.drop_taken();
        let since = self.items.front()?.as_ref()?.since;
        (now.saturating_sub(since) >= wait).then(|| self.pop()).flatten()
    }

    /// The oldest for which `fits` holds, where it has waited that long.
    pub(super) fn take_older(&mut self, now: Duration, wait: Duration, fits: impl Fn(&T) -> bool) -> Option<T> {
        let is_over = |item: &&Item<T>| now.saturating_sub(item.since) >= wait;
        let waited = self.items.iter().map(|item| item.as_ref().filter(is_over));
        let slot = waited
            .enumerate()
            .find_map(|(slot, item)| item.filter(|item| fits(&item.value)).map(|_| slot))?;
        self.take(self.first + slot as u64)
    }

    fn drop_taken(&mut self) {
        while matches!(self.items.front(), Some(None)) {
            self.items.pop_front();
            self.first += 1;
        }
    }

    fn forget(&mut self, keys: &[u64], number: u64) {
        for key in keys {
            if let Some(numbers) = self.numbers.get_mut(key) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.numbers.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn found_by_key_in_order() {
        let mut waiting = Waiting::default();
        waiting.push(vec![1, 2], "first", NOW, 9);
        waiting.push(vec![2], "second", NOW, 9);
        let any = |_: &&str| Some(Fit::Possibly);
        assert_eq!(waiting.find(&[3], any), None);
        let better = |value: &&str| Some(if *value == "second" { Fit::Well } else { Fit::Possibly });
        assert_eq!(waiting.find(&[2], better), Some(1));
        let number = waiting.find(&[3, 2], any).unwrap();
        assert_eq!(waiting.take(number), Some("first"));
        assert_eq!(waiting.take(number), None);
        assert_eq!(waiting.find(&[1], any), None);
        let number = waiting.find(&[2], better).unwrap();
        *waiting.get_mut(number).unwrap() = "changed";
        assert_eq!(
            (waiting.pop(), waiting.pop(), waiting.len()),
            (Some("changed"), None, 0)
        );
        assert!(waiting.numbers.is_empty());
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.push(vec![1], 1, NOW, 2), None);
        assert_eq!(waiting.push(vec![1], 2, Duration::from_secs(1), 2), None);
        assert_eq!(waiting.push(vec![1], 3, Duration::from_secs(2), 2), Some(1));
        assert_eq!(
            waiting.pop_older(Duration::from_secs(2), Duration::from_secs(1)),
            Some(2)
        );
        assert_eq!(waiting.pop_older(Duration::from_secs(2), Duration::from_secs(1)), None);
        let second = Duration::from_secs(1);
        assert_eq!(waiting.take_older(second * 3, second, |value| *value != 3), None);
        assert_eq!(waiting.take_older(second * 2, second, |_| true), None);
        assert_eq!(waiting.take_older(second * 3, second, |value| *value == 3), Some(3));
        assert!(waiting.is_empty());
    }
}
