//! Envelopes as they are really written, and any bytes.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::tail::sink::Begun;
use crate::tail::tests::Taken;
use crate::tail::{Lines, SkippedLine, Status};

/// Writes down a line with all that is known of it.
#[derive(Default, Clone)]
struct Told(Taken);

impl Lines for Told {
    fn line(&mut self, line: &[u8], seen: &Seen<'_>) {
        let text = |bytes: Option<&[u8]>| bytes.map_or("-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned());
        let stream = seen.stream.map_or("-".into(), |stream| format!("{stream:?}"));
        let told = format!(
            "{stream}|{}|{}|{}",
            text(seen.program),
            text(seen.stamp),
            text(Some(line))
        );
        self.0.line(told.as_bytes(), &Seen::default());
    }

    fn skipped(&mut self, line: &SkippedLine<'_>) {
        let sample = &line.sample[..line.sample.len().min(10)];
        self.0.skipped(&SkippedLine { sample, ..*line });
    }
}

fn told(kind: Envelope, text: &[u8]) -> Vec<String> {
    let told = Told::default();
    let mut sink = Sink::new(Box::new(told.clone()), Arc::new(Status::default()), kind);
    let mut begun = Begun::default();
    let done = sink.chunk(text, &mut begun, &Seen::default());
    sink.end(&text[done..], &mut begun, &Seen::default());
    told.0.take()
}

#[test]
fn container_logs() {
    let cases: [(Envelope, &str, &[&str]); 13] = [
        (
            Envelope::Cri,
            "2016-10-06T00:17:09.669794202Z stdout F The content of the log\n",
            &["Stdout|-|2016-10-06T00:17:09.669794202Z|The content of the log"],
        ),
        (
            Envelope::Cri,
            "2016-10-06T00:17:09.669794202+02:00 stderr P a \n2016-10-06T00:17:10Z stdout F x\n2016-10-06T00:17:11Z stderr F:tag b\n",
            &["Stdout|-|2016-10-06T00:17:10Z|x", "Stderr|-|2016-10-06T00:17:11Z|a b"],
        ),
        (
            Envelope::Cri,
            "2016-10-06T00:17:11Z stdout F\n2016-10-06T00:17:11Z stdout F \n",
            &[],
        ),
        (
            Envelope::Cri,
            "no envelope\n2016-10-06T00:17:11Z other F x\n",
            &["-|-|-|no envelope", "-|-|-|2016-10-06T00:17:11Z other F x"],
        ),
        (
            Envelope::Cri,
            "2016-10-06T00:17:11Z stdout P half",
            &["Stdout|-|-|half"],
        ),
        (
            Envelope::Docker,
            r#"{"log":"GET \"/\u00e9\ud83d\ude00\ud83d\" \\ \u0026\n","stream":"stdout","time":"2026-11-20T15:45:17.1Z"}"#,
            &["Stdout|-|2026-11-20T15:45:17.1Z|GET \"/é😀\u{fffd}\" \\ &"],
        ),
        (
            Envelope::Docker,
            "{\"log\":\"a\",\"stream\":\"stderr\",\"time\":\"1\"}\n{\"log\":\"b\\r\\n\",\"stream\":\"stderr\",\"attrs\":{\"x\":[\"}\",1]},\"time\":\"2\"}\n",
            &["Stderr|-|2|ab"],
        ),
        (
            Envelope::Docker,
            r#" { "log" : "x\n" , "n" : 12 , "stream" : "stdout" } "#,
            &["Stdout|-||x"],
        ),
        (
            Envelope::Docker,
            r#"{"log":"a\u0000b\n","stream":"stdout"}"#,
            &["Binary: a\\x00b"],
        ),
        (Envelope::Docker, "{\"log\":\"x\\q\"}", &["-|-|-|{\"log\":\"x\\q\"}"]),
        (Envelope::Docker, "{\"log\":\"cut", &["-|-|-|{\"log\":\"cut"]),
        (
            Envelope::Docker,
            "{\"stream\":\"stdout\"}",
            &["-|-|-|{\"stream\":\"stdout\"}"],
        ),
        (Envelope::Plain, "<1>a\n", &["-|-|-|<1>a"]),
    ];
    for (kind, text, expected) in cases {
        assert_eq!(told(kind, text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn syslog_headers() {
    let cases = [
        // HAProxy, format rfc3164 and local: no host.
        (
            "<134>Nov 20 15:45:17 haproxy[14389]: 10.0.1.2:33317 [20/Nov/2026:15:45:17.655] http-in static/srv1 …",
            "haproxy|Nov 20 15:45:17|10.0.1.2:33317 [20/Nov/2026:15:45:17.655] http-in static/srv1 …",
        ),
        // nginx: the time in local time, the host, the tag without a number.
        (
            "<190>Nov  2 05:45:17 web-1 nginx: 10.0.0.1 - - [x] \"GET / HTTP/1.1\" 502",
            "nginx|Nov  2 05:45:17|10.0.0.1 - - [x] \"GET / HTTP/1.1\" 502",
        ),
        (
            "<187>Nov 20 15:45:17 nginx: 2026/11/20 15:45:17 [error] 7#7: *1 x",
            "nginx|Nov 20 15:45:17|2026/11/20 15:45:17 [error] 7#7: *1 x",
        ),
        (
            "<190>Nov 20 15:45:17 2001:db8::1 nginx: x: y",
            "nginx|Nov 20 15:45:17|x: y",
        ),
        // RFC 5424, section 6.5, and HAProxy's.
        (
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed",
            "su|2003-10-11T22:14:15.003Z|'su root' failed",
        ),
        (
            "<165>1 2003-10-11T22:14:15.003-07:00 host evntslog - ID47 [exampleSDID@32473 iut=\"3\" a=\"\\\"]\\\\\"][b@1 c=\"d\"] text",
            "evntslog|2003-10-11T22:14:15.003-07:00|text",
        ),
        (
            "<134>1 2026-11-20T15:45:17+00:00 host haproxy 7 - - x",
            "haproxy|2026-11-20T15:45:17+00:00|x",
        ),
        ("<134>1 - - - - - - x", "-|-|x"),
        // HAProxy, formats priority and short, timed, iso, raw.
        ("<134>10.0.1.2:33317 [x] in", "-|-|10.0.1.2:33317 [x] in"),
        ("<6>10.0.1.2:33317 [x] in", "-|-|10.0.1.2:33317 [x] in"),
        (
            "<6>2026-11-20T15:45:17.123456+00:00 10.0.1.2:33317 [x] in",
            "-|2026-11-20T15:45:17.123456+00:00|10.0.1.2:33317 [x] in",
        ),
        (
            "2026-11-20T15:45:17.123456+00:00 10.0.1.2:33317 [x] in",
            "-|2026-11-20T15:45:17.123456+00:00|10.0.1.2:33317 [x] in",
        ),
        ("10.0.1.2:33317 [x] in", "-|-|10.0.1.2:33317 [x] in"),
        // Files of rsyslog: RSYSLOG_TraditionalFileFormat, RSYSLOG_FileFormat.
        ("Nov 20 15:45:17 web-1 haproxy[14389]: x", "haproxy|Nov 20 15:45:17|x"),
        (
            "2026-11-20T15:45:17.123456+01:00 web-1 haproxy[14389]: x",
            "haproxy|2026-11-20T15:45:17.123456+01:00|x",
        ),
        // What begins like a header and is none.
        ("<1234>x", "-|-|<1234>x"),
        ("<>x", "-|-|<>x"),
        ("<134>1 x", "-|-|1 x"),
        (
            "<134>1 2026-11-20T15:45:17Z h a p m [x",
            "-|-|1 2026-11-20T15:45:17Z h a p m [x",
        ),
        ("Nov 20 25:45", "-|-|Nov 20 25:45"),
        ("2026-11-20T15:45:17", "-|-|2026-11-20T15:45:17"),
        ("{\"a\": 1}", "-|-|{\"a\": 1}"),
        ("<134>{\"a\": 1}", "-|-|{\"a\": 1}"),
        ("Nov 20 15:45:17 web-1 a]b: x", "-|Nov 20 15:45:17|web-1 a]b: x"),
    ];
    for (line, expected) in cases {
        assert_eq!(
            told(Envelope::Syslog, line.as_bytes()),
            [format!("-|{expected}")],
            "{line}"
        );
    }
}

#[test]
fn joined_lines_are_bounded() {
    let part = format!("2016-10-06T00:17:11Z stdout P {}\n", "x".repeat(16 * 1024));
    let end = "2016-10-06T00:17:11Z stdout F end\n2016-10-06T00:17:11Z stdout F next\n";
    let text = part.repeat(4) + end;
    assert_eq!(
        told(Envelope::Cri, text.as_bytes()),
        ["TooLong: xxxxxxxxxx", "Stdout|-|2016-10-06T00:17:11Z|next"]
    );
    let text = part.repeat(1_000) + end;
    assert_eq!(told(Envelope::Cri, text.as_bytes()).len(), 2);
}

/// Text out of the words of all envelopes.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "{",
        "}",
        "\"log\":",
        "\"a\\n\"",
        "\"",
        "\\",
        "\\u",
        "d83d",
        ",",
        ":",
        "<134>",
        "1 ",
        "[",
        "]",
        "- ",
        " ",
        "\n",
        "Nov 20 15:45:17 ",
        "2026-11-20T15:45:17Z ",
        "stdout ",
        "stderr ",
        "P ",
        "F ",
        "nginx: ",
        "\0",
        "x",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40)
        .prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_give_no_more_than_they_hold(
        kind in proptest::sample::select(vec![Envelope::Plain, Envelope::Cri, Envelope::Docker, Envelope::Syslog]),
        text in prop_oneof![likely(), proptest::collection::vec(any::<u8>(), 0..300)],
    ) {
        let taken = Counted::default();
        let mut sink = Sink::new(Box::new(taken.clone()), Arc::new(Status::default()), kind);
        let mut begun = Begun::default();
        let done = sink.chunk(&text, &mut begun, &Seen::default());
        prop_assert!(begun.joined.parts.iter().map(Vec::len).sum::<usize>() <= text.len());
        sink.end(&text[done..], &mut begun, &Seen::default());
        let (lines, bytes) = *taken.0.lock().unwrap();
        prop_assert!(bytes <= text.len());
        prop_assert!(lines <= text.iter().filter(|byte| **byte == b'\n').count() + 3);
    }
}

/// Lines, and their bytes.
#[derive(Clone, Default)]
struct Counted(Arc<std::sync::Mutex<(usize, usize)>>);

impl Lines for Counted {
    fn line(&mut self, line: &[u8], _: &Seen<'_>) {
        assert!(!line.is_empty() && !line.contains(&0) && line.len() <= MAX_LINE_BYTES);
        let mut counted = self.0.lock().unwrap();
        *counted = (counted.0 + 1, counted.1 + line.len());
    }

    fn skipped(&mut self, line: &SkippedLine<'_>) {
        assert!(line.sample.is_ascii() && line.sample.len() <= 512);
        self.0.lock().unwrap().0 += 1;
    }
}
