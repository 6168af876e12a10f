//! Istio: Envoy as sidecar or gateway, configured by its control plane.
//!
//! Source: the configuration reference of Envoy. Istio sets no route timeout; its connect timeout differs between versions and
//! belongs into `limits`.
//!
//! Commands: istio.io/latest/docs/ops/diagnostic-tools/proxy-cmd/ and
//! istio.io/latest/docs/reference/commands/istioctl/.

use super::commands::Command;
use super::page::Page;
use super::{Kind, NONE, secs};
use crate::upstream::Limits;

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "istio",
    aliases: &[],
    products: &["istio-envoy"],
    limits: Limits {
        between_reads: secs(300),
        idle: secs(3600),
        ..NONE
    },
    verifies_origin_certificate: false,
    logs: Some(&super::envoy::LOGS),
    page: Some(PAGE),
    commands: &[
        Command {
            shows: "which proxies are behind their control plane",
            line: "istioctl proxy-status",
        },
        Command {
            shows: "what the proxy thinks of this backend",
            line: "istioctl proxy-config endpoints POD -n NAMESPACE | grep -F '{address}'",
        },
        Command {
            shows: "how the cluster of this backend is configured",
            line: "istioctl proxy-config clusters POD -n NAMESPACE --fqdn '{host}' -o json",
        },
        Command {
            shows: "mistakes in the configuration",
            line: "istioctl analyze -n NAMESPACE",
        },
    ],
};

/// Its local replies are Envoy's; `Server` tells the two apart.
pub const PAGE: Page = Page {
    rank: 14,
    read: |answer| match answer.server_is("istio-envoy") {
        true => super::envoy::local_reply(answer, "istio"),
        false => None,
    },
    passed: |answer| answer.server_is("istio-envoy").then_some("istio"),
};
