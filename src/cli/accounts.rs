//! `keygate accounts …` (to come).

use std::process::ExitCode;

/// Create, list, disable and enable accounts
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the accounts
    List,
}

pub(crate) fn run(_command: Command) -> ExitCode {
    ExitCode::FAILURE
}
