//! `keygate init` (to come).

use std::process::ExitCode;

/// Write a commented configuration to start from
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write it
    #[arg(default_value = ".")]
    dir: std::path::PathBuf,
}

pub(crate) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
