//! Names of log files: which match a pattern, and which are rotations of which.

use std::io;
use std::path::{Path, PathBuf};

/// What a pattern matches now.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// At most as many as asked for, in the order of their names. Names that are not UTF-8 are left out.
    pub paths: Vec<PathBuf>,
    /// More match than are taken.
    pub too_many: bool,
    /// A directory that could not be listed.
    pub fault: Option<io::Error>,
}

/// Whether this is a pattern, rather than the name of one file.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The files of a path or pattern; a path stands for itself, whether it exists or not.
pub(super) fn matching(pattern: &str, limit: usize) -> Found {
    let mut found = Found::default();
    if !is_pattern(pattern) {
        found.paths.push(PathBuf::from(pattern));
        return found;
    }
    let entries = match glob::glob(pattern) {
        Ok(entries) => entries,
        Err(error) => {
            found.fault = Some(io::Error::new(io::ErrorKind::InvalidInput, error.msg));
            return found;
        }
    };
    for entry in entries {
        match entry {
            Ok(path) if path.to_str().is_some() => found.paths.push(path),
            Ok(_) => {}
            // What vanished while we looked is simply not there.
            Err(error) if error.error().kind() == io::ErrorKind::NotFound => {}
            Err(error) => found.fault = Some(error.into()),
        }
        if found.paths.len() > limit {
            found.paths.pop();
            found.too_many = true;
            break;
        }
    }
    found
}

/// Directories of one level of a pattern.
const MAX_DIRECTORIES: usize = 4_096;

/// Directories whose entries decide what a pattern matches: for `/var/log/pods/*/*/*.log` the first, those in it, and
/// those in them.
pub(super) fn directories(pattern: &str) -> Vec<PathBuf> {
    let whole = Path::new(pattern);
    let mut levels: Vec<&Path> = whole.ancestors().skip(1).collect();
    levels.retain(|level| !level.as_os_str().is_empty());
    let plain = |level: &&&Path| !is_pattern(&level.to_string_lossy());
    let mut found: Vec<PathBuf> = levels
        .iter()
        .find(plain)
        .map(|level| level.to_path_buf())
        .into_iter()
        .collect();
    for level in levels.iter().rev().filter(|level| !plain(level)) {
        found.extend(matching(&level.to_string_lossy(), MAX_DIRECTORIES).paths);
    }
    if found.is_empty() {
        found.push(PathBuf::from("."));
    }
    found
}

/// Whether `other` is what a rotation makes of `name`: `access.log.1`, `access.log-20261120`, `access-20261120.log`,
/// `0.log.20261120-154517`. Without a date, only a number at the very end counts: `site-1.log` is another site's.
pub(super) fn is_rotation(name: &Path, other: &Path) -> bool {
    let (Some(name), Some(other)) = (file_name(name), file_name(other)) else {
        return false;
    };
    if let Some(suffix) = other.strip_prefix(name) {
        return suffix.strip_prefix('.').is_some_and(is_number) || is_date(suffix) || matches!(suffix, ".old" | ".bak");
    }
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    let middle = other
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(extension))
        .and_then(|rest| rest.strip_suffix('.'));
    middle.is_some_and(is_date)
}

/// `.2` is older than `.1`; dates tell by themselves.
pub(super) fn rotation_number(path: &Path) -> u32 {
    let last = file_name(path).and_then(|name| name.rsplit('.').next());
    last.and_then(|last| last.parse().ok()).unwrap_or_default()
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn is_number(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A separator, then digits of a date or time with separators among them.
fn is_date(text: &str) -> bool {
    text.starts_with(['.', '-', '_'])
        && text.bytes().filter(u8::is_ascii_digit).count() >= 6
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".-_:TZ".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_are_known_by_name() {
        for (name, other, expected) in [
            ("access.log", "access.log.1", true),
            ("access.log", "access.log.12", true),
            ("access.log", "access.log-20261120", true),
            ("access.log", "access.log-20261120-1795189517", true),
            ("access.log", "access.log.2026-11-20T15:45:17Z", true),
            ("access.log", "access-20261120.log", true),
            ("access.log", "access-2026-11-20.log", true),
            ("0.log", "0.log.20261120-154517", true),
            ("ab-json.log", "ab-json.log.1", true),
            ("access.log", "access.log.old", true),
            ("access", "access.1", true),
            ("access.log", "access.log", false),
            ("access.log", "access.log.1.gz", false),
            ("access.log", "access.logs", false),
            ("site.log", "site-1.log", false),
            ("site.log", "site.1.log", false),
            ("site.log", "site2.log", false),
            ("site.log", "site-admin.log", false),
            ("access-20261120.log", "access-20261121.log", false),
            ("", "access.log", false),
        ] {
            assert_eq!(
                is_rotation(Path::new(name), Path::new(other)),
                expected,
                "{name} {other}"
            );
        }
    }

    #[test]
    fn patterns_find_files_and_their_directories() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().to_str().unwrap();
        for pod in ["a/web", "b/web"] {
            std::fs::create_dir_all(format!("{root}/{pod}")).unwrap();
            std::fs::write(format!("{root}/{pod}/0.log"), "").unwrap();
        }
        let pattern = format!("{root}/*/*/*.log");
        let paths = |names: &[&str]| {
            names
                .iter()
                .map(|name| PathBuf::from(format!("{root}{name}")))
                .collect::<Vec<_>>()
        };
        assert_eq!(matching(&pattern, 9).paths, paths(&["/a/web/0.log", "/b/web/0.log"]));
        let few = matching(&pattern, 1);
        assert!(few.too_many && few.paths.len() == 1);
        assert_eq!(directories(&pattern), paths(&["", "/a", "/b", "/a/web", "/b/web"]));
        let plain = format!("{root}/a/x.log");
        assert_eq!(matching(&plain, 9).paths, paths(&["/a/x.log"]));
        assert_eq!(directories(&plain), paths(&["/a"]));
        assert_eq!(directories("x.log"), [PathBuf::from(".")]);
        assert_eq!(matching(&format!("{root}/none/*.log"), 9).paths, paths(&[]));
        assert!(matching("/a/[", 9).fault.is_some());
    }
}
