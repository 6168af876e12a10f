//! How times and stretches of time are written, for people and in JSON. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-11-20 12:31:05 UTC`.
pub fn utc(at: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// `12 s`, `4 min`, `3 h`, `2 d`: a stretch of time as people say it.
pub fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// How times are written in JSON: `2026-11-20T12:31:05.250Z`. To be named in `#[serde(with = "…")]`.
pub mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// With milliseconds, in UTC.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(*at))
    }

    /// Any RFC 3339 time in UTC.
    ///
    /// # Errors
    /// The text is no such time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }
}

/// `2026-11-20T12:31:05.250Z`, from milliseconds since the epoch; times before it are the epoch.
pub fn rfc3339_millis(millis: i64) -> String {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_for_people() {
        assert_eq!(
            utc(UNIX_EPOCH + Duration::from_secs(1_763_641_865)),
            "2025-11-20 12:31:05 UTC"
        );
    }
}
