//! Messages on a connection (RFC 6587): `LENGTH SP MESSAGE`, or each ended by a newline; told apart at every message,
//! since a message itself begins with `<`.

use memchr::memchr;

use crate::tail::MAX_LINE_BYTES;

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Message(Vec<u8>),
    /// Longer than a line may be; its beginning.
    TooLong(Vec<u8>),
}

/// The beginning of what a connection sent, until it is whole.
#[derive(Debug, Default)]
pub(super) struct Frames {
    kept: Vec<u8>,
    skip: Skip,
}

/// The rest of a message that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Skip {
    #[default]
    Nothing,
    Bytes(usize),
    Line,
}

impl Frames {
    /// The messages that `bytes` complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.kept.extend_from_slice(bytes);
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some((frame, used)) = self.next(at) {
            found.extend(frame);
            at += used;
        }
        self.kept.drain(..at);
        found
    }

    /// What is left when the connection ends.
    pub fn end(&mut self) -> Vec<Frame> {
        let rest = std::mem::take(&mut self.kept);
        let is_message = self.skip == Skip::Nothing && !rest.is_empty();
        is_message.then_some(Frame::Message(rest)).into_iter().collect()
    }

    /// The next step at `at`: a message perhaps, and how many bytes it used; `None` where more must come.
    fn next(&mut self, at: usize) -> Option<(Option<Frame>, usize)> {
        let rest = &self.kept[at..];
        if rest.is_empty() {
            return None;
        }
        match self.skip {
            Skip::Bytes(left) => {
                let used = left.min(rest.len());
                self.skip = if used == left {
                    Skip::Nothing
                } else {
                    Skip::Bytes(left - used)
                };
                return Some((None, used));
            }
            Skip::Line => {
                let end = memchr(b'\n', rest);
                self.skip = if end.is_some() { Skip::Nothing } else { Skip::Line };
                return Some((None, end.map_or(rest.len(), |end| end + 1)));
            }
            Skip::Nothing => {}
        }
        match counted(rest) {
            Counted::Perhaps => None,
            Counted::No => self.line(at),
            Counted::Length { digits, length } if length > MAX_LINE_BYTES => {
                let sample = beginning(&rest[digits + 1..]);
                self.skip = Skip::Bytes(length);
                Some((Some(Frame::TooLong(sample)), digits + 1))
            }
            Counted::Length { digits, length } => {
                let message = rest[digits + 1..].get(..length)?;
                Some((Some(Frame::Message(message.to_vec())), digits + 1 + length))
            }
        }
    }

    fn line(&mut self, at: usize) -> Option<(Option<Frame>, usize)> {
        let rest = &self.kept[at..];
        match memchr(b'\n', rest) {
            Some(end) if end <= MAX_LINE_BYTES => Some((Some(Frame::Message(rest[..end].to_vec())), end + 1)),
            Some(end) => Some((Some(Frame::TooLong(beginning(rest))), end + 1)),
            None if rest.len() > MAX_LINE_BYTES => {
                self.skip = Skip::Line;
                Some((Some(Frame::TooLong(beginning(rest))), rest.len()))
            }
            None => None,
        }
    }
}

fn beginning(text: &[u8]) -> Vec<u8> {
    text[..text.len().min(128)].to_vec()
}

enum Counted {
    Length {
        digits: usize,
        length: usize,
    },
    No,
    /// More must come to tell.
    Perhaps,
}

/// Up to nine digits, a blank, and `<` of the message's priority.
fn counted(text: &[u8]) -> Counted {
    let digits = text.iter().take(9).take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&text[..digits])
        .ok()
        .and_then(|digits| digits.parse().ok());
    match (number, text.get(digits), text.get(digits + 1)) {
        (Some(length), Some(b' '), Some(b'<')) if length > 0 => Counted::Length { digits, length },
        (Some(_), None, _) if digits < 9 => Counted::Perhaps,
        (Some(_), Some(b' '), None) => Counted::Perhaps,
        _ => Counted::No,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8], step: usize) -> Vec<String> {
        let mut frames = Frames::default();
        let mut found: Vec<Frame> = text.chunks(step).flat_map(|chunk| frames.feed(chunk)).collect();
        found.extend(frames.end());
        let shown = |frame: &Frame| match frame {
            Frame::Message(text) => text.escape_ascii().to_string(),
            Frame::TooLong(_) => "too long".to_owned(),
        };
        found.iter().map(shown).collect()
    }

    #[test]
    fn messages_are_framed_by_newline_or_length() {
        let long = format!("{} <1>{}<2>b\n", MAX_LINE_BYTES + 4, "x".repeat(MAX_LINE_BYTES + 1));
        let endless = format!("<1>{}\n<2>b\n", "x".repeat(2 * MAX_LINE_BYTES));
        let cases: [(&str, &[&str]); 8] = [
            ("<1>a\n<2>b\n", &["<1>a", "<2>b"]),
            ("4 <1>a5 <2>b\n<3>c\n", &["<1>a", "<2>b\\n", "<3>c"]),
            ("<1>a", &["<1>a"]),
            ("10.0.0.1 - -\n", &["10.0.0.1 - -"]),
            ("12 apples\n", &["12 apples"]),
            ("9 <1>a", &["9 <1>a"]),
            (&long, &["too long", "<2>b"]),
            (&endless, &["too long", "<2>b"]),
        ];
        for (text, expected) in cases {
            for step in [1, 3, 1_000_000] {
                if step > 1 || text.len() < 100 {
                    assert_eq!(
                        all(text.as_bytes(), step),
                        expected,
                        "{} by {step}",
                        &text[..text.len().min(30)]
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_of_a_stream_change_nothing(text in "([0-9]{0,3} ?<?[a-z0-9 ]{0,5}\n?){0,20}", step in 1_usize..9) {
            prop_assert_eq!(all(text.as_bytes(), step), all(text.as_bytes(), 10_000));
        }

        #[test]
        fn no_more_comes_out_than_goes_in(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut frames = Frames::default();
            let mut found = frames.feed(&bytes);
            found.extend(frames.end());
            let out: usize = found.iter().map(|frame| match frame { Frame::Message(text) | Frame::TooLong(text) => text.len() }).sum();
            prop_assert!(out <= bytes.len());
        }
    }
}
