//! `keygate keys …` (to come).

use std::process::ExitCode;

/// Create, list, revoke and rotate keys
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the keys
    List,
}

pub(crate) fn run(_command: Command) -> ExitCode {
    ExitCode::FAILURE
}
