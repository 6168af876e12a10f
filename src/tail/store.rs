//! Positions on disk: one small JSON file per log, replaced as a whole.
//!
//! 1. A file is written beside its place, flushed, and renamed into it; so it is old or new, never half.
//! 2. One that cannot be understood (torn, or of another version) is set aside as `….broken`, and the log begins anew.
//! 3. Without a directory, positions live as long as the process: a reload loses nothing, a restart begins at the end.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the files' format.
const VERSION: u32 = 1;
/// Bytes of one file at most; more than 16,384 objects or 1,000 files with parts of lines need.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Where positions are kept. Shared by all logs of a process, one group after another.
#[derive(Debug, Default)]
pub struct Store {
    directory: Option<PathBuf>,
    kept: Mutex<HashMap<String, String>>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    log: T,
}

impl Store {
    /// Keeps positions below this directory, which is made if it is missing; `None` keeps them in memory.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(directory: Option<&Path>) -> io::Result<Store> {
        let directory = directory.map(|directory| directory.join("positions"));
        if let Some(directory) = &directory {
            // Parts of lines may be among the positions, and lines name clients.
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(Store {
            directory,
            kept: Mutex::default(),
        })
    }

    /// What was saved for a log; `None` where nothing was, or nothing that can be understood.
    pub(super) fn load<T: DeserializeOwned>(&self, log: &str) -> Option<T> {
        let Some(path) = self.path(log) else {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            return parse(kept.get(log)?);
        };
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read the positions of a log");
                return None;
            }
        };
        let found = parse(&text);
        if found.is_none() {
            let aside = path.with_extension("broken");
            tracing::warn!(path = %path.display(), "the positions of a log are damaged; they are set aside");
            let _ = fs::rename(&path, aside);
        }
        found
    }

    /// Replaces what is saved for a log.
    pub(super) fn save<T: Serialize>(&self, log: &str, positions: &T) -> io::Result<()> {
        let text = serde_json::to_string(&Versioned {
            version: VERSION,
            log: positions,
        })?;
        let Some(path) = self.path(log) else {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(log.to_owned(), text);
            return Ok(());
        };
        let beside = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&beside, &path)
    }

    fn path(&self, log: &str) -> Option<PathBuf> {
        let name: String = log
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
                other => format!("%{other:02x}"),
            })
            .collect();
        Some(self.directory.as_ref()?.join(format!("{name}.json")))
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The version first: what another one means by the same words is unknown.
fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let head: Head = serde_json::from_str(text).ok()?;
    if head.version != VERSION {
        return None;
    }
    serde_json::from_str::<Versioned<T>>(text).ok().map(|whole| whole.log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_damage_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Some(directory.path())).unwrap();
        assert_eq!(store.load::<Vec<u64>>("edge/access"), None);
        store.save("edge/access", &vec![1_u64, 2]).unwrap();
        store.save("edge.access", &vec![3_u64]).unwrap();
        assert_eq!(store.load("edge/access"), Some(vec![1_u64, 2]));
        assert_eq!(store.load("edge.access"), Some(vec![3_u64]));

        let path = store.path("edge/access").unwrap();
        for damage in [
            "",
            "{",
            r#"{"version":1,"log":[1,2"#,
            r#"{"version":2,"log":[1]}"#,
            "\0\0\0",
        ] {
            fs::write(&path, damage).unwrap();
            assert_eq!(store.load::<Vec<u64>>("edge/access"), None, "{damage}");
            assert_eq!(fs::read_to_string(path.with_extension("broken")).unwrap(), damage);
            assert!(!path.exists());
        }
    }

    #[test]
    fn without_a_directory_memory_keeps_them() {
        let store = Store::open(None).unwrap();
        store.save("a", &1_u64).unwrap();
        assert_eq!(store.load("a"), Some(1_u64));
        assert_eq!(store.load::<u64>("b"), None);
    }
}
