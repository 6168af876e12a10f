//! Real traffic as the gateways' logs tell it: shares, causes, backends, paths.

use maud::{Markup, html};

use crate::server::html::{Column, head, percent};
use crate::server::view::{TrafficStatus, UpstreamDetail};

/// One block for each gateway whose log is read.
pub(super) fn render(detail: &UpstreamDetail) -> Markup {
    html! {
        h2 { "Real traffic" }
        @if detail.traffic.is_empty() {
            p.dim {
                "No gateway's log is read for this upstream, so only probes are known. "
                "Configure access_log and error_log of a gateway to see what users get."
            }
        }
        @for traffic in &detail.traffic { (gateway(traffic)) }
    }
}

fn gateway(traffic: &TrafficStatus) -> Markup {
    let TrafficStatus { gateway, total, recent } = traffic;
    html! {
        h3 { (gateway) @if total.user_view { " " span.dim { "what users see" } } }
        dl.pairs {
            dt { "Requests since the start" }
            dd { (total.requests) ", " (total.failed) " failed, " (total.retries) " retries, " (total.client_closed) " left by the client" }
            dt { "502s, last five minutes" }
            dd { @match total.bad_gateway_ratio { Some(ratio) => (percent(ratio)), None => "no request" } }
            @if let Some(recent) = recent {
                dt { "In the last moments" }
                dd {
                    (recent.failed) " of " (recent.requests) " failed"
                    @if recent.exceeds_spike { ", " strong.bad { "more than spike allows" } }
                }
            }
        }
        @if let Some(ranked) = recent.as_ref().map(|recent| &recent.ranked).filter(|ranked| !ranked.causes.is_empty()) {
            div.cols {
                (table("Cause", ranked.causes.iter().map(|(cause, count)| (cause.label().to_owned(), *count))))
                (table("Backend", ranked.backends.iter().map(|(name, count)| (name.to_string(), *count))))
                (table("Path", ranked.paths.iter().map(|(path, count)| (path.to_string(), *count))))
            }
        }
    }
}

fn table(name: &'static str, rows: impl Iterator<Item = (String, u64)>) -> Markup {
    let rows: Vec<_> = rows.collect();
    html! {
        @if !rows.is_empty() {
            table {
                (head([Column::Text(name), Column::Figure("Failed")]))
                tbody { @for (value, count) in rows { tr { td.mono { (value) } td.n { (count) } } } }
            }
        }
    }
}
