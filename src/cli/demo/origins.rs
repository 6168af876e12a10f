//! The demo's origins: each does one thing wrong, on a port of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::cause::Cause;

/// Connections served at once by one origin.
const CONNECTIONS: usize = 64;
/// A client that says nothing is let go after this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an origin is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its URL.
    pub url: String,
    /// Where it listens; for a gateway to connect to.
    pub address: SocketAddr,
    /// The resolver that knows its name, if it needs one.
    pub resolver: Option<SocketAddr>,
}

macro_rules! faults {
    ($( $variant:ident $name:literal $cause:expr; )*) => {
        /// What an origin does wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $( $variant, )*
        }

        impl Fault {
            /// All of them.
            pub const ALL: [Fault; [$( $name ),*].len()] = [$( Fault::$variant ),*];

            /// The upstream's name.
            pub fn name(self) -> &'static str {
                match self { $( Fault::$variant => $name, )* }
            }

            /// The cause it is to be found by.
            pub fn cause(self) -> Option<Cause> {
                match self { $( Fault::$variant => $cause, )* }
            }
        }
    };
}

faults! {
    Healthy "healthy" None;
    Refused "refused" Some(Cause::ConnectRefused);
    UnknownName "unknown-name" Some(Cause::DnsNxdomain);
    NotTls "not-tls" Some(Cause::TlsNotTls);
    TlsClosed "tls-closed" Some(Cause::TlsClosed);
    Silent "silent" Some(Cause::ResponseTimeout);
    Closed "closed" Some(Cause::ResponseClosed);
    Reset "reset" Some(Cause::ResponseReset);
    Garbage "garbage" Some(Cause::ResponseMalformed);
    HugeHeader "huge-header" Some(Cause::ResponseHeaderTooLarge);
    Truncated "truncated" Some(Cause::ResponseTruncated);
    StalledBody "stalled-body" Some(Cause::ResponseBodyTimeout);
    OwnBadGateway "own-502" Some(Cause::BadGateway);
    Overloaded "overloaded" Some(Cause::ServiceUnavailable);
    Crashing "crashing" Some(Cause::ServerError);
    WrongPath "wrong-path" Some(Cause::UnexpectedStatus);
    WrongPage "wrong-page" Some(Cause::ContentMismatch);
}

/// Starts one origin; it lives as long as the runtime.
pub async fn start(fault: Fault) -> io::Result<Place> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut place = Place {
        url: format!("http://{address}/"),
        address,
        resolver: None,
    };
    match fault {
        // The port stays free: nothing else is given it for as long as other ports are.
        Fault::Refused => drop(listener),
        Fault::UnknownName => {
            let resolver = UdpSocket::bind("127.0.0.1:0").await?;
            place.url = "http://shop.demo.invalid/".to_owned();
            place.resolver = Some(resolver.local_addr()?);
            tokio::spawn(deny_names(resolver));
        }
        _ => {
            if matches!(fault, Fault::NotTls | Fault::TlsClosed) {
                place.url = format!("https://{address}/");
            }
            tokio::spawn(accept(listener, fault));
        }
    }
    Ok(place)
}

/// Says of every name that it does not exist.
async fn deny_names(socket: UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, peer)) = socket.recv_from(&mut question).await {
        let Some(answer) = question.get_mut(..length).filter(|question| question.len() >= 12) else {
            continue;
        };
        // Response, recursion desired and available, code 3 (RFC 1035, 4.1.1).
        answer[2] = 0x81;
        answer[3] = 0x83;
        let _ = socket.send_to(answer, peer).await;
    }
}

async fn accept(listener: TcpListener, fault: Fault) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the slots are never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, serve(stream, fault)).await;
                    drop(slot);
                });
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(mut stream: TcpStream, fault: Fault) -> io::Result<()> {
    let mut request = [0; 2048];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    match fault {
        Fault::Healthy => answer(&mut stream, "200 OK", "all ok\n").await,
        Fault::NotTls => answer(&mut stream, "400 Bad Request", "plain HTTP is spoken here\n").await,
        Fault::Closed | Fault::TlsClosed | Fault::Refused | Fault::UnknownName => Ok(()),
        Fault::Reset => reset(stream),
        Fault::Silent => std::future::pending().await,
        Fault::Garbage => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await,
        Fault::HugeHeader => {
            let header = format!("X-Session: {}\r\n", "x".repeat(8000));
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\n{}\r\n", header.repeat(40)).as_bytes())
                .await
        }
        Fault::Truncated => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nall ok, but")
                .await
        }
        Fault::StalledBody => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nall ok, but")
                .await?;
            std::future::pending().await
        }
        Fault::OwnBadGateway => answer(&mut stream, "502 Bad Gateway", "the next hop is down\n").await,
        Fault::Overloaded => answer(&mut stream, "503 Service Unavailable", "too busy\n").await,
        Fault::Crashing => answer(&mut stream, "500 Internal Server Error", "stack trace\n").await,
        Fault::WrongPath => answer(&mut stream, "404 Not Found", "no such page\n").await,
        Fault::WrongPage => answer(&mut stream, "200 OK", "please log in\n").await,
    }
}

async fn answer(stream: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: demo\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await
}

/// With no time to linger, closing sends RST.
fn reset(stream: TcpStream) -> io::Result<()> {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}
