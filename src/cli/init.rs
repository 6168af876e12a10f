//! `badgateway init`: a first configuration from what a gateway's own says.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{InitArgs, fail};
use crate::init;

/// Writes to standard output, or to a file that does not exist yet.
pub fn run(args: &InitArgs) -> ExitCode {
    let text = match fs::read_to_string(&args.from) {
        Ok(text) => text,
        Err(error) => return fail(format_args!("{}: cannot be read: {error}", args.from.display()), 1),
    };
    let written = match init::from_text(&text, &args.from.display().to_string()) {
        Ok(written) => written,
        Err(problem) => return fail(problem, 1),
    };
    let result = match &args.out {
        None => std::io::stdout().write_all(written.as_bytes()),
        Some(out) => write_new(out, &written),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let out = args.out.as_deref().unwrap_or(Path::new("standard output"));
            fail(format_args!("{}: cannot be written: {error}", out.display()), 1)
        }
    }
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    File::create_new(path)?.write_all(text.as_bytes())?;
    eprintln!(
        "wrote {}; next: badgateway check {} --probe",
        path.display(),
        path.display()
    );
    Ok(())
}
