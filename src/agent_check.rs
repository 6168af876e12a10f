//! HAProxy's agent check over TCP: one line in that names an upstream and perhaps an address, one word out.
//!
//! What HAProxy sends is its `agent-send` string, `UPSTREAM` or `UPSTREAM ADDRESS` with a newline; the answer is `up`, or
//! `down` with a reason behind `#` (HAProxy configuration manual, 5.2, `agent-check`). Whoever names nothing that is known
//! here, or sends no line in time, hears `up`.
//!
//! HAProxy takes a server that was called down back only when it hears `up`, not when nobody answers any more. So before
//! the program ends, or the address changes, whoever heard `down` in the last minute is given the time to hear `up`.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::health::{Answers, Health, Why};

/// Connections at once; further ones wait in the kernel's queue until one ends, which none can delay for long.
const MAX_CONNECTIONS: usize = 128;
/// Bytes of a line looked at; a name has at most 100, an address 47.
const MAX_LINE: usize = 256;
/// Time for the line. HAProxy gives the whole check `agent-inter`, 2 s by default.
const LINE_WITHIN: Duration = Duration::from_millis(500);
/// Time for the answer to be taken, and for the other side to end.
const END_WITHIN: Duration = Duration::from_secs(1);
/// Who heard `down` so shortly before the end is waited for.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Time to hear `up` at the end: two checks at HAProxy's default of 2 s.
const FAREWELL: Duration = Duration::from_secs(5);
/// Wait after a failed bind or accept.
const PAUSE: Duration = Duration::from_secs(2);

/// Answers at that address until `stop`, and a little longer where somebody must still hear `up`. An address that is in
/// use is tried again until it is free.
pub async fn run(listen: SocketAddr, answer: Answers, stop: CancellationToken) {
    let bind = async {
        let mut said = false;
        loop {
            match TcpListener::bind(listen).await {
                Ok(listener) => break listener,
                Err(error) if said => debug!(%listen, %error, "the agent check still cannot listen"),
                Err(error) => warn!(%listen, %error, "the agent check cannot listen; it is tried again"),
            }
            said = true;
            sleep(PAUSE).await;
        }
    };
    let Some(listener) = stop.run_until_cancelled(bind).await else {
        return;
    };
    info!(%listen, "answering agent checks");
    let last_down = Arc::new(Mutex::new(None));
    let remembering: Answers = {
        let (last_down, stop) = (last_down.clone(), stop.clone());
        Arc::new(move |upstream, address| match answer(upstream, address) {
            _ if stop.is_cancelled() => Health::Up(Why::Stopping),
            Health::Down => {
                *last_down.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Health::Down
            }
            up => up,
        })
    };
    let mut connections = JoinSet::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    stop.run_until_cancelled(serve(&listener, &remembering, &slots, &mut connections))
        .await;
    let heard = *last_down.lock().unwrap_or_else(PoisonError::into_inner);
    if heard.is_some_and(|at| at.elapsed() < REMEMBERED) {
        let farewell = serve(&listener, &remembering, &slots, &mut connections);
        let _ = timeout(FAREWELL, farewell).await;
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(listener: &TcpListener, answer: &Answers, slots: &Arc<Semaphore>, connections: &mut JoinSet<()>) {
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the slots are never closed");
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let answer = answer.clone();
                connections.spawn(async move {
                    if let Err(error) = converse(stream, &answer).await {
                        debug!(%peer, %error, "an agent check broke off");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept an agent check");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, answer: &Answers) -> io::Result<()> {
    let line = read_line(&mut stream).await;
    let said = match asked(&line) {
        Some((upstream, address)) => answer(upstream, address),
        None => Health::Up(Why::NothingAsked),
    };
    let end = Instant::now() + END_WITHIN;
    let goodbye = async {
        stream.write_all(written(said)).await?;
        stream.shutdown().await?;
        // What is left unread would reset the connection before the answer arrives.
        let mut rest = [0; MAX_LINE];
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    };
    timeout_at(end, goodbye).await.unwrap_or(Ok(()))
}

/// The first line as far as it came in time; without a newline, what came.
async fn read_line(stream: &mut TcpStream) -> Vec<u8> {
    let mut line = Vec::with_capacity(64);
    let read = async {
        let mut bytes = [0; MAX_LINE];
        while line.len() < MAX_LINE && !line.contains(&b'\n') {
            match stream.read(&mut bytes).await {
                Ok(count) if count > 0 => line.extend_from_slice(&bytes[..count]),
                _ => break,
            }
        }
    };
    let _ = timeout(LINE_WITHIN, read).await;
    line
}

/// The upstream and the address that a line names; `None` for anything else.
fn asked(line: &[u8]) -> Option<(&str, Option<&str>)> {
    let line = line.get(..MAX_LINE).unwrap_or(line);
    let line = std::str::from_utf8(line).ok()?.lines().next()?;
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(upstream), address, None) => Some((upstream, address)),
        _ => None,
    }
}

/// As HAProxy reads it.
fn written(health: Health) -> &'static [u8] {
    match health {
        Health::Up(_) => b"up\n",
        Health::Down => b"down # confirmed failing, says badgateway\n",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_names_an_upstream_and_perhaps_an_address() {
        for (line, expected) in [
            ("shop\n", Some(("shop", None))),
            ("shop 10.0.0.7:80\n", Some(("shop", Some("10.0.0.7:80")))),
            ("  shop\t10.0.0.7:80 \r\nmore\n", Some(("shop", Some("10.0.0.7:80")))),
            ("shop", Some(("shop", None))),
            ("", None),
            ("\n", None),
            ("\nshop\n", None),
            ("GET / HTTP/1.1\r\n\r\n", None),
        ] {
            assert_eq!(asked(line.as_bytes()), expected, "{line:?}");
        }
        assert_eq!(asked(b"\xff\xfe\n"), None);
        assert_eq!(asked(&[b'a'; 5000]).map(|(name, _)| name.len()), Some(MAX_LINE));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line: Vec<u8>) {
            let _ = asked(&line);
        }
    }
}
