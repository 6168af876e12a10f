//! ingress-nginx for Kubernetes.
//!
//! Source: its `config.go` and `nginx.tmpl`.
//! - `proxy-connect-timeout` 5 s, `proxy-send-timeout` and `proxy-read-timeout` 60 s, counted as in nginx.
//! - `proxy-buffer-size` 4k, `upstream-keepalive-timeout` 60 s.
//! - `proxy-ssl-verify`: off, as in nginx.

use super::{Kind, NONE, kib, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "ingress_nginx",
    aliases: &["nginx_ingress"],
    limits: Limits {
        connect: secs(5),
        send: secs(60),
        first_byte: secs(60),
        between_reads: secs(60),
        idle: secs(60),
        response_header: kib(4),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: Some(&super::nginx::LOGS),
    page: None,
};

// It has no page of its own: its template (`template/nginx.tmpl`) leaves nginx's in place, and since v1.0 there is no
// `Server` header either, so that nothing tells it from nginx.
