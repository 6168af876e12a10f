//! The demo's gateway: passes `/NAME` on to the origin of that name, and answers 502 or 504 where it cannot, as
//! gateways do. One connection, one request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::origins::Place;

/// The origin's first byte is waited for this long; the demo's configuration states the same limit.
const FIRST_BYTE: Duration = Duration::from_secs(1);
/// Requests passed on at once.
const CONNECTIONS: usize = 256;
/// A whole exchange takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);
/// A response head that does not fit this is refused, as by a gateway with a buffer.
const BUFFER: usize = 16 * 1024;

/// Starts the gateway; it lives as long as the runtime.
pub async fn start(routes: Vec<(&'static str, Place)>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (routes, slots) = (Arc::new(routes), Arc::new(Semaphore::new(CONNECTIONS)));
    tokio::spawn(async move {
        loop {
            let slot = slots.clone().acquire_owned().await.expect("the slots are never closed");
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let routes = routes.clone();
            tokio::spawn(async move {
                let _ = timeout(PATIENCE, serve(stream, &routes)).await;
                drop(slot);
            });
        }
    });
    Ok(address)
}

async fn serve(mut client: TcpStream, routes: &[(&'static str, Place)]) -> io::Result<()> {
    let mut request = [0; 4096];
    let length = client.read(&mut request).await?;
    let path = request[..length].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let route = routes
        .iter()
        .find(|(name, _)| path.strip_prefix(b"/") == Some(name.as_bytes()));
    let Some((_, place)) = route else {
        return refuse(&mut client, "404 Not Found").await;
    };
    match first_bytes(place).await {
        Ok((mut origin, first)) => {
            client.write_all(&first).await?;
            tokio::io::copy(&mut origin, &mut client).await.map(drop)
        }
        Err(status) => refuse(&mut client, status).await,
    }
}

/// Connects and reads the start of a response, or says what to answer instead.
async fn first_bytes(place: &Place) -> Result<(TcpStream, Vec<u8>), &'static str> {
    const BAD: &str = "502 Bad Gateway";
    if place.resolver.is_some() || place.url.starts_with("https") {
        return Err(BAD);
    }
    let mut origin = TcpStream::connect(place.address).await.map_err(|_| BAD)?;
    origin
        .write_all(b"GET / HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n")
        .await
        .map_err(|_| BAD)?;
    let mut first = vec![0; BUFFER];
    match timeout(FIRST_BYTE, origin.read(&mut first)).await {
        Err(_) => Err("504 Gateway Time-out"),
        Ok(Ok(length))
            if first[..length].starts_with(b"HTTP/1.") && first[..length].windows(4).any(|end| end == b"\r\n\r\n") =>
        {
            first.truncate(length);
            Ok((origin, first))
        }
        Ok(_) => Err(BAD),
    }
}

async fn refuse(client: &mut TcpStream, status: &str) -> io::Result<()> {
    let body = format!("<html><body><h1>{status}</h1></body></html>\n");
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: demo-edge\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).await
}
