//! Handshakes written by hand: a ClientHello is read, then bytes follow that no library would write.

use super::http1::Ending;
use super::{Behaviour, Wire, drain, say};

/// A fatal alert `protocol_version`, in the clear.
pub const ALERT_PROTOCOL_VERSION: &[u8] = &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 70];
/// A fatal alert `handshake_failure`, in the clear.
pub const ALERT_HANDSHAKE_FAILURE: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 40];
/// A fatal alert `unrecognized_name`, in the clear.
pub const ALERT_UNRECOGNIZED_NAME: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 112];
/// A fatal alert `decode_error`: what a TLS server makes of `GET / HTTP/1.1`.
pub const ALERT_DECODE_ERROR: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 50];

/// Reads the ClientHello, writes `bytes`, ends that way.
pub fn answers_hello(bytes: impl Into<Vec<u8>>, ending: Ending) -> Behaviour {
    let bytes = bytes.into();
    Box::new(move |wire| {
        read_record(wire);
        say(wire, &bytes);
        match ending {
            Ending::Finish | Ending::Cut => wire.cut(),
            Ending::Reset => return wire.reset(),
            Ending::Stall => {}
        }
        drain(wire);
    })
}

/// The ServerHello of an old server that knows nothing newer than this version: `0x01` TLS 1.0, `0x02` TLS 1.1.
pub fn server_hello(minor_version: u8) -> Vec<u8> {
    let mut hello = vec![0x03, minor_version];
    hello.extend([0x42; 32]);
    // No session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello.extend([0x00, 0x00, 0x2f, 0x00]);
    let mut message = vec![0x02, 0x00, 0x00, hello.len() as u8];
    message.extend(hello);
    let mut record = vec![0x16, 0x03, minor_version, 0x00, message.len() as u8];
    record.extend(message);
    record
}

fn read_record(wire: &mut dyn Wire) {
    let mut header = [0; 5];
    if wire.read_exact(&mut header).is_ok() {
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        let _ = wire.read_exact(&mut body);
    }
}
