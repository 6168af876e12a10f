//! One open file: how much it holds, whether it is still the one that was read, and its next lines.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::SeekFrom;
use tokio::time::Instant;

use super::position::{Id, Position};
use super::sink::Sink;
use super::{MAX_LINE_BYTES, Seen, TURN_BYTES};

/// A file that is followed by its descriptor, whatever becomes of its name.
pub(super) struct Followed {
    pub file: File,
    pub at: Position,
    /// Where it was opened.
    pub path: PathBuf,
    pub size: u64,
    /// When it was last written, as far as its file system tells.
    pub written: Option<SystemTime>,
    /// Names it still has.
    pub links: u64,
    /// Found by the pattern at the last look.
    pub is_matched: bool,
    /// On a file system that tells nobody of changes made elsewhere.
    pub is_remote: bool,
    /// Since when it has not grown, nor lost a name.
    pub quiet_since: Instant,
    /// The size up to which there is no further whole line.
    seen_size: u64,
}

impl Followed {
    /// Opens a regular file; never waits, as opening a pipe could.
    pub fn open(path: &Path, now: Instant) -> io::Result<Followed> {
        // Not even opened: a pipe's writer would take us for its reader.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        Ok(Followed {
            at: Position::start(path.to_owned(), Id::of(&metadata)),
            path: path.to_owned(),
            size: metadata.len(),
            written: metadata.modified().ok(),
            links: metadata.nlink(),
            is_matched: true,
            is_remote: is_remote(&file),
            quiet_since: now,
            seen_size: 0,
            file,
        })
    }

    /// Goes on where another reading of the same text stopped.
    pub fn resume(&mut self, position: &Position) {
        let id = self.at.id;
        self.at = position.clone();
        self.at.id = id;
        self.seen_size = 0;
    }

    /// Skips what is there up to `size`, but not the beginning of a line that is still being written.
    pub fn skip_to(&mut self, size: u64, buffer: &mut [u8]) -> io::Result<()> {
        let window = size.min(MAX_LINE_BYTES as u64);
        let bytes = &mut buffer[..window as usize];
        self.file.read_exact_at(bytes, size - window)?;
        let offset = match memchr::memrchr(b'\n', bytes) {
            Some(end) => size - window + end as u64 + 1,
            None if window == size => 0,
            None => {
                self.at.begun.skipping = true;
                size
            }
        };
        self.at.advance(&self.file, offset)
    }

    /// Asks how much there is; false where the file was truncated or rewritten since it was read.
    pub fn check(&mut self, now: Instant) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        if std::mem::replace(&mut self.links, metadata.nlink()) != self.links {
            self.quiet_since = now;
        }
        if metadata.len() == self.size && self.seen_size == self.size {
            return Ok(true);
        }
        if metadata.len() != self.size {
            self.quiet_since = now;
        }
        self.size = metadata.len();
        self.written = metadata.modified().ok();
        Ok(self.at.is_in(&self.file, self.size))
    }

    /// Begins at the start again.
    pub fn restart(&mut self) {
        self.at = Position::start(std::mem::take(&mut self.at.name), self.at.id);
        self.seen_size = 0;
    }

    /// Hands out whole lines, [`TURN_BYTES`] at most; true where more are left. Call after [`Self::check`].
    pub fn read(&mut self, buffer: &mut [u8], sink: &mut Sink) -> io::Result<bool> {
        let mut offset = self.at.offset;
        let result = self.read_on(&mut offset, buffer, sink);
        // What was handed out is done with, whatever came after it.
        if offset != self.at.offset {
            self.at.advance(&self.file, offset)?;
        }
        result.map(|()| self.has_more())
    }

    fn read_on(&mut self, offset: &mut u64, buffer: &mut [u8], sink: &mut Sink) -> io::Result<()> {
        let turn_end = offset.saturating_add(TURN_BYTES);
        while *offset < turn_end && self.has_more() {
            let filled = self.fill(buffer, *offset)?;
            let seen = Seen {
                file: Some(&self.at.name),
                ..Seen::default()
            };
            let done = sink.chunk(&buffer[..filled], &mut self.at.begun, &seen);
            if done == 0 {
                // No further newline: what is left waits for its end.
                self.seen_size = self.size;
                break;
            }
            *offset += done as u64;
            if buffer[done - 1] == 0 && !self.at.begun.skipping {
                *offset = self.after_hole(*offset);
            }
        }
        Ok(())
    }

    /// The next byte that was really written: nobody should read gigabytes of a hole.
    fn after_hole(&self, offset: u64) -> u64 {
        match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => data.max(offset),
            Err(_) => offset,
        }
    }

    /// What follows the last newline, handed out when the file is given up.
    pub fn end(&mut self, buffer: &mut [u8], sink: &mut Sink) -> io::Result<()> {
        let filled = self.fill(buffer, self.at.offset)?;
        let seen = Seen {
            file: Some(&self.at.name),
            ..Seen::default()
        };
        sink.end(&buffer[..filled], &mut self.at.begun, &seen);
        self.at.advance(&self.file, self.at.offset + filled as u64)
    }

    /// Whole lines may be left.
    pub fn has_more(&self) -> bool {
        self.seen_size < self.size
    }

    /// Bytes that are not done with.
    pub fn unread_bytes(&self) -> u64 {
        self.size.saturating_sub(self.at.offset)
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// File systems on which inotify does not tell what other machines, or the other side of a mount, write.
fn is_remote(file: &File) -> bool {
    // linux/magic.h: NFS, SMB, CIFS, SMB2, FUSE, 9P, Ceph, AFS, and Lustre's own.
    const TYPES: [u32; 9] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x6573_5546,
        0x0102_1997,
        0x00c3_6400,
        0x5346_414f,
        0x0bd0_0bd0,
    ];
    rustix::fs::fstatfs(file).is_ok_and(|system| TYPES.contains(&(system.f_type as u32)))
}
