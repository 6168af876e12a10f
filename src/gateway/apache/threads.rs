//! What threads of httpd wrote last: nothing but thread and time says which lines of its error log belong together.

use super::super::log::{Memory, text};
use crate::exchange::Stamp;

/// What a thread wrote last of a fault, in [`Memory::texts`].
struct Last {
    thread: u64,
    /// When, in milliseconds.
    time: u64,
    /// The number of the fault.
    fault: u64,
    /// The client with its port; 0 where no line of the fault stated it yet.
    client: u64,
    /// The number of the fault's first message.
    first: u64,
}

/// Threads remembered, those that wrote last.
pub(super) const THREADS: usize = 256;
/// Bytes of what is known of one.
pub(super) const LAST: usize = 40;
/// Lines of one fault come within this time, milliseconds.
const TOGETHER: u64 = 1_000;

impl Last {
    fn of(bytes: &[u8]) -> Last {
        let mut numbers = bytes
            .chunks_exact(8)
            .map(|number| number.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || numbers.next().unwrap_or_default();
        Last {
            thread: next(),
            time: next(),
            fault: next(),
            client: next(),
            first: next(),
        }
    }

    fn write(&self, into: &mut Vec<u8>) {
        for number in [self.thread, self.time, self.fault, self.client, self.first] {
            into.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// A number for the fault this line tells of. A thread works for one client at a time, and writes the lines of one fault
/// in a row, those without the client first: another client, or the first message again, is another fault.
pub(super) fn fault(memory: &mut Memory, thread: u64, time: Stamp, client: &[u8], number: &[u8]) -> u64 {
    if thread == 0 {
        return 0;
    }
    let threads = &mut memory.texts[1];
    let millis = time.millis.unsigned_abs();
    let (client, number) = (text::id(client), text::id(number));
    let goes_on = |last: &Last| {
        last.thread == thread
            && last.time.abs_diff(millis) <= TOGETHER
            && last.first != number
            && (last.client == 0 || last.client == client)
    };
    let known = threads.chunks_exact(LAST).rposition(|bytes| goes_on(&Last::of(bytes)));
    let mut now = match known {
        Some(at) => Last::of(&threads.drain(at * LAST..(at + 1) * LAST).collect::<Vec<_>>()),
        None => {
            memory.numbers[0] = memory.numbers[0].wrapping_add(1);
            Last {
                thread,
                time: millis,
                fault: memory.numbers[0],
                client: 0,
                first: number,
            }
        }
    };
    now.client = now.client.max(client);
    if threads.len() >= THREADS * LAST {
        threads.drain(..LAST);
    }
    now.write(threads);
    text::id_of(&[&now.thread.to_le_bytes(), &now.fault.to_le_bytes()])
}

/// Connections whose backend asked for a client certificate, by process and thread, with the second; the latest ones.
const WISHES: usize = 64;
/// Bytes of one of them.
const WISH: usize = 16;
/// How long after the demand an end without an answer is told by it, seconds.
const WISH_SECONDS: i64 = 10;

/// The backend of this thread asks for a certificate.
pub(super) fn keep_wish(memory: &mut Memory, thread: u64, time: Stamp) {
    let wishes = &mut memory.texts[0];
    if wishes.len() >= WISHES * WISH {
        wishes.drain(..WISH);
    }
    wishes.extend_from_slice(&thread.to_le_bytes());
    wishes.extend_from_slice(&(time.millis / 1000).to_le_bytes());
}

/// It did so just before.
pub(super) fn is_wished(memory: &Memory, thread: u64, time: Stamp) -> bool {
    memory.texts[0].chunks_exact(WISH).any(|wish| {
        let (of, second) = wish.split_at(WISH / 2);
        let second = second.try_into().map_or(i64::MIN, i64::from_le_bytes);
        of == thread.to_le_bytes() && (0..=WISH_SECONDS).contains(&(time.millis / 1000).saturating_sub(second))
    })
}
