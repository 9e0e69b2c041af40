//! `keygate check` (to come).

use std::process::ExitCode;

/// Validate everything that `run` would load
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "keygate.toml")]
    config: std::path::PathBuf,
}

pub(crate) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
