//! The latest failures, each with everything that speaks for its cause.

use maud::{Markup, html};

use super::Shown;
use crate::evidence::{Evidence, Phases};
use crate::moment;
use crate::server::html::{seconds, since};

/// Failures that are listed at once; the earlier ones are folded.
const UNFOLDED: usize = 6;

/// The list; each failure can be opened.
pub(super) fn render(shown: &Shown<'_>) -> Markup {
    let all = || shown.failures.iter().filter_map(|record| record.evidence.as_deref());
    html! {
        h2 { "Latest failures" }
        @if shown.failures.is_empty() { p.good { "None since this program started." } }
        @for evidence in all().take(UNFOLDED) { (entry(evidence, shown)) }
        @if all().count() > UNFOLDED {
            details #earlier-failures {
                summary { (all().count() - UNFOLDED) " earlier" }
                @for evidence in all().skip(UNFOLDED) { (entry(evidence, shown)) }
            }
        }
    }
}

/// One failure, closed until it is asked for.
fn entry(evidence: &Evidence, shown: &Shown<'_>) -> Markup {
    html! {
            details id={ "failure-" (key(evidence)) } {
                summary {
                    (moment::utc(evidence.at)) " " span.dim { "(" (since(evidence.at, shown.now)) ")" } " "
                    strong { (evidence.hop) } " "
                    @if let Some(address) = &evidence.address { span.mono { (address) } " " }
                    @if let Some(path) = &evidence.path { (path) " " }
                    span.cause { (evidence.cause) }
                    @if let Some(status) = evidence.status { " " (status) }
                }
                (whole(evidence))
            }
    }
}

/// Tells one failure from another on this page.
fn key(evidence: &Evidence) -> String {
    match &evidence.trace_id {
        Some(trace) => trace.to_string(),
        None => format!("{}-{}", evidence.hop, humantime::format_rfc3339_millis(evidence.at)).replace([':', '.'], "-"),
    }
}

/// All of it.
pub(super) fn whole(evidence: &Evidence) -> Markup {
    html! {
        p { (evidence.text) }
        dl.pairs {
            dt { "URL" } dd.mono { (evidence.url) }
            dt { "Means" } dd { (evidence.cause.meaning()) }
            dt { "Probe" } dd { (evidence.purpose) @if let Some(trace) = &evidence.trace_id { ", trace id " span.mono { (trace) } } }
            @if let Some(phases) = &evidence.seconds { dt { "Phases" } dd { (phases_in_words(phases)) } }
            @if let Some(page) = &evidence.page {
                dt { "Who answered" }
                dd {
                    @if let Some(writer) = &page.written_by { (writer) } @else { "not known" }
                    @if let Some(behind) = &page.behind { ", passed on by " (behind) }
                    @if let Some(cause) = page.states { ", states " span.cause { (cause) } }
                    @if let Some(header) = &page.cached_by { ", from a cache (" (header) ")" }
                }
            }
            @if let Some(dns) = &evidence.dns {
                dt { "DNS" }
                dd {
                    (dns.name) " is "
                    @match &dns.fault { Some(fault) => span.bad { (fault) }, None => (dns.addresses.join(", ")) }
                    ", says " (dns.resolver) @if let Some(ttl) = dns.ttl_seconds { ", for " (ttl) " s" }
                }
            }
            @if let Some(tls) = &evidence.tls {
                dt { "TLS" }
                dd {
                    (tls.version.as_deref().unwrap_or("no version agreed")) " " (tls.cipher.as_deref().unwrap_or_default())
                    @if let Some(problem) = &tls.problem { ", certificate " span.bad { (problem) } }
                }
                @if let Some(certificate) = &tls.certificate {
                    dt { "Certificate" }
                    dd {
                        (certificate.subject) " for " (certificate.names.join(", ")) ", issued by " (certificate.issuer) ", ends "
                        (moment::rfc3339_millis(certificate.not_after.saturating_mul(1000)))
                    }
                }
            }
        }
        @if !evidence.headers.is_empty() {
            pre { @for (name, value) in &evidence.headers { (name) ": " (value) "\n" } }
        }
        @if let Some(body) = &evidence.body { pre { (body) } }
    }
}

/// `connect 2 ms + first byte 8.00 s (failed here) = 8.0 s; DNS 1 ms before`.
fn phases_in_words(phases: &Phases) -> String {
    let parts = phases
        .in_order()
        .filter(|(name, _)| *name != "dns")
        .map(|(name, time)| {
            let open = if phases.ended_in.as_deref() == Some(name) {
                " (failed here)"
            } else {
                ""
            };
            format!("{} {}{open}", name.replace('_', " "), seconds(time))
        });
    let mut parts: Vec<String> = parts.collect();
    if phases.ended_in.is_none() && phases.rest >= 0.001 {
        parts.push(format!("in between {}", seconds(phases.rest)));
    }
    let before = phases
        .dns
        .map(|time| format!("; DNS {} before", seconds(time)))
        .unwrap_or_default();
    format!("{} = {}{before}", parts.join(" + "), seconds(phases.total))
}
