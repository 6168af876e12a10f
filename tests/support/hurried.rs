//! Programs for which time passes faster than for everybody else, so that what takes minutes can be waited for.

use super::programs;

/// Sixty times as fast: a minute is a second.
pub const TIMES: u32 = 60;

/// True when time can be hurried. Else the test is skipped.
pub fn can() -> bool {
    programs::have(&["faketime"])
}

/// The command that becomes the program named behind it, for which a minute is a second.
pub fn command() -> [String; 3] {
    // The program `faketime` itself would stay between us and the other one.
    let mut found = glob::glob("/usr/lib/*/faketime/libfaketimeMT.so.1").expect("a pattern");
    let library = found.next().expect("it comes with faketime").expect("readable");
    [
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME=+0 x{TIMES}"),
    ]
}
