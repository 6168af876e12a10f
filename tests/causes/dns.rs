//! Names that do not resolve. Each case has a resolver of its own that answers by a script.

use badgateway::cause::Cause::{
    DnsMalformed, DnsNodata, DnsNxdomain, DnsRefused, DnsServfail, DnsTimeout, DnsUnexpectedAddress,
};
use serde_json::json;

use crate::cases;
use crate::support::cases::{Expect::Fails, Setup};
use crate::support::dns::{self, NXDOMAIN, Question, REFUSED, SERVFAIL};
use crate::support::peers::http1::{OK, answers};
use crate::support::peers::serve;

const NAME: &str = "service.peer.test";

/// An upstream whose name only that resolver knows; an answer of 127.0.0.1 would lead to a server that is well.
fn asking(resolver: std::net::SocketAddr) -> Setup {
    let url = format!("http://{NAME}:{}/", serve(answers(OK)).port());
    Setup::origin(json!({ "url": url, "resolvers": [resolver.to_string()] }))
}

/// A resolver that answers every question by the script.
fn resolver(script: impl Fn(&Question) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Option<Setup> {
    Some(asking(dns::serve(script)))
}

/// The good answer.
fn good(question: &Question) -> dns::Answer {
    question.addresses(&["127.0.0.1"])
}

cases! {
    dns_nxdomain => Fails(DnsNxdomain), |_| resolver(|question| vec![question.answer().code(NXDOMAIN).bytes()]);
    dns_nxdomain_behind_an_alias => Fails(DnsNxdomain), |_| {
        resolver(|question| vec![question.answer().alias(NAME, "gone.peer.test").code(NXDOMAIN).bytes()])
    };
    dns_nxdomain_by_a_short_name => Fails(DnsNxdomain), |_| {
        let resolver = dns::serve(|question| vec![question.answer().code(NXDOMAIN).bytes()]);
        Some(Setup::origin(json!({ "url": "http://nowhere:8080/", "resolvers": [resolver.to_string()] })))
    };
    dns_nodata => Fails(DnsNodata), |_| resolver(|question| vec![question.answer().bytes()]);
    dns_nodata_behind_an_alias => Fails(DnsNodata), |_| {
        resolver(|question| vec![question.answer().alias(NAME, "bare.peer.test").bytes()])
    };
    dns_servfail => Fails(DnsServfail), |_| resolver(|question| vec![question.answer().code(SERVFAIL).bytes()]);
    dns_servfail_by_another_code => Fails(DnsServfail), |_| {
        resolver(|question| vec![question.answer().code(4).bytes()])
    };
    dns_refused => Fails(DnsRefused), |_| resolver(|question| vec![question.answer().code(REFUSED).bytes()]);

    dns_timeout => Fails(DnsTimeout), |_| Some(resolver(|_| Vec::new())?.stalls());
    dns_timeout_as_nobody_listens => Fails(DnsTimeout), |_| {
        let (address, socket) = dns::refusing();
        Some(asking(address).keep(socket).stalls())
    };
    /// An answer to somebody else's question, or a forged one (RFC 5452, 9.1): not for us.
    dns_timeout_as_only_wrong_ids_come => Fails(DnsTimeout), |_| {
        let script = |question: &Question| {
            let mut answer = good(question);
            answer.id = answer.id.wrapping_add(1);
            vec![answer.bytes()]
        };
        let (address, socket) = dns::serve_udp_only(script);
        Some(asking(address).keep(socket).stalls())
    };
    dns_timeout_truncated_and_tcp_silent => Fails(DnsTimeout), |_| {
        let script = |question: &Question| match question.tcp {
            true => Vec::new(),
            false => vec![question.answer().truncated().bytes()],
        };
        Some(resolver(script)?.stalls())
    };

    /// The half of an answer is all there is; nothing is waited for.
    dns_malformed_truncated_and_tcp_refused => Fails(DnsMalformed), |_| {
        let (address, socket) = dns::serve_udp_only(|question| vec![question.answer().truncated().bytes()]);
        Some(asking(address).keep(socket).stalls())
    };
    dns_malformed_text => Fails(DnsMalformed), |_| {
        let script = |question: &Question| vec![[&question.id.to_be_bytes()[..], b"HTTP/1.1 400 Bad\r\n"].concat()];
        Some(resolver(script)?.stalls())
    };
    dns_malformed_cut_in_the_header => Fails(DnsMalformed), |_| {
        Some(resolver(|question| vec![good(question).bytes()[..7].to_vec()])?.stalls())
    };
    dns_malformed_cut_in_a_record => Fails(DnsMalformed), |_| {
        let script = |question: &Question| {
            let bytes = question.addresses(&["127.0.0.1", "::1"]).bytes();
            vec![bytes[..bytes.len() - 3].to_vec()]
        };
        Some(resolver(script)?.stalls())
    };
    dns_malformed_more_records_claimed_than_sent => Fails(DnsMalformed), |_| {
        let script = |question: &Question| {
            let mut answer = question.addresses(&["127.0.0.1", "::1"]);
            answer.claimed = Some(9);
            vec![answer.bytes()]
        };
        Some(resolver(script)?.stalls())
    };
    dns_malformed_other_question => Fails(DnsMalformed), |_| {
        let script = |question: &Question| {
            let mut answer = question.addresses(&["127.0.0.1", "::1"]);
            answer.question.0 = "other.peer.test".into();
            vec![answer.bytes()]
        };
        Some(resolver(script)?.stalls())
    };
    /// All that a stub resolver can know of it: the aliases it was given lead back.
    dns_malformed_alias_loop => Fails(DnsMalformed), |_| {
        resolver(|question| vec![question.answer().alias(NAME, "a.peer.test").alias("a.peer.test", NAME).bytes()])
    };

    /// The name leads to a server that is well, and not to ours.
    dns_unexpected_address => Fails(DnsUnexpectedAddress), |_| {
        Some(resolver(|question| vec![good(question).bytes()])?.with("expect", json!({ "addresses": ["10.0.0.0/8"] })))
    };
    dns_unexpected_address_behind_an_alias => Fails(DnsUnexpectedAddress), |_| {
        let script = |question: &Question| {
            vec![question.answer().alias(NAME, "cdn.peer.test").address("cdn.peer.test", "127.0.0.1").bytes()]
        };
        Some(resolver(script)?.with("expect", json!({ "addresses": ["192.0.2.0/24", "2001:db8::/32"] })))
    };
}
