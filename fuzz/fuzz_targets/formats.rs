//! Any text as a format string of any kind, and any bytes as a line of it: both are taken or refused.

#![no_main]

use badgateway::gateway::KINDS;
use badgateway::gateway::log::Parser;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str, &[u8])| {
    let (kind, format, line) = input;
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    match Parser::new(kind, Some(format)) {
        Ok(mut parser) => drop(parser.read(line)),
        Err(error) => assert!(error.at >= 1 && !error.message.is_empty()),
    }
});
