//! Azure Application Gateway.
//!
//! Source: Azure documentation (backend settings, `application-gateway-troubleshooting-502`).
//! - Request timeout 20 s in v2, until the response begins.
//! - Backend certificates are verified: a wrong name or root is a 502.

use super::page::{Page, Said};
use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "azure_application_gateway",
    aliases: &["application_gateway"],
    limits: Limits {
        first_byte: secs(20),
        ..NONE
    },
    verifies_origin_certificate: true,
    logs: None,
    page: Some(PAGE),
};

/// v2 writes nginx's page with its own word in the footer. v1 writes that of IIS with Application Request Routing, for
/// timeouts too, and nothing tells the two apart.
pub const PAGE: Page = Page {
    rank: 7,
    read: |answer| {
        let page = super::nginx::standard_page(answer);
        if let Some(page) = page.filter(|page| page.is_by("Microsoft-Azure-Application-Gateway")) {
            return Some(page.said("azure_application_gateway"));
        }
        let text = "502 - Web server received an invalid response while acting as a gateway or proxy server.";
        answer.has(text).then(|| Said::by("iis_arr").bad_gateway())
    },
    passed: |answer| {
        let own = answer.server_is("Microsoft-Azure-Application-Gateway");
        own.then_some("azure_application_gateway")
    },
};
