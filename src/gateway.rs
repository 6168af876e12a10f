//! What is known of each kind of gateway, one file per kind. Adding a kind is adding a file and a line in [`KINDS`]; what a
//! long file keeps apart, an error log or tests, lies in a folder of its name.
//!
//! A figure stands here only where its vendor states it; `None` means no limit, or none known. What each limit means is
//! said in [`LimitKind`](crate::upstream::LimitKind), how the product counts it in the kind's own file.

use std::time::Duration;

use crate::upstream::Limits;

pub mod commands;
pub mod page;

mod akamai;
mod apache;
mod aws_alb;
mod aws_api_gateway;
mod aws_cloudfront;
mod aws_elb;
mod azure_application_gateway;
mod azure_front_door;
mod caddy;
mod cloudflare;
mod envoy;
mod fastly;
mod gcp;
mod generic;
mod haproxy;
mod ingress_nginx;
mod istio;
mod keycdn;
mod lighttpd;
pub mod log;
mod nginx;
mod openresty;
mod squid;
mod traefik;
mod trafficserver;
mod varnish;

/// All kinds, in the order in which messages list them.
pub const KINDS: &[&Kind] = &[
    &nginx::KIND,
    &ingress_nginx::KIND,
    &openresty::KIND,
    &haproxy::KIND,
    &apache::KIND,
    &envoy::KIND,
    &istio::KIND,
    &caddy::KIND,
    &traefik::KIND,
    &varnish::KIND,
    &squid::KIND,
    &lighttpd::KIND,
    &trafficserver::KIND,
    &aws_alb::KIND,
    &aws_elb::KIND,
    &aws_api_gateway::KIND,
    &aws_cloudfront::KIND,
    &gcp::KIND,
    &azure_application_gateway::KIND,
    &azure_front_door::KIND,
    &cloudflare::KIND,
    &fastly::KIND,
    &keycdn::KIND,
    &akamai::KIND,
    GENERIC,
];

/// A gateway nothing is known of.
pub const GENERIC: &Kind = &generic::KIND;

/// One product.
#[derive(Debug)]
pub struct Kind {
    /// As written in `kind:`; the value of `Gateway::kind`.
    pub name: &'static str,
    /// Other spellings that are understood.
    pub aliases: &'static [&'static str],
    /// How it names itself in `Server` and `Via`, in lower case; empty where it does not.
    pub products: &'static [&'static str],
    /// What it tolerates of the hop behind it unless configured otherwise.
    pub limits: Limits,
    /// Whether it refuses a backend whose certificate does not verify, unless configured otherwise.
    pub verifies_origin_certificate: bool,
    /// What its logs look like and mean; `None` where it writes none that can be read.
    pub logs: Option<&'static log::Logs>,
    /// How its error page is recognised; `None` where the kind's own file says why it cannot be told.
    pub page: Option<page::Page>,
    /// What to paste at it, from its vendor's documentation, the most telling first; [`commands::steps`] fills them in.
    pub commands: &'static [commands::Command],
}

impl PartialEq for Kind {
    fn eq(&self, other: &Kind) -> bool {
        self.name == other.name
    }
}

/// The kind of that name or alias.
pub fn kind(name: &str) -> Option<&'static Kind> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    KINDS
        .iter()
        .find(|kind| kind.name == name || kind.aliases.contains(&name.as_str()))
        .copied()
}

/// Nothing limited, or nothing known: what each kind starts from.
const NONE: Limits = Limits {
    connect: None,
    tls: None,
    send: None,
    first_byte: None,
    between_reads: None,
    total: None,
    idle: None,
    response_header: None,
    response_body: None,
};

const fn secs(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

const fn kib(kibibytes: u64) -> Option<u64> {
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let mut names: Vec<&str> = KINDS
            .iter()
            .flat_map(|kind| std::iter::once(kind.name).chain(kind.aliases.iter().copied()))
            .collect();
        for name in &names {
            assert!(kind(name).is_some(), "{name}");
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(kind("ingress-nginx").is_some_and(|kind| kind.name == "ingress_nginx"));
        assert!(kind("iis").is_none());
    }

    #[test]
    fn what_a_kind_does_with_certificates() {
        for (name, verifies) in [
            ("nginx", false),
            ("aws_alb", false),
            ("haproxy", true),
            ("caddy", true),
            ("generic", true),
        ] {
            assert_eq!(kind(name).unwrap().verifies_origin_certificate, verifies, "{name}");
        }
    }
}
