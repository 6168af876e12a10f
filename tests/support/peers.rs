//! Peers on loopback, one thread per connection: accept, then misbehave in one particular way.
//!
//! A peer waits for the other side, never for a clock, so a stalled connection ends when the prober gives up.

pub mod http1;
pub mod http2;
pub mod records;
pub mod tcp;
pub mod tls;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A connection to a prober, in the clear or over TLS.
pub trait Wire: Read + Write {
    /// Says that no more is to come, as the protocol demands: FIN, over TLS after a close_notify.
    fn finish(&mut self);
    /// FIN, over TLS without a close_notify.
    fn cut(&mut self);
    /// RST.
    fn reset(&mut self);
}

impl Wire for TcpStream {
    fn finish(&mut self) {
        self.cut();
    }

    fn cut(&mut self) {
        // The prober may have gone first.
        let _ = self.shutdown(std::net::Shutdown::Write);
    }

    fn reset(&mut self) {
        let _ = socket2::SockRef::from(&*self).set_linger(Some(Duration::ZERO));
        // The drop that follows sends the RST: nothing may be read or shut down any more.
    }
}

/// What a peer does with a connection.
pub type Behaviour = Box<dyn Fn(&mut dyn Wire) + Send + Sync>;

/// Starts a peer on 127.0.0.1.
pub fn serve(behaviour: impl Fn(&mut dyn Wire) + Send + Sync + 'static) -> SocketAddr {
    serve_on(IpAddr::V4(Ipv4Addr::LOCALHOST), move |mut stream| {
        behaviour(&mut stream)
    })
}

/// Starts a peer on that address.
pub fn serve_on(ip: IpAddr, behaviour: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let behaviour = std::sync::Arc::new(behaviour);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behaviour = behaviour.clone();
            std::thread::spawn(move || {
                prepare(&stream);
                behaviour(stream);
            });
        }
    });
    address
}

/// Bounds every wait of a peer, so that no thread outlives its prober for long.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let _ = stream.set_write_timeout(Some(Duration::from_secs(20)));
    let _ = stream.set_nodelay(true);
}

/// Reads up to the empty line that ends a request head; what was read. A prober that goes ends it too.
pub fn read_head(wire: &mut dyn Wire) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && wire.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    head
}

/// Reads until the prober has had enough. Closing with bytes unread would send a RST instead of a FIN.
pub fn drain(wire: &mut dyn Wire) {
    let mut bytes = [0; 4096];
    while wire.read(&mut bytes).is_ok_and(|count| count > 0) {}
}

/// Writes what a prober may not wait for.
pub fn say(wire: &mut dyn Wire, bytes: &[u8]) {
    let _ = wire.write_all(bytes);
    let _ = wire.flush();
}
