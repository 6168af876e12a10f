//! A first configuration from what is already written down elsewhere.
//!
//! The result is a commented file that loads as it is: what could not be understood, or would not load, stands in it as a
//! comment with the reason. Nothing is asked over the network; included files are read.

use crate::config::Problem;

mod found;
mod include;
mod nginx;
mod write;

/// A commented `badgateway.yml` from the text of an `nginx.conf` (or of one site's file).
///
/// `path` is where the text comes from: it stands in messages, and relative includes start at its directory.
/// An include that cannot be read becomes a comment.
///
/// # Errors
/// The text is not nginx configuration: with file, line, column and what is wrong.
pub fn from_nginx(text: &str, path: &str) -> Result<String, Problem> {
    let directives = nginx::parse(text, path, &include::files)?;
    Ok(write::yaml(&found::collect(&directives), path))
}

#[cfg(test)]
mod tests;
