//! `keygate run` (to come).

use std::process::ExitCode;

/// Serve: authenticate requests and forward them to the API
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "keygate.toml")]
    config: std::path::PathBuf,
    /// Override a member of the configuration, as in `--set listen.https=127.0.0.1:8443`
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

pub(crate) fn run(_args: Args) -> ExitCode {
    ExitCode::FAILURE
}
