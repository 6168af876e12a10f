//! Real gateways in front of backends that misbehave, each writing logs that the daemon follows.
//!
//! Every gateway has the same site: `/good`, `/refused`, `/closed`, `/timeout` and `/cut` lead to one backend each.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use socket2::Socket;

use super::peers::http1::{self, Ending, OK, answers};
use super::peers::{serve, tcp};
use super::process::Process;
use super::stack::{address, wait_until};
use super::{http, programs};

/// The backends of the site. Hold while it lives.
pub struct Backends {
    pub good: SocketAddr,
    pub refused: SocketAddr,
    pub closed: SocketAddr,
    pub timeout: SocketAddr,
    pub cut: SocketAddr,
    _refusing: Socket,
}

impl Backends {
    /// One of each.
    pub fn start() -> Backends {
        let (refused, socket) = tcp::refusing();
        Backends {
            good: serve(answers(OK)),
            refused,
            closed: serve(http1::ends("", Ending::Finish)),
            timeout: serve(http1::ends("", Ending::Stall)),
            cut: serve(answers("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nbegun")),
            _refusing: socket,
        }
    }

    /// The backend of each path.
    pub fn by_path(&self) -> [(&'static str, SocketAddr); 5] {
        [
            ("good", self.good),
            ("refused", self.refused),
            ("closed", self.closed),
            ("timeout", self.timeout),
            ("cut", self.cut),
        ]
    }
}

/// A running gateway. Dropping it ends it.
pub struct Gateway {
    /// Where it is asked.
    pub listen: SocketAddr,
    pub access: PathBuf,
    pub error: PathBuf,
    process: Process,
}

impl Gateway {
    /// Waits until the program accepts connections.
    fn accepting(folder: &Path, listen: SocketAddr, process: Process) -> Gateway {
        wait_until("the gateway accepts", || {
            assert!(!process.ended(), "it ended: {}", process.output("", 20));
            std::net::TcpStream::connect(listen).ok()
        });
        Gateway {
            listen,
            access: folder.join("access.log"),
            error: folder.join("error.log"),
            process,
        }
    }

    /// One request of a user. `None` where no answer came; a body may be cut.
    pub fn ask(&self, path: &str) -> Option<u16> {
        let agent = ("User-Agent", "Mozilla/5.0 (X11; Linux) Gecko");
        http::get(self.listen, path, &[agent]).ok().map(|answer| answer.status)
    }

    /// So many requests, one after the other; every answer has this status.
    pub fn ask_times(&self, times: usize, path: &str, status: u16) {
        for _ in 0..times {
            assert_eq!(self.ask(path), Some(status), "{path}");
        }
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// nginx with these lines in its `http` block; `$ACCESS` in them is the file of the access log.
pub fn nginx(folder: &Path, http: &str) -> Gateway {
    let listen = address(1);
    let name = folder.display();
    let http = http
        .replace("$ACCESS", &format!("{name}/access.log"))
        .replace("$LISTEN", &listen.to_string());
    let config = format!(
        "daemon off; master_process off; pid {name}/nginx.pid; error_log {name}/error.log error; events {{}}
         http {{
             client_body_temp_path {name}/body; proxy_temp_path {name}/proxy; fastcgi_temp_path {name}/fastcgi;
             uwsgi_temp_path {name}/uwsgi; scgi_temp_path {name}/scgi;
             proxy_read_timeout 1s;
             {http}
         }}"
    );
    let file = format!("{name}/nginx.conf");
    std::fs::write(&file, config).expect("written");
    let program = programs::find("nginx").expect("have it");
    Gateway::accepting(folder, listen, Process::start(&program, &["-c", &file, "-e", "stderr"]))
}
