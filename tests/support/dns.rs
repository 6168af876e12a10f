//! A DNS server that answers by a script, over UDP and TCP on one port, well or in one particular wrong way.
//!
//! Messages are written by hand (RFC 1035), so that they can be wrong, and so that no bug is shared with the daemon.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

pub const A: u16 = 1;
pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const AAAA: u16 = 28;

pub const SERVFAIL: u16 = 2;
pub const NXDOMAIN: u16 = 3;
pub const REFUSED: u16 = 5;

const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const RECURSION: u16 = 0x0180;
const RECURSION_DESIRED: u16 = 0x0100;
const AUTHORITATIVE: u16 = 0x0400;

/// A question that arrived.
#[derive(Clone, Debug)]
pub struct Question {
    pub id: u16,
    /// In lower case, without the last dot.
    pub name: String,
    pub kind: u16,
    /// The server is asked to ask others.
    pub recursion: bool,
    pub tcp: bool,
}

/// An answer in the making.
#[derive(Clone, Debug)]
pub struct Answer {
    pub id: u16,
    pub flags: u16,
    /// What it claims to have been asked.
    pub question: (String, u16),
    /// Owner, type, time to live, data.
    pub records: Vec<(String, u16, u32, Vec<u8>)>,
    /// The same of the authority section.
    pub authority: Vec<(String, u16, u32, Vec<u8>)>,
    /// The number of answers it claims to hold, where that is a lie.
    pub claimed: Option<u16>,
}

/// The packets sent for one question, in order.
pub type Script = Arc<dyn Fn(&Question) -> Vec<Vec<u8>> + Send + Sync>;

impl Question {
    /// An answer without records.
    pub fn answer(&self) -> Answer {
        Answer {
            id: self.id,
            flags: RESPONSE | RECURSION,
            question: (self.name.clone(), self.kind),
            records: Vec::new(),
            authority: Vec::new(),
            claimed: None,
        }
    }

    /// An answer with these addresses, those of the wanted family alone.
    pub fn addresses(&self, addresses: &[&str]) -> Answer {
        addresses
            .iter()
            .fold(self.answer(), |answer, ip| answer.address(&self.name, ip))
    }
}

impl Answer {
    /// With a response code.
    pub fn code(mut self, code: u16) -> Answer {
        self.flags |= code;
        self
    }

    /// Marked as truncated.
    pub fn truncated(mut self) -> Answer {
        self.flags |= TRUNCATED;
        self
    }

    /// With an address record, if that family was asked for.
    pub fn address(mut self, owner: &str, ip: &str) -> Answer {
        let (kind, data) = match ip.parse().expect("an address") {
            IpAddr::V4(ip) => (A, ip.octets().to_vec()),
            IpAddr::V6(ip) => (AAAA, ip.octets().to_vec()),
        };
        if self.question.1 == kind {
            self.records.push((owner.to_owned(), kind, 60, data));
        }
        self
    }

    /// With an alias.
    pub fn alias(mut self, owner: &str, target: &str) -> Answer {
        self.records.push((owner.to_owned(), CNAME, 30, wire_name(target)));
        self
    }

    /// With a server of the zone.
    pub fn name_server(mut self, zone: &str, server: &str) -> Answer {
        self.records.push((zone.to_owned(), NS, 3600, wire_name(server)));
        self
    }

    /// Passing on to the server of a zone below.
    pub fn delegates(mut self, zone: &str, server: &str) -> Answer {
        self.authority.push((zone.to_owned(), NS, 3600, wire_name(server)));
        self
    }

    /// Marked as from the zone's own server.
    pub fn authoritative(mut self) -> Answer {
        self.flags |= AUTHORITATIVE;
        self
    }

    /// On the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let count = self.claimed.unwrap_or(self.records.len() as u16);
        let mut bytes = Vec::new();
        for number in [self.id, self.flags, 1, count, self.authority.len() as u16, 0] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(wire_name(&self.question.0));
        bytes.extend(self.question.1.to_be_bytes());
        bytes.extend([0, 1]);
        for (owner, kind, ttl, data) in self.records.iter().chain(&self.authority) {
            bytes.extend(wire_name(owner));
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1]);
            bytes.extend(ttl.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }
}

/// Starts a server on UDP and TCP.
pub fn serve(script: impl Fn(&Question) -> Vec<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    let script: Script = Arc::new(script);
    let (udp, tcp) = sockets();
    tcp.listen(64).expect("listens");
    let address = udp.local_addr().expect("bound");
    serve_udp(udp, script.clone());
    let listener = TcpListener::from(tcp);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = script.clone();
            std::thread::spawn(move || while answer_tcp(&stream, &script).is_some() {});
        }
    });
    address
}

/// Starts a server on UDP at that address.
pub fn serve_at(address: SocketAddr, script: impl Fn(&Question) -> Vec<Vec<u8>> + Send + Sync + 'static) {
    serve_udp(UdpSocket::bind(address).expect("the address is free"), Arc::new(script));
}

/// Starts a server whose TCP port refuses; as long as the socket lives nobody else listens there.
pub fn serve_udp_only(script: impl Fn(&Question) -> Vec<Vec<u8>> + Send + Sync + 'static) -> (SocketAddr, Socket) {
    let (udp, tcp) = sockets();
    let address = udp.local_addr().expect("bound");
    serve_udp(udp, Arc::new(script));
    (address, tcp)
}

/// A port where neither UDP nor TCP answers but by a refusal; as long as the socket lives.
pub fn refusing() -> (SocketAddr, Socket) {
    let (udp, tcp) = sockets();
    (udp.local_addr().expect("bound"), tcp)
}

/// A UDP and a TCP socket with the same port.
fn sockets() -> (UdpSocket, Socket) {
    for _ in 0..100 {
        let tcp = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        tcp.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
            .expect("a port");
        let port = tcp.local_addr().expect("bound").as_socket().expect("an address");
        // Another test may have the port for UDP.
        if let Ok(udp) = UdpSocket::bind(port) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

fn serve_udp(socket: UdpSocket, script: Script) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            let Some(question) = parse(&bytes[..length], false) else {
                continue;
            };
            for packet in script(&question) {
                // A prober that is gone does not matter.
                let _ = socket.send_to(&packet, from);
            }
        }
    });
}

fn answer_tcp(mut stream: &TcpStream, script: &Script) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).ok()?;
    for packet in script(&parse(&bytes, true)?) {
        let framed = [&(packet.len() as u16).to_be_bytes()[..], &packet].concat();
        stream.write_all(&framed).ok()?;
    }
    Some(())
}

fn parse(bytes: &[u8], tcp: bool) -> Option<Question> {
    let number = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let mut labels = Vec::new();
    let mut at = 12;
    while *bytes.get(at)? != 0 {
        let length = usize::from(bytes[at]);
        labels.push(String::from_utf8_lossy(bytes.get(at + 1..at + 1 + length)?).to_ascii_lowercase());
        at += 1 + length;
    }
    Some(Question {
        id: number(0)?,
        name: labels.join("."),
        kind: number(at + 1)?,
        recursion: number(2)? & RECURSION_DESIRED != 0,
        tcp,
    })
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
