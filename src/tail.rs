//! Reads the logs of gateways, wherever they come from, and hands out whole lines.
//!
//! - **Files** ([`Source::Files`]) are followed across rename, truncation, replacement and restarts of this program;
//!   `follow.rs` has the rules.
//! - **Syslog**, **HTTP** and **standard input** are taken as they come.
//! - **Objects** in a drop folder are read once each.
//!
//! A group of logs, typically those of one gateway, is read by one thread of its own ([`start`]). So the kernel shares the
//! processor between reading and probing, a disk that hangs stalls one gateway's logs and no probe, and the runtime that
//! probes never waits for a file. Within a log every file has its turn: at most about 1 MiB at a time. Logs of a group
//! are read in the order they are given, so that lines that explain those of another log are there before them.
//!
//! Back-pressure: a line is handed out only when the one before it was taken. What waits, waits where it was written: in
//! the file, in the sender's connection, or in the kernel's bounded queue of datagrams. [`Status`] shows how much.
//!
//! A file's text is never kept here: what follows the last newline is read again with more behind it. So memory is one
//! buffer per thread, whatever the number and size of the files.

mod envelope;
mod file;
mod files;
mod follow;
mod group;
mod listen;
mod names;
mod objects;
mod packed;
mod position;
mod post;
mod records;
mod sink;
mod split;
mod status;
mod stdin;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use group::{Running, start};
pub use sink::{Begun, Sink};
pub use status::Status;
pub use store::Store;

/// Bytes of a line at most, without its end. HAProxy writes 65,535 at most (`log … len`), Docker and CRI cut at 16 KiB
/// and are joined, and nginx's JSON of the largest request head it accepts by default (32 KiB, some bytes escaped) fits.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Bytes read at once. A chunk always holds the longest line and its end.
const CHUNK_BYTES: usize = 2 * MAX_LINE_BYTES;

/// Bytes of one file that are read before the next has its turn: about a millisecond of reading and parsing.
const TURN_BYTES: u64 = 1024 * 1024;

/// One log of one gateway.
pub struct Log {
    /// What its positions are stored under and what messages call it: `edge/access`.
    pub id: String,
    /// Where its lines come from.
    pub source: Source,
    /// What is wrapped around each line. Syslog listeners take the header off by themselves.
    pub envelope: Envelope,
    /// Who takes the lines.
    pub lines: Box<dyn Lines>,
    /// How it goes.
    pub status: Arc<Status>,
}

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Files that are followed.
    Files {
        /// A path, or a pattern with `*`, `?`, `[…]` or `**` as the crate `glob` has them.
        pattern: String,
        /// Where reading starts on the very first sight of a file that was there before us.
        from: From,
    },
    /// Syslog messages that are sent to us.
    Syslog(Listener),
    /// Newline-delimited JSON, arrays of JSON or plain lines posted to this address, gzip or not.
    Http(SocketAddr),
    /// Whole objects that appear, by pattern: `DIR/*.gz`. Those that do not end in `.gz` are read as they are.
    Drop {
        /// A path or pattern, as above.
        pattern: String,
    },
    /// Standard input. A process has it once: keep such a group over a reload.
    Stdin,
}

/// Where syslog is received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listener {
    /// UDP, and TCP on the same address.
    Address(SocketAddr),
    /// A unix datagram socket.
    Unix(PathBuf),
}

/// Where reading starts on the very first sight of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum From {
    /// With the next line that is written.
    #[default]
    End,
    /// With the first line.
    Start,
}

/// What is wrapped around each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Envelope {
    /// Nothing.
    #[default]
    Plain,
    /// The Kubernetes container runtime's: time, stream, tag, text.
    Cri,
    /// Docker's `json-file`.
    Docker,
    /// A syslog header.
    Syslog,
}

/// Receives lines, on the reader's thread. What blocks here stalls the logs of the group.
pub trait Lines: Send {
    /// A complete line without its newline, the envelope taken off. Never empty; may be any bytes but NUL and, unless a
    /// datagram or an envelope held one, newline.
    fn line(&mut self, line: &[u8], seen: &Seen<'_>);

    /// A line that is not handed on. Once for each.
    fn skipped(&mut self, line: &SkippedLine<'_>);

    /// What was at hand is handed out: a moment to publish counts. Called after at least one line or skipped line.
    fn rest(&mut self) {}
}

/// Why a line is not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Longer than [`MAX_LINE_BYTES`].
    TooLong,
    /// It holds NULs.
    Binary,
}

/// A line that is not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedLine<'a> {
    /// Why not.
    pub why: Skipped,
    /// Its beginning in printable ASCII, at most 512 bytes. Any client may have written it.
    pub sample: &'a str,
    /// The file or object it is from, by the name it was first found under.
    pub file: Option<&'a Path>,
    /// Where it begins in that file, bytes.
    pub offset: Option<u64>,
    /// Its bytes without its end; `None` where its end was not there yet.
    pub length: Option<usize>,
}

impl<'a> SkippedLine<'a> {
    fn new(why: Skipped, file: Option<&'a Path>) -> SkippedLine<'a> {
        SkippedLine {
            why,
            sample: "",
            file,
            offset: None,
            length: None,
        }
    }
}

/// What is known of a line besides its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen<'a> {
    /// From an object of a drop folder, minutes or hours old: no reason to page.
    pub is_delayed: bool,
    /// The end is missing: the file or stream ended, or was given up, without a newline.
    pub is_cut: bool,
    /// The stream of a container's output.
    pub stream: Option<Stream>,
    /// The program's name in a syslog header.
    pub program: Option<&'a [u8]>,
    /// The time in the envelope as it stands there: RFC 3339, or `Nov 20 15:45:17` in local time without a year.
    pub stamp: Option<&'a [u8]>,
    /// The file or object the line is from, by the name it was first found under.
    pub file: Option<&'a Path>,
}

/// The stream of a container's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: access logs by convention.
    Stdout,
    /// Standard error: error logs by convention.
    Stderr,
}
