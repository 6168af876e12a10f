//! The way of a chunk to whoever takes its lines: split, taken out of the envelope, counted.

use std::sync::Arc;

use super::envelope::{self, Joined};
use super::split::{Piece, Unfit, beginning, hand_on, split};
use super::{Envelope, Lines, Seen, Skipped, SkippedLine, Status};

/// Where lines go.
pub struct Sink {
    pub(super) lines: Box<dyn Lines>,
    pub(super) status: Arc<Status>,
    envelope: Envelope,
    handed: bool,
    /// For text whose escapes are undone.
    pub(super) scratch: Vec<u8>,
}

/// What one file or stream has begun: part of its position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// Inside a line that is too long.
    pub(super) skipping: bool,
    /// Lines the container runtime wrote in parts.
    pub(super) joined: Joined,
}

impl Sink {
    /// Hands lines to `lines`, and counts in `status` what is not handed on.
    pub fn new(lines: Box<dyn Lines>, status: Arc<Status>, envelope: Envelope) -> Self {
        Sink {
            lines,
            status,
            envelope,
            handed: false,
            scratch: Vec::new(),
        }
    }

    /// Hands out the whole lines of `chunk`; says how many bytes are done with. The caller brings the others again, with
    /// more behind them.
    pub fn chunk(&mut self, chunk: &[u8], begun: &mut Begun, seen: &Seen<'_>) -> usize {
        self.lines_of(chunk, None, begun, seen)
    }

    /// As [`Self::chunk`], of bytes that begin at `offset` of their file.
    pub(super) fn chunk_of_file(&mut self, chunk: &[u8], offset: u64, begun: &mut Begun, seen: &Seen<'_>) -> usize {
        self.lines_of(chunk, Some(offset), begun, seen)
    }

    fn lines_of(&mut self, chunk: &[u8], offset: Option<u64>, begun: &mut Begun, seen: &Seen<'_>) -> usize {
        let Begun { skipping, joined } = begun;
        split(chunk, skipping, |piece| self.piece(piece, offset, joined, seen))
    }

    /// What is left when nothing more will come: a line without its end, and parts that were not completed.
    pub fn end(&mut self, rest: &[u8], begun: &mut Begun, seen: &Seen<'_>) {
        let seen = &Seen { is_cut: true, ..*seen };
        if !begun.skipping {
            hand_on(rest, 0, true, &mut |piece| {
                self.piece(piece, None, &mut begun.joined, seen)
            });
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
    pub(super) fn whole(&mut self, text: &[u8], seen: &Seen<'_>) {
        hand_on(text, 0, true, &mut |piece| {
            self.piece(piece, None, &mut Joined::default(), seen)
        });
    }

    /// One line, the envelope taken off.
    pub(super) fn line(&mut self, line: &[u8], seen: &Seen<'_>) {
        self.handed = true;
        self.lines.line(line, seen);
    }

    /// A text that is not handed on, of which no more is known than `text`.
    pub(super) fn skip(&mut self, why: Skipped, text: &[u8], seen: &Seen<'_>) {
        self.skip_line(text, SkippedLine::new(why, seen.file));
    }

    fn skip_line(&mut self, text: &[u8], line: SkippedLine<'_>) {
        self.handed = true;
        Status::add(
            match line.why {
                Skipped::TooLong => &self.status.too_long,
                Skipped::Binary => &self.status.binary,
            },
            1,
        );
        let sample = beginning(text).escape_ascii().to_string();
        self.lines.skipped(&SkippedLine {
            sample: &sample,
            ..line
        });
    }

    /// Nothing more is at hand.
    pub(super) fn rest(&mut self) {
        if std::mem::take(&mut self.handed) {
            self.lines.rest();
        }
    }

    fn piece(&mut self, piece: Piece<'_>, offset: Option<u64>, joined: &mut Joined, seen: &Seen<'_>) {
        match (piece, self.envelope) {
            (Piece::Line(line), Envelope::Plain) => self.line(line, seen),
            (Piece::Line(line), kind) => envelope::open(kind, line, joined, seen, self),
            (
                Piece::Skipped(Unfit {
                    why,
                    at,
                    text,
                    is_whole,
                }),
                _,
            ) => {
                let line = SkippedLine {
                    offset: offset.map(|offset| offset + at as u64),
                    length: is_whole.then_some(text.len()),
                    ..SkippedLine::new(why, seen.file)
                };
                self.skip_line(text, line);
            }
        }
    }
}
