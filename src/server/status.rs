//! `/`: every upstream, those whose fault users feel first, with verdict, sentence, share of 502s and latency.

use axum::http::Uri;
use maud::{Markup, html};

use super::html::{self, Frame, percent, since, upstream_link};
use super::spark;
use super::view::{HopState, UpstreamStatus};
use crate::clock;
use crate::metrics::Build;
use crate::verdict::{Impact, Verdict};

/// Upstreams on one page.
const PER_PAGE: usize = 100;

/// How urgent an upstream is: what the list is sorted and filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Users feel it.
    Users,
    /// Something fails and they do not feel it yet.
    Redundancy,
    /// It may be ill; nothing is confirmed.
    Unsure,
    /// No verdict yet.
    Waiting,
    /// Nothing is known to fail.
    None,
}

impl Urgency {
    const ALL: [Urgency; 5] = [
        Urgency::Users,
        Urgency::Redundancy,
        Urgency::Unsure,
        Urgency::Waiting,
        Urgency::None,
    ];

    /// Of an upstream.
    pub(super) fn of(upstream: &UpstreamStatus) -> Urgency {
        match (upstream.diagnosis.impact, upstream.diagnosis.verdict) {
            (Impact::Users, _) => Urgency::Users,
            (Impact::Redundancy, _) => Urgency::Redundancy,
            (Impact::None, Verdict::Unknown) => Urgency::Waiting,
            (Impact::None, _) if upstream.has_fault() => Urgency::Unsure,
            (Impact::None, _) => Urgency::None,
        }
    }

    /// The class it has in the style, and its value in the query.
    pub(super) fn class(self) -> &'static str {
        match self {
            Urgency::Users => "users",
            Urgency::Redundancy => "redundancy",
            Urgency::Unsure => "unsure",
            Urgency::Waiting => "waiting",
            Urgency::None => "none",
        }
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Urgency::Users => "✕ users feel it",
            Urgency::Redundancy => "▲ redundancy lost",
            Urgency::Unsure => "▲ not all is well",
            Urgency::Waiting => "… not judged yet",
            Urgency::None => "✓ healthy",
        }
    }
}

/// What of the list is wanted.
struct Wanted {
    search: String,
    impact: Option<Urgency>,
    page: usize,
}

impl Wanted {
    fn of(uri: &Uri) -> Wanted {
        let impact = html::query(uri, "impact");
        Wanted {
            search: html::query(uri, "q"),
            impact: Urgency::ALL.into_iter().find(|urgency| urgency.class() == impact),
            page: html::query(uri, "page").parse().unwrap_or(1).max(1),
        }
    }

    /// The query of the same list with another filter or page.
    fn link(&self, impact: Option<Urgency>, page: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            query.append_pair("q", &self.search);
        }
        if let Some(impact) = impact {
            query.append_pair("impact", impact.class());
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        match query.finish().as_str() {
            "" => "./".to_owned(),
            query => format!("?{query}"),
        }
    }
}

/// Builds the page. `evidence` says whether the caller may see what was seen.
pub(super) fn render(build: &Build, upstreams: &[UpstreamStatus], uri: &Uri, evidence: bool) -> String {
    let wanted = Wanted::of(uri);
    let mut found: Vec<(Urgency, &UpstreamStatus)> = upstreams
        .iter()
        .filter(|upstream| matches(upstream, &wanted.search.to_lowercase()))
        .map(|upstream| (Urgency::of(upstream), upstream))
        .collect();
    let counts = Urgency::ALL.map(|urgency| (urgency, found.iter().filter(|(own, _)| *own == urgency).count()));
    let all = found.len();
    found.retain(|(urgency, _)| wanted.impact.is_none_or(|impact| impact == *urgency));
    found.sort_by(|(one, first), (other, second)| (one, &first.upstream).cmp(&(other, &second.upstream)));
    let pages = found.len().div_ceil(PER_PAGE).max(1);
    let page = wanted.page.min(pages);
    let shown = found.iter().skip((page - 1) * PER_PAGE).take(PER_PAGE);
    let content = html! {
        section #summary {
            h1 { (headline(upstreams.len(), &counts)) }
            @if !wanted.search.is_empty() {
                p { "Found for “" (wanted.search) "”: " (all) " of " (upstreams.len()) ". " a href="./" { "Show all" } }
            }
            (filters(&wanted, &counts, all))
        }
        section #upstreams {
            h2.vh { "Upstreams" }
            @if found.is_empty() && !upstreams.is_empty() { p.dim { "No upstream is like that." } }
            ol.list {
                @for (urgency, upstream) in shown { (row(*urgency, upstream, evidence)) }
            }
            @if pages > 1 { (pager(&wanted, page, pages)) }
        }
    };
    Frame {
        title: "Upstreams",
        build,
        search: &wanted.search,
        below: false,
        live: true,
    }
    .around(content)
}

fn headline(all: usize, counts: &[(Urgency, usize)]) -> Markup {
    let count = |urgency| {
        counts
            .iter()
            .find(|(own, _)| *own == urgency)
            .map_or(0, |(_, count)| *count)
    };
    let (felt, ill) = (
        count(Urgency::Users),
        count(Urgency::Redundancy) + count(Urgency::Unsure),
    );
    html! {
        @match (all, felt, ill) {
            (0, _, _) => "No upstream is configured",
            (_, 0, 0) if count(Urgency::Waiting) == counts.iter().map(|(_, count)| *count).sum::<usize>() => "Nothing is judged yet",
            (_, 0, 0) => span.good { "Users feel no fault" },
            (_, 0, 1) => span.warn { "Users feel no fault; one upstream is not well" },
            (_, 0, ill) => span.warn { "Users feel no fault; " (ill) " upstreams are not well" },
            (_, 1, _) => span.bad { "Users feel a fault of one upstream" },
            (_, felt, _) => span.bad { "Users feel faults of " (felt) " upstreams" },
        }
    }
}

fn filters(wanted: &Wanted, counts: &[(Urgency, usize)], all: usize) -> Markup {
    let current = |impact| (wanted.impact == impact).then_some("true");
    html! {
        nav aria-label="Filter" {
            ul.filters {
                li { a href=(wanted.link(None, 1)) aria-current=[current(None)] { "All " (all) } }
                @for (urgency, count) in counts.iter().filter(|(_, count)| *count > 0) {
                    li {
                        a href=(wanted.link(Some(*urgency), 1)) aria-current=[current(Some(*urgency))] {
                            (urgency.words()) " " (count)
                        }
                    }
                }
            }
        }
    }
}

fn row(urgency: Urgency, upstream: &UpstreamStatus, evidence: bool) -> Markup {
    let (said, now) = (&upstream.diagnosis, clock::now());
    let is_fault = !matches!(urgency, Urgency::None | Urgency::Waiting);
    html! {
        li class={ "row " (urgency.class()) } {
            div {
                p {
                    span.name {
                        @if evidence { a href=(upstream_link(&upstream.upstream)) { (upstream.upstream) } }
                        @else { (upstream.upstream) }
                    }
                    " " span class={ "badge " (urgency.class()) } { (urgency.words()) }
                    @if is_fault { " " span.cause { (said.verdict) } " " span.dim { "since " (since(said.since, now)) } }
                }
                @if is_fault { p { (said.sentence()) } }
                (failing_hops(upstream, evidence))
            }
            div.shares { (shares(upstream)) }
            div { (spark::line(&upstream.rounds)) }
        }
    }
}

/// What was seen at each hop that fails; the cause of the one to fix stands in the sentence.
fn failing_hops(upstream: &UpstreamStatus, evidence: bool) -> Markup {
    let faulty = upstream.diagnosis.hop.as_deref();
    html! {
        @for hop in &upstream.hops {
            @if let HopState::Failing(failing) = &hop.state {
                p.dim {
                    (hop.hop) @if hop.user_view && upstream.hops.len() > 1 { " (what users reach)" } ": "
                    @if Some(&*hop.hop) != faulty { span.cause { (failing.cause) } " " }
                    @if let Some(text) = failing.evidence.as_ref().filter(|_| evidence) { (text) }
                }
            }
        }
    }
}

/// The share of 502s, of probes and of real requests.
pub(super) fn shares(upstream: &UpstreamStatus) -> Markup {
    let share = |ratio: Option<f64>| {
        html! {
            @match ratio {
                Some(ratio) if ratio > 0.0 => span.bad { (percent(ratio)) },
                Some(_) => "0 %",
                None => span.dim { "–" span.vh { "not known" } },
            }
        }
    };
    html! {
        dl.pairs {
            dt { "502s, probes" } dd { (share(upstream.probed_bad_gateways)) }
            dt { "502s, users" } dd { (share(upstream.real_bad_gateways)) }
        }
    }
}

fn pager(wanted: &Wanted, page: usize, pages: usize) -> Markup {
    html! {
        nav.pages aria-label="Further pages" {
            @if page > 1 { a href=(wanted.link(wanted.impact, page - 1)) rel="prev" { "← Previous" } }
            span { "Page " (page) " of " (pages) }
            @if page < pages { a href=(wanted.link(wanted.impact, page + 1)) rel="next" { "Next →" } }
        }
    }
}

/// True where the upstream, its verdict, or one of its hops with its cause contains the text.
fn matches(upstream: &UpstreamStatus, search: &str) -> bool {
    let contains = |text: &str| text.to_lowercase().contains(search);
    search.is_empty()
        || contains(&upstream.upstream)
        || contains(upstream.diagnosis.verdict.label())
        || upstream
            .hops
            .iter()
            .any(|hop| contains(&hop.hop) || hop.failing().is_some_and(|failing| contains(failing.cause.label())))
}
