//! Connections: how many, how long they may be silent, and how they end when the program stops.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::access::Caller;
use super::{ServerState, routes};

/// Connections at once; further ones wait in the kernel's queue until one ends.
pub(super) const MAX_CONNECTIONS: usize = 256;
/// Time for a request's head, and for a connection to stay idle. Not 10 s or 15 s, the most common scrape intervals: a
/// connection should not be closed in the moment its next scrape begins.
const HEAD_TIMEOUT: Duration = Duration::from_secs(12);
/// Bytes of a request's head at most.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Bytes of a request's body at most; no endpoint reads one.
const MAX_BODY_BYTES: u64 = 64 * 1024;
/// How long a peer may take nothing of an answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for answers under way when the server ends.
const GRACE: Duration = Duration::from_secs(5);
/// Wait after a failed accept, which mostly means that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop` is ready, then lets answers under way finish for 5 s at most. Never fails: what goes wrong with
/// one connection ends that one.
pub async fn serve(listener: TcpListener, state: ServerState, stop: impl Future<Output = ()>) {
    let guarded = state.guarded;
    let router = routes::router(state);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let slot = tokio::select! {
            () = &mut stop => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let (router, closed) = (router.clone(), closed.clone());
                connections.spawn(async move {
                    let _slot = slot;
                    serve_connection(stream, peer, router, guarded, closed).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    guarded: bool,
    mut closed: watch::Receiver<bool>,
) {
    // Small answers leave at once; failing to ask for it costs 40 ms.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let caller = Caller::of(peer, request.headers(), guarded);
        request.extensions_mut().insert(caller);
        let answer = (!too_large(&request)).then(|| router.call(request));
        async move {
            match answer {
                Some(answer) => answer.await,
                None => Ok::<Response<Body>, Infallible>(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(Stalling::new(stream)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = async { drop(closed.wait_for(|closed| *closed).await) } => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// A body announced larger than anything we take. One of unknown length is never read, and ends the connection.
fn too_large(request: &Request<Incoming>) -> bool {
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    length.is_some_and(|length| length.parse().is_ok_and(|length: u64| length > MAX_BODY_BYTES))
}

/// A stream that fails when the peer takes nothing for [`STALL_TIMEOUT`].
struct Stalling<S> {
    stream: S,
    /// Set while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    fn new(stream: S) -> Stalling<S> {
        Stalling { stream, deadline: None }
    }

    /// Passes the outcome of a write on; one that waits starts the clock, one that does not stops it.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.deadline = None;
            return outcome;
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIMEOUT)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (mut peer, stream) = tokio::io::duplex(64);
        let mut stream = Stalling::new(stream);
        let begun = Instant::now();
        let reading = async {
            tokio::time::sleep(STALL_TIMEOUT - Duration::from_secs(1)).await;
            let mut some = [0; 64];
            peer.read_exact(&mut some).await.unwrap();
            peer
        };
        let (written, _peer) = tokio::join!(stream.write_all(&[0; 1000]), reading);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            begun.elapsed(),
            STALL_TIMEOUT * 2 - Duration::from_secs(1),
            "a read in between starts the clock anew"
        );
    }
}
