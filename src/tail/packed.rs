//! What is left of a file that was packed while nobody looked: its unpacked text, behind the place reading stopped at.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::position::{HEAD_BYTES, Position, TAIL_BYTES};
use super::sink::Sink;
use super::{Seen, TURN_BYTES};

/// A packed file that is read on.
pub(super) struct Packed {
    /// Where reading stands, in unpacked bytes.
    pub at: Position,
    /// Where it was opened.
    pub path: PathBuf,
    input: MultiGzDecoder<BufReader<File>>,
    /// Unpacked bytes that came so far.
    passed: u64,
    /// The last bytes in front of the place where reading stands.
    tail: Vec<u8>,
    /// The beginning of a line whose end did not come yet.
    kept: Vec<u8>,
}

impl Packed {
    /// The file that begins like what was read up to `position`; `None` where it begins otherwise.
    ///
    /// # Errors
    /// It cannot be read or unpacked.
    pub fn open(path: &Path, position: &Position) -> io::Result<Option<Packed>> {
        let unpacked = || Ok::<_, io::Error>(MultiGzDecoder::new(BufReader::new(File::open(path)?)));
        let mut head = Vec::new();
        unpacked()?.take(HEAD_BYTES).read_to_end(&mut head)?;
        if position.offset == 0 || !position.begins(&head) {
            return Ok(None);
        }
        Ok(Some(Packed {
            at: position.clone(),
            path: path.to_owned(),
            input: unpacked()?,
            passed: 0,
            tail: Vec::new(),
            kept: Vec::new(),
        }))
    }

    /// Passes over what was read, or hands out lines, for a turn; false at the end.
    ///
    /// # Errors
    /// It cannot be unpacked, or is not what was read.
    pub fn turn(&mut self, buffer: &mut [u8], sink: &mut Sink) -> io::Result<bool> {
        let mut left = TURN_BYTES;
        while left > 0 {
            let to_pass = self.at.offset.saturating_sub(self.passed);
            let count = match to_pass {
                0 => self.lines(buffer, sink)?,
                _ => self.pass(to_pass, buffer)?,
            };
            let Some(count) = count else { return Ok(false) };
            left = left.saturating_sub(count as u64);
        }
        Ok(true)
    }

    fn pass(&mut self, to_pass: u64, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let most = to_pass.min(buffer.len() as u64) as usize;
        let count = self.fill(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "it is shorter than what was read",
            ));
        }
        self.passed += count as u64;
        self.remember(&buffer[..count]);
        match self.passed == self.at.offset && !self.at.ends(&self.tail) {
            true => Err(io::Error::new(ErrorKind::InvalidData, "it is not what was read")),
            false => Ok(Some(count)),
        }
    }

    fn lines(&mut self, buffer: &mut [u8], sink: &mut Sink) -> io::Result<Option<usize>> {
        let kept = self.kept.len();
        buffer[..kept].copy_from_slice(&self.kept);
        let count = self.fill(&mut buffer[kept..])?;
        let text = &buffer[..kept + count];
        let name = self.at.name.clone();
        let seen = Seen {
            file: Some(&name),
            ..Seen::default()
        };
        let done = match count {
            // Nothing more will come: what is left ends with the file.
            0 => {
                sink.end(text, &mut self.at.begun, &seen);
                text.len()
            }
            _ => sink.chunk_of_file(text, self.at.offset, &mut self.at.begun, &seen),
        };
        self.remember(&text[..done]);
        self.kept = text[done..].to_vec();
        self.passed += done as u64;
        self.at.go_on(done as u64, &self.tail);
        Ok((count > 0).then_some(count))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.input.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn remember(&mut self, text: &[u8]) {
        let most = TAIL_BYTES as usize;
        self.tail.extend_from_slice(&text[text.len().saturating_sub(most)..]);
        let surplus = self.tail.len().saturating_sub(most);
        self.tail.drain(..surplus);
    }
}
