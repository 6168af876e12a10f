//! Random histories of a log and its reader, against a model that knows where every line went.
//!
//! The model says after each pass which lines must have come: all whole lines of every file the reader had a way to, each
//! once, those of a file in their order. It lets a line be missing only where nobody could have read it:
//!
//! - its file was removed before any pass saw it, or while the reader was stopped;
//! - it was written after a copy was made and before the original was truncated, or the copy was removed before the next
//!   pass;
//! - a second half of a line that was torn apart by a truncation may come as a line, as may its first half from the copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    /// A whole line; ends the one begun before.
    Write,
    /// A line without its end.
    Begin,
    /// `access.log` becomes `.1`, `.1` becomes `.2` and so on; the gateway writes on to what it has open.
    Rename,
    /// The gateway opens `access.log`, making it where it is missing.
    Reopen,
    /// A copy becomes `.1`, lines may be written, and the original is emptied.
    CopyTruncate { written_between: bool },
    /// Emptied without a copy.
    Truncate,
    /// `access.log` loses its name.
    Delete,
    /// The rotated file of this number loses its name.
    DeleteOld(usize),
    /// `access.log` cannot be read, or can again. Says nothing where the tests run as root.
    Forbid(bool),
    /// One pass of the reader.
    Poll,
    /// The reader stops and starts.
    Restart,
    /// Where `access.log` is a symbolic link: it points to a new file.
    Switch,
    /// Everybody writes to the newest file, and a long time passes.
    Wait,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => Just(Action::Write),
        2 => Just(Action::Begin),
        3 => Just(Action::Rename),
        4 => Just(Action::Reopen),
        2 => any::<bool>().prop_map(|written_between| Action::CopyTruncate { written_between }),
        1 => Just(Action::Truncate),
        1 => Just(Action::Delete),
        1 => (1_usize..4).prop_map(Action::DeleteOld),
        1 => any::<bool>().prop_map(Action::Forbid),
        6 => Just(Action::Poll),
        2 => Just(Action::Restart),
        2 => Just(Action::Switch),
        1 => Just(Action::Wait),
    ]
}

/// A file as the model sees it.
#[derive(Debug, Default)]
struct Inode {
    /// Whole lines that did not come yet.
    waiting: Vec<String>,
    /// A line without its end.
    begun: Option<String>,
    /// The reader has it open.
    is_open: bool,
    has_name: bool,
}

struct World {
    rig: Rig,
    appends: bool,
    is_linked: bool,
    targets: usize,
    writer: Option<(File, usize, u64)>,
    inodes: Vec<Inode>,
    /// Inode of `access.log`, and of `access.log.N`.
    current: Option<usize>,
    rotated: BTreeMap<usize, usize>,
    is_forbidden: bool,
    lines: usize,
    /// Lines that came.
    came: BTreeSet<String>,
    /// Halves that may come once each.
    torn: BTreeSet<String>,
    /// Lines that may come late or never.
    lost: BTreeSet<String>,
}

impl World {
    fn new(pattern: &str, appends: bool, is_linked: bool) -> World {
        let mut rig = Rig::new(pattern, From::End, Envelope::Plain);
        // The first start is in the past.
        rig.poll();
        World {
            rig,
            appends,
            is_linked,
            targets: 0,
            writer: None,
            inodes: Vec::new(),
            current: None,
            rotated: BTreeMap::new(),
            is_forbidden: false,
            lines: 0,
            came: BTreeSet::new(),
            torn: BTreeSet::new(),
            lost: BTreeSet::new(),
        }
    }

    fn log(&self) -> PathBuf {
        self.rig.path("access.log")
    }

    fn old(&self, number: usize) -> PathBuf {
        self.rig.path(&format!("access.log.{number}"))
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Write => self.write(true),
            Action::Begin => self.write(false),
            Action::Rename => self.rename(),
            Action::Reopen => self.reopen(),
            Action::CopyTruncate { written_between } => self.copy_truncate(*written_between),
            Action::Truncate => self.truncate(),
            Action::Delete => self.delete(),
            Action::DeleteOld(number) => self.delete_old(*number),
            Action::Forbid(is_forbidden) => self.forbid(*is_forbidden),
            Action::Poll => self.poll(),
            Action::Restart => self.restart(),
            Action::Switch => self.switch(),
            Action::Wait => self.wait(),
        }
    }

    fn write(&mut self, is_whole: bool) {
        if self.writer.is_none() {
            self.reopen();
        }
        self.lines += 1;
        let Some((file, inode, offset)) = &mut self.writer else {
            return;
        };
        let begun = self.inodes[*inode].begun.take();
        // Of many lengths, so that offsets of different files rarely agree.
        let piece = format!("<{:05}>{}", self.lines, "-".repeat(self.lines * 7 % 60));
        let end = if is_whole { "\n" } else { "" };
        let text = format!("{piece}{end}");
        // Where the file is opened for appending, Linux ignores the offset.
        file.write_all_at(text.as_bytes(), *offset).unwrap();
        *offset += text.len() as u64;
        let line = begun.unwrap_or_default() + &piece;
        if is_whole {
            let inode = &mut self.inodes[*inode];
            if inode.has_name || inode.is_open {
                inode.waiting.push(line);
            } else {
                // A reader that starts may still find the target of the old link by its number.
                self.lost.insert(line);
            }
        } else {
            self.inodes[*inode].begun = Some(line);
        }
    }

    fn reopen(&mut self) {
        // A gateway ends its line before it reopens.
        if let Some((_, inode, _)) = self.writer
            && self.inodes[inode].begun.is_some()
        {
            self.write(true);
        }
        if self.is_linked && self.current.is_none() {
            self.link();
        }
        let file = OpenOptions::new()
            .append(self.appends)
            .write(true)
            .create(true)
            .open(self.log())
            .unwrap();
        if self.current.is_none() {
            self.inodes.push(Inode {
                has_name: true,
                ..Inode::default()
            });
            self.current = Some(self.inodes.len() - 1);
            self.is_forbidden = false;
        }
        let end = file.metadata().unwrap().len();
        self.writer = self.current.map(|inode| (file, inode, end));
    }

    /// Points `access.log` to a file that does not exist yet.
    fn link(&mut self) {
        self.targets += 1;
        let new = self.rig.path("new");
        symlink(format!("real-{}", self.targets), &new).unwrap();
        fs::rename(new, self.log()).unwrap();
    }

    fn switch(&mut self) {
        self.forbid(false);
        if self.is_linked
            && let Some(current) = self.current.take()
        {
            self.link();
            self.lose(current);
            self.reopen();
        }
    }

    fn shift(&mut self) {
        for number in (1..=self.rotated.len()).rev() {
            if let Some(inode) = self.rotated.remove(&number) {
                fs::rename(self.old(number), self.old(number + 1)).unwrap();
                self.rotated.insert(number + 1, inode);
            }
        }
    }

    fn rename(&mut self) {
        self.forbid(false);
        let Some(current) = self.current.take() else { return };
        self.shift();
        fs::rename(self.log(), self.old(1)).unwrap();
        self.rotated.insert(1, current);
    }

    fn copy_truncate(&mut self, written_between: bool) {
        let Some(current) = self.current else { return };
        if self.is_forbidden {
            return;
        }
        self.shift();
        fs::copy(self.log(), self.old(1)).unwrap();
        let original = &mut self.inodes[current];
        let copy = Inode {
            waiting: std::mem::take(&mut original.waiting),
            begun: None,
            is_open: false,
            has_name: true,
        };
        self.torn
            .extend(original.begun.iter().map(|begun| format!("{begun} (cut)")));
        self.inodes.push(copy);
        self.rotated.insert(1, self.inodes.len() - 1);
        if written_between && self.writer.as_ref().is_some_and(|(_, inode, _)| *inode == current) {
            self.write(true);
        }
        self.truncate();
    }

    fn truncate(&mut self) {
        let Some(current) = self.current else { return };
        File::options()
            .write(true)
            .open(self.log())
            .unwrap()
            .set_len(0)
            .unwrap();
        let inode = &mut self.inodes[current];
        self.lost.extend(inode.waiting.drain(..));
        if inode.begun.is_some() {
            // What follows is a line of its own, of which the first half is gone.
            inode.begun = Some(String::new());
        }
    }

    fn lose(&mut self, inode: usize) {
        let inode = &mut self.inodes[inode];
        inode.has_name = false;
        if !inode.is_open {
            self.lost.extend(inode.waiting.drain(..));
        }
    }

    fn delete(&mut self) {
        self.forbid(false);
        let Some(current) = self.current.take() else { return };
        fs::remove_file(self.log()).unwrap();
        self.lose(current);
    }

    fn delete_old(&mut self, number: usize) {
        let Some(inode) = self.rotated.remove(&number) else {
            return;
        };
        fs::remove_file(self.old(number)).unwrap();
        self.lose(inode);
        // No gaps, as logrotate leaves none.
        for later in number + 1..=self.rotated.len() + 1 {
            if let Some(inode) = self.rotated.remove(&later) {
                fs::rename(self.old(later), self.old(later - 1)).unwrap();
                self.rotated.insert(later - 1, inode);
            }
        }
    }

    fn forbid(&mut self, is_forbidden: bool) {
        // Root reads everything, so that the model would be wrong.
        if self.current.is_none() || rustix::process::geteuid().is_root() {
            return;
        }
        // The gateway may still write.
        let mode = if is_forbidden { 0o200 } else { 0o644 };
        fs::set_permissions(self.log(), fs::Permissions::from_mode(mode)).unwrap();
        self.is_forbidden = is_forbidden;
    }

    fn restart(&mut self) {
        self.rig.restart();
        for inode in &mut self.inodes {
            inode.is_open = false;
            if !inode.has_name {
                self.lost.extend(inode.waiting.drain(..));
            }
        }
    }

    fn wait(&mut self) {
        self.forbid(false);
        self.reopen();
        self.write(true);
        self.poll();
        self.rig.later(Duration::from_secs(400));
        self.poll();
        for (index, inode) in self.inodes.iter_mut().enumerate() {
            inode.is_open = Some(index) == self.current;
        }
    }

    /// A pass, and what must be true after it.
    fn poll(&mut self) {
        let reachable = self
            .current
            .filter(|_| !self.is_forbidden)
            .into_iter()
            .chain(self.rotated.values().copied());
        for inode in reachable {
            self.inodes[inode].is_open = true;
        }
        let mut due = BTreeMap::new();
        for (index, inode) in self.inodes.iter_mut().enumerate().filter(|(_, inode)| inode.is_open) {
            due.extend(inode.waiting.drain(..).map(|line| (line, index)));
        }
        let came = self.rig.poll();
        // The last line of each file, by its number.
        let mut last = BTreeMap::new();
        for line in came {
            if self.torn.remove(&line) {
                continue;
            }
            let inode = due.remove(&line);
            assert!(
                inode.is_some() || self.lost.remove(&line),
                "unexpected or twice: {line}"
            );
            assert!(self.came.insert(line.clone()), "twice: {line}");
            let number: usize = line.rsplit('<').next().and_then(|rest| rest[..5].parse().ok()).unwrap();
            if let Some(inode) = inode {
                let before = last.insert(inode, number);
                assert!(before < Some(number), "{number} came after {before:?}");
            }
        }
        assert!(due.is_empty(), "lost: {due:?}");
    }
}

proptest! {
    #[test]
    fn every_line_comes_once(
        pattern in proptest::sample::select(vec!["access.log", "access.log*"]),
        appends in any::<bool>(),
        is_linked in any::<bool>(),
        actions in proptest::collection::vec(action(), 1..60)) {
        let mut world = World::new(pattern, appends, is_linked);
        for action in &actions {
            world.act(action);
        }
        world.forbid(false);
        world.poll();
        prop_assert!(world.rig.poll().is_empty());
    }
}
