//! The file as written: every key optional, values parsed one by one, no rules across keys.
//!
//! Each value keeps its place, so that a rule found broken later points at the line that breaks it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use super::operation::{
    AgentCheck, Alertmanager, Discovery, HealthEndpoint, Ignore, Log, ProbeEndpoint, Route, Storage, Syslog,
};
use super::reader::At;
use super::url::Location;
use crate::gateway::Kind;
use crate::upstream::{
    AddressChoice, Auth, BodyRule, EvidencePolicy, Family, HealthCheck, HttpVersion, Limits, Redirects, Secret,
    TlsVersion,
};

/// The whole file.
#[derive(Default)]
pub struct File {
    pub defaults: Settings,
    pub gateways: Vec<GatewayEntry>,
    pub modules: Vec<(At<String>, Settings)>,
    pub upstreams: Vec<UpstreamEntry>,
    pub self_check: Option<At<Vec<At<Location>>>>,
    pub discovery: Vec<Discovery>,
    pub alertmanager: Option<Alertmanager>,
    pub storage: Option<Storage>,
    pub external_url: Option<At<String>>,
    pub trace_sampled: Option<At<f64>>,
    pub health_endpoint: Option<HealthEndpoint>,
    pub agent_check: Option<AgentCheck>,
    pub probe_endpoint: Option<ProbeEndpoint>,
    pub max_concurrent_probes: Option<At<u64>>,
}

/// What may stand in `defaults`, in a module and on an upstream.
#[derive(Default)]
pub struct Settings {
    pub hop: HopSettings,
    pub interval: Option<At<Duration>>,
    pub confirm: ConfirmEntry,
    pub max_rate: Option<At<f64>>,
    pub labels: Vec<(At<String>, String)>,
    pub objective: Option<At<f64>>,
    pub spike: SpikeEntry,
    pub evidence: Option<At<EvidencePolicy>>,
    pub paths: Option<At<Vec<At<PathEntry>>>>,
    pub health_check: Option<At<HealthCheck>>,
    pub version_header: Option<At<HeaderName>>,
    pub stable_content: Option<At<Vec<String>>>,
}

/// What may stand on a hop, and wherever [`Settings`] may.
#[derive(Default)]
pub struct HopSettings {
    pub host: Option<At<HostEntry>>,
    pub server_name: Option<At<String>>,
    pub method: Option<At<Method>>,
    pub headers: Vec<At<(HeaderName, HeaderValue)>>,
    pub body: Option<At<Bytes>>,
    pub http_version: Option<At<HttpVersion>>,
    pub family: Option<At<Family>>,
    pub source_address: Option<At<IpAddr>>,
    pub redirects: Option<At<Redirects>>,
    pub max_head: Option<At<u64>>,
    pub max_body: Option<At<u64>>,
    pub resolvers: Option<At<Vec<SocketAddr>>>,
    pub addresses: Option<At<AddressChoice>>,
    pub max_addresses: Option<At<u64>>,
    pub timeout: Option<At<Duration>>,
    pub expect: ExpectEntry,
    pub auth: Option<At<Auth>>,
    pub tls: TlsEntry,
}

/// `expect`.
#[derive(Default)]
pub struct ExpectEntry {
    pub status: Option<At<Vec<RangeInclusive<u16>>>>,
    pub body: Option<At<BodyRule>>,
    pub addresses: Option<At<Vec<ipnet::IpNet>>>,
}

/// `tls`.
#[derive(Default)]
pub struct TlsEntry {
    /// Where the map stands.
    pub written: Option<At<()>>,
    pub ca_file: Option<At<Bytes>>,
    pub ca_only: Option<At<bool>>,
    pub cert_file: Option<At<Bytes>>,
    pub key_file: Option<At<Secret>>,
    pub min_version: Option<At<TlsVersion>>,
    pub verify: Option<At<bool>>,
}

/// `confirm`.
#[derive(Default)]
pub struct ConfirmEntry {
    pub retries: Option<At<u64>>,
    pub delay: Option<At<Duration>>,
    pub recheck: Option<At<Duration>>,
    pub recover_after: Option<At<u64>>,
}

/// `spike`.
#[derive(Default)]
pub struct SpikeEntry {
    pub ratio: Option<At<f64>>,
    pub window: Option<At<Duration>>,
    pub minimum_requests: Option<At<u64>>,
}

/// One entry of `paths`.
pub struct PathEntry {
    /// As written, without query; the label.
    pub label: String,
    /// Percent-encoded.
    pub path: String,
    /// What follows `?`.
    pub query: Option<String>,
}

/// `host`: the header, and the name without port.
pub struct HostEntry {
    pub header: HeaderValue,
    pub name: String,
}

/// One place to reach: an entry of `origin` or `via`.
pub struct HopEntry {
    pub place: super::error::Place,
    /// Only in `via`.
    pub gateway: Option<At<String>>,
    pub url: Option<At<Location>>,
    pub settings: HopSettings,
}

/// One entry of `upstreams`.
pub struct UpstreamEntry {
    pub place: super::error::Place,
    pub name: Option<At<String>>,
    pub module: Option<At<String>>,
    /// `None` when not written.
    pub origin: Option<Vec<HopEntry>>,
    pub via: Option<Vec<HopEntry>>,
    pub settings: Settings,
}

/// One entry of `gateways`.
pub struct GatewayEntry {
    pub name: Option<At<String>>,
    pub kind: Option<At<&'static Kind>>,
    pub limits: Limits,
    pub config_file: Option<At<std::path::PathBuf>>,
    pub access_log: Option<Log>,
    pub error_log: Option<Log>,
    pub syslog: Option<Syslog>,
    pub ignore: Ignore,
    pub routes: Vec<At<Route>>,
}
