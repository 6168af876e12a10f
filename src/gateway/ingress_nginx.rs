//! ingress-nginx for Kubernetes.
//!
//! Source: its `config.go` and `nginx.tmpl`.
//! - `proxy-connect-timeout` 5 s, `proxy-send-timeout` and `proxy-read-timeout` 60 s, counted as in nginx.
//! - `proxy-buffer-size` 4k, `upstream-keepalive-timeout` 60 s.
//! - `proxy-ssl-verify`: off, as in nginx.
//!
//! Commands: kubernetes.github.io/ingress-nginx/troubleshooting/ and
//! kubernetes.io/docs/tasks/debug/debug-application/debug-service/.

use super::commands::Command;
use super::{Kind, NONE, kib, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "ingress_nginx",
    aliases: &["nginx_ingress"],
    products: &["nginx"],
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
    commands: &[
        Command {
            shows: "what it says of failed attempts at this backend",
            line: "kubectl logs -n ingress-nginx deploy/ingress-nginx-controller --since=15m | grep -F '{address}'",
        },
        Command {
            shows: "where the ingress leads",
            line: "kubectl describe ingress -n NAMESPACE INGRESS",
        },
        Command {
            shows: "which pods the service has, and which of them are ready",
            line: "kubectl get endpointslices -n NAMESPACE -l kubernetes.io/service-name=SERVICE -o yaml",
        },
    ],
};

// It has no page of its own: its template (`template/nginx.tmpl`) leaves nginx's in place, and since v1.0 there is no
// `Server` header either, so that nothing tells it from nginx.
