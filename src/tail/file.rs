//! One open file: how much it holds, whether it is still the one that was read, and its next lines.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::SeekFrom;
use tokio::time::Instant;

use super::position::{Id, Position};
use super::sink::Sink;
use super::{MAX_LINE_BYTES, Seen, TURN_BYTES};
use crate::clock;

/// How far the kernel's time of a change may lie behind the clock: its tick, rounded up.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// A file that is followed by its descriptor, whatever becomes of its name.
pub(super) struct Followed {
    pub file: File,
    pub at: Position,
    /// Where it was opened.
    pub path: PathBuf,
    pub size: u64,
    /// When it was last written.
    pub written: SystemTime,
    /// That was long enough before the last check for another time to show that it changed.
    is_settled: bool,
    /// Names it still has.
    pub links: u64,
    /// Found by the pattern at the last look.
    pub is_matched: bool,
    /// On a file system that tells nobody of changes made elsewhere.
    pub is_remote: bool,
    /// Since when it has not grown, nor lost a name.
    pub quiet_since: Instant,
    /// There was no further whole line when this was last asked for.
    is_read: bool,
    /// Where reading goes on in the next turn, if that is behind NULs.
    behind_hole: u64,
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
            written: metadata.modified()?,
            is_settled: false,
            links: metadata.nlink(),
            is_matched: true,
            is_remote: is_remote(&file),
            quiet_since: now,
            is_read: false,
            behind_hole: 0,
            file,
        })
    }

    /// Goes on where another reading of the same text stopped.
    pub fn resume(&mut self, position: &Position) {
        let id = self.at.id;
        self.at = position.clone();
        self.at.id = id;
        (self.is_read, self.behind_hole) = (false, 0);
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
        let clock = clock::now();
        let metadata = self.file.metadata()?;
        let (size, links, written) = (metadata.len(), metadata.nlink(), metadata.modified()?);
        let is_as_before = (size, written) == (self.size, self.written);
        if is_as_before && self.is_settled && !self.has_more() && links == self.links {
            return Ok(true);
        }
        if size != self.size || links != self.links {
            self.quiet_since = now;
        }
        (self.size, self.links, self.written) = (size, links, written);
        // Within the kernel's tick, a file may be rewritten to the same size without another time.
        self.is_settled = written + TICK < clock;
        self.is_read = false;
        Ok(self.at.is_in(&self.file, self.size))
    }

    /// Begins at the start again.
    pub fn restart(&mut self) {
        self.at = Position::start(std::mem::take(&mut self.at.name), self.at.id);
        (self.is_read, self.behind_hole) = (false, 0);
    }

    /// Hands out the whole lines that the last [`Self::check`] saw, about [`TURN_BYTES`] at most; true where more are left.
    pub fn read(&mut self, buffer: &mut [u8], sink: &mut Sink) -> io::Result<bool> {
        let mut offset = self.at.offset;
        let result = self.read_on(&mut offset, buffer, sink);
        // What was handed out is done with, whatever came after it.
        if offset != self.at.offset {
            self.at.advance(&self.file, offset)?;
        }
        result.map(|()| self.has_more())
    }

    /// `offset` stays behind the last text that was done with: NULs are no text to be known again by, and where they are
    /// a hole, the next truncation makes a longer one.
    fn read_on(&mut self, offset: &mut u64, buffer: &mut [u8], sink: &mut Sink) -> io::Result<()> {
        let mut turn = 0;
        let mut next = self.behind_hole.max(*offset);
        while turn < TURN_BYTES && self.has_more() {
            let noted = self.size.saturating_sub(next).min(buffer.len() as u64);
            let filled = self.fill(&mut buffer[..noted as usize], next)?;
            let seen = Seen {
                file: Some(&self.at.name),
                ..Seen::default()
            };
            let done = sink.chunk_of_file(&buffer[..filled], next, &mut self.at.begun, &seen);
            if done == 0 {
                // No further newline: what is left waits for its end.
                self.is_read = true;
                self.behind_hole = 0;
                return Ok(());
            }
            if let Some(last) = buffer[..done].iter().rposition(|byte| *byte != 0) {
                *offset = next + last as u64 + 1;
            }
            turn += filled as u64;
            next += done as u64;
            if buffer[done - 1] == 0 && !self.at.begun.skipping {
                next = self.after_hole(next);
            }
        }
        self.behind_hole = next;
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
        !self.is_read
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
