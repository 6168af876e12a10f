//! A first configuration from what is already written down elsewhere: for nginx, for HAProxy, for Prometheus.
//!
//! The result is a commented file that loads as it is: what could not be understood, or would not load, stands in it as a
//! comment with the reason. Nothing is asked over the network; included files are read.

use crate::config::Problem;
use crate::gateway_config::{self, Broken, Disk, Product, haproxy, nginx};

mod prometheus;
mod write;

/// A commented `badgateway.yml` from the text of an `nginx.conf` (or of one site's file), of an `haproxy.cfg`, or of a
/// `prometheus.yml`; which of them it is, its content tells.
///
/// `path` is where the text comes from: it stands in messages, and relative includes start at its directory.
/// An include that cannot be read becomes a comment.
///
/// # Errors
/// The text is no such configuration: with file, line, column and what is wrong.
pub fn from_text(text: &str, path: &str) -> Result<String, Problem> {
    let file = match gateway_config::product_of(text) {
        Product::Nginx => write::nginx(&nginx::read(text, path, &Disk::default()).map_err(problem)?),
        Product::Haproxy => write::haproxy(&haproxy::read(text, path).map_err(problem)?),
        Product::Prometheus => write::prometheus(&prometheus::read(text, path)?),
    };
    write::yaml(&file, path)
}

fn problem(broken: Broken) -> Problem {
    Problem {
        file: broken.file,
        line: broken.line,
        column: broken.column,
        path: String::new(),
        message: broken.message,
    }
}

#[cfg(test)]
mod tests;
