//! nginx.
//!
//! Source: `ngx_http_proxy_module.c` and `ngx_http_upstream_keepalive_module.c`.
//! - `proxy_connect_timeout`, `proxy_send_timeout`, `proxy_read_timeout`: 60 s each. Send and read are between two operations,
//!   not totals; the wait for the first byte is a read like any other.
//! - `proxy_buffer_size`: one page (4 KiB on x86, 8 KiB where pages are larger); the whole head must fit.
//! - `keepalive_timeout` in `upstream`: 60 s.
//! - `proxy_ssl_verify`: off.

use super::{Kind, NONE, kib, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "nginx",
    aliases: &[],
    limits: Limits {
        connect: secs(60),
        send: secs(60),
        first_byte: secs(60),
        between_reads: secs(60),
        idle: secs(60),
        response_header: kib(4),
        ..NONE
    },
    verifies_origin_certificate: false,
};
