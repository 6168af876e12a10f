//! Every family we expose: name, type, unit, labels, help. The encoder, the tests and the README walk this one list.

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit as LibraryUnit;

/// What a family's values do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; the name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
    /// Always 1, its labels say something; the name ends in `_info`. A gauge in the format 0.0.4.
    Info,
}

impl Kind {
    /// The word after `# TYPE` in OpenMetrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }

    fn library(self) -> MetricType {
        match self {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        }
    }
}

/// The unit of a family's values; it is part of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number, a ratio, or nothing that is measured.
    None,
    /// Seconds, also of timestamps.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// The suffix of the name, without underscore.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
        }
    }
}

/// One metric family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name as queries write it, with `_total` or `_info`.
    pub name: &'static str,
    /// What its values do.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: Unit,
    /// Label names, configured labels aside.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

impl Family {
    /// The family name of OpenMetrics: without `_total` or `_info`, with the unit.
    pub fn base(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }

    /// Writes the metadata lines; samples follow through what is returned.
    pub(super) fn describe<'s>(
        &self,
        encoder: &'s mut DescriptorEncoder,
    ) -> Result<MetricEncoder<'s>, std::fmt::Error> {
        // The library appends the unit to the name itself.
        let base = self.base();
        let (name, unit): (&'static str, Option<&'static LibraryUnit>) = match self.unit {
            Unit::None => (base, None),
            Unit::Seconds => (
                base.strip_suffix("_seconds").unwrap_or(base),
                Some(&LibraryUnit::Seconds),
            ),
            Unit::Bytes => (base.strip_suffix("_bytes").unwrap_or(base), Some(&LibraryUnit::Bytes)),
        };
        encoder.encode_descriptor(name, self.help, unit, self.kind.library())
    }
}

macro_rules! families {
    ($( $konst:ident $name:literal $kind:ident $unit:ident [$($label:literal)*] $help:literal; )*) => {
        $( pub(super) const $konst: Family = Family {
            name: $name, kind: Kind::$kind, unit: Unit::$unit, labels: &[$($label),*], help: $help,
        }; )*

        /// Every family, in the order of the page.
        pub const FAMILIES: &[Family] = &[ $( $konst, )* ];
    };
}

// Failures stand before what they are a part of: a page is not one instant, and this way a ratio never exceeds 1.
families! {
    BUILD_INFO "badgateway_build_info" Info None ["version" "revision" "rules_version" "external_url"]
        "Which program this is, the rules it ships and where it is reached.";
    PROCESS_CPU "process_cpu_seconds_total" Counter Seconds []
        "Total user and system CPU time spent in seconds.";
    PROCESS_OPEN_FDS "process_open_fds" Gauge None []
        "Number of open file descriptors.";
    PROCESS_MAX_FDS "process_max_fds" Gauge None []
        "Maximum number of open file descriptors.";
    PROCESS_VIRTUAL "process_virtual_memory_bytes" Gauge Bytes []
        "Virtual memory size in bytes.";
    PROCESS_VIRTUAL_MAX "process_virtual_memory_max_bytes" Gauge Bytes []
        "Maximum amount of virtual memory available in bytes.";
    PROCESS_RESIDENT "process_resident_memory_bytes" Gauge Bytes []
        "Resident memory size in bytes.";
    PROCESS_START "process_start_time_seconds" Gauge Seconds []
        "Start time of the process since unix epoch in seconds.";
    PROCESS_THREADS "process_threads" Gauge None []
        "Number of OS threads in the process.";
    CONFIG_SUCCESSFUL "badgateway_config_last_reload_successful" Gauge None []
        "1 when the last attempt to load the configuration succeeded, else 0.";
    CONFIG_TIMESTAMP "badgateway_config_last_reload_success_timestamp_seconds" Gauge Seconds []
        "When the configuration was last loaded with success, seconds since the epoch.";
    SCHEDULE_LAG "badgateway_schedule_lag_seconds" Histogram Seconds []
        "How much later than planned rounds began, in seconds.";
    IN_FLIGHT "badgateway_probes_in_flight" Gauge None []
        "Probes under way now.";
    ROUNDS_SKIPPED "badgateway_rounds_skipped_total" Counter None []
        "Rounds not begun because the one before was still running.";
    PANICS "badgateway_probe_panics_total" Counter None []
        "Probes that ended in a defect of this program.";
    DISCOVERY_FAILURES "badgateway_discovery_failures_total" Counter None []
        "Times a source of discovery gave no list; the last good one is kept.";
    PENDING "badgateway_upstreams_pending" Gauge None []
        "Upstreams of which no hop has had a complete round yet.";
    SERIES_DROPPED "badgateway_series_dropped_total" Counter None []
        "Observations that got no series of their own because a bound was reached.";
    SELF_CONNECTIVITY "badgateway_self_connectivity" Gauge None []
        "0 while every self check fails, else 1; absent where none is configured.";
    GATEWAY_CONFIG_CHANGED "badgateway_gateway_config_changed_timestamp_seconds" Gauge Seconds ["gateway"]
        "When the gateway's own configuration was last written, seconds since the epoch.";

    UPSTREAM_INFO "badgateway_upstream_info" Info None ["upstream"]
        "The labels configured for an upstream.";
    OBJECTIVE "badgateway_objective_ratio" Gauge None ["upstream"]
        "Share of good requests that is promised, 0 to 1.";
    INTERVAL "badgateway_round_interval_seconds" Gauge Seconds ["upstream"]
        "Time from one round of a hop to the next, in seconds.";
    SPIKE_RATIO "badgateway_spike_ratio" Gauge None ["upstream"]
        "Share of failed requests from which traffic counts as failing, 0 to 1.";
    SPIKE_MINIMUM "badgateway_spike_minimum_requests" Gauge None ["upstream"]
        "Requests a window must hold before its failed share is judged.";
    LIMIT_SECONDS "badgateway_gateway_limit_seconds" Gauge Seconds ["gateway" "upstream" "limit"]
        "How long the gateway waits for what is behind it, in seconds.";
    LIMIT_BYTES "badgateway_gateway_limit_bytes" Gauge Bytes ["gateway" "upstream" "limit"]
        "How large a response the gateway accepts from what is behind it, in bytes.";

    VERDICT "badgateway_verdict" Gauge None ["upstream" "verdict"]
        "Where the fault lies: 1 for the present verdict, 0 for others seen since start.";
    UPSTREAM_IMPACT "badgateway_upstream_impact" Gauge None ["upstream" "impact"]
        "Whether users feel it: 1 for the present impact, 0 for the others.";
    INCIDENTS "badgateway_incidents_total" Counter None ["upstream"]
        "Times something began to be wrong with the upstream.";
    INCIDENT_SECONDS "badgateway_incident_seconds_total" Counter Seconds ["upstream"]
        "Time in which something was wrong with the upstream, in seconds.";

    PROBE_FAILURES "badgateway_probe_failures_total" Counter None ["upstream" "hop" "cause"]
        "Failed probes by cause; first attempts of scheduled rounds only.";
    DNS_FAILURES "badgateway_dns_failures_total" Counter None ["upstream" "hop" "reason"]
        "Failed resolutions by reason.";
    CONNECT_REFUSED "badgateway_connect_refused_total" Counter None ["upstream" "hop"]
        "Connections refused.";
    INVALID_RESPONSES "badgateway_invalid_responses_total" Counter None ["upstream" "hop" "reason"]
        "Answers that are no valid response, by reason.";
    BAD_GATEWAY "badgateway_bad_gateway_total" Counter None ["upstream" "hop"]
        "Answers with status 502, and those that are one under another number.";
    CACHED_ERRORS "badgateway_cached_errors_total" Counter None ["upstream" "hop"]
        "Answers with an error status that came from a cache or may be kept by one; absent before the first.";
    RESPONSES "badgateway_responses_total" Counter None ["upstream" "hop" "code"]
        "Responses by status; \"other\" once a hop has shown 16 different ones.";
    PROBES "badgateway_probes_total" Counter None ["upstream" "hop"]
        "Probes; first attempts of scheduled rounds only.";
    BAD_GATEWAY_RATIO "badgateway_bad_gateway_ratio" Gauge None ["upstream" "hop"]
        "502s per probe over the last 5 minutes, 0 to 1; absent without probes.";
    ROUNDS_FAILED "badgateway_rounds_failed_total" Counter None ["upstream" "hop" "user_view"]
        "Rounds in which the hop failed wholly.";
    ROUNDS "badgateway_rounds_total" Counter None ["upstream" "hop" "user_view"]
        "Rounds; user_view is true on the hop that users reach.";
    PHASE_SECONDS "badgateway_upstream_phase_seconds_total" Counter Seconds ["upstream" "hop" "phase"]
        "Time spent in finished phases, in seconds.";
    PHASES "badgateway_upstream_phases_total" Counter None ["upstream" "hop" "phase"]
        "Finished phases.";
    EXTRA_PROBES "badgateway_extra_probes_total" Counter None ["upstream" "hop" "purpose"]
        "Probes beside the schedule, which no other probe counter holds.";
    TRANSIENT "badgateway_transient_failures_total" Counter None ["upstream" "hop"]
        "Failures that a confirming retry did not repeat.";
    ABORTED "badgateway_probes_aborted_total" Counter None ["upstream" "hop" "reason"]
        "Probes that our own side prevented; they say nothing of the upstream.";
    LAST_ROUND "badgateway_last_round_timestamp_seconds" Gauge Seconds ["upstream" "hop"]
        "When the last round ended, seconds since the epoch.";
    ADDRESSES "badgateway_addresses" Gauge None ["upstream" "hop" "state"]
        "Addresses of the hop by state.";
    NEAR_LIMIT "badgateway_near_limit_total" Counter None ["upstream" "hop" "limit"]
        "Probes at or beyond 80 % of what the gateway in front tolerates.";
    HEADER_BYTES "badgateway_response_header_bytes" Gauge Bytes ["upstream" "hop"]
        "Largest response head of the last 5 to 10 minutes, in bytes.";
    BODY_BYTES "badgateway_response_body_bytes" Gauge Bytes ["upstream" "hop"]
        "Largest response body of the last 5 to 10 minutes, in bytes as far as read.";
    DNS_TTL "badgateway_dns_ttl_seconds" Gauge Seconds ["upstream" "hop"]
        "Lowest time to live of the last answer, in seconds.";
    DNS_ADDRESSES "badgateway_dns_addresses" Gauge None ["upstream" "hop"]
        "Distinct addresses of the last answer.";
    DNS_CHANGES "badgateway_dns_changes_total" Counter None ["upstream" "hop"]
        "Rounds whose set of addresses differed from that of the round before.";
    DNS_RESOLVERS_DISAGREE "badgateway_dns_resolvers_disagree" Gauge None ["upstream" "hop"]
        "1 while resolvers of the hop's name have said different things for three rounds, else 0; absent with fewer than two.";
    CONTENT_DIFFERS "badgateway_content_differs" Gauge None ["upstream" "hop"]
        "1 while a path named stable has had other content here than at the origin three times in a row, else 0; absent where none is named.";
    CERTIFICATE_LIFETIME "badgateway_tls_certificate_lifetime_seconds" Gauge Seconds ["upstream" "hop"]
        "From start date to end date of the hop's certificate that ends first, in seconds.";
    TLS_INFO "badgateway_tls_info" Info None ["upstream" "hop" "version" "cipher"]
        "TLS version and cipher suite of the last finished handshake.";

    PROBE_SUCCESS "badgateway_probe_success" Gauge None ["upstream" "hop" "address" "path"]
        "Last confirmed result: 1 for success, 0 for failure.";
    PROBE_FAILING "badgateway_probe_failing" Gauge None ["upstream" "hop" "address" "path" "cause"]
        "Always 1: what is confirmed failing now and why; exists only while it fails.";
    CERTIFICATE_EXPIRY "badgateway_tls_certificate_expiry_timestamp_seconds" Gauge Seconds ["upstream" "hop" "address"]
        "Earliest end date in the certificate chain, seconds since the epoch.";
    CERTIFICATE_PROBLEM "badgateway_tls_certificate_problem" Gauge None ["upstream" "hop" "address" "problem"]
        "Always 1: why a certificate does not verify where the gateway would not ask, or \"differs\" where another address serves another one; exists only while that is so.";
    GATEWAY_VERSION "badgateway_gateway_version_info" Info None ["upstream" "hop" "product" "version"]
        "What the gateway shows of itself in its answers: its product, and the version where that is shown too.";
    ORIGIN_VERSION "badgateway_origin_version_info" Info None ["upstream" "address" "version"]
        "What an address of the origin shows of itself: the header named in the configuration, else product and version.";
    ORIGIN_LISTENING "badgateway_origin_listening" Gauge None ["upstream" "address"]
        "1 while anything listens at an origin's address on this host, 0 while it refuses and nothing does; absent where that cannot be known.";
    ACCEPT_QUEUE_LENGTH "badgateway_accept_queue_length" Gauge None ["upstream" "address"]
        "Connections that wait to be accepted by an origin on this host.";
    ACCEPT_QUEUE_LIMIT "badgateway_accept_queue_limit" Gauge None ["upstream" "address"]
        "Connections that may wait to be accepted by an origin on this host.";

    KEEPALIVE_IDLE "badgateway_keepalive_idle_seconds" Gauge Seconds ["upstream" "address"]
        "How long the origin keeps an idle connection, in seconds.";
    KEEPALIVE_IDLE_LOWER_BOUND "badgateway_keepalive_idle_lower_bound_seconds" Gauge Seconds ["upstream" "address"]
        "The origin keeps an idle connection at least this long, in seconds.";
    HEALTH_CHECK_HEALTHY "badgateway_health_check_healthy" Gauge None ["upstream" "address"]
        "What the gateway's health check, replayed, says of the address: 1 to keep it, 0 to take it out.";
    HEALTH_CHECK_TRANSITIONS "badgateway_health_check_transitions_total" Counter None ["upstream"]
        "Times the gateway's health check, replayed, would have taken an address out or put one back.";

    GATEWAY_REQUESTS_FAILED "badgateway_gateway_requests_failed_total" Counter None ["gateway" "upstream" "cause"]
        "Real requests whose final outcome was a failure, by cause.";
    GATEWAY_RESPONSES "badgateway_gateway_responses_total" Counter None ["gateway" "upstream" "code"]
        "Real requests by the status the client got.";
    GATEWAY_REQUESTS "badgateway_gateway_requests_total" Counter None ["gateway" "upstream"]
        "Real requests in the gateway's access log.";
    GATEWAY_RETRIES "badgateway_gateway_retries_total" Counter None ["gateway" "upstream"]
        "Attempts of the gateway after the first one of a request.";
    GATEWAY_CLIENT_CLOSED "badgateway_gateway_client_closed_total" Counter None ["gateway" "upstream"]
        "Real requests whose client left before the answer.";
    GATEWAY_SYNTHETIC "badgateway_gateway_synthetic_requests_total" Counter None ["gateway" "upstream"]
        "Requests of our own probes and of known health checkers, counted nowhere else.";
    GATEWAY_NEAR_LIMIT "badgateway_gateway_near_limit_total" Counter None ["gateway" "upstream" "limit"]
        "Real requests at or beyond 80 % of what the gateway tolerates; absent where its log does not tell.";
    STALE_BACKENDS "badgateway_stale_backends" Gauge None ["gateway" "upstream"]
        "Backends that the gateway still asks and that fail or do not answer us, at addresses the origin's name no longer gives; absent without a name.";
    GATEWAY_RATIO "badgateway_gateway_bad_gateway_ratio" Gauge None ["gateway" "upstream"]
        "502s per real request over the last 5 minutes; absent without requests. For people, not for rules.";
    GATEWAY_USER_VIEW "badgateway_gateway_user_view" Gauge None ["gateway" "upstream"]
        "1 for the outermost gateway of the upstream whose access log is read live, else 0.";
    GATEWAY_ATTEMPTS_FAILED "badgateway_gateway_attempts_failed_total" Counter None ["gateway" "backend" "cause"]
        "Failed attempts at a backend, also those a retry saved.";
    LOG_UP "badgateway_gateway_log_up" Gauge None ["gateway" "log"]
        "1 while the log is open and read, 0 while it is missing or cannot be read.";
    LOG_LINES "badgateway_gateway_log_lines_total" Counter None ["gateway" "log" "result"]
        "Lines of the log, understood or not.";
    LOG_UNREAD "badgateway_gateway_log_unread_bytes" Gauge Bytes ["gateway" "log"]
        "How much of the log is written and not read yet, in bytes.";
    LOG_LAST_LINE "badgateway_gateway_log_last_line_timestamp_seconds" Gauge Seconds ["gateway" "log"]
        "When the last line was read, seconds since the epoch.";
    LOG_ROTATIONS "badgateway_gateway_log_rotations_total" Counter None ["gateway" "log"]
        "Times the log was replaced or cut and followed on.";

    LATENCY "badgateway_upstream_latency_seconds" Histogram Seconds ["upstream" "hop" "phase"]
        "Time to the first byte of the response after the request, and from connecting to the end, in seconds.";
    GATEWAY_LATENCY "badgateway_gateway_upstream_latency_seconds" Histogram Seconds ["gateway" "upstream"]
        "How long backends took for real requests, as the gateway logged it, in seconds.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = HashSet::new();
        for family in FAMILIES {
            let name = family.name;
            assert!(seen.insert(name), "{name} stands twice");
            assert!(
                name.starts_with("badgateway_") || name.starts_with("process_"),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), family.kind == Kind::Info, "{name}");
            assert!(family.base().ends_with(family.unit.as_str()), "{name}");
            assert_eq!(name.contains("_seconds"), family.unit == Unit::Seconds, "{name}");
            assert_eq!(name.contains("_bytes"), family.unit == Unit::Bytes, "{name}");
            assert!(
                family.help.ends_with('.') && !family.help.contains(['\n', '\\']),
                "{name}"
            );
            assert!(
                family.unit == Unit::None || family.help.contains(family.unit.as_str()),
                "{name}: unit in its help"
            );
        }
    }
}
