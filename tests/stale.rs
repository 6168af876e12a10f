//! nginx that resolved a name once, and a backend that moved: its log against what DNS gives. The judgement's ten minutes are
//! shortened here; all else is real.

mod support;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use badgateway::exchange::Line;
use badgateway::gateway;
use badgateway::gateway::log::Parser;
use badgateway::probe::dns::Resolver;
use badgateway::stale::{Answers, Backends};
use badgateway::traffic::{Ending, FailedAttempt, Patience, Request, Routes, Served, Sources, Tally, Traffic};
use badgateway::upstream::Family;
use support::daemon::scratch;
use support::gateways::{self, Gateway};
use support::peers::http1::{OK, answers};
use support::peers::serve_on;
use support::stack::wait_until;
use support::{dns, programs};
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
        let resolver = dns::serve(move |question| {
            let address = if named.load(Ordering::SeqCst) {
                "127.0.0.2"
            } else {
                "127.0.0.1"
            };
            let mut answer = question.addresses(&[address]);
            answer.records.iter_mut().for_each(|record| record.2 = 1);
            vec![answer.bytes()]
        });
        Shop {
            port: server.port(),
            resolver,
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
    now: Instant,
}

impl Tally for InUse {
    fn request(&mut self, request: &Request<'_>) {
        if request.ending == Ending::Served {
            self.backends.asked(request.backend, true, self.now);
        }
    }

    fn attempt(&mut self, attempt: &FailedAttempt<'_>) {
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

/// Stale backends of nginx that keeps an answer for that long, after the name and its server moved.
fn stale_after_a_move(keeps: &str) -> Vec<String> {
    let shop = Shop::open();
    let edge = shop.nginx(keeps);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let resolver = Resolver::new();
    let answers = RefCell::new(Answers::default());
    let look = || {
        let wait = Duration::from_secs(5);
        let seen = runtime.block_on(resolver.resolve(NAME, Family::Ipv4, &[shop.resolver], wait));
        let addresses = seen.result.expect("it resolves");
        answers
            .borrow_mut()
            .saw(addresses.into_iter(), seen.ttl, Instant::now());
    };
    let log = RefCell::new(Log::of(&edge));
    look();
    edge.ask_times(2, "/", 200);
    shop.moved.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    // Rounds and users go on until the address has been missing for long enough.
    wait_until("the old address counts as gone", || {
        look();
        edge.ask("/").expect("an answer");
        log.borrow_mut().read_on();
        (begin.elapsed() > AFTER + Duration::from_secs(1)).then_some(())
    });
    let log = log.into_inner();
    assert!(log.lines > 10, "{} lines", log.lines);
    let stale = log
        .tally
        .backends
        .stale(&answers.borrow(), &[shop.port], AFTER, Instant::now());
    let port = format!(":{}", shop.port);
    stale
        .iter()
        .map(|address| address.to_string().replace(&port, ""))
        .collect()
}

#[test]
fn nginx_that_keeps_an_old_address_is_told_from_one_that_looks_again() {
    if !programs::have(&["nginx"]) {
        return;
    }
    assert_eq!(stale_after_a_move("1h"), ["127.0.0.1"]);
    assert_eq!(stale_after_a_move("1s"), Vec::<String>::new());
}
