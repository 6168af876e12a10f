//! The programs of the system that some tests need, and what happens where one is missing.

use std::path::PathBuf;

/// Where the program is, `sbin` directories included even where `PATH` leaves them out, and what `tests/install.sh`
/// brought without a package.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin", TOOLS].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// True when all are there. Else the test is skipped: it says so and the caller returns; in CI it fails.
pub fn have(programs: &[&str]) -> bool {
    match programs.iter().find(|program| find(program).is_none()) {
        Some(missing) => skip(&format!("{missing} is not installed")),
        None => true,
    }
}

/// Says that the test is skipped and returns false; in CI a skipped test is a failure.
pub fn skip(reason: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {reason}");
    println!("skipped: {reason}");
    false
}

/// Programs that are no Debian packages.
const TOOLS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../tools/bin");
