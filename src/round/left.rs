//! Places that the origin's name has left and a gateway still asks: whether they take a connection from us. Beside the
//! rounds, and never where this hop's own probes have not been.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::{HopRun, Shared, State};
use crate::confirmation::Place;
use crate::finding::{Finding, Purpose};
use crate::observation::Address;
use crate::probe::Prepared;
use crate::stale::GONE_AFTER;
use crate::upstream::Host;

/// A connection is waited for that long at most.
const WAIT: Duration = Duration::from_secs(5);

impl HopRun {
    /// Notes where the probes of a round got a connection.
    pub(super) fn note_reached(&self, state: &mut State, findings: &[(Place, Finding)]) {
        if !self.hop.is_origin() || !self.hop.resolves() {
            return;
        }
        for (place, finding) in findings {
            let connected = finding.observation().is_some_and(|seen| seen.timings.connect.is_some());
            if let (Some(Address::Tcp(address)), true) = (&place.address, connected) {
                state.answers.reached(address.ip());
            }
        }
    }

    /// Connects to each of them, one after the other at the pace of the upstream, and keeps whether they took it. What our
    /// own side prevents says nothing.
    pub async fn ask_left(&self, shared: &Shared, places: Vec<SocketAddr>) {
        for place in places {
            let named =
                |target: &&Prepared| target.target.port == place.port() && matches!(target.target.host, Host::Name(_));
            let Some(target) = self.targets.iter().find(named) else {
                continue;
            };
            if !self.turns.wait(Instant::now() + self.upstream.interval).await {
                return;
            }
            if !self.state().answers.begin_to_ask(place, GONE_AFTER, Instant::now()) {
                continue;
            }
            let permit = shared.slots.acquire().await.expect("the slots are never closed");
            let wait = WAIT.min(target.target.timeout);
            let connects = shared.prober.connects(target, &Address::Tcp(place), wait).await;
            drop(permit);
            if self.retired.load(Ordering::Relaxed) {
                return;
            }
            let Some(connects) = connects else { continue };
            self.metrics.extra(Purpose::StaleAddress, 1);
            debug!(upstream = %self.upstream.name, %place, connects, "asked a place that the name has left");
            if connects || !self.standing.own_network().is_lost() {
                self.state().answers.asked(&place, connects);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::metrics::{Build, Format, Metrics};
    use crate::probe::Prober;
    use crate::round::Turns;
    use crate::stale::Backends;
    use crate::standing::{OwnNetwork, Standing};

    /// The origin `http://localhost:PORT/`, of which nothing is known yet.
    fn origin(port: u16) -> (Arc<HopRun>, Arc<Shared>) {
        let config = crate::config::from_urls(&[format!("http://localhost:{port}/")], &[]).expect("it is valid");
        let metrics = Metrics::new(Build::default());
        metrics.configure(&config.upstreams);
        let upstream = config.upstreams[0].clone();
        let hop = upstream.hops[0].clone();
        let handle = metrics.hop(&upstream.name, &hop.name).expect("configured");
        let of_upstream = metrics.upstream(&upstream.name).expect("configured");
        let standing = Standing::new(&upstream, 0, of_upstream, OwnNetwork::default(), Arc::default());
        let targets = vec![Prepared::new(hop.targets[0].clone()).expect("plain")];
        let (turns, standing) = (Arc::new(Turns::new(1000.0)), Arc::new(standing));
        let one = || Arc::new(Semaphore::new(1));
        let shared = Shared {
            prober: Arc::new(Prober::new(0.0)),
            slots: one(),
            patient: one(),
            idle: one(),
            metrics,
            history: Arc::default(),
            forward: Arc::default(),
        };
        let run = HopRun::new(0, upstream, hop, targets, handle, turns, standing);
        (Arc::new(run), Arc::new(shared))
    }

    #[tokio::test]
    async fn only_what_the_name_gave_and_our_probes_reached_is_asked_and_once() {
        let left = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = left.local_addr().expect("bound").port();
        let never_given = TcpListener::bind(("127.0.0.3", port)).await.expect("free");
        let another_port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (hop, shared) = origin(port);
        assert!(hop.begin());
        let round = tokio::spawn(hop.clone().round(shared.clone(), Instant::now()));
        let (mut stream, _) = left.accept().await.expect("the probe of the round");
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .expect("sent");
        round.await.expect("a whole round");
        let new = "127.0.0.2".parse().expect("an address");
        hop.state().answers.saw([new].into_iter(), None, Instant::now());
        let places = [&left, &never_given, &another_port].map(|one| one.local_addr().expect("bound"));
        hop.ask_left(&shared, places.to_vec()).await;
        hop.ask_left(&shared, places.to_vec()).await;
        let mut asked = Vec::new();
        for listener in [&left, &never_given, &another_port] {
            let mut connections = 0;
            while listener.accept().now_or_never().is_some() {
                connections += 1;
            }
            asked.push(connections);
        }
        assert_eq!(asked, [1, 0, 0]);
        let mut page = String::new();
        let mut sink = |chunk: &str| {
            page.push_str(chunk);
            Ok(())
        };
        shared
            .metrics
            .encode(Format::Prometheus, crate::clock::now(), &mut sink)
            .expect("it takes everything");
        assert!(page.contains("purpose=\"stale_address\"} 1\n"), "{page}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_answer_is_stale_after_the_second_time() {
        // Bound and not listening: it refuses.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let place = socket.local_addr().expect("bound");
        let (hop, shared) = origin(place.port());
        let new = "127.0.0.2".parse().expect("an address");
        {
            let mut state = hop.state();
            state.answers.saw([place.ip()].into_iter(), None, Instant::now());
            state.answers.reached(place.ip());
            state.answers.saw([new].into_iter(), None, Instant::now());
        }
        let mut backends = Backends::default();
        let mut stale = Vec::new();
        for _ in 0..2 {
            tokio::time::advance(GONE_AFTER).await;
            let now = Instant::now();
            hop.state().answers.saw([new].into_iter(), None, now);
            backends.left_waiting(place.to_string().as_bytes(), now);
            hop.ask_left(&shared, vec![place]).await;
            let answers = hop.answers().expect("it has a name");
            stale.push(backends.stale(&answers, &[place.port()], GONE_AFTER, now));
        }
        assert_eq!(stale, [vec![], vec![place]]);
    }
}
