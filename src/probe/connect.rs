//! The connect phase: one TCP handshake or one unix socket, and why it failed if it did.
//!
//! The connecting call is made non-blocking by hand, because the moment an error surfaces tells its origin:
//! what `connect()` itself returns comes from this host (no route, a local filter, no port left), what arrives later
//! comes from the network.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use crate::observation::{Address, ConnectFault, OwnLimit};
use crate::probe::meter::Connection;

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectEnd {
    /// The peer's or the network's doing.
    Fault(ConnectFault),
    /// Our own doing.
    Own(OwnLimit),
    /// This host has no route for that family.
    NoRoute,
}

/// Connects before the deadline.
pub async fn connect(address: &Address, source: Option<IpAddr>, deadline: Instant) -> Result<Connection, ConnectEnd> {
    match address {
        Address::Tcp(address) => tcp(*address, source, deadline).await.map(Connection::Tcp),
        Address::Unix(path) => unix(path, deadline).await.map(Connection::Unix),
    }
}

impl Connection {
    /// Sends small parts at once (`TCP_NODELAY`). Needed wherever a second write may follow one that the peer has not
    /// acknowledged yet: TLS, HTTP/2, a body after the head. A plain request is one write and does without.
    pub fn send_at_once(&self) {
        if let Connection::Tcp(stream) = self {
            // Without it the probe still works, only slower.
            let _ = stream.set_nodelay(true);
        }
    }
}

async fn tcp(address: SocketAddr, source: Option<IpAddr>, deadline: Instant) -> Result<TcpStream, ConnectEnd> {
    let socket = begin(address, source).map_err(|error| local_end(&error, address.ip()))?;
    let stream = TcpStream::from_std(socket.into()).map_err(|error| local_end(&error, address.ip()))?;
    match timeout_at(deadline, stream.writable()).await {
        Err(_) => Err(ConnectEnd::Fault(ConnectFault::Timeout)),
        Ok(Err(error)) => Err(remote_end(&error)),
        Ok(Ok(())) => match stream.take_error() {
            Ok(None) => Ok(stream),
            Ok(Some(error)) | Err(error) => Err(remote_end(&error)),
        },
    }
}

/// Sends the SYN; an error here is this host's own.
fn begin(address: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
        socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    }
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

async fn unix(path: &Path, deadline: Instant) -> Result<UnixStream, ConnectEnd> {
    match timeout_at(deadline, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => Ok(stream),
        Err(_) => Err(ConnectEnd::Fault(ConnectFault::Timeout)),
        Ok(Err(error)) => Err(match error.raw_os_error() {
            Some(libc::ENOENT) => ConnectEnd::Fault(ConnectFault::Refused),
            Some(libc::EAGAIN) => ConnectEnd::Fault(ConnectFault::Timeout),
            _ => own_limit(&error).map_or_else(|| remote_end(&error), ConnectEnd::Own),
        }),
    }
}

/// What an error means that the system returned at once.
fn local_end(error: &io::Error, ip: IpAddr) -> ConnectEnd {
    match error.raw_os_error() {
        Some(libc::ENETUNREACH | libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) if !routes::exist_for(ip) => {
            ConnectEnd::NoRoute
        }
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => ConnectEnd::Own(OwnLimit::LocalPorts),
        _ => own_limit(error).map_or_else(|| remote_end(error), ConnectEnd::Own),
    }
}

fn own_limit(error: &io::Error) -> Option<OwnLimit> {
    match error.raw_os_error()? {
        libc::EMFILE | libc::ENFILE => Some(OwnLimit::FileLimit),
        libc::ENOBUFS | libc::ENOMEM => Some(OwnLimit::Memory),
        _ => None,
    }
}

/// What an error means that came from the network.
fn remote_end(error: &io::Error) -> ConnectEnd {
    ConnectEnd::Fault(match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => ConnectFault::Refused,
        Some(libc::ETIMEDOUT) => ConnectFault::Timeout,
        Some(libc::ECONNRESET | libc::ECONNABORTED | libc::EPIPE) => ConnectFault::ResetAfterAccept,
        code => ConnectFault::Unreachable(code.unwrap_or_default()),
    })
}

/// Whether this host has any route for a family of addresses, beyond loopback and link-local ones.
mod routes {
    use std::fs;
    use std::net::IpAddr;

    /// Looked up only after an error, so the answer is always the present one.
    pub fn exist_for(ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => ip.is_loopback() || in_ipv4_table(&read("/proc/net/route")),
            IpAddr::V6(ip) => ip.is_loopback() || in_ipv6_table(&read("/proc/net/ipv6_route")),
        }
    }

    fn read(path: &str) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    /// `Iface Destination Gateway Flags …`, one heading line; loopback has no line of its own.
    pub(super) fn in_ipv4_table(table: &str) -> bool {
        table.lines().skip(1).any(|line| {
            line.split_whitespace()
                .next()
                .is_some_and(|interface| interface != "lo")
        })
    }

    /// `destination prefix source prefix next-hop metric refcount use flags interface`, no heading.
    pub(super) fn in_ipv6_table(table: &str) -> bool {
        table.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [destination, .., interface] = fields.as_slice() else {
                return false;
            };
            *interface != "lo" && !destination.starts_with("fe80") && !destination.starts_with("ff")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn connects_and_names_a_refusal() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = Address::Tcp(listener.local_addr().expect("bound"));
        assert!(connect(&address, None, soon()).await.is_ok());
        drop(listener);
        assert_eq!(
            connect(&address, None, soon()).await.err(),
            Some(ConnectEnd::Fault(ConnectFault::Refused))
        );
    }

    #[tokio::test]
    async fn a_missing_socket_file_is_a_refusal() {
        let address = Address::Unix(std::sync::Arc::new("/nonexistent/app.sock".into()));
        assert_eq!(
            connect(&address, None, soon()).await.err(),
            Some(ConnectEnd::Fault(ConnectFault::Refused))
        );
    }

    #[test]
    fn route_tables_are_read() {
        let heading = "Iface\tDestination\tGateway \tFlags\n";
        assert!(!routes::in_ipv4_table(heading));
        assert!(routes::in_ipv4_table(&format!(
            "{heading}eth0\t00000000\t010011AC\t0003\n"
        )));
        let link_local = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n";
        let lo = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00200200       lo\n";
        let default = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n";
        assert!(!routes::in_ipv6_table(&format!("{link_local}{lo}")));
        assert!(routes::in_ipv6_table(&format!("{link_local}{default}{lo}")));
    }
}
