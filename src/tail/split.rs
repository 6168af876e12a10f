//! Bytes into lines: one search for newlines over a whole chunk, slices of it handed out, nothing copied.

use memchr::{memchr, memchr_iter};

use super::{MAX_LINE_BYTES, Skipped};

/// Bytes of a skipped line that are shown.
const SAMPLE_BYTES: usize = 128;

/// What lies between two newlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A line, without its line end.
    Line(&'a [u8]),
    /// One that is not handed on.
    Skipped(Unfit<'a>),
}

/// A line that is not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit<'a> {
    pub why: Skipped,
    /// Where it begins in the chunk.
    pub at: usize,
    /// The line, or what there is of it.
    pub text: &'a [u8],
    /// Its end is there.
    pub is_whole: bool,
}

/// Hands out the lines of `chunk` and says how many bytes are done with; the caller keeps the rest, at most
/// [`MAX_LINE_BYTES`], and brings it again with more behind it.
///
/// `skipping` is the state between calls: inside a line that is too long. Empty lines say nothing and are left out; NULs
/// in front of a line are the hole that a writer leaves which goes on at its old offset in a truncated file.
pub(super) fn split<'a>(chunk: &'a [u8], skipping: &mut bool, mut each: impl FnMut(Piece<'a>)) -> usize {
    let has_nul = memchr(0, chunk).is_some();
    let mut start = 0;
    for end in memchr_iter(b'\n', chunk) {
        let (at, line) = (start, &chunk[start..end]);
        start = end + 1;
        if !std::mem::take(skipping) {
            hand_on(line, at, has_nul, &mut each);
        }
    }
    if *skipping {
        return chunk.len();
    }
    let mut rest = &chunk[start..];
    if has_nul {
        rest = without_hole(rest);
    }
    if rest.len() > MAX_LINE_BYTES {
        each(Piece::Skipped(Unfit {
            why: Skipped::TooLong,
            at: chunk.len() - rest.len(),
            text: rest,
            is_whole: false,
        }));
        *skipping = true;
        return chunk.len();
    }
    chunk.len() - rest.len()
}

/// One whole line that begins `at` that byte of the chunk, or why it is none.
pub(super) fn hand_on<'a>(line: &'a [u8], at: usize, may_hold_nul: bool, each: &mut impl FnMut(Piece<'a>)) {
    let text = if may_hold_nul { without_hole(line) } else { line };
    let at = at + line.len() - text.len();
    let line = text.strip_suffix(b"\r").unwrap_or(text);
    if line.is_empty() {
        return;
    }
    let unfit = |why| {
        Piece::Skipped(Unfit {
            why,
            at,
            text: line,
            is_whole: true,
        })
    };
    each(if line.len() > MAX_LINE_BYTES {
        unfit(Skipped::TooLong)
    } else if may_hold_nul && memchr(0, line).is_some() {
        unfit(Skipped::Binary)
    } else {
        Piece::Line(line)
    });
}

fn without_hole(bytes: &[u8]) -> &[u8] {
    let hole = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[hole..]
}

pub(super) fn beginning(line: &[u8]) -> &[u8] {
    &line[..line.len().min(SAMPLE_BYTES)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All pieces of `text`, brought in chunks of `step` bytes as a reader does; a last line without its end is left out.
    fn pieces(text: &[u8], step: usize) -> Vec<String> {
        let (mut found, mut skipping, mut kept) = (Vec::new(), false, Vec::new());
        for chunk in text.chunks(step) {
            kept.extend_from_slice(chunk);
            let done = split(&kept, &mut skipping, |piece| {
                found.push(match piece {
                    Piece::Line(line) => line.escape_ascii().to_string(),
                    Piece::Skipped(unfit) => format!("{:?}", unfit.why),
                });
            });
            kept.drain(..done);
            assert!(kept.len() <= MAX_LINE_BYTES);
        }
        found
    }

    #[test]
    fn lines_are_split() {
        let long = [vec![b'x'; MAX_LINE_BYTES + 1], b"\nnext\n".to_vec()].concat();
        let most = [vec![b'x'; MAX_LINE_BYTES], b"\nnext\n".to_vec()].concat();
        let cases: [(&[u8], &[&str]); 9] = [
            (b"", &[]),
            (b"one\ntwo\n", &["one", "two"]),
            (b"one\r\n\n\r\ntwo\r\n", &["one", "two"]),
            (b"one\nno end", &["one"]),
            (b"\0\0\0\0one\n", &["one"]),
            (b"o\0e\ntwo\n", &["Binary", "two"]),
            (b"\xff\xfe\n", &["\\xff\\xfe"]),
            (&long, &["TooLong", "next"]),
            (b"\0\0", &[]),
        ];
        for (text, expected) in cases {
            for step in [1, 2, 7, 70_000] {
                if step > 2 || text.len() < 100 {
                    assert_eq!(
                        pieces(text, step),
                        expected,
                        "{} by {step}",
                        beginning(text).escape_ascii()
                    );
                }
            }
        }
        assert_eq!(pieces(&most, 4_096).len(), 2);
    }

    #[test]
    fn where_a_line_begins_that_is_skipped() {
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        let cases: [(&[u8], usize, usize, bool); 4] = [
            (b"one\no\0e\r\n", 4, 3, true),
            (b"one\n\0\0o\0e\ntwo", 6, 3, true),
            (&[b"one\n", &long[..], b"\n"].concat(), 4, MAX_LINE_BYTES + 1, true),
            (&[b"one\n\0", &long[..]].concat(), 5, MAX_LINE_BYTES + 1, false),
        ];
        for (text, at, length, is_whole) in cases {
            let mut found = Vec::new();
            split(text, &mut false, |piece| {
                if let Piece::Skipped(unfit) = piece {
                    found.push((unfit.at, unfit.text.len(), unfit.is_whole));
                }
            });
            assert_eq!(found, [(at, length, is_whole)]);
        }
    }

    proptest! {
        #[test]
        fn chunks_change_nothing(text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(0), any::<u8>()], 0..400), step in 1_usize..50) {
            prop_assert_eq!(pieces(&text, step), pieces(&text, 1_000));
        }
    }
}
