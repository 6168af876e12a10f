//! Upstreams from files, HTTP and DNS, in Prometheus's own formats: one task for each source, lists out.
//!
//! A source sends a list whenever it has a new one. One that fails keeps its last good list by sending nothing; it says so
//! once, and once more when it is well again. What becomes of the lists is not decided here.

mod dns;
mod file;
mod http;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::operation::Discovery;
use crate::config::{Modules, TargetGroup};
use crate::metrics::Metrics;
use crate::probe::Prober;

/// Files are looked at this often; each look is a few `stat` calls.
const FILE_POLL: Duration = Duration::from_secs(3);
/// Lists on their way to the one who merges them; a source waits while it is full.
pub const QUEUED_LISTS: usize = 16;

/// A new list of a source.
#[derive(Debug)]
pub struct List {
    /// The number the source was begun with.
    pub source: u64,
    /// What it names now.
    pub groups: Vec<TargetGroup>,
}

/// What sources share.
#[derive(Clone, Debug)]
pub struct Means {
    /// Asks resolvers and HTTP servers.
    pub prober: Arc<Prober>,
    /// Makes a target of an HTTP source's URL.
    pub modules: Modules,
    /// Where failures are counted.
    pub metrics: Metrics,
    /// Where lists go.
    pub lists: mpsc::Sender<List>,
}

/// Runs a source until nobody takes its lists, or it is dropped.
pub async fn run(source: u64, setting: Discovery, means: Means) {
    let mut state = State::new(name(&setting));
    let mut files = file::Files::default();
    let mut last = None;
    loop {
        let (found, pause) = match &setting {
            Discovery::File { patterns } => (look_at(&mut files, patterns).await, FILE_POLL),
            Discovery::Http { url, refresh } => (http::ask(url, *refresh, &means).await.map(Some), *refresh),
            Discovery::Dns {
                name,
                record,
                port,
                refresh,
            } => {
                let asked = dns::ask(&means.prober, name, *record, *port, &[]).await;
                (asked.map(Some), *refresh)
            }
        };
        state.tell(found.as_ref().err(), &means.metrics);
        if let Some(groups) = found.unwrap_or_else(|failed| failed.still_good)
            && last.as_ref() != Some(&groups)
        {
            last = Some(groups.clone());
            if means.lists.send(List { source, groups }).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = means.lists.closed() => return,
        }
    }
}

async fn look_at(files: &mut file::Files, patterns: &[String]) -> Result<Option<Vec<TargetGroup>>, Failed> {
    let (mut taken, patterns) = (std::mem::take(files), patterns.to_vec());
    // Files may lie on a disk that is slow, or on a network.
    let looked = tokio::task::spawn_blocking(move || {
        let found = taken.look(&patterns);
        (taken, found)
    });
    match looked.await {
        Ok((taken, found)) => {
            *files = taken;
            found
        }
        Err(_) => Err(Failed::with("the files could not be looked at".into())),
    }
}

/// A source that gave no list, or not all of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Failed {
    /// Why; never a secret.
    why: String,
    /// What is good all the same, the last good content of what is broken included.
    still_good: Option<Vec<TargetGroup>>,
}

impl Failed {
    fn with(why: String) -> Self {
        Failed { why, still_good: None }
    }
}

/// How a source is named in logs.
fn name(setting: &Discovery) -> String {
    match setting {
        Discovery::File { patterns } => patterns.join(", "),
        Discovery::Http { url, .. } => format!("{url:?}"),
        Discovery::Dns { name, .. } => name.clone(),
    }
}

/// Whether a source is failing, told once per change.
struct State {
    name: String,
    why: Option<String>,
}

impl State {
    fn new(name: String) -> Self {
        State { name, why: None }
    }

    fn tell(&mut self, failed: Option<&Failed>, metrics: &Metrics) {
        if failed.is_some() {
            metrics.discovery_failed();
        }
        let why = failed.map(|failed| failed.why.clone());
        match (&self.why, &why) {
            (None, Some(reason)) => {
                warn!(
                    source = self.name,
                    reason, "discovery fails; the last good targets are kept"
                );
            }
            (Some(_), None) => info!(from = self.name, "discovery works again"),
            _ => {}
        }
        self.why = why;
    }
}
