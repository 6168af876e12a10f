//! Datagram sockets, and what the kernel says of their queues.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{UdpSocket, UnixDatagram};

use crate::tail::Status;

/// Bytes the kernel may queue: some seconds of a busy gateway. The system's `net.core.rmem_max` may grant less.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;

/// A socket that receives datagrams.
pub(super) struct Datagrams {
    socket: Either,
    /// Drops reported so far.
    dropped: u64,
}

enum Either {
    Udp { socket: UdpSocket, inode: u64 },
    Unix { socket: UnixDatagram, _file: SocketFile },
}

/// A socket's name, taken away with it.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Datagrams {
    pub fn udp(address: SocketAddr) -> io::Result<Datagrams> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), None)?;
        // Refused only where the system allows less, and then it gives what it allows.
        let _ = socket.set_recv_buffer_size(QUEUE_BYTES);
        socket.bind(&address.into())?;
        let inode = rustix::fs::fstat(&socket)?.st_ino;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Datagrams {
            socket: Either::Udp { socket, inode },
            dropped: 0,
        })
    }

    /// Binds a name that any local user may write to, as `/dev/log` is: a gateway's workers run as another user.
    pub fn unix(path: &Path) -> io::Result<Datagrams> {
        remove_stale(path)?;
        let socket = UnixDatagram::bind(path)?;
        let file = SocketFile(path.to_owned());
        let _ = SockRef::from(&socket).set_recv_buffer_size(QUEUE_BYTES);
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        Ok(Datagrams {
            socket: Either::Unix { socket, _file: file },
            dropped: 0,
        })
    }

    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Either::Udp { socket, .. } => socket.local_addr().ok(),
            Either::Unix { .. } => None,
        }
    }

    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.socket {
            Either::Udp { socket, .. } => socket.recv(buffer).await,
            Either::Unix { socket, .. } => socket.recv(buffer).await,
        }
    }

    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.socket {
            Either::Udp { socket, .. } => socket.try_recv(buffer),
            Either::Unix { socket, .. } => socket.try_recv(buffer),
        }
    }

    /// Brings the kernel's figures into the log's. Unix sockets have none: there the sender waits or drops.
    pub fn report(&mut self, status: &Status) {
        let Either::Udp { inode, .. } = &self.socket else {
            return;
        };
        let tables = ["/proc/net/udp", "/proc/net/udp6"];
        let mut texts = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
        if let Some(queue) = texts.find_map(|text| queue(&text, *inode)) {
            status.unread_bytes.store(queue.bytes, Relaxed);
            Status::add(&status.dropped, queue.dropped.saturating_sub(self.dropped));
            self.dropped = queue.dropped;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Queue {
    bytes: u64,
    dropped: u64,
}

/// The row of a socket in `/proc/net/udp` (proc_pid_net(5)): `sl local remote st tx:rx tr:tm retr uid timeout inode ref
/// pointer drops`.
fn queue(table: &str, inode: u64) -> Option<Queue> {
    let inode = inode.to_string();
    table.lines().find_map(|line| {
        let columns: Vec<_> = line.split_ascii_whitespace().collect();
        (columns.get(9) == Some(&inode.as_str())).then_some(())?;
        let (_, bytes) = columns[4].split_once(':')?;
        Some(Queue {
            bytes: u64::from_str_radix(bytes, 16).ok()?,
            dropped: columns.get(12)?.parse().ok()?,
        })
    })
}

/// Takes away the socket of a process that is gone; never a file, never a socket somebody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "a file that is no socket is in the way",
        ));
    }
    match std::os::unix::net::UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::Error::new(ErrorKind::AddrInUse, "somebody listens on it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            12345: 0100007F:158A 00000000:0000 07 00000000:00002A00 00:00000000 00000000     0        0 4711 2 0000000000000000 17\n";
        assert_eq!(
            queue(table, 4711),
            Some(Queue {
                bytes: 0x2a00,
                dropped: 17
            })
        );
        assert_eq!(queue(table, 47), None);
        assert_eq!(queue("", 4711), None);
    }

    #[tokio::test]
    async fn our_own_row_is_there() {
        let mut datagrams = Datagrams::udp("127.0.0.1:0".parse().unwrap()).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"<1>text", datagrams.address().unwrap()).unwrap();
        let status = Status::default();
        datagrams.report(&status);
        assert!(status.unread_bytes.load(Relaxed) > 0);
        assert_eq!(status.dropped.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn only_stale_sockets_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.sock");
        let first = Datagrams::unix(&path).unwrap();
        assert_eq!(
            Datagrams::unix(&path).err().map(|error| error.kind()),
            Some(ErrorKind::AddrInUse)
        );
        drop(first);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixDatagram::bind(&path).unwrap());
        assert!(path.exists());
        drop(Datagrams::unix(&path).unwrap());
        fs::write(&path, "precious").unwrap();
        assert_eq!(
            Datagrams::unix(&path).err().map(|error| error.kind()),
            Some(ErrorKind::AlreadyExists)
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
