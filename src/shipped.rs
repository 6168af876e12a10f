//! What is shipped beside the code and embedded in it, so that an upgrade leaves none of it behind: rules, runbooks,
//! dashboards.

pub mod rules;

/// A file by its name without ending.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Of a runbook the name of its alert; what they share is `README`.
    pub name: &'static str,
    /// All of it.
    pub text: &'static str,
}

/// `alerts/badgateway.rules.yml`.
pub const RULES: &str = include_str!("../alerts/badgateway.rules.yml");

// The lists of whole folders, written by build.rs.
include!(concat!(env!("OUT_DIR"), "/shipped.rs"));
