//! Whole groups: the thread, its watches and its sockets. The tests wait for lines, never for time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::tail::{Listener, Log, Running, Source, start};

/// Passes lines to the test.
struct Passed(Sender<String>);

impl Lines for Passed {
    fn line(&mut self, line: &[u8], seen: &Seen<'_>) {
        let program = seen.program.map(|name| format!("{}: ", String::from_utf8_lossy(name)));
        let _ = self
            .0
            .send(program.unwrap_or_default() + &String::from_utf8_lossy(line));
    }

    fn skipped(&mut self, line: &SkippedLine<'_>) {
        let _ = self.0.send(format!("{:?}", line.why));
    }
}

/// Longer than anything here takes, so that a fault ends the test.
const PATIENCE: Duration = Duration::from_secs(30);

struct Group {
    directory: TempDir,
    store: Arc<Store>,
}

impl Group {
    fn new() -> Group {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(Some(&directory.path().join("storage"))).unwrap());
        Group { directory, store }
    }

    fn start(&self, source: Source) -> (Running, Receiver<String>, Arc<Status>) {
        let (sender, lines) = channel();
        let status = Arc::new(Status::default());
        let log = Log {
            id: "edge/access".into(),
            source,
            envelope: Envelope::Plain,
            lines: Box::new(Passed(sender)),
            status: Arc::clone(&status),
        };
        let running = start("edge", vec![log], Arc::clone(&self.store)).unwrap();
        (running, lines, status)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn files(&self) -> Source {
        Source::Files {
            pattern: self.path("access.log").to_str().unwrap().into(),
            from: From::Start,
        }
    }
}

fn next(lines: &Receiver<String>) -> String {
    lines.recv_timeout(PATIENCE).unwrap()
}

/// Asks for something that a reader will have done soon; gives other threads the processor in between.
fn until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

/// Any port.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Where a listener really listens.
fn bound(status: &Status) -> SocketAddr {
    until(|| status.address().is_some());
    status.address().unwrap()
}

#[tokio::test]
async fn files_are_followed_while_they_rotate() {
    let group = Group::new();
    let (running, lines, status) = group.start(group.files());
    append(&group.path("access.log"), "one\n");
    assert_eq!(next(&lines), "one");
    std::fs::rename(group.path("access.log"), group.path("access.log.1")).unwrap();
    append(&group.path("access.log"), "three\n");
    append(&group.path("access.log.1"), "two\n");
    let mut found = [next(&lines), next(&lines)];
    found.sort();
    assert_eq!(found, ["three", "two"]);
    until(|| status.up.load(Relaxed) && status.rotations.load(Relaxed) == 1);
    running.stop().await;
    assert!(!status.up.load(Relaxed));
    append(&group.path("access.log"), "four\n");
    let (_running, lines, _) = group.start(group.files());
    assert_eq!(next(&lines), "four");
}

#[tokio::test]
async fn syslog_comes_over_udp_and_tcp() {
    let group = Group::new();
    let (running, lines, status) = group.start(Source::Syslog(Listener::Address(ANY)));
    let address = bound(&status);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender
        .send_to(b"<134>Nov 20 15:45:17 haproxy[1]: one\n\0", address)
        .unwrap();
    assert_eq!(next(&lines), "haproxy: one");
    sender.send_to(b"\n", address).unwrap();
    sender.send_to(b"<1>a\0b", address).unwrap();
    assert_eq!(next(&lines), "Binary");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"<190>Nov 20 15:45:17 host nginx: two\n38 <134>Nov 20 15:45:17 haproxy[1]: three")
        .unwrap();
    assert_eq!(next(&lines), "nginx: two");
    assert_eq!(next(&lines), "haproxy: three");
    running.stop().await;
    assert!(!status.up.load(Relaxed));
    assert_eq!(status.address(), None);
}

#[tokio::test]
async fn syslog_comes_over_a_unix_socket() {
    let group = Group::new();
    let path = group.path("log.sock");
    let (running, lines, status) = group.start(Source::Syslog(Listener::Unix(path.clone())));
    until(|| status.up.load(Relaxed));
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"<190>Nov 20 15:45:17 nginx: one", &path).unwrap();
    assert_eq!(next(&lines), "nginx: one");
    running.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let group = Group::new();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    for source in [Source::Http(address), Source::Syslog(Listener::Address(address))] {
        let (running, _lines, status) = group.start(source);
        until(|| status.problem().is_some());
        assert!(status.problem().unwrap().starts_with("cannot listen on 127.0.0.1:"));
        assert!(!status.up.load(Relaxed));
        running.stop().await;
    }
}

#[tokio::test]
async fn batches_and_objects_come_in() {
    let group = Group::new();
    let (_running, lines, status) = group.start(Source::Http(ANY));
    let address = bound(&status);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n{\"a\":1}\n")
        .unwrap();
    assert_eq!(next(&lines), "{\"a\":1}");

    std::fs::write(group.path("one.gz"), b"").unwrap();
    let pattern = group.path("*.gz").to_str().unwrap().to_owned();
    let (_running, _lines, status) = group.start(Source::Drop { pattern });
    until(|| status.up.load(Relaxed));
}

/// Panics at the first line.
struct Failing;

impl Lines for Failing {
    fn line(&mut self, _: &[u8], _: &Seen<'_>) {
        panic!("a fault of the parser");
    }

    fn skipped(&mut self, _: &SkippedLine<'_>) {}
}

#[tokio::test]
async fn a_reader_that_fails_ends_its_group() {
    let group = Group::new();
    append(&group.path("access.log"), "one\n");
    let log = Log {
        id: "edge/access".into(),
        source: group.files(),
        envelope: Envelope::Plain,
        lines: Box::new(Failing),
        status: Arc::default(),
    };
    let mut running = start("edge", vec![log], Arc::clone(&group.store)).unwrap();
    tokio::time::timeout(PATIENCE, running.ended()).await.unwrap();
}

/// A gateway writes why before what: whenever the reader looks, it hands the lines out in that order.
#[test]
fn of_two_logs_the_first_is_ahead() {
    const PAIRS: usize = 20_000;
    let group = Group::new();
    let (sender, lines) = channel();
    let logs = ["error", "access"].map(|name| Log {
        id: format!("edge/{name}"),
        source: Source::Files {
            pattern: group.path(name).to_str().unwrap().into(),
            from: From::Start,
        },
        envelope: Envelope::Plain,
        lines: Box::new(Passed(sender.clone())),
        status: Arc::default(),
    });
    let [mut error, mut access] = ["error", "access"].map(|name| std::fs::File::create(group.path(name)).unwrap());
    let _running = start("edge", logs.into(), Arc::clone(&group.store)).unwrap();
    let writer = std::thread::spawn(move || {
        for number in 0..PAIRS {
            error.write_all(format!("e{number}\n").as_bytes()).unwrap();
            access.write_all(format!("a{number}\n").as_bytes()).unwrap();
        }
    });
    let (mut why, mut what) = (0, 0);
    while what < PAIRS {
        let line = next(&lines);
        match line.split_at(1) {
            ("e", number) => why = number.parse::<usize>().unwrap() + 1,
            (_, number) => {
                what = number.parse::<usize>().unwrap() + 1;
                assert!(what <= why, "{what} of one, {why} of the other");
            }
        }
    }
    writer.join().unwrap();
}
