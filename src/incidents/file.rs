//! The file of incidents: one JSON value per line, only ever added to, and made anew when it grows too large.
//!
//! 1. The first line names the format and its version; a file that is of another one is set aside as `….broken`.
//! 2. Every other line is the whole of one incident, the last line of a number counts; or one change.
//! 3. A line that cannot be understood, such as the last one of a program that was killed, is left out.
//! 4. A new file is written beside the old one, flushed, and renamed into its place; so there is always a whole one.
//! 5. One process at a time, by a lock on a file beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{Kept, path_in};
use crate::incident::{Incident, Marker};

/// The version of the format.
const VERSION: u32 = 1;
/// Bytes of one line at most; an incident needs a tenth of it.
const MAX_LINE: u64 = 1024 * 1024;
/// A file made anew takes at most this part of what it may grow to.
const PART_WHEN_NEW: u64 = 2;

/// The file, open for adding to it.
pub(super) struct File {
    path: PathBuf,
    max_bytes: u64,
    bytes: u64,
    file: fs::File,
    /// The last line has no end: the next begins with one.
    torn: bool,
    /// Held for as long as the file is used.
    _lock: fs::File,
}

#[derive(Serialize, Deserialize)]
struct Head {
    badgateway_incidents: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Incident(Box<Incident>),
    Change(Marker),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum LineRef<'a> {
    Incident(&'a Incident),
    Change(&'a Marker),
}

impl File {
    /// Opens the file of this directory and reads it; both are made if they are missing.
    ///
    /// # Errors
    /// The directory cannot be used, or another process uses it.
    pub(super) fn open(directory: &Path, max_bytes: u64) -> io::Result<(File, Kept)> {
        // Evidence may name what is nobody else's business.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let lock = private(OpenOptions::new().write(true).create(true)).open(directory.join("incidents.lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            rustix::io::Errno::WOULDBLOCK => io::Error::other("another process keeps its incidents there"),
            errno => errno.into(),
        })?;
        let path = path_in(directory);
        let kept = match read(&path) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let aside = path.with_extension("jsonl.broken");
                tracing::warn!(path = %path.display(), %error, aside = %aside.display(), "the file of incidents is set aside");
                fs::rename(&path, aside)?;
                Kept::default()
            }
            Err(error) => return Err(error),
        };
        let mut file = private(OpenOptions::new().append(true).read(true).create(true)).open(&path)?;
        let bytes = file.metadata()?.len();
        let mut opened = File {
            torn: bytes > 0 && !ends_with_newline(&mut file, bytes)?,
            path,
            max_bytes,
            bytes,
            file,
            _lock: lock,
        };
        if bytes == 0 {
            opened.add(&head())?;
        }
        Ok((opened, kept))
    }

    /// It is to be made anew before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > self.max_bytes
    }

    /// Adds what changed, and waits until it is on the disk.
    pub(super) fn append(&mut self, incidents: &[Incident], markers: &[Marker]) -> io::Result<()> {
        if incidents.is_empty() && markers.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        if std::mem::take(&mut self.torn) {
            text.push('\n');
        }
        incidents
            .iter()
            .for_each(|incident| line(&mut text, &LineRef::Incident(incident)));
        markers
            .iter()
            .for_each(|marker| line(&mut text, &LineRef::Change(marker)));
        self.add(&text)
    }

    /// Makes it anew from these: the latest ones, as many as fit into half of what it may grow to; open ones always.
    pub(super) fn rewrite(&mut self, incidents: &[Incident], markers: &[Marker]) -> io::Result<()> {
        let room = self.max_bytes / PART_WHEN_NEW;
        let mut used = 0;
        let mut lines: Vec<String> = Vec::new();
        for incident in incidents.iter().rev() {
            let mut text = String::new();
            line(&mut text, &LineRef::Incident(incident));
            if incident.is_open() || used + text.len() as u64 <= room {
                used += text.len() as u64;
                lines.push(text);
            }
        }
        let beside = self.path.with_extension("jsonl.new");
        let new = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&beside)?;
        let mut writer = BufWriter::new(new);
        writer.write_all(head().as_bytes())?;
        for text in lines.iter().rev() {
            writer.write_all(text.as_bytes())?;
        }
        for marker in markers {
            let mut text = String::new();
            line(&mut text, &LineRef::Change(marker));
            writer.write_all(text.as_bytes())?;
        }
        writer.flush()?;
        writer.get_ref().sync_data()?;
        fs::rename(&beside, &self.path)?;
        self.file = private(OpenOptions::new().append(true)).open(&self.path)?;
        self.bytes = self.file.metadata()?.len();
        self.torn = false;
        Ok(())
    }

    fn add(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.bytes += text.len() as u64;
        self.file.sync_data()
    }
}

/// What the file holds.
///
/// # Errors
/// It cannot be read, or is of another format or version (`InvalidData`).
pub fn read(path: &Path) -> io::Result<Kept> {
    let mut reader = BufReader::new(fs::File::open(path)?);
    let mut kept = Kept::default();
    let mut bytes = Vec::new();
    let mut is_first = true;
    loop {
        bytes.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(kept);
        }
        let text = bytes.trim_ascii();
        if std::mem::take(&mut is_first) {
            check_head(text)?;
            continue;
        }
        match serde_json::from_slice(text) {
            Ok(Line::Incident(incident)) => drop(kept.incidents.insert(incident.id, *incident)),
            Ok(Line::Change(marker)) => kept.markers.push(marker),
            Err(_) => kept.damaged += usize::from(!text.is_empty()),
        }
    }
}

fn check_head(text: &[u8]) -> io::Result<()> {
    let invalid = |message: String| Err(io::Error::new(io::ErrorKind::InvalidData, message));
    match serde_json::from_slice::<Head>(text) {
        Ok(Head {
            badgateway_incidents: VERSION,
        }) => Ok(()),
        Ok(head) => invalid(format!(
            "it is of version {}, this program reads version {VERSION}",
            head.badgateway_incidents
        )),
        Err(_) => invalid("its first line does not say that it is a file of incidents".to_owned()),
    }
}

fn head() -> String {
    let head = Head {
        badgateway_incidents: VERSION,
    };
    serde_json::to_string(&head).expect("a number is JSON") + "\n"
}

fn line(text: &mut String, line: &LineRef<'_>) {
    text.push_str(&serde_json::to_string(line).expect("times, texts and numbers are JSON"));
    text.push('\n');
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn ends_with_newline(file: &mut fs::File, bytes: u64) -> io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let mut last = [0];
    file.read_exact_at(&mut last, bytes - 1)?;
    Ok(last == [b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::tests::{at, evidence, said};
    use crate::verdict::{Impact, Verdict};

    fn incident(id: u64) -> Incident {
        let down = said(Verdict::OriginDown, Impact::Users);
        Incident::begin(id, "shop".into(), at(id), &down, Some(evidence(id)))
    }

    fn open(directory: &Path) -> (File, Kept) {
        File::open(directory, 1 << 20).unwrap()
    }

    /// Whatever of the file is on the disk when the program dies, each incident is there as it was last written whole.
    #[test]
    fn a_file_cut_anywhere_loses_its_last_line_at_most() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, _) = open(directory.path());
        for id in 0..3 {
            file.append(&[incident(id)], &[]).unwrap();
        }
        drop(file);
        let path = path_in(directory.path());
        let whole = fs::read(&path).unwrap();
        let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for end in (head..=whole.len()).step_by(7) {
            fs::write(&path, &whole[..end]).unwrap();
            let complete = whole[head..end].iter().filter(|byte| **byte == b'\n').count();
            let (mut file, kept) = open(directory.path());
            assert!(kept.incidents.len() >= complete, "{end}");
            assert!(kept.damaged <= 1);
            file.append(&[incident(9)], &[]).unwrap();
            drop(file);
            let after = read(&path).unwrap();
            assert_eq!(after.incidents.len(), kept.incidents.len() + 1, "{end}");
        }
    }

    #[test]
    fn other_files_are_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_in(directory.path());
        for text in ["\0\0\0\n", "{\"badgateway_incidents\":2}\n", "hello"] {
            fs::write(&path, text).unwrap();
            assert_eq!(open(directory.path()).1, Kept::default());
            assert_eq!(fs::read_to_string(path.with_extension("jsonl.broken")).unwrap(), text);
        }
    }

    #[test]
    fn it_stays_within_its_bound_and_keeps_what_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, _) = File::open(directory.path(), 20_000).unwrap();
        let mut all: Vec<Incident> = Vec::new();
        for id in 0..200 {
            let mut one = incident(id);
            if id > 0 {
                one.end = Some(crate::incident::Ended {
                    at: at(id),
                    how: crate::incident::Ending::Recovered,
                });
            }
            all.push(one);
            if file.is_full() {
                file.rewrite(&all, &[]).unwrap();
            } else {
                file.append(&all[all.len() - 1..], &[]).unwrap();
            }
            assert!(fs::metadata(&file.path).unwrap().len() < 21_000);
        }
        let kept = read(&file.path).unwrap();
        assert!(kept.incidents.contains_key(&0) && kept.incidents.contains_key(&199));
        assert_eq!(kept.damaged, 0);
    }

    #[test]
    fn a_damaged_line_in_the_middle_harms_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, _) = open(directory.path());
        file.append(&[incident(0)], &[]).unwrap();
        file.add("{\"incident\":{\"id\":\n").unwrap();
        file.append(&[incident(2)], &[]).unwrap();
        drop(file);
        let kept = read(&path_in(directory.path())).unwrap();
        assert_eq!((kept.incidents.len(), kept.damaged), (2, 1));
    }
}
