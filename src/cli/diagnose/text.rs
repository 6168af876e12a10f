//! The look for people: hop by hop what was seen, and at the end, where the eye is, what it means and what to do.

mod certificate;
mod names;
mod summary;
mod waterfall;

use std::time::Duration;

use super::limits::Reached;
use super::look::{HopLook, Look};
use super::past_cache::PastCache;
use crate::cli::style::Style;
use crate::config::{show_duration, show_size};
use crate::evidence;
use crate::finding::Outcome;
use crate::finding::limits::Amount;
use crate::observation::End;
use crate::survey::{ProbeReport, TargetReport};
use crate::upstream::{Gateway, Host, Limits};
use waterfall::Scale;

/// The whole look.
pub fn of(look: &Look, style: Style) -> String {
    let mut page = Page {
        text: String::new(),
        style,
        scale: Scale::of(look.hops.iter().map(|hop| &hop.report)),
    };
    look.hops.iter().for_each(|hop| page.hop(&look.upstream.name, hop));
    page.summary(look);
    page.text
}

struct Page {
    text: String,
    style: Style,
    /// One for all hops, so that bars can be compared.
    scale: Scale,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// A line under a label: `    limits     …`.
    fn under(&mut self, label: &str, text: &str) {
        let label = self.style.faint(&format!("{label:<10}"));
        self.line(&format!("    {label} {text}"));
    }

    fn hop(&mut self, upstream: &str, look: &HopLook) {
        let hop = &look.report.hop;
        let place = match &hop.gateway {
            Some(gateway) => format!("{upstream} through {} ({})", gateway.name, gateway.kind),
            None => format!("{upstream} at its origin"),
        };
        let view = if hop.user_view { ", what users see" } else { "" };
        let heading = self.style.strong(&place);
        self.line(&format!("{heading}{view}"));
        look.report.targets.iter().for_each(|target| self.target(look, target));
        look.past_cache.iter().for_each(|seen| self.past_cache(seen));
        self.limits(look);
        self.line("");
    }

    fn target(&mut self, look: &HopLook, report: &TargetReport) {
        self.line(&format!("  {}", report.target.url(&report.target.requests[0])));
        if matches!(report.target.host, Host::Name(_)) {
            self.dns(report);
            let name = &report.resolution.0.name;
            look.names
                .iter()
                .filter(|look| look.name == *name)
                .for_each(|look| self.name(look));
        }
        for address in &report.unexpected {
            let why = "dns_unexpected_address: not in expect.addresses, not asked";
            let why = self.style.bad(why);
            self.line(&format!("  {address}  {why}"));
        }
        report
            .probes
            .iter()
            .for_each(|probe| self.probe(report.resolution.0.elapsed, probe));
        if report.unprobed > 0 {
            let more = format!("{} more addresses, over max_addresses", report.unprobed);
            let more = self.style.faint(&more);
            self.line(&format!("  {more}"));
        }
    }

    fn dns(&mut self, report: &TargetReport) {
        let (resolution, outcome) = &report.resolution;
        let facts = cut_long(&evidence::of_resolution(resolution));
        let ttl = resolution.ttl.map(|ttl| format!(", for {} s", ttl.as_secs()));
        let facts = match outcome.cause() {
            Some(cause) => format!("{} {facts}", self.style.bad(cause.label())),
            None => format!("{facts}{}", ttl.unwrap_or_default()),
        };
        let bar = self.scale.bar(Duration::ZERO, resolution.elapsed);
        self.phase("dns", Some(resolution.elapsed), &bar, "");
        self.under("", &facts);
    }

    fn probe(&mut self, dns: Duration, probe: &ProbeReport) {
        let verdict = match probe.outcome {
            Outcome::Success => self.style.good("ok"),
            Outcome::Failure(cause) => self.style.bad(cause.label()),
            other => self.style.warning(&other.to_string()),
        };
        let address = self.style.strong(&probe.address.to_string());
        self.line(&format!("  {address}  {}  {verdict}", probe.path));
        let timings = &probe.seen.timings;
        let mut begun = dns;
        for (name, took) in [
            ("connect", timings.connect),
            ("tls", timings.tls),
            ("first byte", timings.first_byte),
            ("body", timings.body),
        ] {
            let Some(took) = took else { continue };
            let bar = self.scale.bar(begun, took);
            self.phase(name, Some(took), &bar, "");
            begun += took;
        }
        let rest = timings.total.saturating_sub(begun.saturating_sub(dns));
        if let Some(name) = unfinished(probe) {
            let bar = self.scale.bar(begun, rest);
            self.phase(name, Some(rest), &bar, "failed");
        }
        self.phase("total", Some(timings.total), "", "");
        self.under("saw", &cut_long(&probe.evidence));
        if let Some(facts) = probe.seen.tls.as_deref() {
            for line in certificate::lines(facts, self.style) {
                self.under("tls", &line);
            }
        }
    }

    fn phase(&mut self, name: &str, took: Option<Duration>, bar: &str, text: &str) {
        let took = took.map(milliseconds).unwrap_or_default();
        let name = self.style.faint(&format!("{name:<10}"));
        self.line(&format!("    {name} {took:>10}  {bar} {text}"));
    }

    fn past_cache(&mut self, seen: &PastCache) {
        for (how, probe) in &seen.requests {
            let how = match how {
                super::past_cache::How::NoCache => "with Cache-Control: no-cache",
                super::past_cache::How::Query => "and with a query of its own",
                super::past_cache::How::Plain => "plainly once more",
            };
            let facts = cut_long(&probe.evidence);
            self.under("again", &format!("{how}: {}; {facts}", probe.outcome));
        }
        let says = match seen.says.is_warning() {
            true => self.style.warning(seen.says.sentence()),
            false => seen.says.sentence().to_owned(),
        };
        self.under("cache", &says);
    }

    fn limits(&mut self, look: &HopLook) {
        let Some(gateway) = &look.asked_by else { return };
        if look.report.hop.limits == Limits::default() {
            let text = format!(
                "none known of {} ({}); name them under limits",
                gateway.name, gateway.kind
            );
            return self.under("limits", &text);
        }
        for (index, reached) in look.limits.iter().enumerate() {
            let label = if index == 0 { "limits" } else { "" };
            let line = self.limit(gateway, reached);
            self.under(label, &line);
        }
    }

    fn limit(&self, gateway: &Gateway, reached: &Reached) -> String {
        let (source, gateway) = (gateway.source_of(reached.used.kind), &gateway.name);
        let used = &reached.used;
        let least = if used.at_least { "at least " } else { "" };
        let text = format!(
            "{:<15} {least}{} of the {} that {gateway} allows, {} ({source})",
            used.kind.label(),
            amount(used.seen),
            amount(used.limit),
            percent(used.share())
        );
        let place = || format!("{text}: {} {}", reached.address, reached.path);
        match () {
            () if used.is_beyond() => self.style.bad(&format!("{} (beyond it {gateway} gives up)", place())),
            () if used.is_near() => self.style.warning(&place()),
            () => text,
        }
    }
}

/// The phase a failed probe ended in; `None` where all were finished.
fn unfinished(probe: &ProbeReport) -> Option<&'static str> {
    probe.outcome.cause()?;
    let timings = &probe.seen.timings;
    match &probe.seen.end {
        End::Connect(_) => Some("connect"),
        End::Tls(_) if timings.tls.is_none() => Some("tls"),
        End::Http(_) if timings.first_byte.is_none() => Some("first byte"),
        End::Http(_) => Some("body"),
        _ => None,
    }
}

/// Evidence is clean; a long line of it is cut where nobody would read on.
fn cut_long(text: &str) -> String {
    const MAX: usize = 400;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn milliseconds(took: Duration) -> String {
    match took.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}

fn amount(amount: Amount) -> String {
    match amount {
        Amount::Time(time) if time.subsec_nanos() == 0 => show_duration(time),
        Amount::Time(time) => milliseconds(time),
        Amount::Size(u64::MAX) => "more than is read".to_owned(),
        Amount::Size(bytes) if bytes % 1024 == 0 => show_size(bytes),
        Amount::Size(bytes) => format!("{bytes} bytes"),
    }
}

fn percent(share: f64) -> String {
    match share {
        share if share >= 10.0 => "more than ten times it".to_owned(),
        share if share < 0.01 => "less than 1 %".to_owned(),
        share => format!("{:.0} %", share * 100.0),
    }
}
