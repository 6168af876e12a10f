//! What the kernel of this host says of an address that is its own: does anything listen there, and does it keep up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::Address;

/// Who listens at an address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Somebody does.
    Yes(Queue),
    /// Nobody does; the port is listened on at this other address of the host, where there is one.
    No {
        /// The address as it was asked.
        address: Address,
        /// Where the port is listened on instead.
        instead: Option<IpAddr>,
    },
}

/// Connections that are established and wait to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many wait now.
    pub length: u32,
    /// How many may wait, as the listener asked for and the system allows (`listen`, `net.core.somaxconn`).
    pub limit: u32,
}

impl Queue {
    /// No further connection finds room. The kernel takes one more than the limit says.
    pub fn is_full(self) -> bool {
        self.length > self.limit
    }

    /// At or beyond 80 % of the limit.
    pub fn is_near(self) -> bool {
        u64::from(self.length) * 5 >= u64::from(self.limit) * 4 && self.length > 0
    }

    /// Share of the limit, 1 where it is reached; a limit of 0 is reached by the first.
    pub fn share(self) -> f64 {
        f64::from(self.length) / f64::from(self.limit.max(1))
    }
}

impl Listening {
    /// The queue, where anybody listens.
    pub fn queue(&self) -> Option<Queue> {
        match self {
            Listening::Yes(queue) => Some(*queue),
            Listening::No { .. } => None,
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accept queue {} of {}", self.length, self.limit)
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listening::Yes(queue) => queue.fmt(f),
            Listening::No {
                address: Address::Unix(path),
                ..
            } => write!(f, "nothing listens on {}", path.display()),
            Listening::No {
                address: Address::Tcp(address),
                instead,
            } => match instead {
                None => write!(f, "nothing listens on {} on this host", address.port()),
                Some(ip) => {
                    let other = SocketAddr::new(*ip, address.port());
                    write!(f, "nothing listens on {address}, only on {other} of this host")
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_near_before_it_is_full() {
        let queue = |length, limit| Queue { length, limit };
        assert!(!queue(0, 0).is_near() && !queue(102, 128).is_near());
        assert!(queue(103, 128).is_near() && !queue(128, 128).is_full());
        assert!(queue(129, 128).is_full() && queue(1, 0).is_full());
        assert_eq!(queue(129, 128).to_string(), "accept queue 129 of 128");
    }

    #[test]
    fn it_says_where_nothing_listens() {
        let at = |address: &str, instead: Option<&str>| Listening::No {
            address: Address::Tcp(address.parse().unwrap()),
            instead: instead.map(|ip| ip.parse().unwrap()),
        };
        assert_eq!(
            at("10.0.0.7:8080", None).to_string(),
            "nothing listens on 8080 on this host"
        );
        assert_eq!(
            at("10.0.0.7:8080", Some("127.0.0.1")).to_string(),
            "nothing listens on 10.0.0.7:8080, only on 127.0.0.1:8080 of this host"
        );
        let socket = Listening::No {
            address: Address::Unix(std::sync::Arc::new("/run/app.sock".into())),
            instead: None,
        };
        assert_eq!(socket.to_string(), "nothing listens on /run/app.sock");
    }
}
