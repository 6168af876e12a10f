//! Answers for the tests of what their headers say.

use crate::gateway::page::Answer;

/// What is read of a 502 with these headers and no body.
pub(super) fn read_from<R>(headers: &[(&str, &str)], read: impl FnOnce(&Answer<'_>) -> R) -> R {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let headers: Vec<_> = headers.iter().map(owned).collect();
    read(&Answer {
        status: 502,
        reason: "",
        headers: &headers,
        body: b"",
        whole: true,
        first_byte: None,
        kinds: &[],
    })
}
