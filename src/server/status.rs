//! `/`: every upstream with its hops; what fails comes first, with what it means and what to look at.

use std::fmt::Write;
use std::time::SystemTime;

use super::html::{Escaped, ago, frame};
use super::{Failing, HopState, HopStatus};
use crate::clock;
use crate::metrics::Build;

/// Hops that do not fail are listed up to this number; search finds the others.
const MAX_LISTED: usize = 500;

/// Builds the page. `evidence` says whether the caller may see what was seen.
pub(super) fn render(build: &Build, hops: Vec<HopStatus>, search: &str, evidence: bool) -> String {
    let (mut failing, rest): (Vec<_>, Vec<_>) = hops.iter().partition(|hop| failing_of(hop).is_some());
    // What users feel, then what is wholly down, then by name.
    failing.sort_by_key(|hop| {
        (
            !hop.user_view,
            !failing_of(hop).is_some_and(|state| state.wholly),
            &hop.upstream,
            &hop.hop,
        )
    });
    let mut html = summary(
        hops.len(),
        failing.len(),
        rest.iter().filter(|hop| is_pending(hop)).count(),
    );
    let found = |hop: &&&HopStatus| matches(hop, search);
    let shown: Vec<&&HopStatus> = failing.iter().filter(found).collect();
    if !shown.is_empty() {
        html.push_str("<h2>Failing</h2>\n");
    }
    let now = clock::now();
    for hop in shown {
        if let Some(state) = failing_of(hop) {
            write_card(&mut html, hop, state, evidence, now);
        }
    }
    let listed: Vec<&&HopStatus> = rest.iter().filter(found).collect();
    write_table(&mut html, &listed);
    frame("Upstreams", build, search, &html)
}

fn failing_of(hop: &HopStatus) -> Option<&Failing> {
    match &hop.state {
        HopState::Failing(failing) => Some(failing),
        HopState::Pending | HopState::Healthy => None,
    }
}

fn is_pending(hop: &HopStatus) -> bool {
    matches!(hop.state, HopState::Pending)
}

/// True where upstream, hop or cause contains the text.
fn matches(hop: &HopStatus, search: &str) -> bool {
    let search = search.to_lowercase();
    let cause = failing_of(hop).map_or("", |state| state.cause.label());
    search.is_empty()
        || [&*hop.upstream, &*hop.hop, cause]
            .iter()
            .any(|text| text.to_lowercase().contains(&search))
}

fn summary(hops: usize, failing: usize, pending: usize) -> String {
    let waiting = match pending {
        0 => String::new(),
        1 => " <span class=\"dim\">1 waits for its first round.</span>".to_owned(),
        pending => format!(" <span class=\"dim\">{pending} wait for their first round.</span>"),
    };
    match (hops, failing) {
        (0, _) => "<p class=\"sum\">No upstream is configured.</p>\n".to_owned(),
        (hops, 0) => format!("<p class=\"sum\"><b class=\"good\">Nothing fails</b> of {hops} hops.{waiting}</p>\n"),
        (hops, failing) => {
            let verb = if failing == 1 { "fails" } else { "fail" };
            format!("<p class=\"sum\"><b class=\"bad\">{failing} of {hops} hops {verb}.</b>{waiting}</p>\n")
        }
    }
}

fn write_card(html: &mut String, hop: &HopStatus, state: &Failing, evidence: bool, now: SystemTime) {
    let extent = match state.wholly {
        true => "all addresses".to_owned(),
        false => format!(
            "{} of {} addresses",
            hop.addresses.failing,
            hop.addresses.failing + hop.addresses.healthy
        ),
    };
    let users = if hop.user_view { " · what users reach" } else { "" };
    // Writing to a string does not fail.
    let _ = write!(
        html,
        "<section class=\"card\"><b>{upstream}</b> at {hop} <span class=\"dim\">· {extent}{users} · since \
         <time>{since}</time>, {ago}</span><p><span class=\"cause\">{cause}</span> {meaning}</p>\
         <p class=\"dim\">Look at: {look_at}</p>",
        upstream = Escaped(&hop.upstream),
        hop = Escaped(&hop.hop),
        since = clock::utc(state.since),
        ago = ago(state.since, now),
        cause = state.cause.label(),
        meaning = Escaped(state.cause.meaning()),
        look_at = Escaped(state.cause.look_at()),
    );
    if let Some(text) = state.evidence.as_ref().filter(|_| evidence) {
        let _ = write!(html, "<pre>{}</pre>", Escaped(text));
    }
    html.push_str("</section>\n");
}

fn write_table(html: &mut String, hops: &[&&HopStatus]) {
    if hops.is_empty() {
        return;
    }
    html.push_str(
        "<h2>Not failing</h2>\n<div class=\"scroll\"><table><tr><th>Upstream</th><th>Hop</th><th>State</th><th>Addresses</th></tr>\n",
    );
    for hop in hops.iter().take(MAX_LISTED) {
        let state = match is_pending(hop) {
            true => "<span class=\"dim\">no round yet</span>",
            false => "<span class=\"good\">healthy</span>",
        };
        let counts = hop.addresses;
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{state}</td><td>{}</td></tr>",
            Escaped(&hop.upstream),
            Escaped(&hop.hop),
            counts.healthy + counts.failing + counts.skipped + counts.unprobed,
        );
    }
    html.push_str("</table></div>\n");
    if hops.len() > MAX_LISTED {
        let _ = writeln!(
            html,
            "<p class=\"dim\">{} more; search for them above.</p>",
            hops.len() - MAX_LISTED
        );
    }
}
