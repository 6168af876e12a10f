//! `/logs`: recent probes, the latest first; failures are kept longer than the others.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use super::html::{Escaped, frame};
use crate::clock;
use crate::history::{History, Record};
use crate::metrics::Build;

/// Takes the records out; the lock is held for as long as that takes.
pub(super) fn copy(history: &Mutex<History>) -> Vec<Arc<Record>> {
    history
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .latest()
        .cloned()
        .collect()
}

/// Builds the page.
pub(super) fn render(build: &Build, records: &[Arc<Record>], search: &str) -> String {
    let wanted: Vec<&Arc<Record>> = records.iter().filter(|record| matches(record, search)).collect();
    let mut html = format!(
        "<h2>{} of {} recent probes</h2>\n<p class=\"dim\">The latest first; failures are kept longer. \
         Search for an upstream, hop, address, cause or trace id.</p>\n",
        wanted.len(),
        records.len()
    );
    html.push_str(
        "<div class=\"scroll\"><table class=\"logs\"><tr><th>Time</th><th>Upstream</th><th>Hop</th><th>Address</th><th>Path</th>\
         <th>Purpose</th><th>Outcome</th><th>Status</th><th>Connect</th><th>TLS</th><th>First byte</th><th>Total</th>\
         <th>Evidence</th><th>Trace id</th></tr>\n",
    );
    wanted.iter().for_each(|record| write_row(&mut html, record));
    html.push_str("</table></div>\n");
    frame("Recent probes", build, search, &html)
}

fn write_row(html: &mut String, record: &Record) {
    let times = record.timings.unwrap_or_default();
    let millis = |time: Option<std::time::Duration>| {
        time.map(|time| format!("{:.1} ms", time.as_secs_f64() * 1000.0))
            .unwrap_or_default()
    };
    let class = if record.failed() { "bad" } else { "good" };
    // Writing to a string does not fail.
    let _ = writeln!(
        html,
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{}</td><td>{}</td>\
         <td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"ev\">{}</td><td>{}</td></tr>",
        clock::utc(record.at),
        Escaped(&record.upstream),
        Escaped(&record.hop),
        Escaped(text_of(record.address.as_ref())),
        Escaped(text_of(record.path.as_ref())),
        record.purpose.label(),
        Escaped(record.outcome),
        text_of(record.status),
        millis(times.connect),
        millis(times.tls),
        millis(times.first_byte),
        millis(record.timings.map(|times| times.total)),
        Escaped(record.evidence.as_deref().unwrap_or_default()),
        text_of(record.trace),
    );
}

fn matches(record: &Record, search: &str) -> bool {
    let search = search.to_lowercase();
    let found = |text: &str| text.to_lowercase().contains(&search);
    search.is_empty()
        || found(&record.upstream)
        || found(&record.hop)
        || found(&record.outcome.to_string())
        || found(&text_of(record.address.as_ref()))
        || found(&text_of(record.trace))
}

fn text_of(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
