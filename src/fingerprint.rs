//! Who wrote this answer, what it says of the hop behind its writer, and whether it came from a cache. Pure.
//!
//! The body names the writer, the headers name the last layer. What a page of one kind looks like stands in that kind's
//! file, see [`crate::gateway::page`]; here is only who is asked and when:
//!
//! 1. An error (4xx, 5xx) is shown to every kind in the order of their ranks; the first that knows it is its writer.
//! 2. Another answer is shown to them only where it could be the small page of a gateway: the whole of it was read, and it
//!    has one of the numbers or words of such pages.
//! 3. What a page leaves open `Proxy-Status` may say (RFC 9209).
//! 4. Caches, and for how long an answer may be kept, are read from headers alone.

mod cache;
mod freshness;
mod proxy_status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod version;

use std::sync::LazyLock;

use crate::finding::Recognised;
use crate::gateway::KINDS;
use crate::gateway::page::{Answer, Page, Said};
use crate::observation::{End, Observation, Response};

/// Bytes of a body looked at; pages of gateways say who they are within them.
pub const LOOKED_AT: usize = 4096;

/// The pages of all kinds, in the order in which they are asked.
static PAGES: LazyLock<Vec<&'static Page>> = LazyLock::new(|| {
    let mut pages: Vec<_> = KINDS.iter().filter_map(|kind| kind.page.as_ref()).collect();
    pages.sort_by_key(|page| page.rank);
    pages
});

/// Reads an answer. `kinds` are those of the gateways on the way to it, as configured.
pub fn recognise(seen: &Observation, kinds: &[&'static str]) -> Recognised {
    match &seen.end {
        End::Response(response) => of_answer(&answer_of(response, seen, kinds)),
        _ => Recognised::default(),
    }
}

fn answer_of<'a>(response: &'a Response, seen: &Observation, kinds: &'a [&'static str]) -> Answer<'a> {
    let body = &response.body[..response.body.len().min(LOOKED_AT)];
    Answer {
        status: response.head.status,
        reason: &response.head.reason,
        headers: &response.head.headers,
        body,
        whole: response.body_complete && response.body_bytes == body.len() as u64,
        first_byte: seen.timings.first_byte,
        kinds,
    }
}

fn of_answer(answer: &Answer<'_>) -> Recognised {
    let cached_by = cache::cached_by(answer);
    let fresh_for = freshness::left(answer);
    if answer.status < 400 && !may_be_a_page(answer) {
        return Recognised {
            cached_by,
            fresh_for,
            ..Recognised::default()
        };
    }
    let said = PAGES.iter().find_map(|page| (page.read)(answer));
    let said = proxy_status::complete(said, answer);
    Recognised {
        cached_by,
        fresh_for,
        ..with_layers(said, answer)
    }
}

fn with_layers(said: Said, answer: &Answer<'_>) -> Recognised {
    let mut passed = PAGES.iter().filter_map(|page| (page.passed)(answer));
    let behind = passed.find(|product| Some(*product) != said.writer);
    Recognised {
        writer: said.writer,
        behind,
        told: said.told,
        stated: said.cause,
        candidates: said.candidates,
        cached_by: None,
        fresh_for: None,
    }
}

/// What all pages that tell of a failure have one of.
const SIGNS: [&str; 8] = [
    "502",
    "503",
    "504",
    "upstream connect error",
    "no healthy upstream",
    "no available server",
    "Bad Gateway",
    "Origin Not Reachable",
];

/// A cheap look at an answer that is no error.
fn may_be_a_page(answer: &Answer<'_>) -> bool {
    answer.whole && SIGNS.iter().any(|text| answer.has(text))
}
