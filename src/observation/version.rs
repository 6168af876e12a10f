//! What a server shows of itself: a product and its version.

use std::fmt;
use std::sync::Arc;

/// A product and its version, as an answer shows them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The product; empty where only a version is named. At most 32 characters.
    pub product: Arc<str>,
    /// Its version; empty where only the product is named. At most 64 characters.
    pub version: Arc<str>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.product, &*self.version) {
            (only, "") | ("", only) => f.write_str(only),
            (product, version) => write!(f, "{product}/{version}"),
        }
    }
}
