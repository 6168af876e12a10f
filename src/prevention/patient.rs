//! A probe that waits longer than a round does, and longer than the gateway in front: does a slow answer come late, or never?

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::{LimitKind, Limits};

/// The longest wait. Beyond it no user waits, and few gateways do.
pub const LONGEST: Duration = Duration::from_secs(120);
/// While answers are slow but come, one is asked for this often.
const EVERY: Duration = Duration::from_secs(600);
/// Rounds from one to the next at least: a twentieth of the rounds at most.
pub(super) const ROUNDS_BETWEEN: u32 = 20;

/// What a patient probe of a hop waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The limit of the gateway in front, on a first byte or on the whole exchange.
    pub limit: LimitKind,
    /// After this the gateway gives up.
    pub gives_up: Duration,
    /// The deadline of the probe: half as long again, and no longer than [`LONGEST`].
    pub wait: Duration,
}

/// The plan for a hop whose plain probes wait for `timeout`. `None` where the gateway in front has no such limit, or where
/// plain probes wait as long.
pub fn plan(limits: &Limits, timeout: Duration) -> Option<Plan> {
    let known = [LimitKind::FirstByte, LimitKind::Total];
    let known = known.into_iter().filter_map(|limit| Some((limits.time(limit)?, limit)));
    let (gives_up, limit) = known.filter(|(time, _)| !time.is_zero()).min()?;
    let wait = gives_up.mul_f64(1.5).min(LONGEST);
    (wait > timeout).then_some(Plan { limit, gives_up, wait })
}

/// How a hop answered in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Within half of what plain probes wait, where it answered; or it failed in another way.
    Quick,
    /// Later, but it answered.
    Slow,
    /// Some probe waited in vain for a first byte.
    TimedOut,
}

/// The patient probes of one hop.
#[derive(Debug, Default)]
pub struct Patience {
    last: Option<Instant>,
    /// The last round was late as well.
    late: bool,
    told: Option<Told>,
}

impl Patience {
    /// Whether one is to be made after a round that ended now; it then counts as made.
    ///
    /// 1. After a timeout, and every ten minutes while answers are slow.
    /// 2. Never within twenty rounds of the one before.
    pub fn begin(&mut self, pace: Pace, interval: Duration, now: Instant) -> bool {
        self.late = pace != Pace::Quick;
        let distance = match pace {
            Pace::Quick => return false,
            Pace::TimedOut => interval * ROUNDS_BETWEEN,
            Pace::Slow => EVERY.max(interval * ROUNDS_BETWEEN),
        };
        let due = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= distance);
        if due {
            self.last = Some(now);
        }
        due
    }

    /// Keeps what one said.
    pub fn tell(&mut self, told: Told) {
        self.told = Some(told);
    }

    /// What the last one said; nothing while the hop answers quickly, or fails in other ways.
    pub fn told(&self) -> Option<&Told> {
        self.told.as_ref().filter(|_| self.late)
    }
}

/// What a patient probe found out. Its text stands behind the evidence of a failure: `answers after 38 s, edge gives up at
/// 30 s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The gateway in front.
    pub gateway: Arc<str>,
    /// When that gives up.
    pub gives_up: Duration,
    /// What of the exchange the limit is compared with; `None` where nothing came.
    pub answered: Option<Duration>,
    /// How long the probe waited, or would have.
    pub waited: Duration,
}

impl Told {
    /// The gateway gives up before the answer comes, if one comes.
    pub fn is_beyond(&self) -> bool {
        self.answered.is_none_or(|after| after >= self.gives_up)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answered {
            Some(after) => write!(f, "answers after {}", Seconds(after))?,
            None => write!(f, "does not answer within {}", Seconds(self.waited))?,
        }
        let verb = if self.waited < self.gives_up || !self.is_beyond() {
            "waits"
        } else {
            "gives up at"
        };
        write!(f, ", {} {verb} {}", self.gateway, Seconds(self.gives_up))
    }
}

/// `38 s`, `2.4 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64() {
            seconds if seconds < 10.0 && self.0.subsec_millis() >= 50 => write!(f, "{seconds:.1} s"),
            seconds => write!(f, "{seconds:.0} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_waits_half_as_long_again_as_the_gateway() {
        let limits = |first_byte, total| Limits {
            first_byte,
            total,
            ..Limits::default()
        };
        let wait = |limits: Limits, timeout| plan(&limits, timeout).map(|plan| (plan.limit, plan.wait));
        for (known, timeout, expected) in [
            (limits(Some(secs(30)), None), 10, Some((LimitKind::FirstByte, secs(45)))),
            (
                limits(Some(secs(60)), Some(secs(15))),
                10,
                Some((LimitKind::Total, Duration::from_millis(22_500))),
            ),
            (limits(Some(secs(300)), None), 10, Some((LimitKind::FirstByte, LONGEST))),
            // Plain probes wait as long themselves.
            (limits(Some(secs(4)), None), 10, None),
            (limits(None, None), 10, None),
            (limits(Some(Duration::ZERO), None), 10, None),
        ] {
            assert_eq!(wait(known, secs(timeout)), expected, "{known:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_follows_a_timeout_and_few_more_do() {
        let (start, interval) = (Instant::now(), secs(15));
        let mut patience = Patience::default();
        let mut begin = |pace, after| patience.begin(pace, interval, start + secs(after));
        assert!(!begin(Pace::Quick, 0));
        assert!(begin(Pace::TimedOut, 0));
        assert!(!begin(Pace::TimedOut, 299), "twenty rounds lie between two");
        assert!(begin(Pace::TimedOut, 300));
        assert!(!begin(Pace::Slow, 899), "ten minutes, where answers come");
        assert!(begin(Pace::Slow, 900));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_of_late_answers_says_nothing_of_others() {
        let (now, interval) = (Instant::now(), secs(15));
        let mut patience = Patience::default();
        patience.begin(Pace::TimedOut, interval, now);
        patience.tell(Told {
            gateway: "edge".into(),
            gives_up: secs(30),
            answered: None,
            waited: secs(45),
        });
        assert!(patience.told().is_some());
        patience.begin(Pace::Quick, interval, now + interval);
        assert_eq!(patience.told(), None);
        patience.begin(Pace::TimedOut, interval, now + interval * 2);
        assert!(patience.told().is_some(), "late again, and the next probe is not due");
    }

    #[test]
    fn it_says_whether_an_answer_comes_late_or_never() {
        let told = |answered: Option<u64>, waited, gives_up| {
            Told {
                gateway: "edge".into(),
                gives_up: secs(gives_up),
                answered: answered.map(secs),
                waited: secs(waited),
            }
            .to_string()
        };
        assert_eq!(told(Some(38), 45, 30), "answers after 38 s, edge gives up at 30 s");
        assert_eq!(told(Some(12), 45, 30), "answers after 12 s, edge waits 30 s");
        assert_eq!(told(None, 45, 30), "does not answer within 45 s, edge gives up at 30 s");
        assert_eq!(told(None, 120, 300), "does not answer within 120 s, edge waits 300 s");
    }
}
