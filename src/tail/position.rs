//! How far a file was read, and how it is known again: by device and inode, and by what stands at its beginning and in
//! front of the place reading stopped at.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::envelope::Joined;
use super::sink::Begun;

/// Bytes at a file's beginning that tell it from others; more than the constant comment lines some formats begin with.
pub(super) const HEAD_BYTES: u64 = 1024;
/// Bytes in front of the offset that tell whether a file of the right size is still the one that was read.
pub(super) const TAIL_BYTES: u64 = 64;

/// What the kernel knows a file by. Numbers are used again once a file is gone and nobody has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Id {
    pub device: u64,
    pub inode: u64,
}

impl Id {
    pub fn of(metadata: &Metadata) -> Id {
        Id {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A checksum of some bytes. Not of cryptographic strength: who can write the log can write what it wants to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Print {
    length: u64,
    crc: u32,
}

impl Print {
    fn of(file: &File, from: u64, length: u64) -> io::Result<Print> {
        let mut bytes = [0; HEAD_BYTES as usize];
        let bytes = &mut bytes[..length.min(HEAD_BYTES) as usize];
        file.read_exact_at(bytes, from)?;
        Ok(Print::of_bytes(bytes))
    }

    fn of_bytes(bytes: &[u8]) -> Print {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        Print {
            length: bytes.len() as u64,
            crc: crc.sum(),
        }
    }
}

/// Where reading stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The name the file was first found under.
    pub name: PathBuf,
    #[serde(flatten)]
    pub id: Id,
    /// Bytes done with; a line begins here unless one that is too long is being skipped.
    pub offset: u64,
    head: Print,
    tail: Print,
    #[serde(default, skip_serializing_if = "is_default")]
    pub begun: Begun,
}

impl Position {
    /// Nothing read yet.
    pub fn start(name: PathBuf, id: Id) -> Position {
        Position {
            name,
            id,
            offset: 0,
            head: Print::default(),
            tail: Print::default(),
            begun: Begun::default(),
        }
    }

    /// Goes on to `offset`.
    ///
    /// # Errors
    /// The file cannot be read again. Then nothing is known of what was read, and the file passes for the same.
    pub fn advance(&mut self, file: &File, offset: u64) -> io::Result<()> {
        self.offset = offset;
        let (head, tail) = (offset.min(HEAD_BYTES), offset.min(TAIL_BYTES));
        let known = std::mem::take(&mut self.head);
        self.tail = Print::default();
        self.head = if known.length < head {
            Print::of(file, 0, head)?
        } else {
            known
        };
        self.tail = Print::of(file, offset - tail, tail)?;
        Ok(())
    }

    /// Goes on by so many bytes of a text of which the last ones up to there are `tail`.
    pub fn go_on(&mut self, bytes: u64, tail: &[u8]) {
        self.offset += bytes;
        self.tail = Print::of_bytes(tail);
    }

    /// Whether a text with these first bytes, up to [`HEAD_BYTES`], begins like what was read.
    pub fn begins(&self, head: &[u8]) -> bool {
        let known = head.get(..self.head.length as usize);
        known.is_some_and(|known| Print::of_bytes(known) == self.head)
    }

    /// Whether a text with these last bytes, up to [`TAIL_BYTES`], ends like what was read.
    pub fn ends(&self, tail: &[u8]) -> bool {
        let start = tail.len().checked_sub(self.tail.length as usize);
        start.is_some_and(|start| Print::of_bytes(&tail[start..]) == self.tail)
    }

    /// Whether `file`, of `size` bytes, holds what was read up to here.
    pub fn is_in(&self, file: &File, size: u64) -> bool {
        let same = |from, print: Print| Print::of(file, from, print.length).is_ok_and(|found| found == print);
        size >= self.offset && same(0, self.head) && same(self.offset - self.tail.length, self.tail)
    }
}

/// Whether the `size` bytes of `copy` look like the beginning of `file`.
pub(super) fn is_beginning(copy: &File, size: u64, file: &File) -> bool {
    let same = |from, length| match (Print::of(copy, from, length), Print::of(file, from, length)) {
        (Ok(copy), Ok(file)) => copy == file,
        _ => false,
    };
    let tail = size.min(TAIL_BYTES);
    same(0, size.min(HEAD_BYTES)) && same(size - tail, tail)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Serialize for Begun {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = self.joined.parts.each_ref().map(|part| BASE64_STANDARD.encode(part));
        (self.skipping, parts, self.joined.overlong).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Begun {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (skipping, parts, overlong) = <(bool, [String; 2], [bool; 2])>::deserialize(deserializer)?;
        let parts = parts.map(|part| BASE64_STANDARD.decode(part).unwrap_or_default());
        Ok(Begun {
            skipping,
            joined: Joined { parts, overlong },
        })
    }
}
