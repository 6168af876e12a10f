//! What a TLS handshake showed: what was agreed, the certificate, and why it does not verify.

use std::time::{Duration, UNIX_EPOCH};

use crate::cli::style::Style;
use crate::clock;
use crate::evidence::cut;
use crate::observation::{CertificateFacts, TlsFacts};

/// Days before its end at which a certificate is worth a look.
const SOON: i64 = 14;

/// One line for each of them.
pub fn lines(facts: &TlsFacts, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let agreed: Vec<_> = [facts.version, facts.cipher].into_iter().flatten().collect();
    if !agreed.is_empty() {
        lines.push(agreed.join(", "));
    }
    if let Some(leaf) = facts.chain.certificates.first() {
        lines.push(format!(
            "certificate {} for {}",
            cut(&leaf.subject),
            cut(&leaf.names.join(", "))
        ));
        lines.push(format!("issued by {}", cut(&leaf.issuer)));
    }
    if let Some(first) = facts.chain.first_to_end() {
        let whose = match facts.chain.certificates.first() {
            Some(leaf) if leaf == first => "it".to_owned(),
            _ => format!("{} of its chain", cut(&first.subject)),
        };
        let (ends, soon) = ends(first);
        let text = format!("{whose} {ends}");
        lines.push(if soon { style.warning(&text) } else { text });
    }
    if let Some(problem) = facts.problem {
        let detail = facts
            .problem_detail
            .as_deref()
            .map(|detail| format!(" ({})", cut(detail)));
        let text = format!("does not verify: {}{}", problem.label(), detail.unwrap_or_default());
        lines.push(style.bad(&text));
    }
    lines
}

/// `ends in 12 days, on 2026-12-02`, and whether that is soon or past.
fn ends(certificate: &CertificateFacts) -> (String, bool) {
    let now = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = certificate.not_after - i64::try_from(now.as_secs()).unwrap_or_default();
    let day = date(certificate.not_after);
    let days = left.abs() / 86_400;
    match left < 0 {
        true => (format!("ended {days} days ago, on {day}"), true),
        false => (format!("ends in {days} days, on {day}"), days < SOON),
    }
}

/// The day in UTC. Dates are the peer's word and may lie anywhere.
fn date(seconds: i64) -> String {
    let time = u64::try_from(seconds)
        .ok()
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(253_402_300_799))));
    match time {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string()[..10].to_owned(),
        None => "a day before 1970".to_owned(),
    }
}
