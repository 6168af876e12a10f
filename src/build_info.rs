//! What program this is: filled in when it is built.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, or `unknown` outside a checkout.
pub const REVISION: &str = env!("BADGATEWAY_REVISION");
/// What `--version` prints after the name.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("BADGATEWAY_REVISION"),
    ", ",
    env!("BADGATEWAY_RUSTC"),
    ", ",
    env!("BADGATEWAY_TARGET"),
    ")"
);
