//! The files that an `include` names: a path, or a pattern as in a shell.

use std::fs;
use std::path::{Path, PathBuf};

use super::nginx::{MAX_BYTES, MAX_FILES};

/// The files of the system that a pattern names: `*`, `?` and `[…]` as in a shell, in any part of the path.
pub fn files(pattern: &Path) -> Result<Vec<(String, String)>, String> {
    let mut paths = vec![PathBuf::new()];
    let mut is_pattern = false;
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            paths.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        is_pattern = true;
        let mut next: Vec<PathBuf> = paths.iter().flat_map(|directory| matching(directory, &text)).collect();
        next.sort();
        next.truncate(MAX_FILES);
        paths = next;
    }
    let read = |path: PathBuf| {
        let name = path.display().to_string();
        match fs::metadata(&path) {
            Ok(about) if !about.is_file() => Err(format!("{name} is not a file")),
            Ok(about) if about.len() > MAX_BYTES as u64 => Err(format!("{name} is too large")),
            Err(error) => Err(format!("{name}: {error}")),
            Ok(_) => match fs::read(&path) {
                Ok(bytes) => Ok((name, String::from_utf8_lossy(&bytes).into_owned())),
                Err(error) => Err(format!("{name}: {error}")),
            },
        }
    };
    match is_pattern {
        // A pattern may match directories and broken links; nginx would fail on them, we need not.
        true => Ok(paths.into_iter().filter_map(|path| read(path).ok()).collect()),
        false => paths.into_iter().map(read).collect(),
    }
}

fn matching(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let shown = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let Ok(entries) = fs::read_dir(shown) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            !name.starts_with('.') && glob(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        })
        .map(|entry| directory.join(entry.file_name()))
        .collect()
}

/// A shell pattern against a name. Backtracks to the last star only, so it takes no more than length times length steps.
fn glob(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = pattern.get(p).and_then(|c| match c {
            '*' => None,
            '?' => Some(1),
            '[' => set(&pattern[p..], name[n]),
            c => (*c == name[n]).then_some(1),
        });
        match (step, pattern.get(p), star) {
            (Some(length), _, _) => (p, n) = (p + length, n + 1),
            (None, Some('*'), _) => {
                star = Some((p + 1, n));
                p += 1;
            }
            (None, _, Some((after, from))) => {
                star = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            (None, _, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The length of `[…]` at the start of a pattern when it takes this character.
fn set(pattern: &[char], c: char) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
    let inner = &pattern[1..end];
    let (negated, inner) = match inner {
        ['!' | '^', rest @ ..] => (true, rest),
        inner => (false, inner),
    };
    let mut found = false;
    let mut at = 0;
    while at < inner.len() {
        match inner[at..] {
            [low, '-', high, ..] => {
                found |= (low..=high).contains(&c);
                at += 3;
            }
            [one, ..] => {
                found |= one == c;
                at += 1;
            }
            [] => break,
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c*", "abcd", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("", "", true),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(glob(&chars(pattern), &chars(name)), expected, "{pattern} {name}");
        }
    }
}
