//! The last moments of an upstream's real traffic: whether failures exceed its `spike`, and what most of them share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::cause::Cause;
use crate::upstream::Spike;

/// Failures kept for the question what most of them share.
const KEPT: usize = 512;
/// Values in a ranking.
const RANKED: usize = 5;
/// Segments of a path that are told apart.
const SEGMENTS: usize = 4;

/// Requests of one upstream in one gateway's log, second by second.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Oldest first.
    slots: VecDeque<Slot>,
    failures: VecDeque<Failed>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    second: u64,
    requests: u64,
    failed: u64,
}

#[derive(Clone, Debug)]
struct Failed {
    second: u64,
    cause: Cause,
    path: Arc<str>,
    backend: Arc<str>,
}

/// What a window holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Failures exceed the upstream's `spike`.
    pub exceeds: bool,
    /// The most frequent cause.
    pub cause: Option<Cause>,
    /// The path most failures share, numbers and ids in it as `*`.
    pub path: Option<Arc<str>>,
    /// The backend most failures were at.
    pub backend: Option<Arc<str>>,
    /// Causes of the failures with their numbers, the most frequent first.
    pub causes: Vec<(Cause, u64)>,
    /// Backends of the failures, likewise; failures before any backend was asked have none.
    pub backends: Vec<(Arc<str>, u64)>,
    /// Paths of the failures, likewise.
    pub paths: Vec<(Arc<str>, u64)>,
}

impl Window {
    /// A request ended, `failed` with its cause, target and backend. `second` only grows.
    pub fn count(&mut self, second: u64, failed: Option<(Cause, &[u8], &[u8])>) {
        match self.slots.back_mut() {
            Some(slot) if slot.second >= second => {
                slot.requests += 1;
                slot.failed += u64::from(failed.is_some());
            }
            _ => self.slots.push_back(Slot {
                second,
                requests: 1,
                failed: u64::from(failed.is_some()),
            }),
        }
        if let Some((cause, target, backend)) = failed {
            if self.failures.len() >= KEPT {
                self.failures.pop_front();
            }
            self.failures.push_back(Failed {
                second,
                cause,
                path: shape_of(target).into(),
                backend: String::from_utf8_lossy(backend).into(),
            });
        }
    }

    /// A request counted before turned out to have failed.
    pub fn failed_after_all(&mut self, second: u64, cause: Cause, target: &[u8], backend: &[u8]) {
        let requests = |window: &Window| window.slots.back().map_or(0, |slot| slot.requests);
        let before = requests(self);
        self.count(second, Some((cause, target, backend)));
        if let Some(slot) = self.slots.back_mut()
            && before > 0
        {
            slot.requests -= 1;
        }
    }

    /// What the stretch of `spike` that ends now holds; forgets what is older. `None` without a request.
    pub fn recent(&mut self, second: u64, spike: &Spike) -> Option<Recent> {
        let oldest = second.saturating_sub(spike.window.as_secs().max(1) - 1);
        while self.slots.front().is_some_and(|slot| slot.second < oldest) {
            self.slots.pop_front();
        }
        while self.failures.front().is_some_and(|failed| failed.second < oldest) {
            self.failures.pop_front();
        }
        let requests: u64 = self.slots.iter().map(|slot| slot.requests).sum();
        let failed: u64 = self.slots.iter().map(|slot| slot.failed).sum();
        if requests == 0 {
            return None;
        }
        let ratio = failed as f64 / requests as f64;
        Some(Recent {
            requests,
            failed,
            exceeds: requests >= spike.minimum_requests && ratio > spike.ratio,
            cause: most(self.failures.iter().map(|failed| failed.cause)),
            path: most_of_all(self.failures.iter().map(|failed| &failed.path)),
            backend: most_of_all(self.failures.iter().map(|failed| &failed.backend)),
            causes: ranked(self.failures.iter().map(|failed| failed.cause)),
            backends: ranked(
                self.failures
                    .iter()
                    .map(|failed| &failed.backend)
                    .filter(|name| !name.is_empty())
                    .cloned(),
            ),
            paths: ranked(
                self.failures
                    .iter()
                    .map(|failed| &failed.path)
                    .filter(|path| !path.is_empty())
                    .cloned(),
            ),
        })
    }
}

fn most<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    let (value, _) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    Some(value)
}

/// The most frequent values with their numbers.
fn ranked<T: Ord>(values: impl Iterator<Item = T>) -> Vec<(T, u64)> {
    let mut counts: BTreeMap<T, u64> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    ranked.truncate(RANKED);
    ranked
}

/// What more than half of them are, where they are something.
fn most_of_all<'v>(values: impl Iterator<Item = &'v Arc<str>> + Clone) -> Option<Arc<str>> {
    let all = values.clone().count();
    let value = most(values.clone())?;
    let count = values.filter(|other| *other == value).count();
    (count * 2 > all && !value.is_empty()).then(|| value.clone())
}

/// A path without its query, its beginning, with numbers and ids as `*`: `/orders/1234` as `/orders/*`.
pub fn shape_of(target: &[u8]) -> String {
    let path = target
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    // A whole URL: what follows its host.
    let path = match memchr::memmem::find(path, b"://") {
        Some(scheme) => {
            let rest = &path[scheme + 3..];
            &rest[memchr::memchr(b'/', rest).unwrap_or(rest.len())..]
        }
        None => path,
    };
    let mut shape = String::new();
    for segment in path.split(|byte| *byte == b'/').skip(1).take(SEGMENTS) {
        shape.push('/');
        let is_word = segment.len() <= 32
            && segment
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'));
        let digits = segment.iter().filter(|byte| byte.is_ascii_digit()).count();
        match is_word && digits < 3 {
            true => shape.push_str(&String::from_utf8_lossy(segment)),
            false => shape.push('*'),
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SPIKE: Spike = Spike {
        ratio: 0.05,
        window: Duration::from_secs(60),
        minimum_requests: 20,
    };

    #[test]
    fn a_spike_needs_its_share_and_its_number() {
        let mut window = Window::default();
        assert_eq!(window.recent(100, &SPIKE), None);
        for second in 100..119 {
            window.count(second, Some((Cause::ConnectRefused, b"/api/1234", b"10.0.0.1:80")));
        }
        assert!(!window.recent(119, &SPIKE).unwrap().exceeds);
        window.count(119, None);
        let recent = window.recent(119, &SPIKE).unwrap();
        assert!(recent.exceeds);
        assert_eq!((recent.requests, recent.failed), (20, 19));
        assert_eq!(recent.cause, Some(Cause::ConnectRefused));
        assert_eq!(recent.path.as_deref(), Some("/api/*"));
        assert_eq!(recent.backend.as_deref(), Some("10.0.0.1:80"));
        assert!(window.recent(178, &SPIKE).is_some());
        assert_eq!(window.recent(179, &SPIKE), None);
    }

    #[test]
    fn a_cut_response_is_not_a_second_request() {
        let mut window = Window::default();
        window.count(100, None);
        window.failed_after_all(101, Cause::ResponseTruncated, b"", b"");
        let recent = window.recent(101, &SPIKE).unwrap();
        assert!(recent.failed <= recent.requests);
    }

    #[test]
    fn paths_without_numbers() {
        for (target, shape) in [
            ("/orders/12345?x=1", "/orders/*"),
            ("/api/v1/users/ab12cd34-9/profile/more", "/api/v1/users/*"),
            ("http://shop.example/cart", "/cart"),
            ("/", "/"),
            ("*", ""),
            ("/a b", "/*"),
        ] {
            assert_eq!(shape_of(target.as_bytes()), shape, "{target}");
        }
    }
}
