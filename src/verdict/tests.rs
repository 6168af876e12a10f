//! The words of verdicts.

use std::time::UNIX_EPOCH;

use super::*;

#[test]
fn every_verdict_explains_itself() {
    for (index, verdict) in Verdict::ALL.iter().enumerate() {
        assert_eq!(verdict.index(), index);
        assert!(verdict.meaning().ends_with('.'), "{verdict}");
        assert_eq!(
            verdict.next_steps().is_empty(),
            *verdict == Verdict::Healthy,
            "{verdict}"
        );
    }
}

#[test]
fn sentences_are_whole() {
    let known = |verdict| Diagnosis {
        verdict,
        hop: Some("edge".into()),
        cause: Some(Cause::ConnectRefused),
        scope: Scope {
            addresses: vec!["192.0.2.1:80".into()],
            of: 3,
            ..Scope::default()
        },
        share: Some(Share { failed: 4, of: 40 }),
        ..Diagnosis::unknown(UNIX_EPOCH)
    };
    for verdict in Verdict::ALL {
        for diagnosis in [
            known(*verdict),
            Diagnosis {
                verdict: *verdict,
                ..Diagnosis::unknown(UNIX_EPOCH)
            },
        ] {
            let sentence = diagnosis.sentence();
            assert!(sentence.ends_with('.') && !sentence.contains(['{', '}']), "{sentence}");
        }
    }
    assert_eq!(
        known(Verdict::OriginPartial).sentence(),
        "Some of the origin's servers fail, 1 of 3 addresses: \
         connect_refused (the host answered that nothing listens on that port)."
    );
    assert_eq!(
        known(Verdict::Intermittent).sentence(),
        "edge fails now and then: in 4 of 40 rounds."
    );
}

#[test]
fn overload_is_said_only_where_it_is_proven() {
    let late = Diagnosis {
        verdict: Verdict::OriginOverloaded,
        cause: Some(Cause::ResponseTimeout),
        ..Diagnosis::unknown(UNIX_EPOCH)
    };
    assert!(late.sentence().starts_with("The origin answers too late"));
    let queued = Diagnosis {
        queue_is_full: true,
        ..late.clone()
    };
    let refused = Diagnosis {
        cause: Some(Cause::ServiceUnavailable),
        ..late
    };
    for proven in [queued, refused] {
        assert!(proven.sentence().starts_with("The origin is overloaded"));
    }
}
