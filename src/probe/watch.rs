//! Who looks on while a probe is made, without the probe knowing why.

use std::net::IpAddr;

use crate::observation::{Address, End, Resolution, Timings};

/// Somebody who looks on while a probe is made, and may forbid a place.
pub trait Watch: Sync {
    /// Whether a redirect may lead to this address of this host; asked of every host but the one under test.
    fn allows(&self, host: &str, ip: IpAddr) -> bool;

    /// The host of a redirect was looked up.
    fn resolved(&self, resolution: &Resolution);

    /// One exchange ended; the last one's end may be replaced when its redirect is not followed.
    fn exchanged(&self, address: &Address, timings: &Timings, end: &End);
}

/// Nobody looks on.
pub(super) struct Unwatched;

impl Watch for Unwatched {
    fn allows(&self, _: &str, _: IpAddr) -> bool {
        true
    }

    fn resolved(&self, _: &Resolution) {}

    fn exchanged(&self, _: &Address, _: &Timings, _: &End) {}
}
