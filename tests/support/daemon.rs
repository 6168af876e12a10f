//! The daemon under test: the real binary with a configuration of its own on a port of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::http;
use super::metrics::Metrics;
use super::process::Process;

/// What a scrape says of a condition that is waited for.
pub enum Seen {
    /// It holds.
    Yes,
    /// Not yet; the text says what is missing.
    NotYet(String),
    /// It never will; the text says why.
    Never(String),
}

/// A started daemon. Dropping it kills it and removes its directory.
pub struct Daemon {
    process: Process,
    address: SocketAddr,
}

/// A new directory for one daemon's files, below Cargo's own directory for tests.
pub fn scratch() -> PathBuf {
    files().keep()
}

/// A directory for files that outlive a daemon. Dropping it removes them.
pub fn files() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("badgateway-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("a directory for the test")
}

impl Daemon {
    /// Starts the daemon with this configuration (JSON is YAML) and waits until it listens. `scratch` goes with it.
    pub fn start(scratch: &Path, config: &Value) -> Daemon {
        Daemon::start_as(scratch, config, "127.0.0.1:0", &[])
    }

    /// As [`Daemon::start`], at an address known before, so that a link to it can be configured.
    pub fn start_at(scratch: &Path, config: &Value, listen: SocketAddr) -> Daemon {
        Daemon::start_as(scratch, config, &listen.to_string(), &[])
    }

    /// As [`Daemon::start`], with no more than so many open files.
    pub fn start_limited(scratch: &Path, config: &Value, files: u32) -> Daemon {
        Daemon::start_by(&["prlimit", &format!("--nofile={files}:{files}")], scratch, config)
    }

    /// As [`Daemon::start`], by a command that becomes the program named behind it.
    pub fn start_by(before: &[&str], scratch: &Path, config: &Value) -> Daemon {
        Daemon::start_as(scratch, config, "127.0.0.1:0", before)
    }

    fn start_as(scratch: &Path, config: &Value, listen: &str, before: &[&str]) -> Daemon {
        let file = scratch.join("badgateway.yml");
        let text = serde_json::to_string_pretty(config).expect("a configuration");
        std::fs::write(&file, &text).expect("written");
        let program = env!("CARGO_BIN_EXE_badgateway");
        let mut words = before.to_vec();
        words.extend([
            program,
            "run",
            "--config.file",
            file.to_str().expect("a plain path"),
            "--web.listen-address",
            listen,
            "--log.format",
            "json",
        ]);
        let process = Process::start_with(Path::new(words[0]), &words[1..], "KILL", Some(scratch));
        let address = process.wait_for("the listening line", |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let found = |key: &str| line.get(key).or_else(|| line.get("fields")?.get(key))?.as_str();
            (found("msg")? == "listening").then(|| found("address")?.parse().ok())?
        });
        Daemon { process, address }
    }

    /// As [`Daemon::start`] with one upstream of that name.
    pub fn watching(name: &str, mut upstream: Value) -> Daemon {
        upstream["name"] = json!(name);
        Daemon::start(
            &scratch(),
            &json!({ "defaults": { "interval": "1s" }, "upstreams": [upstream] }),
        )
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The page, as text.
    pub fn page(&self) -> String {
        let answer = http::get(self.address, "/metrics", &[]).unwrap_or_else(|error| {
            panic!("no scrape: {error}; log:\n{}", self.process.output("", 40));
        });
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// Everything.
    pub fn scrape(&self) -> Metrics {
        Metrics::parse(&self.page(), "")
    }

    /// What concerns one upstream; of no name, everything.
    pub fn scrape_upstream(&self, upstream: &str) -> Metrics {
        if upstream.is_empty() {
            return self.scrape();
        }
        Metrics::parse(&self.page(), &format!("upstream=\"{upstream}\""))
    }

    /// Scrapes until `seen` says yes; panics with what is missing when it says never, or not within half a minute.
    pub fn wait_until(&self, upstream: &str, seen: impl Fn(&Metrics) -> Seen) -> Metrics {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let metrics = self.scrape_upstream(upstream);
            let missing = match seen(&metrics) {
                Seen::Yes => return metrics,
                Seen::NotYet(_) if Instant::now() < deadline && !self.process.ended() => {
                    std::thread::sleep(SCRAPE_EVERY);
                    continue;
                }
                Seen::NotYet(missing) => format!("not in time: {missing}"),
                Seen::Never(wrong) => wrong,
            };
            let log = self.process.output(&format!("\"{upstream}\""), 15);
            panic!("{upstream}: {missing}\nseries:\n{}\nlog:\n{log}", metrics.show(""));
        }
    }
}

/// The page is the only thing to observe from outside, and it tells no one when it changes.
const SCRAPE_EVERY: Duration = Duration::from_millis(150);
