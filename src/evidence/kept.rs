//! What is kept of a failure, so that it can be proved, handed on and found again: pages, API, incidents.
//!
//! The facts go in as the probe saw them; what is nobody else's business stays out (design, section 8):
//!
//! 1. Headers come by the allow list, URLs without query and userinfo, bodies of errors with their first 512 bytes.
//! 2. What we ourselves sent as a secret is struck out wherever the peer repeats it: credentials, configured headers,
//!    the query.
//! 3. `evidence: full` keeps all headers and the query; credentials are struck out even then.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::secrets::Secrets;
use crate::cause::{Cause, Phase};
use crate::finding::{Finding, Recognised, Seen};
use crate::moment;
use crate::observation::{CertificateFacts, End, Observation, Resolution, Timings, TlsFacts};
use crate::upstream::{EvidencePolicy, Host, Request, Target};

/// Bytes of the one line in words at most.
const MAX_TEXT: usize = 400;
/// Bytes of an error's body at most.
const MAX_BODY: usize = 512;
/// Addresses of a DNS answer at most.
const MAX_ADDRESSES: usize = 16;

/// A failed probe with all that speaks for its cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When the probe began.
    #[serde(with = "moment::rfc3339")]
    pub at: SystemTime,
    /// The hop.
    pub hop: Arc<str>,
    /// What was asked.
    pub url: Box<str>,
    /// `None` where the name gave none.
    pub address: Option<Box<str>>,
    /// The label `path`; `None` where the name gave no address.
    pub path: Option<Arc<str>>,
    /// Why the probe was made: `scheduled`, `confirm`, `recheck`, `stale_address`.
    pub purpose: Box<str>,
    /// Why it failed.
    pub cause: Cause,
    /// The status, where a head came.
    pub status: Option<u16>,
    /// Times of the phases; `None` where no request was made.
    pub seconds: Option<Phases>,
    /// What was seen, in one line of words.
    pub text: Box<str>,
    /// Kept headers of the answer, names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The beginning of an error's body; other bytes than text are shown as `�`.
    pub body: Option<Box<str>>,
    /// Where TLS was spoken.
    pub tls: Option<Box<Tls>>,
    /// Where a name was asked for.
    pub dns: Option<Box<Dns>>,
    /// Who wrote the answer.
    pub page: Option<Box<Page>>,
    /// The attempt, as in logs and `traceparent`; `None` where no request was made.
    pub trace_id: Option<Box<str>>,
}

/// Seconds spent in each phase. Those from `connect` to `rest` add up to `total`; resolution comes before.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// Resolution, once a round.
    pub dns: Option<f64>,
    /// TCP handshake.
    pub connect: Option<f64>,
    /// TLS handshake.
    pub tls: Option<f64>,
    /// From the start of sending the request to the first byte of the response.
    pub first_byte: Option<f64>,
    /// From the first byte of the response to its last.
    pub body: Option<f64>,
    /// In the phase that did not end; between the phases where all did, and in redirects.
    pub rest: f64,
    /// The phase it failed in.
    pub ended_in: Option<Box<str>>,
    /// From the start of connecting to the last byte read or the failure.
    pub total: f64,
}

/// What the TLS handshake showed.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`, once agreed.
    pub version: Option<Box<str>>,
    /// The cipher suite's IANA name, once agreed.
    pub cipher: Option<Box<str>>,
    /// Why the certificate does not verify.
    pub problem: Option<Box<str>>,
    /// The server's own certificate.
    pub certificate: Option<Certificate>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Distinguished name.
    pub subject: Box<str>,
    /// Distinguished name of the issuer.
    pub issuer: Box<str>,
    /// DNS names and addresses it is valid for.
    pub names: Vec<String>,
    /// Start date, seconds since the epoch.
    pub not_before: i64,
    /// End date, seconds since the epoch.
    pub not_after: i64,
}

/// The answer of a resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The name asked for.
    pub name: Box<str>,
    /// Who answered.
    pub resolver: Box<str>,
    /// What it gave; empty where it gave none.
    pub addresses: Vec<String>,
    /// Names passed on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cnames: Vec<String>,
    /// Lowest time to live of the records, seconds.
    pub ttl_seconds: Option<u64>,
    /// Why it gave none.
    pub fault: Option<Box<str>>,
}

/// Who wrote the answer and what it says of the hop behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The product that wrote it.
    pub written_by: Option<Box<str>>,
    /// Another product that passed it on.
    pub behind: Option<Box<str>>,
    /// Why, where it says so.
    pub states: Option<Cause>,
    /// The header that shows that it came from a cache.
    pub cached_by: Option<Box<str>>,
}

impl Evidence {
    /// The evidence of a failed finding; `None` of any other. `target`, `request` and `resolution` are what was probed.
    pub fn new(
        finding: &Finding,
        target: &Target,
        request: Option<&Request>,
        resolution: Option<&Resolution>,
    ) -> Option<Evidence> {
        let cause = finding.outcome.cause()?;
        let policy = finding.upstream.evidence;
        let secrets = Secrets::of(target, request, policy);
        let strike = |text: String| secrets.strike_out(text);
        let observation = finding.observation();
        let resolution = match &finding.seen {
            Seen::Resolution(own) => Some(&**own),
            Seen::Probe(_) | Seen::Nothing => resolution,
        };
        let named = resolution.filter(|_| matches!(target.host, Host::Name(_)));
        let head = observation.and_then(Observation::head);
        Some(Evidence {
            at: finding.at,
            hop: Arc::clone(&finding.hop.name),
            url: url(target, request, policy).into(),
            address: finding.address.as_ref().map(|address| address.to_string().into()),
            path: finding.path.clone(),
            purpose: finding.purpose.label().into(),
            cause,
            status: head.map(|head| head.status),
            seconds: observation.map(|seen| {
                let dns = named.map(|resolution| resolution.elapsed);
                Phases::of(&seen.timings, dns, Some(cause))
            }),
            text: cut(strike(super::facts(finding)), MAX_TEXT).into(),
            headers: head.map_or(Vec::new(), |head| {
                let headers = head.headers.iter().cloned();
                headers.map(|(name, value)| (name, strike(value))).collect()
            }),
            body: observation.and_then(body).map(|body| strike(body).into()),
            tls: observation
                .and_then(|seen| seen.tls.as_deref())
                .map(|facts| Box::new(Tls::new(facts))),
            dns: named.map(|resolution| Box::new(Dns::new(resolution))),
            page: Page::new(&finding.recognised).map(Box::new),
            trace_id: observation.map(|seen| seen.trace.to_string().into()),
        })
    }
}

impl Phases {
    /// Of the finished phases, the total, and why the probe failed; `dns` is the resolution of its round.
    pub fn of(times: &Timings, dns: Option<Duration>, cause: Option<Cause>) -> Phases {
        let Timings {
            connect,
            tls,
            first_byte,
            body,
            total,
        } = *times;
        let finished: Duration = [connect, tls, first_byte, body].into_iter().flatten().sum();
        let ended_in = match cause.map(Cause::phase) {
            Some(Phase::Connect) => Some("connect"),
            Some(Phase::Tls) => Some("tls"),
            Some(Phase::Http) if first_byte.is_none() => Some("first_byte"),
            Some(Phase::Http) if body.is_none() => Some("body"),
            _ => None,
        };
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        Phases {
            dns: seconds(dns),
            connect: seconds(connect),
            tls: seconds(tls),
            first_byte: seconds(first_byte),
            body: seconds(body),
            rest: total.saturating_sub(finished).as_secs_f64(),
            ended_in: ended_in.map(Into::into),
            total: total.as_secs_f64(),
        }
    }

    /// Every phase that took time, in order, with the label it has in metrics; `rest` under the phase it belongs to.
    pub fn in_order(&self) -> impl Iterator<Item = (&str, f64)> {
        let own = [
            ("dns", self.dns),
            ("connect", self.connect),
            ("tls", self.tls),
            ("first_byte", self.first_byte),
            ("body", self.body),
        ];
        // A handshake may end and fail all the same, by its certificate.
        let open = self.ended_in.as_deref();
        let ended = move |name: &str| own.iter().any(|(own, time)| *own == name && time.is_some());
        let rest = open.map(|name| (name, self.rest)).filter(|(name, _)| !ended(name));
        own.into_iter()
            .filter_map(|(name, time)| Some((name, time?)))
            .chain(rest)
    }
}

impl Tls {
    fn new(facts: &TlsFacts) -> Tls {
        Tls {
            version: facts.version.map(Into::into),
            cipher: facts.cipher.map(Into::into),
            problem: facts.problem.map(|problem| problem.label().into()),
            certificate: facts.chain.certificates.first().map(Certificate::new),
        }
    }
}

impl Certificate {
    /// What is kept of it.
    pub fn new(facts: &CertificateFacts) -> Certificate {
        Certificate {
            subject: cut(facts.subject.clone(), MAX_TEXT).into(),
            issuer: cut(facts.issuer.clone(), MAX_TEXT).into(),
            names: facts.names.iter().take(MAX_ADDRESSES).cloned().collect(),
            not_before: facts.not_before,
            not_after: facts.not_after,
        }
    }
}

impl Dns {
    /// What is kept of it.
    pub fn new(resolution: &Resolution) -> Dns {
        let addresses = resolution.result.iter().flatten().take(MAX_ADDRESSES);
        Dns {
            name: resolution.name.as_str().into(),
            resolver: resolution.source.to_string().into(),
            addresses: addresses.map(ToString::to_string).collect(),
            cnames: resolution.cname_chain.iter().take(MAX_ADDRESSES).cloned().collect(),
            ttl_seconds: resolution.ttl.map(|ttl| ttl.as_secs()),
            fault: resolution.result.as_ref().err().map(|fault| fault.to_string().into()),
        }
    }
}

impl Page {
    /// `None` where nothing tells.
    pub fn new(recognised: &Recognised) -> Option<Page> {
        let page = Page {
            written_by: recognised.writer.map(Into::into),
            behind: recognised.behind.map(Into::into),
            states: recognised.stated,
            cached_by: recognised.cached_by.map(Into::into),
        };
        let tells = page.written_by.is_some() || page.states.is_some() || page.cached_by.is_some();
        tells.then_some(page)
    }
}

/// The URL as people write it; with its query only where the operator chose so.
fn url(target: &Target, request: Option<&Request>, policy: EvidencePolicy) -> String {
    let request = request.unwrap_or(&target.requests[0]);
    let url = target.url(request);
    match (policy, request.path.split_once('?')) {
        (EvidencePolicy::Full, Some((_, query))) => format!("{url}?{query}"),
        _ => url,
    }
}

/// The beginning of an error's body, or of what came instead of an answer.
fn body(seen: &Observation) -> Option<String> {
    let bytes = match &seen.end {
        End::Response(response) => (response.head.status >= 400).then_some(&response.body)?,
        End::Http(failure) => &failure.start,
        _ => return None,
    };
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BODY)]).replace("\r\n", "\n");
    let clean = text.chars().map(|char| match char {
        '\n' | '\t' => char,
        char if char.is_control() => '\u{fffd}',
        char => char,
    });
    Some(clean.collect()).filter(|text: &String| !text.is_empty())
}

/// Cut between characters, with a mark.
fn cut(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    format!("{}…", &text[..text.floor_char_boundary(most - '…'.len_utf8())])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;

    use super::*;
    use crate::config;
    use crate::finding::{Outcome, Purpose};
    use crate::observation::{Address, Head, Response, TraceId};
    use crate::upstream::Scheme;

    const ECHO: &str =
        "<h1>502</h1> you sent GET /pay?key=hunter2 with Authorization: Bearer s3cr3t-token, Cookie: session=abcdef";

    fn evidence(policy: &str) -> Evidence {
        let text = format!(
            "upstreams: [{{ name: shop, evidence: {policy}, origin: {{ url: 'http://127.0.0.1:1/pay?key=hunter2', \
             auth: {{ bearer: s3cr3t-token }}, headers: {{ Cookie: session=abcdef }} }} }}]"
        );
        let config = config::from_str(&text, "t.yml", Path::new("."), &|_| None).expect("it is valid");
        let upstream = config.upstreams[0].clone();
        let hop = upstream.hops[0].clone();
        let (target, address) = (hop.targets[0].clone(), Address::Tcp("127.0.0.1:1".parse().unwrap()));
        let millis = |number| Some(Duration::from_millis(number));
        let head = Head {
            status: 502,
            headers: vec![("server".into(), "echo of s3cr3t-token".into())],
            ..Head::default()
        };
        let seen = Observation {
            trace: TraceId(7),
            at: SystemTime::UNIX_EPOCH,
            address: address.clone(),
            scheme: Scheme::Http,
            timings: Timings {
                connect: millis(2),
                tls: None,
                first_byte: millis(30),
                body: millis(4),
                total: Duration::from_millis(37),
            },
            tls: None,
            redirected: Vec::new(),
            listening: None,
            end: End::Response(Box::new(Response {
                head,
                body_bytes: ECHO.len() as u64,
                body_complete: true,
                body: Bytes::from_static(ECHO.as_bytes()),
            })),
        };
        let request = &target.requests[0];
        let finding = Finding {
            at: seen.at,
            purpose: Purpose::Scheduled,
            address: Some(address),
            path: Some(request.label.clone()),
            outcome: Outcome::Failure(Cause::BadGateway),
            recognised: Recognised::default(),
            seen: Seen::Probe(Box::new(seen)),
            upstream,
            hop,
        };
        Evidence::new(&finding, &target, Some(request), None).expect("it failed")
    }

    #[test]
    fn what_we_sent_is_struck_out_of_what_comes_back() {
        let json = serde_json::to_string(&evidence("safe")).unwrap();
        for secret in ["hunter2", "s3cr3t", "abcdef"] {
            assert!(!json.contains(secret), "{json}");
        }
        assert!(json.contains("with Authorization: Bearer ***"), "{json}");
        let full = serde_json::to_string(&evidence("full")).unwrap();
        assert!(full.contains("/pay?key=hunter2") && !full.contains("s3cr3t"), "{full}");
    }

    #[test]
    fn the_phases_add_up_and_it_survives_being_written() {
        let evidence = evidence("safe");
        let phases = evidence.seconds.clone().unwrap();
        let parts = [phases.connect, phases.tls, phases.first_byte, phases.body];
        let sum: f64 = parts.into_iter().flatten().sum::<f64>() + phases.rest;
        assert!((sum - phases.total).abs() < 1e-9, "{phases:?}");
        assert_eq!(phases.ended_in, None);
        let json = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), evidence);
    }

    #[test]
    fn the_time_of_a_phase_that_did_not_end_is_its_own() {
        let times = Timings {
            connect: Some(Duration::from_millis(5)),
            total: Duration::from_secs(10),
            ..Timings::default()
        };
        let dns = Some(Duration::from_millis(1));
        let phases = Phases::of(&times, dns, Some(Cause::TlsTimeout));
        let shown: Vec<_> = phases.in_order().collect();
        assert_eq!(shown, [("dns", 0.001), ("connect", 0.005), ("tls", 9.995)]);
        let untrusted = Timings {
            tls: Some(Duration::from_millis(20)),
            ..times
        };
        let phases = Phases::of(&untrusted, None, Some(Cause::TlsCertificateUntrusted));
        assert_eq!(phases.ended_in.as_deref(), Some("tls"));
        assert_eq!(phases.in_order().count(), 2, "what follows it did not run");
    }

    #[test]
    fn text_is_cut_between_characters() {
        let text = cut("ä".repeat(MAX_TEXT), MAX_TEXT);
        assert!(text.len() <= MAX_TEXT && text.ends_with('…'));
        assert_eq!(cut("short".into(), MAX_TEXT), "short");
    }
}
