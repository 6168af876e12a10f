//! HTTP/2 on a fresh connection: one request on one stream.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::SystemTime;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme as UriScheme};
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use crate::observation::{Head, HttpFault};
use crate::probe::http::{Ask, ExchangeEnd, KeptHeaders, Progress, ReadLimits, retry_after};
use crate::upstream::Scheme;

/// Sends the request and reads the response before the deadline. Also returns when the response head came.
///
/// `read_so_far` tells how many bytes of the peer the stream has passed, to tell silence from a broken answer.
pub async fn exchange<S>(
    stream: &mut S,
    scheme: Scheme,
    ask: &Ask<'_>,
    limits: ReadLimits,
    deadline: Instant,
    now: SystemTime,
    read_so_far: impl Fn(&S) -> u64,
) -> (ExchangeEnd, Option<Instant>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut progress = Progress::new(limits);
    let before = read_so_far(stream);
    let end = timeout_at(deadline, run(stream, scheme, ask, &mut progress, now)).await;
    let first_byte = progress.first_byte;
    let end = match end {
        Err(_) => progress.timed_out(),
        Ok(Ok(complete)) => progress.complete(complete),
        Ok(Err(stop)) => {
            let in_body = progress.head.is_some();
            match is_short(&stop, &progress) {
                true => progress.failed(HttpFault::BodyCut),
                false => progress.failed(fault(stop, in_body, read_so_far(stream) - before, limits)),
            }
        }
    };
    (end, first_byte)
}

/// True where the stream ended in good order before the announced length: the library refuses that stream alone.
fn is_short(stop: &Stop, progress: &Progress) -> bool {
    let refused = matches!(stop, Stop::Library(error) if error.is_library() && error.is_reset());
    let announced = progress
        .head
        .as_ref()
        .and_then(|head| head.header("content-length")?.parse().ok());
    refused && announced.is_some_and(|announced: u64| progress.body_bytes < announced)
}

/// Why no whole response came.
enum Stop {
    Library(h2::Error),
    Request,
}

impl From<h2::Error> for Stop {
    fn from(error: h2::Error) -> Self {
        Stop::Library(error)
    }
}

async fn run<S>(
    stream: &mut S,
    scheme: Scheme,
    ask: &Ask<'_>,
    progress: &mut Progress,
    now: SystemTime,
) -> Result<bool, Stop>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head_limit = u32::try_from(progress.limits.max_head).unwrap_or(u32::MAX);
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(head_limit)
        .handshake(stream)
        .await?;
    let mut connection = pin!(connection);
    let mut exchange = pin!(on_stream(sender, scheme, ask, progress, now));
    poll_fn(|cx| {
        // The exchange first: what it has is the answer, however the connection ends after it.
        if let Poll::Ready(result) = exchange.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        match connection.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(end) => match exchange.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => Poll::Ready(Err(end.err().map_or_else(eof, Stop::Library))),
            },
        }
    })
    .await
}

/// The connection ended in good order while the stream still waits.
fn eof() -> Stop {
    Stop::Library(h2::Error::from(h2::Reason::CANCEL))
}

async fn on_stream(
    sender: h2::client::SendRequest<Bytes>,
    scheme: Scheme,
    ask: &Ask<'_>,
    progress: &mut Progress,
    now: SystemTime,
) -> Result<bool, Stop> {
    let mut sender = sender.ready().await?;
    let request = request(scheme, ask).ok_or(Stop::Request)?;
    let (response, mut body) = sender.send_request(request, ask.body.is_none())?;
    if let Some(bytes) = ask.body {
        // The peer may answer before it has taken the body; the response decides then.
        let _ = body.send_data(bytes.clone(), true);
    }
    let (parts, mut incoming) = response.await?.into_parts();
    progress.first_byte = Some(Instant::now());
    progress.head = Some(Box::new(head(parts.status.as_u16(), &parts.headers, ask.kept, now)));
    while let Some(data) = next_data(&mut incoming).await {
        let data = data?;
        let _ = incoming.flow_control().release_capacity(data.len());
        if progress.take_body(&data) {
            return Ok(incoming.is_end_stream());
        }
    }
    Ok(true)
}

async fn next_data(incoming: &mut h2::RecvStream) -> Option<Result<Bytes, h2::Error>> {
    poll_fn(|cx| Pin::new(&mut *incoming).poll_data(cx)).await
}

fn request(scheme: Scheme, ask: &Ask<'_>) -> Option<Request<()>> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(match scheme {
        Scheme::Http => UriScheme::HTTP,
        Scheme::Https => UriScheme::HTTPS,
    });
    parts.authority = Some(Authority::try_from(ask.host.as_bytes()).ok()?);
    parts.path_and_query = Some(PathAndQuery::try_from(ask.path).ok()?);
    let mut request = Request::new(());
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = ask.headers.clone();
    let traceparent = HeaderValue::try_from(ask.traceparent.as_str()).ok()?;
    request.headers_mut().insert("traceparent", traceparent);
    Some(request)
}

/// Sizes are those the same head would have in HTTP/1.1: what a gateway that speaks it to its client has to buffer.
fn head(status: u16, headers: &HeaderMap, kept: &KeptHeaders, now: SystemTime) -> Head {
    let mut head = Head {
        status,
        version: "2",
        bytes: "HTTP/1.1 200 \r\n\r\n".len() as u64,
        ..Head::default()
    };
    for (name, value) in headers {
        let line = (name.as_str().len() + value.len() + ": \r\n".len()) as u64;
        head.bytes += line;
        head.longest_line = head.longest_line.max(line);
        kept.keep(&mut head.headers, name.as_str(), value.as_bytes());
        if (300..400).contains(&status) && name == http::header::LOCATION {
            head.location = Some(String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
        if name == http::header::RETRY_AFTER {
            head.retry_after = retry_after(value.as_bytes(), now);
        }
    }
    head
}

/// RST_STREAM and GOAWAY of the peer are a reset, what the library objects to is malformed (design, section 3).
fn fault(stop: Stop, in_body: bool, read: u64, limits: ReadLimits) -> HttpFault {
    let Stop::Library(error) = stop else {
        return HttpFault::Malformed("the request cannot be written in HTTP/2");
    };
    let ended = error.is_io() || error.is_reset() || error.is_go_away();
    if error.is_library() {
        // An oversized header block is refused by the library as a protocol error; the bytes read tell the two apart.
        return match !in_body && read > limits.max_head {
            true => HttpFault::HeadTooLarge,
            false => HttpFault::Malformed("HTTP/2 protocol error"),
        };
    }
    match (in_body, ended) {
        (true, _) => HttpFault::BodyCut,
        (false, true) if error.is_io() => io_fault(&error, read),
        (false, true) if !error.is_remote() && read == 0 => HttpFault::Closed,
        (false, _) => HttpFault::Reset,
    }
}

fn io_fault(error: &h2::Error, read: u64) -> HttpFault {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
    // The library hands on the kind of the system's error and loses its number; it calls a plain FIN a broken pipe.
    match error.get_io().map(std::io::Error::kind) {
        Some(ConnectionReset | ConnectionAborted) => HttpFault::Reset,
        _ if read == 0 => HttpFault::Closed,
        _ => HttpFault::ClosedInHead,
    }
}
