//! Chunked transfer coding (RFC 9112, 7.1), decoded as it arrives, in any pieces, without keeping them.

/// A chunk-size line, extensions included, is not longer than this (bytes).
const MAX_SIZE_LINE: usize = 4096;
/// The trailer section is not longer than this (bytes).
const MAX_TRAILERS: usize = 64 * 1024;

/// Decodes one chunked body.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    size: u64,
    line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SizeStart,
    Size,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEndLf,
    TrailerStart,
    Trailer,
    LastLf,
    Done,
}

impl Chunked {
    /// At the start of the first chunk-size line.
    pub fn new() -> Self {
        Chunked {
            state: State::SizeStart,
            size: 0,
            line: 0,
        }
    }

    /// True after the last chunk and the end of its trailers.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next bytes in; hands decoded ones to `sink`. `Err` names the rule that they break.
    pub fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), &'static str> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.state == State::Done {
                return Ok(());
            }
            if self.state == State::Data {
                let length = bytes.len().min(usize::try_from(self.size).unwrap_or(usize::MAX));
                sink(&bytes[..length]);
                self.size -= length as u64;
                bytes = &bytes[length..];
                if self.size == 0 {
                    self.state = State::DataEnd;
                }
                continue;
            }
            self.state = self.step(byte)?;
            bytes = rest;
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<State, &'static str> {
        self.line += 1;
        match self.state {
            State::SizeStart => match hex(byte) {
                Some(digit) => {
                    self.size = digit;
                    self.line = 1;
                    Ok(State::Size)
                }
                None => Err("a chunk size that is no number"),
            },
            State::Size => match (hex(byte), byte) {
                (Some(digit), _) => {
                    let size = self.size.checked_mul(16).and_then(|size| size.checked_add(digit));
                    self.size = size
                        .filter(|size| *size < 1 << 62)
                        .ok_or("a chunk size that is too large")?;
                    Ok(State::Size)
                }
                (None, b'\r') => Ok(State::SizeEnd),
                (None, b'\n') => Ok(self.after_size()),
                (None, b';' | b' ' | b'\t') => Ok(State::Extension),
                _ => Err("a chunk size that is no number"),
            },
            State::Extension if self.line > MAX_SIZE_LINE => Err("a chunk-size line that does not end"),
            State::Extension => Ok(match byte {
                b'\r' => State::SizeEnd,
                b'\n' => self.after_size(),
                _ => State::Extension,
            }),
            State::SizeEnd if byte == b'\n' => Ok(self.after_size()),
            State::SizeEnd => Err("a chunk-size line without its end"),
            State::DataEnd => match byte {
                b'\r' => Ok(State::DataEndLf),
                b'\n' => Ok(State::SizeStart),
                _ => Err("a chunk longer than its size"),
            },
            State::DataEndLf if byte == b'\n' => Ok(State::SizeStart),
            State::DataEndLf => Err("a chunk longer than its size"),
            State::TrailerStart | State::Trailer if self.line > MAX_TRAILERS => Err("trailers that do not end"),
            State::TrailerStart => Ok(match byte {
                b'\r' => State::LastLf,
                b'\n' => State::Done,
                _ => State::Trailer,
            }),
            State::Trailer => Ok(if byte == b'\n' {
                State::TrailerStart
            } else {
                State::Trailer
            }),
            State::LastLf if byte == b'\n' => Ok(State::Done),
            State::LastLf => Err("a bare carriage return in the trailers"),
            State::Data | State::Done => unreachable!("both are handled before a step"),
        }
    }

    fn after_size(&mut self) -> State {
        self.line = 0;
        if self.size == 0 {
            State::TrailerStart
        } else {
            State::Data
        }
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Chunked::new()
    }
}

fn hex(byte: u8) -> Option<u64> {
    (byte as char).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), &'static str> {
        let mut chunked = Chunked::new();
        let mut body = Vec::new();
        for piece in pieces {
            chunked.feed(piece, |bytes| body.extend_from_slice(bytes))?;
        }
        Ok((body, chunked.done()))
    }

    #[test]
    fn bodies_are_decoded() {
        let cases: [(&str, &str, bool); 7] = [
            ("5\r\nhello\r\n0\r\n\r\n", "hello", true),
            ("5;name=\"x\"\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", true),
            ("00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", "0123456789", true),
            ("5\nhello\n0\n\n", "hello", true),
            ("5\r\nhel", "hel", false),
            ("5\r\nhello\r\n", "hello", false),
            ("0\r\nX: 1\r\n", "", false),
        ];
        for (coded, body, done) in cases {
            assert_eq!(
                decode(&[coded.as_bytes()]),
                Ok((body.as_bytes().to_vec(), done)),
                "{coded:?}"
            );
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for coded in [
            "zz\r\nhello",
            "-5\r\nhello",
            "5\r\nhello!!\r\n",
            "ffffffffffffffffff\r\n",
            "5 x\rhello",
            "\r\n",
        ] {
            assert!(decode(&[coded.as_bytes()]).is_err(), "{coded:?}");
        }
        let endless = format!("5;{}", "x".repeat(MAX_SIZE_LINE + 10));
        assert!(decode(&[endless.as_bytes()]).is_err());
        let endless = format!("0\r\n{}", "x: y\r\n".repeat(MAX_TRAILERS));
        assert!(decode(&[endless.as_bytes()]).is_err());
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(chunks in proptest::collection::vec("[a-z]{1,40}", 0..8), cut in 0usize..400) {
            let mut coded = String::new();
            for chunk in &chunks {
                coded.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
            }
            coded.push_str("0\r\n\r\n");
            let cut = cut.min(coded.len());
            let (left, right) = coded.as_bytes().split_at(cut);
            prop_assert_eq!(decode(&[left, right]), Ok((chunks.concat().into_bytes(), true)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode(&[&bytes]);
        }
    }
}
