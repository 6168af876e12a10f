//! An incident: from an upstream leaving `healthy` to its confirmed return, and what changed beside it. Pure.
//!
//! It is what a post-incident review starts from: which verdicts it passed through and when, what failed how often, the
//! first and the last evidence. It is serialised as a whole, in the file and in the API.

mod markdown;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::moment;
use crate::verdict::{Diagnosis, Impact, Verdict};

pub use markdown::markdown;

/// Steps kept of one incident: the first ones, which say how it began, and the last.
const MAX_FIRST_STEPS: usize = 10;
/// All steps kept of one incident.
const MAX_STEPS: usize = 40;
/// Pairs of hop and cause that are counted apart.
const MAX_COUNTS: usize = 64;
/// A change this long before an incident stands beside it.
pub const BEFORE: Duration = Duration::from_secs(15 * 60);

/// One incident of one upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Unique in its file; later ones are greater.
    pub id: u64,
    /// The upstream.
    pub upstream: Arc<str>,
    /// When its verdict left `healthy`.
    #[serde(with = "moment::rfc3339")]
    pub began: SystemTime,
    /// How and when it ended; `None` while it is open.
    pub end: Option<Ended>,
    /// When it was last heard of.
    #[serde(with = "moment::rfc3339")]
    pub seen: SystemTime,
    /// The worst it had.
    pub impact: Impact,
    /// What was said of it, in order.
    pub steps: Vec<Step>,
    /// Steps between the first ten and the others that are not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_left_out: u64,
    /// Failed first attempts of rounds.
    pub probes: Vec<Count>,
    /// Real requests meanwhile, in the log of the outermost gateway that has one.
    pub requests: Requests,
    /// Seconds of it in which this program did not run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unwatched_seconds: u64,
    /// Of the failure that began it.
    pub first: Option<Arc<Evidence>>,
    /// Of the latest failure.
    pub last: Option<Arc<Evidence>>,
}

/// What was said of an upstream from that time on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Since when.
    #[serde(with = "moment::rfc3339")]
    pub at: SystemTime,
    /// Where the fault lay.
    pub verdict: Verdict,
    /// Whether users felt it.
    pub impact: Impact,
    /// The hop to fix.
    pub hop: Option<Arc<str>>,
    /// Why.
    pub cause: Option<Cause>,
    /// The whole in one sentence.
    pub sentence: Box<str>,
}

/// Failed first attempts at one hop with one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The hop; `other` beyond what is counted apart.
    pub hop: Arc<str>,
    /// Why.
    pub cause: Cause,
    /// How many.
    pub failed: u64,
}

/// Real requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requests {
    /// All of them.
    pub total: u64,
    /// Those that failed.
    pub failed: u64,
}

/// How and when an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    #[serde(with = "moment::rfc3339")]
    pub at: SystemTime,
    /// How.
    pub how: Ending,
}

/// How an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its recovery was confirmed.
    Recovered,
    /// The upstream left the configuration.
    Removed,
    /// Nobody watched the upstream for a day.
    Unwatched,
}

/// Something that changed: a deploy, a new version, a new configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// When.
    #[serde(with = "moment::rfc3339")]
    pub at: SystemTime,
    /// What kind of change.
    pub kind: MarkerKind,
    /// The upstream it concerns; `None` concerns all.
    pub upstream: Option<Arc<str>>,
    /// What changed, in words.
    pub text: Box<str>,
    /// Where more is written, an http(s) URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<str>>,
}

/// What kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkerKind {
    /// New code went out; told by `POST /api/v1/events`.
    Deploy,
    /// Any other change; told likewise.
    Change,
    /// Answers name another version than before (`version_header`).
    Version,
    /// The configuration file of a gateway changed.
    GatewayConfig,
    /// This program took over another configuration.
    Configuration,
}

impl MarkerKind {
    /// As it is written in JSON.
    pub fn label(self) -> &'static str {
        match self {
            MarkerKind::Deploy => "deploy",
            MarkerKind::Change => "change",
            MarkerKind::Version => "version",
            MarkerKind::GatewayConfig => "gateway_config",
            MarkerKind::Configuration => "configuration",
        }
    }
}

/// An incident with the changes beside it, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WithChanges {
    /// The incident.
    #[serde(flatten)]
    pub incident: Incident,
    /// The verdict that stood longest.
    pub verdict: Verdict,
    /// From its beginning to its end, or to now.
    pub seconds: u64,
    /// What changed from a quarter of an hour before it to its end, the earliest first.
    pub changes: Vec<Marker>,
}

impl Step {
    fn of(diagnosis: &Diagnosis, at: SystemTime) -> Step {
        Step {
            at,
            verdict: diagnosis.verdict,
            impact: diagnosis.impact,
            hop: diagnosis.hop.clone(),
            cause: diagnosis.cause,
            sentence: diagnosis.sentence().into(),
        }
    }
}

impl Incident {
    /// One that begins with this diagnosis; `first` is the failure that began it.
    pub fn begin(
        id: u64,
        upstream: Arc<str>,
        at: SystemTime,
        diagnosis: &Diagnosis,
        first: Option<Arc<Evidence>>,
    ) -> Incident {
        Incident {
            id,
            upstream,
            began: at,
            end: None,
            seen: at,
            impact: diagnosis.impact,
            steps: vec![Step::of(diagnosis, at)],
            steps_left_out: 0,
            probes: Vec::new(),
            requests: Requests::default(),
            unwatched_seconds: 0,
            last: first.clone(),
            first,
        }
    }

    /// Something else is said of the upstream now. The same again, as after a restart, is no step.
    pub fn step(&mut self, at: SystemTime, diagnosis: &Diagnosis) {
        self.seen = at;
        self.impact = self.impact.min(diagnosis.impact);
        let step = Step::of(diagnosis, at);
        let said = |step: &Step| (step.verdict, step.impact, step.hop.clone(), step.cause);
        if self.steps.last().is_some_and(|last| said(last) == said(&step)) {
            return;
        }
        if self.steps.len() >= MAX_STEPS {
            self.steps.remove(MAX_FIRST_STEPS);
            self.steps_left_out += 1;
        }
        self.steps.push(step);
    }

    /// A probe failed; first attempts of rounds are counted.
    pub fn failed(&mut self, evidence: &Arc<Evidence>, counts: bool) {
        self.seen = self.seen.max(evidence.at);
        if self.first.is_none() {
            self.first = Some(Arc::clone(evidence));
        }
        self.last = Some(Arc::clone(evidence));
        if !counts {
            return;
        }
        let is_same = |count: &&mut Count| count.hop == evidence.hop && count.cause == evidence.cause;
        let full = self.probes.len() >= MAX_COUNTS;
        match self.probes.iter_mut().find(is_same) {
            Some(count) => count.failed += 1,
            None if full => {}
            None => self.probes.push(Count {
                hop: Arc::clone(&evidence.hop),
                cause: evidence.cause,
                failed: 1,
            }),
        }
    }

    /// True until it has ended.
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// From its beginning to its end, or to now.
    pub fn lasted(&self, now: SystemTime) -> Duration {
        let end = self.end.map_or(now, |end| end.at);
        end.duration_since(self.began).unwrap_or_default()
    }

    /// The verdict that stood longest: what the incident was. The first moments of one are often told differently.
    pub fn verdict(&self, now: SystemTime) -> Verdict {
        let until = self.end.map_or(now, |end| end.at);
        let ends = self.steps.iter().skip(1).map(|step| step.at).chain([until]);
        let lasted = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
        let mut times: BTreeMap<Verdict, Duration> = BTreeMap::new();
        for (step, end) in self.steps.iter().zip(ends).filter(|(step, _)| step.verdict.is_fault()) {
            *times.entry(step.verdict).or_default() += lasted(step.at, end);
        }
        let longest = times.into_iter().rev().max_by_key(|(_, time)| *time);
        longest.map_or(Verdict::Unknown, |(verdict, _)| verdict)
    }

    /// The incident with what changed beside it.
    pub fn with_changes<'a>(&self, markers: impl Iterator<Item = &'a Marker>, now: SystemTime) -> WithChanges {
        let from = self.began.checked_sub(BEFORE).unwrap_or(SystemTime::UNIX_EPOCH);
        let until = self.end.map_or(now, |end| end.at);
        let beside = |marker: &&Marker| {
            let concerns = marker.upstream.as_ref().is_none_or(|name| *name == self.upstream);
            concerns && marker.at >= from && marker.at <= until
        };
        let mut changes: Vec<Marker> = markers.filter(beside).cloned().collect();
        changes.sort_by_key(|marker| marker.at);
        WithChanges {
            verdict: self.verdict(now),
            seconds: self.lasted(now).as_secs(),
            incident: self.clone(),
            changes,
        }
    }
}

impl WithChanges {
    /// `40 s before`, `3 min after`: when a change was, seen from the beginning of the incident.
    pub fn when(&self, marker: &Marker) -> String {
        match self.incident.began.duration_since(marker.at) {
            Ok(before) => format!("{} before", moment::rough(before)),
            Err(after) => format!("{} after", moment::rough(after.duration())),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_640_000 + seconds)
    }

    pub(crate) fn said(verdict: Verdict, impact: Impact) -> Diagnosis {
        Diagnosis {
            verdict,
            impact,
            cause: Some(Cause::ConnectRefused),
            hop: Some("origin".into()),
            ..Diagnosis::unknown(at(0))
        }
    }

    pub(crate) fn evidence(seconds: u64) -> Arc<Evidence> {
        let json = serde_json::json!({
            "at": humantime::format_rfc3339_millis(at(seconds)).to_string(),
            "hop": "origin",
            "url": "http://10.0.0.1:8080/",
            "address": "10.0.0.1:8080",
            "path": "/",
            "purpose": "scheduled",
            "cause": "connect_refused",
            "text": "connection refused",
        });
        Arc::new(serde_json::from_value(json).expect("it is whole"))
    }

    #[test]
    fn it_remembers_how_it_began_and_how_it_went_on() {
        let began = said(Verdict::OriginDown, Impact::Redundancy);
        let mut incident = Incident::begin(1, "shop".into(), at(0), &began, Some(evidence(0)));
        for second in 1..100 {
            incident.failed(&evidence(second), true);
            let verdict = if second % 2 == 0 {
                Verdict::OriginPartial
            } else {
                Verdict::OriginTls
            };
            incident.step(at(second), &said(verdict, Impact::Users));
            incident.step(at(second), &said(verdict, Impact::Users));
        }
        assert_eq!(incident.steps.len(), MAX_STEPS);
        assert_eq!(incident.steps_left_out, 60);
        assert_eq!(incident.steps[0].verdict, Verdict::OriginDown);
        assert_eq!(incident.steps[MAX_STEPS - 1].at, at(99));
        assert_eq!(incident.impact, Impact::Users);
        assert_eq!(incident.verdict(at(200)), Verdict::OriginTls);
        assert_eq!(
            incident.probes,
            [Count {
                hop: "origin".into(),
                cause: Cause::ConnectRefused,
                failed: 99
            }]
        );
        assert_eq!(incident.first.as_ref().unwrap().at, at(0));
        assert_eq!(incident.last.as_ref().unwrap().at, at(99));
        let json = serde_json::to_string(&incident).unwrap();
        assert_eq!(serde_json::from_str::<Incident>(&json).unwrap(), incident);
    }

    #[test]
    fn changes_stand_beside_the_incident_they_may_have_caused() {
        let mut incident = Incident::begin(
            1,
            "shop".into(),
            at(1000),
            &said(Verdict::OriginDown, Impact::Users),
            None,
        );
        incident.end = Some(Ended {
            at: at(1100),
            how: Ending::Recovered,
        });
        let marker = |seconds, upstream: Option<&str>| Marker {
            at: at(seconds),
            kind: MarkerKind::Deploy,
            upstream: upstream.map(Into::into),
            text: "1.2".into(),
            link: None,
        };
        let all = [
            marker(1050, None),
            marker(960, Some("shop")),
            marker(960, Some("other")),
            marker(50, Some("shop")),
            marker(1101, None),
        ];
        let shown = incident.with_changes(all.iter(), at(5000));
        assert_eq!(shown.changes, [marker(960, Some("shop")), marker(1050, None)]);
        assert_eq!(shown.when(&shown.changes[0]), "40 s before");
        assert_eq!(shown.when(&shown.changes[1]), "50 s after");
        assert_eq!(shown.seconds, 100);
    }
}
