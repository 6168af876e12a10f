//! Apache Traffic Server.
//!
//! No default is stated here: its timeouts are set per installation in `records.yaml`; write them under `limits`.
//! Its policy for server certificates is `PERMISSIVE`: what does not verify is logged and used.

use super::{Kind, NONE};

/// What is known of it.
pub const KIND: Kind = Kind {
    name: "trafficserver",
    aliases: &["ats", "traffic_server"],
    limits: NONE,
    verifies_origin_certificate: false,
    logs: None,
};
