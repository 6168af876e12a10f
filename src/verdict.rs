//! The closed lists of verdicts and impacts, and a diagnosis: what is known of an upstream as a whole, in words.
//!
//! A verdict is the value of the label `verdict`, the string in JSON and logs, and a row of the README.
//! [`crate::diagnosis`] says which one holds.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cause::Cause;

/// Everything the program says of one verdict.
struct Entry {
    label: &'static str,
    meaning: &'static str,
    sentence: &'static str,
    next_steps: &'static [&'static str],
}

macro_rules! verdicts {
    ($( $variant:ident $label:literal $meaning:literal $sentence:literal [$($step:literal)*]; )*) => {
        /// Where the fault of an upstream lies. Of two that fit equally well the one that stands first is taken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Verdict {
            $( #[doc = $meaning] $variant, )*
        }

        impl Verdict {
            /// Every verdict, in the order of the rules.
            pub const ALL: &'static [Verdict] = &[ $( Verdict::$variant, )* ];

            fn entry(self) -> &'static Entry {
                match self {
                    $( Verdict::$variant => &Entry {
                        label: $label, meaning: $meaning, sentence: $sentence, next_steps: &[$($step),*],
                    }, )*
                }
            }
        }
    };
}

// In a sentence `{hop}` is the faulty hop, `{at}` the addresses, `{why}` the cause and what it means, `{share}` how many
// of how many rounds or requests failed, `{most}` the path and backend that most of these requests share.
verdicts! {
    Unknown "unknown"
        "Nothing is known yet, or this host's own network does not work."
        "Nothing is known yet: no round is complete"
        ["wait for the first round; if none comes, look at probes_aborted_total and at the log of this program"];
    OriginUnverified "origin_unverified"
        "The origin was never reached from here while what users reach works: probably this host may not reach it."
        "The origin was never reached from here, though what users reach works: {why} at {at}"
        ["is the address of the origin right, and may this host connect to it (firewall, security group, allow list)?"
         "if it never will, leave origin out of the configuration"];
    OriginDns "origin_dns"
        "The origin's name gives no usable address."
        "The origin's name gives no usable address: {why}"
        ["ask every resolver that gateways and this host use for the name, and compare"
         "correct the record, or put the last good address into the gateway until it is"];
    OriginDown "origin_down"
        "No server of the origin accepts connections."
        "The origin accepts no connections: {why} at {at}"
        ["the service's own log at that time: did it stop, crash, or fail to start?"
         "what was deployed, restarted or filtered at the time it began?"];
    OriginTls "origin_tls"
        "The TLS handshake with every server of the origin fails."
        "The TLS handshake with the origin fails: {why} at {at}"
        ["openssl s_client -connect ADDRESS -servername NAME shows what it offers"
         "was a certificate renewed, replaced or left to expire?"];
    OriginInvalid "origin_invalid"
        "The origin accepts requests and sends no valid response."
        "The origin sends no valid response: {why} at {at}"
        ["the service's own log at that time: crashes, killed workers, idle timeouts"
         "roll back what was deployed last, if it began then"];
    OriginOverloaded "origin_overloaded"
        "The origin answers too late, says that it is overloaded, or has a full accept queue."
        "The origin answers too late: {why} at {at}"
        ["saturation of the origin: CPU, workers, connection pools, and what it waits for behind it"
         "add capacity or shed load before raising any timeout"];
    OriginError "origin_error"
        "The origin answers, and the answer is an error."
        "The origin answers with an error: {why} at {at}"
        ["the application's log at that time, and its last deploy"
         "is the probed path still right, and does it need credentials?"];
    OriginPartial "origin_partial"
        "Some servers of the origin fail, others answer."
        "Some of the origin's servers fail, {at}: {why}"
        ["take the failing servers out of rotation"
         "compare one of them with one that answers: version, certificate, load, host"];
    GatewayCachedError "gateway_cached_error"
        "A gateway serves an error from its cache; what is behind it may be well again."
        "{hop} serves an error from its cache: {why}"
        ["purge the cached error, then shorten how long errors are cached"];
    GatewayUnreachable "gateway_unreachable"
        "A gateway itself cannot be reached."
        "The gateway {hop} cannot be reached: {why} at {at}"
        ["is the gateway running, and does its name lead to it?"
         "move traffic past it if there is another way"];
    GatewayPartial "gateway_partial"
        "Some addresses of a gateway fail, others answer."
        "Some addresses of the gateway {hop} fail, {at}: {why}"
        ["take the failing addresses out of DNS or out of the balancer in front"
         "compare configuration and version with those that answer"];
    GatewayFault "gateway_fault"
        "A gateway fails although what is behind it is well."
        "The gateway {hop} fails although what is behind it is well: {why} at {at}"
        ["the gateway's error log: which backend does it ask, and what does it get?"
         "compare the address, TLS settings, Host and timeouts it uses with those of the probes that succeed"
         "undo its last configuration change"];
    Unlocated "unlocated"
        "A gateway fails, and nothing behind it is judged, so the place of the fault is not known."
        "{hop} fails, and nothing behind it is judged that could say where: {why} at {at}"
        ["configure origin, so that the servers behind it are probed directly"
         "the gateway's error log names the backend it asked"];
    TrafficFailing "traffic_failing"
        "Probes succeed, but requests of users fail."
        "Probes succeed, but real requests through {hop} fail ({share}): {why}{most}"
        ["which paths and backends fail? Add one of the failing paths to paths"
         "the application's log for those paths"];
    Intermittent "intermittent"
        "Probes fail now and then, too often for chance."
        "{hop} fails now and then: in {share} rounds"
        ["what happens at the same rhythm: restarts, cron jobs, scaling, one bad member behind a balancer?"
         "the latest failures of the upstream show cause and address of each"];
    Healthy "healthy"
        "Every hop answers as expected."
        "Every hop answers as expected"
        [];
}

/// In place of the sentence of `unknown` when every self check fails.
const OWN_NETWORK: &str = "Nothing can be said: every self check fails, so this host's own network does not work";
/// In place of the sentence of `origin_overloaded` where more than time speaks for it.
const OVERLOAD_PROVEN: &str = "The origin is overloaded: {why} at {at}";

impl Verdict {
    /// The label value, also the string in JSON, logs and the README.
    pub fn label(self) -> &'static str {
        self.entry().label
    }

    /// One sentence: what it says.
    pub fn meaning(self) -> &'static str {
        self.entry().meaning
    }

    /// What to do, the first thing first.
    pub fn next_steps(self) -> &'static [&'static str] {
        self.entry().next_steps
    }

    /// True where something is known to be wrong with the upstream: such a verdict begins an incident.
    pub fn is_fault(self) -> bool {
        !matches!(self, Verdict::Unknown | Verdict::OriginUnverified | Verdict::Healthy)
    }

    /// Position in [`Verdict::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl serde::Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

impl<'de> serde::Deserialize<'de> for Verdict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let label = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let found = Verdict::ALL.iter().copied().find(|verdict| verdict.label() == label);
        found.ok_or_else(|| serde::de::Error::custom(format!("{label:?} is no verdict")))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Whether users feel it. The order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// What users reach fails.
    Users,
    /// Something fails, and users do not feel it yet.
    Redundancy,
    /// Nothing is known to fail.
    None,
}

impl Impact {
    /// All of them, the most urgent first.
    pub const ALL: [Impact; 3] = [Impact::Users, Impact::Redundancy, Impact::None];

    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            Impact::Users => "users",
            Impact::Redundancy => "redundancy",
            Impact::None => "none",
        }
    }
}

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Confirmed results of probes.
    Probes,
    /// What a gateway's log or error page says.
    Log,
    /// That every self check fails.
    SelfCheck,
}

/// What of a hop fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Failing addresses as people write them; a name that does not resolve stands for itself.
    pub addresses: Vec<Arc<str>>,
    /// How many addresses of the hop are judged, failing or not.
    pub of: usize,
    /// Paths that fail at some of them; from a log, the path that fails most.
    pub paths: Vec<Arc<str>>,
    /// The backend that fails most, as a gateway's log writes it.
    pub backend: Option<Arc<str>>,
}

impl Scope {
    /// `all 3 addresses`, `1 of 3 addresses`.
    pub fn extent(&self) -> String {
        match (self.addresses.as_slice(), self.of) {
            ([one], 1) => one.to_string(),
            (failing, of) if failing.len() >= of => format!("all {of} addresses"),
            (failing, of) => format!("{} of {of} addresses", failing.len()),
        }
    }

    /// `, most of them for /api/cart at 10.0.0.7:8080`: of requests in a log; nothing where nothing is shared.
    fn most(&self) -> String {
        match (self.paths.first(), &self.backend) {
            (Some(path), Some(backend)) => format!(", most of them for {path} at {backend}"),
            (Some(path), None) => format!(", most of them for {path}"),
            (None, Some(backend)) => format!(", most of them at {backend}"),
            (None, None) => String::new(),
        }
    }
}

/// How many of how many failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Failed rounds or requests.
    pub failed: u64,
    /// Rounds or requests that were looked at.
    pub of: u64,
}

/// What is known of an upstream as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Where the fault lies.
    pub verdict: Verdict,
    /// Whether users feel it.
    pub impact: Impact,
    /// Number of the rule that gave the verdict, as listed in [`crate::diagnosis`].
    pub rule: u8,
    /// What the verdict rests on.
    pub basis: Basis,
    /// Since when this verdict holds.
    pub since: SystemTime,
    /// The hop to fix; `None` where nothing fails.
    pub hop: Option<Arc<str>>,
    /// Why; of several causes the one most addresses have.
    pub cause: Option<Cause>,
    /// What of the hop fails.
    pub scope: Scope,
    /// How often, where the verdict rests on that.
    pub share: Option<Share>,
    /// The accept queue of an address of the hop is full.
    pub queue_is_full: bool,
    /// What was seen when the hop began to fail, for people.
    pub evidence: Option<Arc<str>>,
}

impl Diagnosis {
    /// What is said of an upstream before its first round.
    pub fn unknown(since: SystemTime) -> Diagnosis {
        Diagnosis {
            verdict: Verdict::Unknown,
            impact: Impact::None,
            rule: 1,
            basis: Basis::Probes,
            since,
            hop: None,
            cause: None,
            scope: Scope::default(),
            share: None,
            queue_is_full: false,
            evidence: None,
        }
    }

    /// The whole in one plain sentence.
    pub fn sentence(&self) -> String {
        let states_it = matches!(self.cause, Some(Cause::ServiceUnavailable | Cause::UpstreamOverloaded));
        let proven = states_it || self.queue_is_full;
        let template = match (self.verdict, self.basis) {
            (Verdict::Unknown, Basis::SelfCheck) => OWN_NETWORK,
            (Verdict::OriginOverloaded, _) if proven => OVERLOAD_PROVEN,
            (verdict, _) => verdict.entry().sentence,
        };
        let why = self.cause.map(explained).unwrap_or_else(|| "no cause is known".into());
        let share = self.share.map(|share| format!("{} of {}", share.failed, share.of));
        let text = template
            .replace("{hop}", self.hop.as_deref().unwrap_or("a gateway"))
            .replace("{why}", &why)
            .replace("{share}", share.as_deref().unwrap_or("some"))
            .replace("{most}", &self.scope.most())
            .replace(" at {at}", &self.at())
            .replace("{at}", &self.scope.extent());
        let read = self.basis == Basis::Log && self.verdict != Verdict::TrafficFailing;
        match read {
            true => format!("{text}, as read from the gateway's log or error page."),
            false => format!("{text}."),
        }
    }

    /// Where it fails. What was read from a log is said of a backend, not of the gateway's own address.
    fn at(&self) -> String {
        match (self.basis, &self.scope.backend, &self.hop) {
            (Basis::Log, Some(backend), _) => format!(" at {backend}"),
            (Basis::Log, None, Some(hop)) => format!(" behind {hop}"),
            _ => format!(" at {}", self.scope.extent()),
        }
    }

    /// What to do, the first thing first: what the cause asks for, then what the verdict does.
    pub fn next_steps(&self) -> Vec<&'static str> {
        let own = self.verdict == Verdict::Unknown && self.basis == Basis::SelfCheck;
        if own {
            return vec!["the network of this host: interface, routes, resolvers, firewall"];
        }
        let steps = self.verdict.next_steps().iter().copied();
        self.cause.map(Cause::look_at).into_iter().chain(steps).collect()
    }

    /// True where the same is said of the upstream: verdict and impact, the hop and why.
    pub fn says_the_same(&self, other: &Diagnosis) -> bool {
        (self.verdict, self.impact, self.cause, &self.hop) == (other.verdict, other.impact, other.cause, &other.hop)
    }
}

/// `connect_refused (the host answered that nothing listens on that port)`.
fn explained(cause: Cause) -> String {
    let meaning = cause.meaning().trim_end_matches('.');
    let mut rest = meaning.chars();
    let first = rest.next().map(|first| first.to_ascii_lowercase());
    let meaning: String = first.into_iter().chain(rest).collect();
    format!("{cause} ({meaning})")
}
