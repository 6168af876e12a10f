//! Versions, cipher suites and curves by the names Go gives them, which the format uses.
//!
//! Names that Go speaks and this program does not are taken with a note, so that a file shared with other exporters
//! works; unless nothing is left to speak.

use rustls::crypto::{SupportedKxGroup, aws_lc_rs};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::config::nearest;
use crate::config::quoted;
use crate::config::reader::{Cursor, listed};

use super::parse::Remarks;

/// Go's other cipher suites that are not insecure.
const OTHER_SUITES: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

const CURVES: [&str; 4] = ["X25519", "CurveP256", "CurveP384", "CurveP521"];

/// A version of TLS as written, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// 1.0 or 1.1, which this program does not speak.
    Older,
    Tls12,
    Tls13,
}

/// A version by its name.
pub(super) fn version(cursor: &Cursor<'_>) -> Option<Version> {
    let words = [
        ("TLS12", Version::Tls12),
        ("TLS13", Version::Tls13),
        ("TLS10", Version::Older),
        ("TLS11", Version::Older),
    ];
    let read = |text: &str| match words.iter().find(|(word, _)| *word == text) {
        Some((_, version)) => Ok(*version),
        None => Err("is not a TLS version; write TLS12 or TLS13".to_owned()),
    };
    cursor.parse(read).map(|version| version.value)
}

/// The versions from one to another; none where there are none.
pub(super) fn between(min: Version, max: Version) -> Vec<&'static SupportedProtocolVersion> {
    let all = [
        (Version::Tls13, &rustls::version::TLS13),
        (Version::Tls12, &rustls::version::TLS12),
    ];
    let spoken = all.into_iter().filter(|(version, _)| (min..=max).contains(version));
    spoken.map(|(_, version)| version).collect()
}

/// A list of cipher suites, in its order. As with Go, those of TLS 1.3 cannot be chosen and are always there.
pub(super) fn cipher_suites(cursor: &Cursor<'_>, remarks: &Remarks) -> Vec<SupportedCipherSuite> {
    let all = aws_lc_rs::ALL_CIPHER_SUITES;
    let mut chosen: Vec<_> = all.iter().filter(|suite| suite.tls13().is_some()).copied().collect();
    for item in cursor.items() {
        let Some(name) = item.string() else { continue };
        match all.iter().find(|suite| go_name(suite) == name.value) {
            Some(suite) if chosen.contains(suite) => {}
            Some(suite) => chosen.push(*suite),
            None if OTHER_SUITES.contains(&name.value.as_str()) => {
                remarks.note(&item.place(), format!("{} is not spoken here", name.value));
            }
            None => item.problem(unknown_suite(&name.value)),
        }
    }
    chosen
}

fn unknown_suite(name: &str) -> String {
    let known = aws_lc_rs::ALL_CIPHER_SUITES
        .iter()
        .map(|suite| go_name(suite).to_lowercase());
    let known: Vec<String> = known.collect();
    let message = format!("{} is not a known cipher suite", quoted(name));
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("{message}; did you mean {}?", near.to_uppercase()),
        None => format!("{message}; write one such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    }
}

/// The IANA name, which Go uses too.
fn go_name(suite: &SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}

/// A list of curves, in its order.
pub(super) fn curves(cursor: &Cursor<'_>, remarks: &Remarks) -> Vec<&'static dyn SupportedKxGroup> {
    let mut chosen: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    let mut is_good = true;
    for item in cursor.items() {
        let Some(name) = item.string() else { continue };
        match name.value.as_str() {
            "X25519" => chosen.push(aws_lc_rs::kx_group::X25519),
            "CurveP256" => chosen.push(aws_lc_rs::kx_group::SECP256R1),
            "CurveP384" => chosen.push(aws_lc_rs::kx_group::SECP384R1),
            "CurveP521" => remarks.note(&item.place(), "CurveP521 is not spoken here"),
            other => {
                is_good = false;
                item.problem(format!(
                    "{} is not a known curve; write {}",
                    quoted(other),
                    listed(&CURVES[..3])
                ));
            }
        }
    }
    if chosen.is_empty() && is_good && cursor.is_list() {
        cursor.problem(format!(
            "leaves no curve that is spoken here; add {}",
            listed(&CURVES[..3])
        ));
    }
    chosen
}
