//! A gateway's health check, replayed: when it would take a server out, and when it would put it back.

use crate::upstream::HealthCheck;

/// Where the replay of one address stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    healthy: Option<bool>,
    /// Results in a row that contradict it.
    against: u32,
}

impl Replay {
    /// Takes a check in; true when the gateway would turn the server by it.
    ///
    /// 1. The first one decides at once, as HAProxy has it: a new server is up, and down at its first failure.
    /// 2. Then so many in a row turn it; one to the contrary begins the count anew.
    pub fn take(&mut self, passed: bool, check: &HealthCheck) -> bool {
        let Some(healthy) = self.healthy else {
            self.healthy = Some(passed);
            return false;
        };
        if passed == healthy {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let needed = if healthy {
            check.unhealthy_after
        } else {
            check.healthy_after
        };
        let turns = self.against >= needed;
        if turns {
            (self.healthy, self.against) = (Some(passed), 0);
        }
        turns
    }

    /// Whether the gateway keeps the server; `None` before the first check.
    pub fn healthy(&self) -> Option<bool> {
        self.healthy
    }
}

/// Whether an answer of that status passes.
pub fn passes(status: u16) -> bool {
    (200..400).contains(&status)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The states after each of these checks, `+` for one that passed, three failures and two successes turning it.
    fn replayed(checks: &str) -> (String, u32) {
        let check = HealthCheck {
            request: None,
            port: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            unhealthy_after: 3,
            healthy_after: 2,
        };
        let (mut replay, mut turns) = (Replay::default(), 0);
        let states = checks.chars().map(|passed| {
            turns += u32::from(replay.take(passed == '+', &check));
            if replay.healthy() == Some(true) { 'U' } else { 'D' }
        });
        (states.collect(), turns)
    }

    #[test]
    fn so_many_in_a_row_turn_it() {
        for (checks, states, turns) in [
            ("++--+--++", "UUUUUUUUU", 0),
            ("+---+--++", "UUUDDDDDU", 2),
            ("-+-++---", "DDDDUUUD", 2),
            ("", "", 0),
        ] {
            assert_eq!(replayed(checks), (states.to_owned(), turns), "{checks}");
        }
    }

    #[test]
    fn redirects_pass_and_errors_do_not() {
        let verdicts = [200, 204, 302, 399, 400, 404, 503].map(passes);
        assert_eq!(verdicts, [true, true, true, true, false, false, false]);
    }
}
