//! placeholder
use crate::cli::DemoArgs;
pub fn run(_args: &DemoArgs) -> std::process::ExitCode {
    todo!()
}
