//! `self_check`: URLs that always answer. While none of them does, the fault is our own network's, and no upstream's.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::classify::{classify, classify_resolution};
use crate::evidence;
use crate::finding::Outcome;
use crate::fingerprint::recognise;
use crate::observation::Address;
use crate::probe::{Prepared, Prober};
use crate::standing::OwnNetwork;
use crate::upstream::Host;

/// Time between two looks at each of them while nobody doubts.
const EVERY: Duration = Duration::from_secs(15);
/// Time between two while none answers: verdicts wait for it.
const WHILE_LOST: Duration = Duration::from_secs(2);
/// Time between two at least, less than a failure waits for its confirmation.
const AT_LEAST: Duration = Duration::from_millis(250);
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

/// Asks all of them every 15 seconds, at once when something fails that was well, and more often while none answers; tells
/// each time whether every one fails. One of which nothing can be said, since our own limits prevented the probe, keeps
/// what was said of it last.
pub async fn run(targets: Vec<Prepared>, prober: Prober, own_network: OwnNetwork, tell: impl Fn(bool)) {
    let mut well = vec![true; targets.len()];
    loop {
        let asked = Instant::now();
        let answers = join_all(targets.iter().map(|target| ask(&prober, target))).await;
        for ((well, answer), prepared) in well.iter_mut().zip(answers).zip(&targets) {
            note(well, answer, prepared);
        }
        let lost = !well.contains(&true);
        tell(lost);
        tokio::select! {
            () = sleep_until(asked + if lost { WHILE_LOST } else { EVERY }) => {}
            () = own_network.doubted() => sleep_until(asked + AT_LEAST).await,
        }
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
