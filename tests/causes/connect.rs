//! Connections that never come about; what takes a packet filter is in `tests/namespaces.rs`.

use badgateway::cause::Cause::{ConnectRefused, ConnectTimeout, ConnectUnreachable};

use crate::cases;
use crate::support::cases::{Expect::Fails, Setup};
use crate::support::peers::tcp;

cases! {
    connect_refused => Fails(ConnectRefused), |_| {
        let (address, socket) = tcp::refusing();
        Some(Setup::origin(format!("http://{address}/")).keep(socket))
    };
    connect_refused_over_tls => Fails(ConnectRefused), |_| {
        let (address, socket) = tcp::refusing();
        Some(Setup::origin(format!("https://{address}/")).keep(socket))
    };
    connect_refused_by_an_abandoned_unix_socket => Fails(ConnectRefused), |stage| {
        let path = stage.scratch.join("abandoned.sock");
        tcp::abandoned_unix(&path);
        Some(Setup::origin(format!("http://unix:{}:/", path.display())))
    };
    connect_timeout_as_the_accept_queue_is_full => Fails(ConnectTimeout), |_| {
        let (address, sockets) = tcp::full_queue();
        Some(Setup::origin(format!("http://{address}/")).keep(sockets).stalls())
    };
    connect_unreachable => Fails(ConnectUnreachable), |_| {
        Some(Setup::origin(format!("http://{}/", tcp::unreachable())))
    };
}
