//! What surrounds the probing: logs, discovery, paging, storage, endpoints. Parsed and checked, plain data.
//!
//! Defaults are applied. `config/unused.rs` says which of these this version does not act on yet.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;

pub use super::url::PrivateUrl;
use crate::gateway_config::{Said, Seen};
use crate::upstream::Gateway;

/// A gateway with everything its entry says.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewaySettings {
    /// What the hops of this gateway refer to.
    pub gateway: Arc<Gateway>,
    /// Where its requests are logged.
    pub access_log: Option<Log>,
    /// Where its errors are logged.
    pub error_log: Option<Log>,
    /// Where it sends its logs, when by syslog.
    pub syslog: Option<Syslog>,
    /// Requests set apart besides our own probes.
    pub ignore: Ignore,
    /// Which logged requests belong to which upstream; the first match wins.
    pub routes: Vec<Route>,
}

impl GatewaySettings {
    /// Some log of it is read.
    pub fn has_logs(&self) -> bool {
        self.access_log.is_some() || self.error_log.is_some() || self.syslog.is_some()
    }

    /// Its requests are read while they happen; objects in a drop folder come minutes later.
    pub fn reads_requests_live(&self) -> bool {
        let is_live = |log: &Log| !matches!(log.input, LogInput::Drop(_));
        self.syslog.is_some() || self.access_log.as_ref().is_some_and(is_live)
    }
}

/// A gateway's own configuration, as it was read.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// The gateway's name.
    pub gateway: Arc<str>,
    /// The file that was named.
    pub path: PathBuf,
    /// What it says; what it said before where it is broken now.
    pub said: Option<Said>,
    /// It and the files it includes, as they looked.
    pub seen: Seen,
    /// When one of them was last written.
    pub changed: Option<SystemTime>,
}

/// One log of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where its lines come from.
    pub input: LogInput,
    /// The gateway's own format string; the kind's default where `None`.
    pub format: Option<String>,
    /// What is wrapped around each line.
    pub envelope: Envelope,
    /// Where reading starts on first sight of a file.
    pub from: ReadFrom,
}

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogInput {
    /// A file that is followed across rotation.
    Path(PathBuf),
    /// Whole files that appear, by pattern: `DIR/*.gz`.
    Drop(String),
    /// Batches posted to this address.
    Http(SocketAddr),
    /// Standard input.
    Stdin,
}

/// What is wrapped around each line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Envelope {
    /// Nothing.
    #[default]
    Plain,
    /// The Kubernetes container runtime's: time, stream, tag.
    Cri,
    /// Docker's JSON file.
    Docker,
    /// A syslog header.
    Syslog,
}

/// Where reading starts on first sight of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReadFrom {
    /// Only what is written from now on.
    #[default]
    End,
    /// The whole file.
    Start,
}

/// Logs that are sent by syslog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Where they are received.
    pub listen: SyslogListener,
    /// The gateway's own format string; any of the kind's own where `None`.
    pub format: Option<String>,
}

/// Where syslog is received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogListener {
    /// UDP and TCP on this address.
    Address(SocketAddr),
    /// A unix datagram socket.
    Unix(PathBuf),
}

/// Logged requests that are nobody's traffic.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ignore {
    /// Beginnings of user agents.
    pub user_agents: Vec<String>,
    /// Clients.
    pub addresses: Vec<IpNet>,
}

/// Which logged requests belong to an upstream: all that is stated must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The host asked for.
    pub host: Option<String>,
    /// The beginning of the path.
    pub path_prefix: Option<String>,
    /// Names the gateway logs for the backend, cluster or service.
    pub names: Vec<String>,
    /// The upstream's name.
    pub upstream: String,
}

/// Where more upstreams come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Files in Prometheus's file_sd format, by pattern; re-read on change.
    File {
        /// Paths or patterns, absolute.
        patterns: Vec<String>,
    },
    /// Prometheus's http_sd format.
    Http {
        /// What is asked.
        url: PrivateUrl,
        /// How often.
        refresh: Duration,
    },
    /// DNS records.
    Dns {
        /// The name asked for.
        name: String,
        /// The type of record.
        record: RecordType,
        /// The port of what A and AAAA records name.
        port: Option<u16>,
        /// How often.
        refresh: Duration,
    },
}

/// A type of DNS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// Host and port.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// Direct paging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alertmanager {
    /// Every one of them gets every alert.
    pub urls: Vec<PrivateUrl>,
    /// How long a verdict stands before it pages.
    pub after: Duration,
}

/// What is kept across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The directory.
    pub path: PathBuf,
    /// Bytes used at most.
    pub max_size: u64,
}

/// `/health/{upstream}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HealthEndpoint {
    /// Whether all addresses may be called bad at once.
    pub allow_all: bool,
}

/// HAProxy's agent check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentCheck {
    /// Where it is asked.
    pub listen: SocketAddr,
}

/// `/probe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeEndpoint {
    /// Off unless enabled.
    pub enabled: bool,
    /// What may be probed.
    pub allow: Vec<Allow>,
    /// Probes under way at once for it.
    pub concurrency: usize,
}

/// One rule of what may be probed on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// A name, or `*.suffix`.
    Host(String),
    /// A network.
    Network(IpNet),
}
