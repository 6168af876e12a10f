//! One question to one resolver: over UDP, again over TCP where the answer was cut.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use crate::observation::{DnsFault, OwnLimit};
use crate::probe::dns::answer::{Answer, Reply, Standing, read};

/// A lost datagram is sent again after this long (RFC 1035, 4.2.1, leaves the figure to the client).
const RESEND_AFTER: Duration = Duration::from_secs(1);
/// Larger than any datagram a resolver sends to a client without EDNS, with room for those that ignore that.
const MAX_DATAGRAM: usize = 4096;

/// Asks a resolver until an answer comes or the deadline passes.
pub async fn ask(server: SocketAddr, name: &Name, kind: RecordType, deadline: Instant) -> Result<Answer, DnsFault> {
    put(server, name, kind, true, deadline).await.0
}

/// Asks a server for what it knows of its own zones: without asking it to ask others (RFC 1035, 4.1.1, RD).
pub async fn ask_directly(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    deadline: Instant,
) -> (Result<Answer, DnsFault>, Standing) {
    put(server, name, kind, false, deadline).await
}

async fn put(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    recursion: bool,
    deadline: Instant,
) -> (Result<Answer, DnsFault>, Standing) {
    let id = random_id();
    let none = |fault| (Err(fault), Standing::default());
    let question = match encode(id, name, kind, recursion) {
        Ok(question) => question,
        Err(fault) => return none(fault),
    };
    match timeout_at(deadline, over_udp(server, &question, id, name, kind)).await {
        Err(_) => none(DnsFault::Timeout),
        Ok(Ok(Reply::Answer(answer, standing))) => (answer, standing),
        Ok(Ok(Reply::Truncated | Reply::NotOurs)) => {
            match timeout_at(deadline, over_tcp(server, &question, id, name, kind)).await {
                Err(_) => none(DnsFault::Timeout),
                Ok(Ok(Reply::Answer(answer, standing))) => (answer, standing),
                Ok(Ok(Reply::Truncated | Reply::NotOurs)) => none(DnsFault::Malformed("no valid answer over TCP")),
                Ok(Err(error)) => {
                    none(own(&error).unwrap_or(DnsFault::Malformed("a truncated answer, and none over TCP")))
                }
            }
        }
        // The resolver's host says that nobody listens: nobody answers there, as with silence.
        Ok(Err(error)) => none(own(&error).unwrap_or(DnsFault::Timeout)),
    }
}

fn random_id() -> u16 {
    let mut bytes = [0; 2];
    // An id from a weak source would only ease forging; the random source of the system does not fail once it runs.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u16::from_ne_bytes(bytes)
}

fn encode(id: u16, name: &Name, kind: RecordType, recursion: bool) -> Result<Vec<u8>, DnsFault> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = recursion;
    message.add_query(Query::query(name.clone(), kind));
    message
        .to_vec()
        .map_err(|_| DnsFault::Malformed("the name cannot be asked for: it is no valid domain name"))
}

fn own(error: &io::Error) -> Option<DnsFault> {
    match error.raw_os_error()? {
        libc::EMFILE | libc::ENFILE => Some(DnsFault::Own(OwnLimit::FileLimit)),
        libc::ENOBUFS | libc::ENOMEM => Some(DnsFault::Own(OwnLimit::Memory)),
        libc::EADDRNOTAVAIL | libc::EADDRINUSE => Some(DnsFault::Own(OwnLimit::LocalPorts)),
        _ => None,
    }
}

async fn over_udp(server: SocketAddr, question: &[u8], id: u16, name: &Name, kind: RecordType) -> io::Result<Reply> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    loop {
        socket.send(question).await?;
        let resend_at = Instant::now() + RESEND_AFTER;
        while let Ok(received) = timeout_at(resend_at, socket.readable()).await {
            received?;
            match receive(&socket, id, name, kind)? {
                Reply::NotOurs => {}
                reply => return Ok(reply),
            }
        }
    }
}

/// One datagram. Its buffer is not kept while waiting: a silent resolver costs no memory.
fn receive(socket: &UdpSocket, id: u16, name: &Name, kind: RecordType) -> io::Result<Reply> {
    let mut datagram = [0; MAX_DATAGRAM];
    match socket.try_recv(&mut datagram) {
        Ok(length) => Ok(read(&datagram[..length], id, name, kind)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Reply::NotOurs),
        Err(error) => Err(error),
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8], id: u16, name: &Name, kind: RecordType) -> io::Result<Reply> {
    let mut stream = timeout(RESEND_AFTER * 5, TcpStream::connect(server))
        .await
        .map_err(io::Error::from)??;
    let length = u16::try_from(question.len()).expect("a question of one name fits 512 bytes");
    stream
        .write_all(&[&length.to_be_bytes()[..], question].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(read(&message, id, name, kind))
}
