//! Connections: how many, how long they may be silent, and how they end when the program stops.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::access::Caller;
use super::stalling::Stalling;
use super::web_config::WebConfig;
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
/// Time from a connection's begin to the end of its TLS handshake.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For who speaks HTTP where TLS is spoken.
const NOT_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks TLS: the URL begins with https.\n";
/// Time for answers under way when the server ends.
const GRACE: Duration = Duration::from_secs(5);
/// Wait after a failed accept, which mostly means that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop` is ready, then lets answers under way finish for 5 s at most. Never fails: what goes wrong with
/// one connection ends that one.
pub async fn serve(listener: TcpListener, state: ServerState, stop: impl Future<Output = ()>) {
    let web = state.web.clone();
    let router = TowerToHyperService::new(routes::router(state));
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (closing, closed) = watch::channel(false);
    let shared = Shared { router, web, closed };
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
                let shared = shared.clone();
                connections.spawn(async move {
                    let _slot = slot;
                    serve_connection(stream, peer, shared).await;
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

/// Everything a connection shares with the others of its listener.
#[derive(Clone)]
struct Shared {
    router: TowerToHyperService<Router>,
    web: Option<Arc<WebConfig>>,
    closed: watch::Receiver<bool>,
}

/// One connection from its first byte to its last.
async fn serve_connection(stream: TcpStream, peer: SocketAddr, shared: Shared) {
    // Small answers leave at once; failing to ask for it costs 40 ms.
    let _ = stream.set_nodelay(true);
    let mut closed = shared.closed.clone();
    let secured = tokio::select! {
        secured = tokio::time::timeout(HANDSHAKE_TIMEOUT, secure(stream, shared.web.as_ref())) => secured,
        () = async { drop(closed.wait_for(|closed| *closed).await) } => return,
    };
    match secured {
        Ok(Ok(Secured::Plain(stream))) => serve_http(Stalling::new(stream), peer, false, shared).await,
        Ok(Ok(Secured::Tls { stream, is_known })) => serve_http(*stream, peer, is_known, shared).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS session"),
        Err(_) => tracing::debug!(%peer, "no TLS session in time"),
    }
}

/// A connection that is ready for requests.
enum Secured {
    /// Without TLS.
    Plain(TcpStream),
    Tls {
        stream: Box<TlsStream<Stalling<TcpStream>>>,
        /// The client's certificate says who it is.
        is_known: bool,
    },
}

/// Makes a TLS session where one is configured.
async fn secure(mut stream: TcpStream, web: Option<&Arc<WebConfig>>) -> io::Result<Secured> {
    let settings = match web {
        Some(web) => web.current().await,
        None => return Ok(Secured::Plain(stream)),
    };
    let Some(tls) = settings.tls() else {
        return Ok(Secured::Plain(stream));
    };
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
        // What is left unread would reset the connection before the answer arrives.
        let _ = stream.read(&mut [0; 4096]).await?;
        stream.write_all(NOT_TLS).await?;
        stream.shutdown().await?;
        return Err(io::Error::other("an HTTP request without TLS"));
    }
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
    let stream = Box::new(acceptor.accept(Stalling::new(stream)).await?);
    Ok(Secured::Tls {
        stream,
        is_known: tls.knows_callers,
    })
}

/// Serves requests on a connection until it ends. `is_known` says that the client's certificate tells who it is.
async fn serve_http<S>(stream: S, peer: SocketAddr, is_known: bool, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Shared {
        router,
        web,
        mut closed,
    } = shared;
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, web) = (router.clone(), web.clone());
        async move {
            let answer = match web {
                None => answer(router, request, peer, false).await,
                Some(web) => {
                    let settings = web.current().await;
                    let mut response = match web.admit(&settings, request.headers()).await {
                        Ok(()) => answer(router, request, peer, is_known || settings.asks_for_password()).await,
                        Err(refusal) => refusal,
                    };
                    settings.add_headers(response.headers_mut());
                    response
                }
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
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

/// The answer to a request that may pass. `guarded` says that the caller has shown who it is.
async fn answer(
    router: TowerToHyperService<Router>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    guarded: bool,
) -> Response<Body> {
    if too_large(&request) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let caller = Caller::of(peer, request.headers(), guarded);
    request.extensions_mut().insert(caller);
    match router.call(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// How long a peer that sends this and no more is served.
    async fn served_for(sent: &[u8]) -> (Duration, Vec<u8>) {
        let (_closing, closed) = watch::channel(false);
        let router = Router::new().fallback(async || "here\n");
        let shared = Shared {
            router: TowerToHyperService::new(router),
            web: None,
            closed,
        };
        let (mut peer, stream) = tokio::io::duplex(4096);
        let begun = Instant::now();
        let talk = async {
            peer.write_all(sent).await.unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let serving = serve_http(stream, "127.0.0.1:1".parse().unwrap(), false, shared);
        let ((), answer) = tokio::join!(serving, talk);
        (begun.elapsed(), answer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_no_whole_head_is_given_up() {
        for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: "] {
            let (time, answer) = served_for(sent.as_bytes()).await;
            assert_eq!(time, HEAD_TIMEOUT, "{sent:?}");
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{sent:?}");
        }
        let (time, answer) = served_for(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(time, HEAD_TIMEOUT, "so is one that asks nothing more");
        assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"here\n"));
    }
}
