//! `self_check`: URLs that always answer. While none of them does, the fault is our own network's, and no upstream's.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::classify::{classify, classify_resolution};
use crate::evidence;
use crate::finding::Outcome;
use crate::fingerprint::recognise;
use crate::observation::Address;
use crate::probe::{Prepared, Prober};
use crate::upstream::Host;

/// Time between two looks at each of them.
const EVERY: Duration = Duration::from_secs(15);
/// Addresses of one name asked until one answers.
const MAX_ADDRESSES: usize = 4;

/// What one look at one of them gave.
enum Answer {
    /// An answer below 500.
    Good,
    /// None; what was seen instead.
    None(String),
    /// Our own limits left it open.
    Open,
}

/// Asks all of them every 15 seconds and tells each time whether every one fails. One of which nothing can be said, since
/// our own limits prevented the probe, keeps what was said of it last.
pub async fn run(targets: Vec<Prepared>, prober: Prober, tell: impl Fn(bool)) {
    let mut well = vec![true; targets.len()];
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answers = join_all(targets.iter().map(|target| ask(&prober, target))).await;
        for ((well, answer), prepared) in well.iter_mut().zip(answers).zip(&targets) {
            note(well, answer, prepared);
        }
        tell(!well.contains(&true));
    }
}

/// Takes in an answer; one line when it is another than before.
fn note(well: &mut bool, answer: Answer, prepared: &Prepared) {
    let url = prepared.target.url(&prepared.target.requests[0]);
    match answer {
        Answer::Good if !*well => info!(url, "self check answered again"),
        Answer::None(ref evidence) if *well => warn!(url, evidence, "self check failed"),
        Answer::Open => return,
        Answer::Good | Answer::None(_) => {}
    }
    *well = matches!(answer, Answer::Good);
}

/// Asks the addresses of one of them until one answers.
async fn ask(prober: &Prober, prepared: &Prepared) -> Answer {
    let target = &prepared.target;
    let resolution = prober.resolve(prepared).await;
    let addresses: Vec<_> = match &target.host {
        Host::Unix(path) => vec![Address::Unix(path.clone().into())],
        Host::Name(_) | Host::Ip(_) => {
            let ips = resolution.result.iter().flatten().take(MAX_ADDRESSES);
            ips.map(|ip| Address::Tcp((*ip, target.port).into())).collect()
        }
    };
    let mut answer = match classify_resolution(&resolution) {
        Outcome::Aborted(_) => Answer::Open,
        _ => Answer::None(evidence::of_resolution(&resolution)),
    };
    for address in &addresses {
        let seen = prober.probe(prepared, &target.requests[0], address).await;
        match classify(&seen, &recognise(&seen, &[]), &target.expect) {
            Outcome::Success => return Answer::Good,
            Outcome::Aborted(_) => return Answer::Open,
            Outcome::Failure(_) | Outcome::Skipped => answer = Answer::None(evidence::of_observation(&seen)),
        }
    }
    answer
}
