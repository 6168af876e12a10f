//! A program whose clock is set forward while it runs, so that what it judges after minutes can be seen at once. It sleeps
//! and waits as long as ever.

use std::path::{Path, PathBuf};

use super::programs;

/// True when a program can be given a clock. Else the test is skipped.
pub fn can_be_set() -> bool {
    programs::have(&["faketime"])
}

/// A clock that goes right until it is set.
pub struct Clock(PathBuf);

impl Clock {
    /// What it says is in a file in that directory.
    pub fn new(folder: &Path) -> Clock {
        let clock = Clock(folder.join("clock"));
        clock.set_forward(0);
        clock
    }

    /// The command that becomes the program named behind it, which goes by this clock.
    pub fn command(&self) -> [String; 4] {
        // The program `faketime` itself would stay between us and the other one.
        let mut found = glob::glob("/usr/lib/*/faketime/libfaketimeMT.so.1").expect("a pattern");
        let library = found.next().expect("it comes with faketime").expect("readable");
        [
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.0.display()),
            // It looks into the file whenever it asks for the time.
            "FAKETIME_NO_CACHE=1".to_owned(),
        ]
    }

    /// From now on it is so many seconds ahead of everybody else's.
    pub fn set_forward(&self, seconds: u32) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("+{seconds}\n")).expect("written");
        std::fs::rename(&new, &self.0).expect("renamed");
    }
}
