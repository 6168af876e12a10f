//! OpenResty: nginx with Lua, the limits of nginx.
//!
//! Source: the OpenResty patches, which change none of them. Sockets opened by Lua code have limits of their own.

use super::Kind;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "openresty",
    aliases: &[],
    limits: super::nginx::KIND.limits,
    verifies_origin_certificate: false,
    logs: Some(&super::nginx::LOGS),
};
