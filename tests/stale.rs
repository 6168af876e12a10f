//! nginx that resolved a name once, and a backend that moved: its log against what DNS gives. The judgement's ten minutes are
//! shortened here; all else is real.

mod support;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use badgateway::exchange::Line;
use badgateway::gateway;
use badgateway::gateway::log::Parser;
use badgateway::observation::Address;
use badgateway::probe::dns::Resolver;
use badgateway::probe::{Prepared, Prober};
use badgateway::stale::{Answers, Backends};
use badgateway::traffic::{Ending, FailedAttempt, Patience, Request, Routes, Served, Sources, Tally, Traffic};
use badgateway::upstream::Family;
use support::daemon::scratch;
use support::gateways::{self, Gateway};
use support::peers::http1::{OK, answers};
use support::peers::{serve_on, tcp};
use support::stack::wait_until;
use support::{dns, programs};
use tokio::runtime::Runtime;
use tokio::time::Instant;

const NAME: &str = "shop.peer.test";
const FORMAT: &str = r#"$remote_addr [$time_local] "$request" $status ua="$upstream_addr" us="$upstream_status""#;
/// In place of ten minutes.
const AFTER: Duration = Duration::from_secs(4);

/// A server on two addresses, a resolver that names one of them, and the switch by which both move from the first to the
/// second.
struct Shop {
    port: u16,
    resolver: SocketAddr,
    moved: Arc<AtomicBool>,
}

/// Names the second address once that holds.
fn resolver(moved: Arc<AtomicBool>) -> SocketAddr {
    dns::serve(move |question| {
        let address = if moved.load(Ordering::SeqCst) {
            "127.0.0.2"
        } else {
            "127.0.0.1"
        };
        let mut answer = question.addresses(&[address]);
        answer.records.iter_mut().for_each(|record| record.2 = 1);
        vec![answer.bytes()]
    })
}

impl Shop {
    fn open() -> Shop {
        let moved = Arc::new(AtomicBool::new(false));
        let (left, named) = (moved.clone(), moved.clone());
        let good = answers(OK);
        let server = serve_on(IpAddr::V4(Ipv4Addr::UNSPECIFIED), move |mut stream| {
            let here = stream.local_addr().expect("connected").ip();
            let is_old = here == IpAddr::V4(Ipv4Addr::LOCALHOST);
            // Nobody answers at the old address any more.
            if !is_old || !left.load(Ordering::SeqCst) {
                good(&mut stream);
            }
        });
        Shop {
            port: server.port(),
            resolver: resolver(named),
            moved,
        }
    }

    /// As above, where a listener that accepts nothing stands at the old address.
    fn at(old: SocketAddr) -> Shop {
        let moved = Arc::new(AtomicBool::new(false));
        Shop {
            port: old.port(),
            resolver: resolver(moved.clone()),
            moved,
        }
    }

    /// nginx in front of it, which keeps an answer for that long.
    fn nginx(&self, keeps: &str) -> Gateway {
        gateways::nginx(
            &scratch(),
            &format!(
                "log_format ours '{FORMAT}'; access_log $ACCESS ours;
                 resolver {} valid={keeps} ipv6=off;
                 server {{ listen $LISTEN; location / {{ set $shop {NAME}; proxy_pass http://$shop:{}; }} }}",
                self.resolver, self.port
            ),
        )
    }
}

/// What of the log concerns backends.
struct InUse {
    backends: Backends,
    failures: u32,
    now: Instant,
}

impl Tally for InUse {
    fn request(&mut self, request: &Request<'_>) {
        match request.ending {
            Ending::Served => self.backends.asked(request.backend, true, self.now),
            Ending::ClientClosed => self.backends.left_waiting(request.backend, self.now),
            _ => {}
        }
    }

    fn attempt(&mut self, attempt: &FailedAttempt<'_>) {
        self.failures += 1;
        self.backends.asked(attempt.backend, false, self.now);
    }
}

/// nginx's log, read on whenever it has grown.
struct Log<'a> {
    gateway: &'a Gateway,
    lines: usize,
    parser: Parser,
    traffic: Traffic,
    tally: InUse,
}

impl Log<'_> {
    fn of(gateway: &Gateway) -> Log<'_> {
        let kind = gateway::kind("nginx").expect("nginx");
        let served = Served {
            name: "shop".into(),
            backends: Vec::new(),
        };
        let sources = Sources {
            access: true,
            errors: false,
        };
        Log {
            gateway,
            lines: 0,
            parser: Parser::new(kind, Some(FORMAT)).expect("a format"),
            traffic: Traffic::new(Routes::new(vec![served], Vec::new()), sources, Patience::OFFLINE),
            tally: InUse {
                backends: Backends::default(),
                failures: 0,
                now: Instant::now(),
            },
        }
    }

    fn read_on(&mut self) {
        let log = std::fs::read_to_string(&self.gateway.access).unwrap_or_default();
        self.tally.now = Instant::now();
        for line in log.lines().skip(self.lines) {
            let Some(Line::Exchange(exchange)) = self.parser.read(line.as_bytes()) else {
                panic!("{line}");
            };
            self.traffic.exchange(&exchange, Duration::ZERO, &mut self.tally);
            self.lines += 1;
        }
    }
}

/// The name, asked round by round.
struct Name<'a> {
    shop: &'a Shop,
    runtime: &'a Runtime,
    resolver: Resolver,
    answers: RefCell<Answers>,
}

impl<'a> Name<'a> {
    fn of(shop: &'a Shop, runtime: &'a Runtime) -> Name<'a> {
        Name {
            shop,
            runtime,
            resolver: Resolver::new(),
            answers: RefCell::default(),
        }
    }

    fn look(&self) {
        let wait = Duration::from_secs(5);
        let seen = self
            .resolver
            .resolve(NAME, Family::Ipv4, std::slice::from_ref(&self.shop.resolver), wait);
        let seen = self.runtime.block_on(seen);
        let addresses = seen.result.expect("it resolves");
        self.answers
            .borrow_mut()
            .saw(addresses.into_iter(), seen.ttl, Instant::now());
    }

    /// Stale backends by now, without the port.
    fn stale(&self, backends: &Backends) -> Vec<String> {
        let stale = backends.stale(&self.answers.borrow(), &[self.shop.port], AFTER, Instant::now());
        stale.iter().map(|address| address.ip().to_string()).collect()
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// Stale backends of nginx that keeps an answer for that long, after the name and its server moved.
fn stale_after_a_move(keeps: &str) -> Vec<String> {
    let (shop, runtime) = (Shop::open(), runtime());
    let edge = shop.nginx(keeps);
    let name = Name::of(&shop, &runtime);
    let log = RefCell::new(Log::of(&edge));
    name.look();
    edge.ask_times(2, "/", 200);
    shop.moved.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    // Rounds and users go on until the address has been missing for long enough.
    wait_until("the old address counts as gone", || {
        name.look();
        edge.ask("/").expect("an answer");
        log.borrow_mut().read_on();
        (begin.elapsed() > AFTER + Duration::from_secs(1)).then_some(())
    });
    let log = log.into_inner();
    assert!(log.lines > 10, "{} lines", log.lines);
    name.stale(&log.tally.backends)
}

#[test]
fn nginx_that_keeps_an_old_address_is_told_from_one_that_looks_again() {
    if !programs::have(&["nginx"]) {
        return;
    }
    assert_eq!(stale_after_a_move("1h"), ["127.0.0.1"]);
    assert_eq!(stale_after_a_move("1s"), Vec::<String>::new());
}

/// A user who leaves before there is an answer.
fn leaves(edge: &Gateway) {
    let mut user = TcpStream::connect(edge.listen).expect("nginx listens");
    user.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").expect("sent");
}

/// Stale backends where no user waits for the gateway to give up, and the listener at the old address has room for so many
/// connections; how often that was asked by us.
fn stale_where_users_leave(room: i32) -> (Vec<String>, u32) {
    let (old, listener) = tcp::refusing();
    listener.listen(room).expect("listens");
    let (shop, runtime) = (Shop::at(old), runtime());
    let edge = shop.nginx("1h");
    let name = Name::of(&shop, &runtime);
    let config = badgateway::config::from_urls(&[format!("http://{old}/")], &[]).expect("it is valid");
    let target = Prepared::new(config.upstreams[0].hops[0].targets[0].clone()).expect("plain");
    let prober = Prober::new(0.0);
    let connects = |place| {
        let (address, wait) = (Address::Tcp(place), Duration::from_millis(300));
        let connects = prober.connects(&target, &address, wait);
        runtime.block_on(connects).expect("nothing here prevents it")
    };
    name.look();
    // A round and a user before the move.
    assert!(connects(old));
    name.answers.borrow_mut().reached(old.ip());
    let (log, asked) = (RefCell::new(Log::of(&edge)), Cell::new(0));
    wait_until("the gateway has resolved the name", || {
        leaves(&edge);
        log.borrow_mut().read_on();
        (log.borrow().lines > 0).then_some(())
    });
    shop.moved.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    wait_until("the old address counts as gone", || {
        name.look();
        leaves(&edge);
        let mut log = log.borrow_mut();
        log.read_on();
        let places = log
            .tally
            .backends
            .to_be_asked(&name.answers.borrow(), &[shop.port], AFTER, Instant::now());
        for place in places {
            assert_eq!(place, old, "nowhere else");
            let mut answers = name.answers.borrow_mut();
            assert!(answers.begin_to_ask(place, AFTER, Instant::now()));
            answers.asked(&place, connects(place));
            asked.set(asked.get() + 1);
        }
        (begin.elapsed() > AFTER + Duration::from_secs(2)).then_some(())
    });
    let log = log.into_inner();
    assert!(log.lines > 10, "{} lines", log.lines);
    assert_eq!(
        log.tally.failures,
        0,
        "{}",
        std::fs::read_to_string(&edge.access).unwrap()
    );
    (name.stale(&log.tally.backends), asked.get())
}

#[test]
fn an_old_address_that_answers_nobody_is_found_though_no_request_failed_there() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let (stale, asked) = stale_where_users_leave(1);
    assert_eq!(stale, ["127.0.0.1"]);
    // Every tenth of the time, and from the moment on at which it counts as gone.
    assert!((2..=6).contains(&asked), "asked {asked} times");
    let (stale, asked) = stale_where_users_leave(4096);
    assert_eq!(stale, Vec::<String>::new(), "it takes connections");
    assert!(asked >= 2, "asked {asked} times");
}
