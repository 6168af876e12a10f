//! Lines out of a stream of bytes: one buffer, nothing copied but what a read cuts in two.

use std::io::{self, Read};

/// Longer lines are passed over and counted.
pub const MAX_LINE: usize = 256 * 1024;
const BUFFER: usize = 512 * 1024;
/// So much is read at once: it stays in the processor's cache until its lines are taken apart.
const AT_ONCE: usize = 64 * 1024;

/// The lines of one log.
pub struct Lines {
    from: Box<dyn Read>,
    buffer: Box<[u8]>,
    /// What of the buffer is not handed out yet.
    start: usize,
    end: usize,
    /// The rest of a line that is too long is passed over.
    skipping: bool,
    ended: bool,
    too_long: u64,
    error: Option<io::Error>,
}

impl Lines {
    /// Nothing is read yet.
    pub fn new(from: Box<dyn Read>) -> Lines {
        Lines {
            from,
            buffer: vec![0; BUFFER].into(),
            start: 0,
            end: 0,
            skipping: false,
            ended: false,
            too_long: 0,
            error: None,
        }
    }

    /// Lines passed over because they were longer than [`MAX_LINE`].
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// What ended the log before its end.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// The next line without its end; a last one without an end counts.
    #[expect(clippy::should_implement_trait, reason = "a line borrows the buffer")]
    pub fn next(&mut self) -> Option<&[u8]> {
        loop {
            match memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
                Some(length) => {
                    let start = self.start;
                    self.start += length + 1;
                    if std::mem::take(&mut self.skipping) {
                        continue;
                    }
                    let line = &self.buffer[start..start + length];
                    return Some(line.strip_suffix(b"\r").unwrap_or(line));
                }
                None if self.ended => {
                    let (start, end) = (self.start, self.end);
                    self.start = self.end;
                    let whole = start < end && !self.skipping;
                    return whole.then(|| &self.buffer[start..end]);
                }
                None => self.fill(),
            }
        }
    }

    fn fill(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end > MAX_LINE || self.skipping {
            self.too_long += u64::from(!self.skipping);
            self.skipping = true;
            self.end = 0;
        }
        let room = self.buffer.len().min(self.end + AT_ONCE);
        match self.from.read(&mut self.buffer[self.end..room]) {
            Ok(0) => self.ended = true,
            Ok(bytes) => self.end += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.error = Some(error);
                self.ended = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes at a time.
    struct Slow(Vec<u8>, usize, usize);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let bytes = self.2.min(into.len()).min(self.0.len() - self.1);
            into[..bytes].copy_from_slice(&self.0[self.1..self.1 + bytes]);
            self.1 += bytes;
            Ok(bytes)
        }
    }

    fn lines(text: &[u8], at_once: usize) -> (Vec<Vec<u8>>, u64) {
        let mut lines = Lines::new(Box::new(Slow(text.to_vec(), 0, at_once)));
        let mut all = Vec::new();
        while let Some(line) = lines.next() {
            all.push(line.to_vec());
        }
        (all, lines.too_long())
    }

    #[test]
    fn long_lines_are_passed_over_and_counted() {
        let mut text = b"one\n".to_vec();
        text.extend(vec![b'x'; 3 * BUFFER]);
        text.extend(b"\ntwo");
        let (found, too_long) = lines(&text, 100_000);
        assert_eq!((found, too_long), (vec![b"one".to_vec(), b"two".to_vec()], 1));
    }

    proptest! {
        #[test]
        fn no_line_is_lost_or_changed(text in "[a-c\\n]{0,300}", at_once in 1usize..50) {
            let expected: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(lines(text.as_bytes(), at_once), (expected, 0));
        }
    }
}
