//! The sources keep to the map in `src/lib.rs`: every file says what it is for, and no layer imports one above it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the words, which know nothing but each other.
const WORDS: &[&str] = &[
    "cause",
    "upstream",
    "observation",
    "exchange",
    "finding",
    "moment",
    "verdict",
];

/// The layers, and what their files may name of this crate. Assembly may name all.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    ("words", WORDS, WORDS),
    (
        "judgement",
        &[
            "agreement",
            "classify",
            "confirmation",
            "diagnosis",
            "evidence",
            "fingerprint",
            "gateway",
            "health",
            "history",
            "incident",
            "pace",
            "prevention",
            "schedule",
            "stale",
            "traffic",
        ],
        WORDS,
    ),
    (
        "ground",
        &["build_info", "clock", "log", "crypto", "shipped"],
        &["clock"],
    ),
    (
        "config",
        &["config"],
        &["cause", "upstream", "gateway", "gateway_config", "crypto", "schedule"],
    ),
    ("gateway_config", &["gateway_config"], &["upstream", "gateway"]),
    (
        "incidents",
        &["incidents"],
        &["evidence", "incident", "moment", "verdict"],
    ),
    ("init", &["init"], &["config", "gateway", "gateway_config", "upstream"]),
    ("probe", &["probe"], &["upstream", "observation", "clock", "crypto"]),
    ("tail", &["tail"], &["clock"]),
    ("agent_check", &["agent_check"], &["health"]),
    (
        "metrics",
        &["metrics"],
        &["cause", "upstream", "observation", "finding", "verdict", "clock"],
    ),
    (
        "server",
        &["server"],
        &[
            "cause",
            "upstream",
            "observation",
            "finding",
            "verdict",
            "diagnosis",
            "gateway",
            "health",
            "history",
            "incident",
            "incidents",
            "metrics",
            "clock",
            "moment",
            "crypto",
            "evidence",
            "config",
            "shipped",
        ],
    ),
];

/// A library and the files that may name it: a foreign type is translated where the call is made.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("saphyr_parser", &["src/config/"]),
    ("hickory_proto", &["src/probe/dns"]),
    ("resolv_conf", &["src/probe/dns/"]),
    ("httparse", &["src/probe/http/"]),
    ("h2::", &["src/probe/http/http2.rs"]),
    ("prometheus_client", &["src/metrics"]),
    ("x509_ocsp", &["src/probe/tls/"]),
    ("clap::", &["src/cli"]),
    ("axum::", &["src/server"]),
    ("inotify::", &["src/tail/watch.rs"]),
    ("glob::", &["src/tail/names.rs"]),
];

fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    let mut folders: Vec<PathBuf> = ["src", "tests", "benches"]
        .iter()
        .map(|folder| root.join(folder))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("it lies below").display().to_string();
                files.insert(name, fs::read_to_string(&path).expect("sources can be read"));
            }
        }
    }
    assert!(files.len() > 50, "the sources are where this test looks");
    files
}

/// The module of the crate a file belongs to: `src/probe/dns.rs` is of `probe`.
fn module_of(file: &str) -> Option<&str> {
    let inside = file.strip_prefix("src/")?;
    Some(inside.split(['/', '.']).next().unwrap_or_default())
}

/// The code of a file without its tests and comments.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(file, _)| file)
        .collect();
    assert!(silent.is_empty(), "these files do not open with //!: {silent:?}");
}

#[test]
fn layers_do_not_import_those_above_them() {
    let mut broken = Vec::new();
    for (file, text) in sources() {
        let Some(module) = module_of(&file) else { continue };
        if file.contains("/tests") {
            continue;
        }
        let Some((layer, modules, allowed)) = LAYERS.iter().find(|(_, modules, _)| modules.contains(&module)) else {
            continue;
        };
        for used in code_of(&text).split("crate::").skip(1) {
            let used: String = used
                .chars()
                .take_while(|char| char.is_alphanumeric() || *char == '_')
                .collect();
            let own = modules.contains(&used.as_str()) || used == module;
            if !used.is_empty() && !own && !allowed.contains(&used.as_str()) {
                broken.push(format!("{file} ({layer}) names crate::{used}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_module_has_its_layer_or_is_assembly() {
    const ASSEMBLY: &[&str] = &[
        "asking",
        "cli",
        "daemon",
        "discovery",
        "engine",
        "gateway_logs",
        "main",
        "lib",
        "offline",
        "on_request",
        "round",
        "self_check",
        "shard",
        "standing",
        "survey",
    ];
    for (file, _) in sources() {
        let Some(module) = module_of(&file) else { continue };
        let known = LAYERS.iter().any(|(_, modules, _)| modules.contains(&module)) || ASSEMBLY.contains(&module);
        assert!(known, "{file}: give the module {module} a layer in tests/tidy.rs");
    }
}

#[test]
fn libraries_are_named_where_they_belong() {
    let mut broken = Vec::new();
    for (file, text) in sources()
        .into_iter()
        .filter(|(file, _)| file.starts_with("src/") && !file.contains("/tests"))
    {
        let code = code_of(&text);
        for (library, places) in LIBRARIES {
            let named = code.contains(&format!("use {library}")) || code.contains(&format!(" {library}::"));
            if named && !places.iter().any(|place| file.starts_with(place)) {
                broken.push(format!("{file} names {library}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_test_is_ignored_and_none_sleeps_to_wait() {
    let ignore = concat!("#[", "ignore");
    for (file, text) in sources() {
        assert!(!text.contains(ignore), "{file} ignores a test");
    }
}
