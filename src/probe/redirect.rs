//! Redirects: where one leads, whether it may be followed, and what goes along.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderValue, Method};
use tokio::time::Instant;
use url::Url;

use super::trail::{Place, Trail};
use super::{Prober, Watch};
use crate::observation::{Address, End, RedirectFault};
use crate::upstream::{Scheme, Target};

/// Statuses that ask to look elsewhere (RFC 9110, 15.4).
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// What follows one exchange.
pub(super) enum Next {
    Done,
    Instead(End),
    Follow(Place<'static>),
}

/// Why a redirect leads nowhere.
enum Detour {
    End(End),
    Refused(String, IpAddr),
}

impl Prober {
    /// Where a redirect leads, if there is one to follow.
    pub(super) async fn next_place(
        &self,
        target: &Target,
        trail: &mut Trail<'_>,
        end: &End,
        watch: &dyn Watch,
    ) -> Next {
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

impl Place<'_> {
    fn redirect_to(&self, location: &Option<String>) -> Option<Url> {
        let host = self.host_header.to_str().ok()?;
        let here = Url::parse(&format!("{}://{host}{}", self.scheme.as_str(), self.path)).ok()?;
        let url = here.join(location.as_deref()?).ok()?;
        matches!(url.scheme(), "http" | "https").then_some(url)
    }
}

/// The host redirects are compared with: that of the `Host` header, without port or brackets.
pub(super) fn own_host(target: &Target) -> String {
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
