//! `keygate accounts …` (to come).

use std::process::ExitCode;

/// Create, list, disable and enable accounts
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the accounts
    List,
}

#[expect(clippy::needless_pass_by_value, reason = "a command consumes its arguments")]
pub(crate) fn run(_command: Command) -> ExitCode {
    ExitCode::FAILURE
}
