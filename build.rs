//! Tells the program its revision, compiler and platform, and what it ships beside itself.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Folders whose files are embedded: name of the list, folder, how the files end.
const SHIPPED: &[(&str, &str, &str)] = &[
    ("RUNBOOKS", "alerts/runbooks", ".md"),
    ("DASHBOARDS", "dashboards", ".json"),
];

fn main() {
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
    println!(
        "cargo::rustc-env=BADGATEWAY_REVISION={}",
        first_line("git", &["rev-parse", "--short=12", "HEAD"])
    );
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    println!(
        "cargo::rustc-env=BADGATEWAY_RUSTC={}",
        first_line(&rustc, &["--version"])
    );
    println!(
        "cargo::rustc-env=BADGATEWAY_TARGET={}",
        std::env::var("TARGET").unwrap_or_default()
    );
    embed();
}

/// Writes a list of each folder's files, sorted by name; a folder that does not exist gives an empty one.
fn embed() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the sources are");
    let mut code = String::new();
    for (list, folder, ending) in SHIPPED {
        println!("cargo::rerun-if-changed={folder}");
        let files = std::fs::read_dir(Path::new(&root).join(folder)).into_iter().flatten();
        let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
        paths.sort();
        let _ = writeln!(code, "/// Every `{folder}/*{ending}`.\npub const {list}: &[File] = &[");
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(name) = name.strip_suffix(ending) {
                let _ = writeln!(code, "    File {{ name: {name:?}, text: include_str!({path:?}) }},");
            }
        }
        code.push_str("];\n");
    }
    let out = std::env::var("OUT_DIR").expect("cargo says where to write");
    std::fs::write(Path::new(&out).join("shipped.rs"), code).expect("the list can be written");
}

fn first_line(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .ok()
        .filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".into())
}
