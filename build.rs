//! Tells the program its revision, compiler and platform.

use std::process::Command;

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
