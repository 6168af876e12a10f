//! Real servers whose values are known, as origins.

use std::net::SocketAddr;

use crate::support::process::Process;
use crate::support::programs;
use crate::support::stack::{address, wait_until};

/// A server of a test, as a program of its own. Dropping it ends it.
pub struct Origin {
    pub listen: SocketAddr,
    pub process: Process,
}

/// Starts a program that listens at the address it is given, and waits until it does.
pub fn origin(program: &str, arguments: impl Fn(&str, &str) -> Vec<String>) -> Origin {
    let listen = address(22);
    let arguments = arguments(&listen.ip().to_string(), &listen.port().to_string());
    let process = listening(program, &arguments, listen);
    Origin { listen, process }
}

/// Starts a program that listens there, and waits until it does.
pub fn listening<S: AsRef<str>>(program: &str, arguments: &[S], listen: SocketAddr) -> Process {
    let process = Process::start(&programs::find(program).expect("have it"), arguments);
    wait_until(&format!("{program} accepts"), || {
        assert!(!process.ended(), "{program} ended: {}", process.output("", 20));
        std::net::TcpStream::connect(listen).ok()
    });
    process
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A server that answers `/after/MS` after so many milliseconds, and everything else at once.
const SLOW: &str = r#"
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith('/after/'):
            time.sleep(int(self.path.split('/')[2]) / 1000)
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"#;

/// Python's server, which answers `/after/MS` after so many milliseconds, and everything else at once.
pub fn slow() -> Origin {
    origin("python3", |ip, port| words(&["-c", SLOW, ip, port]))
}
