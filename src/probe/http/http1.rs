//! HTTP/1.1 on a fresh connection: one request, one final response, read byte by byte as they come.
//!
//! Written here rather than taken from a client library because the client must see what a gateway would see: which
//! rule a head breaks, whether the connection ended with FIN or RST, before, inside or after the head. A client
//! library forgives some of it, retries some of it, and reports the rest as text.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::SystemTime;

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::observation::HttpFault;
use crate::probe::http::body::Chunked;
use crate::probe::http::head::{self, Framing};
use crate::probe::http::{Ask, ExchangeEnd, Form, MAX_INTERIM, Progress, ReadLimits};
use crate::probe::tls::alert_of;

/// Sends the request and reads the response before the deadline. Also returns when the first byte came.
pub async fn exchange<S>(
    stream: &mut S,
    ask: &Ask<'_>,
    limits: ReadLimits,
    deadline: Instant,
    now: SystemTime,
) -> (ExchangeEnd, Option<Instant>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut progress = Progress::new(limits);
    let end = timeout_at(deadline, run(stream, ask, &mut progress, now)).await;
    let first_byte = progress.first_byte;
    let end = match end {
        Err(_) => progress.timed_out(),
        Ok(Finish::Complete) => progress.complete(true),
        Ok(Finish::EnoughBody) => progress.complete(false),
        Ok(Finish::Fault(fault)) => progress.failed(fault),
        Ok(Finish::Alert(alert)) => ExchangeEnd::TlsAlert(alert),
    };
    (end, first_byte)
}

/// Waits on a connection nobody uses. True as soon as the peer ends it, or says something nobody asked for, which ends it as
/// well; false when that did not happen by then.
pub async fn ends_by<S: AsyncRead + Unpin>(stream: &mut S, by: Instant) -> bool {
    let mut unasked = Vec::new();
    timeout_at(by, read_some(stream, &mut unasked)).await.is_ok()
}

/// How the conversation ended, if no deadline ended it.
enum Finish {
    Complete,
    EnoughBody,
    Fault(HttpFault),
    Alert(u8),
}

/// What a read gave, besides bytes.
enum ReadFault {
    Closed,
    Reset,
    Silent,
    Alert(u8),
}

async fn run<S>(stream: &mut S, ask: &Ask<'_>, progress: &mut Progress, now: SystemTime) -> Finish
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A peer may answer and close before it has read everything, so a failed write is decided by what can be read.
    let write_failed = send(stream, ask).await.is_err();
    let framing = match read_head(stream, ask, progress, now).await {
        Ok(framing) => framing,
        Err(Finish::Fault(HttpFault::Closed)) if write_failed => return Finish::Fault(HttpFault::Reset),
        Err(finish) => return finish,
    };
    read_body(stream, framing, progress).await
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, ask: &Ask<'_>) -> io::Result<()> {
    let bytes = serialize(ask);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

fn serialize(ask: &Ask<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(384 + ask.body.map_or(0, |body| body.len()));
    let mut add = |part: &[u8]| bytes.extend_from_slice(part);
    let version = if ask.form == Form::Old {
        " HTTP/1.0"
    } else {
        " HTTP/1.1"
    };
    for part in [ask.method.as_str(), " ", ask.path, version] {
        add(part.as_bytes());
    }
    if !ask.host.is_empty() {
        add(b"\r\nHost: ");
        add(ask.host.as_bytes());
    }
    for (name, value) in ask.headers {
        for part in [b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
            add(part);
        }
    }
    let connection = match ask.form {
        Form::Alone => "\r\nConnection: close",
        Form::Kept | Form::Old => "",
    };
    for part in ["\r\ntraceparent: ", &ask.traceparent, connection, "\r\n\r\n"] {
        add(part.as_bytes());
    }
    add(ask.body.map_or(&[], |body| body));
    bytes
}

/// Reads up to the end of the final head; what was read of the body stays in `progress.raw`.
async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    ask: &Ask<'_>,
    progress: &mut Progress,
    now: SystemTime,
) -> Result<Framing, Finish> {
    let malformed = |rule| Finish::Fault(HttpFault::Malformed(rule));
    let (mut searched, mut interim_bytes, mut interim) = (0, 0, 0);
    loop {
        while let Some(end) = head::end_of_head(&progress.raw, searched) {
            if (interim_bytes + end) as u64 > progress.limits.max_head {
                return Err(Finish::Fault(HttpFault::HeadTooLarge));
            }
            let (head, framing) =
                head::parse(&progress.raw[..end], *ask.method == Method::HEAD, ask.kept, now).map_err(malformed)?;
            progress.raw.drain(..end);
            searched = 0;
            if head.status >= 200 || head.status == 101 {
                progress.head = Some(Box::new(head));
                return Ok(framing);
            }
            interim_bytes += end;
            interim += 1;
            if interim > MAX_INTERIM {
                return Err(malformed("interim responses without end"));
            }
        }
        if head::cannot_be_http(&progress.raw) {
            return Err(malformed("the first bytes are no status line"));
        }
        if (interim_bytes + progress.raw.len()) as u64 > progress.limits.max_head {
            return Err(Finish::Fault(HttpFault::HeadTooLarge));
        }
        searched = progress.raw.len();
        let result = read_some(stream, &mut progress.raw).await;
        if progress.first_byte.is_none() && !progress.raw.is_empty() {
            progress.first_byte = Some(Instant::now());
        }
        result.map_err(|fault| match fault {
            ReadFault::Closed if progress.raw.is_empty() && interim == 0 => Finish::Fault(HttpFault::Closed),
            ReadFault::Closed => Finish::Fault(HttpFault::ClosedInHead),
            ReadFault::Reset => Finish::Fault(HttpFault::Reset),
            ReadFault::Silent => Finish::Fault(HttpFault::HeadTimeout),
            ReadFault::Alert(alert) => Finish::Alert(alert),
        })?;
    }
}

async fn read_body<S: AsyncRead + Unpin>(stream: &mut S, framing: Framing, progress: &mut Progress) -> Finish {
    let mut bytes = std::mem::take(&mut progress.raw);
    let mut body = Body::new(framing);
    loop {
        match body.take(&bytes, progress) {
            Ok(Some(finish)) => return finish,
            Ok(None) => {}
            Err(rule) => return Finish::Fault(HttpFault::Malformed(rule)),
        }
        bytes.clear();
        match read_some(stream, &mut bytes).await {
            Ok(()) => {}
            Err(ReadFault::Closed) if framing == Framing::UntilClose => return Finish::Complete,
            Err(ReadFault::Silent) => return Finish::Fault(HttpFault::BodyTimeout),
            Err(_) => return Finish::Fault(HttpFault::BodyCut),
        }
    }
}

/// Where the body stands.
enum Body {
    Left(u64),
    Chunked(Chunked),
    UntilClose,
}

impl Body {
    fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Body::Left(0),
            Framing::Length(length) => Body::Left(length),
            Framing::Chunked => Body::Chunked(Chunked::new()),
            Framing::UntilClose => Body::UntilClose,
        }
    }

    /// Takes bytes in; `Some` once no more are wanted.
    fn take(&mut self, bytes: &[u8], progress: &mut Progress) -> Result<Option<Finish>, &'static str> {
        let (enough, complete) = match self {
            Body::Left(left) => {
                let length = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                (progress.take_body(&bytes[..length]), *left == 0)
            }
            Body::Chunked(chunked) => {
                let mut enough = false;
                chunked.feed(bytes, |data| enough |= progress.take_body(data))?;
                (enough, chunked.done())
            }
            Body::UntilClose => (progress.take_body(bytes), false),
        };
        Ok(match (complete, enough) {
            (true, _) => Some(Finish::Complete),
            (false, true) => Some(Finish::EnoughBody),
            (false, false) => None,
        })
    }
}

/// Appends what arrives next. The space to read into lives on the stack and only while there is something to read:
/// thousands of probes waiting for an answer hold no buffers.
async fn read_some<S: AsyncRead + Unpin>(stream: &mut S, into: &mut Vec<u8>) -> Result<(), ReadFault> {
    let result = poll_fn(|cx| {
        let mut space = [MaybeUninit::uninit(); 8192];
        let mut buffer = ReadBuf::uninit(&mut space);
        let result = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
        into.extend_from_slice(buffer.filled());
        Poll::Ready(result.map(|()| buffer.filled().len()))
    })
    .await;
    match result {
        Ok(0) => Err(ReadFault::Closed),
        Ok(_) => Ok(()),
        Err(error) => Err(read_fault(&error)),
    }
}

fn read_fault(error: &io::Error) -> ReadFault {
    match error.kind() {
        // The TLS layer's way to say that the peer closed without close_notify.
        io::ErrorKind::UnexpectedEof => ReadFault::Closed,
        io::ErrorKind::TimedOut => ReadFault::Silent,
        _ => alert_of(error).map_or(ReadFault::Reset, ReadFault::Alert),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::observation::Response;
    use crate::probe::http::KeptHeaders;

    /// The end of an exchange with a peer that sends these pieces and closes, or stalls.
    async fn against(pieces: &[&[u8]], stall: bool, limits: ReadLimits) -> ExchangeEnd {
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let peer = tokio::spawn(async move {
            let mut request = [0; 1024];
            let _ = theirs.read(&mut request).await;
            for piece in pieces {
                if theirs.write_all(&piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            if stall {
                std::future::pending::<()>().await;
            }
        });
        let deadline = Instant::now() + Duration::from_secs(5);
        let ask = Ask {
            method: &Method::GET,
            host: &http::HeaderValue::from_static("example.com"),
            path: "/",
            headers: &http::HeaderMap::new(),
            traceparent: String::new(),
            body: None,
            kept: &KeptHeaders::default(),
            form: Form::default(),
        };
        let (end, _) = exchange(&mut ours, &ask, limits, deadline, SystemTime::UNIX_EPOCH).await;
        peer.abort();
        end
    }

    const LIMITS: ReadLimits = ReadLimits {
        max_head: 16 * 1024,
        max_body: 1000,
        keep: 512,
    };

    async fn fault(sent: &str, stall: bool) -> HttpFault {
        match against(&[sent.as_bytes()], stall, LIMITS).await {
            ExchangeEnd::Failure(failure) => failure.fault,
            other => panic!("{sent:?} ended in {other:?}"),
        }
    }

    async fn response(pieces: &[&[u8]], stall: bool) -> Response {
        match against(pieces, stall, LIMITS).await {
            ExchangeEnd::Response(response) => *response,
            other => panic!("{pieces:?} ended in {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_way_to_fail_is_told_apart() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000));
        let cases = [
            ("", false, HttpFault::Closed),
            ("", true, HttpFault::HeadTimeout),
            ("HTTP/1.1 200 OK\r\nServ", false, HttpFault::ClosedInHead),
            ("HTTP/1.1 200 OK\r\nServ", true, HttpFault::HeadTimeout),
            (
                "SSH-2.0-x\r\n",
                true,
                HttpFault::Malformed("the first bytes are no status line"),
            ),
            (&long, true, HttpFault::HeadTooLarge),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                false,
                HttpFault::BodyCut,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                true,
                HttpFault::BodyTimeout,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                false,
                HttpFault::BodyCut,
            ),
            ("HTTP/1.1 103 Early Hints\r\n\r\n", false, HttpFault::ClosedInHead),
        ];
        for (sent, stall, expected) in cases {
            assert_eq!(fault(sent, stall).await, expected, "{:?}", &sent[..sent.len().min(60)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn interim_responses_are_skipped() {
        let seen = response(
            &[
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTT",
                b"P/1.1 200 OK\r\n\r\nok",
            ],
            false,
        )
        .await;
        assert_eq!(
            (seen.head.status, &seen.body[..], seen.body_complete),
            (200, &b"ok"[..], true)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_upgrade_nobody_asked_for_is_an_answer() {
        assert_eq!(
            response(&[b"HTTP/1.1 101 Switching\r\n\r\nraw"], true)
                .await
                .head
                .status,
            101
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_body_is_read_to_the_limit() {
        let sent = format!("HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n{}", "x".repeat(5000));
        let seen = response(&[sent.as_bytes()], true).await;
        assert!(!seen.body_complete && seen.body_bytes >= 1000);
        assert_eq!(seen.body.len(), 512);
    }

    #[tokio::test(start_paused = true)]
    async fn endless_interim_responses_end() {
        let sent = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
        assert_eq!(
            fault(&sent, true).await,
            HttpFault::Malformed("interim responses without end")
        );
    }
}
