//! Who answered and in which version, as far as headers show it: `Server`, `Via`, and the one that is configured. Pure.

use crate::observation::Head;
use crate::observation::version::Version;

/// Characters of a product at most.
const MAX_PRODUCT: usize = 32;
/// Characters of a version at most.
const MAX_VERSION: usize = 64;

/// The gateway of this kind, where it shows itself. Most pass on what the origin says of itself: only a product of the
/// kind's own is the gateway.
pub fn of_gateway(head: &Head, kind: &str) -> Option<Version> {
    let own = crate::gateway::kind(kind)?.products;
    let headers = head
        .headers
        .iter()
        .filter(|(name, _)| name == "server" || name == "via");
    let words = headers.flat_map(|(_, value)| value.split([' ', ',', '(', ')']));
    let named = words.filter(|word| {
        let product = word.split('/').next().unwrap_or_default();
        own.contains(&product.to_ascii_lowercase().as_str())
    });
    // `1.1 varnish (Varnish/7.1)` names it twice, and only once with its version.
    named.map(read).max_by_key(|shown| !shown.version.is_empty())
}

/// The origin's version: the header configured for it, else a product that `Server` names with its version.
pub fn of_origin(head: &Head, header: Option<&str>) -> Option<Version> {
    if let Some(header) = header {
        return named(head, header);
    }
    let shown = read(head.header("server")?.split(' ').next()?);
    (!shown.version.is_empty() && !shown.product.is_empty()).then_some(shown)
}

/// The version that this header names.
pub fn named(head: &Head, header: &str) -> Option<Version> {
    let version = clean(head.header(header)?, MAX_VERSION);
    (!version.is_empty()).then(|| Version {
        product: "".into(),
        version: version.into(),
    })
}

/// `nginx/1.22.1`.
fn read(word: &str) -> Version {
    let (product, version) = word.split_once('/').unwrap_or((word, ""));
    Version {
        product: clean(product, MAX_PRODUCT).into(),
        version: clean(version, MAX_VERSION).into(),
    }
}

/// Foreign text, cut and without control characters.
fn clean(text: &str, most: usize) -> String {
    let printable = text.trim().chars().filter(|char| !char.is_control());
    printable.take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&str, &str)]) -> Head {
        let headers = headers.iter();
        Head {
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Head::default()
        }
    }

    #[test]
    fn a_gateway_is_known_by_its_own_products_only() {
        let said =
            |kind: &str, headers: &[(&str, &str)]| of_gateway(&head(headers), kind).map(|shown| shown.to_string());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(said("nginx", &[("server", "nginx/1.22.1")]), some("nginx/1.22.1"));
        assert_eq!(said("ingress_nginx", &[("server", "nginx")]), some("nginx"));
        let debian = "Apache/2.4.71 (Debian) OpenSSL/3.0.22";
        assert_eq!(said("apache", &[("server", debian)]), some("Apache/2.4.71"));
        let through = [("server", "gunicorn/20.1.0"), ("via", "1.1 varnish (Varnish/7.1)")];
        assert_eq!(said("varnish", &through), some("Varnish/7.1"));
        let squid = [("via", "1.0 far (squid/3.1), 1.1 edge (squid/5.7)")];
        assert!(said("squid", &squid).is_some_and(|shown| shown.starts_with("squid/")));
        let ats = [("via", "http/1.1 host (ApacheTrafficServer/9.2.9 [cMsSf ])")];
        assert_eq!(said("trafficserver", &ats), some("ApacheTrafficServer/9.2.9"));
        assert_eq!(
            said("haproxy", &[("server", "nginx/1.22.1")]),
            None,
            "that is the origin's"
        );
        assert_eq!(said("generic", &[("server", "nginx/1.22.1")]), None);
        assert_eq!(said("nginx", &[]), None);
    }

    #[test]
    fn an_origin_is_known_by_the_header_that_is_configured_or_by_its_server() {
        let both = head(&[("server", "nginx/1.22.1 (Ubuntu)"), ("x-version", " 2026.11\u{7}.3 ")]);
        let said = |header| of_origin(&both, header).map(|shown| shown.to_string());
        assert_eq!(said(None).as_deref(), Some("nginx/1.22.1"));
        assert_eq!(said(Some("x-version")).as_deref(), Some("2026.11.3"));
        assert_eq!(said(Some("x-other")), None, "what is configured is meant");
        assert_eq!(of_origin(&head(&[("server", "Caddy")]), None), None);
        let long = head(&[("server", &format!("a/{}", "1".repeat(500)))]);
        assert_eq!(
            of_origin(&long, None).map(|shown| shown.version.len()),
            Some(MAX_VERSION)
        );
    }
}
