//! What is probed and what is expected: upstreams, hops, targets, limits. What the rest of the program may rely on.
//!
//! Values here are complete and checked: defaults are applied, URLs parsed, expressions compiled.
//! How they are written in a file is the business of [`crate::config`] alone.

mod gateway;
mod target;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

pub use gateway::{CheckRequest, Gateway, HealthCheck, LimitKind, LimitSource, Limits};
pub use target::{
    AddressChoice, Auth, BodyRule, ClientCertificate, Expectation, Family, Host, HttpVersion, Redirects, Request,
    Scheme, Target, TlsPolicy, TlsVersion,
};

/// Time between two rounds of a hop. Four rounds a minute catch a spike within one scrape or two.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);
/// Time for connect, TLS and response of one probe. Shorter than every gateway's own limit on a first byte.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Resolution has its own deadline: `min(timeout, this)`.
pub const MAX_RESOLUTION: Duration = Duration::from_secs(5);
/// Addresses probed per hop.
pub const DEFAULT_MAX_ADDRESSES: usize = 16;
/// Probes under way at once in the whole process. Each holds one descriptor.
pub const DEFAULT_MAX_CONCURRENT_PROBES: usize = 2048;
/// Requests of all kinds per second and upstream.
pub const DEFAULT_MAX_RATE: f64 = 10.0;
/// Largest response head read; larger is `response_header_too_large`.
pub const DEFAULT_MAX_HEAD: u64 = 256 * 1024;
/// Bytes of body read; the rest of a longer body is not asked for.
pub const DEFAULT_MAX_BODY: u64 = 1024 * 1024;
/// The name of the hop that reaches the servers directly.
pub const ORIGIN: &str = "origin";

/// A string that is never printed: a password, a token, a header value that may carry one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that must not appear in pages, logs or errors.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A named service that users reach; the unit of configuration, verdicts and alerts.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Unique; the label `upstream`.
    pub name: Arc<str>,
    /// Labels from the configuration, for `upstream_info` and the series that carry them.
    pub labels: BTreeMap<String, String>,
    /// In the order users pass them: outermost gateway first, the origin last. Never empty.
    pub hops: Vec<Arc<Hop>>,
    /// Time between two rounds of a hop.
    pub interval: Duration,
    /// How a failure is confirmed and a recovery believed.
    pub confirm: Confirm,
    /// Requests of all kinds per second, over all hops.
    pub max_rate: f64,
    /// Share of good requests that is promised, 0 to 1.
    pub objective: Option<f64>,
    /// When failing traffic counts as a spike.
    pub spike: Spike,
    /// What evidence may hold.
    pub evidence: EvidencePolicy,
    /// The response header that names the running version.
    pub version_header: Option<HeaderName>,
    /// Fingerprint of everything above and below, secrets and file contents included: equal means unchanged by a reload.
    pub fingerprint: u64,
}

impl Upstream {
    /// The hop whose rounds are what users see: the outermost one.
    pub fn user_view(&self) -> &Arc<Hop> {
        &self.hops[0]
    }

    /// Kinds of the gateways a request to that hop passes, outermost first.
    pub fn kinds_from(&self, hop: &str) -> Vec<&'static str> {
        let inward = self.hops.iter().skip_while(|known| &*known.name != hop);
        inward
            .filter_map(|hop| hop.gateway.as_ref().map(|gateway| gateway.kind))
            .collect()
    }

    /// The hop of that name.
    pub fn hop(&self, name: &str) -> Option<&Arc<Hop>> {
        self.hops.iter().find(|hop| &*hop.name == name)
    }
}

/// How a failure is confirmed and a recovery believed; see the design, section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Retries of a failed probe before it changes a result.
    pub retries: u32,
    /// Wait before the first retry, and between two.
    pub delay: Duration,
    /// Time between two rechecks while a hop fails.
    pub recheck: Duration,
    /// Clean rounds until a failing address counts as recovered.
    pub recover_after: u32,
}

impl Default for Confirm {
    fn default() -> Self {
        Confirm {
            retries: 1,
            delay: Duration::from_millis(500),
            recheck: Duration::from_secs(2),
            recover_after: 2,
        }
    }
}

/// When failing requests count as a spike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spike {
    /// Share of failed requests, 0 to 1.
    pub ratio: f64,
    /// Window it is measured over.
    pub window: Duration,
    /// Requests the window must hold at least.
    pub minimum_requests: u64,
}

impl Default for Spike {
    fn default() -> Self {
        Spike {
            ratio: 0.05,
            window: Duration::from_secs(60),
            minimum_requests: 20,
        }
    }
}

/// What evidence may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EvidencePolicy {
    /// Headers by the allow list, no query, no client data.
    #[default]
    Safe,
    /// Everything.
    Full,
}

/// A place an upstream is probed at.
#[derive(Clone, Debug)]
pub struct Hop {
    /// `origin`, or the gateway's name; the label `hop`.
    pub name: Arc<str>,
    /// The gateway this hop passes through; `None` on the origin hop.
    pub gateway: Option<Arc<Gateway>>,
    /// True on the outermost hop: what users see.
    pub user_view: bool,
    /// What the next gateway outward tolerates of this hop: the innermost gateway's limits on the origin hop. Empty without one.
    pub limits: Limits,
    /// How long the next gateway outward keeps an idle connection to this hop; `None` where it is not known that it reuses any.
    pub kept_idle: Option<Duration>,
    /// How the next gateway outward checks the health of this hop; on the origin hop only, and only where it is known.
    pub health_check: Option<HealthCheck>,
    /// One on a gateway hop; on the origin hop one per entry of the list. Never empty.
    pub targets: Vec<Arc<Target>>,
}

impl Hop {
    /// True when some target has a name to resolve.
    pub fn resolves(&self) -> bool {
        self.targets.iter().any(|target| matches!(target.host, Host::Name(_)))
    }

    /// True where all its addresses should serve the same certificate: each of them is asked in each round, and for the same
    /// name, or for none but addresses.
    pub fn serves_one_certificate(&self) -> bool {
        let name = |target: &Arc<Target>| {
            let is_address = target.server_name.parse::<IpAddr>().is_ok();
            (!is_address).then(|| target.server_name.to_ascii_lowercase())
        };
        let all = self.targets.iter().all(|target| target.addresses == AddressChoice::All);
        all && self.targets.windows(2).all(|pair| name(&pair[0]) == name(&pair[1]))
    }

    /// True when some target is reached over TLS.
    pub fn uses_tls(&self) -> bool {
        self.targets.iter().any(|target| target.scheme == Scheme::Https)
    }

    /// True on the hop that reaches the servers directly.
    pub fn is_origin(&self) -> bool {
        self.gateway.is_none()
    }
}
