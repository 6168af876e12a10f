//! What may be probed because somebody asked for it. Pure.
//!
//! 1. Addresses that no service worth probing has, but that give away credentials or reach this host in disguise, are
//!    never allowed: link-local ones, those of cloud metadata services, unspecified, broadcast and multicast ones.
//! 2. A network rule allows the addresses in it, whatever the name.
//! 3. A name rule allows every other address of that name but loopback ones: a name somebody else controls must not open
//!    what listens on this host alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::operation::Allow;

/// Metadata and platform services that are not link-local: AWS (with its DNS and NTP), Google, Oracle, Scaleway; Alibaba,
/// Azure's wire server, the old one of Oracle.
const METADATA_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd00, 0x0042, 0, 0, 0, 0, 0, 0), 32),
];
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The allow list.
#[derive(Clone, Debug)]
pub struct Guard {
    rules: Vec<Allow>,
}

impl Guard {
    /// A guard with these rules; without any nothing is allowed.
    pub fn new(rules: &[Allow]) -> Self {
        Guard { rules: rules.to_vec() }
    }

    /// False where no address of this host could be allowed, so that its name need not even be looked up.
    pub fn may_allow(&self, host: &str) -> bool {
        self.names(host) || self.rules.iter().any(|rule| matches!(rule, Allow::Network(_)))
    }

    /// Whether this address of this host may be connected to.
    pub fn allows(&self, host: &str, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let in_network = || {
            self.rules
                .iter()
                .any(|rule| matches!(rule, Allow::Network(network) if network.contains(&ip)))
        };
        !is_never_allowed(ip) && (in_network() || (!is_loopback(ip) && self.names(host)))
    }

    fn names(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.rules.iter().any(|rule| match rule {
            Allow::Host(pattern) => is_named(&pattern.to_ascii_lowercase(), &host),
            Allow::Network(_) => false,
        })
    }
}

fn is_named(pattern: &str, host: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    match pattern.strip_prefix("*.") {
        Some(suffix) => host
            .strip_suffix(suffix)
            .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        None => host == pattern,
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback() || embedded(ip).is_some_and(|ip| ip.is_loopback())
}

fn is_never_allowed(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_never_allowed_v4(ip),
        IpAddr::V6(v6) => {
            let metadata = METADATA_V6
                .iter()
                .any(|(network, bits)| v6.to_bits() >> (128 - bits) == network.to_bits() >> (128 - bits));
            let other = v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local();
            metadata || other || embedded(ip).is_some_and(is_never_allowed_v4)
        }
    }
}

fn is_never_allowed_v4(ip: Ipv4Addr) -> bool {
    let [first, ..] = ip.octets();
    // 0.0.0.0/8 is this host itself (RFC 1122, 3.2.1.3); Linux connects it to loopback.
    first == 0 || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || METADATA_V4.contains(&ip)
}

/// The IPv4 address that an IPv6 address leads to: translated (RFC 6052), 6to4 (RFC 3056), or compatible (RFC 4291).
fn embedded(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let at = |high: u16, low: u16| Some(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)));
    match ip.segments() {
        [0x64, 0xff9b, .., high, low] => at(high, low),
        // ::1 is loopback itself, not 0.0.0.1.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => at(high, low),
        [0x2002, high, low, ..] => at(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(rules: &[&str]) -> Guard {
        let rules: Vec<_> = rules
            .iter()
            .map(|rule| match rule.parse() {
                Ok(network) => Allow::Network(network),
                Err(_) => Allow::Host((*rule).to_owned()),
            })
            .collect();
        Guard::new(&rules)
    }

    #[test]
    fn names_and_networks_are_held_against_the_address() {
        let guard = guard(&["*.internal", "shop.example", "10.0.0.0/8", "2001:db8::/32"]);
        for (host, ip, allowed) in [
            ("app.internal", "192.0.2.1", true),
            ("App.Internal.", "192.0.2.1", true),
            ("internal", "192.0.2.1", false),
            (".internal", "192.0.2.1", false),
            ("notinternal", "192.0.2.1", false),
            ("app.internal.evil.example", "192.0.2.1", false),
            ("shop.example", "192.0.2.1", true),
            ("a.shop.example", "192.0.2.1", false),
            ("evil.example", "10.1.2.3", true),
            ("evil.example", "::ffff:10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("2001:db8::1", "2001:db8::1", true),
            ("11.0.0.1", "11.0.0.1", false),
            ("app.internal", "127.0.0.1", false),
            ("app.internal", "::1", false),
            ("app.internal", "::ffff:127.0.0.1", false),
            ("app.internal", "64:ff9b::7f00:1", false),
        ] {
            assert_eq!(guard.allows(host, ip.parse().unwrap()), allowed, "{host} {ip}");
        }
        assert!(guard.may_allow("evil.example"));
    }

    #[test]
    fn some_addresses_are_never_allowed() {
        let all = guard(&["0.0.0.0/0", "::/0", "*.internal"]);
        for ip in [
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::a9fe:a9fe",
        ] {
            assert!(!all.allows("app.internal", ip.parse().unwrap()), "{ip}");
        }
        for ip in ["127.0.0.1", "::1", "192.0.2.1", "fd00::1", "100.64.0.1"] {
            assert!(all.allows("x.example", ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn with_names_alone_other_names_are_not_even_looked_up() {
        let guard = guard(&["*.internal"]);
        assert!(guard.may_allow("a.internal") && !guard.may_allow("a.example"));
        assert!(!Guard::new(&[]).may_allow("a.internal"));
    }
}
