//! One probe: connect, TLS, one request and its response under one deadline. Returns an `Observation`, never an error.
//!
//! Resolution is its own step, once a round, with its own deadline; see [`dns`]. A probe knows nothing of metrics,
//! configuration files or what is a good answer, so that the one-shot command and the tests use it as it is.

mod check;
pub mod connect;
pub mod dns;
pub mod http;
mod idle;
mod listeners;
pub mod meter;
mod open;
pub mod tls;
mod watch;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderValue, Method};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use url::Url;

pub use check::Checked;
pub use watch::Watch;

use crate::observation::listening::Listening;
use crate::observation::{
    Address, AnswerSource, ConnectFault, DnsFault, End, HttpFailure, HttpFault, Observation, RedirectFault, Resolution,
    Timings, TlsFacts, TlsFault, TraceId,
};
use crate::probe::connect::ConnectEnd;
use crate::probe::dns::Resolver;
use crate::probe::dns::answer::Service;
use crate::probe::dns::authority::Zone;
use crate::probe::http::{Ask, ExchangeEnd, Form, KeptHeaders, ReadLimits, http1, http2};
use crate::probe::listeners::Listeners;
use crate::probe::meter::Meter;
use crate::probe::tls::{Client, PolicyError};
use crate::probe::watch::Unwatched;
use crate::upstream::{Family, Host, HttpVersion, Request, Scheme, Target};

/// Statuses that ask to look elsewhere (RFC 9110, 15.4).
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// What all probes share.
#[derive(Debug)]
pub struct Prober {
    resolver: Resolver,
    listeners: Listeners,
    /// Share of probes whose `traceparent` says sampled, 0 to 1.
    trace_sampled: f64,
}

/// A target with everything ready that is the same at each probe.
#[derive(Debug)]
pub struct Prepared {
    /// The target.
    pub target: Arc<Target>,
    tls: Option<Client>,
    headers: HeaderMap,
    kept: KeptHeaders,
    /// The answer where the URL holds the address.
    literal: Option<Arc<Resolution>>,
}

impl Prepared {
    /// Prepares a target. `Err` where its TLS policy cannot be used: a certificate or key that does not fit, no roots.
    pub fn new(target: Arc<Target>) -> Result<Self, PolicyError> {
        let may_speak_tls = target.scheme == Scheme::Https || target.redirects.max > 0;
        let tls = may_speak_tls
            .then(|| Client::new(&target.tls, target.http_version))
            .transpose()?;
        let (headers, literal) = (http::headers_of(&target), literal(&target.host).map(Arc::new));
        Ok(Prepared {
            target,
            tls,
            headers,
            kept: KeptHeaders::default(),
            literal,
        })
    }

    /// Keeps these headers of the answers besides the allow list.
    pub fn keeping(self, kept: KeptHeaders) -> Self {
        Prepared { kept, ..self }
    }
}

/// What "resolving" a host gives that is no name.
fn literal(host: &Host) -> Option<Resolution> {
    let (name, addresses) = match host {
        Host::Name(_) => return None,
        Host::Ip(ip) => (ip.to_string(), vec![*ip]),
        Host::Unix(path) => (path.display().to_string(), Vec::new()),
    };
    Some(Resolution {
        name,
        source: AnswerSource::Literal,
        cname_chain: Vec::new(),
        ttl: None,
        elapsed: Duration::ZERO,
        result: Ok(addresses),
        half: None,
    })
}

impl Prober {
    /// `trace_sampled` is the share of probes whose `traceparent` says sampled, 0 to 1.
    pub fn new(trace_sampled: f64) -> Self {
        Prober {
            resolver: Resolver::new(),
            listeners: Listeners::default(),
            trace_sampled,
        }
    }

    /// The hosts and ports that the SRV records of a name give, by the system's resolvers unless others are named.
    pub async fn services(
        &self,
        name: &str,
        resolvers: &[SocketAddr],
        wait: Duration,
    ) -> Result<Vec<Service>, DnsFault> {
        self.resolver.services(name, resolvers, wait).await
    }

    /// Resolves a name that belongs to no target.
    pub async fn lookup(&self, name: &str, family: Family, resolvers: &[SocketAddr], wait: Duration) -> Resolution {
        self.resolver.resolve(name, family, resolvers, wait).await
    }

    /// How many resolvers are asked for a name: the named ones, or the system's.
    pub fn resolvers(&self, resolvers: &[SocketAddr]) -> usize {
        self.resolver.resolvers(resolvers).len()
    }

    /// What every one of the resolvers asked for a name says of it, side by side: the named ones, or the system's.
    pub async fn ask_each(
        &self,
        name: &str,
        family: Family,
        resolvers: &[SocketAddr],
        wait: Duration,
    ) -> Vec<Resolution> {
        let resolvers = self.resolver.resolvers(resolvers);
        self.resolver.ask_each(name, family, &resolvers, wait).await
    }

    /// What the zone's own servers say of a name, and those of the zones its aliases lead to; see [`dns::authority`].
    pub async fn ask_zones(&self, name: &str, family: Family, resolvers: &[SocketAddr], wait: Duration) -> Vec<Zone> {
        let resolvers = self.resolver.resolvers(resolvers);
        dns::authority::ask(name, family, &resolvers, wait).await
    }

    /// Resolves the host of a prepared target; one whose URL holds the address costs nothing.
    pub async fn resolve(&self, prepared: &Prepared) -> Arc<Resolution> {
        match &prepared.literal {
            Some(literal) => literal.clone(),
            None => Arc::new(self.resolve_host(&prepared.target).await),
        }
    }

    /// Resolves the host of a target.
    pub async fn resolve_host(&self, target: &Target) -> Resolution {
        match (&target.host, literal(&target.host)) {
            (Host::Name(name), _) => {
                self.lookup(name, target.family, &target.resolvers, target.resolution_timeout())
                    .await
            }
            (Host::Ip(_) | Host::Unix(_), literal) => literal.expect("these need no answer"),
        }
    }

    /// Makes one probe of one address and one path.
    pub async fn probe(&self, prepared: &Prepared, request: &Request, address: &Address) -> Observation {
        self.probe_watched(prepared, request, address, &Unwatched).await
    }

    /// As [`Prober::probe`], with another deadline than the target's.
    pub async fn probe_within(
        &self,
        prepared: &Prepared,
        request: &Request,
        address: &Address,
        wait: Duration,
    ) -> Observation {
        let trail = Trail::start(&prepared.target, request, address, self.sampled(), wait);
        self.follow(prepared, trail, &Unwatched).await
    }

    /// As [`Prober::probe`], with somebody who sees each exchange and may refuse where a redirect leads.
    pub async fn probe_watched(
        &self,
        prepared: &Prepared,
        request: &Request,
        address: &Address,
        watch: &dyn Watch,
    ) -> Observation {
        let target = &*prepared.target;
        let trail = Trail::start(target, request, address, self.sampled(), target.timeout);
        self.follow(prepared, trail, watch).await
    }

    async fn follow(&self, prepared: &Prepared, mut trail: Trail<'_>, watch: &dyn Watch) -> Observation {
        let target = &*prepared.target;
        loop {
            let end = trail.step(prepared).await;
            watch.exchanged(&trail.place.address, &trail.timings, &end);
            match self.next_place(target, &mut trail, &end, watch).await {
                Next::Done => return trail.finish(end, &self.listeners),
                Next::Instead(end) => return trail.finish(end, &self.listeners),
                Next::Follow(place) => trail.place = place,
            }
        }
    }

    /// Who listens at an address of this host; `None` where that cannot be known, as of addresses of other hosts.
    /// `refused` says that it just refused a connection: only then it is believed that nobody does.
    pub fn listening(&self, address: &Address, refused: bool) -> Option<Listening> {
        self.listeners.at(address, refused)
    }

    fn sampled(&self) -> bool {
        self.trace_sampled > 0.0 && fastrand::f64() < self.trace_sampled
    }

    /// Where a redirect leads, if there is one to follow.
    async fn next_place(&self, target: &Target, trail: &mut Trail<'_>, end: &End, watch: &dyn Watch) -> Next {
        let End::Response(response) = end else {
            return Next::Done;
        };
        if target.redirects.max == 0 || !REDIRECTS.contains(&response.head.status) {
            return Next::Done;
        }
        let refuse = |fault| {
            Next::Instead(End::Redirect {
                fault,
                head: Box::new(response.head.clone()),
            })
        };
        let Some(url) = trail.place.redirect_to(&trail.location) else {
            return refuse(RedirectFault::Location);
        };
        if trail.redirected.len() >= target.redirects.max as usize {
            return refuse(RedirectFault::TooMany);
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if !target.redirects.allows(&trail.own_host, &host) {
            return refuse(RedirectFault::Host(host));
        }
        trail.redirected.push(without_query(&url));
        if asks_for_get(response.head.status, &trail.method) {
            trail.method = Cow::Owned(Method::GET);
        }
        match self.place_of(target, trail, &url, host, watch).await {
            Ok(place) => Next::Follow(place),
            Err(Detour::End(end)) => Next::Instead(end),
            Err(Detour::Refused(host, ip)) => refuse(RedirectFault::Address(host, ip)),
        }
    }

    /// The same host and port stay on the address under test; another host is resolved.
    async fn place_of(
        &self,
        target: &Target,
        trail: &Trail<'_>,
        url: &Url,
        host: String,
        watch: &dyn Watch,
    ) -> Result<Place<'static>, Detour> {
        let scheme = if url.scheme() == "https" {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let port = url.port_or_known_default().unwrap_or(scheme.default_port());
        let here = &trail.place;
        let same_host = host.eq_ignore_ascii_case(&here.url_host);
        let address = match &here.address {
            address if same_host && port == here.port => address.clone(),
            Address::Tcp(known) if same_host => Address::Tcp(SocketAddr::new(known.ip(), port)),
            _ => {
                let ip = self
                    .resolve_one(target, trail, &host, watch)
                    .await
                    .map_err(Detour::End)?;
                if !watch.allows(&host, ip) {
                    return Err(Detour::Refused(host, ip));
                }
                Address::Tcp(SocketAddr::new(ip, port))
            }
        };
        let host_header = HeaderValue::try_from(&url[url::Position::BeforeHost..url::Position::AfterPort])
            .expect("the host of a parsed URL is ASCII without blanks");
        let server_name = if same_host {
            here.server_name.clone().into_owned()
        } else {
            host.clone()
        };
        Ok(Place {
            address,
            scheme,
            host_header: Cow::Owned(host_header),
            server_name: Cow::Owned(server_name),
            path: Cow::Owned(url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()),
            configured: here.configured && same_host && (scheme == Scheme::Https || here.scheme == Scheme::Http),
            url_host: host,
            port,
        })
    }

    /// The deadline of the probe holds here too: what it does not leave is missing to the exchange that follows.
    async fn resolve_one(
        &self,
        target: &Target,
        trail: &Trail<'_>,
        host: &str,
        watch: &dyn Watch,
    ) -> Result<IpAddr, End> {
        if let Ok(ip) = host.parse() {
            return Ok(ip);
        }
        let wait = target.resolution_timeout().min(trail.deadline - Instant::now());
        let resolution = self
            .resolver
            .resolve(host, target.family, &target.resolvers, wait)
            .await;
        watch.resolved(&resolution);
        let addresses = resolution.result.map_err(End::Dns)?;
        Ok(*addresses.first().expect("a successful resolution has an address"))
    }
}

/// Why a redirect leads nowhere.
enum Detour {
    End(End),
    Refused(String, IpAddr),
}

/// The host redirects are compared with: that of the `Host` header, without port or brackets.
fn own_host(target: &Target) -> String {
    let header = target.host_header.to_str().unwrap_or_default();
    match Url::parse(&format!("http://{header}/")) {
        Ok(url) => url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
        Err(_) => target.server_name.clone(),
    }
}

/// 303 always, 301 and 302 after a POST, as every client has it (RFC 9110, 15.4.2 to 15.4.4).
fn asks_for_get(status: u16, method: &Method) -> bool {
    (status == 303 && *method != Method::HEAD) || (matches!(status, 301 | 302) && *method == Method::POST)
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// What the kernel says where an address of this host refused, or took a connection and no more: that nobody listens, or
/// that connections wait to be accepted.
fn explained(end: &End, address: &Address, listeners: &Listeners) -> Option<Box<Listening>> {
    let refused = match end {
        End::Connect(fault) => *fault == ConnectFault::Refused,
        End::Http(failure) if failure.fault == HttpFault::HeadTimeout => false,
        _ => return None,
    };
    let says = |seen: &Listening| match seen {
        Listening::Yes(queue) => !refused && queue.is_near(),
        Listening::No { .. } => true,
    };
    listeners.at(address, refused).filter(says).map(Box::new)
}

/// What follows one exchange.
enum Next {
    Done,
    Instead(End),
    Follow(Place<'static>),
}

/// Where one exchange happens.
#[derive(Clone, Debug)]
struct Place<'a> {
    address: Address,
    scheme: Scheme,
    host_header: Cow<'a, HeaderValue>,
    server_name: Cow<'a, str>,
    path: Cow<'a, str>,
    /// Configured headers, credentials and body go only to the host they were written for.
    configured: bool,
    url_host: String,
    port: u16,
}

impl Place<'_> {
    fn redirect_to(&self, location: &Option<String>) -> Option<Url> {
        let host = self.host_header.to_str().ok()?;
        let here = Url::parse(&format!("{}://{host}{}", self.scheme.as_str(), self.path)).ok()?;
        let url = here.join(location.as_deref()?).ok()?;
        matches!(url.scheme(), "http" | "https").then_some(url)
    }
}

/// One probe under way: where it is, and what it has seen.
struct Trail<'a> {
    place: Place<'a>,
    method: Cow<'a, Method>,
    trace: TraceId,
    sampled: bool,
    at: SystemTime,
    started: Instant,
    deadline: Instant,
    timings: Timings,
    tls: Option<Arc<TlsFacts>>,
    location: Option<String>,
    redirected: Vec<String>,
    own_host: String,
}

impl<'a> Trail<'a> {
    fn start(target: &'a Target, request: &'a Request, address: &Address, sampled: bool, wait: Duration) -> Self {
        let started = Instant::now();
        let follows = target.redirects.max > 0;
        let url_host = if follows { own_host(target) } else { String::new() };
        Trail {
            place: Place {
                address: address.clone(),
                scheme: target.scheme,
                host_header: Cow::Borrowed(&target.host_header),
                server_name: Cow::Borrowed(&target.server_name),
                path: Cow::Borrowed(&request.path),
                configured: true,
                url_host: url_host.clone(),
                port: target.port,
            },
            method: Cow::Borrowed(&target.method),
            trace: TraceId(fastrand::u128(1..)),
            sampled,
            at: crate::clock::now(),
            started,
            deadline: started + wait,
            timings: Timings::default(),
            tls: None,
            location: None,
            redirected: Vec::new(),
            own_host: url_host,
        }
    }

    fn finish(mut self, end: End, listeners: &Listeners) -> Observation {
        self.timings.total = self.started.elapsed();
        Observation {
            listening: explained(&end, &self.place.address, listeners),
            trace: self.trace,
            at: self.at,
            address: self.place.address,
            scheme: self.place.scheme,
            timings: self.timings,
            tls: self.tls,
            redirected: self.redirected,
            end,
        }
    }

    /// Connect, TLS and HTTP, once.
    async fn step(&mut self, prepared: &Prepared) -> End {
        let target = &*prepared.target;
        self.timings = Timings::default();
        self.tls = None;
        let begun = Instant::now();
        let connection = match connect::connect(&self.place.address, target.source_address, self.deadline).await {
            Ok(connection) => connection,
            Err(ConnectEnd::NoRoute) => return End::NoRoute,
            Err(ConnectEnd::Own(limit)) => return End::Own(limit),
            Err(ConnectEnd::Fault(fault)) => return End::Connect(fault),
        };
        self.timings.connect = Some(begun.elapsed());
        let one_write = self.place.scheme == Scheme::Http && target.http_version == HttpVersion::Http1;
        if !one_write || target.body.is_some() {
            connection.send_at_once();
        }
        let mut meter = Meter::new(connection);
        let end = match (self.place.scheme, &prepared.tls) {
            (Scheme::Https, Some(client)) => return self.over_tls(client, meter, prepared).await,
            _ => self.exchange(&mut meter, prepared, |meter| meter.read).await,
        };
        self.http_end(end)
    }

    async fn over_tls(&mut self, client: &Client, meter: Meter, prepared: &Prepared) -> End {
        let begun = Instant::now();
        // Boxed, so that plain probes under way are not as large as the largest TLS one.
        let handshake =
            Box::pin(client.handshake(meter, &self.place.server_name, self.place.configured, self.deadline));
        let (result, facts) = handshake.await;
        let facts = Arc::new(facts);
        self.tls = Some(facts.clone());
        let mut stream = match result {
            Ok(stream) => stream,
            Err(fault) => {
                if matches!(fault, TlsFault::Certificate(_)) {
                    self.timings.tls = Some(begun.elapsed());
                }
                return End::Tls(fault);
            }
        };
        self.timings.tls = Some(begun.elapsed());
        let end = self
            .exchange(&mut *stream, prepared, |stream| stream.get_ref().0.read)
            .await;
        // HTTP/2's library does not hand on the alert that ended the session; the session still knows it.
        let end = match (end, tls::alert_of_session(stream.get_mut().1)) {
            (ExchangeEnd::Failure(failure), Some(alert)) if failure.head.is_none() => ExchangeEnd::TlsAlert(alert),
            (end, _) => end,
        };
        match end {
            ExchangeEnd::TlsAlert(alert)
                if facts.client_certificate_requested && tls::refuses_client_certificate(alert) =>
            {
                End::Tls(TlsFault::ClientCertificate {
                    sent: self.place.configured && client.sends_certificate(),
                })
            }
            end => self.http_end(end),
        }
    }

    async fn exchange<S>(&mut self, stream: &mut S, prepared: &Prepared, read: impl Fn(&S) -> u64) -> ExchangeEnd
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (place, target, begun) = (&self.place, &prepared.target, Instant::now());
        let with_body = place.configured && *self.method == target.method;
        let headers = match (place.configured, with_body) {
            (true, true) => Cow::Borrowed(&prepared.headers),
            (true, false) => Cow::Owned(http::without_body(&prepared.headers)),
            (false, _) => Cow::Owned(http::plain_headers()),
        };
        let ask = Ask {
            method: &self.method,
            host: &place.host_header,
            path: &place.path,
            headers: &headers,
            traceparent: http::traceparent(self.trace, self.sampled),
            body: target.body.as_ref().filter(|_| with_body),
            kept: &prepared.kept,
            form: Form::Alone,
        };
        let (limits, deadline, at) = (ReadLimits::of(target, &place.path), self.deadline, self.at);
        let (end, first_byte) = match target.http_version {
            HttpVersion::Http1 => http1::exchange(stream, &ask, limits, deadline, at).await,
            HttpVersion::Http2 => {
                Box::pin(http2::exchange(stream, place.scheme, &ask, limits, deadline, at, read)).await
            }
        };
        self.timings.first_byte = first_byte.map(|at| at - begun);
        if let (Some(first), ExchangeEnd::Response(_)) = (first_byte, &end) {
            self.timings.body = Some(first.elapsed());
        }
        end
    }

    fn http_end(&mut self, end: ExchangeEnd) -> End {
        match end {
            ExchangeEnd::Response(response) => {
                self.location = response.head.location.clone();
                End::Response(response)
            }
            ExchangeEnd::Failure(failure) => End::Http(failure),
            // The peer ended the session before a whole head (design, section 3).
            ExchangeEnd::TlsAlert(_) => End::Http(HttpFailure {
                fault: HttpFault::Reset,
                head: None,
                start: bytes::Bytes::new(),
                body_bytes: 0,
            }),
        }
    }
}
