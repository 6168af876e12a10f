//! The closed list of causes: label, phase, what happened, and the first thing to look at.
//!
//! A cause is the value of the label `cause` in every metric, the string in JSON and logs, and the row of the README.
//! One probe fails with exactly one of them; [`crate::classify`] says which.

use std::fmt;

/// The part of a request in which it failed, in the order in which a request passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Name resolution.
    Dns,
    /// TCP handshake.
    Connect,
    /// TLS handshake.
    Tls,
    /// From the first byte of the request to the last byte of the response.
    Http,
    /// The response is valid and its status says failure.
    Status,
    /// The response is valid and its content is not the expected one.
    Content,
    /// Known from a gateway's log only.
    Log,
}

impl Phase {
    /// The word used in JSON, logs and the README.
    pub fn label(self) -> &'static str {
        match self {
            Phase::Dns => "dns",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::Http => "http",
            Phase::Status => "status",
            Phase::Content => "content",
            Phase::Log => "log",
        }
    }
}

/// Everything the program says of one cause.
struct Entry {
    label: &'static str,
    phase: Phase,
    logs_only: bool,
    meaning: &'static str,
    look_at: &'static str,
}

macro_rules! causes {
    ($( $variant:ident $label:literal $phase:ident $logs_only:literal $meaning:literal $look_at:literal; )*) => {
        /// Why a probe or a logged request failed. The order is the order of phases and decides ties.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause {
            $( #[doc = $meaning] $variant, )*
        }

        impl Cause {
            /// Every cause, in the order of phases.
            pub const ALL: &'static [Cause] = &[ $( Cause::$variant, )* ];

            fn entry(self) -> &'static Entry {
                match self {
                    $( Cause::$variant => &Entry {
                        label: $label, phase: Phase::$phase, logs_only: $logs_only, meaning: $meaning, look_at: $look_at,
                    }, )*
                }
            }
        }
    };
}

causes! {
    DnsNxdomain "dns_nxdomain" Dns false
        "The name does not exist (NXDOMAIN)."
        "dig NAME @RESOLVER: is the record gone, misspelt, or missing from this zone or search domain?";
    DnsNodata "dns_nodata" Dns false
        "The name exists but has neither A nor AAAA records."
        "dig NAME ANY: was the A or AAAA record removed, or does the CNAME lead nowhere?";
    DnsServfail "dns_servfail" Dns false
        "The resolver failed to answer (SERVFAIL, or another error code)."
        "dig +trace NAME: are the zone's own servers up, is DNSSEC broken, is there a CNAME loop?";
    DnsRefused "dns_refused" Dns false
        "The resolver refuses to answer us (REFUSED)."
        "the resolver's access list: is this host allowed to ask it?";
    DnsTimeout "dns_timeout" Dns false
        "No resolver answered in time."
        "/etc/resolv.conf and the path to UDP and TCP port 53 of each resolver";
    DnsMalformed "dns_malformed" Dns false
        "The resolver sent something that is no valid answer to the question."
        "dig NAME @RESOLVER: what listens on that address, and what rewrites answers on the way?";
    DnsUnexpectedAddress "dns_unexpected_address" Dns false
        "The name resolves, but to an address outside expect.addresses."
        "was the record changed, hijacked, or does this resolver see another view of the zone?";

    ConnectRefused "connect_refused" Connect false
        "The host answered that nothing listens on that port."
        "is the service running, and on this address and port? (systemctl status, ss -ltnp)";
    ConnectTimeout "connect_timeout" Connect false
        "No answer to the connection attempt in time: packets are dropped or the accept queue is full."
        "firewall and security group between here and there; on the host ss -ltn (Recv-Q against Send-Q)";
    ConnectUnreachable "connect_unreachable" Connect false
        "The network or a filter says that the host cannot be reached."
        "routes and reject rules between here and there (ip route get ADDRESS, nft list ruleset)";
    ConnectReset "connect_reset" Connect true
        "A gateway's log says that the connection was reset while connecting."
        "is the service restarting, or does a filter answer with resets?";

    TlsTimeout "tls_timeout" Tls false
        "The TLS handshake did not finish in time."
        "is the service overloaded, or does this port speak TLS at all?";
    TlsClosed "tls_closed" Tls false
        "The peer closed or reset the connection during the TLS handshake."
        "the service's TLS log; does it want SNI (server_name) or a proxy protocol header first?";
    TlsNotTls "tls_not_tls" Tls false
        "The port answers, but not with TLS."
        "is the scheme or the port wrong? The service there speaks plain HTTP or something else";
    TlsProtocol "tls_protocol" Tls false
        "No TLS version, cipher or extension in common, or a broken handshake."
        "openssl s_client -connect ADDRESS -servername NAME: which versions and ciphers does it offer?";
    TlsCertificateExpired "tls_certificate_expired" Tls false
        "A certificate of the chain is past its end date."
        "renew it; then check that the service was reloaded and serves the new one";
    TlsCertificateNotYetValid "tls_certificate_not_yet_valid" Tls false
        "A certificate of the chain is not valid yet."
        "the clocks of both hosts, then the certificate's start date";
    TlsCertificateNameMismatch "tls_certificate_name_mismatch" Tls false
        "The certificate is valid for other names than the one asked for."
        "the certificate's names against server_name; is this the right virtual host?";
    TlsCertificateUntrusted "tls_certificate_untrusted" Tls false
        "The certificate does not lead to a trusted root: self-signed, unknown issuer, or an intermediate is missing."
        "does the service send its intermediates? For an internal CA set tls.ca_file";
    TlsCertificateRevoked "tls_certificate_revoked" Tls false
        "The issuer says that the certificate is revoked."
        "replace the certificate, and find out why it was revoked";
    TlsClientCertificateRequired "tls_client_certificate_required" Tls false
        "The peer demands a client certificate that we did not give, or does not accept ours."
        "set tls.cert_file and tls.key_file, or check the CA the peer accepts";

    ResponseTimeout "response_timeout" Http false
        "No whole response head in time."
        "is the service overloaded, or waiting for something behind it? Compare with the gateway's timeout";
    ResponseReset "response_reset" Http false
        "The peer reset the connection before a whole response head."
        "crash, restart or worker limit in the service's log; a firewall that answers with resets";
    ResponseClosed "response_closed" Http false
        "The peer closed the connection without a byte of response."
        "the service's log at that time: crash, worker killed, idle timeout, request refused silently";
    ResponseMalformed "response_malformed" Http false
        "What came back is no valid HTTP response."
        "is this port HTTP at all? curl -v it; then what the application writes into its headers";
    ResponseHeaderTooLarge "response_header_too_large" Http false
        "The response head is larger than 256 KiB (or the configured max_head)."
        "cookies and headers the application piles up";
    ResponseTruncated "response_truncated" Http false
        "The body ended before its announced length or its last chunk."
        "crash in mid-response, a wrong Content-Length, disk or memory full on the way";
    ResponseBodyTimeout "response_body_timeout" Http false
        "The head came, but the body did not finish in time."
        "what the application waits for in mid-response; is the response simply too large for the timeout?";

    BadGateway "bad_gateway" Status false
        "The answer is 502: whoever wrote it got no valid response from the next hop."
        "which layer wrote the page, then that layer's error log";
    GatewayTimeout "gateway_timeout" Status false
        "The answer is 504: whoever wrote it got no response from the next hop in time."
        "the next hop's response times against that gateway's timeout";
    ServiceUnavailable "service_unavailable" Status false
        "The answer is 503: overloaded, in maintenance, or no backend left."
        "capacity, health checks and maintenance switches of whoever wrote it";
    DisguisedBadGateway "disguised_bad_gateway" Status false
        "A bad gateway under another number, told by the error page of the layer that wrote it."
        "that layer's error log";
    ServerError "server_error" Status false
        "Another answer of the 5xx class."
        "the application's log at that time, and the last deploy";
    UnexpectedStatus "unexpected_status" Status false
        "A status that expect.status does not allow, or a redirect that was refused or one of too many."
        "is the path right, are credentials needed, does a firewall or challenge answer instead?";
    ContentMismatch "content_mismatch" Content false
        "The status is right, the body is not what expect.body asks for."
        "what the body says instead: error page, login page, stale or partial content?";

    NoLiveUpstream "no_live_upstream" Log true
        "The gateway has no backend left that it considers alive."
        "the gateway's health checks and the earlier lines that took the backends out";
    UpstreamOverloaded "upstream_overloaded" Log true
        "The backend's queue, connection limit or circuit breaker is full."
        "saturation of the backend; then the limits configured for it";
    GatewayConfig "gateway_config" Log true
        "The gateway has no route or no such backend."
        "the last change of the gateway's configuration";
    GatewayInternal "gateway_internal" Log true
        "The gateway itself failed."
        "descriptors, ports, memory and the error log of the gateway";
    DnsFailed "dns_failed" Log true
        "The gateway could not resolve the backend; its log does not say why."
        "resolve the backend's name on the gateway's host";
    ConnectFailed "connect_failed" Log true
        "The gateway could not connect to the backend; its log does not say why."
        "connect to the backend from the gateway's host";
    TlsFailed "tls_failed" Log true
        "The TLS handshake between gateway and backend failed; its log does not say why."
        "openssl s_client from the gateway's host";
    ResponseFailed "response_failed" Log true
        "The gateway got no valid response; its log does not say why."
        "the backend's log at that time";
    Unknown "unknown" Log true
        "The log says that the request failed and nothing of the reason."
        "give the gateway a log format that states the reason";
}

impl Cause {
    /// The label value, also the string in JSON, logs and the README.
    pub fn label(self) -> &'static str {
        self.entry().label
    }

    /// The phase in which a request with this cause ended.
    pub fn phase(self) -> Phase {
        self.entry().phase
    }

    /// True for causes that no probe can see.
    pub fn logs_only(self) -> bool {
        self.entry().logs_only
    }

    /// One sentence: what happened.
    pub fn meaning(self) -> &'static str {
        self.entry().meaning
    }

    /// The first thing to look at.
    pub fn look_at(self) -> &'static str {
        self.entry().look_at
    }

    /// The causes a probe can end with, in order.
    pub fn of_probes() -> impl Iterator<Item = Cause> {
        Cause::ALL.iter().copied().filter(|cause| !cause.logs_only())
    }

    /// The label `reason` of `dns_failures_total`: the cause without `dns_`.
    pub fn dns_reason(self) -> Option<&'static str> {
        match self.phase() {
            Phase::Dns => self.label().strip_prefix("dns_"),
            _ => None,
        }
    }

    /// The label `reason` of `invalid_responses_total`, for answers that are no valid response.
    pub fn invalid_reason(self) -> Option<&'static str> {
        match self {
            Cause::ContentMismatch => Some("content_mismatch"),
            Cause::ResponseMalformed
            | Cause::ResponseTruncated
            | Cause::ResponseClosed
            | Cause::ResponseReset
            | Cause::ResponseHeaderTooLarge => self.label().strip_prefix("response_"),
            _ => None,
        }
    }

    /// True where a further request at once would add load to what is already ill: never rechecked in between rounds.
    pub fn asks_for_patience(self) -> bool {
        matches!(
            self,
            Cause::ServiceUnavailable
                | Cause::GatewayTimeout
                | Cause::ConnectTimeout
                | Cause::TlsTimeout
                | Cause::ResponseTimeout
                | Cause::ResponseBodyTimeout
                | Cause::DnsTimeout
        )
    }

    /// Position in [`Cause::ALL`], for tables indexed by cause.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The cause with this label.
    pub fn from_label(label: &str) -> Option<Cause> {
        Cause::ALL.iter().copied().find(|cause| cause.label() == label)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl serde::Serialize for Cause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

impl<'de> serde::Deserialize<'de> for Cause {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let label = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Cause::from_label(&label).ok_or_else(|| serde::de::Error::custom(format!("{label:?} is no cause")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_and_found_again() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_label(cause.label()), Some(*cause));
            assert_eq!(Cause::ALL[cause.index()], *cause);
        }
    }

    #[test]
    fn every_cause_explains_itself() {
        for cause in Cause::ALL {
            assert!(cause.meaning().ends_with('.'), "{cause}: {}", cause.meaning());
            assert!(cause.look_at().len() > 15, "{cause}");
        }
    }

    #[test]
    fn label_starts_with_its_phase() {
        for cause in Cause::ALL {
            match cause.phase() {
                Phase::Dns | Phase::Connect | Phase::Tls => {
                    assert!(cause.label().starts_with(cause.phase().label()), "{cause}")
                }
                Phase::Http => assert!(cause.label().starts_with("response_"), "{cause}"),
                Phase::Status | Phase::Content | Phase::Log => {}
            }
        }
    }

    #[test]
    fn reasons_are_those_of_the_metrics() {
        let reasons: Vec<_> = Cause::ALL.iter().filter_map(|cause| cause.invalid_reason()).collect();
        assert_eq!(
            reasons,
            [
                "reset",
                "closed",
                "malformed",
                "header_too_large",
                "truncated",
                "content_mismatch"
            ]
        );
        assert_eq!(Cause::DnsNxdomain.dns_reason(), Some("nxdomain"));
        assert_eq!(Cause::ConnectRefused.dns_reason(), None);
    }
}
