//! `/metrics`: the page streamed in chunks from a thread of its own, so that no page is ever whole in memory and no
//! scraper, however slow, holds anything that a probe needs.
//!
//! What bounds it: chunks on their way (`QUEUED_CHUNKS`), scrapes at once (`MAX_SCRAPES`), and the time of each. A page
//! that is not finished in time ends its connection in the middle, so that no half page is taken for a whole one.

use std::fmt;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Frame;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::negotiate::{self, Wanted};
use crate::clock;
use crate::metrics::Metrics;

/// Scrapes at once; each may use a core. Two Prometheus servers, a person and one to spare.
pub(super) const MAX_SCRAPES: usize = 4;
/// Chunks between encoder and socket: one being sent, one waiting.
const QUEUED_CHUNKS: usize = 2;
/// Bytes of compressed text that make a chunk.
const COMPRESSED_CHUNK_BYTES: usize = 16 * 1024;
/// Time for one page where the scraper does not say how long it waits.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for one page at most.
const MAX_TIMEOUT: Duration = Duration::from_secs(120);

/// Answers one scrape.
pub(super) fn answer(metrics: Metrics, scrapes: &Arc<Semaphore>, headers: &HeaderMap) -> Response {
    let Ok(permit) = Arc::clone(scrapes).try_acquire_owned() else {
        let message = format!("{MAX_SCRAPES} scrapes are under way, which is the most at once.\n");
        return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
    };
    let wanted = negotiate::choose(headers);
    let mut response = Response::new(Body::empty());
    let own = response.headers_mut();
    own.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Ok(content_type) = HeaderValue::from_str(&wanted.content_type) {
        own.insert(header::CONTENT_TYPE, content_type);
    }
    if wanted.gzip {
        own.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *response.body_mut() = Body::new(start(metrics, wanted, timeout(headers), permit));
    response
}

/// How long the scraper waits, by the header Prometheus sends.
fn timeout(headers: &HeaderMap) -> Duration {
    let said = headers
        .get("x-prometheus-scrape-timeout-seconds")
        .and_then(|value| value.to_str().ok());
    let said = said
        .and_then(|text| text.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    said.unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT)
}

/// Starts the encoder; the permit is held until it ends, whatever becomes of the body.
fn start(metrics: Metrics, wanted: Wanted, timeout: Duration, permit: OwnedSemaphorePermit) -> Page {
    let (chunks, page) = mpsc::channel(QUEUED_CHUNKS);
    let mut sender = Sender {
        chunks,
        runtime: Handle::current(),
        deadline: Instant::now() + timeout,
    };
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let written = match wanted.gzip {
            true => write_compressed(&metrics, &wanted, &mut sender),
            false => write_plain(&metrics, &wanted, &mut sender),
        };
        if written.is_ok() {
            // Nobody left to tell is no error.
            let _ = sender.send(Chunk::End);
        }
    });
    Page {
        chunks: page,
        ended: false,
    }
}

fn write_plain(metrics: &Metrics, wanted: &Wanted, sender: &mut Sender) -> fmt::Result {
    metrics.encode(wanted.format, clock::now(), &mut |chunk| {
        sender
            .send(Chunk::Text(Bytes::copy_from_slice(chunk.as_bytes())))
            .map_err(|_| fmt::Error)
    })
}

fn write_compressed(metrics: &Metrics, wanted: &Wanted, sender: &mut Sender) -> fmt::Result {
    let chunks = CompressedChunks {
        sender,
        chunk: Vec::with_capacity(COMPRESSED_CHUNK_BYTES),
    };
    // Level 1: a third more bytes than level 6 for a fifth of the time.
    let mut encoder = GzEncoder::new(chunks, Compression::fast());
    metrics.encode(wanted.format, clock::now(), &mut |chunk| {
        encoder.write_all(chunk.as_bytes()).map_err(|_| fmt::Error)
    })?;
    let mut chunks = encoder.finish().map_err(|_| fmt::Error)?;
    chunks.flush().map_err(|_| fmt::Error)
}

/// What goes from the encoder to the body.
enum Chunk {
    Text(Bytes),
    /// The page is whole. A channel that closes without it means that it is not.
    End,
}

/// The encoder's end. Waits while the queue is full, at most until the deadline or until the scraper is gone.
struct Sender {
    chunks: mpsc::Sender<Chunk>,
    runtime: Handle,
    deadline: Instant,
}

impl Sender {
    fn send(&mut self, chunk: Chunk) -> io::Result<()> {
        let chunk = match self.chunks.try_send(chunk) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(mpsc::error::TrySendError::Full(chunk)) => chunk,
        };
        let sent = tokio::time::timeout_at(self.deadline, self.chunks.send(chunk));
        match self.runtime.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Collects what the compressor gives, in chunks worth sending.
struct CompressedChunks<'a> {
    sender: &'a mut Sender,
    chunk: Vec<u8>,
}

impl Write for CompressedChunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= COMPRESSED_CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.chunk.is_empty() {
            true => Ok(()),
            false => {
                let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(COMPRESSED_CHUNK_BYTES));
                self.sender.send(Chunk::Text(chunk.into()))
            }
        }
    }
}

/// The body of a scrape. Dropping it ends the encoder at its next chunk.
struct Page {
    chunks: mpsc::Receiver<Chunk>,
    ended: bool,
}

impl http_body::Body for Page {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.chunks.poll_recv(context).map(|chunk| match chunk {
            Some(Chunk::Text(text)) => Some(Ok(Frame::data(text))),
            Some(Chunk::End) => {
                self.ended = true;
                None
            }
            None => Some(Err(io::Error::other("the page was not finished"))),
        })
    }
}
