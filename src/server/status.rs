//! `/`: every upstream; those with a fault come first, what users feel before the rest, with the verdict in a sentence,
//! what fails at each hop and what to look at.

use std::fmt::Write;
use std::time::SystemTime;

use super::html::{Escaped, ago, frame};
use super::{Failing, HopState, HopStatus, UpstreamStatus};
use crate::clock;
use crate::metrics::Build;
use crate::verdict::{Impact, Verdict};

/// Hops that do not fail are listed up to this number; search finds the others.
const MAX_LISTED: usize = 500;

/// Builds the page. `evidence` says whether the caller may see what was seen.
pub(super) fn render(build: &Build, upstreams: Vec<UpstreamStatus>, search: &str, evidence: bool) -> String {
    let mut faulty: Vec<&UpstreamStatus> = upstreams.iter().filter(|upstream| has_fault(upstream)).collect();
    faulty.sort_by_key(|upstream| (upstream.diagnosis.impact, &upstream.upstream));
    let hops = || upstreams.iter().flat_map(|upstream| &upstream.hops);
    let mut html = summary(
        hops().count(),
        hops().filter(|hop| failing_of(hop).is_some()).count(),
        hops().filter(|hop| is_pending(hop)).count(),
        !faulty.is_empty(),
    );
    let found = |upstream: &&&UpstreamStatus| matches(upstream, &upstream.hops, search);
    let shown: Vec<_> = faulty.iter().filter(found).collect();
    if !shown.is_empty() {
        html.push_str("<h2>Failing</h2>\n");
    }
    let now = clock::now();
    for upstream in shown {
        write_card(&mut html, upstream, evidence, now);
    }
    let well = upstreams
        .iter()
        .flat_map(|upstream| upstream.hops.iter().map(move |hop| (upstream, hop)));
    let listed: Vec<_> = well
        .filter(|(upstream, hop)| failing_of(hop).is_none() && matches(upstream, std::slice::from_ref(*hop), search))
        .collect();
    write_table(&mut html, &listed);
    frame("Upstreams", build, search, &html)
}

/// Something fails, or is said to.
fn has_fault(upstream: &UpstreamStatus) -> bool {
    let verdict = upstream.diagnosis.verdict;
    verdict.is_fault()
        || verdict == Verdict::OriginUnverified
        || upstream.hops.iter().any(|hop| failing_of(hop).is_some())
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

/// True where the upstream, its verdict, or one of these hops with its cause contains the text.
fn matches(upstream: &UpstreamStatus, hops: &[HopStatus], search: &str) -> bool {
    let search = search.to_lowercase();
    let contains = |text: &str| text.to_lowercase().contains(&search);
    let cause = |hop| failing_of(hop).map_or("", |state| state.cause.label());
    search.is_empty()
        || contains(&upstream.upstream)
        || contains(upstream.diagnosis.verdict.label())
        || hops.iter().any(|hop| contains(&hop.hop) || contains(cause(hop)))
}

/// `faulty`: something is said to be wrong, whether a hop fails or not.
fn summary(hops: usize, failing: usize, pending: usize, faulty: bool) -> String {
    let waiting = match pending {
        0 => String::new(),
        1 => " <span class=\"dim\">1 waits for its first round.</span>".to_owned(),
        pending => format!(" <span class=\"dim\">{pending} wait for their first round.</span>"),
    };
    match (hops, failing) {
        (0, _) => "<p class=\"sum\">No upstream is configured.</p>\n".to_owned(),
        (hops, 0) if faulty => {
            format!("<p class=\"sum\">No probe of {hops} hops fails, but not all is well.{waiting}</p>\n")
        }
        (hops, 0) => format!("<p class=\"sum\"><b class=\"good\">Nothing fails</b> of {hops} hops.{waiting}</p>\n"),
        (hops, failing) => {
            let verb = if failing == 1 { "fails" } else { "fail" };
            format!("<p class=\"sum\"><b class=\"bad\">{failing} of {hops} hops {verb}.</b>{waiting}</p>\n")
        }
    }
}

fn write_card(html: &mut String, upstream: &UpstreamStatus, evidence: bool, now: SystemTime) {
    let said = &upstream.diagnosis;
    let felt = match said.impact {
        Impact::Users => "<span class=\"bad\">users feel it</span>",
        Impact::Redundancy => "users do not feel it yet",
        Impact::None => "no impact known",
    };
    // Writing to a string does not fail.
    let _ = write!(
        html,
        "<section class=\"card\"><b>{upstream}</b> <span class=\"cause\">{verdict}</span> <span class=\"dim\">· {felt} · since \
         <time>{since}</time>, {ago}</span><p>{sentence}</p>",
        upstream = Escaped(&upstream.upstream),
        verdict = said.verdict,
        since = clock::utc(said.since),
        ago = ago(said.since, now),
        sentence = Escaped(said.sentence()),
    );
    for step in said.verdict.next_steps() {
        let _ = write!(html, "<p class=\"dim\">Next: {}</p>", Escaped(step));
    }
    for hop in &upstream.hops {
        if let Some(state) = failing_of(hop) {
            write_hop(html, hop, state, evidence, now);
        }
    }
    html.push_str("</section>\n");
}

fn write_hop(html: &mut String, hop: &HopStatus, state: &Failing, evidence: bool, now: SystemTime) {
    let extent = match state.wholly {
        true => "all addresses".to_owned(),
        false => format!(
            "{} of {} addresses",
            hop.addresses.failing,
            hop.addresses.failing + hop.addresses.healthy
        ),
    };
    let users = if hop.user_view { " · what users reach" } else { "" };
    let _ = write!(
        html,
        "<p>at {hop} <span class=\"cause\">{cause}</span> <span class=\"dim\">· {extent}{users} · since <time>{since}</time>, \
         {ago}</span></p><p>{meaning}</p><p class=\"dim\">Look at: {look_at}</p>",
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
}

fn write_table(html: &mut String, hops: &[(&UpstreamStatus, &HopStatus)]) {
    if hops.is_empty() {
        return;
    }
    html.push_str(
        "<h2>Not failing</h2>\n<div class=\"scroll\"><table><tr><th>Upstream</th><th>Hop</th><th>State</th><th>Addresses</th></tr>\n",
    );
    for (upstream, hop) in hops.iter().take(MAX_LISTED) {
        let state = match is_pending(hop) {
            true => "<span class=\"dim\">no round yet</span>",
            false => "<span class=\"good\">healthy</span>",
        };
        let counts = hop.addresses;
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{state}</td><td>{}</td></tr>",
            Escaped(&upstream.upstream),
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
