//! From facts and expectations to one cause, or none. Pure: the same facts always get the same cause.
//!
//! The boundaries between causes are those of the design, section 3; each arm below is one of them.

use std::net::IpAddr;

use crate::cause::Cause;
use crate::finding::{Outcome, Recognised, Told};
use crate::observation::{
    CertificateProblem, ConnectFault, DnsFault, End, HttpFault, Observation, Resolution, Response, TlsFault,
};
use crate::upstream::{BodyRule, Expectation, Scheme};

/// Judges one probe.
///
/// 1. What our own side prevented is aborted or skipped, and says nothing of the peer.
/// 2. A probe that stopped before a whole response has the cause of the place where it stopped.
/// 3. A page by which a gateway says that it got no answer of the next hop is `disguised_bad_gateway` under any number but
///    502 and 504; under 504 only where it proves that nothing was waited for. Allowing the number it hides under allows
///    nothing: whoever wants such an answer allows 502 in `expect.status`.
/// 4. A status of the 5xx class has its own cause, unless `expect.status` allows it.
/// 5. Any other status that is not allowed is `unexpected_status`.
/// 6. A body that breaks its rule is `content_mismatch`.
pub fn classify(seen: &Observation, recognised: &Recognised, expect: &Expectation) -> Outcome {
    match &seen.end {
        End::Own(limit) => Outcome::Aborted(*limit),
        End::NoRoute => Outcome::Skipped,
        End::Dns(fault) => dns(fault),
        End::Connect(fault) => Outcome::Failure(connect(*fault, seen.scheme)),
        End::Tls(fault) => Outcome::Failure(tls(fault)),
        End::Http(failure) => Outcome::Failure(http(&failure.fault)),
        End::Redirect { .. } => Outcome::Failure(Cause::UnexpectedStatus),
        End::Response(response) => match response_cause(response, recognised, expect) {
            None => Outcome::Success,
            Some(cause) => Outcome::Failure(cause),
        },
    }
}

/// Judges one resolution: a name that gives no address. Addresses outside the expected ones are judged one by one,
/// see [`unexpected`].
pub fn classify_resolution(seen: &Resolution) -> Outcome {
    match &seen.result {
        Ok(_) => Outcome::Success,
        Err(fault) => dns(fault),
    }
}

/// True for an address a name must not resolve to.
pub fn unexpected(ip: IpAddr, expect: &Expectation) -> bool {
    !expect.allows_address(ip)
}

fn dns(fault: &DnsFault) -> Outcome {
    Outcome::Failure(match fault {
        DnsFault::NxDomain => Cause::DnsNxdomain,
        DnsFault::NoData => Cause::DnsNodata,
        DnsFault::ServFail(_) => Cause::DnsServfail,
        DnsFault::Refused => Cause::DnsRefused,
        DnsFault::Timeout => Cause::DnsTimeout,
        DnsFault::Malformed(_) => Cause::DnsMalformed,
        DnsFault::Own(limit) => return Outcome::Aborted(*limit),
    })
}

/// A reset after the SYN-ACK that surfaces late belongs to the phase the connection was in by then.
fn connect(fault: ConnectFault, scheme: Scheme) -> Cause {
    match (fault, scheme) {
        (ConnectFault::Refused, _) => Cause::ConnectRefused,
        (ConnectFault::Timeout, _) => Cause::ConnectTimeout,
        (ConnectFault::Unreachable(_), _) => Cause::ConnectUnreachable,
        (ConnectFault::ResetAfterAccept, Scheme::Http) => Cause::ResponseReset,
        (ConnectFault::ResetAfterAccept, Scheme::Https) => Cause::TlsClosed,
    }
}

fn tls(fault: &TlsFault) -> Cause {
    match fault {
        TlsFault::Timeout => Cause::TlsTimeout,
        TlsFault::Closed { .. } => Cause::TlsClosed,
        TlsFault::NotTls(_) => Cause::TlsNotTls,
        TlsFault::Protocol(_) | TlsFault::Alert(_) => Cause::TlsProtocol,
        TlsFault::ClientCertificate { .. } => Cause::TlsClientCertificateRequired,
        TlsFault::Certificate(problem) => certificate(*problem),
    }
}

fn certificate(problem: CertificateProblem) -> Cause {
    match problem {
        CertificateProblem::Expired => Cause::TlsCertificateExpired,
        CertificateProblem::NotYetValid => Cause::TlsCertificateNotYetValid,
        CertificateProblem::NameMismatch => Cause::TlsCertificateNameMismatch,
        CertificateProblem::Untrusted => Cause::TlsCertificateUntrusted,
        CertificateProblem::Revoked => Cause::TlsCertificateRevoked,
    }
}

fn http(fault: &HttpFault) -> Cause {
    match fault {
        HttpFault::HeadTimeout => Cause::ResponseTimeout,
        HttpFault::Reset => Cause::ResponseReset,
        HttpFault::Closed => Cause::ResponseClosed,
        HttpFault::ClosedInHead | HttpFault::Malformed(_) => Cause::ResponseMalformed,
        HttpFault::HeadTooLarge => Cause::ResponseHeaderTooLarge,
        HttpFault::BodyCut => Cause::ResponseTruncated,
        HttpFault::BodyTimeout => Cause::ResponseBodyTimeout,
    }
}

fn is_disguised(status: u16, told: Option<Told>) -> bool {
    match status {
        502 => false,
        504 => told == Some(Told::BadGateway),
        _ => told.is_some(),
    }
}

fn response_cause(response: &Response, recognised: &Recognised, expect: &Expectation) -> Option<Cause> {
    let status = response.head.status;
    let disguised = is_disguised(status, recognised.told);
    if disguised && !expect.allows_status(502) {
        return Some(Cause::DisguisedBadGateway);
    }
    if !disguised && !expect.allows_status(status) {
        return Some(match status {
            502 => Cause::BadGateway,
            503 => Cause::ServiceUnavailable,
            504 => Cause::GatewayTimeout,
            500..=599 => Cause::ServerError,
            _ => Cause::UnexpectedStatus,
        });
    }
    match &expect.body {
        Some(rule) if !holds(rule, &response.body) => Some(Cause::ContentMismatch),
        _ => None,
    }
}

fn holds(rule: &BodyRule, body: &[u8]) -> bool {
    match rule {
        BodyRule::Contains(text) => text.is_empty() || body.windows(text.len()).any(|part| part == text.as_bytes()),
        BodyRule::Matches(expression) => expression.is_match(body),
        BodyRule::Json { pointer, equals } => serde_json::from_slice::<serde_json::Value>(body)
            .is_ok_and(|document| document.pointer(pointer) == Some(equals)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;
    use crate::observation::{Address, Head, HttpFailure, OwnLimit, RedirectFault, Timings, TraceId};

    fn outcome(scheme: Scheme, end: End, expect: &Expectation) -> Outcome {
        let seen = Observation {
            trace: TraceId(1),
            at: SystemTime::UNIX_EPOCH,
            address: Address::Tcp("192.0.2.1:80".parse().expect("an address")),
            scheme,
            timings: Timings::default(),
            tls: None,
            redirected: Vec::new(),
            listening: None,
            end,
        };
        classify(&seen, &Recognised::default(), expect)
    }

    fn check(scheme: Scheme, end: End, expected: &str) {
        let seen = outcome(scheme, end.clone(), &Expectation::default());
        assert_eq!(seen.cause().map(Cause::label), Some(expected), "{end:?}");
    }

    fn failed(fault: HttpFault) -> End {
        End::Http(HttpFailure {
            fault,
            head: None,
            start: Bytes::new(),
            body_bytes: 0,
        })
    }

    fn answered(status: u16, body: &'static str) -> End {
        End::Response(Box::new(Response {
            head: Head {
                status,
                ..Head::default()
            },
            body_bytes: body.len() as u64,
            body_complete: true,
            body: Bytes::from_static(body.as_bytes()),
        }))
    }

    #[test]
    fn each_end_has_its_cause() {
        use Scheme::{Http, Https};
        check(Http, End::Dns(DnsFault::NxDomain), "dns_nxdomain");
        check(Http, End::Dns(DnsFault::NoData), "dns_nodata");
        check(Http, End::Dns(DnsFault::ServFail(5)), "dns_servfail");
        check(Http, End::Dns(DnsFault::Refused), "dns_refused");
        check(Http, End::Dns(DnsFault::Timeout), "dns_timeout");
        check(Http, End::Dns(DnsFault::Malformed("x")), "dns_malformed");
        check(Http, End::Connect(ConnectFault::Refused), "connect_refused");
        check(Http, End::Connect(ConnectFault::Timeout), "connect_timeout");
        check(
            Http,
            End::Connect(ConnectFault::Unreachable(113)),
            "connect_unreachable",
        );
        check(Http, End::Connect(ConnectFault::ResetAfterAccept), "response_reset");
        check(Https, End::Connect(ConnectFault::ResetAfterAccept), "tls_closed");
        check(Https, End::Tls(TlsFault::Timeout), "tls_timeout");
        check(Https, End::Tls(TlsFault::Closed { reset: true }), "tls_closed");
        check(
            Https,
            End::Tls(TlsFault::NotTls(Bytes::from_static(b"HTTP"))),
            "tls_not_tls",
        );
        check(Https, End::Tls(TlsFault::Alert(70)), "tls_protocol");
        check(Https, End::Tls(TlsFault::Protocol("x".into())), "tls_protocol");
        check(
            Https,
            End::Tls(TlsFault::ClientCertificate { sent: false }),
            "tls_client_certificate_required",
        );
        for (problem, cause) in [
            (CertificateProblem::Expired, "tls_certificate_expired"),
            (CertificateProblem::NotYetValid, "tls_certificate_not_yet_valid"),
            (CertificateProblem::NameMismatch, "tls_certificate_name_mismatch"),
            (CertificateProblem::Untrusted, "tls_certificate_untrusted"),
            (CertificateProblem::Revoked, "tls_certificate_revoked"),
        ] {
            check(Https, End::Tls(TlsFault::Certificate(problem)), cause);
        }
        check(Http, failed(HttpFault::HeadTimeout), "response_timeout");
        check(Http, failed(HttpFault::Reset), "response_reset");
        check(Http, failed(HttpFault::Closed), "response_closed");
        check(Http, failed(HttpFault::ClosedInHead), "response_malformed");
        check(Http, failed(HttpFault::Malformed("x")), "response_malformed");
        check(Http, failed(HttpFault::HeadTooLarge), "response_header_too_large");
        check(Http, failed(HttpFault::BodyCut), "response_truncated");
        check(Http, failed(HttpFault::BodyTimeout), "response_body_timeout");
        check(
            Http,
            End::Redirect {
                fault: RedirectFault::TooMany,
                head: Box::default(),
            },
            "unexpected_status",
        );
        for (status, cause) in [
            (101, "unexpected_status"),
            (404, "unexpected_status"),
            (429, "unexpected_status"),
            (500, "server_error"),
            (502, "bad_gateway"),
            (503, "service_unavailable"),
            (504, "gateway_timeout"),
            (520, "server_error"),
            (999, "unexpected_status"),
        ] {
            check(Http, answered(status, ""), cause);
        }
    }

    #[test]
    fn our_own_limits_are_nobodys_failure() {
        let expect = Expectation::default();
        let aborted = outcome(Scheme::Http, End::Own(OwnLimit::FileLimit), &expect);
        assert_eq!(aborted, Outcome::Aborted(OwnLimit::FileLimit));
        assert_eq!(outcome(Scheme::Http, End::NoRoute, &expect), Outcome::Skipped);
        let aborted = outcome(Scheme::Http, End::Dns(DnsFault::Own(OwnLimit::Memory)), &expect);
        assert_eq!(aborted, Outcome::Aborted(OwnLimit::Memory));
    }

    #[test]
    fn what_is_expected_is_no_failure() {
        let expect = Expectation {
            status: vec![200..=299, 502..=502],
            ..Expectation::default()
        };
        assert_eq!(outcome(Scheme::Http, answered(204, ""), &expect), Outcome::Success);
        assert_eq!(outcome(Scheme::Http, answered(502, ""), &expect), Outcome::Success);
        assert_eq!(
            outcome(Scheme::Http, answered(301, ""), &expect),
            Outcome::Failure(Cause::UnexpectedStatus)
        );
    }

    #[test]
    fn bodies_are_held_against_their_rule() {
        let json = |pointer: &str, equals| BodyRule::Json {
            pointer: pointer.into(),
            equals,
        };
        let regex = |text| BodyRule::Matches(regex::bytes::Regex::new(text).expect("an expression"));
        let cases = [
            (BodyRule::Contains("ok".into()), "all ok here", true),
            (BodyRule::Contains("ok".into()), "", false),
            (regex("^v[0-9]+$"), "v12", true),
            (regex("^v[0-9]+$"), "maintenance", false),
            (json("/status", "ok".into()), r#"{"status": "ok"}"#, true),
            (json("/status", "ok".into()), r#"{"status": "down"}"#, false),
            (json("/status", "ok".into()), "<html>", false),
            (json("/items/0/up", true.into()), r#"{"items": [{"up": true}]}"#, true),
        ];
        for (rule, body, good) in cases {
            let expect = Expectation {
                body: Some(rule.clone()),
                ..Expectation::default()
            };
            let seen = outcome(Scheme::Http, answered(200, body), &expect);
            assert_eq!(seen == Outcome::Success, good, "{rule:?} on {body:?}");
        }
    }
}
