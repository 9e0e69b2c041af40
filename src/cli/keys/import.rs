//! `keygate keys import` (to come).
use crate::source::Problems;
use std::process::ExitCode;
/// x
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
pub(crate) fn run(_args: &Args) -> Result<ExitCode, Problems> {
    Ok(ExitCode::FAILURE)
}
