//! Azure Application Gateway.
//!
//! Source: Azure documentation (backend settings, `application-gateway-troubleshooting-502`).
//! - Request timeout 20 s in v2, until the response begins.
//! - Backend certificates are verified: a wrong name or root is a 502.

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
};
