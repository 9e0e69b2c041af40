//! `keygate quickstart` (to come).

use std::process::ExitCode;

/// Try keygate with nothing prepared: certificate, keys and upstream are made for you
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to put what it makes; a new temporary directory unless said
    #[arg(long, value_name = "DIR")]
    dir: Option<std::path::PathBuf>,
}

pub(crate) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
