//! Wall-clock time; the one place that asks the system.

use std::time::SystemTime;

/// The time now.
#[allow(clippy::disallowed_methods, reason = "this is the one place the lint points to")]
pub fn now() -> SystemTime {
    SystemTime::now()
}
