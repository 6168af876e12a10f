//! Every fault that announces itself, row by row of `alerts/guidance.yml`: a real gateway and a real server come near a
//! limit until a client gets an error from the gateway, and the shipped alert of that row holds before. Beside it stands the
//! same gateway before the same server with its own defaults, and no alert above `info` ever holds for that.
//!
//! `watch.rs` is how a row is watched; each other file is a row or two.

#[path = "../support/mod.rs"]
mod support;

mod caches;
mod certificates;
mod gateway_overload;
mod health_check;
mod keepalive;
mod names;
mod origins;
mod queue;
mod redundancy;
mod resolver;
mod retries;
mod size;
mod stale;
mod time;
mod users;
mod watch;
