//! The recordings under `tests/corpus`: which there are, what is true of them, and what their logs say when read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use badgateway::cause::Cause;
use badgateway::gateway::kind;
use badgateway::offline::{Input, Inputs, Report, analyse};
use flate2::read::GzDecoder;
use serde_json::Value;

/// The archives, and the kind of gateway each was recorded from.
const ARCHIVES: &[(&str, &str)] = &[
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("apache", "apache"),
    ("caddy", "caddy"),
    ("caddy211", "caddy"),
    ("envoy", "envoy"),
    ("traefik", "traefik"),
    ("varnish", "varnish"),
    ("squid", "squid"),
    ("lighttpd", "lighttpd"),
    ("trafficserver", "trafficserver"),
];

/// Which of a gateway's logs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The default access log alone.
    Access,
    /// The access log that says most, alone.
    Recommended,
    /// The error log alone.
    Error,
    /// The access log that says most, and the error log.
    All,
    /// The default access log, and the error log at its most talkative.
    Debug,
}

impl Source {
    /// All of them.
    pub const ALL: [Source; 5] = [
        Source::Access,
        Source::Recommended,
        Source::Error,
        Source::All,
        Source::Debug,
    ];

    /// As `truth.json` names it.
    pub fn name(self) -> &'static str {
        match self {
            Source::Access => "access",
            Source::Recommended => "recommended",
            Source::Error => "error",
            Source::All => "all",
            Source::Debug => "error_debug",
        }
    }

    /// True where lines of requests are read.
    pub fn has_requests(self) -> bool {
        self != Source::Error
    }
}

/// One recording.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The archive.
    pub gateway: String,
    /// The kind its logs are read as.
    pub kind: &'static str,
    /// The fault of the origin.
    pub fault: String,
    /// What the origin really did; `None` is nothing wrong.
    pub true_cause: Option<String>,
    /// What of its logs can be told, by source.
    pub truth: Value,
    /// Its files.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Cell {
    /// Logs of this kind are read.
    pub fn is_read(&self) -> bool {
        kind(self.kind).is_some_and(|kind| kind.logs.is_some())
    }

    /// What the lines of that source allow.
    pub fn candidates(&self, source: Source) -> BTreeSet<String> {
        self.truth["candidates"][source.name()]
            .as_array()
            .map(|all| all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
            .unwrap_or_default()
    }

    /// The most the lines of that source say.
    pub fn determinable(&self, source: Source) -> &str {
        self.truth["determinable"][source.name()].as_str().unwrap_or_default()
    }

    /// The lines that tell of requests.
    pub fn requests_logged(&self, source: Source) -> u64 {
        let (access, _) = self.logs(source);
        access
            .iter()
            .map(|log| log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64)
            .sum()
    }

    /// The access and error logs of that source; none where it was not recorded.
    pub fn logs(&self, source: Source) -> (Vec<&[u8]>, Vec<&[u8]>) {
        let files = |names: &[&str]| -> Vec<&[u8]> {
            names
                .iter()
                .filter_map(|name| self.files.get(*name))
                .map(Vec::as_slice)
                .take(1)
                .collect()
        };
        let recommended = || files(&["access_recommended.log"]);
        match source {
            Source::Access => (files(&["access.log"]), Vec::new()),
            Source::Recommended => (recommended(), Vec::new()),
            Source::Error => (Vec::new(), files(&["error.log"])),
            // Where the access log that says most was written in a second pass, its errors are in a file of their own.
            Source::All => (recommended(), files(&["error_recommended.log", "error.log"])),
            // The log that talks most was written beside the default access log.
            Source::Debug => match self.files.contains_key("error_debug.log") {
                true => (files(&["access.log"]), files(&["error_debug.log"])),
                false => (Vec::new(), Vec::new()),
            },
        }
    }
}

/// Every recording.
pub fn cells() -> Vec<Cell> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let truth: Value = serde_json::from_reader(File::open(folder.join("truth.json")).expect("it is committed"))
        .expect("truth.json is JSON");
    let mut cells = Vec::new();
    for (gateway, kind) in ARCHIVES {
        let archive = File::open(folder.join(format!("{gateway}.tar.gz"))).expect("it is committed");
        let mut faults: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
        for entry in tar::Archive::new(GzDecoder::new(archive)).entries().expect("a tar") {
            let mut entry = entry.expect("a whole entry");
            let path = entry.path().expect("a path").display().to_string();
            if let [_, fault, file] = path.split('/').collect::<Vec<_>>()[..]
                && !file.is_empty()
            {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).expect("a whole file");
                faults
                    .entry(fault.to_owned())
                    .or_default()
                    .insert(file.to_owned(), bytes);
            }
        }
        for (fault, files) in faults {
            let truth = truth[gateway]["cells"][&fault].clone();
            cells.push(Cell {
                gateway: (*gateway).to_owned(),
                kind,
                true_cause: truth["true_cause"].as_str().map(str::to_owned),
                fault,
                truth,
                files,
            });
        }
    }
    assert!(cells.len() > 250, "the recordings are where this looks");
    cells
}

/// The same log of other services: labels and ports are different ones, of the same length.
pub fn renamed(log: &[u8]) -> Vec<u8> {
    let mut renamed = log.to_vec();
    // app07 and own07 are labels, 22000 to 23999 ports of origins.
    let mut at = 0;
    while at + 5 <= renamed.len() {
        let here = &mut renamed[at..at + 5];
        let is_label =
            (here.starts_with(b"app") || here.starts_with(b"own")) && here[3..].iter().all(u8::is_ascii_digit);
        let is_port = (here.starts_with(b"22") || here.starts_with(b"23")) && here[2..].iter().all(u8::is_ascii_digit);
        match () {
            () if is_label => here[..3].copy_from_slice(b"svc"),
            () if is_port && at > 0 && matches!(log[at - 1], b':' | b' ' | b'/') => here[0] = b'4',
            () => {}
        }
        at += 1;
    }
    renamed
}

/// The lines of several logs in turn. Lines that belong together, as those of a block, stay together.
pub fn mixed(logs: &[Vec<u8>]) -> Vec<u8> {
    let mut blocks: Vec<Vec<Vec<u8>>> = logs.iter().map(|log| blocks(log)).collect();
    let mut mixed = Vec::new();
    while blocks.iter().any(|blocks| !blocks.is_empty()) {
        for log in &mut blocks {
            if !log.is_empty() {
                mixed.extend(log.remove(0));
            }
        }
    }
    mixed
}

/// A line with those that are indented or begin with `-` behind it.
fn blocks(log: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let goes_on = line.starts_with(b" ") || line.starts_with(b"-") || line == b"\n";
        match blocks.last_mut() {
            Some(block) if goes_on => block.extend(line),
            _ => blocks.push(line.to_vec()),
        }
    }
    blocks
}

/// What came of reading.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Requests.
    pub requests: u64,
    /// Requests whose client left.
    pub client_closed: u64,
    /// Failed attempts by cause.
    pub attempts: BTreeMap<Cause, u64>,
    /// What else they may have been, by cause.
    pub candidates: BTreeMap<Cause, BTreeSet<Cause>>,
    /// Failed requests.
    pub failed: u64,
    /// Lines not understood, and one of them.
    pub unparsed: u64,
    /// One of them.
    pub sample: String,
}

/// Reads that source of a recording; `None` where it was not recorded.
pub fn read(cell: &Cell, source: Source) -> Option<Seen> {
    let (access, errors) = cell.logs(source);
    if access.is_empty() && errors.is_empty() {
        return None;
    }
    Some(seen(&analysed(cell.kind, &access, &errors)))
}

/// What whole logs say.
pub fn analysed(kind_name: &str, access: &[&[u8]], errors: &[&[u8]]) -> Report {
    let inputs = |logs: &[&[u8]]| {
        logs.iter()
            .map(|log| Input {
                from: Box::new(Cursor::new(log.to_vec())),
            })
            .collect()
    };
    let inputs = Inputs {
        kind: kind(kind_name).expect("a known kind"),
        format: None,
        access: inputs(access),
        errors: inputs(errors),
    };
    analyse(inputs).expect("the kind's own formats")
}

/// What of a report is compared.
pub fn seen(report: &Report) -> Seen {
    let mut attempts: BTreeMap<Cause, u64> = BTreeMap::new();
    let mut candidates: BTreeMap<Cause, BTreeSet<Cause>> = BTreeMap::new();
    for (failure, count) in &report.failures {
        *attempts.entry(failure.cause).or_default() += count.count;
        candidates.entry(failure.cause).or_default().extend(&count.candidates);
    }
    Seen {
        requests: report.requests + report.synthetic,
        client_closed: report.client_closed,
        attempts,
        candidates,
        failed: report.failed_requests(),
        unparsed: report.unparsed,
        sample: report.unparsed_samples.first().cloned().unwrap_or_default(),
    }
}
