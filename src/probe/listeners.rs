//! Who listens on this host, as the kernel tells anybody who asks (`sock_diag`, `man 7 sock_diag`): no right is needed.
//!
//! What cannot be known is not said. An address of another host, a kernel that does not answer, and a listener in
//! another network namespace (a container's, behind a published port) give nothing: that nobody listens is only
//! believed of an address that refused a connection.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::{SockDiagMessage, inet, unix};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use tokio::time::Instant;

use crate::observation::Address;
use crate::observation::listening::{Listening, Queue};

/// A list of listeners is asked for again after this long: in an outage many probes ask at once.
const FRESH: Duration = Duration::from_secs(1);
/// However many need to know it anew, not sooner than this.
const SOONEST: Duration = Duration::from_millis(50);
/// The kernel fills at most this much of a buffer at a time.
const BUFFER: usize = 32 * 1024;

/// The listeners of this host, as they were not long ago.
#[derive(Debug, Default)]
pub struct Listeners {
    known: Mutex<Option<(Instant, Arc<Snapshot>)>>,
}

/// The listeners of one moment.
#[derive(Debug, Default)]
struct Snapshot {
    /// `None` where the kernel does not tell.
    tcp: Option<Vec<Tcp>>,
    unix: Option<Vec<(PathBuf, Queue)>>,
}

#[derive(Clone, Copy, Debug)]
struct Tcp {
    at: SocketAddr,
    /// A wildcard of IPv6 that takes no IPv4.
    only_v6: bool,
    queue: Queue,
}

impl Listeners {
    /// Who listens at an address; `None` where that cannot be known. `refused` says that it just refused a connection. What
    /// was so before `since` says nothing of what failed after it.
    pub fn at(&self, address: &Address, refused: bool, since: Option<Instant>) -> Option<Listening> {
        match address {
            Address::Tcp(address) if !is_own(*address) => None,
            address => self.snapshot(since).at(address, refused),
        }
    }

    /// At most [`FRESH`] old, and from `since` on. Asking takes well under a millisecond and never waits for anybody but the
    /// kernel.
    fn snapshot(&self, since: Option<Instant>) -> Arc<Snapshot> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let serves = |at: Instant| match now.saturating_duration_since(at) {
            age if age < SOONEST => true,
            age => age < FRESH && since.is_none_or(|since| at >= since),
        };
        match &*known {
            Some((at, snapshot)) if serves(*at) => Arc::clone(snapshot),
            _ => {
                let snapshot = Arc::new(Snapshot::take());
                *known = Some((now, Arc::clone(&snapshot)));
                snapshot
            }
        }
    }
}

impl Snapshot {
    fn take() -> Snapshot {
        Snapshot {
            tcp: tcp(AF_INET).and_then(|v4| Some([v4, tcp(AF_INET6)?].concat())),
            unix: unix(),
        }
    }

    fn at(&self, address: &Address, refused: bool) -> Option<Listening> {
        let (queue, instead) = match address {
            Address::Tcp(address) => {
                let all = self.tcp.as_deref()?;
                (tcp_at(all, *address), elsewhere(all, *address))
            }
            Address::Unix(path) => (unix_at(self.unix.as_deref()?, path), None),
        };
        let no = || Listening::No {
            address: address.clone(),
            instead,
        };
        queue.map(Listening::Yes).or_else(|| refused.then(no))
    }
}

/// The queue a connection to this address comes to: of a listener at exactly this address, else of one at all
/// addresses. Several may share the port; connections are spread over them, so the fullest is lost first.
fn tcp_at(all: &[Tcp], address: SocketAddr) -> Option<Queue> {
    let on_port = || all.iter().filter(|one| one.at.port() == address.port());
    let exact = on_port().filter(|one| one.at.ip() == address.ip());
    let wildcard = on_port().filter(|one| one.takes_all_of(address));
    fullest(exact.map(|one| one.queue)).or_else(|| fullest(wildcard.map(|one| one.queue)))
}

fn unix_at(all: &[(PathBuf, Queue)], path: &Path) -> Option<Queue> {
    fullest(all.iter().filter(|(bound, _)| bound == path).map(|(_, queue)| *queue))
}

fn fullest(queues: impl Iterator<Item = Queue>) -> Option<Queue> {
    queues.max_by(|one, other| one.share().total_cmp(&other.share()))
}

/// Another address that port is listened on at.
fn elsewhere(all: &[Tcp], address: SocketAddr) -> Option<IpAddr> {
    let mut others = all.iter().filter(|one| one.at.port() == address.port());
    others.find(|one| one.at.ip() != address.ip()).map(|one| one.at.ip())
}

impl Tcp {
    fn takes_all_of(&self, address: SocketAddr) -> bool {
        self.at.ip().is_unspecified() && (self.at.is_ipv4() == address.is_ipv4() || !self.at.is_ipv4() && !self.only_v6)
    }
}

/// True for an address of this host: what is sent there would be sent from there. Asks the routing table and sends
/// nothing. Binding would not tell, since `ip_nonlocal_bind` allows it for any address.
fn is_own(address: SocketAddr) -> bool {
    let ip = address.ip();
    let source = || {
        let any = match ip {
            IpAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
            IpAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.local_addr()
    };
    ip.is_loopback() || source().is_ok_and(|source| source.ip() == ip)
}

/// All TCP listeners of one family.
fn tcp(family: u8) -> Option<Vec<Tcp>> {
    let socket_id = match family {
        AF_INET => inet::SocketId::new_v4(),
        _ => inet::SocketId::new_v6(),
    };
    let request = inet::InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: inet::ExtensionFlags::empty(),
        states: inet::StateFlags::LISTEN,
        socket_id,
    };
    let mut listeners = Vec::new();
    dump(SockDiagMessage::InetRequest(request), |answer| {
        if let SockDiagMessage::InetResponse(socket) = answer {
            let header = &socket.header;
            listeners.push(Tcp {
                at: SocketAddr::new(header.socket_id.source_address, header.socket_id.source_port),
                only_v6: socket.nlas.contains(&inet::nlas::Nla::SkV6Only(true)),
                queue: Queue {
                    length: header.recv_queue,
                    limit: header.send_queue,
                },
            });
        }
    })?;
    Some(listeners)
}

/// All listening unix sockets that have a path.
fn unix() -> Option<Vec<(PathBuf, Queue)>> {
    let request = unix::UnixRequest {
        state_flags: unix::StateFlags::LISTEN,
        inode: 0,
        show_flags: unix::ShowFlags::NAME | unix::ShowFlags::RQLEN,
        cookie: [0xff; 8],
    };
    let mut listeners = Vec::new();
    dump(SockDiagMessage::UnixRequest(request), |answer| {
        let SockDiagMessage::UnixResponse(socket) = answer else {
            return;
        };
        let queue = socket
            .number_of_pending_connection()
            .zip(socket.max_number_of_pending_connection());
        if let (Some(unix::nlas::UnixDiagName::Pathname(path)), Some((length, limit))) = (socket.name(), queue) {
            listeners.push((path.into(), Queue { length, limit }));
        }
    })?;
    Some(listeners)
}

/// Asks for all sockets that fit, and shows each; `None` where the kernel does not tell of all.
fn dump(request: SockDiagMessage, mut show: impl FnMut(SockDiagMessage)) -> Option<()> {
    let socket = netlink_sys::Socket::new(NETLINK_SOCK_DIAG).ok()?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).ok()?;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        // A request is answered before sending it returns: there is nothing to wait for.
        let length = socket.recv(&mut buffer, libc::MSG_DONTWAIT).ok()?;
        let mut rest = buffer.get(..length).filter(|bytes| !bytes.is_empty())?;
        while !rest.is_empty() {
            let answer = NetlinkMessage::<SockDiagMessage>::deserialize(rest).ok()?;
            // Messages begin at multiples of four.
            let size = (answer.header.length as usize).next_multiple_of(4);
            match answer.payload {
                NetlinkPayload::Done(_) => return Some(()),
                NetlinkPayload::InnerMessage(answer) => show(answer),
                _ => return None,
            }
            rest = rest.get(size..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::*;

    fn at(address: &Address, refused: bool) -> Option<Listening> {
        Listeners::default().at(address, refused, None)
    }

    #[test]
    fn a_queue_that_nobody_empties_fills() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0))))
            .unwrap();
        socket.listen(1).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let look = || at(&Address::Tcp(address), false).and_then(|seen| seen.queue());
        let Some(empty) = look() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "the kernel does not tell of listeners"
            );
            eprintln!("skipped: the kernel does not tell of listeners");
            return;
        };
        assert_eq!(empty, Queue { length: 0, limit: 1 });
        let _waiting: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
        let full = look().unwrap();
        assert_eq!(full, Queue { length: 2, limit: 1 });
        assert!(full.is_full());
    }

    #[test]
    fn nobody_is_only_said_of_an_address_that_refused() {
        let wildcard = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = wildcard.local_addr().unwrap().port();
        let here = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
        if at(&here, false).is_none() {
            assert!(
                std::env::var_os("CI").is_none(),
                "the kernel does not tell of listeners"
            );
            eprintln!("skipped: the kernel does not tell of listeners");
            return;
        }
        drop(wildcard);
        assert_eq!(at(&here, false), None);
        let no = at(&here, true).unwrap();
        assert_eq!(no.to_string(), format!("nothing listens on {port} on this host"));
        let other = TcpListener::bind(SocketAddr::from(([127, 0, 0, 2], port))).unwrap();
        let only = at(&here, true).unwrap();
        assert_eq!(
            only.to_string(),
            format!("nothing listens on 127.0.0.1:{port}, only on 127.0.0.2:{port} of this host")
        );
        drop(other);
        let elsewhere = Address::Tcp("192.0.2.1:80".parse().unwrap());
        assert_eq!(at(&elsewhere, true), None, "of another host nothing is said");
    }

    #[test]
    fn a_unix_socket_is_known_by_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let address = Address::Unix(Arc::new(path.clone()));
        let listener = UnixListener::bind(&path).unwrap();
        let look = || at(&address, false).and_then(|seen| seen.queue());
        let Some(empty) = look() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "the kernel does not tell of listeners"
            );
            eprintln!("skipped: the kernel does not tell of listeners");
            return;
        };
        assert_eq!(empty.length, 0);
        let _waiting = UnixStream::connect(&path).unwrap();
        assert_eq!(look().unwrap().length, 1);
        drop(listener);
        assert_eq!(look(), None);
        assert!(matches!(at(&address, true), Some(Listening::No { .. })));
    }

    #[test]
    fn a_wildcard_takes_what_its_family_may() {
        let listener = |at: &str, only_v6, length| Tcp {
            at: at.parse().unwrap(),
            only_v6,
            queue: Queue { length, limit: 10 },
        };
        let length = |all: &[Tcp], address: &str| tcp_at(all, address.parse().unwrap()).map(|queue| queue.length);
        let dual = [listener("[::]:80", false, 1)];
        assert_eq!(length(&dual, "127.0.0.1:80"), Some(1));
        assert_eq!(length(&dual, "127.0.0.1:81"), None);
        assert_eq!(length(&[listener("[::]:80", true, 1)], "127.0.0.1:80"), None);
        assert_eq!(length(&[listener("0.0.0.0:80", false, 1)], "[::1]:80"), None);
        let several = [
            listener("0.0.0.0:80", false, 9),
            listener("127.0.0.1:80", false, 2),
            listener("127.0.0.1:80", false, 5),
        ];
        assert_eq!(
            length(&several, "127.0.0.1:80"),
            Some(5),
            "the fullest at that very address"
        );
        assert_eq!(length(&several, "10.0.0.1:80"), Some(9));
    }
}
