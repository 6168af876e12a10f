//! Which headers of an answer are kept as evidence: by an allow list, since what is not on it may speak of a person.

use http::HeaderName;

/// What is kept besides the allow list.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KeptHeaders {
    /// Every header, those that may speak of a person included: `evidence: full`.
    pub all: bool,
    /// The header that names the running version.
    pub version: Option<HeaderName>,
}

/// True for headers that say something of the hop that answered and nothing of a person.
fn worth_keeping(name: &str) -> bool {
    const NAMES: [&str; 28] = [
        "age",
        "akamai-grn",
        "apigw-requestid",
        "cache-control",
        "cache-status",
        "connection",
        "date",
        "expires",
        "keep-alive",
        "location",
        "pragma",
        "proxy-status",
        "retry-after",
        "server",
        "transfer-encoding",
        "upgrade",
        "vary",
        "via",
        "warning",
        "x-amz-apigw-id",
        "x-cache",
        "x-cache-hits",
        "x-msedge-ref",
        "x-powered-by",
        "x-proxy-cache",
        "x-served-by",
        "x-squid-error",
        "x-varnish",
    ];
    const PREFIXES: [&str; 9] = [
        "cf-",
        "content-",
        "x-amz-cf-",
        "x-amzn-",
        "x-apisix-",
        "x-azure-",
        "x-cache-",
        "x-envoy-",
        "x-kong-",
    ];
    NAMES.binary_search(&name).is_ok() || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Bytes of one kept header value at most; a longer one is cut.
const MAX_KEPT_VALUE: usize = 512;
/// Bytes of a name worth keeping at most.
const MAX_KEPT_NAME: usize = 48;
/// Headers kept of one response at most.
const MAX_KEPT_HEADERS: usize = 32;

impl KeptHeaders {
    /// Keeps a header if it is worth it. `name` may have any case; the query of a location is left out.
    pub(super) fn keep(&self, kept: &mut Vec<(String, String)>, name: &str, value: &[u8]) {
        if kept.len() == MAX_KEPT_HEADERS {
            return;
        }
        let mut lower = [0; MAX_KEPT_NAME];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return;
        };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        let Some(name) = std::str::from_utf8(lower).ok().filter(|name| self.wants(name)) else {
            return;
        };
        let mut text = String::from_utf8_lossy(&value[..value.len().min(MAX_KEPT_VALUE)]).into_owned();
        if !self.all && (name == "location" || name == "content-location") {
            text.truncate(text.find(['?', '#']).unwrap_or(text.len()));
        }
        kept.push((name.to_owned(), text));
    }

    fn wants(&self, name: &str) -> bool {
        self.all || worth_keeping(name) || self.version.as_ref().is_some_and(|version| version == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_kept_headers_is_sorted() {
        let kept = [
            "age",
            "server",
            "x-varnish",
            "content-type",
            "cf-ray",
            "x-cache-status",
            "x-proxy-cache",
        ];
        for name in kept.iter().chain(&[
            "akamai-grn",
            "cache-status",
            "proxy-status",
            "x-amz-apigw-id",
            "x-msedge-ref",
        ]) {
            assert!(worth_keeping(name), "{name}");
        }
        for name in ["set-cookie", "authorization", "x-request-user", "www-authenticate"] {
            assert!(!worth_keeping(name), "{name}");
        }
    }

    #[test]
    fn a_location_is_kept_without_its_query() {
        let mut kept = Vec::new();
        KeptHeaders::default().keep(&mut kept, "Location", b"https://example.com/login?token=secret#x");
        assert_eq!(kept, [("location".to_owned(), "https://example.com/login".to_owned())]);
    }

    #[test]
    fn what_the_operator_names_is_kept_too() {
        let names = |headers: &KeptHeaders| {
            let mut kept = Vec::new();
            for name in ["Set-Cookie", "X-App-Version", "Server"] {
                headers.keep(&mut kept, name, b"1");
            }
            kept.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&KeptHeaders::default()), ["server"]);
        let version = KeptHeaders {
            version: Some(HeaderName::from_static("x-app-version")),
            ..KeptHeaders::default()
        };
        assert_eq!(names(&version), ["x-app-version", "server"]);
        let all = KeptHeaders {
            all: true,
            version: None,
        };
        assert_eq!(names(&all), ["set-cookie", "x-app-version", "server"]);
    }
}
