//! Any bytes as lines of the log of any kind: no parser fails, none says more than its line holds, and what is counted
//! never exceeds what was read.

#![no_main]

use std::time::Duration;

use badgateway::exchange::Line;
use badgateway::gateway::KINDS;
use badgateway::gateway::log::Parser;
use badgateway::traffic::{FailedAttempt, Patience, Request, Routes, Sources, Tally, Traffic};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct Counted {
    requests: usize,
    attempts: usize,
}

impl Tally for Counted {
    fn request(&mut self, _: &Request<'_>) {
        self.requests += 1;
    }

    fn attempt(&mut self, _: &FailedAttempt<'_>) {
        self.attempts += 1;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else { return };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let mut parser = Parser::new(kind, None).expect("a kind's own formats");
    let sources = Sources {
        access: true,
        errors: true,
    };
    let mut traffic = Traffic::new(Routes::default(), sources, Patience::LIVE);
    let mut counted = Counted::default();
    let (mut lines, mut named) = (0, 0);
    for (second, line) in text.split(|byte| *byte == b'\n').enumerate() {
        lines += 1;
        let now = Duration::from_secs(second as u64);
        match parser.read(line) {
            Some(Line::Exchange(exchange)) => {
                assert!(exchange.attempts.len() <= line.len());
                named += exchange.attempts.len();
                traffic.exchange(&exchange, now, &mut counted);
            }
            Some(Line::Complaint(complaint)) => traffic.complaint(&complaint, now, &mut counted),
            Some(Line::Other) | None => {}
        }
        traffic.expire(now, &mut counted);
    }
    traffic.finish(&mut counted);
    // A cut response told after its request was counted is told as a request of its own.
    assert!(counted.requests <= 2 * lines);
    assert!(counted.attempts <= named + 2 * lines);
});
