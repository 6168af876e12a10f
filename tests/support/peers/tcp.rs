//! Peers that never come to speak: closed ports, full queues, unreachable addresses.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::http1::OK;

/// A port that is bound and does not listen: it refuses, and nobody else can take it. Holds while it lives.
pub fn refusing() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))
        .expect("a port");
    let address = socket.local_addr().expect("bound").as_socket().expect("an address");
    (address, socket)
}

/// A listener that never accepts and whose queue is full: further SYNs are dropped. Holds while it lives.
pub fn full_queue() -> (SocketAddr, Vec<Socket>) {
    let (address, listener) = refusing();
    listener.listen(1).expect("listens");
    let mut held = vec![listener];
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        match socket.connect_timeout(&address.into(), Duration::from_millis(300)) {
            Ok(()) => held.push(socket),
            Err(_) => return (address, held),
        }
        assert!(held.len() < 64, "the queue never fills");
    }
}

/// An address that the system itself calls unreachable for TCP, without leaving the loopback interface: its broadcast.
pub fn unreachable() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), 80))
}

/// A port whose listener is gone again: a unix socket nobody listens on.
pub fn abandoned_unix(path: &Path) {
    drop(UnixListener::bind(path).expect("a socket file"));
}

/// A good server on a unix socket.
pub fn serve_unix(path: &Path) {
    let listener = UnixListener::bind(path).expect("a socket file");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                let mut bytes = [0; 4096];
                if std::io::Read::read(&mut stream, &mut bytes).is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(OK);
                }
            });
        }
    });
}

/// True where this host has an IPv6 loopback.
pub fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}
