//! Batches posted by shippers: Vector, Fluent Bit, Cloudflare Logpush.
//!
//! 1. A body is taken whole before its first line is handed out: a connection that breaks half-way gives nothing, and the
//!    shipper sends all of it again.
//! 2. Bodies under way share [`MAX_BODY_BYTES`]; when that is used up, the answer is 503, and shippers come again later.
//! 3. Answers: 204 taken · 400 no records, or broken gzip · 405 no POST · 413 too large · 415 an encoding we do not
//!    know · 503 later.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::records::{NotRecords, Records};
use super::sink::Sink;
use super::{CHUNK_BYTES, MAX_LINE_BYTES, Status};

/// Bytes of all bodies under way, and so of one. Vector's batches of 10 MB and Logpush's are far smaller in gzip.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of an unpacked body: 30 times the packed one is normal for logs, a thousand times is an attack.
const MAX_UNPACKED_BYTES: usize = 256 * 1024 * 1024;
/// Shippers connected at once.
const MAX_CONNECTIONS: usize = 32;
/// Time for a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(12);
/// Time for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after an address could not be had.
const AGAIN: Duration = Duration::from_secs(5);

/// What the connections of one listener share.
struct Shared {
    sink: Mutex<Sink>,
    status: Arc<Status>,
    budget: Arc<Semaphore>,
    max_unpacked_bytes: usize,
}

/// Receives until told to stop.
pub(super) async fn run(id: String, address: SocketAddr, sink: Sink, stop: CancellationToken) {
    let status = Arc::clone(&sink.status);
    let shared = Rc::new(Shared {
        sink: Mutex::new(sink),
        status: Arc::clone(&status),
        budget: Arc::new(Semaphore::new(MAX_BODY_BYTES)),
        max_unpacked_bytes: MAX_UNPACKED_BYTES,
    });
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                status.set_up(true);
                status.set_problem(&id, None);
                status.set_address(listener.local_addr().ok());
                serve(&listener, &shared, &stop).await;
                return status.set_up(false);
            }
            Err(error) => status.set_problem(&id, Some(format!("cannot listen on {address}: {error}"))),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(AGAIN) => {}
        }
    }
}

/// Takes connections; a request whose lines are being handed out when reading stops is finished.
async fn serve(listener: &TcpListener, shared: &Rc<Shared>, stop: &CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn_local(connection(stream, Rc::clone(shared)))),
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    // Whoever has it hands out lines.
    drop(shared.sink.lock().await);
}

async fn connection(stream: TcpStream, shared: Rc<Shared>) {
    let service = service_fn(|request| {
        let shared = Rc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_LINE_BYTES);
    // What goes wrong with one connection ends that one.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Empty<Bytes>> {
    let status = match take(request, shared).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(status) => status,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        Status::add(&shared.status.dropped, 1);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

async fn take(request: Request<Incoming>, shared: &Shared) -> Result<(), StatusCode> {
    if request.method() != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let encoding = request.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let is_gzip = match encoding.map(<[u8]>::to_ascii_lowercase).as_deref() {
        None | Some(b"identity" | b"") => false,
        Some(b"gzip" | b"x-gzip") => true,
        Some(_) => return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    };
    if request.body().size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let collected = timeout(BODY_TIMEOUT, collect(request.into_body(), &shared.budget)).await;
    let (body, _permits) = collected.map_err(|_| StatusCode::REQUEST_TIMEOUT)??;
    let mut sink = shared.sink.lock().await;
    let result = hand_out(&body, is_gzip, shared.max_unpacked_bytes, &mut sink).await;
    sink.rest();
    result
}

/// The whole body, as it was sent, and its share of the memory.
async fn collect(
    mut body: Incoming,
    budget: &Arc<Semaphore>,
) -> Result<(Vec<Bytes>, Vec<OwnedSemaphorePermit>), StatusCode> {
    let (mut chunks, mut permits, mut length) = (Vec::new(), Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else {
            continue;
        };
        length += chunk.len();
        if length > MAX_BODY_BYTES {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let share = u32::try_from(chunk.len()).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let permit = Arc::clone(budget).try_acquire_many_owned(share);
        permits.push(permit.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?);
        chunks.push(chunk);
    }
    Ok((chunks, permits))
}

/// Hands out the records of a body; lets others have their turn in between.
async fn hand_out(body: &[Bytes], is_gzip: bool, most: usize, sink: &mut Sink) -> Result<(), StatusCode> {
    let mut records = Records::default();
    let mut unpacked = MultiGzDecoder::new(Vec::new());
    let (mut length, mut turn) = (0, 0);
    // Small pieces: a piece of gzip may unpack to a thousand times its size.
    for piece in body.iter().flat_map(|chunk| chunk.chunks(1024)) {
        if is_gzip {
            unpacked.write_all(piece).map_err(|_| StatusCode::BAD_REQUEST)?;
            length += feed(&mut records, unpacked.get_mut(), sink)?;
        } else {
            records.feed(piece, sink).map_err(refused)?;
            length += piece.len();
        }
        if length > most {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if length - turn >= CHUNK_BYTES {
            turn = length;
            tokio::task::yield_now().await;
        }
    }
    if is_gzip {
        unpacked.try_finish().map_err(|_: io::Error| StatusCode::BAD_REQUEST)?;
        feed(&mut records, unpacked.get_mut(), sink)?;
    }
    records.end(sink).map_err(refused)
}

/// Moves on what was unpacked.
fn feed(records: &mut Records, unpacked: &mut Vec<u8>, sink: &mut Sink) -> Result<usize, StatusCode> {
    let length = unpacked.len();
    for piece in unpacked.chunks(MAX_LINE_BYTES) {
        records.feed(piece, sink).map_err(refused)?;
    }
    unpacked.clear();
    Ok(length)
}

fn refused(_: NotRecords) -> StatusCode {
    StatusCode::BAD_REQUEST
}

#[cfg(test)]
mod tests;
