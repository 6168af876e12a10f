//! Doors in front of peers: open they lead to one that is well, broken they do what a fault does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// What a broken door does.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    /// Nobody listens.
    Refuses,
    /// The queue is full: SYNs are dropped.
    Drops,
    /// Leads to this peer instead.
    LeadsTo(SocketAddr),
}

/// An address whose fate can be switched.
pub struct Door {
    pub address: SocketAddr,
    how: Broken,
    listener: TcpListener,
    state: Arc<(Mutex<bool>, Condvar)>,
    /// What fills the queue.
    held: Mutex<Vec<Socket>>,
}

impl Door {
    /// An open door that leads to `well`.
    pub fn new(well: SocketAddr, how: Broken) -> Door {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("bound");
        drop(free);
        Door::at(address, well, how)
    }

    /// As [`Door::new`], at this address.
    pub fn at(address: SocketAddr, well: SocketAddr, how: Broken) -> Door {
        // Bound to a number, the port stays ours also while nobody listens.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("an option");
        socket.bind(&address.into()).expect("the port");
        socket.listen(1).expect("listens");
        let listener = TcpListener::from(socket);
        let state = Arc::new((Mutex::new(false), Condvar::new()));
        let (accepting, shared) = (listener.try_clone().expect("a handle"), state.clone());
        std::thread::spawn(move || accept(&accepting, well, how, &shared));
        Door {
            address,
            how,
            listener,
            state,
            held: Mutex::default(),
        }
    }

    /// Breaks or repairs it.
    pub fn set(&self, broken: bool) {
        let mut state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *state, broken) == broken {
            return;
        }
        drop(state);
        self.state.1.notify_all();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.how, broken) {
            (Broken::Refuses, true) => SockRef::from(&self.listener).shutdown(Shutdown::Both).expect("shut"),
            (Broken::Refuses, false) => SockRef::from(&self.listener).listen(64).expect("listens again"),
            (Broken::Drops, true) => loop {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
                match socket.connect_timeout(&self.address.into(), Duration::from_millis(200)) {
                    Ok(()) => held.push(socket),
                    Err(_) => break,
                }
            },
            (Broken::Drops, false) => held.clear(),
            (Broken::LeadsTo(_), _) => {}
        }
        self.state.1.notify_all();
    }
}

fn accept(listener: &TcpListener, well: SocketAddr, how: Broken, state: &(Mutex<bool>, Condvar)) {
    let broken = || *state.0.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let stream = listener.accept();
        let waits = !matches!(how, Broken::LeadsTo(_));
        if waits && (broken() || stream.is_err()) {
            // The one accepted meanwhile is kept waiting with the others.
            let guard = state.0.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = state
                .1
                .wait_timeout_while(guard, Duration::from_secs(600), |broken| *broken);
            continue;
        }
        let Ok((stream, _)) = stream else { continue };
        let target = match how {
            Broken::LeadsTo(other) if broken() => other,
            _ => well,
        };
        std::thread::spawn(move || forward(stream, target));
    }
}

fn forward(stream: TcpStream, target: SocketAddr) {
    let Ok(onward) = TcpStream::connect(target) else { return };
    let copies = (|| Some(((stream.try_clone().ok()?, onward.try_clone().ok()?), (onward, stream))))();
    let Some((there, back)) = copies else { return };
    std::thread::spawn(move || copy(there.0, there.1));
    copy(back.0, back.1);
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = from.set_read_timeout(Some(Duration::from_secs(20)));
    let mut bytes = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
