//! What must be asked for to reach a backend: the simple conditions of `use_backend`, with the ACLs they name.
//!
//! Only hosts and paths are understood. A condition that asks for anything else cannot be met by a plain request, so nothing
//! is said of it.

use std::collections::HashMap;

use super::{Line, is_path};

/// What a request must ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The host; any where `None`.
    pub host: Option<String>,
    /// The path, or its beginning.
    pub path: Option<String>,
}

/// The ACLs of a section, by name; what is not understood is `None`.
#[derive(Debug, Default)]
pub(super) struct Acls(HashMap<String, Option<Asked>>);

impl Acls {
    /// `acl NAME CRITERION [FLAGS] VALUES`. Of several with one name, any will do: the first that is understood stays.
    pub(super) fn add(&mut self, line: &Line) {
        let asked = test(line.from(2));
        let known = self.0.entry(line.word(1).to_owned()).or_default();
        if known.is_none() {
            *known = asked;
        }
    }

    /// What `if CONDITION` wants, or everything where there is no condition; `None` where no plain request will do.
    pub(super) fn asked(&self, words: &[String]) -> Option<Asked> {
        match words.split_first() {
            None => Some(Asked::default()),
            Some((word, condition)) if word == "if" => {
                let mut alternatives = condition.split(|word| word == "or" || word == "||");
                alternatives.find_map(|terms| self.all(terms))
            }
            Some(_) => None,
        }
    }

    /// All terms together.
    fn all(&self, mut terms: &[String]) -> Option<Asked> {
        let mut sum = Asked::default();
        while let Some((first, rest)) = terms.split_first() {
            let asked = if first == "{" {
                let end = rest.iter().position(|word| word == "}")?;
                terms = &rest[end + 1..];
                test(&rest[..end])?
            } else {
                terms = rest;
                self.0.get(first)?.clone()?
            };
            for (have, new) in [(&mut sum.host, asked.host), (&mut sum.path, asked.path)] {
                match (&have, new) {
                    (_, None) => {}
                    (None, new) => *have = new,
                    // Two hosts at once: never true, or more than we understand.
                    (Some(_), Some(_)) => return None,
                }
            }
        }
        Some(sum)
    }
}

/// `CRITERION [FLAGS] VALUES`: a host or a path with its first value.
fn test(words: &[String]) -> Option<Asked> {
    let (criterion, mut rest) = words.split_first()?;
    let mut method = "str";
    while let Some((flag, after)) = rest.split_first().filter(|(word, _)| word.starts_with('-')) {
        match flag.as_str() {
            "-i" | "-n" => rest = after,
            "-m" => {
                method = after.first()?;
                rest = &after[1..];
            }
            "--" => {
                rest = after;
                break;
            }
            // Values from a file, a map and the like.
            _ => return None,
        }
    }
    let value = rest.first().filter(|value| !value.contains(['$', '%']))?.clone();
    let criterion = criterion.to_ascii_lowercase();
    let (fetch, converters) = criterion.split_once(',').unwrap_or((&criterion, ""));
    let is_host = matches!(fetch, "hdr(host)" | "req.hdr(host)" | "ssl_fc_sni")
        && matches!(
            converters,
            "" | "lower" | "field(1,:)" | "host_only" | "field(1,:),lower" | "lower,field(1,:)"
        );
    let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    match (fetch, method) {
        _ if is_host && method == "str" && value.chars().all(is_name) => Some(Asked {
            host: Some(value),
            path: None,
        }),
        ("path" | "path_beg", "str") | ("path", "beg") if converters.is_empty() && is_path(&value) => Some(Asked {
            host: None,
            path: Some(value),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::gateway_config::haproxy::syntax;

    #[test]
    fn conditions_of_hosts_and_paths_are_understood() {
        let file: Arc<str> = "h.cfg".into();
        let line = |text: &str| syntax::lines(text, &file).next().unwrap().unwrap();
        let mut acls = Acls::default();
        for acl in [
            "acl shop hdr(host) -i shop.example.com www.example.com",
            "acl cart path_beg -i /cart /basket",
            "acl office src 10.0.0.0/8",
            "acl listed hdr(host) -f /etc/haproxy/hosts.lst",
        ] {
            acls.add(&line(acl));
        }
        for (condition, expected) in [
            ("", "* *"),
            ("if shop", "shop.example.com *"),
            ("if shop cart", "shop.example.com /cart"),
            ("if office || shop", "shop.example.com *"),
            (
                "if { req.hdr(Host),lower api.example.com } { path -m beg /v2 }",
                "api.example.com /v2",
            ),
            ("if shop { hdr(host) other }", "none"),
            ("if shop !cart", "none"),
            ("if office", "none"),
            ("if listed", "none"),
            ("if { path_reg ^/x }", "none"),
            ("if {", "none"),
            ("if { }", "none"),
            ("unless shop", "none"),
            ("if TRUE", "none"),
        ] {
            let words = line(&format!("use_backend x {condition}"));
            let shown = match acls.asked(words.from(2)) {
                None => "none".to_owned(),
                Some(asked) => format!(
                    "{} {}",
                    asked.host.as_deref().unwrap_or("*"),
                    asked.path.as_deref().unwrap_or("*")
                ),
            };
            assert_eq!(shown, expected, "{condition}");
        }
    }
}
