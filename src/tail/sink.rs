//! The way of a chunk to whoever takes its lines: split, taken out of the envelope, counted.

use std::sync::Arc;

use super::envelope::{self, Joined};
use super::split::{Piece, beginning, hand_on, split};
use super::{Envelope, Lines, Seen, Skipped, Status};

/// Where lines go.
pub(super) struct Sink {
    pub lines: Box<dyn Lines>,
    pub status: Arc<Status>,
    envelope: Envelope,
    handed: bool,
    /// For text whose escapes are undone.
    pub scratch: Vec<u8>,
}

/// What one file or stream has begun: part of its position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Begun {
    /// Inside a line that is too long.
    pub skipping: bool,
    /// Lines the container runtime wrote in parts.
    pub joined: Joined,
}

impl Sink {
    pub fn new(lines: Box<dyn Lines>, status: Arc<Status>, envelope: Envelope) -> Self {
        Sink {
            lines,
            status,
            envelope,
            handed: false,
            scratch: Vec::new(),
        }
    }

    /// Hands out the whole lines of `chunk`; says how many bytes are done with.
    pub fn chunk(&mut self, chunk: &[u8], begun: &mut Begun, seen: &Seen<'_>) -> usize {
        let Begun { skipping, joined } = begun;
        split(chunk, skipping, |piece| self.piece(piece, joined, seen))
    }

    /// What is left when nothing more will come: a line without its end, and parts that were not completed.
    pub fn end(&mut self, rest: &[u8], begun: &mut Begun, seen: &Seen<'_>) {
        let seen = &Seen { is_cut: true, ..*seen };
        if !begun.skipping {
            hand_on(rest, true, &mut |piece| self.piece(piece, &mut begun.joined, seen));
        }
        begun.skipping = false;
        for (stream, text) in begun.joined.take() {
            let seen = Seen {
                stream: Some(stream),
                ..*seen
            };
            self.line(&text, &seen);
        }
    }

    /// A message that came alone, as one datagram or record.
    pub fn whole(&mut self, text: &[u8], seen: &Seen<'_>) {
        hand_on(text, true, &mut |piece| self.piece(piece, &mut Joined::default(), seen));
    }

    /// One line, the envelope taken off.
    pub fn line(&mut self, line: &[u8], seen: &Seen<'_>) {
        self.handed = true;
        self.lines.line(line, seen);
    }

    pub fn skip(&mut self, why: Skipped, sample: &[u8]) {
        self.handed = true;
        Status::add(
            match why {
                Skipped::TooLong => &self.status.too_long,
                Skipped::Binary => &self.status.binary,
            },
            1,
        );
        let sample = beginning(sample).escape_ascii().to_string();
        self.lines.skipped(why, sample.as_bytes());
    }

    /// Nothing more is at hand.
    pub fn rest(&mut self) {
        if std::mem::take(&mut self.handed) {
            self.lines.rest();
        }
    }

    fn piece(&mut self, piece: Piece<'_>, joined: &mut Joined, seen: &Seen<'_>) {
        match (piece, self.envelope) {
            (Piece::Line(line), Envelope::Plain) => self.line(line, seen),
            (Piece::Line(line), kind) => envelope::open(kind, line, joined, seen, self),
            (Piece::Skipped(why, sample), _) => self.skip(why, sample),
        }
    }
}
