//! The pace of the file readers of one group: a pass when something changed, positions saved, rest in between.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::CHUNK_BYTES;
use super::follow::Follower;
use super::watch::{Change, Watch};

/// Time from one pass to the next at least: a busy log changes at every line.
const PACE: Duration = Duration::from_millis(100);
/// Time between savings. After a crash, the lines of that time are read again by a process that counts from zero.
const SAVE: Duration = Duration::from_secs(5);

/// Follows until told to stop; then saves.
///
/// Logs are read in the order they are given: of a later one only what was there before the ends of the earlier ones were
/// noted. So where a gateway writes first to one log and then to the other, its lines are handed out in that order.
pub(super) async fn run(mut followers: Vec<Follower>, stop: CancellationToken) {
    let mut watch = Watch::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut change, mut saved, mut watched) = (Change::Names, Instant::now(), None);
    let mut looked = saved;
    while !stop.is_cancelled() {
        let now = Instant::now();
        if now.saturating_duration_since(looked) >= watch.patience() {
            change = Change::Names;
        }
        let mut has_more = false;
        for follower in followers.iter_mut().rev() {
            follower.note(now, change == Change::Names, &mut buffer);
        }
        for follower in &mut followers {
            has_more |= follower.read(now, &mut buffer);
            tokio::task::yield_now().await;
            if has_more {
                break;
            }
        }
        if change == Change::Names {
            looked = now;
            set(&mut watch, &followers);
            // What was written between opening and watching told nobody.
            has_more |= watched.is_none_or(|known| known != count(&followers));
            watched = Some(count(&followers));
        }
        if now.saturating_duration_since(saved) >= SAVE {
            followers.iter_mut().for_each(Follower::save);
            saved = now;
        }
        change = Change::Written;
        if has_more {
            continue;
        }
        let unsaved = followers.iter().any(Follower::is_unsaved);
        let next_look = looked + watch.patience();
        let next = if unsaved {
            next_look.min(saved + SAVE)
        } else {
            next_look
        };
        tokio::select! {
            () = stop.cancelled() => break,
            seen = watch.changed() => change = seen,
            () = sleep_until(next) => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep_until(now + PACE) => {}
        }
    }
    followers.iter_mut().for_each(Follower::save);
}

fn set(watch: &mut Watch, followers: &[Follower]) {
    let directories: HashSet<_> = followers.iter().flat_map(Follower::directories).collect();
    let files = followers.iter().flat_map(Follower::files);
    watch.set(directories, files.map(|file| (file.at.id, &file.file, file.is_remote)));
}

/// The files now followed.
fn count(followers: &[Follower]) -> Vec<super::position::Id> {
    let files = followers.iter().flat_map(Follower::files);
    files.map(|file| file.at.id).collect()
}
