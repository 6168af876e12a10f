//! Syslog that is sent to us: UDP with TCP on the same address, or a unix datagram socket.
//!
//! - A datagram is one message. What the kernel had no room for is counted: `/proc/net/udp` has it per socket.
//! - On a connection, messages end with a newline, or each begins with its length (RFC 6587 section 3.4).
//! - An address that cannot be had is tried again; a socket file is replaced only where nobody listens on it.

mod datagram;
mod frames;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use self::datagram::Datagrams;
use self::frames::{Frame, Frames};
use super::sink::Sink;
use super::{Listener, MAX_LINE_BYTES, Seen, Skipped};

/// Wait after an address could not be had.
const AGAIN: Duration = Duration::from_secs(5);
/// Time between looks at what the kernel dropped.
const FIGURES: Duration = Duration::from_secs(5);
/// Senders connected at once.
const MAX_CONNECTIONS: usize = 64;
/// Bytes read from a connection at once.
const READ_BYTES: usize = 16 * 1024;

/// Receives until told to stop.
pub(super) async fn run(id: String, listener: Listener, mut sink: Sink, stop: CancellationToken) {
    loop {
        match bind(&listener) {
            Ok((datagrams, streams)) => {
                sink.status.set_up(true);
                sink.status.set_problem(&id, None);
                sink.status.set_address(datagrams.address());
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = receive(datagrams, streams, &mut sink) => {}
                }
            }
            Err(error) => sink
                .status
                .set_problem(&id, Some(format!("cannot listen on {}: {error}", name(&listener)))),
        }
        sink.status.set_up(false);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(AGAIN) => {}
        }
    }
}

fn name(listener: &Listener) -> String {
    match listener {
        Listener::Address(address) => address.to_string(),
        Listener::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// The sockets of a listener.
fn bind(listener: &Listener) -> io::Result<(Datagrams, Option<TcpListener>)> {
    match listener {
        Listener::Unix(path) => Ok((Datagrams::unix(path)?, None)),
        Listener::Address(address) => {
            let datagrams = Datagrams::udp(*address)?;
            // Port 0 asks for any; then both shall have the same.
            let address = datagrams.address().unwrap_or(*address);
            Ok((datagrams, Some(stream_listener(address)?)))
        }
    }
}

fn stream_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Takes messages of all kinds until the datagram socket fails.
async fn receive(mut datagrams: Datagrams, streams: Option<TcpListener>, sink: &mut Sink) {
    // One message waits at most; a sender on a connection waits with it.
    let (sender, mut framed) = mpsc::channel(1);
    let mut connections = JoinSet::new();
    let (mut figures, mut is_active) = (interval(FIGURES), true);
    let mut buffer = vec![0; MAX_LINE_BYTES + 1];
    loop {
        tokio::select! {
            received = datagrams.receive(&mut buffer) => match received {
                Ok(length) => {
                    take(&buffer[..length], sink);
                    drain(&datagrams, &mut buffer, sink);
                    sink.rest();
                    is_active = true;
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot receive syslog datagrams");
                    return;
                }
            },
            Some(frames) = framed.recv() => {
                hand_out(frames, sink);
                sink.rest();
            }
            accepted = accept(streams.as_ref()), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok(stream) => drop(connections.spawn_local(connection(stream, sender.clone()))),
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
            // Only while something comes: an idle listener has no news.
            _ = figures.tick(), if is_active => {
                datagrams.report(&sink.status);
                is_active = false;
            }
        }
    }
}

/// What is at hand already, a turn of it at most: one wakeup for many messages.
fn drain(datagrams: &Datagrams, buffer: &mut [u8], sink: &mut Sink) {
    for _ in 0..256 {
        match datagrams.try_receive(buffer) {
            Ok(length) => take(&buffer[..length], sink),
            Err(_) => return,
        }
    }
}

/// One datagram: some senders end it with a newline or a NUL.
fn take(datagram: &[u8], sink: &mut Sink) {
    if datagram.len() > MAX_LINE_BYTES {
        return sink.skip(Skipped::TooLong, datagram, &Seen::default());
    }
    let end = datagram.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0));
    if let Some(end) = end {
        sink.whole(&datagram[..=end], &Seen::default());
    }
}

fn hand_out(frames: Vec<Frame>, sink: &mut Sink) {
    for frame in frames {
        match frame {
            Frame::Message(message) => take(&message, sink),
            Frame::TooLong(sample) => sink.skip(Skipped::TooLong, &sample, &Seen::default()),
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Messages of one connection, until it ends.
async fn connection(mut stream: TcpStream, sender: mpsc::Sender<Vec<Frame>>) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        let found = if count == 0 {
            frames.end()
        } else {
            frames.feed(&buffer[..count])
        };
        if !found.is_empty() && sender.send(found).await.is_err() || count == 0 {
            return;
        }
    }
}
