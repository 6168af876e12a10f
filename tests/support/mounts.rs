//! Mount namespaces: a program that sees another file or disk at some path than everybody else.

use std::path::Path;
use std::process::Command;

use super::programs;

/// True when this system lets us mount in a namespace of our own; else the test is skipped.
pub fn may() -> bool {
    programs::have(&["unshare", "mount"]) && {
        let tried = Command::new("unshare").args(["--mount", "true"]).output();
        tried.is_ok_and(|output| output.status.success()) || programs::skip("mount namespaces need root")
    }
}

/// The command that becomes the program named behind it, which sees `file` at the path `of`.
pub fn with_file(file: &Path, of: &str) -> [String; 6] {
    mounted(&format!("mount --bind {} {of}", file.display()))
}

/// The command that becomes the program named behind it, which has a disk of that size at `directory`. From outside it is
/// reached below [`root_of`] that program.
pub fn with_disk(directory: &Path, size: &str) -> [String; 6] {
    mounted(&format!("mount -t tmpfs -o size={size} small {}", directory.display()))
}

/// The files as the program of that id sees them.
pub fn root_of(pid: u32) -> String {
    format!("/proc/{pid}/root")
}

fn mounted(mount: &str) -> [String; 6] {
    let becomes = format!("{mount} && exec \"$@\"");
    ["unshare", "--mount", "sh", "-c", &becomes, "sh"].map(ToOwned::to_owned)
}
