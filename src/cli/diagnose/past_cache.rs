//! Is the answer from a cache, and what is behind it? The same request is made again past caches and compared.
//!
//! Only a GET or HEAD without a body is made again, at one address and path of a hop, and three times at most:
//!
//! 1. With `Cache-Control: no-cache`: a cache must not answer without asking the server behind it (RFC 9111, 5.2.1.4).
//!    Nothing else about the request changes, so any difference is the cache's.
//! 2. Many gateways ignore that (nginx, Varnish and most CDNs, unless configured). Where the answer is still from a
//!    cache or still fails, one more request carries a query of its own, which no cache has an answer to.
//! 3. Where that is well although nothing shows a cache, the plain request is made once more: a failure that passes on
//!    its own is none of a cache.

use std::sync::Arc;

use http::Method;
use http::header::{CACHE_CONTROL, HeaderValue};

use crate::cause::Cause;
use crate::observation::Address;
use crate::probe::Prepared;
use crate::probe::tls::PolicyError;
use crate::survey::{HopReport, ProbeReport, Survey, TargetReport};
use crate::upstream::{Request, Target, Upstream};

/// What asking past caches showed.
#[derive(Debug)]
pub struct PastCache {
    /// What was asked plainly: its place among the probes.
    pub of: Option<(Address, Arc<str>)>,
    /// The further requests, in order.
    pub requests: Vec<(How, ProbeReport)>,
    /// What follows.
    pub says: Says,
}

/// How a request differs from the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With `Cache-Control: no-cache`.
    NoCache,
    /// With a query of its own, too.
    Query,
    /// Not at all.
    Plain,
}

impl How {
    /// The value in JSON.
    pub fn label(self) -> &'static str {
        match self {
            How::NoCache => "no_cache",
            How::Query => "query",
            How::Plain => "plain",
        }
    }
}

/// What follows from plain and further requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// No answer came that a cache could hold.
    NoAnswer,
    /// The method or a body: asking again might change something.
    NotSafe,
    /// No cache is in the way, or it does not matter: the answers are alike.
    NotCached,
    /// From a cache, and what is behind it is well too.
    CachedAndWell,
    /// From a cache, and past it the answer is well.
    CachedError,
    /// Nothing shows a cache, and yet only what no cache can hold is answered well.
    HiddenCache,
    /// From a cache, which hides that what is behind it fails.
    HidesFailure,
    /// Nothing shows a cache, and yet past caches it fails, again and again well when asked plainly.
    MayHideFailure,
    /// It fails past any cache too.
    FailsToo,
    /// Asked once more in the same way it was answered otherwise.
    NowAndThen,
    /// Caches cannot be passed from here.
    CannotPass,
}

impl Says {
    /// The value in JSON.
    pub fn label(self) -> &'static str {
        match self {
            Says::NoAnswer => "no_answer",
            Says::NotSafe => "not_safe",
            Says::NotCached => "not_cached",
            Says::CachedAndWell => "cached_and_well",
            Says::CachedError => "cached_error",
            Says::HiddenCache => "hidden_cache",
            Says::HidesFailure => "hides_failure",
            Says::MayHideFailure => "may_hide_failure",
            Says::FailsToo => "fails_too",
            Says::NowAndThen => "now_and_then",
            Says::CannotPass => "cannot_pass",
        }
    }

    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Says::NoAnswer => "not asked past caches: no answer came that a cache could hold",
            Says::NotSafe => "not asked past caches: only GET and HEAD are made again",
            Says::NotCached => "not from a cache: asked past any cache the answer is the same",
            Says::CachedAndWell => "the answer is from a cache; asked past it the answer is well too",
            Says::CachedError => "the error comes from a cache; asked past it the answer is well: purge it",
            Says::HiddenCache => {
                "probably a cache serves the error, though no header says so: asked past any cache the answer is well"
            }
            Says::HidesFailure => {
                "the answer is from a cache; asked past it the request fails: the cache hides a fault"
            }
            Says::MayHideFailure => {
                "asked past caches the request fails, plainly it does not: a cache that no header shows may hide a fault"
            }
            Says::FailsToo => "asked past any cache it fails too",
            Says::NowAndThen => "asked once more it was answered otherwise: it fails now and then",
            Says::CannotPass => "the answer is from a cache that could not be passed",
        }
    }

    /// Worth a person's attention.
    pub fn is_warning(self) -> bool {
        matches!(
            self,
            Says::CachedError | Says::HiddenCache | Says::HidesFailure | Says::MayHideFailure | Says::NowAndThen
        )
    }
}

/// One answer, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    failed: bool,
    cached: bool,
    /// Failed by a status that is no server's fault: with a query of ours, probably because of it.
    refused: bool,
}

impl Answer {
    fn of(probe: &ProbeReport) -> Answer {
        Answer {
            failed: probe.outcome.cause().is_some(),
            cached: probe.recognised.cached_by.is_some(),
            refused: probe.outcome.cause() == Some(Cause::UnexpectedStatus),
        }
    }
}

/// Asks one place of a hop past caches.
///
/// # Errors
/// A TLS policy that cannot be used.
pub async fn ask(survey: &Survey<'_>, upstream: &Upstream, report: &HopReport) -> Result<PastCache, PolicyError> {
    let nothing = |says| PastCache {
        of: None,
        requests: Vec::new(),
        says,
    };
    let Some((seen, plain)) = choose(report) else {
        return Ok(nothing(Says::NoAnswer));
    };
    let target = &seen.target;
    if !matches!(target.method, Method::GET | Method::HEAD) || target.body.is_some() {
        return Ok(nothing(Says::NotSafe));
    }
    let Some(request) = target.requests.iter().find(|request| request.label == plain.path) else {
        return Ok(nothing(Says::NoAnswer));
    };
    let (as_it_is, past) = (Prepared::new(target.clone())?, Prepared::new(uncached(target))?);
    let kinds = upstream.kinds_from(&report.hop.name);
    let mut requests: Vec<(How, ProbeReport)> = Vec::new();
    let says = loop {
        let answers: Vec<_> = requests.iter().map(|(how, probe)| (*how, Answer::of(probe))).collect();
        let how = match next(Answer::of(plain), &answers) {
            Next::Says(says) => break says,
            Next::Ask(how) => how,
        };
        let probe = match how {
            How::NoCache => survey.ask(&past, request, &plain.address, &kinds).await,
            How::Query => survey.ask(&past, &with_query(request), &plain.address, &kinds).await,
            How::Plain => survey.ask(&as_it_is, request, &plain.address, &kinds).await,
        };
        requests.push((how, probe));
    };
    Ok(PastCache {
        of: Some((plain.address.clone(), plain.path.clone())),
        requests,
        says,
    })
}

/// The place asked again: of those that answered a cached failure, a failure, a cached answer, any.
fn choose(report: &HopReport) -> Option<(&TargetReport, &ProbeReport)> {
    let places = report
        .targets
        .iter()
        .flat_map(|target| target.probes.iter().map(move |probe| (target, probe)));
    let answered = places.filter(|(_, probe)| probe.seen.head().is_some());
    answered.min_by_key(|(_, probe)| {
        let answer = Answer::of(probe);
        (!answer.failed, !answer.cached)
    })
}

fn uncached(target: &Target) -> Arc<Target> {
    let mut headers: Vec<_> = target.headers.clone();
    headers.retain(|(name, _)| *name != CACHE_CONTROL);
    headers.push((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
    Arc::new(Target {
        headers,
        ..target.clone()
    })
}

/// The same request with a parameter that no cache has seen.
fn with_query(request: &Request) -> Request {
    let joint = if request.path.contains('?') { '&' } else { '?' };
    Request {
        label: request.label.clone(),
        path: format!("{}{joint}badgateway={:016x}", request.path, fastrand::u64(..)),
    }
}

/// What to do after these answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Ask(How),
    Says(Says),
}

fn next(plain: Answer, further: &[(How, Answer)]) -> Next {
    let Some((_, first)) = further.first() else {
        return Next::Ask(How::NoCache);
    };
    let again = further
        .iter()
        .find(|(how, _)| *how == How::Plain)
        .map(|(_, again)| *again);
    if let Some(again) = again {
        return Next::Says(match again.failed == plain.failed {
            true if plain.failed => Says::HiddenCache,
            true => Says::MayHideFailure,
            false => Says::NowAndThen,
        });
    }
    let passed = further
        .iter()
        .rev()
        .find(|(how, answer)| !(answer.cached || *how == How::Query && answer.refused))
        .map(|(_, answer)| *answer);
    let query_asked = further.len() > 1;
    match (plain.failed, plain.cached, passed) {
        // Still from a cache.
        (_, _, None) if !query_asked => Next::Ask(How::Query),
        (_, _, None) => Next::Says(Says::CannotPass),
        (true, true, Some(fresh)) if !fresh.failed => Next::Says(Says::CachedError),
        (true, false, Some(fresh)) if !fresh.failed => Next::Ask(How::Plain),
        (true, _, Some(_)) if !query_asked && !first.cached => Next::Ask(How::Query),
        (true, _, Some(_)) => Next::Says(Says::FailsToo),
        (false, true, Some(fresh)) if fresh.failed => Next::Says(Says::HidesFailure),
        (false, true, Some(_)) => Next::Says(Says::CachedAndWell),
        (false, false, Some(fresh)) if fresh.failed => Next::Ask(How::Plain),
        (false, false, Some(_)) => Next::Says(Says::NotCached),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Answer = Answer {
        failed: false,
        cached: false,
        refused: false,
    };
    const ILL: Answer = Answer { failed: true, ..WELL };
    const STORED: Answer = Answer { cached: true, ..WELL };
    const STORED_ILL: Answer = Answer { cached: true, ..ILL };
    const REFUSED: Answer = Answer { refused: true, ..ILL };

    /// What is asked and said where the further requests are answered so: with no-cache, with a query, plainly.
    fn says(plain: Answer, no_cache: Answer, query: Answer, again: Answer) -> (usize, Says) {
        let mut further = Vec::new();
        loop {
            match next(plain, &further) {
                Next::Says(says) => return (further.len(), says),
                Next::Ask(how) => {
                    assert!(further.iter().all(|(asked, _)| *asked != how), "{how:?} twice");
                    let answer = match how {
                        How::NoCache => no_cache,
                        How::Query => query,
                        How::Plain => again,
                    };
                    further.push((how, answer));
                }
            }
        }
    }

    #[test]
    fn what_follows_from_which_answers() {
        for (plain, no_cache, query, again, expected) in [
            (WELL, WELL, ILL, ILL, (1, Says::NotCached)),
            (WELL, ILL, ILL, WELL, (2, Says::MayHideFailure)),
            (WELL, ILL, ILL, ILL, (2, Says::NowAndThen)),
            (STORED, WELL, ILL, ILL, (1, Says::CachedAndWell)),
            (STORED, ILL, ILL, ILL, (1, Says::HidesFailure)),
            (STORED, STORED, WELL, ILL, (2, Says::CachedAndWell)),
            (STORED, STORED, ILL, ILL, (2, Says::HidesFailure)),
            (STORED, STORED, STORED, ILL, (2, Says::CannotPass)),
            (STORED, STORED, REFUSED, ILL, (2, Says::CannotPass)),
            (STORED_ILL, WELL, ILL, ILL, (1, Says::CachedError)),
            (STORED_ILL, STORED_ILL, WELL, ILL, (2, Says::CachedError)),
            (STORED_ILL, STORED_ILL, ILL, ILL, (2, Says::FailsToo)),
            (STORED_ILL, STORED_ILL, STORED_ILL, ILL, (2, Says::CannotPass)),
            (STORED_ILL, ILL, ILL, ILL, (2, Says::FailsToo)),
            (STORED_ILL, ILL, WELL, ILL, (2, Says::CachedError)),
            (ILL, WELL, ILL, ILL, (2, Says::HiddenCache)),
            (ILL, WELL, ILL, WELL, (2, Says::NowAndThen)),
            (ILL, ILL, WELL, ILL, (3, Says::HiddenCache)),
            (ILL, ILL, WELL, WELL, (3, Says::NowAndThen)),
            (ILL, ILL, ILL, ILL, (2, Says::FailsToo)),
            (ILL, ILL, REFUSED, ILL, (2, Says::FailsToo)),
        ] {
            let found = says(plain, no_cache, query, again);
            assert_eq!(found, expected, "{plain:?} {no_cache:?} {query:?} {again:?}");
        }
    }

    #[test]
    fn a_query_is_added_to_what_is_there() {
        for (path, begin) in [("/a", "/a?badgateway="), ("/a?b=c", "/a?b=c&badgateway=")] {
            let request = Request {
                label: "/a".into(),
                path: path.into(),
            };
            let asked = with_query(&request);
            assert!(
                asked.path.starts_with(begin) && asked.path.len() == begin.len() + 16,
                "{}",
                asked.path
            );
        }
    }
}
