//! The answers of `/probe`: metrics by the names of blackbox_exporter, and the debug page.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::Probed;
use crate::finding::Outcome;
use crate::metrics::Format;
use crate::observation::{Address, End, Observation, RedirectFault};
use crate::upstream::Scheme;

/// The metrics, one family after the other by name. All are gauges, which both formats write alike.
pub(super) fn metrics(probed: &Probed, format: Format) -> String {
    let mut page = families(probed);
    if format == Format::OpenMetrics {
        page.push_str("# EOF\n");
    }
    page
}

/// What a person wants to know who asks why.
pub(super) fn debug(probed: &Probed) -> String {
    format!(
        "Logs for the probe:\n{}\n\n\n\nMetrics that would have been returned:\n{}\n\n\nModule configuration:\n{}",
        probed.log.join("\n"),
        families(probed),
        probed.module
    )
}

fn families(probed: &Probed) -> String {
    let mut page = Page(String::new());
    let seen = probed.seen.as_ref();
    let head = seen.and_then(Observation::head);
    let ip = seen.and_then(|seen| match seen.address {
        Address::Tcp(address) => Some(address.ip()),
        Address::Unix(_) => None,
    });
    page.one(
        "probe_dns_lookup_time_seconds",
        "Time to resolve the host of the target, in seconds.",
        probed.lookup,
    );
    page.one(
        "probe_duration_seconds",
        "Time of the whole probe, in seconds.",
        probed.elapsed,
    );
    page.one(
        "probe_failed_due_to_regex",
        "1 if the rule for the body decided the failure.",
        u8::from(probed.body_rule_failed),
    );
    failure(&mut page, probed);
    page.one(
        "probe_http_content_length",
        "Content-Length of the response in bytes, -1 where it has none.",
        head.map_or(0, |head| {
            head.header("content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(-1_i64)
        }),
    );
    phases(&mut page, probed);
    page.one("probe_http_redirects", "Redirects met.", seen.map_or(0, redirects));
    let ssl = head.is_some() && seen.is_some_and(|seen| seen.scheme == Scheme::Https);
    page.one(
        "probe_http_ssl",
        "1 if the final response came over TLS.",
        u8::from(ssl),
    );
    page.one(
        "probe_http_status_code",
        "Status of the final response, 0 where none came.",
        head.map_or(0, |head| head.status),
    );
    page.one(
        "probe_http_uncompressed_body_length",
        "Bytes of the body that were read.",
        seen.map_or(0, body_bytes),
    );
    page.one(
        "probe_http_version",
        "HTTP version of the final response, 0 where none came.",
        head.map_or("0", |head| head.version),
    );
    page.one(
        "probe_ip_addr_hash",
        "A hash of the address, to see it change.",
        ip.map_or(0, hash),
    );
    page.one(
        "probe_ip_protocol",
        "4 or 6, 0 where the name did not resolve.",
        ip.map_or(0, |ip| if ip.is_ipv4() { 4 } else { 6 }),
    );
    tls(&mut page, seen, Part::Expiry);
    page.one(
        "probe_success",
        "1 if everything was as expected.",
        u8::from(probed.outcome == Outcome::Success),
    );
    page.one(
        "probe_timeout_seconds",
        "The time the probe had, in seconds.",
        probed.timeout,
    );
    tls(&mut page, seen, Part::Session);
    page.0
}

fn failure(page: &mut Page, probed: &Probed) {
    if let Some(cause) = probed.outcome.cause() {
        page.head(
            "probe_failure_info",
            "Always 1: why the probe failed, and in which phase.",
        );
        let labels = [("cause", cause.label()), ("phase", cause.phase().label())];
        page.sample("probe_failure_info", &labels, 1);
    }
}

/// A phase that did not run has no time, not 0.
fn phases(page: &mut Page, probed: &Probed) {
    const NAME: &str = "probe_http_duration_seconds";
    let phases = &probed.phases;
    let ran: Vec<_> = [
        ("resolve", phases.resolve),
        ("connect", phases.connect),
        ("tls", phases.tls),
        ("processing", phases.processing),
        ("transfer", phases.transfer),
    ]
    .into_iter()
    .filter_map(|(phase, time)| Some((phase, time?)))
    .collect();
    if !ran.is_empty() {
        page.head(
            NAME,
            "Time in each phase that finished, over all redirects, in seconds.",
        );
    }
    for (phase, time) in ran {
        page.sample(NAME, &[("phase", phase)], time);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Expiry,
    Session,
}

/// What TLS showed, also where the certificate does not verify.
fn tls(page: &mut Page, seen: Option<&Observation>, part: Part) {
    let Some(facts) = seen.and_then(|seen| seen.tls.as_deref()) else {
        return;
    };
    match part {
        Part::Expiry => {
            if let Some(expiry) = facts.chain.earliest_expiry() {
                page.one(
                    "probe_ssl_earliest_cert_expiry",
                    "Earliest end date of the certificates sent, seconds since the epoch.",
                    expiry,
                );
            }
        }
        Part::Session => {
            if let Some(cipher) = facts.cipher {
                page.head("probe_tls_cipher_info", "Always 1: the cipher suite agreed on.");
                page.sample("probe_tls_cipher_info", &[("cipher", cipher)], 1);
            }
            if let Some(version) = facts.version {
                page.head("probe_tls_version_info", "Always 1: the TLS version agreed on.");
                page.sample(
                    "probe_tls_version_info",
                    &[("version", &version.replace("TLSv", "TLS "))],
                    1,
                );
            }
        }
    }
}

/// One more than was followed where the bound stopped it, as blackbox_exporter counts.
fn redirects(seen: &Observation) -> usize {
    let over = matches!(
        &seen.end,
        End::Redirect {
            fault: RedirectFault::TooMany,
            ..
        }
    );
    seen.redirected.len() + usize::from(over)
}

fn body_bytes(seen: &Observation) -> u64 {
    match &seen.end {
        End::Response(response) => response.body_bytes,
        End::Http(failure) => failure.body_bytes,
        _ => 0,
    }
}

/// FNV-1a, 32 bits, of the address bytes.
fn hash(ip: IpAddr) -> u32 {
    let fold = |bytes: &[u8]| {
        bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        })
    };
    match ip {
        IpAddr::V4(ip) => fold(&ip.octets()),
        IpAddr::V6(ip) => fold(&ip.octets()),
    }
}

/// Text in the making. Writing to a string does not fail. Label values are ours or IANA's: nothing in them needs an escape.
struct Page(String);

impl Page {
    fn one(&mut self, name: &str, help: &str, value: impl Value) {
        self.head(name, help);
        self.sample(name, &[], value);
    }

    fn head(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Value) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {}", value.text());
    }
}

/// A sample's value as text.
trait Value {
    fn text(self) -> String;
}

impl Value for Duration {
    fn text(self) -> String {
        self.as_secs_f64().to_string()
    }
}

macro_rules! plain_values {
    ($($kind:ty)*) => { $( impl Value for $kind {
        fn text(self) -> String {
            self.to_string()
        }
    } )* };
}

plain_values!(u8 u16 u32 i32 i64 u64 usize &str);
