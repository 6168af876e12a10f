//! The zoo of misbehaving peers, and what it takes to watch the daemon watching them.
//!
//! Black box: the daemon is a child process that is given a configuration and read through its log and `/metrics`.
//! Everything listens on loopback with a port of its own, so tests run side by side.

// Each test binary uses its own part of the zoo.
#![allow(dead_code)]

pub mod cases;
pub mod clock;
pub mod daemon;
pub mod dns;
pub mod gateways;
pub mod http;
pub mod metrics;
pub mod mounts;
pub mod netns;
pub mod nginx_lines;
pub mod notation;
pub mod ocsp;
pub mod peers;
pub mod pki;
pub mod process;
pub mod programs;
pub mod stack;
