//! A stream that remembers what passed: how many bytes, the first of them, and how reading and writing ended.
//!
//! Libraries above it report failures in their own words. What really happened on the wire is read from here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// How many of the peer's first bytes are kept: enough for a banner or the start of an error page.
const FIRST_BYTES: usize = 64;

/// A connection to an address.
#[derive(Debug)]
pub enum Connection {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

/// How reading from the peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// FIN.
    Closed,
    /// RST.
    Reset,
    /// The kernel gave up on a silent peer (ETIMEDOUT).
    Silent,
    /// Another errno: a filter or a route that changed under way.
    Failed,
}

/// A connection and what passed over it.
#[derive(Debug)]
pub struct Meter {
    inner: Connection,
    /// Bytes read from the peer.
    pub read: u64,
    /// How reading ended, once it did.
    pub end: Option<ReadEnd>,
    /// A write failed: the peer is gone or refuses to read.
    pub write_failed: bool,
    first: Vec<u8>,
}

impl Meter {
    /// Starts to measure a fresh connection.
    pub fn new(inner: Connection) -> Self {
        Meter {
            inner,
            read: 0,
            end: None,
            write_failed: false,
            first: Vec::new(),
        }
    }

    /// The peer's first bytes, at most 64.
    pub fn first_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.first)
    }

    /// True when what the peer sent first cannot be a TLS record (RFC 8446, 5.1: content type 20 to 24, version 3.x).
    pub fn spoke_no_tls(&self) -> bool {
        match self.first.as_slice() {
            [] => false,
            [kind] => !(20..=24).contains(kind),
            [kind, version, ..] => !(20..=24).contains(kind) || *version != 3,
        }
    }

    /// Reads what has arrived and nothing more, to learn how a connection ended on which writing failed.
    pub fn drain_ready(&mut self) {
        let mut scratch = [0; 1024];
        while self.end.is_none() {
            let result = match &self.inner {
                Connection::Tcp(stream) => stream.try_read(&mut scratch),
                Connection::Unix(stream) => stream.try_read(&mut scratch),
            };
            match result {
                Ok(count) => self.note_read(&scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.note_read_error(&error),
            }
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.end.get_or_insert(ReadEnd::Closed);
            return;
        }
        self.read += bytes.len() as u64;
        let room = FIRST_BYTES - self.first.len();
        self.first.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn note_read_error(&mut self, error: &io::Error) {
        self.end.get_or_insert(match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                ReadEnd::Reset
            }
            io::ErrorKind::TimedOut => ReadEnd::Silent,
            _ => ReadEnd::Failed,
        });
    }
}

impl AsyncRead for Meter {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(match &mut self.inner {
            Connection::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Connection::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        });
        match &result {
            Ok(()) if buf.capacity() > before => self.note_read(&buf.filled()[before..]),
            Ok(()) => {}
            Err(error) => self.note_read_error(error),
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Meter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(match &mut self.inner {
            Connection::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Connection::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        });
        self.write_failed |= result.is_err();
        Poll::Ready(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(match &mut self.inner {
            Connection::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Connection::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        });
        self.write_failed |= result.is_err();
        Poll::Ready(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Connection::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Connection::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn meter_after(sent: &[u8]) -> Meter {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        theirs.write_all(sent).await.expect("the pair is open");
        drop(theirs);
        let mut meter = Meter::new(Connection::Unix(ours));
        let mut sink = Vec::new();
        meter.read_to_end(&mut sink).await.expect("no error on a closed pair");
        assert_eq!(sink, sent);
        meter
    }

    #[tokio::test]
    async fn counts_bytes_and_remembers_the_end() {
        let meter = meter_after(b"SSH-2.0-OpenSSH\r\n").await;
        assert_eq!(meter.read, 17);
        assert_eq!(meter.end, Some(ReadEnd::Closed));
        assert_eq!(&meter.first_bytes()[..7], b"SSH-2.0");
        assert!(meter.spoke_no_tls());
    }

    #[tokio::test]
    async fn a_tls_record_is_told_from_other_bytes() {
        for (sent, no_tls) in [
            (&b"\x16\x03\x03\x00\x01\x00"[..], false),
            (b"\x15\x03\x01", false),
            (b"", false),
            (b"H", true),
            (b"\x16\x02", true),
        ] {
            assert_eq!(meter_after(sent).await.spoke_no_tls(), no_tls, "{sent:?}");
        }
    }

    #[tokio::test]
    async fn keeps_only_the_first_bytes() {
        let meter = meter_after(&[b'x'; 500]).await;
        assert_eq!(meter.read, 500);
        assert_eq!(meter.first_bytes().len(), FIRST_BYTES);
    }
}
